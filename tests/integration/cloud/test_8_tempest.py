"""OpenStack's own tests pass."""

import json

import pytest


@pytest.fixture(scope="module")
def tempest(configured):
    configured.helio("enable", "tempest")
    yield configured
    configured.helio("disable", "tempest", "--yes")
    assert "tempest" not in configured.juju.status().apps


@pytest.mark.parametrize("profile", ["quick", pytest.param("smoke", marks=pytest.mark.long)])
def test_no_test_of_a_profile_fails(tempest, profile):
    report = json.loads(tempest.helio("validate", profile, "--format", "json"))
    counts = report["counts"]
    print(f"tempest {profile}: {counts}, {report['seconds']} s")
    print("\n".join(report["skips"]))
    assert counts["failed"] == 0
    assert counts["passed"] > 0
