"""The models' logs."""

from __future__ import annotations

import asyncio
import stat

import pytest

from localjuju.clock import VirtualClock
from localjuju.logs import LogFilter, LogStore


@pytest.fixture
def logs(tmp_path):
    store = LogStore(tmp_path / "logs", VirtualClock(100.0))
    yield store
    store.close()


def fill(logs: LogStore) -> None:
    logs.append("m", "unit-db-0", "DEBUG", "unit.db/0.install", "one")
    logs.append("m", "unit-db-1", "WARNING", "unit.db/1.install", "two")
    logs.append("m", "unit-my-web-0", "ERROR", "unit.my-web/0.juju-log", "three")


@pytest.mark.parametrize(
    ("wanted", "messages"),
    [
        (LogFilter(), ["one", "two", "three"]),
        (LogFilter(level="WARNING"), ["two", "three"]),
        (LogFilter(include=("db/0",)), ["one"]),
        (LogFilter(include=("unit-db-1",)), ["two"]),
        (LogFilter(include=("db",)), ["one", "two"]),
        (LogFilter(include=("my-web",)), ["three"]),
        (LogFilter(exclude=("db",)), ["three"]),
        (LogFilter(include_module=("unit.db",)), ["one", "two"]),
        (LogFilter(exclude_module=("unit.db/0",)), ["two", "three"]),
    ],
)
def test_lines_are_chosen_by_entity_module_and_level(logs, wanted, messages):
    fill(logs)
    assert [record.message for record in logs.query("m", wanted)] == messages


def test_tail_gives_the_newest_lines(logs):
    fill(logs)
    assert [record.message for record in logs.query("m", tail=1)] == ["three"]
    assert logs.query("m", tail=0) == []


def test_lines_have_the_time_of_the_clock_and_survive(logs, tmp_path):
    fill(logs)
    logs.close()
    again = LogStore(tmp_path / "logs", VirtualClock())
    assert [record.time for record in again.query("m")] == [100.0] * 3


def test_an_unknown_level_counts_as_info(logs):
    logs.append("m", "unit-db-0", "LOUD", "x", "y")
    assert logs.query("m")[0].level == "INFO"


def test_the_files_are_private_and_bounded(tmp_path):
    logs = LogStore(tmp_path / "logs", VirtualClock(), limit=1000)
    for number in range(200):
        logs.append("m", "unit-db-0", "INFO", "x", f"line {number}")
    logs.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["m.log", "m.log.1"]
    assert sum(file.stat().st_size for file in files) < 2300
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert logs.query("m")[-1].message == "line 199"
    logs.close()


def test_a_line_that_a_kill_cut_off_is_left_out(logs, tmp_path):
    fill(logs)
    with (tmp_path / "logs" / "m.log").open("a") as file:
        file.write('[100.0, "unit-db-0", "IN')
    assert len(logs.query("m")) == 3


async def test_followers_get_what_comes_and_only_what_matches(logs):
    stream = logs.follow("m", LogFilter(level="WARNING"))
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    fill(logs)
    assert (await first).message == "two"
    assert (await anext(stream)).message == "three"
    await stream.aclose()


def test_a_removed_model_has_no_log(logs, tmp_path):
    fill(logs)
    logs.remove("m")
    assert logs.query("m") == []
    assert list((tmp_path / "logs").iterdir()) == []


def test_what_comes_after_a_line_that_was_cut_off_is_shown(tmp_path):
    first = LogStore(tmp_path / "logs", VirtualClock(100.0))
    fill(first)
    first.close()
    with (tmp_path / "logs" / "m.log").open("a") as file:
        file.write('[100.0, "unit-db-0", "IN')
    second = LogStore(tmp_path / "logs", VirtualClock(101.0))
    second.append("m", "unit-db-0", "INFO", "x", "after the kill")
    assert [record.message for record in second.query("m")][-2:] == ["three", "after the kill"]
    second.close()
