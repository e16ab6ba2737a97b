"""Wait until a model has settled, without false failures.

There is no limit on the whole while anything changes: a slow machine is not a broken one. What
ends the wait is a stall (nothing changed for a long time) or the same hook failing again and
again. What is pure stands first; `settle` is the loop around it.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

import jubilant
from jubilant.statustypes import AppStatus, Status, UnitStatus

from helio.host import HelioError
from helio.report import Reporter

READY_IN_A_ROW = 3  # between two hooks a model looks settled for a moment
HOOK_FAILURES = 5  # Juju retries a failed hook; one that fails so often will not heal by itself
DELAYS = (0.5, 1.0, 2.0, 3.0)  # seconds between two looks, growing while nothing changes

# What `juju` says while a controller is starting again; the next look will tell.
_PASSING = re.compile(r"connection|i/o timeout|EOF|unable to connect|not ready", re.IGNORECASE)


class StatusSource(Protocol):
    """Where the status comes from; `jubilant.Juju` is one."""

    def status(self) -> Status:
        """Return the model's status."""
        ...


@dataclasses.dataclass(frozen=True)
class Failure:
    """A hook that failed: one observation.

    Args:
        unit: The unit.
        message: Juju's message: `hook failed: "config-changed"`.
        since: When it failed; differs for each failure.
    """

    unit: str
    message: str
    since: str


def is_settled(status: Status, applications: Iterable[str]) -> bool:
    """Return whether every unit of the applications is there, active and idle."""
    return all(name in status.apps and _lacks(status.apps[name]) is None for name in applications)


def lacks(status: Status, applications: Iterable[str]) -> dict[str, str]:
    """Return what each application waits for; `ready` when it waits for nothing."""
    return {
        name: (_lacks(status.apps[name]) or "ready") if name in status.apps else "to be deployed"
        for name in applications
    }


def fingerprint(status: Status) -> tuple[object, ...]:
    """Return what counts as a change between two looks at a model."""
    return tuple(
        (name, app.scale, app.app_status, _fingerprint(app.units))
        for name, app in sorted(status.apps.items())
    )


def failures(status: Status) -> set[Failure]:
    """Return the hooks that stand failed right now."""
    found: set[Failure] = set()
    for app in status.apps.values():
        for name, unit in app.units.items():
            for state in (unit.workload_status, unit.juju_status):
                if state.current == "error":
                    found.add(Failure(name, state.message, state.since))
    return found


def settle(
    juju: StatusSource,
    applications: Collection[str],
    reporter: Reporter,
    stall: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the model has settled, saying what each application waits for.

    Args:
        juju: Where the status comes from.
        applications: Names of those that must be ready.
        reporter: Shown what each application waits for.
        stall: Seconds without any change after which it is given up.
        clock: Returns seconds.
        sleep: Waits seconds.

    Raises:
        HelioError: nothing changes any more, or a hook keeps failing; names what.
    """
    seen: set[Failure] = set()
    before: tuple[object, ...] = ()
    changed = clock()
    ready = quiet = 0
    while ready < READY_IN_A_ROW:
        status = _look(juju)
        if status is not None:
            now = fingerprint(status)
            if now != before:
                before, changed, quiet = now, clock(), 0
            reporter.progress(lacks(status, applications))
            ready = ready + 1 if is_settled(status, applications) else 0
            seen |= failures(status)
            _refuse_repeated(seen)
        if clock() - changed > stall:
            waiting = lacks(status, applications) if status else {"juju": "does not answer"}
            raise HelioError(_stalled(waiting, stall))
        sleep(DELAYS[min(quiet, len(DELAYS) - 1)] if not ready else DELAYS[0])
        quiet += 1


def _look(juju: StatusSource) -> Status | None:
    """Return the status, or None if the controller is not to be reached just now."""
    try:
        return juju.status()
    except jubilant.CLIError as error:
        if _PASSING.search(error.stderr or ""):
            return None
        raise HelioError(f"cannot read the status: {last_line(error)}") from error


def _lacks(app: AppStatus) -> str | None:
    """Return what an application waits for, in words; None when it is ready."""
    for name, unit in sorted(app.units.items()):
        workload, agent = unit.workload_status, unit.juju_status
        if workload.current != "active":
            return _words(name, workload.current, workload.message)
        if agent.current != "idle":
            return _words(name, agent.current, agent.message)
    if not app.units or len(app.units) != app.scale:
        return f"{len(app.units)} of {app.scale} units"
    if app.app_status.current != "active":
        return _words("application", app.app_status.current, app.app_status.message)
    return None


def _words(name: str, current: str, message: str) -> str:
    return f"{name} {current or 'unknown'}" + (f": {message}" if message else "")


def _fingerprint(units: Mapping[str, UnitStatus]) -> tuple[object, ...]:
    return tuple(
        (name, unit.workload_status, unit.juju_status) for name, unit in sorted(units.items())
    )


def _refuse_repeated(seen: set[Failure]) -> None:
    counts: dict[tuple[str, str], int] = {}
    for failure in seen:
        key = (failure.unit, failure.message)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] > HOOK_FAILURES:
            raise HelioError(
                f"cannot go on: {failure.unit} failed {counts[key]} times: {failure.message}; "
                f"see: helio juju debug-log --include {failure.unit}"
            )


def _stalled(waiting: Mapping[str, str], stall: float) -> str:
    rest = "; ".join(f"{name} waits: {text}" for name, text in waiting.items() if text != "ready")
    return (
        f"cannot go on: nothing changed for {stall:.0f} s ({rest}); look at "
        "`helio juju debug-log`, mend it, and run the same command again"
    )


def last_line(error: jubilant.CLIError) -> str:
    """Return the last line that a failed command said."""
    lines = (error.stderr or error.stdout or "").strip().splitlines()
    return lines[-1] if lines else f"exit status {error.returncode}"
