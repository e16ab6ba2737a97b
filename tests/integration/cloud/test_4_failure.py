"""What fails by itself comes back by itself."""

import os
import random
import signal
import time

SEED = 20261121


def test_the_cloud_comes_back_after_the_database_was_killed(cloud):
    before = cloud.started("mariadb/0", "mariadb")
    cloud.kill_container("helio-test.openstack.mariadb-0.mariadb")
    deadline = time.monotonic() + 300
    while not answers(cloud):
        assert time.monotonic() < deadline, "the cloud does not answer five minutes after the kill"
        time.sleep(2)
    cloud.settle()
    assert answers(cloud)
    assert cloud.started("mariadb/0", "mariadb") != before, "the database was really killed"


def answers(cloud) -> bool:
    """Return whether both services answer, each out of its database."""
    try:
        return bool(cloud.openstack("token", "issue")["id"]) and (
            len(cloud.openstack("resource", "provider", "list")) > 0
        )
    except AssertionError:
        return False


def test_the_engine_killed_in_the_middle_of_hooks_settles_each_time(cloud):
    chance = random.Random(SEED)
    value = 0
    for round_number in range(10):
        value += 1
        # A change of configuration makes hooks run; then the engine dies at a random moment.
        cloud.juju.config("keystone", {"token-expiration": 3600 + value})
        cloud.juju.config("placement", {"debug": bool(value % 2)})
        time.sleep(chance.uniform(0.05, 2.5))
        os.kill(cloud.engine_pid(), signal.SIGKILL)
        status = cloud.settle()
        units = [unit for app in status.apps.values() for unit in app.units.values()]
        assert all(unit.juju_status.current == "idle" for unit in units), round_number
    assert answers(cloud)
    shown = cloud.juju.cli(
        "ssh",
        "--container",
        "keystone",
        "keystone/0",
        "grep",
        "-rh",
        "^expiration",
        "/etc/keystone/",
    )
    assert str(3600 + value) in shown, "the last change must have arrived"
    cloud.juju.config("keystone", reset="token-expiration")
    cloud.juju.config("placement", reset="debug")
    cloud.settle()
