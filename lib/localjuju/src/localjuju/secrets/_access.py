"""Which secret is meant, and who may read and change it."""

from __future__ import annotations

from localjuju.model import Model, RemoteSecret, Secret
from localjuju.secrets._values import (
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    is_uri,
    parse_uri,
)


def app_of(subject: str) -> str:
    """Return the application of a unit, or the application itself."""
    return subject.partition("/")[0]


def find(model: Model, secret_id: str) -> Secret:
    """Return the secret with this id.

    Raises:
        SecretNotFoundError: There is none.
    """
    secret = model.secrets.get(secret_id)
    if secret is None:
        raise SecretNotFoundError(f'secret "{secret_id}" not found')
    return secret


def is_owner(secret: Secret, unit: str) -> bool:
    """Tell whether the unit, or its application, owns the secret."""
    if secret.owner_kind == "unit":
        return secret.owner == unit
    return secret.owner_kind == "application" and secret.owner == app_of(unit)


def is_manager(model: Model, secret: Secret, unit: str) -> bool:
    """Tell whether the unit may change the secret: its owner unit, or the leader."""
    if not is_owner(secret, unit):
        return False
    return secret.owner_kind == "unit" or model.applications[secret.owner].leader == unit


def can_read(model: Model, secret: Secret, unit: str) -> bool:
    """Tell whether the unit may read the secret: as owner, or by a grant that still holds."""
    if is_owner(secret, unit):
        return True
    subjects = {unit, app_of(unit)}
    return any(
        grant.subject in subjects and _holds(model, grant.relation_id) for grant in secret.grants
    )


def _holds(model: Model, relation_id: int | None) -> bool:
    """Tell whether the relation of a grant lets data pass; a user secret's grant has none."""
    if relation_id is None:
        return True
    relation = model.relations.get(relation_id)
    return relation is not None and not relation.suspended


def manage(model: Model, secret_id: str, unit: str) -> Secret:
    """Return the secret for a change by this unit.

    Raises:
        SecretNotFoundError: There is no such secret.
        SecretDeniedError: The unit does not own it, or does not lead the owning application.
    """
    secret = find(model, secret_id)
    if not is_owner(secret, unit):
        raise SecretDeniedError("permission denied")
    if not is_manager(model, secret, unit):
        raise SecretDeniedError("this unit is not the leader")
    return secret


def owned_by_label(model: Model, unit: str, label: str) -> Secret | None:
    """Return the secret that the unit or its application owns under this label."""
    return next(
        (s for s in model.secrets.values() if s.label == label and is_owner(s, unit)), None
    )


def consumed_by_label(model: Model, unit: str, label: str) -> Secret | RemoteSecret | None:
    """Return the secret, of any model, that the unit reads under a label of its own."""
    for secret in (*model.secrets.values(), *model.remote_secrets.values()):
        consumer = secret.consumers.get(unit)
        if consumer is not None and consumer.label == label:
            return secret
    return None


def label_for(secret: Secret, unit: str) -> str:
    """Return the label under which this unit knows the secret; may be empty."""
    if is_owner(secret, unit):
        return secret.label
    consumer = secret.consumers.get(unit)
    return consumer.label if consumer is not None else ""


def managed(model: Model, unit: str) -> list[Secret]:
    """Return the secrets that the unit may change, by id."""
    return [s for _, s in sorted(model.secrets.items()) if is_manager(model, s, unit)]


def user_secret(model: Model, reference: str) -> Secret:
    """Return the user secret with this name, id or URI.

    Raises:
        SecretNotFoundError: There is none, or a charm owns it.
    """
    for secret in model.secrets.values():
        if secret.owner_kind == "model" and secret.label == reference:
            return secret
    if is_uri(reference):
        secret = model.secrets.get(parse_uri(reference))
        if secret is not None and secret.owner_kind == "model":
            return secret
    raise SecretNotFoundError(f'secret "{reference}" not found')


def check_owner_label(model: Model, kind: str, owner: str, label: str, own_id: str) -> None:
    """Refuse a label that another secret of the same owner has.

    Raises:
        SecretError: It is taken.
    """
    if not label:
        return
    for secret in model.secrets.values():
        if secret.id != own_id and (secret.owner_kind, secret.owner, secret.label) == (
            kind,
            owner,
            label,
        ):
            word = "name" if kind == "model" else "label"
            raise SecretError(f'secret with {word} "{label}" already exists')


def check_consumer_label(model: Model, unit: str, label: str, own_id: str) -> None:
    """Refuse a label by which the unit knows another secret.

    Raises:
        SecretError: It is taken.
    """
    for secret in (owned_by_label(model, unit, label), consumed_by_label(model, unit, label)):
        if secret is not None and secret.id != own_id:
            raise SecretError(f'secret with label "{label}" already exists')
