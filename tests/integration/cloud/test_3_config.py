"""What an operator's option does to the running services: exactly what it must."""

import jubilant
import pytest

BAD = """\
[token]
expirationn = 60
"""


@pytest.fixture
def restored(cloud):
    """Give the options back after a test."""
    yield
    cloud.juju.config("keystone", reset=["config-overrides", "debug"])
    cloud.settle()


def test_an_unknown_option_blocks_by_name_and_restarts_nothing(cloud, restored):
    before = cloud.started("keystone/0", "keystone")
    cloud.juju.config("keystone", {"config-overrides": BAD})
    status = cloud.juju.wait(
        lambda status: status.apps["keystone"].app_status.current == "blocked", timeout=300
    )
    message = status.apps["keystone"].units["keystone/0"].workload_status.message
    assert "expirationn" in message
    assert cloud.started("keystone/0", "keystone") == before
    assert cloud.openstack("token", "issue")["id"], "the service goes on with its old options"
    cloud.juju.config("keystone", reset="config-overrides")
    cloud.settle()
    assert cloud.started("keystone/0", "keystone") == before


def test_a_good_override_is_used(cloud, restored):
    cloud.juju.config("keystone", {"config-overrides": "[token]\nexpiration = 1234\n"})
    cloud.juju.wait(
        lambda _: (
            "1234"
            in cloud.juju.cli(
                "ssh",
                "--container",
                "keystone",
                "keystone/0",
                "grep",
                "-rh",
                "^expiration",
                "/etc/keystone/",
            )
        ),
        timeout=300,
        error=jubilant.any_error,
    )
    cloud.settle()


def test_debug_restarts_exactly_the_processes_whose_files_changed_and_once(cloud, restored):
    units = {"keystone/0": "keystone", "placement/0": "placement", "mariadb/0": "mariadb"}
    before = {unit: cloud.started(unit, name) for unit, name in units.items()}
    known = {name: replans(cloud, name) for name in units.values()}
    cloud.juju.config("keystone", {"debug": True})
    cloud.juju.wait(
        lambda _: cloud.started("keystone/0", "keystone") != before["keystone/0"], timeout=300
    )
    cloud.settle()
    after = {unit: cloud.started(unit, name) for unit, name in units.items()}
    assert after["placement/0"] == before["placement/0"]
    assert after["mariadb/0"] == before["mariadb/0"]
    new = replans(cloud, "keystone") - known["keystone"]
    assert len(new) == 1, f"restarted by the changes {sorted(new)}"
    for name in ("placement", "mariadb"):
        assert replans(cloud, name) == known[name]


def replans(cloud, name):
    """Return the ids of the changes by which Pebble started or restarted processes."""
    changes = cloud.pebble(f"{name}/0", name, "changes", "--abs-time")
    return {line.split()[0] for line in changes.splitlines() if "Replan" in line}
