"""Machines and spaces: add, remove, show."""

from __future__ import annotations

import copy

from localjuju import changes
from localjuju.api._calls import Call, Data, Method
from localjuju.model import Model
from localjuju.status import machines as status_of


async def add_machine(call: Call) -> list[str]:
    """Add machines; return their ids."""
    count, constraints, now = (
        call.params.number("count"),
        call.params.text("constraints"),
        call.now,
    )

    def edit(model: Model) -> list[str]:
        return [changes.add_machine(model, now, constraints).id for _ in range(count)]

    if count < 1:
        raise changes.ChangeError("the number of machines must be positive")
    return await call.change(edit)


async def remove_machine(call: Call) -> Data:
    """Begin to remove machines; return their ids with the units that go along."""
    params = call.params
    ids, force = params.texts("machines"), params.flag("force")

    def edit(model: Model) -> Data:
        leaving = {number: [u.name for u in model.units_on(number)] for number in ids}
        for number in ids:
            changes.remove_machine(model, number, force=force)
        return leaving

    trial = edit(copy.deepcopy(call.model))  # all of them, or none
    return trial if params.flag("dry_run") else await call.change(edit)


async def machines(call: Call) -> Data:
    """Return the machines of a model, as `juju machines` and `juju show-machine` print them."""
    model, ids = call.model, call.params.texts("machines")
    for number in ids:
        changes.machine(model, number)
    found = status_of(model, call.engine.settings, utc=call.params.flag("utc"))
    shown = {number: body for number, body in found.items() if not ids or number in ids}
    return {"model": model.name, "machines": shown}


async def spaces(call: Call) -> list[Data]:
    """Return the spaces, as `juju spaces` lists them."""
    return [
        {
            "id": str(number),
            "name": name,
            "subnets": {
                subnet: {
                    "type": "ipv4",
                    "provider-id": name,
                    "status": "in-use",
                    "zones": [],
                }
            },
        }
        for number, (name, subnet) in enumerate(call.engine.settings.subnets.items())
    ]


METHODS: dict[str, Method] = {
    "add_machine": add_machine,
    "remove_machine": remove_machine,
    "machines": machines,
    "spaces": spaces,
}
