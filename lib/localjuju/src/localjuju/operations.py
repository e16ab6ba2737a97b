"""The moments of one operation of a unit, and what each does to the model: pure mutations.

What was *read* by a hook counts from the moment it is started (versions of bags, hash of the
config): the hook cannot have seen less than that. What a hook *means* (created, elected, ready)
counts from its commit.
"""

from __future__ import annotations

import dataclasses
import random

from localjuju import relating, secrets
from localjuju.facts import config_hashes, duration, settings_hash
from localjuju.model import (
    Action,
    ContainerView,
    Hook,
    HookKind,
    Life,
    Model,
    Operation,
    Status,
    Step,
    Unit,
)

RETRY_FIRST = 5.0
RETRY_LIMIT = 300.0
UPDATE_STATUS_INTERVAL = "5m"
_SHORTEST, _LONGEST = 0.8, 1.2  # times the interval: units shall not all wake at once

_LOST_ACTION = "action terminated"
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
    hook = _refreshed(unit.name, hook, model)
    if hook.kind in relating.RELATION_KINDS:
        relating.begin(unit, hook)
    elif hook.kind is HookKind.CONFIG_CHANGED:
        unit.config_hash, unit.trust_hash, unit.address_hash = config_hashes(unit, model)
    elif hook.kind is HookKind.LEADER_SETTINGS_CHANGED:
        unit.leader_settings_hash = settings_hash(model.applications[unit.app])
    _status_started(unit, hook, now)
    unit.operation = dataclasses.replace(operation, hook=hook, step=Step.PENDING)
    return unit.operation


def _refreshed(unit: str, hook: Hook, model: Model) -> Hook:
    """Return the hook with what it is about to read: a retry sees fresh data."""
    if hook.kind in {HookKind.SECRET_CHANGED, HookKind.SECRET_ROTATE}:
        newest = secrets.newest(model, unit, hook.secret_id)
        return dataclasses.replace(hook, secret_revision=newest) if newest else hook
    relation = model.relations.get(-1 if hook.relation_id is None else hook.relation_id)
    if relation is None:
        return hook
    version = relating.version_of(relation, hook.remote_unit or hook.remote_app)
    return dataclasses.replace(hook, change_version=version)


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
    if hook.kind in relating.RELATION_KINDS:
        relating.end(unit, hook, model)
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
            unit.leader_settings_hash = settings_hash(app)
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


def recovered(unit: Unit, model: Model, now: float) -> None:
    """Take up a unit that an engine left behind: what ran then is pending or lost now."""
    unit.pod_ready = False
    if unit.operation is not None and unit.operation.step is Step.PENDING:
        requeued(unit, unit.operation, model, now)
    for action in model.actions.values():
        if action.unit == unit.name and action.status == "running":
            _end_action(action, "failed", _LOST_ACTION, now)


def tasks_lost(machine: str, model: Model, now: float) -> None:
    """Record that commands which an engine has begun on a machine are lost."""
    for action in model.actions.values():
        if action.unit == machine and action.status == "running":
            _end_action(action, "failed", _LOST_ACTION, now)


def abandoned(unit: Unit, now: float) -> None:
    """Record that a unit which is removed by force goes without its last hooks: it has no pod."""
    unit.operation = None
    unit.stopped = unit.removed = True
    unit.workload_status = Status("terminated", since=now)


def _end_action(action: Action, status: str, message: str, now: float) -> None:
    """End a task; a verdict that the charm gave (`action-fail`) stays."""
    if action.status in {"running", "pending"}:
        action.status = status
    action.message = action.message or message
    action.completed = now


def idle(unit: Unit, now: float) -> bool:
    """Show the agent as idle when it shows work that is over. Return whether it changed."""
    if unit.operation is not None or not unit.installed or unit.agent_status.current == "idle":
        return False
    unit.agent_status = Status("idle", since=now)
    return True


def hasten_update_status(unit: Unit, model: Model, now: float) -> bool:
    """Bring the next `update-status` forward when the model's interval has become shorter."""
    is_late = unit.update_status_due > now + _LONGEST * _interval(model)
    if not (unit.started and is_late):
        return False
    unit.update_status_due = _next_update_status(unit, model, now)
    return True


def _next_update_status(unit: Unit, model: Model, now: float) -> float:
    return now + _interval(model) * _random(unit, now).uniform(_SHORTEST, _LONGEST)


def _interval(model: Model) -> float:
    return duration(str(model.config.get("update-status-hook-interval", UPDATE_STATUS_INTERVAL)))


def _random(unit: Unit, now: float) -> random.Random:
    # Jitter needs no secrecy; a seed from the moment keeps this module a pure function.
    return random.Random(f"{unit.name} {now}")  # noqa: S311 - jitter
