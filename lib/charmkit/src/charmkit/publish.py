"""Writes databags and secrets, what differs and nothing else."""

import contextlib
import json
import typing
from collections.abc import Iterable, Mapping

import ops

from charmkit.spec import (
    BagValue,
    Document,
    OwnedSecret,
    Publication,
    Publish,
    SecretRef,
    Snapshot,
)

REGISTRY = "secrets"
"""Key of the peer application bag: label → id, grants and rotation of the secrets that we own.

Juju tells neither the id of a secret by its label nor its grants without a call each, and nobody
else remembers which relation a secret was for.
"""


class _Entry(typing.TypedDict):
    id: str
    grants: list[int]
    rotate: str


def publish(charm: ops.CharmBase, snapshot: Snapshot, publications: Iterable[Publication]) -> None:
    """Write what differs from what Juju has.

    Args:
        charm: The charm.
        snapshot: What was observed, not what was planned: it tells what differs.
        publications: What shall be there. Parts that only a leader may write are left out on a
            follower.
    """
    publications = tuple(publications)
    relations = {
        relation.id: charm.model.get_relation(endpoint, relation.id)
        for endpoint, found in snapshot.relations.items()
        for relation in found
    }
    secrets = [secret for each in publications for secret in each.secrets]
    bags = [bag for each in publications for bag in each.bags]
    ids: dict[str, str] = {}
    for secret in secrets:
        if secret.owner == "unit":
            ids |= _own_as_unit(charm, snapshot, secret, relations)
    if snapshot.is_leader:
        registry = _registry(snapshot)
        for secret in secrets:
            if secret.owner == "application":
                registry[secret.label] = _own_as_application(
                    charm, snapshot, secret, registry.get(secret.label), relations
                )
        _forget(charm, registry, relations.keys())
        ids |= {label: entry["id"] for label, entry in registry.items()}
        if snapshot.peers:
            text = json.dumps(registry, sort_keys=True)
            bags.append(Publish(relation_id=snapshot.peers.id, app={REGISTRY: text}))
    for bag in bags:
        relation = relations.get(bag.relation_id)
        if relation is None:
            continue
        if bag.app and snapshot.is_leader:
            relation.data[charm.app].update(_texts(bag.app, ids))
        if bag.unit:
            relation.data[charm.unit].update(_texts(bag.unit, ids))


def secret_id(snapshot: Snapshot, label: str) -> str | None:
    """Give the id of a secret that the application owns, or None if there is none."""
    entry = _registry(snapshot).get(label)
    return entry["id"] if entry else None


def _registry(snapshot: Snapshot) -> dict[str, _Entry]:
    text = snapshot.peers.local_app.get(REGISTRY) if snapshot.peers else None
    return json.loads(text) if text else {}


def _texts(values: Mapping[str, BagValue], ids: Mapping[str, str]) -> dict[str, str]:
    """Give the texts of a bag; an empty text takes a key away."""
    return {key: _text(value, ids) for key, value in values.items()}


def _text(value: BagValue, ids: Mapping[str, str]) -> str:
    if isinstance(value, Document):
        filled = _filled(value.value, ids)
        return json.dumps(filled, sort_keys=True, separators=(",", ":"))
    return ids[value.label] if isinstance(value, SecretRef) else value or ""


def _filled(value: typing.Any, ids: Mapping[str, str]) -> typing.Any:
    """Give a JSON value with the URIs of the secrets that it refers to."""
    if isinstance(value, SecretRef):
        return ids[value.label]
    if isinstance(value, Mapping):
        entries = typing.cast("Mapping[str, typing.Any]", value)
        return {key: _filled(each, ids) for key, each in entries.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, ids) for each in typing.cast("list[typing.Any]", value)]
    return value


def _own_as_unit(
    charm: ops.CharmBase,
    snapshot: Snapshot,
    wanted: OwnedSecret,
    relations: Mapping[int, ops.Relation | None],
) -> dict[str, str]:
    """Bring a secret of this unit to what is wanted; give its id if others shall read it."""
    present = snapshot.own_secrets.get(wanted.label)
    if present is None:
        secret = charm.unit.add_secret(
            dict(wanted.content), label=wanted.label, description=wanted.description or None
        )
    elif dict(present) == dict(wanted.content) and not wanted.grants:
        return {}
    else:
        secret = charm.model.get_secret(label=wanted.label)
        if dict(present) != dict(wanted.content):
            _change(secret, wanted)
    _grant(secret, wanted.grants, relations)
    return {wanted.label: secret.get_info().id}


def _own_as_application(
    charm: ops.CharmBase,
    snapshot: Snapshot,
    wanted: OwnedSecret,
    entry: _Entry | None,
    relations: Mapping[int, ops.Relation | None],
) -> _Entry:
    """Bring a secret of the application to what is wanted; give its entry in the registry."""
    present = snapshot.own_secrets.get(wanted.label)
    rotate = ops.SecretRotate(wanted.rotate)
    if present is None:
        secret = charm.app.add_secret(
            dict(wanted.content),
            label=wanted.label,
            description=wanted.description or None,
            rotate=rotate,
        )
        entry = _Entry(id=secret.get_info().id, grants=[], rotate=wanted.rotate)
    else:
        secret = None
        if entry is None:  # there is no peer relation to keep a registry in
            info = charm.model.get_secret(label=wanted.label).get_info()
            entry = _Entry(id=info.id, grants=[], rotate=wanted.rotate)
        if dict(present) != dict(wanted.content):
            secret = charm.model.get_secret(label=wanted.label)
            _change(secret, wanted)
        if entry["rotate"] != wanted.rotate:
            secret = secret or charm.model.get_secret(label=wanted.label)
            secret.set_info(rotate=rotate)
    new = tuple(each for each in wanted.grants if each not in entry["grants"])
    if new:
        _grant(secret or charm.model.get_secret(label=wanted.label), new, relations)
    grants = sorted({*entry["grants"], *new} & relations.keys())
    return _Entry(id=entry["id"], grants=grants, rotate=wanted.rotate)


def _change(secret: ops.Secret, wanted: OwnedSecret) -> None:
    secret.set_content(dict(wanted.content))
    # An owner keeps reading the revision that it read first, and is never told of its own.
    secret.get_content(refresh=True)


def _grant(
    secret: ops.Secret, grants: Iterable[int], relations: Mapping[int, ops.Relation | None]
) -> None:
    for relation_id in grants:
        relation = relations.get(relation_id)
        if relation is not None:
            secret.grant(relation)


def _forget(charm: ops.CharmBase, registry: dict[str, _Entry], living: Iterable[int]) -> None:
    """Remove the secrets whose relations are all gone."""
    for label, entry in tuple(registry.items()):
        if entry["grants"] and not set(entry["grants"]) & set(living):
            # Not found: somebody removed it by hand, so what we want is reached.
            with contextlib.suppress(ops.SecretNotFoundError):
                charm.model.get_secret(id=entry["id"]).remove_all_revisions()
            del registry[label]
