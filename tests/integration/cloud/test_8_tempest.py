"""OpenStack's own tests pass."""

import json
import re

import pytest

HYPERVISOR = "openstack-hypervisor"


def is_excused(skip: str, deployed: set[str], hypervisors: int) -> bool:
    """Return whether a test had to be skipped on this cloud.

    Args:
        skip: `2 x reason`, as `helio validate` tells it.
        deployed: The applications of both models; they have the names that Tempest knows.
        hypervisors: How many there are.
    """
    _, _, reason = skip.partition(" x ")
    if found := re.fullmatch(r"\w+ skipped as (\w+) is not available", reason):
        return found[1] not in deployed
    if found := re.match(r"Less than (\d+) compute nodes", reason):
        return hypervisors < int(found[1])
    return reason == "Horizon support is required" and "horizon" not in deployed


@pytest.mark.parametrize(
    ("skip", "deployed", "hypervisors", "excused"),
    [
        ("1 x ObjectTest skipped as swift is not available", {"nova"}, 1, True),
        ("1 x VolumesTest skipped as cinder is not available", {"cinder"}, 1, False),
        ("1 x Less than 2 compute nodes, skipping multinode tests.", set(), 1, True),
        ("1 x Less than 2 compute nodes, skipping multinode tests.", set(), 2, False),
        ("1 x Horizon support is required", set(), 1, True),
        ("1 x Horizon support is required", {"horizon"}, 1, False),
        ("1 x Floating ips are not available", set(), 1, False),
    ],
)
def test_only_what_is_not_there_excuses_a_skip(skip, deployed, hypervisors, excused):
    assert is_excused(skip, deployed, hypervisors) is excused


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
    machines = tempest.machines.status().apps
    deployed = {*tempest.juju.status().apps, *machines}
    hypervisors = len(machines[HYPERVISOR].units)
    # A reason stands once, however many tests it kept away.
    assert sum(int(each.partition(" x ")[0]) for each in report["skips"]) == counts["skipped"]
    unexcused = [each for each in report["skips"] if not is_excused(each, deployed, hypervisors)]
    assert unexcused == []
