"""The secrets that an application owns for itself: made, shared among its units, rotated. Pure."""

import dataclasses
import json

from charmkit.records import json_map
from charmkit.service import Service, digest
from charmkit.spec import OwnedSecret, Publication, Publish, Snapshot

SEEN = "secrets-seen"
"""Key of the peer unit bag: which content of the own secrets this unit has written."""


def own_secrets(
    service: Service, snapshot: Snapshot
) -> tuple[tuple[OwnedSecret, ...], tuple[str, ...]]:
    """Give the application's own secrets, and the labels of those that a follower still lacks.

    On a leader a secret that does not exist yet has its initial content.
    """
    found: list[OwnedSecret] = []
    lacking: list[str] = []
    for secret in service.own_secrets:
        content = snapshot.own_secrets.get(secret.label)
        if content is None:
            if not snapshot.is_leader:
                lacking.append(secret.label)
                continue
            content = secret.initial(snapshot)
        found.append(
            OwnedSecret(
                label=secret.label,
                content=content,
                rotate=secret.rotate(snapshot),
                description=secret.description,
            )
        )
    return tuple(found), tuple(lacking)


class CannotRotateError(Exception):
    """A secret that must not be rotated now; the text says why and what to do."""


def rotate(service: Service, snapshot: Snapshot, label: str) -> Snapshot:
    """Give the snapshot in which an own secret has its next content.

    Raises:
        CannotRotateError: We do not lead, the secret is not there, or a unit has not got it yet.
    """
    secret = next((each for each in service.own_secrets if each.label == label), None)
    if secret is None or secret.rotated is None:
        raise CannotRotateError(f"cannot rotate {label}: it is none of the secrets that rotate")
    if not snapshot.is_leader:
        raise CannotRotateError(
            f"cannot rotate {label}: {snapshot.unit} is not the leader; ask it"
        )
    content = snapshot.own_secrets.get(label)
    if content is None:
        raise CannotRotateError(f"cannot rotate {label}: it has not been made yet")
    behind = _behind(snapshot, label) if secret.everywhere_first else ()
    if behind:
        raise CannotRotateError(
            f"cannot rotate {label}: {', '.join(behind)} has not got the present one yet;"
            " try again when all units are idle"
        )
    changed = {**snapshot.own_secrets, label: secret.rotated(snapshot, content)}
    return dataclasses.replace(snapshot, own_secrets=changed)


def _behind(snapshot: Snapshot, label: str) -> tuple[str, ...]:
    """Name the units that wrote an older content. One that wrote none will read the newest."""
    present = digest(snapshot.own_secrets[label])
    peers = snapshot.peers
    if peers is None:
        return ()
    seen = {
        unit: json_map(bag.get(SEEN)).get(label, present)
        for unit, bag in peers.remote_units.items()
    }
    return tuple(sorted(unit for unit, each in seen.items() if each != present))


def seen_publications(service: Service, snapshot: Snapshot) -> list[Publication]:
    """Tell the leader which content of the secrets this unit writes."""
    labels = [secret.label for secret in service.own_secrets if secret.everywhere_first]
    if not labels or snapshot.peers is None:
        return []
    found, _ = own_secrets(service, snapshot)
    seen = {each.label: digest(each.content) for each in found if each.label in labels}
    text = json.dumps(seen, sort_keys=True)
    return [
        Publication(bags=(Publish(relation_id=snapshot.peers.id, unit={SEEN: text}),)),
    ]
