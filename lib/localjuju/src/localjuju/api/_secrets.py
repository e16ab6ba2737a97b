"""Secrets: list and show all, add and change those of operators."""

from __future__ import annotations

import os

from localjuju import changes, secrets, views
from localjuju.api._calls import Call, Data, Method
from localjuju.changes import ChangeError
from localjuju.model import Model, Secret


async def list_secrets(call: Call) -> Data:
    """Return all secrets without their content, or those of one owner."""
    owner = call.params.optional("owner")
    wanted = {"model": "<model>"}.get(owner or "", owner)
    wanted = wanted.removeprefix("application-").removeprefix("unit-") if wanted else None
    found = {
        number: views.secret(call.model, secret)
        for number, secret in sorted(call.model.secrets.items())
    }
    for entry in found.values():
        entry.pop("access", None)
    return {n: e for n, e in found.items() if wanted is None or e["owner"] == wanted}


async def show_secret(call: Call) -> Data:
    """Return one secret, with its content when that is asked for."""
    params = call.params
    secret = _find(call.model, params.text("reference"))
    revision = None
    if params.flag("reveal"):
        number = params.number("revision") if "revision" in params.raw else secret.latest
        revision = secret.revisions.get(number)
        if revision is None:
            raise ChangeError(f'secret revision "{secret.id}/{number}" not found')
    return {
        secret.id: views.secret(
            call.model, secret, revision=revision, all_=params.flag("revisions")
        )
    }


def _find(model: Model, reference: str) -> Secret:
    for secret in model.secrets.values():
        if secret.owner_kind == "model" and secret.label == reference:
            return secret
    if secrets.is_uri(reference):
        found = model.secrets.get(secrets.parse_uri(reference))
        if found is not None:
            return found
    raise ChangeError(f'secret "{reference}" not found')


async def add_secret(call: Call) -> str:
    """Add a user secret; return its URI."""
    params, now = call.params, call.now
    name, data = params.text("name"), params.mapping("data")
    secret = await call.change(
        lambda model: changes.add_secret(
            model,
            name,
            data,
            secret_id=secrets.new_id(os.urandom),
            now=now,
            description=params.optional("info") or "",
        )
    )
    return secrets.uri(secret.id)


async def update_secret(call: Call) -> int:
    """Change a user secret; return its newest revision."""
    params, now = call.params, call.now
    reference, data = params.text("reference"), params.mapping("data")
    return await call.change(
        lambda model: changes.update_secret(
            model,
            reference,
            now=now,
            data=data or None,
            name=params.optional("name"),
            description=params.optional("info"),
            auto_prune=params.flag("auto_prune") if "auto_prune" in params.raw else None,
        )
    )


async def grant_secret(call: Call) -> None:
    """Let applications read a user secret."""
    reference, apps = call.params.text("reference"), call.params.texts("apps")
    await call.change(lambda model: changes.grant_secret(model, reference, apps))


async def revoke_secret(call: Call) -> None:
    """Take applications' access to a user secret back."""
    reference, apps = call.params.text("reference"), call.params.texts("apps")
    await call.change(lambda model: changes.revoke_secret(model, reference, apps))


async def remove_secret(call: Call) -> None:
    """Remove a user secret, or one revision of it."""
    params = call.params
    reference = params.text("reference")
    revision = params.number("revision") if "revision" in params.raw else None
    await call.change(lambda model: changes.remove_secret(model, reference, revision))


METHODS: dict[str, Method] = {
    "secrets": list_secrets,
    "show_secret": show_secret,
    "add_secret": add_secret,
    "update_secret": update_secret,
    "grant_secret": grant_secret,
    "revoke_secret": revoke_secret,
    "remove_secret": remove_secret,
}
