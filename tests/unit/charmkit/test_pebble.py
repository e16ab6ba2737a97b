"""A container as a target: what it asks Pebble for, and how long it waits."""

import types

import pytest

from charmkit import pebble
from charmkit.layout import Workload

KILL_DELAY = 90  # seconds; more than any charm gives a process


class FakePebble:
    """Pebble with one process that takes its time to end."""

    def __init__(self):
        self.asked = []

    def _wait(self, what, timeout):
        self.asked.append(what)
        if timeout < KILL_DELAY:
            raise TimeoutError(f"{what}: gave up after {timeout} seconds")

    def replan_services(self, timeout=30.0):
        self._wait("replan", timeout)

    def stop_services(self, names, timeout=30.0):
        self._wait(f"stop {','.join(names)}", timeout)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(pebble.time, "sleep", lambda seconds: None)
    up = types.SimpleNamespace(is_running=lambda: True)
    return types.SimpleNamespace(
        pebble=FakePebble(),
        add_layer=lambda *arguments, **_: None,
        get_services=lambda *names: dict.fromkeys(names, up),
    )


def test_a_process_that_takes_its_time_to_end_is_waited_for(fake):
    target = pebble.Container(fake)
    target.start(Workload(container="web", services={"web": {}}))
    target.stop(["web"])
    assert fake.pebble.asked == ["replan", "stop web"]
