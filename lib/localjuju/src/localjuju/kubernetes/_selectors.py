"""Selectors of lists: by labels, and by fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localjuju.kubernetes._objects import ApiError, Data, section

_SET = re.compile(r"(?P<key>\S+)\s+(?P<word>in|notin)\s+\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<word>==|=|!=)\s*(?P<value>\S*)")
_EXISTS = re.compile(r"(?P<not>!?)\s*(?P<key>[^=!\s,()]+)")
_SPLIT = re.compile(r",(?![^(]*\))")


def selects(found: Data, query: Mapping[str, str]) -> bool:
    """Tell whether an object is one that the query of a list wants.

    Raises:
        ApiError: A selector cannot be read.
    """
    labels = section(found["metadata"], "labels")
    return all(_fits(labels, part) for part in _parts(query.get("labelSelector", ""))) and all(
        _has_field(found, part) for part in _parts(query.get("fieldSelector", ""))
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in _SPLIT.split(text) if part.strip()]


def _fits(labels: Mapping[str, str], part: str) -> bool:
    match = _SET.fullmatch(part)
    if match is not None:
        values = {value.strip() for value in match["values"].split(",")}
        return (labels.get(match["key"]) in values) == (match["word"] == "in")
    match = _EQUAL.fullmatch(part)
    if match is not None:
        return (labels.get(match["key"]) == match["value"]) == (match["word"] != "!=")
    match = _EXISTS.fullmatch(part)
    if match is not None:
        return (match["key"] in labels) != bool(match["not"])
    raise ApiError(400, "BadRequest", f"unable to parse requirement: {part}")


def _has_field(found: Data, part: str) -> bool:
    match = _EQUAL.fullmatch(part)
    if match is None:
        raise ApiError(400, "BadRequest", f"invalid field selector: {part}")
    *above, last = match["key"].split(".")
    for name in above:
        found = section(found, name)
    value: Any = found.get(last)
    return (str(value or "") == match["value"]) == (match["word"] != "!=")
