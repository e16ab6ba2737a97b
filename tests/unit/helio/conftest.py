"""A machine in memory, and a reporter that keeps a list."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from helio.host import Command, CommandError


class MemoryHost:
    """Keeps files in a dict; commands are answered by declared functions, others fail the test."""

    def __init__(self):
        self.files: dict[Path, str] = {}
        self.modes: dict[Path, int] = {}
        self.ran: list[Command] = []
        self._answers: dict[tuple[str, ...], Callable[[Command], str]] = {}

    def answer(self, *start: str, with_: str | Callable[[Command], str] = "") -> None:
        """Declare what a command that starts with these words prints."""
        self._answers[start] = with_ if callable(with_) else lambda _command: with_

    def fail(self, *start: str, status: int, stderr: str = "") -> None:
        """Declare that a command that starts with these words fails."""

        def refuse(command: Command) -> str:
            raise CommandError(command.argv, status, "", stderr)

        self._answers[start] = refuse

    def run(self, command: Command) -> str:
        for length in range(len(command.argv), 0, -1):
            if command.argv[:length] in self._answers:
                self.ran.append(command)
                return self._answers[command.argv[:length]](command)
        raise AssertionError(f"nobody declared: {command}")

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> None:
        self.files[path] = content if isinstance(content, str) else content.decode()
        self.modes[path] = mode

    def remove(self, path: Path) -> None:
        for place in [place for place in self.files if place.is_relative_to(path)]:
            del self.files[place]

    def exists(self, path: Path) -> bool:
        return any(place.is_relative_to(path) for place in self.files)

    def read(self, path: Path) -> str:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    @property
    def changes(self) -> list[str]:
        """The commands that change something, as typed."""
        return [str(command) for command in self.ran if not command.reads]


class ListReporter:
    """Keeps what it is told."""

    def __init__(self):
        self.events: list[tuple[str, object]] = []

    def started(self, title: str) -> None:
        self.events.append(("started", title))

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def warn(self, text: str) -> None:
        self.events.append(("warn", text))

    def progress(self, lines: Mapping[str, str]) -> None:
        self.events.append(("progress", dict(lines)))

    def tell(self, text: str) -> None:
        self.events.append(("tell", text))

    def done(self, title: str) -> None:
        self.events.append(("done", title))

    def skipped(self, title: str) -> None:
        self.events.append(("skipped", title))

    def failed(self, title: str) -> None:
        self.events.append(("failed", title))

    def of(self, kind: str) -> list[object]:
        """What was told of one kind."""
        return [value for event, value in self.events if event == kind]


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


@pytest.fixture
def reporter() -> ListReporter:
    return ListReporter()
