"""Units: show, resolve, and how to run a command in one of their containers."""

from __future__ import annotations

from localjuju import changes, views
from localjuju.api._calls import Call, Data, Method
from localjuju.changes import ChangeError
from localjuju.model import Life, Machine

CHARM = "charm"
_LOOKED_AT_WITHIN = 10.0


async def show_unit(call: Call) -> Data:
    """Return units, as `juju show-unit` prints them."""
    model, params = call.model, call.params
    found: Data = {}
    for name in params.texts("units"):
        unit = model.units[changes.resolve_unit(model, name)]
        found |= views.show_unit(
            model,
            unit,
            endpoint=params.optional("endpoint") or "",
            related=params.optional("related_unit") or "",
            app_only=params.flag("app_only"),
        )
    return found


async def resolved(call: Call) -> list[str]:
    """Let failed hooks run again, or count as done; return the units concerned."""
    retry = call.params.flag("retry")
    names = call.params.texts("units")
    if call.params.flag("all"):
        names = [
            unit.name for unit in call.model.units.values() if unit.agent_status.current == "error"
        ]
    for name in names:
        await call.change(lambda model, name=name: changes.resolved(model, name, retry=retry))
    return names


async def exec_argv(call: Call) -> Data:
    """Return the command line that runs a command in a unit's container, or on a machine."""
    model, params = call.model, call.params
    argv, tty = params.texts("argv"), params.flag("tty")
    target = params.text("unit")
    if target.isdigit():
        return await _machine_argv(call, changes.machine(model, target), argv, tty=tty)
    unit = model.units[changes.resolve_unit(model, target)]
    if unit.machine:
        if params.optional("container"):
            raise ChangeError(f'unit "{unit.name}" is on a machine: it has no containers')
        return await _machine_argv(call, changes.machine(model, unit.machine), argv, tty=tty)
    container = params.optional("container") or CHARM
    known = {CHARM, *model.charm_of(unit.app).containers}
    if container not in known:
        raise ChangeError(
            f'container "{container}" not found in unit "{unit.name}"; '
            f"there are: {', '.join(sorted(known))}"
        )
    if not unit.pod_ready and unit.life is Life.ALIVE:
        raise ChangeError(f'unit "{unit.name}" does not run yet')
    command = call.engine.substrate.exec_argv(model.name, unit.name, container, argv, tty=tty)
    return {"argv": command, "unit": unit.name, "container": container}


async def _machine_argv(call: Call, machine: Machine, argv: list[str], *, tty: bool) -> Data:
    try:
        # An engine that has just started has not looked at it yet.
        wait = _LOOKED_AT_WITHIN if machine.image else 0.0
        await call.engine.wait_until(lambda: machine.ready, wait)
    except TimeoutError as error:
        raise ChangeError(f"machine {machine.id} does not run yet") from error
    command = call.engine.substrate.machine_argv(call.model.name, machine.id, argv, tty=tty)
    return {"argv": command, "machine": machine.id}


METHODS: dict[str, Method] = {
    "show_unit": show_unit,
    "resolved": resolved,
    "exec_argv": exec_argv,
}
