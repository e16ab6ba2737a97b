"""The engine's side of the unit agent's socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from localjuju.substrate.protocol import DispatchResult, SubstrateError

_LONGEST_MESSAGE = 1 << 24  # bytes
_TRY_EVERY = 0.05  # seconds
_STARTS_WITHIN = 5.0  # seconds that a dispatch waits for a charm container that restarts
_ENDS_WITHIN = 15.0  # seconds: the agent sends SIGKILL after five


async def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()


async def _open(
    path: Path, patience: float = 0.0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, trying for `patience` seconds: a container that restarts is back in less."""
    give_up = asyncio.get_running_loop().time() + patience
    while True:
        try:
            return await asyncio.open_unix_connection(path, limit=_LONGEST_MESSAGE)
        except OSError as error:
            if asyncio.get_running_loop().time() >= give_up:
                reason = error.strerror
                raise SubstrateError(f"cannot reach the unit agent: {path}: {reason}") from error
        await asyncio.sleep(_TRY_EVERY)


async def dispatch(
    path: Path, argv: Sequence[str], env: Mapping[str, str], cwd: str, *, warm: bool
) -> DispatchResult:
    """Run one dispatch to its end. When cancelled, return only after the process is gone.

    Raises:
        SubstrateError: The agent does not answer, or cannot start the program.
    """
    reader, writer = await _open(path, _STARTS_WITHIN)
    request = {"op": "run", "argv": list(argv), "env": dict(env), "cwd": cwd, "warm": warm}
    try:
        await _send(writer, request)
        reading = asyncio.ensure_future(_read_result(reader))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await _send(writer, {"op": "cancel"})
            async with asyncio.timeout(_ENDS_WITHIN):
                await reading
            raise
        finally:
            reading.cancel()
    except OSError as error:  # TimeoutError, too, which says nothing of itself
        reason = str(error) or "no answer"
        raise SubstrateError(f"lost the unit agent at {path}: {reason}") from error
    finally:
        writer.close()


async def _read_result(reader: asyncio.StreamReader) -> DispatchResult:
    lines: dict[str, list[str]] = {"out": [], "err": []}
    while line := await reader.readline():
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise SubstrateError(message["error"])
        if "exit" in message:
            return DispatchResult(
                exit_code=message["exit"],
                signal=message["signal"],
                cpu_seconds=message["cpu"],
                stdout=tuple(lines["out"]),
                stderr=tuple(lines["err"]),
                warm=message["warm"],
            )
        for name, text in message.items():
            lines[name].append(text)
    # The charm container ended under it: nobody will ever report.
    return DispatchResult(None, stdout=tuple(lines["out"]), stderr=tuple(lines["err"]))


async def end_running(path: Path) -> bool:
    """End a dispatch that nobody waits for any more; return whether there was one."""
    try:
        reader, writer = await _open(path)
    except SubstrateError:
        return False  # no agent, no dispatch
    try:
        await _send(writer, {"op": "end"})
        async with asyncio.timeout(_ENDS_WITHIN):
            answer = await reader.readline()
        return bool(answer) and bool(json.loads(answer)["ended"])
    except (OSError, TimeoutError) as error:
        raise SubstrateError(f"cannot end the dispatch behind {path}: {error}") from error
    finally:
        writer.close()


@asynccontextmanager
async def watching(
    path: Path, patience: float = 0.0
) -> AsyncGenerator[tuple[dict[str, str], asyncio.StreamReader]]:
    """Open a watch: gives the agent's `id` and `python`, and a reader that ends with the agent.

    Args:
        path: The agent's socket.
        patience: Seconds to try to connect.

    Raises:
        SubstrateError: The agent does not answer.
    """
    reader, writer = await _open(path, patience)
    try:
        await _send(writer, {"op": "watch"})
        async with asyncio.timeout(_ENDS_WITHIN):
            line = await reader.readline()
        if not line:
            raise SubstrateError(f"the unit agent at {path} closed the connection")
        yield json.loads(line), reader
    except (OSError, TimeoutError) as error:
        raise SubstrateError(f"lost the unit agent at {path}: {error}") from error
    finally:
        writer.close()
