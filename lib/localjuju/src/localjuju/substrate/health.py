"""When a unit gets traffic: a small state machine over looks at its containers' health."""

from __future__ import annotations

import dataclasses

_LOOKS_TO_JOIN = 2


@dataclasses.dataclass
class Readiness:
    """Whether one container may get traffic.

    It joins after two good looks in a row, so that a service that comes up and falls at once gets
    none, and leaves at the first bad one.

    Attributes:
        ready: Whether it may get traffic now.
    """

    ready: bool = False
    _streak: int = 0

    def look(self, healthy: bool) -> bool:
        """Note one look; return whether `ready` changed."""
        before = self.ready
        self._streak = self._streak + 1 if healthy else 0
        if not healthy:
            self.ready = False
        elif self._streak >= _LOOKS_TO_JOIN:
            self.ready = True
        return self.ready != before
