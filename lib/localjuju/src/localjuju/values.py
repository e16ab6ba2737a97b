"""Typed values: options of charms and models, as operators write them and as Juju takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line reads durations and is in a hurry
    from localjuju.model import Value

_SECRET = re.compile(r"secret:(//[0-9a-f-]{36}/)?[0-9a-z]{20}")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|us|µs|ns|m|s)")


class ValueTypeError(Exception):
    """A value does not fit the type of its option; the text is Juju's."""


def check_default(name: str, kind: str, value: Any) -> Value:
    """Return an option's default as its type wants it.

    Raises:
        ValueTypeError: It is of another type.
    """
    if kind in {"string", "secret"} and isinstance(value, str):
        return value
    return coerce(name, kind, value)


def coerce(name: str, kind: str, value: Any) -> Value:
    """Return a value, given as text or already typed, as an option's type wants it.

    Args:
        name: The option, for the error.
        kind: `string`, `int`, `float`, `boolean` or `secret`.
        value: Text from a command line, or what YAML made of it.

    Raises:
        ValueTypeError: The value cannot be of that type.
    """
    fit = _FITS[kind](value)
    if fit is None:
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        raise ValueTypeError(f'option "{name}" expected {kind}, got {shown}')
    return fit


def _string(value: Any) -> Value | None:
    return value if isinstance(value, str) else None


def _int(value: Any) -> Value | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value):
        return int(value)
    return None


def _float(value: Any) -> Value | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _boolean(value: Any) -> Value | None:
    if isinstance(value, bool):
        return value
    return _BOOLEANS.get(value) if isinstance(value, str) else None


def _secret(value: Any) -> Value | None:
    # Empty takes the reference away.
    fits = isinstance(value, str) and (not value or _SECRET.fullmatch(value) is not None)
    return value if fits else None


_FITS = {
    "string": _string,
    "int": _int,
    "float": _float,
    "boolean": _boolean,
    "secret": _secret,
}


def duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it: `5m`, `1h30m`, `0.5s`, `60.0s`.

    Raises:
        ValueTypeError: The text is not a duration.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueTypeError(f'invalid duration "{text}", expected for example 30s, 5m or 1h30m')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
