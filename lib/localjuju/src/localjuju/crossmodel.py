"""Relations between models: each model has its own half; this module keeps the halves alike.

A half is an ordinary relation whose other end is no application of its model: on the consuming
side the name that `consume` gave the offer, on the offering side `remote-<32 hex digits>`. So the
rules of relations and hooks know nothing of other models. `mirror` copies what one half shows to
the other: life, suspension, data bags, who is in scope. It compares states and never messages:
after a crash at any point the next call finishes what was begun. All pure.

Secrets are read where they are. The reading model remembers what each of its units tracks, the
owning one gets a copy of that, so that it knows which revisions are in use.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Iterator

from localjuju import identity, secrets
from localjuju.model import (
    Bag,
    Consumer,
    Crossing,
    Life,
    Model,
    Relation,
    RelationEnd,
    RemoteConsumer,
    RemoteSecret,
    Saas,
    Secret,
    SecretRevision,
    Status,
)
from localjuju.status import application_status

_PREFIX = "remote-"
_ROLES = {"provider": "requirer", "requirer": "provider"}


def alias_of(model: Model, app: str) -> str:
    """Return the name by which models that offer something know an application of this one."""
    created = model.applications[app].created
    return _PREFIX + uuid.uuid5(identity.NAMESPACE, f"{model.uuid}/{app}/{created}").hex


def _reader(model: Model, unit: str) -> str:
    """Return the name under which other models keep what a unit of this one reads.

    It is the same whichever of the two offers, and stays when relations come and go.
    """
    app, _, number = unit.partition("/")
    return f"{alias_of(model, app)}/{number}"


def by_uuid(models: Collection[Model], wanted: str) -> Model | None:
    """Return the model with a UUID."""
    return next((model for model in models if model.uuid == wanted), None)


def mirror(model: Model, models: Collection[Model]) -> list[Model]:
    """Bring all that crosses the border of a model in line on both sides.

    Args:
        model: The model, which has just changed.
        models: All models.

    Returns:
        The models that this has changed, in the order in which they are to be stored: no half
        may be remembered as made before it was.
    """
    changed: list[Model] = []

    def note(*touched: Model) -> None:
        changed.extend(one for one in touched if one not in changed)

    for consumer in models:
        for relation in list(consumer.relations.values()):
            crossing = relation.crossing
            if crossing is None or model.uuid not in {consumer.uuid, crossing.model}:
                continue
            if crossing.is_offering:
                if _other_half(relation, consumer, models) is None and _end(relation):
                    note(consumer)
            else:
                note(*_join(consumer, relation, by_uuid(models, crossing.model)))
        for saas in consumer.saas.values():
            if model.uuid in {consumer.uuid, saas.model} and _look(saas, models):
                note(consumer)
        if consumer.remote_secrets and _secrets(consumer, models, note_to=changed):
            note(consumer)
    if _drop_readers(model, models):
        note(model)
    return changed


# --- The halves of a relation ------------------------------------------------------------------


def _other_half(
    relation: Relation, model: Model, models: Collection[Model]
) -> tuple[Model, Relation] | None:
    crossing = relation.crossing
    other = None if crossing is None else by_uuid(models, crossing.model)
    if crossing is None or other is None:
        return None
    for half in other.relations.values():
        if half.crossing is not None and half.crossing.model == model.uuid:
            if crossing.is_offering and half.id == crossing.relation_id:
                return other, half
            if half.crossing.is_offering and half.crossing.relation_id == relation.id:
                return other, half
    return None


def _join(consumer: Model, relation: Relation, offering: Model | None) -> list[Model]:
    """Make the offering half if it is missing, and both alike; return the models that changed."""
    crossing = relation.crossing
    if crossing is None:
        return []
    found = None if offering is None else _other_half(relation, consumer, (offering,))
    if offering is None:
        return [consumer] if _end(relation) else []
    if found is None:
        alien = _alien(relation, consumer)
        endpoint = next(end.endpoint for end in relation.ends if end.app == alien)
        if crossing.relation_id >= 0 or not _is_offered(offering, crossing, endpoint):
            return [consumer] if _end(relation) else []  # it was made once, and is gone
        if relation.life is not Life.ALIVE or offering.life is not Life.ALIVE:
            return [consumer] if _end(relation) else []
        half = _made(consumer, relation, crossing, offering)
        changed = [offering]
    else:
        half, changed = found[1], list[Model]()
    if crossing.relation_id != half.id:
        relation.crossing = dataclasses.replace(crossing, relation_id=half.id)
        changed.append(consumer)
    own = next(e.app for e in relation.ends if e.app != _alien(relation, consumer))
    theirs = crossing.app
    touched = (
        (consumer, _follow_life(half, relation)),
        (offering, _follow_life(relation, half)),
        (consumer, _follow_suspension(half, relation)),
        (offering, _copy(relation, own, half, alias_of(consumer, own))),
        (consumer, _copy(half, theirs, relation, _alien(relation, consumer))),
    )
    return changed + [model for model, is_changed in touched if is_changed]


def _alien(relation: Relation, model: Model) -> str:
    """Return the name that a half gives to the application of the other model."""
    return next(end.app for end in relation.ends if end.app not in model.applications)


def _is_offered(offering: Model, crossing: Crossing, endpoint: str) -> bool:
    """Tell whether an endpoint of the application behind a name is (still) offered."""
    return any(
        offer.uuid == crossing.offer
        and endpoint in offer.endpoints
        and offering.applications[offer.app].life is Life.ALIVE
        for offer in offering.offers.values()
        if offer.app in offering.applications
    )


def _made(consumer: Model, relation: Relation, crossing: Crossing, offering: Model) -> Relation:
    """Make the offering half of a relation."""
    own = next(end for end in relation.ends if end.app in consumer.applications)
    theirs = next(end for end in relation.ends if end is not own)
    alias = alias_of(consumer, own.app)
    ends = {
        own.role: RelationEnd(alias, own.endpoint, own.role),
        theirs.role: RelationEnd(crossing.app, theirs.endpoint, theirs.role),
    }
    half = Relation(
        offering.next_relation_id,
        relation.interface,
        (ends["requirer"], ends["provider"]),
        crossing=Crossing(consumer.uuid, relation.id, crossing.offer, own.app, is_offering=True),
    )
    offering.next_relation_id += 1
    offering.relations[half.id] = half
    return half


def _end(relation: Relation) -> bool:
    if relation.life is not Life.ALIVE:
        return False
    relation.life = Life.DYING
    return True


def _follow_life(first: Relation, second: Relation) -> bool:
    return first.life is not Life.ALIVE and _end(second)


def _follow_suspension(offering: Relation, consuming: Relation) -> bool:
    wanted = (offering.suspended, offering.suspended_reason)
    if (consuming.suspended, consuming.suspended_reason) == wanted:
        return False
    consuming.suspended, consuming.suspended_reason = wanted
    return True


def _copy(source: Relation, app: str, target: Relation, alias: str) -> bool:
    """Show one half's application and units in the other half; return whether that changed."""
    changed = False
    for name, bag in source.app_bags.items():
        if name == app:
            changed |= _copy_bag(bag, target.app_bags, alias)
    for name, bag in source.unit_bags.items():
        if _app(name) == app:
            changed |= _copy_bag(bag, target.unit_bags, _renamed(name, alias))
    there = [_renamed(name, alias) for name in source.in_scope if _app(name) == app]
    if [name for name in target.in_scope if _app(name) == alias] != there:
        own = [name for name in target.in_scope if _app(name) != alias]
        target.in_scope[:] = own + there
        changed = True
    return changed


def _copy_bag(bag: Bag, bags: dict[str, Bag], name: str) -> bool:
    held = bags.get(name)
    if held is not None and (held.version, held.data) == (bag.version, bag.data):
        return False
    bags[name] = Bag(dict(bag.data), bag.version)
    return True


def _app(unit: str) -> str:
    return unit.partition("/")[0]


def _renamed(unit: str, app: str) -> str:
    return f"{app}/{unit.partition('/')[2]}"


def _look(saas: Saas, models: Collection[Model]) -> bool:
    """Take over the status of the application behind a name; return whether it changed."""
    offering = by_uuid(models, saas.model)
    app = None if offering is None else offering.applications.get(saas.app)
    offered = offering is not None and any(o.uuid == saas.offer for o in offering.offers.values())
    if offering is None or app is None or not offered:
        found = Status("terminated", "offer has been removed", saas.status.since)
    else:
        status = application_status(offering, app)
        found = Status(status.current, status.message, status.since)
    if saas.status == found:
        return False
    saas.status = found
    return True


# --- Secrets -----------------------------------------------------------------------------------


def owner_model(
    model: Model, models: Collection[Model], reference: str
) -> tuple[Model | None, str]:
    """Return the model that has the secret which a URI or id names, and its bare id.

    Without a model in the URI it is this one, else one with which it has a relation: charms put
    the id of a new secret into a bag as they got it.
    """
    named, secret_id = secrets.parse_reference(reference)
    if named:
        return by_uuid(models, named), secret_id
    if secret_id in model.secrets:
        return model, secret_id
    remembered = model.remote_secrets.get(secret_id)
    if remembered is not None:
        return by_uuid(models, remembered.model), secret_id
    for other in _neighbours(model, models):
        if secret_id in other.secrets:
            return other, secret_id
    return model, secret_id


def _neighbours(model: Model, models: Collection[Model]) -> Iterator[Model]:
    uuids = {r.crossing.model for r in model.relations.values() if r.crossing is not None}
    return (other for other in models if other.uuid in uuids)


def read_secret(
    model: Model,
    unit: str,
    owner: Model,
    secret_id: str,
    *,
    label: str | None = None,
    refresh: bool = False,
    peek: bool = False,
) -> SecretRevision:
    """Read a secret of another model as a unit of this one; see `secrets.read`.

    Raises:
        SecretError: There is no such secret or revision, the unit may not read it, or its label
            is taken.
    """
    secret = secrets.find(owner, secret_id)
    if not _may_read(model, unit, owner, secret):
        raise secrets.SecretDeniedError("permission denied")
    held = model.remote_secrets.get(secret_id)
    consumer = held.consumers.get(unit) if held is not None else None
    if label and (consumer is None or consumer.label != label):
        secrets.check_consumer_label(model, unit, label, secret_id)
    number = secret.latest if consumer is None or refresh or peek else consumer.tracked
    revision = secret.revisions.get(number)
    if revision is None:
        raise secrets.SecretNotFoundError(f'secret revision "{secret_id}/{number}" not found')
    if held is None:
        held = model.remote_secrets[secret_id] = RemoteSecret(secret_id, owner.uuid)
    if consumer is None:
        consumer = held.consumers[unit] = RemoteConsumer(unit, secret.latest)
    elif refresh:
        consumer.tracked = secret.latest
    consumer.latest = secret.latest
    consumer.label = label or consumer.label
    return revision


def _may_read(model: Model, unit: str, owner: Model, secret: Secret) -> bool:
    """Tell whether a unit of one model may read a secret of another.

    Grants name it as the relations in the owner's model do.
    """
    app, _, number = unit.partition("/")
    names = {
        _alien(relation, owner)
        for relation in owner.relations.values()
        if relation.crossing is not None
        and (relation.crossing.model, relation.crossing.app) == (model.uuid, app)
    }
    return any(secrets.can_read(owner, secret, f"{name}/{number}") for name in names)


def _secrets(reader: Model, models: Collection[Model], note_to: list[Model]) -> bool:
    """Bring what a model remembers of others' secrets in line; return whether that changed."""
    changed = False
    for held in list(reader.remote_secrets.values()):
        owner = by_uuid(models, held.model)
        secret = None if owner is None else owner.secrets.get(held.id)
        if owner is None or secret is None or not held.consumers:
            secrets.forget_remote(reader, held.id)
            changed = True
            continue
        for consumer in held.consumers.values():
            is_behind = consumer.latest != secret.latest
            if is_behind and _may_read(reader, consumer.unit, owner, secret):
                consumer.latest = secret.latest
                changed = True
            name = _reader(reader, consumer.unit)
            copy = Consumer(name, consumer.tracked)
            if secret.consumers.get(name) != copy:
                secret.consumers[name] = copy
                if owner not in note_to:
                    note_to.append(owner)
    return changed


def _drop_readers(owner: Model, models: Collection[Model]) -> bool:
    """Forget readers in other models that are gone; return whether there were any."""
    present = {
        (held.id, _reader(reader, unit))
        for reader in models
        for held in reader.remote_secrets.values()
        if held.model == owner.uuid
        for unit in held.consumers
    }
    changed = False
    for secret in owner.secrets.values():
        for name in [name for name in secret.consumers if name.startswith(_PREFIX)]:
            if (secret.id, name) not in present and name not in owner.units:
                del secret.consumers[name]
                changed = True
    return changed
