"""A second hypervisor: instances talk across, move while they run, outlive a machine's death."""

import dataclasses
import json

import pytest
from cloudtest import Ping, check_refused, wait_for

pytestmark = pytest.mark.long

SERVICES_ALIVE = 300  # seconds
GAP = 10  # seconds for which an instance that moves may not answer


def place(cloud, guest) -> str:
    """Return on which hypervisor an instance runs."""
    return cloud.sdk().compute.get_server(guest.id).compute_host.split(".")[0]


@dataclasses.dataclass(frozen=True)
class Added:
    """What was when a second hypervisor was added.

    Attributes:
        before: What ran before it, see `Cloud.starts`.
        after: What ran when all had settled.
    """

    before: dict[tuple[str, str], str | int]
    after: dict[tuple[str, str], str | int]


@pytest.fixture(scope="module")
def nodes(configured):
    """Two hypervisors: the first, and one more."""
    configured.settle()
    before = configured.starts()
    configured.helio("node", "add")
    assert len(json.loads(configured.helio("node", "list", "--format", "json"))) == 2
    configured.settle()
    return Added(before, configured.starts())


@pytest.fixture(scope="module")
def far(configured, guest, nodes):
    """An instance on the hypervisor on which the first one is not."""
    demo = configured.sdk("demo")
    admin = configured.sdk()
    here = place(configured, guest)
    for service in admin.compute.services(binary="nova-compute"):
        if service.host.split(".")[0] == here:
            admin.compute.disable_service(service, service.host, service.binary, "test")
    try:
        instance = configured.launch("far")
    finally:
        for service in admin.compute.services(binary="nova-compute"):
            admin.compute.enable_service(service, service.host, service.binary)
    assert place(configured, instance) != here
    yield instance
    demo.compute.delete_server(instance.id)


def test_one_more_hypervisor_costs_the_others_nothing(configured, nodes):
    assert {unit for unit, _ in nodes.before} >= {"keystone/0", "openstack-hypervisor/0"}
    assert {key: nodes.after.get(key) for key in nodes.before} == nodes.before
    status = configured.machines.status().apps["openstack-hypervisor"]
    assert all(unit.workload_status.current == "active" for unit in status.units.values())


def test_instances_reach_each_other_across_hypervisors(guest, far):
    assert ", 0% packet loss" in guest.run(f"ping -c 5 -w 20 {far.address}")
    assert "far" in guest.run(f"curl -s -m 20 http://{far.address}/")


def test_much_data_comes_across_whole(guest, far):
    far.run("dd if=/dev/urandom of=/srv/www/data bs=1M count=10 2>/dev/null")
    wanted = far.run("sha256sum < /srv/www/data")
    assert guest.run(f"curl -s -m 120 http://{far.address}/data | sha256sum") == wanted


@pytest.fixture(scope="module")
def moved(configured, far):
    """The ping to an instance while it moved; the instance bears a mark of the time before."""
    compute = configured.sdk().compute
    before = place(configured, far)
    far.run("echo alive > /run/mark")
    with Ping(far.floating_ip) as ping:
        compute.live_migrate_server(far.id, host=None, block_migration="auto")
        wait_for(
            lambda: (
                (now := compute.get_server(far.id)).status == "ACTIVE"
                and not now.task_state
                and place(configured, far) != before
            ),
            300,
            "it has moved",
        )
    return ping


def test_what_needs_ssh_between_hypervisors_is_refused(configured, far, larger):
    check_refused(
        configured, far, "resize", lambda compute: compute.resize_server(far.id, larger.id)
    )
    check_refused(configured, far, "migrate", lambda compute: compute.migrate_server(far.id))


def test_an_instance_moves_while_it_runs(far, moved):
    print(f"live migration: {moved}")
    assert far.run("cat /run/mark") == "alive\n", "it was not restarted"
    assert moved.longest <= GAP


def test_an_instance_that_has_moved_boots_with_its_config_drive(configured, far, moved):
    # While it runs it may have the drive's old content in memory: a boot reads what is there.
    configured.sdk("demo").compute.reboot_server(far.id, "SOFT")
    wait_for(lambda: not far.answers(), 120, "it goes down")
    far.wait()
    assert far.run("ls /run/mark || echo gone").strip().endswith("gone"), "it has booted anew"
    assert f"source=config-drive uuid={far.id} " in configured.told_at_boot(far)


def test_a_hypervisor_that_died_comes_back_with_its_instances(configured, guest, far):
    host = place(configured, guest)
    machines = configured.machines.status().machines
    (number,) = [name for name, each in machines.items() if each.hostname.split(".")[0] == host]
    configured.kill_container(f"helio-test.machines.machine-{number}")
    guest.wait(600)
    configured.settle()

    def alive() -> bool:
        admin = configured.sdk()
        states = {each.state for each in admin.compute.services()}
        return states == {"up"} and all(each.is_alive for each in admin.network.agents())

    wait_for(alive, SERVICES_ALIVE, "every agent is alive again")
    admin = configured.sdk()
    names = [provider.name for provider in admin.placement.resource_providers()]
    assert len(names) == len(set(names)) == 2
    assert len(list(admin.compute.hypervisors())) == 2


def test_a_node_is_drained_and_leaves_nothing_behind(configured, guest, far, nodes):
    gone = place(configured, far)
    with Ping(far.floating_ip) as ping:
        configured.helio("node", "remove", gone, "--yes")
    print(f"drained: {ping}")
    assert place(configured, far) != gone
    far.wait()
    guest.wait()
    admin = configured.sdk()
    left = [
        *(each.host for each in admin.compute.services(binary="nova-compute")),
        *(each.host for each in admin.network.agents()),
        *(each.name for each in admin.placement.resource_providers()),
    ]
    assert [name for name in left if name.split(".")[0] == gone] == []
    listed = json.loads(configured.helio("node", "list", "--format", "json"))
    assert [each["name"] for each in listed] == [place(configured, far)]
    assert ping.longest <= GAP
