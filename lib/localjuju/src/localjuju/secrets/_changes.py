"""What owners do to their secrets, and what goes with an owner, a relation or a reader."""

from __future__ import annotations

from collections.abc import Mapping

from localjuju.model import Grant, Model, Secret, SecretRevision
from localjuju.secrets._access import app_of, check_owner_label, find
from localjuju.secrets._reading import prune
from localjuju.secrets._values import (
    SecretError,
    SecretNotFoundError,
    check_content,
    check_rotation,
    next_rotation,
)


def create(
    model: Model,
    *,
    secret_id: str,
    owner_kind: str,
    owner: str,
    data: Mapping[str, str],
    now: float,
    label: str = "",
    description: str = "",
    expires: float | None = None,
    rotate: str = "never",
    auto_prune: bool = False,
) -> Secret:
    """Add a secret with its first revision.

    Raises:
        SecretError: The content or rotation is not valid, or the owner's label is taken.
    """
    check_content(data)
    check_rotation(rotate)
    check_owner_label(model, owner_kind, owner, label, secret_id)
    secret = Secret(
        id=secret_id,
        owner_kind=owner_kind,
        owner=owner,
        label=label,
        description=description,
        rotate=rotate,
        next_rotate=next_rotation(rotate, now),
        auto_prune=auto_prune,
        created=now,
        updated=now,
        revisions={1: SecretRevision(1, dict(data), now, expires)},
        latest=1,
    )
    model.secrets[secret_id] = secret
    return secret


def update(
    model: Model,
    secret_id: str,
    *,
    now: float,
    data: Mapping[str, str] | None = None,
    label: str | None = None,
    description: str | None = None,
    expires: float | None = None,
    rotate: str | None = None,
    auto_prune: bool | None = None,
) -> int:
    """Change a secret; what is None stays. Return its newest revision.

    Content equal to the newest revision's makes no new revision. `expires` belongs to the
    newest revision. A rotation that was off starts now; one that was on keeps its next date.

    Raises:
        SecretError: No such secret, the content is not valid, or the label is taken.
    """
    secret = find(model, secret_id)
    if data is not None:
        check_content(data)
    if rotate is not None:
        check_rotation(rotate)
    if label is not None:
        check_owner_label(model, secret.owner_kind, secret.owner, label, secret_id)
        secret.label = label
    if description is not None:
        secret.description = description
    if auto_prune is not None:
        secret.auto_prune = auto_prune
    newest = secret.revisions.get(secret.latest)
    if data is not None and (newest is None or newest.data != dict(data)):
        secret.latest += 1
        newest = SecretRevision(secret.latest, dict(data), now)
        secret.revisions[secret.latest] = newest
    if expires is not None and newest is not None:
        newest.expires = expires
    if rotate is not None:
        if rotate == "never" or secret.rotate == "never":
            secret.next_rotate = next_rotation(rotate, now)
        secret.rotate = rotate
    secret.updated = now
    prune(secret)
    return secret.latest


def remove(model: Model, secret_id: str, revision: int | None = None) -> None:
    """Remove one revision, or the whole secret; the last revision takes the secret with it.

    Raises:
        SecretNotFoundError: There is no such secret or revision.
    """
    secret = find(model, secret_id)
    if revision is not None:
        if revision not in secret.revisions:
            raise SecretNotFoundError(f'secret revision "{secret_id}/{revision}" not found')
        del secret.revisions[revision]
        if secret.revisions:
            return
    del model.secrets[secret_id]
    for unit in model.units.values():
        unit.secrets.pop(secret_id, None)


def grant(model: Model, secret_id: str, relation_id: int, subject: str) -> None:
    """Let an application or one unit of it read a secret while the relation lives.

    Raises:
        SecretNotFoundError: There is no such secret.
        SecretError: The relation is gone, or units of that application hold grants of their own.
    """
    secret = find(model, secret_id)
    if relation_id not in model.relations:
        raise SecretError(f"relation {relation_id} not found")
    for held in secret.grants:
        if held.relation_id != relation_id or app_of(held.subject) != app_of(subject):
            continue
        if held.subject in {subject, app_of(subject)}:
            return
        if "/" not in subject:
            raise SecretError(
                "any unit level grants need to be revoked before granting access to the "
                "corresponding application"
            )
    secret.grants.append(Grant(subject, relation_id))


def revoke(
    model: Model, secret_id: str, *, relation_id: int | None = None, subject: str | None = None
) -> None:
    """Take grants back: those over a relation, those of an application or unit, or both.

    Without a relation, the subject loses all its grants; without a subject, the relation does.
    Revoking from an application takes its units' own grants along.

    Raises:
        SecretNotFoundError: There is no such secret.
    """
    secret = find(model, secret_id)

    def goes(held: Grant) -> bool:
        if relation_id is not None and held.relation_id != relation_id:
            return False
        return subject is None or subject in {held.subject, app_of(held.subject)}

    secret.grants = [held for held in secret.grants if not goes(held)]


def forget_remote(model: Model, secret_id: str) -> None:
    """Forget a secret of another model."""
    del model.remote_secrets[secret_id]
    for unit in model.units.values():
        unit.secrets.pop(secret_id, None)


def unit_removed(model: Model, unit: str) -> None:
    """Drop what a unit owned, read and was granted."""
    for held in model.remote_secrets.values():
        held.consumers.pop(unit, None)
    _drop_owned(model, "unit", unit)
    for secret in model.secrets.values():
        secret.consumers.pop(unit, None)
        secret.owner_tracked.pop(unit, None)
        secret.grants = [held for held in secret.grants if held.subject != unit]
        prune(secret)


def application_removed(model: Model, app: str) -> None:
    """Drop what an application owned and was granted."""
    _drop_owned(model, "application", app)
    for secret in model.secrets.values():
        secret.grants = [held for held in secret.grants if app_of(held.subject) != app]


def relation_removed(model: Model, relation_id: int) -> None:
    """Drop the grants that were made over a relation."""
    for secret in model.secrets.values():
        secret.grants = [held for held in secret.grants if held.relation_id != relation_id]


def _drop_owned(model: Model, kind: str, owner: str) -> None:
    for secret in [s for s in model.secrets.values() if (s.owner_kind, s.owner) == (kind, owner)]:
        remove(model, secret.id)
