"""Recorded dispatches."""

from __future__ import annotations

import stat

from localjuju.trace import Trace, TraceStore


def trace(number: int, unit: str = "db/0") -> Trace:
    return Trace(
        unit=unit,
        hook="start",
        number=number,
        started=1.0,
        seconds=0.5,
        cpu_seconds=0.25,
        exit_code=0,
        outcome="committed",
        error="",
        environment={"PATH": "/bin"},
        commands=[{"command": "is-leader"}],
        changes=["units db/0"],
    )


def test_traces_come_back_in_order_and_tail_gives_the_newest(tmp_path):
    store = TraceStore(tmp_path)
    for number in range(1, 12):
        store.write("m", trace(number))
    assert list(store.read("m", "db/0")) == [trace(number) for number in range(1, 12)]
    assert [t.number for t in store.read("m", "db/0", tail=2)] == [10, 11]
    assert list(store.read("m", "db/1")) == []


def test_numbers_go_on_after_a_restart(tmp_path):
    TraceStore(tmp_path).write("m", trace(7))
    again = TraceStore(tmp_path)
    assert again.next_number("m", "db/0") == 8
    assert again.next_number("m", "db/1") == 1


def test_only_so_many_are_kept(tmp_path):
    store = TraceStore(tmp_path, kept=3)
    for number in range(1, 9):
        store.write("m", trace(number))
    assert [t.number for t in store.read("m", "db/0")] == [6, 7, 8]


def test_traces_are_private(tmp_path):
    store = TraceStore(tmp_path / "traces")
    store.write("m", trace(1))
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {True: 0o700, False: 0o600}


def test_a_removed_model_has_no_traces(tmp_path):
    store = TraceStore(tmp_path)
    store.write("m", trace(1))
    store.remove("m")
    assert list(store.read("m", "db/0")) == []
    assert store.next_number("m", "db/0") == 1


def test_half_a_trace_that_a_kill_left_is_not_read(tmp_path):
    store = TraceStore(tmp_path)
    store.write("m", trace(1))
    (tmp_path / "m" / "db-0" / "next").write_text('{"unit": "db/')
    assert [t.number for t in store.read("m", "db/0")] == [1]
    store.write("m", trace(2))
    assert [t.number for t in TraceStore(tmp_path).read("m", "db/0")] == [1, 2]
