"""Who leads an application: pure functions over the model.

A leader keeps its lease for as long as its pod is up; nothing is renewed on a timer. When the
pod is gone the lease runs out after 30 to 60 seconds, as it would in Juju, and another unit is
elected. `Application.lease_until` is 0 while the leader is there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection

from localjuju.model import Application, Life, Model, Unit

LEASE_SHORTEST = 30.0
LEASE_LONGEST = 60.0


def elect(model: Model, now: float, presumed: Collection[str] = ()) -> bool:
    """Give every application a leader as the time demands. Return whether anything changed.

    Args:
        model: The model.
        now: Present time.
        presumed: Units whose pods were up when the engine went away, and which it has not
            looked at again yet: a restart of the engine takes the leadership from nobody.
    """
    changed = False
    for app in model.applications.values():
        if app.life is Life.ALIVE:
            changed |= _elect(model, app, now, presumed)
    return changed


def next_expiry(model: Model) -> float:
    """Return when the next lease runs out; infinity when every leader is there."""
    return min(
        (a.lease_until for a in model.applications.values() if a.lease_until), default=math.inf
    )


def _elect(model: Model, app: Application, now: float, presumed: Collection[str]) -> bool:
    before = (app.leader, app.lease_until)
    holder = model.units.get(app.leader)
    if not app.leader:
        # The first one claims at once, before its pod is up.
        _give(app, [u for u in model.units_of(app.name) if u.life is Life.ALIVE])
    elif holder is not None and _is_there(holder, presumed):
        app.lease_until = 0.0
    elif not app.lease_until:
        # Jitter needs no secrecy; the seed keeps this a function of its arguments.
        spread = random.Random(f"{app.name} {now}")  # noqa: S311 - jitter
        app.lease_until = now + spread.uniform(LEASE_SHORTEST, LEASE_LONGEST)
    elif now >= app.lease_until:
        candidates = _candidates(model, app, holder)
        _give(app, candidates)
        if not candidates:  # nobody could take over; look again later, not at once
            app.lease_until = now + LEASE_SHORTEST
    return (app.leader, app.lease_until) != before


def _is_there(unit: Unit, presumed: Collection[str]) -> bool:
    return (unit.pod_ready or unit.name in presumed) and not unit.stopped


def _candidates(model: Model, app: Application, holder: Unit | None) -> list[Unit]:
    alive = [u for u in model.units_of(app.name) if u.life is Life.ALIVE and u is not holder]
    ready = [u for u in alive if u.pod_ready and u.installed]
    # While the holder exists it is as good as another unit that is not up.
    return ready or (alive if holder is None else [])


def _give(app: Application, candidates: list[Unit]) -> None:
    if candidates:
        app.leader = candidates[0].name
        app.lease_until = 0.0
