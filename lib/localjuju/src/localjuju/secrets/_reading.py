"""Reading a secret, and what follows from it: tracked and obsolete revisions."""

from __future__ import annotations

from localjuju.model import Consumer, Model, Secret, SecretRevision
from localjuju.secrets._access import (
    can_read,
    check_consumer_label,
    check_owner_label,
    consumed_by_label,
    find,
    is_manager,
    is_owner,
    label_for,
    owned_by_label,
)
from localjuju.secrets._values import SecretDeniedError, SecretNotFoundError


def locate(model: Model, unit: str, secret_id: str | None, label: str | None) -> Secret:
    """Return the secret that a unit means by id, or else by label, if it may read it.

    Raises:
        SecretNotFoundError: No such secret, or no such label of this unit.
        SecretDeniedError: The unit has no grant.
    """
    if secret_id is not None:
        secret = find(model, secret_id)
    else:
        found = owned_by_label(model, unit, label or "") or consumed_by_label(
            model, unit, label or ""
        )
        if not isinstance(found, Secret):
            raise SecretNotFoundError(f'consumer label "{label}" not found')
        secret = found
    if not can_read(model, secret, unit):
        raise SecretDeniedError("permission denied")
    return secret


def read(
    model: Model,
    unit: str,
    *,
    secret_id: str | None = None,
    label: str | None = None,
    refresh: bool = False,
    peek: bool = False,
) -> tuple[SecretRevision, bool]:
    """Read a secret as `unit`. Return the revision and whether the unit's record changed.

    The first read, and each one with `refresh`, makes the unit track the newest revision;
    `peek` shows the newest and moves nothing once the unit tracks one. An id together with a
    label names the secret from now on: the owner's label for its manager, else the consumer's.

    Raises:
        SecretError: See `locate`; also a label that is taken, or a tracked revision that the
            owner removed.
    """
    secret = locate(model, unit, secret_id, label)
    owner = is_owner(secret, unit)
    consumer = secret.consumers.get(unit)
    tracked = secret.owner_tracked.get(unit) if owner else consumer and consumer.tracked
    relabel = bool(secret_id is not None and label and label != label_for(secret, unit))
    if relabel and label:
        if is_manager(model, secret, unit):
            check_owner_label(model, secret.owner_kind, secret.owner, label, secret.id)
        elif not owner:
            check_consumer_label(model, unit, label, secret.id)
    move = refresh or tracked is None
    number = secret.latest if move or peek or tracked is None else tracked
    revision = secret.revisions.get(number)
    if revision is None:
        raise SecretNotFoundError(f'secret revision "{secret.id}/{number}" not found')
    changed = move and tracked != secret.latest
    if owner:
        if move:
            secret.owner_tracked[unit] = secret.latest
        if relabel and label and is_manager(model, secret, unit):
            secret.label = label
            changed = True
    else:
        if consumer is None:
            consumer = secret.consumers[unit] = Consumer(unit, secret.latest)
        elif move:
            consumer.tracked = secret.latest
        if relabel and label:
            consumer.label = label
            changed = True
    if changed:
        prune(secret)
    return revision, changed


def newest(model: Model, unit: str, secret_id: str) -> int:
    """Return the newest revision that a unit may read of a secret; 0 when there is none."""
    secret = model.secrets.get(secret_id)
    if secret is not None:
        return secret.latest
    held = model.remote_secrets.get(secret_id)
    consumer = held.consumers.get(unit) if held is not None else None
    return consumer.latest if consumer is not None else 0


def obsolete(secret: Secret) -> list[int]:
    """Return the revisions that are not the newest and that nobody tracks, oldest first."""
    tracked = {consumer.tracked for consumer in secret.consumers.values()}
    tracked.update(secret.owner_tracked.values())
    return [n for n in sorted(secret.revisions) if n != secret.latest and n not in tracked]


def prune(secret: Secret) -> None:
    """Remove what nobody reads any more from a user secret with auto-prune."""
    if secret.owner_kind == "model" and secret.auto_prune:
        for number in obsolete(secret):
            del secret.revisions[number]


def tracked_by(secret: Secret, unit: str) -> int | None:
    """Return the revision that the unit tracks, None if it never read the secret."""
    if is_owner(secret, unit):
        return secret.owner_tracked.get(unit)
    consumer = secret.consumers.get(unit)
    return consumer.tracked if consumer is not None else None
