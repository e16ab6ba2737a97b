"""The hypervisor's host.py: what the planner of networks does with what is there. Pure."""

import dataclasses
import json
import pathlib
import subprocess

import pytest

FOLDER = pathlib.Path(__file__).parents[3] / "charms/openstack-hypervisor/src"
MANAGEMENT, TUNNEL, PROVIDER = "10.0.1.5", "10.0.2.5", "172.24.4.241"


@pytest.fixture
def host(load_script):
    return load_script(FOLDER / "templates/host.py")


@pytest.fixture
def wanted(host):
    return host.Wanted(
        host="m0",
        management=MANAGEMENT,
        tunnel=TUNNEL,
        southbound="ssl:10.0.1.9:6642,ssl:10.0.1.8:6642",
        datapath="netdev",
        networks={"physnet1": PROVIDER},
        is_gateway=True,
        tls=("key.pem", "cert.pem", "ca.pem"),
    )


@pytest.fixture
def machine(host):
    return Machine(host)


class Machine:
    """A machine on which the planned commands do what `ovs-vsctl` and `ip` do."""

    def __init__(self, host):
        self.host = host
        self.macs = {"eth0": "02:00:00:00:00:00", "eth1": "02:00:00:00:00:01",
                     "eth2": "02:00:00:00:00:02"}  # fmt: skip
        self.addresses = {
            "eth0": [f"{MANAGEMENT}/24"],
            "eth1": [f"{TUNNEL}/24"],
            "eth2": [f"{PROVIDER}/24"],
        }
        self.routes = {}
        self.bridges = {}
        self.settings = {}

    def facts(self):
        names = [*self.macs, *self.bridges]
        return self.host.Facts(
            links=tuple(
                self.host.Link(
                    name, self.macs.get(name, "0a:00:00:00:00:00"),
                    tuple(self.addresses.get(name, ()))
                )
                for name in names
            ),
            bridges={
                name: self.host.Bridge(each["datapath"], tuple(each["ports"]), each["keep"])
                for name, each in self.bridges.items()
            },
            routes=self.routes,
        )  # fmt: skip

    def apply(self, wanted):
        commands = list(self.host.plan(wanted, self.facts()))
        for command in commands:
            getattr(self, f"_{command[0].replace('-', '_')}")(*command[1:])
        return commands

    def _ovs_vsctl(self, *words):
        steps, step = [], []
        for word in (*words, "--"):
            if word == "--":
                steps.append(step)
                step = []
            elif word not in ("--may-exist", "--if-exists"):
                step.append(word)
        for verb, *rest in filter(None, steps):
            if verb == "add-br":
                self.bridges.setdefault(rest[0], {"datapath": "", "ports": [], "keep": ""})
            elif verb == "add-port":
                elsewhere = [n for n, b in self.bridges.items() if rest[1] in b["ports"]]
                assert elsewhere in ([], [rest[0]]), "a port is in one bridge only"
                self.bridges[rest[0]]["ports"] = [*self.bridges[rest[0]]["ports"], rest[1]]
            elif verb == "del-port":
                self.bridges[rest[0]]["ports"].remove(rest[1])
            elif verb == "set" and rest[0] == "bridge":
                for pair in rest[2:]:
                    key, value = pair.split("=", 1)
                    key = {"datapath_type": "datapath"}.get(key, key.split(":")[-1])
                    key = "keep" if key == self.host.KEEP else key
                    self.bridges[rest[1]][key] = value.strip('"')
            elif verb == "set":
                self.settings |= dict(pair.split("=", 1) for pair in rest[2:])
            else:
                assert verb == "set-ssl", verb

    def _ip(self, kind, verb, *words):
        if (kind, verb) == ("address", "flush"):
            self.addresses[words[1]] = []
        elif (kind, verb) == ("address", "replace"):
            self.addresses.setdefault(words[2], [])
            self.addresses[words[2]] = sorted({*self.addresses[words[2]], words[0]})
        else:
            assert (kind, verb) in (("link", "set"), ("route", "replace")), (kind, verb)


def changes(commands):
    """Give the commands that change more than settings which may be written again."""
    return [
        each
        for each in commands
        if each[:2] not in (("ovs-vsctl", "set"), ("ovs-vsctl", "set-ssl"), ("ip", "link"))
    ]


# --- the userspace datapath --------------------------------------------------------------------


def test_the_userspace_datapath_gets_the_interface_and_address_of_tunnels(machine, wanted):
    machine.apply(wanted)
    assert machine.addresses["eth1"] == []
    assert machine.addresses["br-phy"] == [f"{TUNNEL}/24"]
    assert machine.bridges["br-phy"]["ports"] == ["eth1"]
    assert machine.bridges["br-phy"]["hwaddr"] == machine.macs["eth1"]
    assert {each["datapath"] for each in machine.bridges.values()} == {"netdev"}


def test_the_interface_of_an_external_network_loses_its_addresses(machine, wanted):
    machine.apply(wanted)
    assert machine.bridges["br-ex"]["ports"] == ["eth2"]
    assert machine.addresses["eth2"] == []
    assert machine.addresses["eth0"] == [f"{MANAGEMENT}/24"], "management stays as it is"


def test_a_second_run_changes_nothing(machine, wanted):
    machine.apply(wanted)
    assert changes(machine.apply(wanted)) == []


def test_a_boot_moves_the_addresses_again(machine, wanted):
    machine.apply(wanted)
    machine.addresses["eth1"], machine.addresses["br-phy"] = [f"{TUNNEL}/24"], []
    machine.addresses["eth2"] = [f"{PROVIDER}/24"]
    machine.apply(wanted)
    assert machine.addresses["br-phy"] == [f"{TUNNEL}/24"]
    assert machine.addresses["eth1"] == machine.addresses["eth2"] == []


def test_a_boot_may_name_interfaces_otherwise(machine, wanted):
    machine.apply(wanted)
    machine.addresses |= {
        "eth0": [f"{TUNNEL}/24"],
        "eth1": [f"{PROVIDER}/24"],
        "eth2": [f"{MANAGEMENT}/24"],
        "br-phy": [],
    }
    machine.apply(wanted)
    assert machine.bridges["br-phy"]["ports"] == ["eth0"]
    assert machine.bridges["br-ex"]["ports"] == ["eth1"]
    assert machine.addresses["eth2"] == [f"{MANAGEMENT}/24"]


def test_a_bridge_that_was_made_anew_gets_its_address_back(machine, wanted):
    machine.apply(wanted)
    machine.addresses["br-phy"] = []
    machine.apply(wanted)
    assert machine.addresses["br-phy"] == [f"{TUNNEL}/24"]


def test_routes_of_tunnels_go_with_their_address(machine, wanted):
    machine.routes = {"eth1": ("10.0.3.0/24 via 10.0.2.1",)}
    command = ("ip", "route", "replace", "10.0.3.0/24", "via", "10.0.2.1", "dev", "br-phy")
    assert command in machine.apply(wanted)


def test_tunnels_never_take_the_interface_of_management(machine, wanted):
    shared = dataclasses.replace(wanted, tunnel=MANAGEMENT)
    with pytest.raises(machine.host.NetworkError, match="eth0 is the one of management"):
        machine.apply(shared)
    assert machine.bridges == {}, "nothing was begun"


# --- the kernel's datapath ---------------------------------------------------------------------


def test_the_kernels_datapath_leaves_tunnels_where_they_are(machine, wanted):
    machine.apply(dataclasses.replace(wanted, datapath="system", tunnel=MANAGEMENT))
    assert machine.addresses["eth1"] == [f"{TUNNEL}/24"]
    assert set(machine.bridges) == {"br-ex"}
    assert machine.settings["external-ids:ovn-encap-ip"] == json.dumps(MANAGEMENT)


# --- external networks -------------------------------------------------------------------------


@pytest.mark.parametrize("words", [PROVIDER, "172.24.4.0/24", "02:00:00:00:00:02", "eth2"])
def test_an_interface_is_found_by_address_subnet_mac_or_name(machine, wanted, words):
    machine.apply(dataclasses.replace(wanted, networks={"physnet1": words}))
    assert machine.bridges["br-ex"]["ports"] == ["eth2"]
    assert changes(machine.apply(dataclasses.replace(wanted, networks={"physnet1": words}))) == []


def test_an_interface_that_is_not_there_is_named(machine, wanted):
    with pytest.raises(machine.host.NetworkError, match=r"no interface for physnet1 .* eth9"):
        machine.apply(dataclasses.replace(wanted, networks={"physnet1": "eth9"}))


@pytest.mark.parametrize("words", ["eth0", "10.0.2.0/24"])
def test_an_external_network_never_takes_an_interface_that_is_used(machine, wanted, words):
    with pytest.raises(machine.host.NetworkError, match="needs an interface of its own"):
        machine.apply(dataclasses.replace(wanted, networks={"physnet1": words}))


def test_another_interface_takes_the_place_of_the_one_before(machine, wanted):
    machine.macs["eth3"] = "02:00:00:00:00:03"
    machine.apply(wanted)
    machine.apply(dataclasses.replace(wanted, networks={"physnet1": "eth3"}))
    assert machine.bridges["br-ex"]["ports"] == ["eth3"]


def test_ports_that_are_no_interfaces_stay(machine, wanted):
    machine.apply(wanted)
    machine.bridges["br-ex"]["ports"].append("patch-provnet-to-br-int")
    assert changes(machine.apply(wanted)) == []


def test_each_network_has_a_bridge_of_its_own(machine, wanted):
    machine.macs["eth3"] = "02:00:00:00:00:03"
    both = {"physnet1": PROVIDER, "storage-2": "eth3"}
    machine.apply(dataclasses.replace(wanted, networks=both))
    assert machine.bridges["br-storage-2"]["ports"] == ["eth3"]
    text = json.loads(machine.settings["external-ids:ovn-bridge-mappings"])
    assert text == "physnet1:br-ex,storage-2:br-storage-2"


# --- settings ----------------------------------------------------------------------------------


def test_the_chassis_is_named_like_the_machine(machine, wanted):
    machine.apply(wanted)
    settings = machine.settings
    assert settings["external-ids:system-id"] == settings["external-ids:hostname"] == '"m0"'
    assert settings["external-ids:ovn-remote"] == json.dumps(wanted.southbound)
    assert settings["other-config:userspace-tso-enable"] == "false"


@pytest.mark.parametrize(
    ("change", "options"),
    [({}, "enable-chassis-as-gw"), ({"is_gateway": False}, ""), ({"networks": {}}, "")],
)
def test_only_a_machine_with_an_external_network_is_a_gateway(machine, wanted, change, options):
    machine.apply(dataclasses.replace(wanted, **change))
    assert json.loads(machine.settings["external-ids:ovn-cms-options"]) == options


# --- the script --------------------------------------------------------------------------------


def test_what_the_probe_found_counts_until_the_next_boot(host, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(host, "KNOWN", tmp_path / "run/probe.json")
    monkeypatch.setattr(host, "boots", lambda accelerator: tried.append(accelerator) or False)
    monkeypatch.setattr(host, "has_kernel_datapath", lambda: True)
    found = {"virtualization": "qemu", "datapath": "system"}
    assert host.probe() == host.probe() == found
    assert tried == ["kvm"]


class Kernel:
    """What programs say of a kernel; Open vSwitch may have the usual port of geneve already."""

    def __init__(self, *, openvswitch=True, geneve=True, port_is_taken=False, bridge=""):
        self.openvswitch = openvswitch
        self.geneve = geneve
        self.port_is_taken = port_is_taken
        self.bridge = bridge
        self.links = []

    def run(self, argv, **how):
        return subprocess.CompletedProcess(argv, *self._answer(*argv))

    def _answer(self, program, *words):
        if program == "modprobe":
            return 0, ""
        if program == "ovs-dpctl":
            return int(not self.openvswitch), ""
        if program == "ovs-vsctl":
            return 0, self.bridge
        assert (program, words[0]) == ("ip", "link")
        if words[1] == "delete":
            self.links.remove(words[2])
            return 0, ""
        port = words[words.index("dstport") + 1] if "dstport" in words else "6081"
        if not self.geneve or (self.port_is_taken and port == "6081"):
            return 2, ""
        self.links.append(words[2])
        return 0, ""


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, True),
        ({"openvswitch": False}, False),
        ({"geneve": False}, False),
        # What ovn-controller makes before it is told of a datapath proves nothing.
        ({"geneve": False, "bridge": '""\n'}, False),
        ({"port_is_taken": True}, True),
        ({"geneve": False, "bridge": "system\n"}, True),
        ({"openvswitch": False, "bridge": "system\n"}, False),
    ],
)
def test_a_kernel_whose_datapath_is_in_use_still_has_one(host, monkeypatch, facts, found):
    kernel = Kernel(**facts)
    monkeypatch.setattr(host.subprocess, "run", kernel.run)
    assert host.has_kernel_datapath() is found
    assert kernel.links == []


def test_the_system_id_is_written_where_open_vswitch_reads_it(
    host, tmp_path, monkeypatch, wanted, machine
):
    ran = []
    monkeypatch.setattr(host, "SYSTEM_ID", tmp_path / "system-id.conf")
    monkeypatch.setattr(host, "look", machine.facts)
    monkeypatch.setattr(host, "run", lambda *argv: ran.append(argv))
    monkeypatch.setattr(host, "_await_bridge", lambda name: None)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(dataclasses.asdict(wanted)))
    assert host.main(["network", str(path)]) == 0
    assert (tmp_path / "system-id.conf").read_text() == "m0\n"
    assert ran


def test_a_network_that_cannot_be_made_says_why(host, tmp_path, monkeypatch, wanted, capsys):
    monkeypatch.setattr(host, "SYSTEM_ID", tmp_path / "system-id.conf")
    monkeypatch.setattr(host, "look", lambda: host.Facts((), {}))
    path = tmp_path / "network.json"
    path.write_text(json.dumps(dataclasses.asdict(wanted)))
    assert host.main(["network", str(path)]) == 1
    assert "cannot connect the network: no interface for physnet1" in capsys.readouterr().err


def test_what_an_operator_has_to_change_is_told_before_anything_changes(
    host, monkeypatch, wanted, machine, capsys
):
    def problem(**changed):
        content = dataclasses.asdict(dataclasses.replace(wanted, **changed))
        assert host.main(["check", json.dumps(content)]) == 0
        return capsys.readouterr().out.strip()

    monkeypatch.setattr(host, "look", machine.facts)
    monkeypatch.setattr(host, "run", lambda *argv: pytest.fail(f"{argv} was run"))
    assert problem() == ""
    assert problem(networks={"physnet1": "10.99.0.0/24"}) == (
        "external-networks: no interface for physnet1 is found by 10.99.0.0/24"
    )
    assert problem(networks={"physnet1": "eth0"}).startswith("external-networks: physnet1 needs")
    assert problem(tunnel="10.0.2.99").startswith("tunnel: no interface has the address")


def test_who_cannot_look_at_the_network_finds_no_fault_with_it(host, monkeypatch, wanted, capsys):
    def broken(*argv):
        raise host.NetworkError("ovs-vsctl: database connection failed")

    monkeypatch.setattr(host, "run", broken)
    assert host.main(["check", json.dumps(dataclasses.asdict(wanted))]) == 0
    assert capsys.readouterr().out.strip() == ""


def test_the_probe_guest_is_one_boot_sector(host):
    assert len(host._BOOT_SECTOR) == 512
    assert host._BOOT_SECTOR.endswith(b"\x55\xaa")
