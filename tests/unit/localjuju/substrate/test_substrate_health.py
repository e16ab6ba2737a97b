"""When a container gets traffic."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjuju.substrate.health import Readiness
from localjuju.substrate.pebble import is_proven


def test_one_good_look_is_not_enough():
    readiness = Readiness()
    assert not readiness.look(healthy=True)
    assert not readiness.ready


def test_two_good_looks_let_it_join_and_the_first_bad_one_takes_it_out():
    readiness = Readiness()
    changes = [readiness.look(healthy=healthy) for healthy in (True, True, True, False, True)]
    assert changes == [False, True, False, True, False]
    assert not readiness.ready


def test_what_had_traffic_keeps_it_until_the_first_bad_look():
    readiness = Readiness(ready=True)
    assert not readiness.look(healthy=True)
    assert readiness.look(healthy=False)


@given(st.lists(st.booleans(), min_size=2))
def test_it_is_ready_exactly_after_two_good_looks(looks: list[bool]):
    readiness = Readiness()
    for healthy in looks:
        readiness.look(healthy=healthy)
    assert readiness.ready == all(looks[-2:])


@pytest.mark.parametrize(
    ("check", "proven"),
    [
        ({"level": "ready", "status": "up", "successes": 0}, False),
        ({"level": "ready", "status": "up", "successes": 1}, True),
        ({"level": "alive", "status": "up", "successes": 0}, False),
        ({"status": "up", "successes": 0}, True),
        ({"level": "ready", "status": "inactive", "successes": 0}, True),
        ({"level": "ready", "status": "up"}, True),
    ],
)
def test_a_check_that_never_ran_proves_nothing(check: dict[str, Any], proven: bool):
    assert is_proven([check]) == proven


def test_no_checks_prove_enough():
    assert is_proven([])
