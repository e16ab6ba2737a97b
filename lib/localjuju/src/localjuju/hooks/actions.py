"""Hook commands of actions."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, cast

from localjuju.hooks.buffer import ActionOutcome
from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import UsageError
from localjuju.hooks.session import Session
from localjuju.model import Action

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_RESERVED = frozenset({"stdout", "stderr", "stdout-encoding", "stderr-encoding"})


def with_defaults(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with the schema's defaults filled in, also inside objects.

    Args:
        schema: An action's entry in the charm: `params` (or a JSON schema's `properties`).
        given: The parameters as they were queued.
    """
    result = copy.deepcopy(dict(given))
    properties = cast("Mapping[str, Any]", schema.get("params") or schema.get("properties") or {})
    for name, raw in properties.items():
        if not isinstance(raw, Mapping):
            continue
        spec = cast("Mapping[str, Any]", raw)
        if name not in result and "default" in spec:
            result[name] = copy.deepcopy(spec["default"])
        inner = result.get(name, {} if _has_defaults(spec) else None)
        if "properties" in spec and isinstance(inner, Mapping):
            result[name] = with_defaults(spec, cast("Mapping[str, Any]", inner))
    return result


def _has_defaults(schema: Mapping[str, Any]) -> bool:
    specs = cast("Mapping[str, Any]", schema.get("properties") or {}).values()
    return any(
        isinstance(spec, Mapping)
        and ("default" in spec or _has_defaults(cast("Mapping[str, Any]", spec)))
        for spec in specs
    )


def _running(session: Session) -> tuple[Action, ActionOutcome]:
    action, outcome = session.action, session.outcome
    if action is None or outcome is None:
        raise CommandError("not running an action")
    return action, outcome


def _get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    action, _ = _running(session)
    value: Any = with_defaults(session.charm.actions.get(action.name, {}), action.parameters)
    if not names:
        return value
    for part in names[0].split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = cast("dict[str, Any]", value)[part]
    return value


def _set(session: Session, call: Call) -> Any:
    pairs: list[tuple[list[str], str]] = []
    for text in call.args.positional:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'argument "{text}" must be of the form key...=value')
        if key in _RESERVED:
            raise UsageError(f'cannot set reserved action key "{key}"')
        parts = key.split(".")
        if not all(_KEY.fullmatch(part) for part in parts):
            raise UsageError(
                f'key "{key}" must start and end with lowercase alphanumeric, and contain only '
                "lowercase alphanumeric, hyphens and periods"
            )
        pairs.append((parts, value))
    _, outcome = _running(session)
    for parts, value in pairs:
        target: dict[str, Any] = outcome.results
        for part in parts[:-1]:
            inner = target.get(part)
            if not isinstance(inner, dict):
                inner = target[part] = {}
            target = cast("dict[str, Any]", inner)
        target[parts[-1]] = value
    return NOTHING


def _fail(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    _, outcome = _running(session)
    outcome.failed = True
    outcome.message = (
        words[0] if words else "action failed without reason given, check action for errors"
    )
    return NOTHING


def _log(session: Session, call: Call) -> Any:
    if not call.args.positional:
        raise UsageError("no message specified")
    action, _ = _running(session)
    action.log.append((session.now, " ".join(call.args.positional)))
    session.touched()
    return NOTHING


COMMANDS: dict[str, Command] = {
    "action-get": Command(_get, "[<key>[.<key>...]]", prints=True, redact=frozenset({"stdout"})),
    "action-set": Command(_set, "<key>[.<key>...]=<value> [...]", redact=frozenset({"args"})),
    "action-fail": Command(_fail, "[<message>]", redact=frozenset({"message"})),
    "action-log": Command(_log, "<message>", redact=frozenset({"message"})),
}
