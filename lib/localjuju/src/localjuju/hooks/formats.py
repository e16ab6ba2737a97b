"""How hook commands print values and read files, byte for byte as Juju's Go code does."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import yaml

FORMATS = ("json", "smart", "yaml")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class InputError(Exception):
    """A file given to a command is not a map of strings."""


def render(value: Any, style: str) -> str:
    """Return what a command prints for `value`, line end included.

    Args:
        value: None, bool, number, string, or lists and maps of these.
        style: `json` (one compact line), `yaml`, or `smart` (strings and lists of strings
            bare, nothing for None, the rest YAML).
    """
    if style == "json":
        return to_json(value) + "\n"
    if style == "smart":
        if value is None or value == "":
            return ""
        if isinstance(value, str):
            return value + "\n"
        if isinstance(value, bool):
            return f"{value}\n"
        if isinstance(value, list):
            items = cast("list[Any]", value)
            if all(isinstance(item, str) for item in items):
                return "".join(f"{item}\n" for item in items)
    return _yaml_text(value)


def to_json(value: Any) -> str:
    """Return compact JSON with sorted keys, as Go writes it: `<`, `>`, `&` are escaped."""
    text = json.dumps(
        _plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
    return text.translate(_ESCAPES)  # these characters occur only inside strings


def read_string_map(text: str) -> dict[str, str]:
    """Read a YAML (or JSON) map; every scalar becomes the text as it is written, null "".

    Raises:
        InputError: It is not YAML, not a map, or a value is not a scalar.
    """
    try:
        # Charms on ops send JSON. The fast way also takes escaped surrogate pairs, which
        # YAML does not allow.
        parsed = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        return _read_yaml_map(text)
    if not isinstance(parsed, dict):
        raise InputError("expected a map of keys to strings")
    return {key: _scalar(key, value) for key, value in cast("dict[str, Any]", parsed).items()}


def rfc3339(seconds: float) -> str:
    """Return a time as `2026-11-21T03:04:05Z`."""
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


def parse_expiry(text: str, now: float) -> float:
    """Return the time that an `--expire` value means: RFC 3339, or a Go duration from now.

    Raises:
        ValueError: It is neither, or a duration that does not lie ahead.
    """
    pieces = _DURATION.findall(text)
    if pieces and "".join(pieces) == text:
        total = 0.0
        for piece in pieces:
            unit = piece.lstrip("0123456789.")
            total += float(piece.removesuffix(unit)) * _UNITS[unit]
        if total <= 0:
            raise ValueError(text)
        return now + total
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.timestamp()


def _plain(value: Any) -> Any:
    """Return the value with whole floats as integers, which is how Go prints them."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(key): _plain(item) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _yaml_text(value: Any) -> str:
    text = yaml.dump(
        _plain(value), Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=1000
    )
    return text.removesuffix("...\n").rstrip("\n") + "\n"


def _scalar(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise InputError(f'cannot use the value of "{key}": expected a string')


def _read_yaml_map(text: str) -> dict[str, str]:
    try:
        node = cast("yaml.Node | None", yaml.compose(text, Loader=_Loader))  # type: ignore[reportUnknownMemberType] - its stub names no type
    except yaml.YAMLError as error:
        raise InputError(f"yaml: {' '.join(str(error).split())}") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise InputError("expected a map of keys to strings")
    pairs = cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
    result: dict[str, str] = {}
    for key, value in pairs:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError("expected a map of keys to strings")
        name = cast("str", key.value)
        if not isinstance(value, yaml.ScalarNode):
            raise InputError(f'cannot use the value of "{name}": expected a string')
        empty = value.tag == "tag:yaml.org,2002:null"
        result[name] = "" if empty else cast("str", value.value)
    return result
