"""From the arguments of secret commands to the changes that a hook has pending."""

from __future__ import annotations

import base64

from localjuju import secrets
from localjuju.hooks.buffer import PendingSecret
from localjuju.hooks.command import Call, CommandError
from localjuju.hooks.flags import UsageError
from localjuju.hooks.formats import InputError, parse_expiry, read_string_map
from localjuju.hooks.session import Session


def secret_id_in(text: str) -> str:
    """Return the id that a URI or bare id names.

    Raises:
        UsageError: It names none.
    """
    try:
        return secrets.parse_uri(text)
    except secrets.SecretError as error:
        raise UsageError(str(error)) from None


def content_in(call: Call, words: tuple[str, ...]) -> dict[str, str]:
    """Return the content that the arguments give, values in base64."""
    data: dict[str, str] = {}
    name = call.args.text("file")
    if name is not None:
        try:
            given = read_string_map(call.file(name).decode("utf-8", "replace"))
        except InputError as error:
            raise CommandError(str(error)) from None
        words = (*(f"{key}={value}" for key, value in given.items()), *words)
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f'invalid key value "{word.partition("=")[0]}"')
        if key.endswith("#base64"):
            key = key.removesuffix("#base64")
            data[key] = value
        elif key.endswith("#file"):
            key = key.removesuffix("#file")
            data[key] = base64.b64encode(call.file(value)).decode()
        else:
            data[key] = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
    if data:
        secrets.check_content(data)
    return data


def fill(session: Session, call: Call, pending: PendingSecret, data: dict[str, str]) -> None:
    """Put metadata and content into a pending change, all checked before any is kept."""
    expire, rotate = call.args.text("expire"), call.args.text("rotate")
    expires = None
    if expire is not None:
        try:
            expires = parse_expiry(expire, session.now)
        except ValueError:
            raise UsageError(f'expire time or duration "{expire}" not valid') from None
    if rotate is not None:
        secrets.check_rotation(rotate)
    label = call.args.text("label")
    if label:
        check_label(session, pending, label)
    pending.label = pending.label if label is None else label
    description = call.args.text("description")
    pending.description = pending.description if description is None else description
    pending.expires = pending.expires if expires is None else expires
    pending.rotate = pending.rotate if rotate is None else rotate
    pending.data = data or pending.data


def _owner_of(session: Session, secret_id: str) -> str:
    pending = session.buffer.secrets.get(secret_id)
    if pending is not None and pending.owner_kind:
        return pending.owner_kind
    return session.model.secrets[secret_id].owner_kind


def check_label(session: Session, pending: PendingSecret, label: str) -> None:
    """Refuse a label that another secret of the same owner has, or will have."""
    kind = pending.owner_kind or _owner_of(session, pending.id)
    for secret in secrets.managed(session.model, session.unit_name):
        buffered = session.buffer.secrets.get(secret.id)
        current = secret.label if buffered is None or buffered.label is None else buffered.label
        if secret.id != pending.id and secret.owner_kind == kind and current == label:
            raise CommandError(f'secret with label "{label}" already exists')
    for other in session.buffer.secrets.values():
        if other.id != pending.id and other.owner_kind == kind and other.label == label:
            raise CommandError(f'secret with label "{label}" already exists')


def made_here(session: Session, secret_id: str) -> PendingSecret | None:
    """Return the pending record of a secret that was made in this hook."""
    pending = session.buffer.secrets.get(secret_id)
    return pending if pending is not None and pending.owner_kind else None


def own_by_label(session: Session, label: str) -> str | None:
    """Return the id of the secret that the unit or its application owns under this label."""
    for pending in session.buffer.secrets.values():
        if pending.label == label:
            return pending.id
    found = secrets.owned_by_label(session.model, session.unit_name, label)
    if found is None:
        return None
    pending = session.buffer.secrets.get(found.id)
    return found.id if pending is None or pending.label is None else None


def by_label(session: Session, label: str) -> str:
    """Return the id of the secret that the unit knows under this label, as owner or reader."""
    own = own_by_label(session, label)
    if own is not None:
        return own
    found = secrets.consumed_by_label(session.model, session.unit_name, label)
    if found is None:
        raise CommandError(f'consumer label "{label}" not found')
    return found.id


def changes_of(session: Session, secret_id: str) -> PendingSecret:
    """Return the record for changes of a secret that this unit manages."""
    pending = session.buffer.secrets.get(secret_id)
    if pending is None or not pending.owner_kind:
        secrets.manage(session.model, secret_id, session.unit_name)
    return session.buffer.secrets.setdefault(secret_id, PendingSecret(secret_id))
