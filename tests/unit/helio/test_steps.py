import dataclasses

import pytest

from helio.host import HelioError
from helio.steps import rehearse, run


@dataclasses.dataclass
class Flag:
    """A step that raises a flag in a set."""

    title: str
    flags: set[str]
    outline: str | None = None
    error: str = ""

    def is_done(self, host):
        return self.title in self.flags

    def apply(self, host, reporter):
        if self.error:
            raise HelioError(self.error)
        self.flags.add(self.title)


def test_steps_that_are_done_are_skipped(host, reporter):
    flags = {"a"}
    run([Flag("a", flags), Flag("b", flags)], host, reporter)
    assert reporter.events == [("skipped", "a"), ("started", "b"), ("done", "b")]


def test_a_failed_step_ends_the_run(host, reporter):
    flags = set()
    with pytest.raises(HelioError, match="cannot b"):
        run(
            [Flag("a", flags), Flag("b", flags, error="cannot b"), Flag("c", flags)],
            host,
            reporter,
        )
    assert reporter.events[-1] == ("failed", "b")
    assert flags == {"a"}


def test_running_again_goes_on_where_it_stopped(host, reporter):
    flags = set()
    with pytest.raises(HelioError):
        run([Flag("a", flags), Flag("b", flags, error="x")], host, reporter)
    run([Flag("a", flags), Flag("b", flags)], host, reporter)
    assert reporter.events[-3:] == [("skipped", "a"), ("started", "b"), ("done", "b")]


def test_a_rehearsal_says_what_cannot_be_rehearsed(host, reporter):
    flags = set()
    rehearse([Flag("a", flags, outline="do a"), Flag("b", flags)], host, reporter)
    assert reporter.of("note") == ["would do a"]
    assert flags == {"b"}
