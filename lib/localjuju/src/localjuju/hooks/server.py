"""Serve hook commands on a unit's socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from localjuju.hooks import protocol
from localjuju.hooks.command import CommandResult
from localjuju.hooks.context import HookContext

READ_SECONDS = 30.0
"""A client that connected must have sent its request by then."""


class HookServer:
    """Serves the hook commands of one unit.

    One server per unit: a context that another unit registered is unknown on this socket.

    Args:
        on_command: Called after each command and before its answer, to persist its immediate
            effects (see `HookContext.changed_now`).
    """

    def __init__(self, on_command: Callable[[], None] | None = None) -> None:
        self._on_command = on_command
        self._contexts: dict[str, HookContext] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self, unit_socket: Path) -> None:
        """Listen on the socket; a file left by an engine that died is replaced."""
        unit_socket.parent.mkdir(parents=True, exist_ok=True)
        unit_socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, path=str(unit_socket), limit=1 << 20
        )
        unit_socket.chmod(0o600)

    async def stop(self) -> None:
        """Stop listening and forget every context."""
        self._contexts.clear()
        self._turns.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._clients):
            task.cancel()
        if self._clients:
            await asyncio.wait(list(self._clients))

    def register(self, context: HookContext) -> None:
        """Serve a context's commands from now on."""
        self._contexts[context.context_id] = context
        self._turns[context.context_id] = asyncio.Lock()

    def unregister(self, context_id: str) -> None:
        """Refuse commands of this context from now on; one that runs ends first."""
        self._contexts.pop(context_id, None)
        self._turns.pop(context_id, None)

    async def handle(self, request: protocol.Request) -> CommandResult:
        """Run one request; commands of one hook run one after the other."""
        turn = self._turns.get(request.context_id)
        if turn is None:
            return _bad_request(request.context_id)
        async with turn:
            context = self._contexts.get(request.context_id)
            if context is None:  # the hook ended while this one waited for its turn
                return _bad_request(request.context_id)
            result = context.run(request.command, request.args, request.stdin, request.files)
            if self._on_command is not None:
                self._on_command()
            return result

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)
        # A client that goes away in the middle needs no answer.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                async with asyncio.timeout(READ_SECONDS):
                    request = protocol.decode(await _read_fields(reader))
                result = await self.handle(request)
            except protocol.ProtocolError as error:
                result = CommandResult(stderr=f"ERROR bad request: {error}\n".encode(), code=1)
            except TimeoutError:
                result = CommandResult(stderr=b"ERROR bad request: incomplete\n", code=1)
            writer.write(protocol.encode(result))
            await writer.drain()
        writer.close()


async def _read_fields(reader: asyncio.StreamReader) -> list[tuple[bytes, bytes]]:
    if await reader.readexactly(len(protocol.MAGIC)) != protocol.MAGIC:
        raise protocol.ProtocolError("not the hook client of this engine")
    fields: list[tuple[bytes, bytes]] = []
    total = 0
    while True:
        kind, length = protocol.HEADER.unpack(await reader.readexactly(protocol.HEADER.size))
        if kind == b"z":
            return fields
        total += length
        if length > protocol.FIELD_LIMIT or total > protocol.REQUEST_LIMIT:
            raise protocol.ProtocolError("too large")
        fields.append((kind, await reader.readexactly(length)))


def _bad_request(context_id: str) -> CommandResult:
    text = f'ERROR bad request: bad context: unknown context id "{context_id}"\n'
    return CommandResult(stderr=text.encode("utf-8", "replace"), code=1)
