"""Without a control plane instances run on, reboot, and are reached."""

import time

import pytest
from cloudtest import Ping, wait_for

from helio import sdk
from helio.host import HelioError

SHORT, LONG = 60, 600  # seconds
RETURN = 600  # seconds in which all has to be back after it, without help


def works(cloud) -> bool:
    """Return whether every service answers and says that all its parts are alive."""
    try:
        with sdk.errors("ask the cloud"):
            admin = cloud.sdk()
            states = {each.state for each in admin.compute.services()}
            states |= {each.state for each in admin.block_storage.services()}
            alive = [each.is_alive for each in admin.network.agents()]
            return (
                states == {"up"}
                and bool(alive)
                and all(alive)
                and bool(list(admin.image.images(name="helio-guest")))
                and bool(list(admin.placement.resource_providers()))
            )
    except HelioError as error:
        print(error)
        return False


def check_return(cloud) -> None:
    """Wait until every pod runs, all works, and everything is active, within `RETURN`."""
    began = time.monotonic()
    # First what cannot be left over from before, as a status can.
    wait_for(cloud.pods_run, RETURN, "every pod runs again")
    wait_for(lambda: works(cloud), RETURN - (time.monotonic() - began), "every service works")
    cloud.settle(RETURN - (time.monotonic() - began))
    print(f"all was back after {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize(
    "seconds", [pytest.param(SHORT), pytest.param(LONG, marks=pytest.mark.long)]
)
def test_no_ping_is_lost_while_the_control_plane_is_gone(configured, guest, seconds):
    with Ping(guest.floating_ip) as ping, configured.without_control_plane():
        time.sleep(seconds)
    print(f"{seconds} s without a control plane: {ping}")
    check_return(configured)
    assert ping.lost == 0
    assert guest.answers()


def test_an_instance_reboots_without_a_control_plane_and_finds_its_metadata(configured, guest):
    with configured.without_control_plane():
        guest.run("sudo reboot >/dev/null 2>&1 &")
        wait_for(lambda: not guest.answers(), 60, "it goes down")
        guest.wait()
        assert guest.run("hostname").strip() == "first"
    check_return(configured)
    assert f"source=config-drive uuid={guest.id} " in configured.told_at_boot(guest)
