"""The engine's own interface: JSON lines over a unix socket, for the command line.

A request is one line `{"method": …, "params": {…}}`. The answer is any number of lines
`{"event": …}`, then one `{"result": …}` or `{"error": {"message": …, "kind": …}}`. Several
requests may follow each other on one connection. Only root and the engine's own user may connect.
"""

from localjuju.api._calls import ENGINE_ERRORS, EngineLike, Params, RequestError
from localjuju.api._server import Server

__all__ = ["ENGINE_ERRORS", "EngineLike", "Params", "RequestError", "Server"]
