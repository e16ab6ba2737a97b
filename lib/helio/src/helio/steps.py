"""A plan is a list of steps; running it makes true what is not true yet.

A step keeps nothing in memory for the next one: whether it is done is read from the machine. So a
run that was interrupted anywhere goes on where it stopped, simply by running again.
"""

from collections.abc import Iterable
from typing import Protocol

from helio import report
from helio.host import Host
from helio.report import Reporter


class Step(Protocol):
    """One thing to make true."""

    @property
    def title(self) -> str:
        """Return what the step does, as a short phrase: `Install Debian packages`."""
        ...

    @property
    def outline(self) -> str | None:
        """Return what a dry run says in place of applying the step.

        None: the step does everything through its host, so it can be applied to a dry one.
        """
        ...

    def is_done(self, host: Host) -> bool:
        """Return whether there is nothing to do, judged from the machine."""
        ...

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Make it true.

        Raises:
            HelioError: it cannot be done; says why and what to do.
        """
        ...


def run(steps: Iterable[Step], host: Host, reporter: Reporter) -> None:
    """Run the steps that are not done yet, in order.

    Raises:
        HelioError: the first step that could not be done.
    """
    for step in steps:
        if step.is_done(host):
            reporter.skipped(step.title)
            continue
        with report.step(reporter, step.title):
            step.apply(host, reporter)


def rehearse(steps: Iterable[Step], host: Host, reporter: Reporter) -> None:
    """Go through the steps without changing anything.

    Args:
        steps: The plan.
        host: A dry one.
        reporter: Told which steps have nothing to do, and what the others would do.
    """
    for step in steps:
        if step.is_done(host):
            reporter.skipped(step.title)
            continue
        reporter.started(step.title)
        if step.outline is None:
            step.apply(host, reporter)
        else:
            reporter.note(f"would {step.outline}")
