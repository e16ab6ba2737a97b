"""Where a command's steps are run or rehearsed, and how that is told, to people or to programs."""

import contextlib
import sys
from collections.abc import Iterable

import click

from helio.cli.context import alone
from helio.host import DryRunHost, Host
from helio.report import PlainReporter, Record, Reporter, reporter, show_json
from helio.settings import Settings
from helio.steps import Step, rehearse, run


class Stage:
    """Runs the steps of a command, or only rehearses them.

    Args:
        host: The machine.
        is_dry: Whether nothing is to be changed.
        style: `table` tells what happens as text, `json` at the end what became of each step.

    Attributes:
        host: The machine, or a dry one.
        reporter: Told what happens.
        is_dry: Whether nothing is changed.
    """

    def __init__(self, host: Host, is_dry: bool, style: str = "table"):
        # In a rehearsal the text is the result; beside JSON it is not.
        stream = sys.stderr if style == "json" else sys.stdout
        self.reporter: Reporter = (
            PlainReporter(stream, is_rehearsal=True) if is_dry else reporter()
        )
        self._record: Record | None = None
        if style == "json":
            self.reporter = self._record = Record(self.reporter, is_dry)
        self.is_dry = is_dry
        self.host = DryRunHost(host, self._would) if is_dry else host

    def alone(self, found: Settings, what: str) -> contextlib.AbstractContextManager[None]:
        """Keep other commands that change the same cloud out; a rehearsal changes nothing."""
        return contextlib.nullcontext() if self.is_dry else alone(found, what)

    def run(self, steps: Iterable[Step]) -> None:
        """Run or rehearse steps.

        Raises:
            HelioError: the first step that could not be done.
        """
        (rehearse if self.is_dry else run)(steps, self.host, self.reporter)

    def end(self, text: str = "") -> None:
        """Print the result: for people what to know now, for programs what became of the steps."""
        if self._record:
            show_json(self._record.steps)
        elif not self.is_dry:
            click.echo(text)

    def _would(self, text: str) -> None:
        self.reporter.note(f"would {text}")
