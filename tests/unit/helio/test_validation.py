import types

import jubilant
import pytest

from helio.host import HelioError
from helio.validation import PROFILES, validate

RESULTS = {
    "passed": "88", "failed": "0", "skipped": "9", "seconds": "310", "folder": "/var/lib/x",
    "failures": "", "skips": "7 x no swift\n2 x fewer than 2 computes",
}  # fmt: skip


URL = "https://10.64.0.3/"


class Tempest:
    """Runs the action, or fails as Juju does; may have a dashboard beside it."""

    def __init__(self, outcome, *others):
        self.outcome = outcome
        self.apps = others
        self.asked = []

    def status(self):
        return types.SimpleNamespace(apps=dict.fromkeys(self.apps))

    def run(self, unit, action, params=None, *, wait=None):
        if (unit, action) == ("horizon/leader", "get-dashboard-url"):
            return jubilant.Task(id="2", status="completed", results={"url": URL})
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
    params = {"profile": "smoke", "regex": "", "dashboard-url": ""}
    assert tempest.asked == [("tempest/leader", "validate", params, PROFILES["smoke"])]


def test_a_dashboard_is_tested_too():
    tempest = Tempest(RESULTS, "horizon")
    validate(tempest, "smoke", "")
    [(_, _, params, _)] = tempest.asked
    assert params["dashboard-url"] == URL


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
