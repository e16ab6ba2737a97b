"""Hook commands about the charm's own state, storage and resources."""

from __future__ import annotations

from typing import Any

from localjuju.hooks import resources
from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import Flag, UsageError
from localjuju.hooks.relations import FILE_FLAG, string_map
from localjuju.hooks.session import Session
from localjuju.model import StorageAttachment

_STORAGE_FLAG = Flag("storage", ("s",), help="storage instance, as `data/0`")


def _pending(session: Session) -> dict[str, str]:
    """Return the state as this hook will leave it, to be changed in place."""
    if session.buffer.state is None:
        session.buffer.state = dict(session.unit.state)
    return session.buffer.state


def _state_get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    state = session.unit.state if session.buffer.state is None else session.buffer.state
    if not names or names[0] == "-":
        return dict(state)
    if names[0] in state:
        return state[names[0]]
    if call.args.switch("strict"):
        raise CommandError(f'"{names[0]}" not found')
    return NOTHING


def _state_set(session: Session, call: Call) -> Any:
    changes = string_map(call)
    _pending(session).update(changes)
    return NOTHING


def _state_delete(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    if not names or not names[0]:
        raise UsageError("no key specified")
    _pending(session).pop(names[0], None)
    return NOTHING


def _attachments(session: Session) -> dict[str, StorageAttachment]:
    return dict(sorted(session.unit.storage.items()))


def _storage_list(session: Session, call: Call) -> list[str]:
    names = call.at_most(1)
    return [
        number
        for number, attachment in _attachments(session).items()
        if not names or attachment.name == names[0]
    ]


def _storage_get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    given = call.args.text("storage")
    number = given or session.hook.storage_id
    if not number:
        raise UsageError("no storage instance specified")
    attachment = _attachments(session).get(number)
    if attachment is None:
        raise UsageError(f'invalid value "{number}" for option -s: storage not found')
    spec = session.charm.storage.get(attachment.name)
    values = {"kind": spec.kind if spec else "filesystem", "location": attachment.location}
    if not names:
        return values
    if names[0] not in values:
        raise CommandError(f'invalid storage attribute "{names[0]}"')
    return values[names[0]]


def _resource_get(session: Session, call: Call) -> str:
    names = call.at_most(1)
    if not names:
        raise UsageError("missing resource name")
    return resources.place(session, names[0])


COMMANDS: dict[str, Command] = {
    "state-get": Command(
        _state_get,
        "[<key>]",
        (Flag("strict", is_bool=True, help="fail if the key is missing"),),
        prints=True,
        redact=frozenset({"stdout"}),
    ),
    "state-set": Command(_state_set, "key=value [...]", (FILE_FLAG,), redact=frozenset({"args"})),
    "state-delete": Command(_state_delete, "<key>"),
    "storage-list": Command(_storage_list, "[<storage name>]", prints=True),
    "storage-get": Command(_storage_get, "[<key>]", (_STORAGE_FLAG,), prints=True),
    "resource-get": Command(_resource_get, "<resource name>", prints=True),
}
