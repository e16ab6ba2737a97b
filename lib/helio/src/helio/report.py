"""What the operator sees while steps run, behind one small protocol.

On a terminal a live display, elsewhere plain lines; tests keep a list.
"""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Generator, Mapping
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


class Reporter(Protocol):
    """Told what happens, in the order in which it happens."""

    def started(self, title: str) -> None:
        """Say that a step has begun."""
        ...

    def note(self, text: str) -> None:
        """Say what the step is doing now; replaces the note before it."""
        ...

    def warn(self, text: str) -> None:
        """Say something that the operator should know and that stays to be seen."""
        ...

    def progress(self, lines: Mapping[str, str]) -> None:
        """Say what each part of the step waits for: name → text; replaces what was said before."""
        ...

    def tell(self, text: str) -> None:
        """Say something that is part of the command's result, on standard output."""
        ...

    def done(self, title: str) -> None:
        """Say that the step has ended well."""
        ...

    def skipped(self, title: str) -> None:
        """Say that the step had nothing to do."""
        ...

    def failed(self, title: str) -> None:
        """Say that the step could not be done; the error itself is printed by the caller."""
        ...


@dataclasses.dataclass
class Outcome:
    """How a step ends that does not raise.

    Args:
        is_good: Whether it ends well.
    """

    is_good: bool = True


@contextlib.contextmanager
def step(reporter: Reporter, title: str) -> Generator[Outcome]:
    """Tell that a step begins, and how it ends: whatever ends it, no display is left behind."""
    reporter.started(title)
    outcome, finished = Outcome(), False
    try:
        yield outcome
        finished = outcome.is_good
    finally:
        (reporter.done if finished else reporter.failed)(title)


class PlainReporter:
    """Lines for a pipe or a log: each thing is said once, when it changes.

    Args:
        stream: Where they go.
        is_rehearsal: Whether nothing is really done, so that no result is told.
    """

    def __init__(self, stream: TextIO, is_rehearsal: bool = False):
        self._stream = stream
        self._is_rehearsal = is_rehearsal
        self._said: dict[str, str] = {}
        self._since = time.monotonic()

    def started(self, title: str) -> None:
        """Say that a step has begun."""
        self._said = {}
        self._since = time.monotonic()
        self._line(f"{title} …")

    def note(self, text: str) -> None:
        """Print the note, if it is new."""
        self.progress({"": text})

    def warn(self, text: str) -> None:
        """Print the warning."""
        self._line(f"  warning: {text}")

    def progress(self, lines: Mapping[str, str]) -> None:
        """Print the lines that changed."""
        for name, text in lines.items():
            if self._said.get(name) != text:
                self._line("  " + ": ".join(part for part in (name, text) if part))
        self._said = dict(lines)

    def tell(self, text: str) -> None:
        """Print it, unless it has not happened."""
        if not self._is_rehearsal:
            print(text, flush=True)

    def done(self, title: str) -> None:
        """Print that the step has ended well."""
        self._line(f"{title}: done in {time.monotonic() - self._since:.0f} s")

    def skipped(self, title: str) -> None:
        """Print that there was nothing to do."""
        self._line(f"{title}: nothing to do")

    def failed(self, title: str) -> None:
        """Print that the step failed."""
        self._line(f"{title}: failed")

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class LiveReporter:
    """A display on a terminal: finished steps above, the running one with its parts below."""

    def __init__(self, console: Console):
        self._console = console
        self._live: Live | None = None
        self._title = ""
        self._since = time.monotonic()

    def started(self, title: str) -> None:
        """Show a spinner with the step's title."""
        self._title = title
        self._since = time.monotonic()
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._live.start()
        self.progress({})

    def note(self, text: str) -> None:
        """Show a note beneath the title."""
        self.progress({"": text})

    def warn(self, text: str) -> None:
        """Leave the warning above the live part."""
        self._console.print(f"[yellow]![/] {escape(text)}", highlight=False)

    def progress(self, lines: Mapping[str, str]) -> None:
        """Show a line per part beneath the title."""
        if not self._live:
            return
        table = Table.grid(padding=(0, 2))
        for name, text in lines.items():
            table.add_row(f"    {escape(name)}", Text(text, style="dim", overflow="ellipsis"))
        self._live.update(Group(Spinner("dots", f" {escape(self._title)}"), table))

    def tell(self, text: str) -> None:
        """Print it, above the live part if both share the terminal."""
        if self._live and sys.stdout.isatty():
            self._live.console.print(text, highlight=False, markup=False)
        else:
            print(text, flush=True)

    def done(self, title: str) -> None:
        """Leave a line with a tick and the time."""
        self._end(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - self._since:.0f} s[/dim]")

    def skipped(self, title: str) -> None:
        """Leave a line that says that there was nothing to do."""
        self._end(f"[green]✓[/] {escape(title)} [dim]already done[/dim]")

    def failed(self, title: str) -> None:
        """Leave a line with a cross."""
        self._end(f"[red]✗[/] {escape(title)}")

    def _end(self, line: str) -> None:
        if self._live:
            self._live.stop()
            self._live = None
        self._console.print(line, highlight=False)


@dataclasses.dataclass(frozen=True)
class Record:
    """Keeps for programs what became of each step; people are told as well.

    Args:
        inner: Tells people, not on standard output.
        is_rehearsal: Whether nothing is really done: then the notes say what would be.
        steps: A mapping for each step: `step`, its title; `state`: `done`, `skipped`, `failed`, or
            `planned` in a rehearsal; and lists of texts where there are any: `notes`, `warnings`
            and `results`.
    """

    inner: Reporter
    is_rehearsal: bool
    steps: list[dict[str, Any]] = dataclasses.field(default_factory=list[dict[str, Any]])

    def started(self, title: str) -> None:
        """Begin to keep a step."""
        self.steps.append({"step": title, "state": "planned"})
        self.inner.started(title)

    def note(self, text: str) -> None:
        """Keep the note in a rehearsal; otherwise it is only of the moment."""
        if self.is_rehearsal:
            self._keep("notes", text)
        self.inner.note(text)

    def warn(self, text: str) -> None:
        """Keep the warning."""
        self._keep("warnings", text)
        self.inner.warn(text)

    def progress(self, lines: Mapping[str, str]) -> None:
        """Pass it on."""
        self.inner.progress(lines)

    def tell(self, text: str) -> None:
        """Keep the result, unless it has not happened; standard output is for the record."""
        if not self.is_rehearsal:
            self._keep("results", text)

    def done(self, title: str) -> None:
        """Keep that the step has ended well."""
        self.steps[-1]["state"] = "done"
        self.inner.done(title)

    def skipped(self, title: str) -> None:
        """Keep that the step had nothing to do."""
        self.steps.append({"step": title, "state": "skipped"})
        self.inner.skipped(title)

    def failed(self, title: str) -> None:
        """Keep that the step failed."""
        self.steps[-1]["state"] = "failed"
        self.inner.failed(title)

    def _keep(self, kind: str, text: str) -> None:
        if not self.steps:  # what comes before the first step
            self.steps.append({"step": "", "state": "planned" if self.is_rehearsal else "done"})
        self.steps[-1].setdefault(kind, []).append(text)


def reporter() -> Reporter:
    """Return the reporter that suits standard error."""
    if sys.stderr.isatty():
        return LiveReporter(Console(stderr=True))
    return PlainReporter(sys.stderr)


def show_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table for people on standard output."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    # Into a pipe there is no width to fit: cells must not be cut.
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False).print(table)


def show_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, sort_keys=True))
