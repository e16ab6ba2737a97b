"""Hook commands about relations and their data bags."""

from __future__ import annotations

import re
from typing import Any

from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import Flag, UsageError
from localjuju.hooks.formats import InputError, read_string_map
from localjuju.hooks.session import Session
from localjuju.model import HookKind, Relation

RELATION_FLAG = Flag("relation", ("r",), help="relation, as `7` or `endpoint:7`")
APP_FLAG = Flag("app", is_bool=True, help="of the application instead of the unit")
FILE_FLAG = Flag("file", help="read from this file, `-` for standard input")

_APP = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]*[a-z][a-z0-9]*)*")
_UNIT = re.compile(_APP.pattern + r"/\d+")


def relation_of(session: Session, call: Call) -> Relation:
    """Return the relation that `-r` names, else the hook's own.

    Raises:
        UsageError: There is no such relation, or none was named outside a relation hook.
    """
    reference = call.args.text("relation")
    if not reference:
        number = session.hook.relation_id
        if number is None:
            raise UsageError("no relation id specified")
    else:
        digits = reference.rpartition(":")[2]
        if not digits.isdigit():
            raise UsageError(f'invalid value "{reference}" for option -r: invalid relation id')
        number = int(digits)
    relation = session.relations().get(number)
    if relation is None:
        shown = reference or number
        raise UsageError(f'invalid value "{shown}" for option -r: relation not found')
    return relation


def key_values(texts: tuple[str, ...]) -> dict[str, str]:
    """Split `key=value` arguments.

    Raises:
        UsageError: One has no `=` or an empty key.
    """
    result: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f'expected "key=value" parameters, got "{text}"')
        result[key] = value
    return result


def string_map(call: Call) -> dict[str, str]:
    """Return what `--file` holds, overridden by the `key=value` arguments.

    Raises:
        CommandError: The file cannot be read, or is not a map of strings.
        UsageError: An argument is not `key=value`.
    """
    overrides = key_values(call.args.positional)
    name = call.args.text("file")
    if name is None:
        return overrides
    try:
        return {**read_string_map(call.file(name).decode("utf-8", "replace")), **overrides}
    except InputError as error:
        raise CommandError(str(error)) from None


def _relation_ids(session: Session, call: Call) -> list[str]:
    names = call.at_most(1)
    endpoint = names[0] if names else ""
    if not endpoint and session.hook.relation_id is not None:
        endpoint = session.hook.prefix
    if not endpoint:
        raise UsageError("no endpoint name specified")
    broken = session.hook.kind is HookKind.RELATION_BROKEN
    return sorted(
        f"{endpoint}:{number}"
        for number, relation in session.relations().items()
        if session.own_end(relation).endpoint == endpoint
        and not (broken and number == session.hook.relation_id)
    )


def _relation_list(session: Session, call: Call) -> Any:
    relation = relation_of(session, call)
    call.at_most(0)
    if call.args.switch("app"):
        return session.remote_app(relation)
    return session.members(relation)


def _target(session: Session, call: Call, given: str) -> tuple[str, bool]:
    """Return whose bag relation-get means, and whether it is an application's."""
    app = call.args.switch("app")
    hook = session.hook
    if given:
        if app:
            return given.partition("/")[0], True
        if _UNIT.fullmatch(given):
            return given, False
        if _APP.fullmatch(given):
            raise UsageError(f'expected unit name, got application name "{given}"')
        raise UsageError(f'invalid unit name "{given}"')
    if hook.remote_unit and not app:
        return hook.remote_unit, False
    if hook.remote_app:
        return hook.remote_app, True
    raise UsageError("no unit or application specified")


def _relation_get(session: Session, call: Call) -> Any:
    relation = relation_of(session, call)
    key, given = (*call.at_most(2), "", "")[:2]
    entity, is_app = _target(session, call, given)
    data = _app_bag(session, relation, entity) if is_app else _unit_bag(session, relation, entity)
    return data if key in {"", "-"} else data.get(key)


def _app_bag(session: Session, relation: Relation, app: str) -> dict[str, str]:
    own = session.unit.app
    if app == own and session.is_leader:
        return session.own_bag(relation, app)
    if app != session.remote_app(relation):  # own application in a relation to another, or alien
        raise CommandError("permission denied")
    return session.remote_bag(relation, app) or {}


def _unit_bag(session: Session, relation: Relation, unit: str) -> dict[str, str]:
    if unit == session.unit_name:
        return session.own_bag(relation, unit)
    if unit.partition("/")[0] != session.remote_app(relation):
        raise CommandError("permission denied")
    data = session.remote_bag(relation, unit)
    if data is None:
        raise CommandError(
            f'cannot read settings for unit "{unit}" in relation "{relation.key}": '
            f'unit "{unit}": settings not found'
        )
    return data


def _relation_set(session: Session, call: Call) -> Any:
    relation = relation_of(session, call)
    changes = string_map(call)
    if call.args.switch("app"):
        if not session.is_leader:
            raise CommandError("cannot write relation settings")
        entity = session.unit.app
    else:
        entity = session.unit_name
    session.buffer.bags.setdefault((relation.id, entity), {}).update(changes)
    return NOTHING


def _relation_model_get(session: Session, call: Call) -> dict[str, str]:
    relation = relation_of(session, call)
    call.at_most(0)
    return {"uuid": session.model_behind(relation)}


COMMANDS: dict[str, Command] = {
    "relation-ids": Command(_relation_ids, "<endpoint>", prints=True),
    "relation-list": Command(_relation_list, "", (RELATION_FLAG, APP_FLAG), prints=True),
    "relation-get": Command(
        _relation_get,
        "<key>|- <unit or application>",
        (RELATION_FLAG, APP_FLAG),
        prints=True,
    ),
    "relation-set": Command(
        _relation_set,
        "key=value [...]",
        # Juju accepts --format here and ignores it, as old charms still send it.
        (RELATION_FLAG, APP_FLAG, FILE_FLAG, Flag("format", help="ignored")),
        redact=frozenset({"args"}),
    ),
    "relation-model-get": Command(_relation_model_get, "", (RELATION_FLAG,), prints=True),
}
