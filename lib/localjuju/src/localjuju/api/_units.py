"""Units: show, resolve, and how to run a command in one of their containers."""

from __future__ import annotations

from localjuju import changes, views
from localjuju.api._calls import Call, Data, Method
from localjuju.changes import ChangeError
from localjuju.model import Life

CHARM = "charm"


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
    """Return the command line that runs a command in a unit's container."""
    model, params = call.model, call.params
    unit = model.units[changes.resolve_unit(model, params.text("unit"))]
    container = params.optional("container") or CHARM
    known = {CHARM, *model.charm_of(unit.app).containers}
    if container not in known:
        raise ChangeError(
            f'container "{container}" not found in unit "{unit.name}"; '
            f"there are: {', '.join(sorted(known))}"
        )
    if not unit.pod_ready and unit.life is Life.ALIVE:
        raise ChangeError(f'unit "{unit.name}" does not run yet')
    argv = call.engine.substrate.exec_argv(
        model.name, unit.name, container, params.texts("argv"), tty=params.flag("tty")
    )
    return {"argv": argv, "unit": unit.name, "container": container}


METHODS: dict[str, Method] = {
    "show_unit": show_unit,
    "resolved": resolved,
    "exec_argv": exec_argv,
}
