"""Relations between applications, found by Juju's rules for names of ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from localjuju.changes._errors import ChangeError, alive_application, application
from localjuju.changes._errors import endpoints as endpoints_of
from localjuju.model import Crossing, Endpoint, Life, Model, Relation, RelationEnd

Ends = tuple[RelationEnd, RelationEnd]
INFO = "juju-info"
"""An endpoint that every application provides, though no charm declares it."""
_INFO = Endpoint(INFO, INFO, "provider")


def add_relation(model: Model, a: str, b: str) -> Relation:
    """Relate two applications, each named as `app` or `app:endpoint`.

    Returns:
        The new relation.

    Raises:
        ChangeError: No such application or endpoint, nothing fits, several fit, the relation
            exists already, or an endpoint has all the relations that its limit allows.
    """
    ends = infer_ends(model, a, b)
    key = _key(ends)
    for end in ends:
        if end.app not in model.saas:
            alive_application(model, end.app)
    for relation in model.relations.values():
        if set(relation.ends) == set(ends):
            state = "already exists" if relation.life is Life.ALIVE else "is still being removed"
            raise ChangeError(f'cannot add relation "{key}": relation {key} {state}')
    for end in ends:
        _check_limit(model, end, key)
    endpoints = [_endpoint(model, end) for end in ends]
    scope = "container" if any(e.scope == "container" for e in endpoints) else "global"
    if scope == "container" and any(end.app in model.saas for end in ends):
        raise ChangeError(
            f'cannot add relation "{key}": container scoped relations do not leave a model'
        )
    if scope == "container" and not any(model.charm_of(end.app).subordinate for end in ends):
        raise ChangeError(
            f'cannot add relation "{key}": container scoped relations need a subordinate'
        )
    relation = new_relation(model, endpoints[0].interface, ends, scope)
    saas = next((model.saas[end.app] for end in ends if end.app in model.saas), None)
    if saas is not None:
        relation.crossing = Crossing(saas.model, -1, saas.offer, saas.app, is_offering=False)
    return relation


def new_relation(
    model: Model, interface: str, ends: tuple[RelationEnd, ...], scope: str
) -> Relation:
    """Put a relation into the model, under the next number."""
    relation = Relation(model.next_relation_id, interface, ends, scope)
    model.next_relation_id += 1
    model.relations[relation.id] = relation
    return relation


def remove_relation(model: Model, a: str, b: str | None = None) -> Relation:
    """Begin to remove the relation between two ends, or the one with the number `a`.

    Raises:
        ChangeError: There is none, several fit, or it is a peer relation.
    """
    relation = find_relation(model, a, b)
    if len(relation.ends) == 1:
        raise ChangeError(f'cannot remove relation "{relation.key}": it is a peer relation')
    relation.life = Life.DYING
    return relation


def find_relation(model: Model, a: str, b: str | None = None) -> Relation:
    """Return the relation between two ends, or the one with the number `a`.

    Raises:
        ChangeError: There is none, or several fit.
    """
    if b is None:
        relation = model.relations.get(int(a)) if a.isdigit() else None
        if relation is None:
            raise ChangeError(f'relation "{a}" not found')
        return relation
    wanted = (_split(a), _split(b))
    for name, _ in wanted:
        if name not in model.saas and name not in _aliens(model):
            application(model, name)
    found = [
        relation
        for _, relation in sorted(model.relations.items())
        if len(relation.ends) > 1
        and any(
            all(_fits(end, want) for end, want in zip(relation.ends, order, strict=True))
            for order in (wanted, wanted[::-1])
        )
    ]
    alive = [relation for relation in found if relation.life is Life.ALIVE] or found
    if not alive:
        raise ChangeError(f'relation "{a} {b}" not found')
    if len(alive) > 1:
        raise _ambiguous(a, b, (relation.key for relation in alive))
    return alive[0]


def infer_ends(model: Model, a: str, b: str) -> Ends:
    """Return the two ends that names of ends mean, the requirer first.

    Raises:
        ChangeError: No such application or endpoint, nothing fits, or several fit.
    """
    left, right = (_candidates(model, name) for name in (a, b))
    pairs = [
        _ordered(one, other)
        for one, other in itertools.product(left, right)
        if _compatible(_endpoint(model, one), _endpoint(model, other)) and one.app != other.app
    ]
    if all(name.partition(":")[0] in model.saas for name in (a, b)):
        raise ChangeError(
            f"cannot add relation between saas applications {a!r} and {b!r}".replace("'", '"')
        )
    declared = [pair for pair in pairs if all(end.endpoint != INFO for end in pair)]
    pairs = declared or pairs
    if not pairs:
        raise ChangeError("no relations found")
    if len(pairs) > 1:
        raise _ambiguous(a, b, (_key(pair) for pair in pairs))
    return pairs[0]


def _candidates(model: Model, name: str) -> list[RelationEnd]:
    app, endpoint = _split(name)
    declared = endpoints_of(model, app)
    endpoints = declared if app in model.saas else {INFO: _INFO} | dict(declared)
    if endpoint and endpoint not in endpoints:
        raise ChangeError(f'application "{app}" has no "{endpoint}" relation')
    names = [endpoint] if endpoint else sorted(endpoints)
    return [RelationEnd(app, found, endpoints[found].role) for found in names]


def _split(name: str) -> tuple[str, str]:
    app, _, endpoint = name.partition(":")
    return app, endpoint


def _fits(end: RelationEnd, want: tuple[str, str]) -> bool:
    return end.app == want[0] and want[1] in {"", end.endpoint}


def _endpoint(model: Model, end: RelationEnd) -> Endpoint:
    return endpoints_of(model, end.app).get(end.endpoint, _INFO)


def _aliens(model: Model) -> set[str]:
    """Return the names that relations give to applications of other models."""
    crossing = (r for r in model.relations.values() if r.crossing is not None)
    return {end.app for r in crossing for end in r.ends if end.app not in model.applications}


def _compatible(one: Endpoint, other: Endpoint) -> bool:
    return one.interface == other.interface and {one.role, other.role} == {"provider", "requirer"}


def _ordered(one: RelationEnd, other: RelationEnd) -> Ends:
    return (one, other) if one.role == "requirer" else (other, one)


def _key(ends: Ends) -> str:
    return " ".join(f"{end.app}:{end.endpoint}" for end in ends)


def _ambiguous(a: str, b: str, keys: Iterable[str]) -> ChangeError:
    could = "; ".join(f'"{key}"' for key in sorted(keys))
    return ChangeError(f'ambiguous relation: "{a} {b}" could refer to {could}')


def _check_limit(model: Model, end: RelationEnd, key: str) -> None:
    limit = _endpoint(model, end).limit
    held = sum(end in relation.ends for relation in model.relations.values())
    if limit is not None and held >= limit:
        raise ChangeError(
            f'cannot add relation "{key}": establishing a new relation for '
            f"{end.app}:{end.endpoint} would exceed its maximum relation limit of {limit} "
            "(quota limit exceeded)"
        )
