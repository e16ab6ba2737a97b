"""Tasks: actions of charms and shell commands; start, wait, show."""

from __future__ import annotations

import asyncio
from typing import Any

from localjuju import changes, views
from localjuju.api._calls import Call, Data, Method
from localjuju.changes import ChangeError
from localjuju.model import Action, Model

_OVER = frozenset(("completed", "failed", "error", "aborted", "cancelled"))


async def run(call: Call) -> Data:
    """Run an action on units, or a shell command on units and machines; wait unless told not to.

    Events: `{"operation", "tasks": {unit: id}, "errors"}` once, then `{"task", "log"}`.
    """
    params = call.params
    name, parameters, now = params.text("action"), params.mapping("parameters"), call.now

    def edit(model: Model) -> tuple[int, list[Action], list[str]]:
        operation = changes.begin_operation(model)
        queued: list[Action] = []
        errors: list[str] = []
        for unit in _targets(
            model, params.texts("units"), params.texts("apps"), params.flag("all")
        ):
            try:
                queued.append(
                    changes.enqueue_action(model, unit, name, parameters, now, operation=operation)
                )
            except ChangeError as error:
                errors.append(str(error))
        for number in params.texts("machines"):
            try:
                queued.append(
                    changes.enqueue_on_machine(model, number, parameters, now, operation=operation)
                )
            except ChangeError as error:
                errors.append(str(error))
        return operation, queued, errors

    operation, queued, errors = await call.change(edit)
    started: Data = {
        "operation": operation,
        "tasks": {action.unit: action.id for action in queued},
        "errors": errors,
    }
    await call.emit(started)
    if params.flag("background"):
        return started | {"results": {}, "timed_out": []}
    timed_out = await _follow(call, queued, params.seconds("wait"))
    return started | {
        "results": {action.unit: views.task(action) for action in queued},
        "timed_out": timed_out,
    }


def _targets(model: Model, units: list[str], apps: list[str], all_: bool) -> list[str]:
    found = list(units)
    for app in apps:
        found += [unit.name for unit in model.units_of(app)] or [f"{app}/leader"]
    if all_:
        found += list(model.units)
    return list(dict.fromkeys(found))


async def _follow(call: Call, actions: list[Action], timeout: float | None) -> list[str]:
    """Report the log of tasks until all have ended; return the units whose time ran out."""
    told = dict.fromkeys((action.id for action in actions), 0)

    def news() -> bool:
        return all(a.status in _OVER for a in actions) or any(
            len(a.log) != told[a.id] for a in actions
        )

    try:
        async with asyncio.timeout(timeout):
            while True:
                await call.engine.wait_until(news)
                for action in actions:
                    for moment, text in action.log[told[action.id] :]:
                        line = f"{views.clock_time(moment)} {text}"
                        await call.emit({"task": action.id, "log": line})
                    told[action.id] = len(action.log)
                if all(action.status in _OVER for action in actions):
                    return []
    except TimeoutError:
        return [action.unit for action in actions if action.status not in _OVER]


async def show_task(call: Call) -> Data:
    """Return a task; wait for its end when asked to."""
    number = call.params.number("id")
    if number not in call.model.actions:
        raise ChangeError(f'task "{number}" not found')
    wait = call.params.seconds("wait")
    if wait:
        try:
            await call.engine.wait_action(call.model.name, number, wait if wait > 0 else None)
        except TimeoutError as error:
            raise ChangeError(f"timed out waiting for task {number}") from error
    return views.task(call.model.actions[number])


async def operations(call: Call) -> list[Data]:
    """Return all operations, oldest first."""
    return [views.operation(n, tasks) for n, tasks in views.operations(call.model).items()]


async def show_operation(call: Call) -> Data:
    """Return one operation with its tasks."""
    number = call.params.number("id")
    tasks = views.operations(call.model).get(number)
    if tasks is None:
        raise ChangeError(f'operation "{number}" not found')
    return views.operation(number, tasks)


async def cancel_task(call: Call) -> Any:
    """Cancel a task that has not begun."""
    number, now = call.params.number("id"), call.now
    return views.task(await call.change(lambda m: changes.cancel_task(m, number, now)))


METHODS: dict[str, Method] = {
    "run": run,
    "show_task": show_task,
    "operations": operations,
    "show_operation": show_operation,
    "cancel_task": cancel_task,
}
