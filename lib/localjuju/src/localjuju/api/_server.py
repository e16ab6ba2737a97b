"""The socket: connections, who may connect, requests in, events and results out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any, cast

from localjuju.api import (
    _applications,
    _bundles,
    _logs,
    _machines,
    _models,
    _offers,
    _secrets,
    _tasks,
    _units,
)
from localjuju.api._calls import (
    ENGINE_ERRORS,
    Call,
    Data,
    EngineLike,
    Method,
    Params,
    RequestError,
)

_LOG = logging.getLogger(__name__)
_LINE_LIMIT = 32 * 1024 * 1024
_PATH_LIMIT = 107  # of a unix socket's address

METHODS: dict[str, Method] = {
    **_models.METHODS,
    **_applications.METHODS,
    **_bundles.METHODS,
    **_units.METHODS,
    **_machines.METHODS,
    **_tasks.METHODS,
    **_secrets.METHODS,
    **_logs.METHODS,
    **_offers.METHODS,
}
ABANDONED = frozenset(("debug_log", "run", "wait"))
"""Methods that only wait once their change is made: a client that hangs up ends them."""


class Server:
    """Serves an engine on its socket.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine
        self._intake = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on the socket; a file that a dead engine left there is replaced.

        Raises:
            OSError: The socket cannot be made.
        """
        path = self._engine.settings.socket
        if len(os.fsencode(path)) > _PATH_LIMIT:
            raise OSError(f"cannot listen on {path}: the path is longer than {_PATH_LIMIT} bytes")
        path.unlink(missing_ok=True)
        listening = _listen(path)
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listening, limit=_LINE_LIMIT
        )

    async def stop(self) -> None:
        """Stop listening and end what is being answered."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._engine.settings.socket.unlink(missing_ok=True)
        self._server = None

    async def serve(self) -> None:
        """Serve until cancelled."""
        await self.start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            if _may_connect(writer):
                await self._answer_all(reader, writer)
        except (ConnectionError, asyncio.LimitOverrunError, ValueError) as error:
            _LOG.info("connection ended: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            if task is not None:
                self._connections.discard(task)

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        upcoming = asyncio.create_task(reader.readline())
        try:
            while line := await upcoming:
                upcoming = asyncio.create_task(reader.readline())
                await self._answer(line, upcoming, writer)
        finally:
            upcoming.cancel()

    async def _answer(
        self, line: bytes, upcoming: asyncio.Task[bytes], writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request; when the client hangs up, what only waits is given up."""
        method = ""
        try:
            method, params = _parsed(line)
        except RequestError as error:
            await _send(writer, _error(error))
            return
        work = asyncio.create_task(self._run(method, params, writer))
        try:
            await asyncio.wait({work, upcoming}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and upcoming.result() == b"" and method in ABANDONED:
                work.cancel()
            await asyncio.wait({work})
        finally:
            work.cancel()
        if work.cancelled():
            return
        error = work.exception()
        if error is None:
            await _send(writer, {"result": work.result()})
        elif isinstance(error, ENGINE_ERRORS):
            await _send(writer, _error(error))
        elif not isinstance(error, ConnectionError):
            _LOG.error("%s failed", method, exc_info=error)
            text = f"internal error: {error!r}; see {self._engine.settings.home}/engine.log"
            await _send(writer, {"error": {"message": text, "kind": "InternalError"}})

    async def _run(self, method: str, params: Params, writer: asyncio.StreamWriter) -> Any:
        async def emit(event: Data) -> None:
            await _send(writer, {"event": event})

        return await METHODS[method](Call(self._engine, params, emit, self._intake))


def _listen(path: Path) -> socket.socket:
    """Return a listening socket that nobody else could use, not even for a moment."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listening.bind(str(path))
    finally:
        os.umask(old)
    listening.listen()
    listening.setblocking(False)
    return listening


def _may_connect(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if not is_allowed(uid, os.getuid()):
        _LOG.warning("user %d may not use the engine", uid)
        return False
    return True


def is_allowed(user: int, own: int) -> bool:
    """Tell whether a user may connect to the engine of user `own`: that one and root may."""
    return user in {0, own}


def _parsed(line: bytes) -> tuple[str, Params]:
    try:
        request = json.loads(line)
        method: Any = request["method"]
        params: Any = request.get("params") or {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"bad request: {error!r}") from error
    if method not in METHODS or not isinstance(params, dict):
        raise RequestError(f"bad request: no method {method!r}")
    return method, Params(cast(Data, params))


async def _send(writer: asyncio.StreamWriter, message: Data) -> None:
    writer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
    await writer.drain()


def _error(error: BaseException) -> Data:
    return {"error": {"message": str(error) or repr(error), "kind": type(error).__name__}}
