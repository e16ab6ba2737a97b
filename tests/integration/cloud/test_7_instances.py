"""Instances boot, find their metadata, are reached, and keep what they are told to keep."""

import base64
import json
import socket
import ssl
import urllib.parse

import console
import pytest
import websocket
from cloudtest import check_refused, run, wait_for

USER_DATA = "#!/bin/sh\necho from-user-data > /run/told\n"


def can_connect(address: str, port: int) -> bool:
    """Return whether somebody accepts a connection within three seconds."""
    try:
        with socket.create_connection((address, port), timeout=3):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def second(configured, guest):
    """An instance with user data, made by the client and waited for by helio."""
    demo = configured.sdk("demo")
    demo.compute.create_server(
        name="second",
        image_id=next(demo.image.images(name="helio-guest")).id,
        flavor_id=next(each for each in demo.compute.flavors() if each.name == "m1.tiny").id,
        networks=[{"uuid": next(demo.network.networks(name="demo-network")).id}],
        key_name="demo",
        security_groups=[{"name": "default"}, {"name": "demo"}],
        user_data=base64.b64encode(USER_DATA.encode()).decode(),
    )
    yield configured.launch("second")
    demo.compute.delete_server(demo.compute.find_server("second"))


def test_configuring_again_has_nothing_to_do(configured, guest):
    told = configured.helio("configure", "--dry-run").splitlines()
    assert len(told) > 15
    assert [line for line in told if not line.endswith("nothing to do")] == []


def test_the_demo_users_credentials_are_for_the_owner_only(configured):
    assert configured.home.joinpath("clouds.yaml").stat().st_mode & 0o077 == 0
    assert configured.home.joinpath("demo-key").stat().st_mode & 0o077 == 0
    assert "demo" in configured.helio("cloud-config", "--user", "demo")


def test_an_instance_answers_by_ssh_at_its_floating_address(guest):
    assert guest.run("hostname").strip() == "first"
    assert guest.address in guest.run("ip -4 -o addr show")


def test_a_launch_of_the_same_name_is_the_same_instance(configured, guest):
    assert configured.launch("first") == guest


def test_a_launch_logs_in_at_the_end(configured, guest):
    told = configured.helio("launch", "first", "--ssh", stdin="hostname\nip -4 -o addr show\n")
    name, *addresses = told.splitlines()
    assert name == "first"
    assert guest.address in "".join(addresses)


def test_a_rehearsal_of_a_launch_makes_nothing(configured, guest):
    told = configured.helio("launch", "third", "--dry-run")
    assert "would boot third: image " in told
    assert configured.sdk("demo").compute.find_server("third") is None


def test_key_and_user_data_arrive(second):
    assert second.run("cat /run/told") == "from-user-data\n"


def test_the_console_can_be_read(configured, guest):
    server = configured.sdk("demo").compute.get_server_console_output(guest.id)
    assert "GUEST-METADATA" in server["output"]
    assert "GUEST-READY hostname=first" in server["output"]


def test_the_screen_is_shown_by_a_proxy_that_the_authority_vouches_for(configured, guest):
    url = console.socket_url(
        configured.sdk("demo").compute.create_console(guest.id, "novnc")["url"]
    )
    with console.opened(url, configured.home / "ca.pem") as screen:
        width, height, name = screen.begin()
    assert width > 0
    assert height > 0
    assert name.startswith("QEMU")
    with pytest.raises(ssl.SSLCertVerificationError):
        websocket.create_connection(url, timeout=60)


def test_the_screen_is_not_shown_without_a_token(configured, guest):
    url = console.socket_url(
        configured.sdk("demo").compute.create_console(guest.id, "novnc")["url"]
    )
    wrong = urllib.parse.urlsplit(url)._replace(query="token=wrong").geturl()
    with (
        pytest.raises((websocket.WebSocketException, OSError)),
        console.opened(wrong, configured.home / "ca.pem") as screen,
    ):
        screen.begin()


def test_the_metadata_service_answers_as_well(guest):
    told = guest.run("curl -s http://169.254.169.254/openstack/latest/meta_data.json")
    assert json.loads(told)["uuid"] == guest.id


def test_instances_of_a_project_reach_each_other(guest, second):
    assert ", 0% packet loss" in guest.run(f"ping -c 3 -w 20 {second.address}")
    assert "second" in guest.run(f"curl -s -m 20 http://{second.address}/")


def test_instances_reach_the_world_by_the_router(configured, guest):
    guest.run("ping -c 3 -w 20 172.24.5.1")


def test_a_security_group_really_blocks(configured, guest):
    demo = configured.sdk("demo")
    assert not can_connect(guest.floating_ip, 80), "nobody let web traffic in"
    group = next(demo.network.security_groups(name="demo"))
    rule = demo.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", ether_type="IPv4", protocol="tcp",
        port_range_min=80, port_range_max=80,
    )  # fmt: skip
    wait_for(lambda: can_connect(guest.floating_ip, 80), 30, "the rule lets web traffic in")
    demo.network.delete_security_group_rule(rule)
    wait_for(lambda: not can_connect(guest.floating_ip, 80), 30, "web traffic is blocked again")


def test_a_volume_is_attached_and_keeps_what_is_written(configured, guest):
    configured.launch("first", "--volume", "1")
    wait_for(lambda: "vdb" in guest.run("cat /proc/partitions"), 60, "the disk is there")
    guest.run("mke2fs -q /dev/vdb && mount /dev/vdb /mnt && echo kept > /mnt/word && umount /mnt")
    assert guest.run("mount /dev/vdb /mnt && cat /mnt/word && umount /mnt") == "kept\n"
    volume = next(configured.sdk("demo").block_storage.volumes(name="first-volume"))
    assert volume.attachments[0]["server_id"] == guest.id


def test_an_instance_comes_back_from_a_reboot(configured, guest):
    guest.run("touch /run/before")
    configured.sdk("demo").compute.reboot_server(guest.id, "SOFT")
    wait_for(lambda: not guest.answers(), 60, "it goes down")
    guest.wait()
    assert guest.run("ls /run/before || echo gone").strip().endswith("gone")


@pytest.mark.long
def test_a_snapshot_holds_what_was_written(configured, guest):
    demo = configured.sdk("demo")
    guest.run("echo snapped > /root/word; sync")
    demo.compute.create_server_image(guest.id, "first-snapshot", wait=True, timeout=600)
    copy = configured.launch("copy", "--image", "first-snapshot")
    try:
        assert run([*copy.ssh[:-1], f"cirros@{copy.floating_ip}", "cat /root/word"]) == "snapped\n"
    finally:
        demo.compute.delete_server(copy.id)
        demo.image.delete_image(demo.image.find_image("first-snapshot"))


@pytest.mark.long
def test_a_resize_is_refused_where_there_is_one_hypervisor(configured, second, larger):
    check_refused(
        configured, second, "resize", lambda compute: compute.resize_server(second.id, larger.id)
    )
