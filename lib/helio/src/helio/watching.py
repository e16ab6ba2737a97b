"""Look at something again and again until it is as it shall be, or nothing changes any more."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from helio.host import HelioError
from helio.report import Outcome, Reporter, step

POLL = 1.0  # seconds between two looks

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Watch:
    """Looks, tells what it sees, and gives up when nothing changes.

    Args:
        reporter: Told the state at each look.
        stall: Seconds without any change after which it is given up.
        clock: Returns seconds.
        sleep: Waits seconds.
    """

    reporter: Reporter
    stall: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def looks(self, what: str, look: Callable[[], tuple[_T, str]]) -> Iterator[_T]:
        """Yield what is seen, without end.

        Args:
            what: What is looked at, for the error.
            look: Returns what there is, and its state in words.

        Raises:
            HelioError: nothing has changed for too long.
        """
        before, since = "", self.clock()
        while True:
            seen, state = look()
            self.reporter.note(state)
            if state != before:
                before, since = state, self.clock()
            yield seen
            if self.clock() - since > self.stall:
                raise HelioError(
                    f"cannot go on: {what} has been at “{state}” for {self.stall:.0f} s; "
                    "run the same command again to wait longer"
                )
            self.sleep(POLL)

    def until(self, what: str, look: Callable[[], tuple[bool, str]]) -> None:
        """Wait until a look says yes; see `looks`."""
        for is_so in self.looks(what, look):
            if is_so:
                return

    def step(self, title: str) -> contextlib.AbstractContextManager[Outcome]:
        """Tell that a step begins, and how it ends."""
        return step(self.reporter, title)
