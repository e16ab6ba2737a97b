"""A plan is a list of steps; running it makes true what is not true yet.

A step keeps nothing in memory for the next one: whether it is done is read from the machine. So a
run that was interrupted anywhere goes on where it stopped, simply by running again.
"""

import dataclasses
from collections.abc import Callable, Iterable
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


@dataclasses.dataclass(frozen=True)
class Ensure:
    """A step against the interfaces of the cloud, which needs no host.

    Args:
        title: What it does, as a phrase.
        outline: What is done if it is not so.
        find: Returns whether it is as it shall be.
        make: Makes it so.
    """

    title: str
    outline: str | None
    find: Callable[[], bool]
    make: Callable[[Reporter], object]

    def is_done(self, host: Host) -> bool:
        """Return whether there is nothing to do."""
        return self.find()

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Make it."""
        self.make(reporter)


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
