"""Time as the engine sees it: one small protocol, the system's clock, and one that a test turns.

Times are seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Take the call back; nothing happens when it was made already."""
        ...


class Clock(Protocol):
    """What tells the time and wakes sleepers."""

    def now(self) -> float:
        """Return the present time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` in the event loop once the time `when` is reached."""
        ...


class SystemClock:
    """The time of this host."""

    def now(self) -> float:
        """Return the present time."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` in the running loop at `when`; at once if that time has passed."""
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)


class VirtualClock:
    """A clock that moves only when `advance` is called: tests live years in milliseconds.

    Args:
        start: The first time that it shows.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._timers: list[tuple[float, int, _VirtualTimer]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Return the time that was last set."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has passed `seconds`."""
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        timer = self.call_at(self._now + seconds, wake)
        try:
            await done
        finally:
            timer.cancel()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` when `advance` reaches `when`."""
        timer = _VirtualTimer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`; what comes due is called in order, at its own time."""
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            timer.fire()
        self._now = end

    def next_timer(self) -> float | None:
        """Return when the next call is due, or None when nothing waits."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None


class _VirtualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback()
