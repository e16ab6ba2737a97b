"""Secrets that the model owns and operators manage."""

from __future__ import annotations

from collections.abc import Mapping

from localjuju.model import Grant, Model, Secret
from localjuju.secrets._access import user_secret
from localjuju.secrets._changes import create, remove, revoke, update
from localjuju.secrets._values import SecretError


def add_user_secret(
    model: Model,
    name: str,
    data: Mapping[str, str],
    *,
    secret_id: str,
    now: float,
    description: str = "",
) -> Secret:
    """Add a secret that the model owns.

    Raises:
        SecretError: The content is not valid, or the name is taken.
    """
    return create(
        model,
        secret_id=secret_id,
        owner_kind="model",
        owner=model.uuid,
        data=data,
        now=now,
        label=name,
        description=description,
    )


def update_user_secret(
    model: Model,
    reference: str,
    *,
    now: float,
    data: Mapping[str, str] | None = None,
    name: str | None = None,
    description: str | None = None,
    auto_prune: bool | None = None,
) -> int:
    """Change a user secret (name, id or URI); return its newest revision.

    Raises:
        SecretError: There is none, the content is not valid, or the new name is taken.
    """
    secret = user_secret(model, reference)
    return update(
        model,
        secret.id,
        now=now,
        data=data,
        label=name,
        description=description,
        auto_prune=auto_prune,
    )


def grant_user_secret(model: Model, reference: str, app: str) -> None:
    """Let an application read a user secret.

    Raises:
        SecretError: There is no such user secret or application.
    """
    secret = user_secret(model, reference)
    if app not in model.applications:
        raise SecretError(f'application "{app}" not found')
    held = Grant(app, None)
    if held not in secret.grants:
        secret.grants.append(held)


def revoke_user_secret(model: Model, reference: str, app: str) -> None:
    """Take an application's access to a user secret back.

    Raises:
        SecretError: There is no such user secret.
    """
    revoke(model, user_secret(model, reference).id, subject=app)


def remove_user_secret(model: Model, reference: str, revision: int | None = None) -> None:
    """Remove a user secret or one of its revisions.

    Raises:
        SecretError: There is no such user secret or revision.
    """
    remove(model, user_secret(model, reference).id, revision)
