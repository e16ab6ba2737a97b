"""Every dispatch as a JSON file: what the charm was given, what it asked, how it ended.

The files of a unit are numbered; the oldest go when there are too many. Contents of secrets are
left out where they arise, by the hook context.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEPT = 200
"""How many dispatches of a unit are kept."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """One dispatch.

    Attributes:
        unit: The unit, `app/0`.
        hook: Hook name, or action name.
        number: Counts the unit's dispatches, from 1.
        started: When it began.
        seconds: How long it took.
        cpu_seconds: Processor time of the process and its children.
        exit_code: Exit status; None when the process was cut off.
        outcome: `committed`, `failed` or `requeued`.
        error: Why the flush was refused, or why the pod did not answer; else empty.
        environment: All variables that the process was given.
        commands: The hook commands in order, as the hook context recorded them.
        changes: Rows of the database that the end of this dispatch changed.
        warm: Whether a preloaded interpreter was forked for it.
    """

    unit: str
    hook: str
    number: int
    started: float
    seconds: float
    cpu_seconds: float
    exit_code: int | None
    outcome: str
    error: str
    environment: dict[str, str]
    commands: list[dict[str, Any]]
    changes: list[str]
    warm: bool = False


class TraceStore:
    """The traces of all units of an engine.

    Args:
        folder: Where they are; made, private, when missing.
        kept: How many to keep of each unit.
    """

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept
        self._last: dict[Path, int] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def next_number(self, model: str, unit: str) -> int:
        """Return the number of the unit's next dispatch."""
        folder = self._unit(model, unit)
        if folder not in self._last:
            self._last[folder] = max((int(p.stem) for p in folder.glob("*.json")), default=0)
        return self._last[folder] + 1

    def write(self, model: str, trace: Trace) -> None:
        """Write one trace, and drop the oldest ones of the unit."""
        folder = self._unit(model, trace.unit)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{trace.number:06}.json"
        fresh = folder / "next"  # a kill must not leave half a trace under a trace's name
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(dataclasses.asdict(trace), default=str) + "\n")
        fresh.replace(path)
        self._last[folder] = trace.number
        (folder / f"{trace.number - self._kept:06}.json").unlink(missing_ok=True)

    def read(self, model: str, unit: str, *, tail: int | None = None) -> Iterator[Trace]:
        """Yield a unit's traces, oldest first; with `tail` only the newest ones."""
        paths = sorted(self._unit(model, unit).glob("*.json"))
        for path in paths if tail is None else paths[max(0, len(paths) - tail) :]:
            yield Trace(**json.loads(path.read_text()))

    def remove(self, model: str) -> None:
        """Remove all traces of a model."""
        shutil.rmtree(self._folder / model, ignore_errors=True)
        self._last.clear()

    def _unit(self, model: str, unit: str) -> Path:
        return self._folder / model / unit.replace("/", "-")
