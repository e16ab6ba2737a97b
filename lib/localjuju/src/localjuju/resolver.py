"""What a unit does next, and what that does to the model: pure functions, no effects.

`next_operation` is the choice; `started`, `commit`, `failed` and `requeued` are the moments of
one operation; `settle` is what a unit's agent does between hooks without running one.

The choice is made anew after every hook, from what the unit has been told so far compared with
what the model holds now. Nothing is queued but the one operation in `Unit.operation`, so ten
writes while a unit is busy end in one hook, and a restart of the engine loses nothing.

What was *read* by a hook counts from the moment it is started (versions of bags, hash of the
config): the hook cannot have seen less than that. What a hook *means* (created, elected, ready)
counts from its commit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Iterable

from localjuju import secrets
from localjuju.model import (
    Action,
    Application,
    Bag,
    ContainerView,
    Hook,
    HookKind,
    Life,
    Model,
    Operation,
    Relation,
    RelationEnd,
    RelationView,
    Status,
    Step,
    Unit,
    Value,
)

RETRY_FIRST = 5.0
RETRY_LIMIT = 300.0
UPDATE_STATUS_INTERVAL = "5m"
JUJU_EXEC = "juju-exec"

_LOST_ACTION = "action terminated"

_RELATION_KINDS = frozenset(
    {
        HookKind.RELATION_CREATED,
        HookKind.RELATION_JOINED,
        HookKind.RELATION_CHANGED,
        HookKind.RELATION_DEPARTED,
        HookKind.RELATION_BROKEN,
    }
)
_WORKLOAD_KINDS = frozenset(
    {
        HookKind.PEBBLE_CUSTOM_NOTICE,
        HookKind.PEBBLE_CHECK_FAILED,
        HookKind.PEBBLE_CHECK_RECOVERED,
    }
)
_SECRET_KINDS = frozenset(
    {
        HookKind.SECRET_CHANGED,
        HookKind.SECRET_EXPIRED,
        HookKind.SECRET_ROTATE,
        HookKind.SECRET_REMOVE,
    }
)

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
    changed is replaced when the unit is stopped for it, or when it never started.
    """
    if unit.pod_generation == 0:
        return True
    if unit.removed or unit.life is not Life.ALIVE or not _pod_is_outdated(unit, model):
        return False
    if unit.operation is None:
        return not unit.started
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
    for relation, view in _relations(unit, model, shuffle):
        if not view.created and not _is_breaking(unit, relation):
            return _relation_hook(HookKind.RELATION_CREATED, unit, relation)
    return None


def _leadership(unit: Unit, model: Model, now: float, shuffle: Shuffle) -> Hook | None:
    del now, shuffle
    if not unit.installed or unit.life is not Life.ALIVE:
        return None
    app = model.applications[unit.app]
    if app.leader == unit.name:
        return None if unit.is_leader else Hook(HookKind.LEADER_ELECTED)
    if unit.started and unit.leader_settings_hash != _settings_hash(app):
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
    del model, now, shuffle
    # In pods the storage is mounted from the beginning, but told of only after `start`.
    if not unit.started or unit.life is not Life.ALIVE:
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
    relations = _relations(unit, model, shuffle)
    # A joined unit is followed at once by its changed, whatever other relations hold ready.
    relations.sort(key=lambda pair: not pair[1].changed_pending)
    for relation, view in relations:
        hook = _within_relation(unit, relation, view)
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


# --- Rules within one relation ---------------------------------------------------------------


def _within_relation(unit: Unit, relation: Relation, view: RelationView) -> Hook | None:
    """Return the next hook of one relation that the unit is in the scope of."""
    if view.changed_pending:
        return _relation_hook(HookKind.RELATION_CHANGED, unit, relation, view.changed_pending)
    breaking = _is_breaking(unit, relation)
    present = remote_units(relation, unit)
    for name in sorted(view.members, key=_by_number):
        if breaking or name not in present:
            return _relation_hook(HookKind.RELATION_DEPARTED, unit, relation, name)
    if breaking:
        told = view.created and not is_peer(relation)
        return _relation_hook(HookKind.RELATION_BROKEN, unit, relation) if told else None
    remote_app = remote_end(relation, unit.app).app
    bag = relation.app_bags.get(remote_app)
    if bag is not None and bag.version and bag.version != view.app_versions.get(remote_app, 0):
        return _relation_hook(HookKind.RELATION_CHANGED, unit, relation)
    for name in present:
        if name not in view.members:
            return _relation_hook(HookKind.RELATION_JOINED, unit, relation, name)
    for name in present:
        if view.members[name] != _version(relation, name):
            return _relation_hook(HookKind.RELATION_CHANGED, unit, relation, name)
    return None


def own_end(relation: Relation, app: str) -> RelationEnd:
    """Return the end of a relation that belongs to an application."""
    return next(end for end in relation.ends if end.app == app)


def remote_end(relation: Relation, app: str) -> RelationEnd:
    """Return the other end of a relation; a peer relation's only one."""
    return next((end for end in relation.ends if end.app != app), relation.ends[0])


def is_peer(relation: Relation) -> bool:
    """Tell whether a relation is one of an application with itself."""
    return len(relation.ends) == 1


def remote_units(relation: Relation, unit: Unit) -> list[str]:
    """Return the units that are in the scope of a relation as `unit` sees it, by name."""
    app = remote_end(relation, unit.app).app
    names = (n for n in relation.in_scope if n.partition("/")[0] == app and n != unit.name)
    return sorted(names, key=_by_number)


def _is_breaking(unit: Unit, relation: Relation) -> bool:
    return unit.life is not Life.ALIVE or relation.life is not Life.ALIVE or relation.suspended


def _relations(unit: Unit, model: Model, shuffle: Shuffle) -> list[tuple[Relation, RelationView]]:
    """Return the relations whose scope the unit has entered, by id or shuffled."""
    pairs = [
        (relation, view)
        for number, view in sorted(unit.relations.items())
        if view.entered and (relation := model.relations.get(number)) is not None
    ]
    if shuffle is not None:
        shuffle.shuffle(pairs)
    return pairs


def _relation_hook(kind: HookKind, unit: Unit, relation: Relation, remote: str = "") -> Hook:
    departing = ""
    if kind is HookKind.RELATION_DEPARTED:
        departing = remote if unit.life is Life.ALIVE else unit.name
    other = remote_end(relation, unit.app)
    return Hook(
        kind,
        relation_id=relation.id,
        remote_app=other.app,
        remote_unit=remote,
        departing_unit=departing,
        change_version=_version(relation, remote or other.app),
        prefix=own_end(relation, unit.app).endpoint,
    )


def _version(relation: Relation, name: str) -> int:
    bag = (relation.unit_bags if "/" in name else relation.app_bags).get(name)
    return bag.version if bag is not None else 0


def _by_number(name: str) -> tuple[str, int]:
    app, _, number = name.rpartition("/")
    return app, int(number)


# --- Between hooks ----------------------------------------------------------------------------


def settle(unit: Unit, model: Model, now: float) -> bool:
    """Do what needs no hook: `resolved --no-retry`, scopes, lost leadership. Return if changed.

    Call it before `next_operation`; while a hook runs it does nothing.
    """
    if _runs(unit, model):
        return False
    changed = _resolve(unit, model, now)
    if unit.operation is not None:
        return changed
    leads = model.applications[unit.app].leader == unit.name
    if unit.is_leader and not leads:
        unit.is_leader = False
        changed = True
    if unit.life is not Life.ALIVE and not unit.installed and not unit.removed:
        # Nothing was told to the charm, so there is nothing to take back.
        unit.stopped = unit.removed = True
        changed = True
    for relation in model.relations_of(unit.app):
        changed |= _settle_relation(unit, model, relation, leads=leads)
    return changed


def _resolve(unit: Unit, model: Model, now: float) -> bool:
    asked = unit.resolved
    unit.resolved = ""
    if unit.force and unit.life is not Life.ALIVE:
        asked = "no-retry"  # removed by force: what fails is passed over
    pending = unit.operation
    if asked and pending is not None and pending.step is Step.FAILED:
        if asked == "no-retry":
            commit(unit, pending, model, now)
        else:
            pending.step = Step.QUEUED
        return True
    return False


def _settle_relation(unit: Unit, model: Model, relation: Relation, *, leads: bool) -> bool:
    view = unit.relations.get(relation.id)
    if _is_breaking(unit, relation):
        changed = unit.name in relation.in_scope
        if changed:  # the others see it go now; its own hooks of this relation follow
            relation.in_scope.remove(unit.name)
        if view is not None and view.entered and not view.created and not view.members:
            view.entered = False
            changed = True
        return changed
    if not unit.installed:
        return False
    changed = False
    if view is None or not view.entered:
        unit.relations[relation.id] = view = RelationView(entered=True)
        relation.in_scope.append(unit.name)
        bag = relation.unit_bags.setdefault(unit.name, Bag())
        bag.data.update(network_keys(unit, model))
        bag.version += 1
        changed = True
    own = relation.app_bags.get(unit.app)
    if leads and is_peer(relation) and own is not None:
        # A leader gets no event for what it wrote, nor when it stops leading later.
        changed |= view.app_versions.get(unit.app, 0) != own.version
        view.app_versions[unit.app] = own.version
    return changed


def network_keys(unit: Unit, model: Model) -> dict[str, str]:
    """Return what Juju itself writes into a unit's relation bags."""
    address = model.applications[unit.app].service_address or unit.address
    return {
        "egress-subnets": f"{address}/32",
        "ingress-address": address,
        "private-address": address,
    }


def idle(unit: Unit, now: float) -> bool:
    """Show the agent as idle when it shows work that is over. Return whether it changed."""
    if unit.operation is not None or not unit.installed or unit.agent_status.current == "idle":
        return False
    unit.agent_status = Status("idle", since=now)
    return True


def new_pod(unit: Unit, model: Model) -> None:
    """Record that the unit's pod is made, or made anew, from the application as it is now."""
    app = model.applications[unit.app]
    unit.pod_generation += 1
    unit.pod_modified = app.charm_modified
    unit.pod_trust = app.trust
    unit.pod_ready = False
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


# --- The moments of an operation -------------------------------------------------------------


def started(unit: Unit, operation: Operation, model: Model, now: float) -> Operation:
    """Record that an operation begins, and return it as it runs (with the present versions)."""
    hook = operation.hook
    if hook.kind is HookKind.ACTION:
        action = model.actions[hook.action_id]
        action.status = "running"
        action.started = now
        if unit.operation is None:  # an error stays visible while an action runs
            unit.agent_status = Status("executing", f"running action {action.name}", now)
        return operation
    hook = _refreshed(hook, model)
    if hook.kind in _RELATION_KINDS:
        _relation_started(unit, hook)
    elif hook.kind is HookKind.CONFIG_CHANGED:
        unit.config_hash, unit.trust_hash, unit.address_hash = config_hashes(unit, model)
    elif hook.kind is HookKind.LEADER_SETTINGS_CHANGED:
        unit.leader_settings_hash = _settings_hash(model.applications[unit.app])
    _status_started(unit, hook, now)
    unit.operation = dataclasses.replace(operation, hook=hook, step=Step.PENDING)
    return unit.operation


def _refreshed(hook: Hook, model: Model) -> Hook:
    """Return the hook with what it is about to read: a retry sees fresh data."""
    if hook.kind in {HookKind.SECRET_CHANGED, HookKind.SECRET_ROTATE}:
        secret = model.secrets.get(hook.secret_id)
        return dataclasses.replace(hook, secret_revision=secret.latest) if secret else hook
    relation = model.relations.get(-1 if hook.relation_id is None else hook.relation_id)
    if relation is None:
        return hook
    version = _version(relation, hook.remote_unit or hook.remote_app)
    return dataclasses.replace(hook, change_version=version)


def _relation_started(unit: Unit, hook: Hook) -> None:
    view = unit.relations.get(-1 if hook.relation_id is None else hook.relation_id)
    if view is None:
        return
    if hook.kind is HookKind.RELATION_JOINED:
        view.members[hook.remote_unit] = -1
        view.cached.pop(hook.remote_unit, None)
    elif hook.kind is HookKind.RELATION_CHANGED and hook.remote_unit:
        view.members[hook.remote_unit] = hook.change_version
        view.cached.pop(hook.remote_unit, None)
    elif hook.kind is HookKind.RELATION_CHANGED:
        view.app_versions[hook.remote_app] = hook.change_version
    elif hook.kind is HookKind.RELATION_DEPARTED:
        view.members.pop(hook.remote_unit, None)


def _status_started(unit: Unit, hook: Hook, now: float) -> None:
    messages = {
        HookKind.STOP: "stopping charm software",
        HookKind.REMOVE: "cleaning up prior to charm deletion",
    }
    if hook.kind is HookKind.INSTALL and not unit.status_set:
        unit.workload_status = Status("maintenance", "installing charm software", now)
    elif hook.kind in messages:
        unit.workload_status = Status("maintenance", messages[hook.kind], now)
    if hook.kind is not HookKind.UPDATE_STATUS:
        partner = f" for {hook.remote_unit}" if hook.remote_unit else ""
        unit.agent_status = Status("executing", f"running {hook.name} hook{partner}", now)


def commit(unit: Unit, operation: Operation, model: Model, now: float) -> None:
    """Record that an operation is done: its hook ended well, or an operator skipped it."""
    hook = operation.hook
    if hook.kind is HookKind.ACTION:
        _end_action(model.actions[hook.action_id], "completed", "", now)
        return
    unit.operation = None
    if hook.kind in _RELATION_KINDS:
        _relation_committed(unit, hook, model)
    elif hook.kind in _SECRET_KINDS:
        secrets.delivered(model, unit.name, hook, now)
    elif hook.kind in _WORKLOAD_KINDS or hook.kind is HookKind.PEBBLE_READY:
        _workload_committed(unit.containers.setdefault(hook.container, ContainerView()), hook)
    elif hook.kind in {HookKind.STORAGE_ATTACHED, HookKind.STORAGE_DETACHING}:
        _storage_committed(unit, hook)
    else:
        _life_committed(unit, hook, model, now)


def _life_committed(unit: Unit, hook: Hook, model: Model, now: float) -> None:
    app = model.applications[unit.app]
    match hook.kind:
        case HookKind.INSTALL:
            unit.installed = True
            unit.charm_url, unit.charm_modified = app.charm_url, unit.pod_modified
            unit.leader_settings_hash = _settings_hash(app)
        case HookKind.UPGRADE_CHARM:
            unit.charm_url, unit.charm_modified = app.charm_url, unit.pod_modified
            unit.operation = Operation(Hook(HookKind.CONFIG_CHANGED))
        case HookKind.CONFIG_CHANGED if not unit.started:
            unit.start_queued = True
            unit.operation = Operation(Hook(HookKind.START))
        case HookKind.START:
            if not unit.status_set:
                unit.workload_status = Status("unknown", since=now)
            if not unit.started:
                unit.update_status_due = _next_update_status(unit, model, now)
            unit.started = True
            unit.start_queued = unit.restart_pending = False
        case HookKind.STOP if unit.life is Life.ALIVE:
            unit.started = False  # stopped for a new pod
        case HookKind.STOP:
            unit.stopped = True
        case HookKind.REMOVE:
            unit.removed = True
            unit.workload_status = Status("terminated", since=now)
        case HookKind.LEADER_ELECTED:
            unit.is_leader = app.leader == unit.name
        case HookKind.UPDATE_STATUS:
            unit.update_status_due = _next_update_status(unit, model, now)
        case _:
            pass


def _relation_committed(unit: Unit, hook: Hook, model: Model) -> None:
    number = -1 if hook.relation_id is None else hook.relation_id
    view = unit.relations.get(number)
    if view is None:
        return
    match hook.kind:
        case HookKind.RELATION_CREATED:
            view.created = True
        case HookKind.RELATION_JOINED:
            view.changed_pending = hook.remote_unit
        case HookKind.RELATION_CHANGED if hook.remote_unit == view.changed_pending:
            view.changed_pending = ""
        case HookKind.RELATION_BROKEN:
            unit.relations[number] = RelationView(broken=True)
            relation = model.relations.get(number)
            if relation is not None and unit.name in relation.in_scope:
                relation.in_scope.remove(unit.name)
        case _:
            pass


def _workload_committed(view: ContainerView, hook: Hook) -> None:
    if hook.kind is HookKind.PEBBLE_READY:
        view.boot_id = hook.boot_id
        return
    view.last_notice = hook.notice_time
    if hook in view.pending:
        view.pending.remove(hook)


def _storage_committed(unit: Unit, hook: Hook) -> None:
    if hook.kind is HookKind.STORAGE_DETACHING:
        unit.storage.pop(hook.storage_id, None)
    elif hook.storage_id in unit.storage:
        unit.storage[hook.storage_id].attached = True


def failed(
    unit: Unit, operation: Operation, model: Model, now: float, *, reason: str = ""
) -> None:
    """Record that an operation's process ended badly, or that its flush was refused.

    Args:
        unit: The unit.
        operation: The operation as `started` returned it.
        model: The model.
        now: Present time.
        reason: For an action: why it failed, shown as its message.
    """
    hook = operation.hook
    if hook.kind is HookKind.ACTION:
        _end_action(model.actions[hook.action_id], "failed", reason, now)
        return
    failures = operation.failures + 1
    delay = RETRY_FIRST * 2 ** min(failures - 1, 16)
    jitter = _random(unit, now).uniform(1.0, 1.1)
    unit.operation = dataclasses.replace(
        operation,
        step=Step.FAILED,
        failures=failures,
        retry_at=now + min(RETRY_LIMIT, delay * jitter),
    )
    data = {"hook": hook.name}
    if hook.relation_id is not None:
        data["relation-id"] = str(hook.relation_id)
    if hook.remote_unit:
        data["remote-unit"] = hook.remote_unit
    unit.agent_status = Status("error", f'hook failed: "{hook.name}"', now, data)


def requeued(unit: Unit, operation: Operation, model: Model, now: float) -> None:
    """Record that an operation was cut off: a hook runs again, an action is lost.

    An action may have acted on the world already, so it is not run twice.
    """
    if operation.hook.kind is HookKind.ACTION:
        _end_action(model.actions[operation.hook.action_id], "failed", _LOST_ACTION, now)
        return
    unit.operation = dataclasses.replace(operation, step=Step.QUEUED)


def abandoned(unit: Unit, now: float) -> None:
    """Record that a unit which is removed by force goes without its last hooks: it has no pod."""
    unit.operation = None
    unit.stopped = unit.removed = True
    unit.workload_status = Status("terminated", since=now)


def recovered(unit: Unit, model: Model, now: float) -> None:
    """Take up a unit that an engine left behind: what ran then is pending or lost now."""
    unit.pod_ready = False
    if unit.operation is not None and unit.operation.step is Step.PENDING:
        requeued(unit, unit.operation, model, now)
    for action in model.actions.values():
        if action.unit == unit.name and action.status == "running":
            _end_action(action, "failed", _LOST_ACTION, now)


def _end_action(action: Action, status: str, message: str, now: float) -> None:
    """End a task; a verdict that the charm gave (`action-fail`) stays."""
    if action.status in {"running", "pending"}:
        action.status = status
    action.message = action.message or message
    action.completed = now


# --- Hashes and times --------------------------------------------------------------------------


def config_hashes(unit: Unit, model: Model) -> tuple[str, str, str]:
    """Return the hashes of the unit's config, trust and addresses as they are now."""
    app = model.applications[unit.app]
    return (
        _hash(effective_config(model, app)),
        _hash(app.trust),
        _hash([unit.address, app.service_address]),
    )


def effective_config(model: Model, app: Application) -> dict[str, Value]:
    """Return an application's options with the charm's defaults; those without value left out."""
    options = model.charms[app.charm_url].config
    defaults: Iterable[tuple[str, Value | None]] = (
        (name, option.get("default")) for name, option in options.items()
    )
    values = {name: value for name, value in defaults if value is not None}
    return values | {name: value for name, value in app.config.items() if name in options}


def _settings_hash(app: Application) -> str:
    return _hash(app.leader_settings) if app.leader_settings else ""


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _next_update_status(unit: Unit, model: Model, now: float) -> float:
    text = str(model.config.get("update-status-hook-interval", UPDATE_STATUS_INTERVAL))
    return now + duration(text) * _random(unit, now).uniform(0.8, 1.2)


def duration(text: str) -> float:
    """Return the seconds that a text like `5m`, `1h30m` or `90s` means.

    Raises:
        ValueError: The text is not a duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 5m")
    seconds = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * seconds[unit] for number, unit in parts)


def _random(unit: Unit, now: float) -> random.Random:
    # Jitter needs no secrecy; a seed from the moment keeps this module a pure function.
    return random.Random(f"{unit.name} {now}")  # noqa: S311
