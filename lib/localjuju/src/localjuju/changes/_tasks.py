"""Tasks: actions of charms, and shell commands (`juju exec`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localjuju import schema
from localjuju.changes._errors import ChangeError, application
from localjuju.changes._errors import unit as find_unit
from localjuju.changes._machines import machine
from localjuju.model import Action, Model

EXEC = "juju-exec"
KEPT = 500
"""How many tasks that have ended are kept: each is looked at with every change of a model."""


def resolve_unit(model: Model, name: str) -> str:
    """Return the unit that `app/0` or `app/leader` means.

    Raises:
        ChangeError: No such unit, or the application has no leader now.
    """
    app, _, number = name.partition("/")
    if number == "leader":
        leader = application(model, app).leader
        if not leader:
            raise ChangeError(f'could not determine leader for "{app}"')
        return leader
    return find_unit(model, name).name


def begin_operation(model: Model) -> int:
    """Return a fresh number for tasks that an operator starts together."""
    number = model.next_action_id
    model.next_action_id += 1
    return number


def enqueue_action(
    model: Model,
    unit: str,
    name: str,
    parameters: Mapping[str, Any],
    now: float,
    *,
    operation: int = 0,
) -> Action:
    """Queue a task for a unit, with the defaults of the action's schema filled in.

    Args:
        model: The model.
        unit: Name of the unit; `app/leader` works.
        name: The action, or `EXEC` with the parameter `command`.
        parameters: Parameters as the operator gave them.
        now: Present time.
        operation: Number from `begin_operation`.

    Raises:
        ChangeError: No such unit or action, or the parameters break the action's schema.
    """
    found = find_unit(model, resolve_unit(model, unit))
    if name == EXEC:
        filled = dict(parameters)
    else:
        actions = model.charm_of(found.app).actions
        if name not in actions:
            raise ChangeError(f'action "{name}" not defined on unit "{found.name}" (not found)')
        try:
            filled = schema.check(actions[name], parameters)
        except schema.SchemaError as error:
            raise ChangeError(f"validation failed: {error}") from error
    action = Action(
        model.next_action_id, found.name, name, filled, operation=operation, enqueued=now
    )
    model.next_action_id += 1
    model.actions[action.id] = action
    _forget_oldest(model)
    return action


def enqueue_on_machine(
    model: Model, number: str, parameters: Mapping[str, Any], now: float, *, operation: int = 0
) -> Action:
    """Queue a shell command for a machine; the task bears the machine's number as its unit.

    Raises:
        ChangeError: There is no such machine.
    """
    found = machine(model, number)
    action = Action(
        model.next_action_id, found.id, EXEC, dict(parameters), operation=operation, enqueued=now
    )
    model.next_action_id += 1
    model.actions[action.id] = action
    _forget_oldest(model)
    return action


def _forget_oldest(model: Model) -> None:
    ended = [a.id for a in model.actions.values() if a.status not in {"pending", "running"}]
    for number in sorted(ended)[: max(0, len(ended) - KEPT)]:
        del model.actions[number]


def cancel_task(model: Model, number: int, now: float) -> Action:
    """Cancel a task that has not begun.

    Raises:
        ChangeError: There is no such task, or it has begun.
    """
    action = model.actions.get(number)
    if action is None:
        raise ChangeError(f'task "{number}" not found')
    if action.status == "pending":
        action.status, action.completed = "cancelled", now
        return action
    if action.status == "running":
        raise ChangeError(f'task "{number}" runs already and cannot be cancelled')
    raise ChangeError(f'task "{number}" is already {action.status}')
