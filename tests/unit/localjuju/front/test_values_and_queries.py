"""Small languages: durations, JSON schemas of actions, queries of wait-for."""

from __future__ import annotations

from typing import Any

import pytest

from localjuju import schema, values
from localjuju.cli.query import QueryError, parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300.0), ("1h30m", 5400.0), ("60.0s", 60.0), ("250ms", 0.25), (".5s", 0.5)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m5", "5 m", "-5s", "5m!"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(values.ValueTypeError, match="invalid duration"):
        values.duration(text)


NESTED = {
    "properties": {
        "size": {
            "type": "object",
            "properties": {
                "width": {"type": "number", "default": 1.5, "maximum": 9},
                "unit": {"type": "string", "enum": ["m", "cm"]},
            },
        },
        "names": {
            "type": "array",
            "items": {"type": "string", "minLength": 2, "pattern": "^[a-z]"},
            "maxItems": 2,
        },
        "either": {"type": ["integer", "null"]},
    },
    "additionalProperties": {"type": "boolean"},
}


def test_defaults_are_filled_in_at_every_depth() -> None:
    assert schema.check(NESTED, {}) == {"size": {"width": 1.5}}
    given = {"size": {"unit": "cm"}, "names": ["ab"], "either": None, "more": True}
    assert schema.check(NESTED, given) == {**given, "size": {"unit": "cm", "width": 1.5}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 3}, r"\(root\)\.size : must be of type object"),
        ({"size": {"width": 10}}, r"\(root\)\.size\.width : must be less than or equal to 9"),
        ({"size": {"unit": "km"}}, r'one of the enum values \["m", "cm"\], given "km"'),
        ({"names": ["ab", "x"]}, r"\(root\)\.names\.1 : must have at least 2 characters"),
        ({"names": ["ab", "Ab"]}, "does not match pattern"),
        ({"names": ["ab", "cd", "ef"]}, "at most 2 items"),
        ({"either": "x"}, "must be of type integer or null"),
        ({"either": True}, "must be of type integer or null"),
        ({"more": 1}, r"\(root\)\.more : must be of type boolean"),
    ],
)
def test_parameters_that_break_the_schema_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(schema.SchemaError, match=words):
        schema.check(NESTED, given)


APP = {
    "name": "paint",
    "life": "alive",
    "status": "active",
    "scale": 2,
    "exposed": False,
    "units": {
        "paint/0": {"workload-status": "active", "leader": True},
        "paint/1": {"workload-status": "waiting", "leader": False},
    },
}


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ('life=="alive" && status=="active"', True),
        ("life=='alive' && status!='active'", False),
        ('status=="blocked" || scale>=2', True),
        ('!(status=="active")', False),
        ("exposed==false", True),
        ("!exposed", True),
        ("scale < 3 && scale > 1 && scale <= 2", True),
        ("len(units)==2", True),
        ('forEach(units, u => u.workload-status=="active")', False),
        ('forEach(units, u => u.workload-status=="active" || !u.leader)', True),
        ('units["paint/1"].workload-status == "waiting"', True),
        ('startsWith(name, "pa") && endsWith(name, "nt")', True),
        ('status=="active" || status=="idle" && life=="dead"', True),
    ],
)
def test_queries_are_evaluated_on_the_data(query: str, holds: bool) -> None:
    assert bool(parse(query)(APP)) is holds


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("status==", "ends too early"),
        ('status=="a" "b"', "syntax error at 12"),
        ("status @ 3", "syntax error"),
        ("shrink(units)", "unexpected 'shrink'"),
        ("(status", "ends too early"),
        ('nope=="x"', 'identifier "nope" not found; there are: exposed, life'),
        ('units["x"].leader', 'field "x" not found'),
        ('scale > "x"', "cannot compare"),
    ],
)
def test_queries_that_make_no_sense_are_refused(query: str, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        parse(query)(APP)
