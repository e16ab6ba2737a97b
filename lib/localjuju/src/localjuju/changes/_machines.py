"""Machines, and which unit is on which one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from localjuju.changes._constraints import check_constraints
from localjuju.changes._errors import ChangeError
from localjuju.model import Life, Machine, Model, Status, Unit

NEW = "new"
"""A placement: on a machine of the unit's own."""
_MACHINE = re.compile(r"[0-9]+")


def machine(model: Model, number: str) -> Machine:
    """Return a machine.

    Raises:
        ChangeError: There is none with this number, or the model has none at all.
    """
    _refuse_pods(model)
    found = model.machines.get(number)
    if found is None:
        raise ChangeError(f"machine {number} not found")
    return found


def _refuse_pods(model: Model) -> None:
    if not model.has_machines:
        raise ChangeError(f'model "{model.name}" is a Kubernetes model: it has no machines')


def add_machine(model: Model, now: float, constraints: str = "") -> Machine:
    """Add a machine; its number is never given again.

    Raises:
        ChangeError: It is no model of machines, or a constraint is malformed.
    """
    _refuse_pods(model)
    check_constraints(constraints)
    number = str(model.next_machine_id)
    model.next_machine_id += 1
    fresh = Machine(
        number,
        constraints=constraints,
        hostname=f"juju-{model.uuid[-6:]}-{number}",
        created=now,
        agent_status=Status("pending", since=now),
        instance_status=Status("pending", since=now),
    )
    model.machines[number] = fresh
    return fresh


def remove_machine(model: Model, number: str, *, force: bool = False) -> Machine:
    """Begin to remove a machine.

    Raises:
        ChangeError: There is none, or units are on it and `force` does not take them along.
    """
    found = machine(model, number)
    units = [unit for unit in model.units_on(number) if not unit.principal]
    if units and not force:
        names = ", ".join(unit.name for unit in units)
        raise ChangeError(f"machine {number} has unit(s) {names} assigned; add --force")
    found.life = Life.DYING if found.life is Life.ALIVE else found.life
    found.force |= force
    for unit in units:
        unit.life = Life.DYING if unit.life is Life.ALIVE else unit.life
        unit.force |= force
    return found


def check_placement(model: Model, placement: Iterable[str]) -> None:
    """Check that placements name machines that are there, or new ones.

    Raises:
        ChangeError: One does not.
    """
    for word in placement:
        if not model.has_machines:
            raise ChangeError("--to is not supported: units of a Kubernetes model are pods")
        if word == NEW:
            continue
        if not _MACHINE.fullmatch(word):
            raise ChangeError(f'placement "{word}" is not supported; give a number, or {NEW}')
        if machine(model, word).life is not Life.ALIVE:
            raise ChangeError(f"machine {word} is being removed")


def place(
    model: Model, units: Sequence[Unit], placement: Sequence[str], constraints: str, now: float
) -> None:
    """Put each unit on the machine that its placement names; on a new one without placement."""
    for index, unit in enumerate(units):
        word = placement[index] if index < len(placement) else NEW
        unit.machine = add_machine(model, now, constraints).id if word == NEW else word
