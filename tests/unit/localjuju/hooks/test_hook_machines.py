"""What hooks on machines see: spaces, port ranges, their machine, restarts, large files."""

import json
from pathlib import Path

import pytest

from localjuju.hooks.context import HookContext
from localjuju.model import Hook, HookKind, Interface, Machine, Resource

INSTALL = Hook(HookKind.INSTALL)


@pytest.fixture
def on_machine(world):
    """The world with `web/0` on a machine that is in two spaces."""
    world.model.type = "iaas"
    for app in world.model.applications.values():
        app.service_address = ""
    machine = Machine("3", hostname="juju-d7e8-3")
    machine.interfaces = {
        "alpha": Interface("eth0", "10.20.0.30"),
        "fast": Interface("eth1", "10.30.0.30"),
    }
    world.model.machines["3"] = machine
    unit = world.model.units["web/0"]
    unit.machine, unit.address = "3", machine.address
    world.model.applications["web"].bindings = {"cluster": "fast"}
    return world


def answer(world, command, *words, hook=INSTALL):
    context: HookContext = world.context(hook)
    result = context.run(command, words)
    return context, result


def test_network_get_gives_the_address_of_the_bound_space(on_machine):
    object.__setattr__(
        on_machine.paths, "subnets", {"alpha": "10.20.0.0/20", "fast": "10.30.0.0/24"}
    )
    found = {}
    for name in ("cluster", "database"):
        _, result = answer(on_machine, "network-get", "--format=json", name)
        found[name] = json.loads(result.stdout)
    assert found["cluster"]["ingress-addresses"] == ["10.30.0.30"]
    assert found["cluster"]["egress-subnets"] == ["10.30.0.30/32"]
    (bound,) = found["cluster"]["bind-addresses"]
    assert bound["interface-name"] == "eth1"
    assert bound["addresses"][0]["cidr"] == "10.30.0.0/24"
    assert found["database"]["bind-addresses"][0]["addresses"][0]["value"] == "10.20.0.30"


def test_a_space_that_the_machine_is_not_in_gives_the_management_address(on_machine):
    on_machine.model.applications["web"].bindings = {"": "lost"}
    _, result = answer(on_machine, "network-get", "--bind-address", "database")
    assert result.stdout == b"10.20.0.30\n"


def test_bags_are_seeded_with_the_address_of_the_endpoints_space(on_machine):
    context = on_machine.context(Hook(HookKind.CONFIG_CHANGED))
    context.flush()
    bag = on_machine.model.relations[1].unit_bags["web/0"].data
    assert bag["private-address"] == bag["ingress-address"] == "10.30.0.30"
    assert on_machine.model.relations[4].unit_bags["web/0"].data["ingress-address"] == "10.20.0.30"


def test_the_environment_names_machine_and_principal(on_machine):
    on_machine.model.units["web/0"].principal = "db/1"
    environment = on_machine.context(INSTALL).environment
    assert environment["JUJU_MACHINE_ID"] == "3"
    assert environment["JUJU_PRINCIPAL_UNIT"] == "db/1"


def test_ranges_of_ports_are_opened_on_machines_only(on_machine):
    context, result = answer(on_machine, "open-port", "8000-8010/tcp")
    assert result.code == 0
    context.flush()
    assert on_machine.model.units["web/0"].opened_ports == {"": ["8000-8010/tcp"]}
    on_machine.model.type = "caas"
    _, result = answer(on_machine, "open-port", "9000-9010/tcp")
    assert b"not supported for k8s" in result.stderr


@pytest.mark.parametrize(("words", "when"), [((), "after"), (("--now",), "now")])
def test_a_restart_is_asked_for(on_machine, words, when):
    context, result = answer(on_machine, "juju-reboot", *words)
    assert (result.code, context.reboot) == (0, when)


def test_pods_are_not_restarted(world):
    context, result = answer(world, "juju-reboot")
    assert (result.code, context.reboot) == (1, "")
    assert b"juju-reboot is not supported on caas models" in result.stderr


def test_a_file_keeps_its_name_and_is_not_copied(on_machine, tmp_path: Path):
    stored = tmp_path / "resources-of-the-engine"
    stored.write_bytes(b"large")
    app = on_machine.model.applications["web"]
    on_machine.model.charm_of("web").resources["tool"] = {"type": "file", "filename": "tool.bin"}
    app.resources["tool"] = Resource("tool", "file", str(stored))
    _, result = answer(on_machine, "resource-get", "tool")
    assert result.stdout.endswith(b"/resources/tool/tool.bin\n")
    placed = on_machine.paths.resources_host / "tool" / "tool.bin"
    assert placed.samefile(stored)
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"other")
    app.resources["tool"] = Resource("tool", "file", str(fresh))
    answer(on_machine, "resource-get", "tool")
    assert placed.read_bytes() == b"other"
    assert stored.read_bytes() == b"large"
