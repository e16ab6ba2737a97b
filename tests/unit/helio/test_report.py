import io

import pytest
from rich.console import Console

from helio.host import HelioError
from helio.report import LiveReporter, PlainReporter, Record, show_json, show_table, step

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def plain(stream):
    return PlainReporter(stream)


def test_plain_lines_are_said_when_they_change(plain, stream):
    plain.started("Wait")
    plain.progress({"db": "starting", "api": "waiting"})
    plain.progress({"db": "starting", "api": "ready"})
    plain.done("Wait")
    lines = stream.getvalue().splitlines()
    assert lines == ["Wait …", "  db: starting", "  api: waiting", "  api: ready",
                     "Wait: done in 0 s"]  # fmt: skip


def test_a_new_step_says_the_same_words_again(plain, stream):
    for title in ("A", "B"):
        plain.started(title)
        plain.note("working")
    assert stream.getvalue().count("working") == 2


def test_results_go_to_standard_output(plain, stream, capsys):
    plain.tell("removed a pod")
    assert capsys.readouterr().out == "removed a pod\n"
    assert stream.getvalue() == ""


def test_a_rehearsal_tells_no_results(stream, capsys):
    rehearsal = PlainReporter(stream, is_rehearsal=True)
    rehearsal.tell("removed a pod")
    assert capsys.readouterr().out == stream.getvalue() == ""


def test_a_record_keeps_what_became_of_each_step_and_tells_people(stream, plain, capsys):
    record = Record(plain, is_rehearsal=False)
    record.skipped("Pack charms")
    with step(record, "Remove pods"):
        record.note("of the moment")
        record.progress({"db": "going"})
        record.warn("slow")
        record.tell("removed a pod")
    with pytest.raises(HelioError), step(record, "Remove networks"):
        raise HelioError("cannot")
    assert record.steps == [
        {"step": "Pack charms", "state": "skipped"},
        {"step": "Remove pods", "state": "done", "warnings": ["slow"],
         "results": ["removed a pod"]},
        {"step": "Remove networks", "state": "failed"},
    ]  # fmt: skip
    assert capsys.readouterr().out == "", "standard output is for the record"
    told = stream.getvalue()
    for line in ("Pack charms: nothing", "of the moment", "db: going", "slow", "s: failed"):
        assert line in told


def test_a_record_of_a_rehearsal_keeps_what_would_be_done(plain):
    record = Record(plain, is_rehearsal=True)
    record.note("would write a file")
    record.started("Deploy")
    record.note("would deploy")
    record.tell("deployed")
    assert record.steps == [
        {"step": "", "state": "planned", "notes": ["would write a file"]},
        {"step": "Deploy", "state": "planned", "notes": ["would deploy"]},
    ]


def test_a_terminal_shows_finished_steps_above_the_running_one(stream):
    live = LiveReporter(Console(file=stream, force_terminal=True, width=80))
    live.started("Build images")
    live.progress({"base": "apt-get [1/2]"})
    live.done("Build images")
    live.skipped("Pack charms")
    live.started("Deploy")
    live.failed("Deploy")
    text = stream.getvalue()
    assert "apt-get [1/2]" in text
    assert "already done" in text
    assert text.index("Build images") < text.index("Pack charms") < text.rindex("Deploy")


@pytest.mark.parametrize("error", [HelioError, KeyboardInterrupt])
def test_an_error_in_a_step_gives_the_terminal_back(stream, error):
    live = LiveReporter(Console(file=stream, force_terminal=True, width=80))
    with pytest.raises(error), step(live, "Deploy"):
        raise error
    assert stream.getvalue().rindex(SHOW_CURSOR) > stream.getvalue().rindex(HIDE_CURSOR)
    assert "✗" in stream.getvalue()


def test_a_step_that_came_to_nothing_good_has_failed(reporter):
    with step(reporter, "Test") as outcome:
        outcome.is_good = False
    assert reporter.events == [("started", "Test"), ("failed", "Test")]


def test_a_table_in_a_pipe_is_not_cut(capsys):
    show_table(("File", "State"), [("x" * 150, "[ok]")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["x" * 150, "[ok]"]


def test_json_is_sorted(capsys):
    show_json({"b": 1, "a": [2]})
    assert capsys.readouterr().out.startswith('{\n  "a"')
