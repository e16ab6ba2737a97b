import jubilant
import pytest

from helio.host import HelioError
from helio.validation import PROFILES, validate

RESULTS = {
    "passed": "88", "failed": "0", "skipped": "9", "seconds": "310", "folder": "/var/lib/x",
    "failures": "", "skips": "7 x no swift\n2 x fewer than 2 computes",
}  # fmt: skip


class Tempest:
    """Runs the action, or fails as Juju does."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.asked = []

    def run(self, unit, action, params=None, *, wait=None):
        self.asked.append((unit, action, dict(params), wait))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return jubilant.Task(id="1", status="completed", results=self.outcome)


def failed(results, message):
    return jubilant.TaskError(
        jubilant.Task(id="1", status="failed", results=results, message=message)
    )


def test_a_good_run_is_told_with_the_reasons_of_what_was_skipped():
    tempest = Tempest(RESULTS)
    report = validate(tempest, "smoke", "")
    assert report.problem is None
    assert report.counts == {"passed": 88, "failed": 0, "skipped": 9}
    assert report.skips == ("7 x no swift", "2 x fewer than 2 computes")
    assert report.failures == ()
    assert tempest.asked == [
        ("tempest/leader", "validate", {"profile": "smoke", "regex": ""}, PROFILES["smoke"])
    ]


def test_failed_tests_are_named():
    results = RESULTS | {"failed": "1", "failures": "tempest.api.test_x"}
    report = validate(Tempest(failed(results, "1 of 89 tests failed")), "quick", "x")
    assert report.problem == "1 of 89 tests failed"
    assert report.failures == ("tempest.api.test_x",)


def test_a_run_that_did_not_begin_is_an_error():
    with pytest.raises(HelioError, match="cannot validate: the unit is not ready"):
        validate(Tempest(failed({}, "the unit is not ready")), "quick", "")


def test_without_tempest_the_next_step_is_told():
    missing = jubilant.CLIError(1, ["juju"], "", "ERROR application tempest not found")
    with pytest.raises(HelioError, match=r"not found; .*helio enable tempest"):
        validate(Tempest(missing), "quick", "")


def test_a_run_without_an_end_is_told():
    with pytest.raises(HelioError, match="has not ended after 3600 s"):
        validate(Tempest(TimeoutError()), "quick", "")
