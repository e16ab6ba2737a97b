"""The rules within one relation: ends, scopes, the next hook, and what a hook leaves behind.

Next is the first of: `changed` for the unit that has just joined; `departed` for members that
are gone; `broken` when the relation or the unit is dying; `changed` for the application bag;
`joined` for new units; `changed` for units whose bag has another version. Versions are compared,
not queued.
"""

from __future__ import annotations

import random

from localjuju.facts import network_keys
from localjuju.model import (
    Bag,
    Hook,
    HookKind,
    Life,
    Model,
    Relation,
    RelationEnd,
    RelationView,
    Unit,
)

RELATION_KINDS = frozenset(
    {
        HookKind.RELATION_CREATED,
        HookKind.RELATION_JOINED,
        HookKind.RELATION_CHANGED,
        HookKind.RELATION_DEPARTED,
        HookKind.RELATION_BROKEN,
    }
)


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
    names = [n for n in relation.in_scope if n.partition("/")[0] == app and n != unit.name]
    if relation.scope == "container":
        names = [n for n in names if relation.principals.get(n) == (unit.principal or unit.name)]
    return sorted(names, key=_by_number)


def next_hook(unit: Unit, relation: Relation, view: RelationView) -> Hook | None:
    """Return the next hook of one relation that the unit is in the scope of."""
    if view.changed_pending:
        return relation_hook(HookKind.RELATION_CHANGED, unit, relation, view.changed_pending)
    breaking = is_breaking(unit, relation)
    present = remote_units(relation, unit)
    for name in sorted(view.members, key=_by_number):
        if breaking or name not in present:
            return relation_hook(HookKind.RELATION_DEPARTED, unit, relation, name)
    if breaking:
        told = view.created and not is_peer(relation)
        return relation_hook(HookKind.RELATION_BROKEN, unit, relation) if told else None
    remote_app = remote_end(relation, unit.app).app
    bag = relation.app_bags.get(remote_app)
    if bag is not None and bag.version and bag.version != view.app_versions.get(remote_app, 0):
        return relation_hook(HookKind.RELATION_CHANGED, unit, relation)
    for name in present:
        if name not in view.members:
            return relation_hook(HookKind.RELATION_JOINED, unit, relation, name)
    for name in present:
        if view.members[name] != version_of(relation, name):
            return relation_hook(HookKind.RELATION_CHANGED, unit, relation, name)
    return None


def is_breaking(unit: Unit, relation: Relation) -> bool:
    """Tell whether the unit is to leave the relation, or not to enter it."""
    return unit.life is not Life.ALIVE or relation.life is not Life.ALIVE or relation.suspended


def entered(
    unit: Unit, model: Model, shuffle: random.Random | None
) -> list[tuple[Relation, RelationView]]:
    """Return the relations whose scope the unit has entered, by id or shuffled."""
    pairs = [
        (relation, view)
        for number, view in sorted(unit.relations.items())
        if view.entered and (relation := model.relations.get(number)) is not None
    ]
    if shuffle is not None:
        shuffle.shuffle(pairs)
    return pairs


def relation_hook(kind: HookKind, unit: Unit, relation: Relation, remote: str = "") -> Hook:
    """Return a hook of a relation as the unit gets it; `remote` is the remote unit, if any."""
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
        change_version=version_of(relation, remote or other.app),
        prefix=own_end(relation, unit.app).endpoint,
    )


def version_of(relation: Relation, name: str) -> int:
    """Return the version of a unit's or an application's bag; 0 when it was never written."""
    bag = (relation.unit_bags if "/" in name else relation.app_bags).get(name)
    return bag.version if bag is not None else 0


def _by_number(name: str) -> tuple[str, int]:
    app, _, number = name.rpartition("/")
    return app, int(number)


def settle(unit: Unit, model: Model, relation: Relation, *, leads: bool) -> bool:
    """Enter the relation's scope or begin to leave it, as its life demands. Return if changed.

    Args:
        unit: The unit, between two hooks.
        model: Its model.
        relation: One of its application's relations.
        leads: Whether the unit leads its application.
    """
    view = unit.relations.get(relation.id)
    if is_breaking(unit, relation):
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
        if relation.scope == "container":
            relation.principals[unit.name] = unit.principal or unit.name
        # What a former unit of this name, or a former stay, has left is replaced.
        left = relation.unit_bags.get(unit.name, Bag()).version
        relation.unit_bags[unit.name] = Bag(
            network_keys(unit, model, own_end(relation, unit.app).endpoint), left + 1
        )
        changed = True
    own = relation.app_bags.get(unit.app)
    if leads and is_peer(relation) and own is not None:
        # A leader gets no event for what it wrote, nor when it stops leading later.
        changed |= view.app_versions.get(unit.app, 0) != own.version
        view.app_versions[unit.app] = own.version
    return changed


def begin(unit: Unit, hook: Hook) -> None:
    """Record that a relation hook is started: who is a member, which versions it will see."""
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


def end(unit: Unit, hook: Hook, model: Model) -> None:
    """Record that a relation hook is done."""
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
