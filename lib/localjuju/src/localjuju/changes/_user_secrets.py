"""User secrets: those that operators add, and grant to applications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from localjuju import secrets
from localjuju.changes._errors import ChangeError, application
from localjuju.model import Model, Secret

P = ParamSpec("P")
T = TypeVar("T")


def _refusing(
    change: Callable[Concatenate[Model, P], T],
) -> Callable[Concatenate[Model, P], T]:
    """Let a rule of secrets that is broken be a refused change."""

    def wrapped(model: Model, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return change(model, *args, **kwargs)
        except secrets.SecretError as error:
            raise ChangeError(str(error)) from error

    return wrapped


@_refusing
def add_secret(
    model: Model,
    name: str,
    data: Mapping[str, str],
    *,
    secret_id: str,
    now: float,
    description: str = "",
) -> Secret:
    """Add a user secret; `data` maps keys to base64 text."""
    return secrets.add_user_secret(
        model, name, data, secret_id=secret_id, now=now, description=description
    )


@_refusing
def update_secret(
    model: Model,
    reference: str,
    *,
    now: float,
    data: Mapping[str, str] | None = None,
    name: str | None = None,
    description: str | None = None,
    auto_prune: bool | None = None,
) -> int:
    """Change a user secret (by name, id or URI); return its newest revision."""
    return secrets.update_user_secret(
        model,
        reference,
        now=now,
        data=data,
        name=name,
        description=description,
        auto_prune=auto_prune,
    )


@_refusing
def grant_secret(model: Model, reference: str, apps: Iterable[str]) -> None:
    """Let applications read a user secret."""
    names = list(apps)
    for name in names:
        application(model, name)
    for name in names:
        secrets.grant_user_secret(model, reference, name)


@_refusing
def revoke_secret(model: Model, reference: str, apps: Iterable[str]) -> None:
    """Take applications' access to a user secret back."""
    names = list(apps)
    for name in names:
        application(model, name)
    for name in names:
        secrets.revoke_user_secret(model, reference, name)


@_refusing
def remove_secret(model: Model, reference: str, revision: int | None = None) -> None:
    """Remove a user secret or one of its revisions."""
    secrets.remove_user_secret(model, reference, revision)
