"""What pods and machines tell by themselves, taken up: pure functions over the model."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from localjuju.model import ContainerView, Hook, HookKind, Model, Unit
from localjuju.substrate.protocol import Notice, PodEvent

_FRACTION = re.compile(r"\.(\d+)")


def observe(unit: Unit, event: PodEvent) -> bool:
    """Take up an event of the unit's pod. Return whether the unit changed."""
    reader = _READERS.get(event.kind)
    return reader is not None and reader(unit, event)


def observe_machine(model: Model, event: PodEvent) -> bool:
    """Take up that a machine went down, with all units on it. Return whether it is such an event.

    Its worker brings it up again.
    """
    machine = model.machines.get(event.machine)
    if event.kind != "machine" or machine is None:
        return False
    machine.ready = event.healthy
    for unit in model.units_on(machine.id):
        unit.pod_ready = unit.pod_ready and event.healthy
    return True


def newest(view: ContainerView) -> str:
    """Return the time of the newest notice that was taken up, delivered or not."""
    return view.pending[-1].notice_time if view.pending else view.last_notice


def moment(text: str) -> tuple[float, int]:
    """Return a value by which RFC 3339 times sort, to the nanosecond.

    Pebble drops zeros at the end of the fraction, so the texts themselves do not sort.

    Raises:
        ValueError: The text is no such time.
    """
    if not text:
        return (0.0, 0)
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text)
    seconds = datetime.datetime.fromisoformat(whole).timestamp()
    return (seconds, int(fraction[1][:9].ljust(9, "0")) if fraction else 0)


def _charm_started(unit: Unit, event: PodEvent) -> bool:
    if unit.agent_boot == event.boot_id:
        return False
    # The first process of a pod is no restart: `start` comes by itself then.
    unit.restart_pending = bool(unit.agent_boot) and unit.started
    unit.agent_boot = event.boot_id
    return True


def _pebble(unit: Unit, event: PodEvent) -> bool:
    view = unit.containers.setdefault(event.container, ContainerView())
    if view.seen_boot_id == event.boot_id:
        return False
    view.seen_boot_id = event.boot_id
    # A new process runs its checks anew; notices it remembers, so theirs stay counted.
    view.checks_failed.clear()
    return True


def _notices(unit: Unit, event: PodEvent) -> bool:
    view = unit.containers.setdefault(event.container, ContainerView())
    changed = False
    for notice in event.notices:
        if moment(notice.last_repeated) <= moment(newest(view)):
            continue
        hook = _hook(view, event.container, notice)
        if hook is not None:
            view.pending.append(hook)
            changed = True
    return changed


def _hook(view: ContainerView, container: str, notice: Notice) -> Hook | None:
    if notice.type == "custom":
        return Hook(
            HookKind.PEBBLE_CUSTOM_NOTICE,
            container=container,
            notice_id=notice.id,
            notice_type=notice.type,
            notice_key=notice.key,
            notice_time=notice.last_repeated,
            prefix=container,
        )
    check = notice.data.get("check-name", "")
    what = (notice.data.get("kind"), notice.data.get("status"))
    if notice.type != "change-update" or not check:
        return None
    if what == ("perform-check", "Error") and check not in view.checks_failed:
        view.checks_failed.append(check)
        kind = HookKind.PEBBLE_CHECK_FAILED
    elif what == ("recover-check", "Done") and check in view.checks_failed:
        view.checks_failed.remove(check)
        kind = HookKind.PEBBLE_CHECK_RECOVERED
    else:
        return None
    return Hook(
        kind,
        container=container,
        check_name=check,
        notice_time=notice.last_repeated,
        prefix=container,
    )


_READERS: dict[str, Callable[[Unit, PodEvent], bool]] = {
    "charm-started": _charm_started,
    "pebble": _pebble,
    "notices": _notices,
}
