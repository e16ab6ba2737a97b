"""A small client of Pebble's API, and the watch over one container's Pebble.

Pebble speaks HTTP/1.1 over a unix socket. Two connections stay open for each container: one waits
for notices, one asks for health. Both break when Pebble ends, so its end is seen at once.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from localjuju.substrate.protocol import Notice

_CHECK_ENDS = {"perform-check": "Error", "recover-check": "Done"}
_READY_EVERY = 1.0  # seconds between two looks at the health of what has traffic
_UNREADY_EVERY = 0.25  # and of what has none: it is waited for
_HURRY = 5.0  # seconds of silence during which it is looked for ten times a second
_NOTICES_WAIT = 30  # seconds that Pebble holds the question for notices back
_ANSWER_WITHIN = 10.0  # seconds for every other answer


class PebbleError(Exception):
    """Pebble does not answer, or its answer is none."""


class Connection:
    """One open connection to a Pebble. Answers come in order, so one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, path: Path) -> Connection:
        """Connect.

        Raises:
            PebbleError: Nothing listens there.
        """
        try:
            return cls(*await asyncio.open_unix_connection(path, limit=1 << 20))
        except OSError as error:
            raise PebbleError(f"cannot connect to {path}: {error.strerror}") from error

    def close(self) -> None:
        """Drop the connection."""
        self._writer.close()

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, within: float = _ANSWER_WITHIN
    ) -> tuple[int, Any]:
        """Ask for a resource; return the status and the `result` of the answer.

        Raises:
            PebbleError: The connection broke, or no answer came in time.
        """
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        try:
            async with asyncio.timeout(within):
                self._writer.write(f"GET {target} HTTP/1.1\r\nHost: pebble\r\n\r\n".encode())
                await self._writer.drain()
                status, body = await self._answer()
            return status, json.loads(body)["result"]
        except (OSError, EOFError, ValueError, KeyError, TimeoutError) as error:
            raise PebbleError(f"cannot get {path}: {error or 'no answer'}") from error

    async def _answer(self) -> tuple[int, bytes]:
        status = int((await self._reader.readuntil(b"\r\n")).split()[1])
        headers: dict[bytes, bytes] = {}
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip().lower()
        if headers.get(b"transfer-encoding") != b"chunked":
            return status, await self._reader.readexactly(int(headers[b"content-length"]))
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return status, body


def is_proven(checks: list[dict[str, Any]]) -> bool:
    """Tell whether every check that decides about readiness has succeeded at least once.

    A check counts as up from the moment that it is added until it has failed: a container whose
    checks did not run yet would look ready.
    """
    deciding = [c for c in checks if c.get("level") in ("alive", "ready")]
    return all(c.get("status") != "up" or c.get("successes", 1) > 0 for c in deciding)


def as_notice(raw: Mapping[str, Any]) -> Notice:
    """Turn Pebble's form of a notice into ours."""
    return Notice(
        id=raw["id"],
        type=raw["type"],
        key=raw["key"],
        last_repeated=raw["last-repeated"],
        data=cast("dict[str, str]", raw.get("last-data") or {}),
    )


class Watch:
    """The watch over one container's Pebble.

    Args:
        socket: Pebble's socket on this host.
        after: `last-repeated` of the newest notice that was delivered before; empty: none.
        on_boot: Called with the boot id whenever a Pebble answers that did not before.
        on_gone: Called when it stops to answer.
        on_notices: Called with new custom notices and ends of checks, oldest first.
        on_health: Called with each look at the level `ready`.
        on_silence: Awaited now and then while nothing answers: may start the container.
        is_ready: Tells whether the container may get traffic now.
    """

    def __init__(
        self,
        socket: Path,
        after: str,
        *,
        on_boot: Callable[[str], None],
        on_gone: Callable[[], None],
        on_notices: Callable[[tuple[Notice, ...]], None],
        on_health: Callable[[bool], None],
        on_silence: Callable[[float], Awaitable[None]],
        is_ready: Callable[[], bool],
    ) -> None:
        self._socket = socket
        self._after = after
        self._on_boot = on_boot
        self._on_gone = on_gone
        self._on_notices = on_notices
        self._on_health = on_health
        self._on_silence = on_silence
        self._is_ready = is_ready
        self._told: set[tuple[str, str]] = set()  # ends of checks: change id, status

    async def run(self) -> None:
        """Watch until cancelled."""
        silent_since = asyncio.get_running_loop().time()
        while True:
            try:
                await self._follow()
            except PebbleError:
                pass
            else:  # it answered, and is gone now
                self._on_gone()
                silent_since = asyncio.get_running_loop().time()
            silence = asyncio.get_running_loop().time() - silent_since
            await self._on_silence(silence)
            await asyncio.sleep(0.1 if silence < _HURRY else 1.0)

    async def _follow(self) -> None:
        """Follow one Pebble from its first answer to its last.

        Raises:
            PebbleError: There is none.
        """
        first = await Connection.open(self._socket)
        second = None
        try:
            _, info = await first.get("/v1/system-info")
            second = await Connection.open(self._socket)
            self._on_boot(info["boot-id"])
            looks = asyncio.create_task(self._look_at_health(first))
            waits = asyncio.create_task(self._wait_for_notices(second))
            try:
                await asyncio.wait((looks, waits), return_when=asyncio.FIRST_COMPLETED)
            finally:
                looks.cancel()
                waits.cancel()
                await asyncio.gather(looks, waits, return_exceptions=True)
        finally:
            first.close()
            if second:
                second.close()

    async def _look_at_health(self, connection: Connection) -> None:
        try:
            while True:
                status, _ = await connection.get("/v1/health", {"level": "ready"})
                healthy = status == HTTPStatus.OK
                if healthy and not self._is_ready():
                    _, checks = await connection.get("/v1/checks")
                    healthy = is_proven(checks)
                self._on_health(healthy)
                await asyncio.sleep(_READY_EVERY if self._is_ready() else _UNREADY_EVERY)
        except PebbleError:
            return

    async def _wait_for_notices(self, connection: Connection) -> None:
        try:
            while True:
                query = {
                    "types": "custom,change-update",
                    "users": "all",
                    "timeout": f"{_NOTICES_WAIT}s",
                }
                if self._after:
                    query["after"] = self._after
                within = _NOTICES_WAIT + _ANSWER_WITHIN
                status, found = await connection.get("/v1/notices", query, within=within)
                if status != HTTPStatus.OK:
                    raise PebbleError(f"cannot get notices: {found}")
                notices = [as_notice(raw) for raw in found]
                if notices:
                    self._after = notices[-1].last_repeated
                told = [n for notice in notices if (n := await self._meaning(connection, notice))]
                if told:
                    self._on_notices(tuple(told))
        except PebbleError:
            return

    async def _meaning(self, connection: Connection, notice: Notice) -> Notice | None:
        """Return a notice that charms hear of, with the end of its check; None for others."""
        if notice.type == "custom":
            return notice
        end = _CHECK_ENDS.get(notice.data.get("kind", ""))
        if end is None:
            return None
        status, change = await connection.get(f"/v1/changes/{notice.key}")
        if status != HTTPStatus.OK or change["status"] != end or (notice.key, end) in self._told:
            return None
        self._told.add((notice.key, end))
        data = {**notice.data, "status": end}
        return Notice(notice.id, notice.type, notice.key, notice.last_repeated, data)
