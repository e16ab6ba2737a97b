"""What dying things take along, and when they are gone: pure functions over the model."""

from __future__ import annotations

from localjuju import relating, secrets
from localjuju.model import Life, Model, Relation, Unit


def cascade(model: Model) -> bool:
    """Let units and relations die with their application, applications with the model.

    A subordinate's unit dies with its principal, or with the relation that brought it; a machine
    with the model.
    """
    changed = False
    for saas in model.saas.values():
        if model.life is not Life.ALIVE and saas.life is Life.ALIVE:
            saas.life = Life.DYING
            changed = True
        for relation in model.relations_of(saas.name) if saas.life is not Life.ALIVE else ():
            if relation.life is Life.ALIVE:
                relation.life = Life.DYING
                changed = True
    for machine in model.machines.values():
        if model.life is not Life.ALIVE and machine.life is Life.ALIVE:
            machine.life = Life.DYING
            changed = True
    for app in model.applications.values():
        if model.life is not Life.ALIVE and app.life is Life.ALIVE:
            app.life = Life.DYING
            changed = True
        if app.life is Life.ALIVE:
            continue
        for unit in model.units.values():
            if unit.app == app.name and unit.life is Life.ALIVE:
                unit.life = Life.DYING
                changed = True
        for relation in model.relations_of(app.name):
            # A peer relation stays for as long as there are peers.
            if relation.life is Life.ALIVE and not relating.is_peer(relation):
                relation.life = Life.DYING
                changed = True
    for unit in model.units.values():
        changed |= _cascade_subordinate(model, unit)
    return changed


def _cascade_subordinate(model: Model, unit: Unit) -> bool:
    principal = model.units.get(unit.principal)
    if not unit.principal:
        return False
    before = (unit.life, unit.force)
    unit.force |= principal is not None and principal.force
    attached = principal is not None and principal.life is Life.ALIVE
    if unit.life is Life.ALIVE and not (attached and _is_brought(model, unit)):
        unit.life = Life.DYING
    return (unit.life, unit.force) != before


def _is_brought(model: Model, unit: Unit) -> bool:
    """Tell whether a relation lives that brings a subordinate's unit to its principal."""
    return any(
        relation.life is Life.ALIVE and unit.principal in relation.principals
        for relation in model.relations_of(unit.app)
        if relation.scope == "container"
    )


def reap(model: Model) -> bool:
    """Remove relations that nobody is in any more, and applications that have nothing left."""
    changed = False
    for relation in [r for r in model.relations.values() if r.life is not Life.ALIVE]:
        if not _is_inhabited(model, relation):
            _forget_relation(model, relation)
            changed = True
    for app in [a for a in model.applications.values() if a.life is not Life.ALIVE]:
        relations = model.relations_of(app.name)
        if model.units_of(app.name) or not all(relating.is_peer(r) for r in relations):
            continue
        for relation in relations:
            _forget_relation(model, relation)
        secrets.application_removed(model, app.name)
        del model.applications[app.name]
        for offer in [o for o in model.offers.values() if o.app == app.name]:
            del model.offers[offer.name]
        changed = True
    for saas in [s for s in model.saas.values() if s.life is not Life.ALIVE]:
        if not model.relations_of(saas.name):
            del model.saas[saas.name]
            changed = True
    return changed


def forget_unit(model: Model, name: str, now: float) -> None:
    """Remove a unit that has ended, with what belonged to it alone.

    Its bags stay: they are readable for as long as the relations live.
    """
    secrets.unit_removed(model, name)
    unit = model.units.pop(name)
    if unit.machine:
        _let_machine_go(model, unit)
    for relation in model.relations.values():
        if name in relation.in_scope:
            relation.in_scope.remove(name)
        relation.principals.pop(name, None)
    _cancel_tasks(model, name, "the unit was removed", now)


def forget_machine(model: Model, number: str, now: float) -> None:
    """Remove a machine that is gone, with the commands that were to be run on it."""
    del model.machines[number]
    _cancel_tasks(model, number, "the machine was removed", now)


def _cancel_tasks(model: Model, holder: str, reason: str, now: float) -> None:
    for action in model.actions.values():
        if action.unit == holder and action.status in {"pending", "running"}:
            action.status, action.message = "cancelled", reason
            action.completed = now


def _let_machine_go(model: Model, unit: Unit) -> None:
    """Begin to remove a machine that has lost its last unit, as Juju does.

    By force a principal may go before its subordinates, which are the last then.
    """
    app = model.applications.get(unit.app)
    if app is not None and not unit.principal:
        app.scale = sum(other.life is Life.ALIVE for other in model.units_of(unit.app))
    machine = model.machines.get(unit.machine)
    if machine is not None and not model.units_on(machine.id):
        machine.life = Life.DYING if machine.life is Life.ALIVE else machine.life


def is_empty(model: Model) -> bool:
    """Tell whether a model holds nothing that runs."""
    return not (model.applications or model.units or model.machines)


def _is_inhabited(model: Model, relation: Relation) -> bool:
    if any(name in model.units for name in relation.in_scope):
        return True
    views = (unit.relations.get(relation.id) for unit in model.units.values())
    return any(view is not None and view.entered for view in views)


def _forget_relation(model: Model, relation: Relation) -> None:
    secrets.relation_removed(model, relation.id)
    del model.relations[relation.id]
    for unit in model.units.values():
        unit.relations.pop(relation.id, None)
