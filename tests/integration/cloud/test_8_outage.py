"""Without a control plane instances run on, reboot, and are reached."""

import time

import pytest
from cloudtest import Ping, wait_for

SHORT, LONG = 60, 600  # seconds


@pytest.mark.parametrize(
    "seconds", [pytest.param(SHORT), pytest.param(LONG, marks=pytest.mark.long)]
)
def test_no_ping_is_lost_while_the_control_plane_is_gone(configured, guest, seconds):
    with Ping(guest.floating_ip) as ping, configured.without_control_plane():
        time.sleep(seconds)
    print(f"{seconds} s without a control plane: {ping}")
    assert ping.lost == 0
    configured.settle()
    assert guest.answers()
    assert configured.openstack("token", "issue")["id"]


def test_an_instance_reboots_without_a_control_plane_and_finds_its_metadata(configured, guest):
    with configured.without_control_plane():
        guest.run("sudo reboot >/dev/null 2>&1 &")
        wait_for(lambda: not guest.answers(), 60, "it goes down")
        guest.wait()
        assert guest.run("hostname").strip() == "first"
    configured.settle()
    assert f"source=config-drive uuid={guest.id} " in configured.told_at_boot(guest)
