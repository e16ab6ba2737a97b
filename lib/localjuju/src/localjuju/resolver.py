"""What a unit does next: pure functions, no effects.

`next_operation` is the choice. `settle` is what a unit's agent does between hooks without
running one. The moments of an operation (`started`, `commit`, `failed`, …) are in `operations`
and the rules within one relation in `relating`; what others use of them is named here too.

The choice is made anew after every hook, from what the unit has been told so far compared with
what the model holds now. Nothing is queued but the one operation in `Unit.operation`, so ten
writes while a unit is busy end in one hook, and a restart of the engine loses nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from localjuju import relating, secrets
from localjuju.facts import config_hashes, effective_config, network_keys, settings_hash
from localjuju.model import Hook, HookKind, Life, Model, Operation, Step, Unit
from localjuju.operations import (
    abandoned,
    commit,
    failed,
    hasten_update_status,
    idle,
    recovered,
    requeued,
    started,
)

__all__ = [
    "JUJU_EXEC",
    "abandoned",
    "commit",
    "effective_config",
    "failed",
    "idle",
    "network_keys",
    "new_pod",
    "next_operation",
    "recovered",
    "requeued",
    "settle",
    "started",
    "wake_at",
    "wants_new_pod",
]

JUJU_EXEC = "juju-exec"

Shuffle = random.Random | None


# --- The choice -------------------------------------------------------------------------------


def next_operation(
    unit: Unit, model: Model, now: float, *, shuffle: Shuffle = None
) -> Operation | None:
    """Return what the unit runs now, or None when there is nothing to run.

    Args:
        unit: The unit, settled (see `settle`).
        model: The model it belongs to.
        now: Present time.
        shuffle: Source of the order in which relations are looked at, which Juju leaves open;
            None looks at them by id.
    """
    if unit.removed or not unit.pod_ready or _runs(unit, model):
        return None
    pending = unit.operation
    if pending is not None:
        action = _action(unit, model)
        if action is not None:
            return action
        return pending if pending.step is Step.QUEUED or _retries(pending, model, now) else None
    if wants_new_pod(unit, model):
        return None
    for rule in _RULES:
        found = rule(unit, model, now, shuffle)
        if found is not None:
            return found if isinstance(found, Operation) else Operation(found)
    return None


def wake_at(unit: Unit, model: Model, now: float) -> float:
    """Return when the choice may change although nobody changes the model; infinity for never."""
    if unit.removed or not unit.pod_ready:
        return math.inf
    if unit.operation is not None:
        failed = unit.operation.step is Step.FAILED and _retries_by_itself(model)
        return max(now, unit.operation.retry_at) if failed else math.inf
    times = [unit.update_status_due] if unit.started and unit.life is Life.ALIVE else []
    secret_due = secrets.next_due(model, unit.name)
    if secret_due is not None and unit.life is Life.ALIVE:
        times.append(secret_due)
    return min(times, default=math.inf)


def wants_new_pod(unit: Unit, model: Model) -> bool:
    """Tell whether the unit's pod is to be made, or made anew, before anything else happens.

    A pod that was never decided on is made at once. One whose charm, resources or trust have
    changed is replaced when the unit is stopped for it, or when it never started. On a machine
    the charm's files are replaced between two hooks, and the unit is not stopped.
    """
    if unit.pod_generation == 0:
        return True
    if unit.removed or unit.life is not Life.ALIVE or not _pod_is_outdated(unit, model):
        return False
    if not unit.pod_ready:
        return True  # a pod that is down can run no `stop`; the new one may mend it
    if unit.operation is None:
        return model.has_machines or not unit.started
    forced = model.applications[unit.app].charm_forced
    return unit.operation.step is Step.FAILED and forced > unit.pod_modified


def _runs(unit: Unit, model: Model) -> bool:
    if unit.operation is not None and unit.operation.step is Step.PENDING:
        return True
    return any(a.unit == unit.name and a.status == "running" for a in model.actions.values())


def _retries_by_itself(model: Model) -> bool:
    return model.config.get("automatically-retry-hooks", True) is not False


def _retries(pending: Operation, model: Model, now: float) -> bool:
    return _retries_by_itself(model) and now >= pending.retry_at


def _pod_is_outdated(unit: Unit, model: Model) -> bool:
    app = model.applications[unit.app]
    if model.has_machines:  # where trust is no matter of the unit's surroundings
        return unit.pod_modified != app.charm_modified
    return (unit.pod_modified, unit.pod_trust) != (app.charm_modified, app.trust)


# --- The rules, in the order of their priority -----------------------------------------------


def _restart(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del model, now, shuffle
    if unit.restart_pending and unit.started and unit.life is Life.ALIVE:
        return Hook(HookKind.START)
    return None


def _created(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now
    if not unit.installed or unit.life is not Life.ALIVE:
        return None
    for relation, view in relating.entered(unit, model, shuffle):
        if not view.created and not relating.is_breaking(unit, relation):
            return relating.relation_hook(HookKind.RELATION_CREATED, unit, relation)
    return None


def _leadership(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    if not unit.installed or unit.life is not Life.ALIVE:
        return None
    app = model.applications[unit.app]
    if app.leader == unit.name:
        return None if unit.is_leader else Hook(HookKind.LEADER_ELECTED)
    if unit.started and unit.leader_settings_hash != settings_hash(app):
        return Hook(HookKind.LEADER_SETTINGS_CHANGED)
    return None


def _workload(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    if not unit.installed or unit.life is not Life.ALIVE:
        return None
    for name in model.charm_of(unit.app).containers:
        view = unit.containers.get(name)
        if view is not None and view.seen_boot_id not in {"", view.boot_id}:
            return Hook(
                HookKind.PEBBLE_READY, container=name, boot_id=view.seen_boot_id, prefix=name
            )
    waiting = [view.pending[0] for view in unit.containers.values() if view.pending]
    return min(waiting, key=lambda hook: hook.notice_time, default=None)


def _secrets(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del shuffle
    if not unit.installed or unit.life is not Life.ALIVE:
        return None
    return next(iter(secrets.due(model, unit.name, now)), None)


def _actions(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Operation | None:
    del now, shuffle
    return _action(unit, model)


def _action(unit: Unit, model: Model) -> Operation | None:
    if not unit.installed or unit.stopped:
        return None
    waiting = [a for a in model.actions.values() if a.unit == unit.name and a.status == "pending"]
    if not waiting:
        return None
    # Named actions go before commands; each kind in the order of arrival.
    action = min(waiting, key=lambda a: (a.name == JUJU_EXEC, a.id))
    return Operation(Hook(HookKind.ACTION, action_id=action.id, prefix=action.name))


def _storage(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    # In pods the storage is mounted from the beginning, but told of only after `start`. On
    # machines it comes before `install`, which waits for it.
    if not (unit.started or model.has_machines) or unit.life is not Life.ALIVE:
        return None
    for storage in unit.storage.values():
        if storage.detaching and storage.attached:
            return Hook(HookKind.STORAGE_DETACHING, storage_id=storage.id, prefix=storage.name)
        if not storage.detaching and not storage.attached:
            return Hook(HookKind.STORAGE_ATTACHED, storage_id=storage.id, prefix=storage.name)
    return None


def _dying(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    if unit.life is Life.ALIVE or not unit.installed:
        return None
    hook = _relation_events(unit, model, now, shuffle)
    if hook is not None:
        return hook
    for storage in unit.storage.values():
        if storage.attached:
            return Hook(HookKind.STORAGE_DETACHING, storage_id=storage.id, prefix=storage.name)
    if model.subordinates_of(unit.name):
        return None  # they go first
    return Hook(HookKind.REMOVE if unit.stopped else HookKind.STOP)


def _install(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del model, now, shuffle
    return None if unit.installed else Hook(HookKind.INSTALL)


def _upgrade(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    if _pod_is_outdated(unit, model):
        # The unit is started, or the pod would be replaced by now.
        return Hook(HookKind.STOP)
    return Hook(HookKind.UPGRADE_CHARM) if unit.charm_modified != unit.pod_modified else None


def _config(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    told = (unit.config_hash, unit.trust_hash, unit.address_hash)
    if unit.started and told == config_hashes(unit, model):
        return None
    return Hook(HookKind.CONFIG_CHANGED)


def _relation_events(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now
    relations = relating.entered(unit, model, shuffle)
    # A joined unit is followed at once by its changed, whatever other relations hold ready.
    relations.sort(key=lambda pair: not pair[1].changed_pending)
    for relation, view in relations:
        hook = relating.next_hook(unit, relation, view)
        if hook is not None:
            return hook
    return None


def _update_status(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del model, shuffle
    return Hook(HookKind.UPDATE_STATUS) if now >= unit.update_status_due else None


_RULES: tuple[Callable[[Unit, Model, float, Shuffle], Hook | Operation | None], ...] = (
    _restart,
    _created,
    _leadership,
    _workload,
    _secrets,
    _actions,
    _storage,
    _dying,
    _install,
    _upgrade,
    _config,
    _relation_events,
    _update_status,
)


# --- Between hooks ----------------------------------------------------------------------------


def settle(unit: Unit, model: Model, now: float) -> bool:
    """Do what needs no hook: `resolved --no-retry`, scopes, timers. Return whether it changed.

    Call it before `next_operation`; while a hook runs it does nothing.
    """
    if _runs(unit, model):
        return False
    changed = _resolve(unit, model, now)
    if unit.operation is not None:
        return changed
    changed |= hasten_update_status(unit, model, now)
    leads = model.applications[unit.app].leader == unit.name
    if unit.is_leader and not leads:
        unit.is_leader = False
        changed = True
    bare = not (unit.installed or model.subordinates_of(unit.name))
    if unit.life is not Life.ALIVE and bare and not unit.removed:
        # Nothing was told to the charm, so there is nothing to take back.
        unit.stopped = unit.removed = True
        changed = True
    for relation in model.relations_of(unit.app):
        changed |= relating.settle(unit, model, relation, leads=leads)
    return changed


def _resolve(unit: Unit, model: Model, now: float) -> bool:
    asked = unit.resolved
    changed = bool(asked)
    unit.resolved = ""
    if unit.force and unit.life is not Life.ALIVE:
        asked = "no-retry"  # removed by force: what fails is passed over
    pending = unit.operation
    if asked and pending is not None and pending.step is Step.FAILED:
        if asked == "no-retry":
            commit(unit, pending, model, now)
        else:
            pending.step = Step.QUEUED
        changed = True
    return changed


def new_pod(unit: Unit, model: Model) -> None:
    """Record that the unit's pod is made, or made anew, from the application as it is now."""
    app = model.applications[unit.app]
    unit.pod_generation += 1
    unit.pod_modified = app.charm_modified
    unit.pod_trust = app.trust
    unit.pod_ready = False
    if not model.has_machines:
        unit.agent_boot = ""
        unit.started = False  # config-changed, then start, come again
        unit.restart_pending = False
    for view in unit.containers.values():
        view.seen_boot_id = ""
        view.last_notice = ""
        view.pending.clear()
        view.checks_failed.clear()
    if unit.operation is not None and unit.operation.step is Step.FAILED:
        unit.operation.step = Step.QUEUED  # forced: the new charm gets its chance at once
