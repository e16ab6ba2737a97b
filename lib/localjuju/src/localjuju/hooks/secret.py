"""Hook commands about secrets: they read the model and fill the buffer; rules are in `secrets`."""

from __future__ import annotations

import base64
from typing import Any

from localjuju import crossmodel, secrets
from localjuju.hooks.buffer import PendingSecret
from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import Flag, UsageError
from localjuju.hooks.formats import rfc3339
from localjuju.hooks.pending import (
    by_label,
    changes_of,
    check_label,
    content_in,
    fill,
    made_here,
    own_by_label,
    secret_id_in,
)
from localjuju.hooks.relations import FILE_FLAG, RELATION_FLAG, relation_of
from localjuju.hooks.session import Session
from localjuju.model import Relation, Secret

_META = (
    Flag("label", help="label by which hooks know the secret"),
    Flag("description", help="what the secret is for"),
    Flag("expire", help="RFC 3339 time or duration like 1h30m"),
    Flag("rotate", help="never, hourly, daily, weekly, monthly, quarterly or yearly"),
    Flag("owner", help="application or unit"),
    FILE_FLAG,
)


def _add(session: Session, call: Call) -> str:
    data = content_in(call, call.args.positional)
    if not data:
        raise UsageError("missing secret value or filename")
    owner = call.args.text("owner") or "application"
    kinds = {
        "application": "application",
        "unit": "unit",
        session.unit.app: "application",
        session.unit_name: "unit",
    }
    kind = kinds.get(owner)
    if kind is None:
        raise UsageError(f'secret owner "{owner}" not valid')
    if kind == "application" and not session.is_leader:
        raise CommandError("this unit is not the leader")
    pending = PendingSecret(secrets.new_id(session.random_bytes), owner_kind=kind)
    fill(session, call, pending, data)
    session.buffer.secrets[pending.id] = pending
    return secrets.uri(pending.id)


def _set(session: Session, call: Call) -> Any:
    words = call.args.positional
    if not words:
        raise UsageError("missing secret URI")
    secret_id = secret_id_in(words[0])
    data = content_in(call, words[1:])
    if not data and not any(call.args.text(flag.name) is not None for flag in _META):
        raise UsageError("at least one attribute to update must be specified")
    known = secret_id in session.buffer.secrets
    pending = changes_of(session, secret_id)
    try:
        fill(session, call, pending, data)
    except (CommandError, UsageError, secrets.SecretError):
        if not known:
            del session.buffer.secrets[secret_id]
        raise
    return NOTHING


def _get(session: Session, call: Call) -> Any:
    words = call.at_most(2)
    label = call.args.text("label")
    refresh, peek = call.args.switch("refresh"), call.args.switch("peek")
    if refresh and peek:
        raise UsageError("specify one of --peek or --refresh but not both")
    owner = session.model
    if words:
        secret_id_in(words[0])
        owner, secret_id = session.secret_owner(words[0])
    elif label:
        owner, secret_id = session.secret_owner(by_label(session, label))
    else:
        raise UsageError("require either a secret URI or label")
    if owner is None:
        raise CommandError(f'secret "{secret_id}" not found')
    if owner is not session.model:
        revision = crossmodel.read_secret(
            session.model,
            session.unit_name,
            owner,
            secret_id,
            label=label if words else None,
            refresh=refresh,
            peek=peek,
        )
        session.touched()
        return _chosen(revision.data, words)
    data = _read(session, secret_id, label if words else None, refresh, peek)
    return _chosen(data, words)


def _chosen(data: dict[str, str], words: tuple[str, ...]) -> Any:
    """Return the content of a secret as text, or the value of the key that is asked for."""
    key = words[1] if len(words) > 1 else ""
    if not key:
        return {name: _text(value) for name, value in data.items()}
    name, _, encoding = key.partition("#")
    if name not in data:
        raise CommandError(f'secret key value "{name}" not found')
    return data[name] if encoding == "base64" else _text(data[name])


def _read(
    session: Session, secret_id: str, label: str | None, refresh: bool, peek: bool
) -> dict[str, str]:
    pending = session.buffer.secrets.get(secret_id)
    if pending is not None and pending.data is not None:
        if pending.owner_kind:  # made in this hook: there is only the one revision
            if label and label != pending.label:
                check_label(session, pending, label)
                pending.label = label
            return pending.data
        if refresh or peek:
            pending.track = pending.track or refresh
            return pending.data
    revision, changed = secrets.read(
        session.model,
        session.unit_name,
        secret_id=secret_id,
        label=label,
        refresh=refresh,
        peek=peek,
    )
    if changed:
        session.touched()
    return revision.data


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8", "replace")


def _info_get(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    label = call.args.text("label")
    if words:
        secret_id = secret_id_in(words[0])
    elif label:
        found = own_by_label(session, label)
        if found is None:
            raise CommandError(f'secret "{label}" not found')
        secret_id = found
    else:
        raise UsageError("require either a secret URI or label")
    pending = session.buffer.secrets.get(secret_id) or PendingSecret(secret_id)
    if pending.owner_kind:
        return {secret_id: _overlay({"revision": 1, "owner": pending.owner_kind}, pending, None)}
    secret = session.model.secrets.get(secret_id)
    if secret is None or not secrets.is_manager(session.model, secret, session.unit_name):
        raise CommandError(f'secret "{secret_id}" not found')
    return {secret_id: _overlay(_info(session, secret), pending, secret)}


def _info(session: Session, secret: Secret) -> dict[str, Any]:
    info: dict[str, Any] = {"revision": secret.latest, "owner": secret.owner_kind}
    newest = secret.revisions.get(secret.latest)
    if newest is not None and newest.expires is not None:
        info["expiry"] = rfc3339(newest.expires)
    if secret.next_rotate is not None:
        info["rotates"] = rfc3339(secret.next_rotate)
    access = [
        {
            "target": _tag(grant.subject),
            "scope": f"relation-{_key(session.model.relations[grant.relation_id])}",
            "role": grant.role,
        }
        for grant in secret.grants
        if grant.relation_id is not None and grant.relation_id in session.model.relations
    ]
    if access:
        info["access"] = access
    return info


def _overlay(
    info: dict[str, Any], pending: PendingSecret, secret: Secret | None
) -> dict[str, Any]:
    """Add metadata as the hook sees it: its own changes over what the model has."""
    label = pending.label if pending.label is not None else secret.label if secret else ""
    text = pending.description
    description = text if text is not None else secret.description if secret else ""
    info["label"] = label
    if description:
        info["description"] = description
    info["rotation"] = pending.rotate or (secret.rotate if secret else "never")
    if pending.expires is not None:
        info["expiry"] = rfc3339(pending.expires)
    return info


def _tag(subject: str) -> str:
    return f"unit-{subject.replace('/', '-')}" if "/" in subject else f"application-{subject}"


def _key(relation: Relation) -> str:
    return relation.key.replace(":", ".").replace(" ", "#")


def _ids(session: Session, call: Call) -> list[str]:
    call.at_most(0)
    stored = {s.id for s in secrets.managed(session.model, session.unit_name)}
    gone = {p.id for p in session.buffer.secrets.values() if p.removed}
    fresh = {p.id for p in session.buffer.secrets.values() if p.owner_kind}
    return sorted((stored - gone) | fresh)


def _subject(session: Session, call: Call, relation: Relation) -> str:
    """Return the application or unit that a grant is for; it must be on the other side."""
    remote = session.remote_app(relation)
    unit = call.args.text("unit")
    if not unit:
        return remote
    if unit.partition("/")[0] != remote:
        raise CommandError(f'unit "{unit}" is not in relation "{relation.key}"')
    return unit


def _grant(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    if not words:
        raise UsageError("missing secret URI")
    if not call.args.text("relation"):
        raise UsageError("missing relation id")
    secret_id = secret_id_in(words[0])
    relation = relation_of(session, call)
    subject = _subject(session, call, relation)
    pending = changes_of(session, secret_id)
    stored = session.model.secrets.get(secret_id)
    held = [(g.relation_id, g.subject) for g in stored.grants] if stored is not None else []
    held += pending.grants
    app = subject.partition("/")[0]
    same = [s for number, s in held if number == relation.id and s.partition("/")[0] == app]
    same = [s for s in same if not _revoked(pending, relation.id, s)]
    if subject in same or app in same:
        return NOTHING
    if same and "/" not in subject:
        raise CommandError(
            "any unit level grants need to be revoked before granting access to the "
            "corresponding application"
        )
    pending.grants.append((relation.id, subject))
    return NOTHING


def _revoked(pending: PendingSecret, relation_id: int, subject: str) -> bool:
    return any(
        number in {None, relation_id} and target in {None, subject, subject.partition("/")[0]}
        for number, target in pending.revokes
    )


def _revoke(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    if not words:
        raise UsageError("missing secret URI")
    secret_id = secret_id_in(words[0])
    app, unit = call.args.text("app"), call.args.text("unit")
    if not (app or unit or call.args.text("relation")):
        raise UsageError("missing relation, application or unit")
    relation = relation_of(session, call) if call.args.text("relation") else None
    pending = changes_of(session, secret_id)
    number = relation.id if relation is not None else None
    subject = unit or app
    # A grant that this hook made goes at once; a stored one at the end of the hook.
    pending.grants = [
        (held, target)
        for held, target in pending.grants
        if not (
            (number is None or held == number)
            and (subject is None or subject in {target, target.partition("/")[0]})
        )
    ]
    pending.revokes.append((number, subject))
    return NOTHING


def _remove(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    if not words:
        raise UsageError("missing secret URI")
    secret_id = secret_id_in(words[0])
    text = call.args.text("revision")
    if text is not None and not text.isdigit():
        raise UsageError(f'invalid value "{text}" for option --revision')
    if made_here(session, secret_id) is not None:
        del session.buffer.secrets[secret_id]
        return NOTHING
    pending = changes_of(session, secret_id)
    if text is None or int(text) == 0:
        session.buffer.secrets[secret_id] = PendingSecret(secret_id, removed=True)
    elif int(text) not in pending.removed_revisions:
        pending.removed_revisions.append(int(text))
    return NOTHING


_VALUES = frozenset({"args"})

COMMANDS: dict[str, Command] = {
    "secret-add": Command(_add, "[key[#base64|#file]=value...]", _META, redact=_VALUES),
    "secret-set": Command(_set, "<ID> [key[#base64|#file]=value...]", _META, redact=_VALUES),
    "secret-get": Command(
        _get,
        "<ID> [key[#base64]]",
        (
            Flag("label", help="label of the secret"),
            Flag("refresh", is_bool=True, help="track the newest revision from now on"),
            Flag("peek", is_bool=True, help="look at the newest revision only"),
        ),
        prints=True,
        redact=frozenset({"stdout"}),
    ),
    "secret-info-get": Command(
        _info_get, "<ID>", (Flag("label", help="label of the secret"),), prints=True
    ),
    "secret-ids": Command(_ids, "", prints=True),
    "secret-grant": Command(_grant, "<ID>", (RELATION_FLAG, Flag("unit", help="only this unit"))),
    "secret-revoke": Command(
        _revoke,
        "<ID>",
        (
            RELATION_FLAG,
            Flag("app", ("application",), help="from this application"),
            Flag("unit", help="from this unit"),
        ),
    ),
    "secret-remove": Command(_remove, "<ID>", (Flag("revision", help="only this revision"),)),
}
