"""Wait until a model has settled, without false failures.

There is no limit on the whole while anything new happens: a slow machine is not a broken one.
What ends the wait is a stall (for a long time nothing that was not seen before) or the same hook
failing again and again. What is pure stands first; `settle` is the loop around it.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import jubilant
from jubilant.statustypes import AppStatus, MachineStatus, Status, StatusInfo

from helio.host import HelioError
from helio.report import Reporter

READY = "ready"
READY_IN_A_ROW = 3  # between two hooks a model looks settled for a moment
HOOK_FAILURES = 5  # Juju retries a failed hook; one that fails so often will not heal by itself
DELAYS = (0.5, 1.0, 2.0, 3.0)  # seconds between two looks, growing while nothing changes

# Ids of containers in messages: another one each time that one is made anew.
_IDS = re.compile(r"\b[0-9a-f]{12,}\b")

# A part's name and the states it is in; see `states`.
State = tuple[object, ...]

# What `juju` says while a controller is starting again; the next look will tell.
_PASSING = re.compile(r"connection|i/o timeout|EOF|unable to connect|not ready", re.IGNORECASE)


class StatusSource(Protocol):
    """Where the status comes from; `jubilant.Juju` is one."""

    def status(self) -> Status:
        """Return the model's status."""
        ...


@dataclasses.dataclass(frozen=True)
class Watched:
    """A model that is waited for.

    Args:
        juju: Where its status comes from.
        applications: Names of those that must be ready.
        optional: Names of those that need not be there.
    """

    juju: StatusSource
    applications: Collection[str]
    optional: Collection[str] = ()

    def lacks(self, status: Status) -> dict[str, str]:
        """Return what each application waits for."""
        expected = [
            name for name in self.applications if name in status.apps or name not in self.optional
        ]
        return lacks(status, expected)


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
    return all(text == READY for text in lacks(status, applications).values())


def lacks(status: Status, applications: Iterable[str]) -> dict[str, str]:
    """Return what each application waits for; `ready` when it waits for nothing."""
    return {
        name: (_lacks(status.apps[name], status.machines) or READY)
        if name in status.apps
        else "to be deployed"
        for name in applications
    }


def states(status: Status) -> frozenset[State]:
    """Return the states that the parts of a model are in.

    A state that a part was in before is no progress: units go round in circles, as from a hook of
    theirs back to what they wait for. So times do not belong to it, nor the ids of containers.
    """
    machines = (
        (f"machine {name}", _state(machine.juju_status), _state(machine.machine_status))
        for name, machine in status.machines.items()
    )
    apps = ((name, app.scale, _state(app.app_status)) for name, app in status.apps.items())
    units = (
        (name, _state(unit.workload_status), _state(unit.juju_status))
        for app in status.apps.values()
        for name, unit in app.units.items()
    )
    return frozenset((*machines, *apps, *units))


def _state(info: StatusInfo) -> tuple[str, str]:
    return info.current, _IDS.sub("*", info.message)


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
    models: Sequence[Watched],
    reporter: Reporter,
    stall: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until models have settled, saying what each application waits for.

    Args:
        models: What is waited for.
        reporter: Shown what each application waits for.
        stall: Seconds without any change after which it is given up.
        clock: Returns seconds.
        sleep: Waits seconds.

    Raises:
        HelioError: nothing changes any more, or a hook keeps failing; names what.
    """
    seen: set[Failure] = set()
    before: set[tuple[int, State]] = set()
    changed = clock()
    ready = quiet = 0
    while ready < READY_IN_A_ROW:
        looks = [_look(model.juju) for model in models]
        found = [status for status in looks if status is not None]
        waits: dict[str, str] = {"juju": "does not answer"}
        if len(found) == len(models):
            now = {(model, state) for model, look in enumerate(found) for state in states(look)}
            if not now <= before:
                before, changed, quiet = before | now, clock(), 0
            waits = {
                name: text
                for model, status in zip(models, found, strict=True)
                for name, text in model.lacks(status).items()
            }
            reporter.progress(waits)
            ready = ready + 1 if set(waits.values()) <= {READY} else 0
            seen = seen.union(*map(failures, found))
            _refuse_repeated(seen)
        if clock() - changed > stall:
            raise HelioError(_stalled(waits, stall))
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


def _lacks(app: AppStatus, machines: Mapping[str, MachineStatus]) -> str | None:
    """Return what an application waits for, in words; None when it is ready."""
    for name, unit in sorted(app.units.items()):
        workload, agent = unit.workload_status, unit.juju_status
        machine = machines.get(unit.machine)
        if machine is not None and machine.juju_status.current != "started":
            state = machine.juju_status
            return _words(f"{name} machine {unit.machine}", state.current, state.message)
        if workload.current != "active":
            return _words(name, workload.current, workload.message)
        if agent.current != "idle":
            return _words(name, agent.current, agent.message)
    # An application on machines has no scale: its units are those that there are.
    if not app.units or (app.scale and len(app.units) != app.scale):
        return f"{len(app.units)} of {app.scale or 'its'} units"
    if app.app_status.current != "active":
        return _words("application", app.app_status.current, app.app_status.message)
    return None


def _words(name: str, current: str, message: str) -> str:
    return f"{name} {current or 'unknown'}" + (f": {message}" if message else "")


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
    rest = "; ".join(f"{name} waits: {text}" for name, text in waiting.items() if text != READY)
    return (
        f"cannot go on: nothing new for {stall:.0f} s ({rest}); look at "
        "`helio juju debug-log`, mend it, and run the same command again"
    )


def last_line(error: jubilant.CLIError) -> str:
    """Return the last line that a failed command said."""
    lines = (error.stderr or error.stdout or "").strip().splitlines()
    return lines[-1] if lines else f"exit status {error.returncode}"
