"""Check an action's parameters against its JSON schema, and fill in the defaults.

The keywords are those that charms use in actions.yaml (JSON Schema draft 4 as Juju reads it);
the texts of errors are built like Juju's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

Schema = Mapping[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "null": lambda v: v is None,
}


class SchemaError(Exception):
    """Parameters do not fit their schema; the text names the parameter and the rule."""


def check(schema: Schema, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with defaults filled in.

    Args:
        schema: The schema of an object: `properties`, `required`, `additionalProperties`, …
        parameters: As given.

    Raises:
        SchemaError: They break the schema.
    """
    filled = _filled(schema, dict(parameters))
    _check("(root)", schema, filled)
    return cast(dict[str, Any], filled)


def _filled(schema: Schema, value: Any) -> Any:
    """Insert the defaults of properties that are missing, at every depth."""
    if not isinstance(value, dict):
        return value
    result = cast(dict[str, Any], value)
    for name, raw in _properties(schema).items():
        if name not in result and "default" in raw:
            result[name] = raw["default"]
        elif name not in result and _properties(raw):
            inner = _filled(raw, {})
            if inner:
                result[name] = inner
        elif name in result:
            result[name] = _filled(raw, result[name])
    return result


def _properties(schema: Schema) -> dict[str, Schema]:
    found = schema.get("properties")
    if not isinstance(found, dict):
        return {}
    return {
        str(name): cast(Schema, body) if isinstance(body, dict) else {}
        for name, body in cast(dict[Any, Any], found).items()
    }


def _check(where: str, schema: Schema, value: Any) -> None:
    for keyword, rule in _RULES.items():
        if keyword in schema:
            problem = rule(schema[keyword], value)
            if problem:
                raise SchemaError(f"{where} : {problem}, given {_shown(value)}")
    if isinstance(value, dict):
        _check_object(where, schema, cast(dict[str, Any], value))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(cast(list[Any], value)):
            _check(f"{where}.{index}", schema["items"], item)


def _check_object(where: str, schema: Schema, value: dict[str, Any]) -> None:
    properties = _properties(schema)
    for name in schema.get("required") or ():
        if name not in value:
            raise SchemaError(
                f'{where} : "{name}" property is missing and required, given {_shown(value)}'
            )
    extra = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            _check(f"{where}.{name}", properties[name], item)
        elif extra is False:
            raise SchemaError(
                f'{where} : additional property "{name}" is not allowed, given {_shown(value)}'
            )
        elif isinstance(extra, dict):
            _check(f"{where}.{name}", cast(Schema, extra), item)


def _type(wanted: Any, value: Any) -> str:
    names = [wanted] if isinstance(wanted, str) else list(cast(Sequence[str], wanted))
    if any(_TYPES.get(name, lambda _: True)(value) for name in names):
        return ""
    return f"must be of type {' or '.join(names)}"


def _enum(wanted: Any, value: Any) -> str:
    allowed = cast(list[Any], wanted)
    if value in allowed:
        return ""
    return "must match one of the enum values " + _shown(allowed)


def _bound(fits: Callable[[Any, Any], bool], kind: str, text: str) -> Callable[[Any, Any], str]:
    """Make a rule that compares the value (or its length) with the keyword's value."""

    def rule(limit: Any, value: Any) -> str:
        if not _TYPES[kind](value):
            return ""  # another rule's business
        measured = value if kind == "number" else len(value)
        return "" if fits(measured, limit) else text.format(limit)

    return rule


def _pattern(wanted: Any, value: Any) -> str:
    if not isinstance(value, str) or re.search(str(wanted), value):
        return ""
    return f'does not match pattern "{wanted}"'


_RULES: dict[str, Callable[[Any, Any], str]] = {
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "minimum": _bound(lambda v, n: v >= n, "number", "must be greater than or equal to {}"),
    "maximum": _bound(lambda v, n: v <= n, "number", "must be less than or equal to {}"),
    "minLength": _bound(lambda v, n: v >= n, "string", "must have at least {} characters"),
    "maxLength": _bound(lambda v, n: v <= n, "string", "must have at most {} characters"),
    "minItems": _bound(lambda v, n: v >= n, "array", "must have at least {} items"),
    "maxItems": _bound(lambda v, n: v <= n, "array", "must have at most {} items"),
}


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
