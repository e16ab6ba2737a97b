"""The log of each model: what `juju debug-log` shows. JSON lines in files of bounded size."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from localjuju.clock import Clock

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FILE_LIMIT = 8 * 1024 * 1024
"""Bytes at which a log file is put aside; the one put aside before is dropped."""

_FOLLOWER_LIMIT = 10_000


@dataclasses.dataclass(frozen=True)
class LogRecord:
    """One line of a model's log."""

    time: float
    entity: str  # unit-web-0
    level: str
    module: str
    message: str


@dataclasses.dataclass(frozen=True)
class LogFilter:
    """Which lines to show. Entities are `unit-app-0`, `app/0`, or an application's name.

    Attributes:
        include: Entities to show; empty shows all.
        exclude: Entities to leave out.
        include_module: Beginnings of module names to show; empty shows all.
        exclude_module: Beginnings of module names to leave out.
        level: Lowest level to show.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_module: tuple[str, ...] = ()
    exclude_module: tuple[str, ...] = ()
    level: str = "TRACE"

    def matches(self, record: LogRecord) -> bool:
        """Tell whether a line is to be shown."""
        if LEVELS.index(record.level) < LEVELS.index(self.level):
            return False
        if self.include and not _names(record.entity, self.include):
            return False
        if self.include_module and not record.module.startswith(self.include_module):
            return False
        return not (
            _names(record.entity, self.exclude)
            or (self.exclude_module and record.module.startswith(self.exclude_module))
        )


def entity_of(unit: str) -> str:
    """Return the name under which a unit logs: `unit-web-0` for `web/0`."""
    return f"unit-{unit.replace('/', '-')}"


def _names(entity: str, names: Sequence[str]) -> bool:
    app = entity.removeprefix("unit-").rpartition("-")[0]
    return any(name in {entity, app} or entity_of(name) == entity for name in names)


class LogStore:
    """The logs of all models of an engine.

    Args:
        folder: Where the files are; made, private, when missing.
        clock: Gives each line its time.
        limit: Bytes at which a file is put aside.
    """

    def __init__(self, folder: Path, clock: Clock, *, limit: int = FILE_LIMIT) -> None:
        self._folder = folder
        self._clock = clock
        self._limit = limit
        self._files: dict[str, TextIO] = {}
        self._followers: dict[str, set[asyncio.Queue[LogRecord]]] = collections.defaultdict(set)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, model: str, entity: str, level: str, module: str, message: str) -> None:
        """Write one line; an unknown level counts as INFO."""
        level = level if level in LEVELS else "INFO"
        record = LogRecord(self._clock.now(), entity, level, module, message)
        file = self._file(model)
        file.write(json.dumps(dataclasses.astuple(record), ensure_ascii=False) + "\n")
        file.flush()
        if file.tell() > self._limit:
            self._put_aside(model)
        for queue in self._followers.get(model, ()):
            if queue.full():  # a reader that does not read loses the oldest lines
                queue.get_nowait()
            queue.put_nowait(record)

    def query(
        self, model: str, wanted: LogFilter | None = None, *, tail: int | None = None
    ) -> list[LogRecord]:
        """Return the lines that match, oldest first.

        Args:
            model: Name of the model.
            wanted: Which lines; None means all.
            tail: At most so many, the newest; None means all that there are.
        """
        wanted = wanted or LogFilter()
        return list(collections.deque(filter(wanted.matches, self._read(model)), tail))

    async def follow(
        self, model: str, wanted: LogFilter | None = None
    ) -> AsyncIterator[LogRecord]:
        """Yield matching lines as they are written, from now on."""
        wanted = wanted or LogFilter()
        queue: asyncio.Queue[LogRecord] = asyncio.Queue(_FOLLOWER_LIMIT)
        self._followers[model].add(queue)
        try:
            while True:
                record = await queue.get()
                if wanted.matches(record):
                    yield record
        finally:
            self._followers[model].discard(queue)

    def remove(self, model: str) -> None:
        """Remove a model's log."""
        self._close(model)
        for path in self._paths(model):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files."""
        for model in list(self._files):
            self._close(model)

    def _paths(self, model: str) -> tuple[Path, Path]:
        return self._folder / f"{model}.log.1", self._folder / f"{model}.log"

    def _file(self, model: str) -> TextIO:
        if model not in self._files:
            path = self._paths(model)[1]
            path.touch(mode=0o600)
            _end_last_line(path)
            self._files[model] = path.open("a", encoding="utf-8")
        return self._files[model]

    def _close(self, model: str) -> None:
        file = self._files.pop(model, None)
        if file is not None:
            file.close()

    def _put_aside(self, model: str) -> None:
        self._close(model)
        old, current = self._paths(model)
        current.replace(old)

    def _read(self, model: str) -> Iterator[LogRecord]:
        for path in self._paths(model):
            if not path.exists():
                continue
            with path.open(encoding="utf-8") as file:
                for line in file:
                    record = _parsed(line)
                    if record is not None:
                        yield record


def _parsed(line: str) -> LogRecord | None:
    """Return the record of a line; None for one that a kill has cut off."""
    try:
        return LogRecord(*json.loads(line))
    except (ValueError, TypeError):
        return None


def _end_last_line(path: Path) -> None:
    """End a line that a kill has cut off, so that the next one stands alone."""
    with path.open("rb+") as file:
        if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) >= 0 and file.read() != b"\n":
            file.write(b"\n")
