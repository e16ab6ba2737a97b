"""A hypervisor's agents restart, for an option or another charm, and VMs do not notice."""

import zipfile
from contextlib import contextmanager

import pytest
from cloudtest import SETTLE_SECONDS, Ping, wait_for

from helio import packing, plan
from helio.host import LocalHost
from helio.tree import find_tree

APPLICATION = "openstack-hypervisor"
AGENTS = ("nova-compute.service", "neutron-ovn-agent.service")
# As the kernel cuts their names.
STAY = ("qemu-system-x86", "libvirtd", "ovs-vswitchd", "ovsdb-server", "ovn-controller")
# In the charm's archive: a file of each agent, which a comment changes.
FILES = ("src/templates/compute.py", "src/templates/neutron.conf.j2")


def units(cloud) -> list[str]:
    return sorted(cloud.machines.status().apps[APPLICATION].units)


def agents(cloud) -> dict[tuple[str, str], int]:
    """Return unit and agent → its main process."""
    found = {unit: cloud.main_pids(unit) for unit in units(cloud)}
    return {(unit, name): found[unit].get(name, 0) for unit in found for name in AGENTS}


def beneath(cloud) -> dict[tuple[str, str], set[int]]:
    """Return unit and program → its processes, for all that must not notice."""
    found = {unit: cloud.pids(unit, *STAY) for unit in units(cloud)}
    return {(unit, name): pids for unit in found for name, pids in found[unit].items()}


@contextmanager
def agents_restarted(cloud):
    """Wait, after what the block does, until each agent runs anew and the cloud has settled."""
    before = agents(cloud)
    assert all(before.values()), before
    yield
    wait_for(
        lambda: all(now and now != before[key] for key, now in agents(cloud).items()),
        SETTLE_SECONDS,
        "each agent has restarted",
    )
    cloud.settle()


@contextmanager
def untouched(cloud, guest):
    """Hold the block to it that what VMs stand on stays, and that none of their pings is lost."""
    before = beneath(cloud)
    assert {name for (_, name), pids in before.items() if pids} == set(STAY)
    with Ping(guest.floating_ip) as ping:
        yield
    after = beneath(cloud)
    print(ping)
    assert {key: gone for key in before if (gone := before[key] - after[key])} == {}
    assert ping.lost == 0


@pytest.fixture
def charms(tmp_path):
    """The packed charm, and another one that writes a comment more into a file of each agent."""
    ours = packing.charm_file(find_tree(), APPLICATION, plan.read_base(LocalHost()), "amd64")
    other = tmp_path / ours.name
    with zipfile.ZipFile(ours) as source, zipfile.ZipFile(other, "w") as target:
        assert set(FILES) <= set(source.namelist())
        for entry in source.infolist():
            more = b"\n# another revision\n" if entry.filename in FILES else b""
            target.writestr(entry, source.read(entry) + more)
    return ours, other


def test_an_option_restarts_the_agents_only(configured, guest):
    machines = configured.machines
    with untouched(configured, guest):
        try:
            with agents_restarted(configured):
                machines.config(APPLICATION, {"debug": True})
        finally:
            with agents_restarted(configured):
                machines.config(APPLICATION, reset="debug")


@pytest.mark.long
def test_another_charm_restarts_the_agents_only(configured, guest, charms):
    ours, other = charms
    machines = configured.machines
    with untouched(configured, guest):
        try:
            with agents_restarted(configured):
                machines.refresh(APPLICATION, path=other)
        finally:
            with agents_restarted(configured):
                machines.refresh(APPLICATION, path=ours)
