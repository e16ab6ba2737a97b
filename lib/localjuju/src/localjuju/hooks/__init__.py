"""Hook commands: what a charm sees of the model, and what it can change.

`HookContext` is one dispatch, `HookServer` serves its commands on a unit's socket,
`build.ensure_client` compiles the program that stands behind every command name in a charm
container, `COMMAND_NAMES` are these names.
"""

from localjuju.hooks.command import CommandResult
from localjuju.hooks.commands import COMMAND_NAMES
from localjuju.hooks.context import FlushError, HookContext
from localjuju.hooks.environment import new_context_id
from localjuju.hooks.records import CommandRecord
from localjuju.hooks.server import HookServer
from localjuju.hooks.session import Paths

__all__ = [
    "COMMAND_NAMES",
    "CommandRecord",
    "CommandResult",
    "FlushError",
    "HookContext",
    "HookServer",
    "Paths",
    "new_context_id",
]
