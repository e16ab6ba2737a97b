"""Models of machines on real Podman: containers that boot systemd, charms on them as on Juju.

Needs root, Podman and the images `base` and `machine`; everything else is made here and removed
again. The tests build on each other: one cloud of two machines lives through all of them.
"""

import dataclasses
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localjuju import process
from localjuju.settings import Settings, Space, save
from localjuju.substrate import commands, host_state, names

INSTANCE = "t9yard"
BOX: dict[str, Any] = {
    "name": "box",
    "summary": "Tells what it sees",
    "extra-bindings": {"tunnel": None},
    "provides": {"give": {"interface": "thing"}},
    "requires": {"take": {"interface": "thing"}},
    "resources": {"tool": {"type": "file", "filename": "tool.bin"}},
    "storage": {"data": {"type": "filesystem"}},
}
LID: dict[str, Any] = {
    "name": "lid",
    "summary": "Stands beside another",
    "subordinate": True,
    "requires": {"beside": {"interface": "juju-info", "scope": "container"}},
}
POD: dict[str, Any] = {"name": "pod", "summary": "A pod", "containers": {}}
CONFIG = {"options": {"restart": {"type": "boolean", "default": False}}}
# Every hook is noted in the machine's own file system, with where it ran.
DISPATCH = """#!/bin/sh
name=${JUJU_DISPATCH_PATH#hooks/}
echo "$name $JUJU_MACHINE_ID $JUJU_PRINCIPAL_UNIT" >> /var/lib/hooks-${CHARM_DIR#*/unit-}
case "$name" in
  start) status-set active "$(network-get tunnel --bind-address 2>/dev/null)" ;;
  config-changed) [ "$(config-get restart)" != True ] || juju-reboot ;;
esac
""".replace("${CHARM_DIR#*/unit-}", '"$(basename "$(dirname "$CHARM_DIR")")"')


def write_charm(folder: Path, metadata: dict[str, Any]) -> Path:
    path = folder / metadata["name"]
    path.mkdir()
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    (path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (path / "dispatch").write_text(DISPATCH)
    (path / "dispatch").chmod(0o755)
    return path


class Yard:
    """An engine with a model of machines, used as an operator does."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.box, self.lid, self.pod = (write_charm(folder, m) for m in (BOX, LID, POD))

    @property
    def environment(self) -> dict[str, str]:
        own = {"LOCALJUJU_HOME": str(self.settings.home), "JUJU_MODEL": "yard"}
        return {**os.environ, **own, "CONTAINERS_CONF": self.settings.containers_conf}

    def juju(self, *words: str, model: str = "yard") -> str:
        argv = [sys.executable, "-m", "localjuju.cli.main", *words]
        env = {**self.environment, "JUJU_MODEL": model}
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, f"juju {' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def ssh(self, target: str, command: str) -> str:
        return self.juju("ssh", target, command).strip()

    def status(self) -> dict[str, Any]:
        return json.loads(self.juju("status", "--format", "json"))

    def units(self, data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for app in data["applications"].values():
            for name, unit in app.get("units", {}).items():
                found |= {name: unit, **unit.get("subordinates", {})}
        return found

    def settle(self, *units: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until exactly these units are there, active and idle; return the status."""
        end = time.monotonic() + seconds
        while True:
            data = self.status()
            shown = {
                name: (unit["workload-status"]["current"], unit["juju-status"]["current"])
                for name, unit in self.units(data).items()
            }
            if shown == dict.fromkeys(units, ("active", "idle")):
                return data
            assert time.monotonic() < end, f"{shown}\n{self.juju('status')}"
            time.sleep(0.2)

    def hooks(self, machine: str, unit: str) -> list[str]:
        """Return the hooks that ran on a unit, as `name machine principal`."""
        text = self.ssh(machine, f"cat /var/lib/hooks-unit-{unit.replace('/', '-')}")
        return [line.strip() for line in text.splitlines()]

    def until(self, true: Callable[[], Any], seconds: float = 40) -> None:
        """Wait until something is true; a command that fails meanwhile is tried again."""
        end = time.monotonic() + seconds
        while not _holds(true):
            assert time.monotonic() < end, self.juju("status")
            time.sleep(0.2)

    def container(self, machine: str) -> dict[str, Any]:
        argv = commands.list_containers(
            self.settings, f"label={names.LABEL_MACHINE}={machine}", "label=localjuju.model=yard"
        )
        (found,) = json.loads(subprocess.check_output(argv, env=self.environment))
        return found

    def stop_engine(self) -> None:
        assert process.stop_engine(self.settings.home)

    def destroy(self) -> str:
        argv = [sys.executable, "-c", "from localjuju.cli.main import localjuju; localjuju()"]
        argv += ["destroy", "--home", str(self.settings.home)]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _holds(true: Callable[[], Any]) -> bool:
    try:
        return bool(true())
    except AssertionError:  # between its end and its next start a machine runs nothing
        return False


@pytest.fixture(scope="module")
def before(look_at_host: Callable[[str], Any]) -> dict[str, Any]:
    """How the host is before anything is made."""
    return {
        "made": look_at_host(INSTANCE),
        "keys": host_state.read_keys(),
        "delegating": host_state.delegating(Path("/proc/self/mountinfo").read_text()),
    }


@pytest.fixture(scope="module")
def yard(
    before: dict[str, Any],
    make_settings: Callable[[str, str], Settings],
    machine_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Yard]:
    """Two machines: `box/0` and `post/0` on the first, `box/1` on the second."""
    assert before
    settings = dataclasses.replace(
        make_settings(INSTANCE, "10.218.0.0/20"),
        machine_image=machine_image,
        spaces=(
            Space("tunnel", "10.218.16.0/24"),
            Space("outer", "10.218.17.0/24", gateway=True, first="10.218.17.240"),
        ),
    )
    save(settings)
    yard = Yard(settings, tmp_path_factory.mktemp("charms"))
    (yard.folder / "tool.bin").write_bytes(os.urandom(1 << 20))
    try:
        yard.juju("add-model", "yard", "localhost")
        tool = f"tool={yard.folder / 'tool.bin'}"
        place = ("--resource", tool, "--bind", "alpha tunnel=tunnel")
        yard.juju("deploy", str(yard.box), "--num-units", "2", *place)
        yard.juju("deploy", str(yard.box), "post", "--to", "0", "--resource", tool)
        yard.settle("box/0", "box/1", "post/0")
        yard.ssh("0", "echo here > /etc/only-here")
        yield yard
    finally:
        if settings.home.exists():
            yard.destroy()


def test_machines_are_as_the_status_says(yard: Yard) -> None:
    data = yard.settle("box/0", "box/1", "post/0")
    assert {m: body["juju-status"]["current"] for m, body in data["machines"].items()} == {
        "0": "started",
        "1": "started",
    }
    for number, machine in data["machines"].items():
        assert yard.ssh(number, "hostname") == machine["hostname"]
        shown = json.loads(yard.ssh(number, "ip -json -4 address"))
        held = {link["ifname"]: link["addr_info"][0]["local"] for link in shown}
        assert {name: held[name] for name in held if name != "lo"} == {
            name: body["ip-addresses"][0] for name, body in machine["network-interfaces"].items()
        }
        gateways = yard.ssh(number, "ip route show default").splitlines()
        assert [line.split()[2] for line in gateways] == ["10.218.0.1"], "one way outwards"
    assert yard.ssh("1", "ls /etc/only-here 2>/dev/null || echo none") == "none"


def test_two_units_on_a_machine_run_one_after_the_other_with_folders_of_their_own(
    yard: Yard,
) -> None:
    order = ["data-storage-attached", "install", "leader-elected", "config-changed", "start"]
    assert yard.hooks("0", "box/0")[:5] == [f"{hook} 0" for hook in order]
    assert yard.hooks("0", "post/0")[:5] == [f"{hook} 0" for hook in order]
    folder = "/var/lib/juju/agents"
    assert yard.ssh("0", f"ls {folder}") == "unit-box-0\nunit-post-0"
    out = json.loads(yard.juju("exec", "--format", "json", "--unit", "post/0", "--", "pwd; env"))
    printed = out["post/0"]["results"]["stdout"]
    assert printed.startswith(f"{folder}/unit-post-0/charm\n")
    assert "JUJU_MACHINE_ID=0\n" in printed
    assert "INVOCATION_ID" not in printed, "nothing of the agent's service leaks"


def test_network_get_gives_the_address_of_the_bound_space(yard: Yard) -> None:
    units = yard.units(yard.status())
    assert units["box/0"]["workload-status"]["message"] == "10.218.16.10"
    assert units["box/1"]["workload-status"]["message"] == "10.218.16.11"
    assert units["post/0"]["workload-status"]["message"] == units["post/0"]["public-address"]
    ask = "network-get tunnel --format=json"
    out = json.loads(yard.juju("exec", "--format", "json", "--unit", "box/1", "--", ask))
    info = json.loads(out["box/1"]["results"]["stdout"])
    assert info["bind-addresses"][0]["interface-name"] == "eth1"
    assert info["bind-addresses"][0]["addresses"][0]["cidr"] == "10.218.16.0/24"
    yard.ssh("0", "ping -c 1 -W 2 10.218.16.11")


def test_machines_know_each_other_by_name_and_pods_by_address_only(yard: Yard) -> None:
    other = yard.status()["machines"]["1"]
    yard.ssh("0", f"ping -c 1 -W 2 {other['hostname']}")
    yard.juju("add-model", "pods", "--no-switch")
    yard.juju("deploy", str(yard.pod), model="pods")
    yard.juju("wait-for", "unit", "pod/0", "--timeout", "30s", model="pods")
    shown = json.loads(yard.juju("status", "--format", "json", model="pods"))
    address = shown["applications"]["pod"]["units"]["pod/0"]["address"]
    yard.ssh("0", f"ping -c 1 -W 2 {address}")
    name = "pod-0.pod-endpoints.pods.svc.cluster.local"
    assert yard.ssh("0", f"getent ahostsv4 {name} | grep -c {address} || true") == "0"
    yard.juju("ssh", "pod/0", f"ping -c 1 -W 2 {other['dns-name']}", model="pods")
    yard.juju("destroy-model", "pods", "--no-prompt", "--force")


def test_checksums_are_finished_by_the_host_on_a_bridge_that_leads_outwards(yard: Yard) -> None:
    bridge = names.space_bridge(INSTANCE, "outer")
    value = array("I", (0x16, 9))  # ETHTOOL_GTXCSUM
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sP16x", bridge.encode(), value.buffer_info()[0])
        fcntl.ioctl(control, 0x8946, request)
    assert value[1] == 0
    yard.ssh("0", "ping -c 1 -W 2 -I 10.218.17.240 10.218.17.1")


def test_a_subordinate_stands_beside_every_principal_and_goes_with_the_relation(
    yard: Yard,
) -> None:
    yard.juju("deploy", str(yard.lid))
    yard.juju("integrate", "lid", "box")
    data = yard.settle("box/0", "box/1", "post/0", "lid/0", "lid/1")
    beside = {
        unit: name
        for unit, body in data["applications"]["box"]["units"].items()
        for name in body["subordinates"]
    }
    for principal, name in beside.items():
        machine = data["applications"]["box"]["units"][principal]["machine"]
        hooks = yard.hooks(machine, name)
        assert hooks[0] == f"install {machine} {principal}"
        assert hooks.count(f"beside-relation-joined {machine} {principal}") == 1
    yard.juju("remove-relation", "lid", "box")
    yard.settle("box/0", "box/1", "post/0")
    services = yard.ssh("0", "systemctl list-units --all --no-legend 'localjuju-unit-*'")
    assert "lid" not in services
    yard.juju("remove-application", "lid", "--no-prompt")


def test_a_resource_is_the_stored_file_itself_and_a_new_one_gives_upgrade_charm(
    yard: Yard,
) -> None:
    get = "resource-get tool; sha256sum $(resource-get tool) | cut -d' ' -f1; touch by-hook"
    for number in (1, 2):
        out = json.loads(yard.juju("exec", "--format", "json", "--unit", "box/0", "--", get))
        path, digest = out["box/0"]["results"]["stdout"].split()
        assert path == "/var/lib/juju/agents/unit-box-0/resources/tool/tool.bin"
        stored = yard.settings.home / "resources" / digest
        assert int(yard.ssh("0", f"stat -c %i {path}")) == stored.stat().st_ino
        (yard.folder / "tool.bin").write_bytes(os.urandom(1 << 20))
        yard.juju("attach-resource", "box", f"tool={yard.folder / 'tool.bin'}")
        yard.until(lambda n=number: yard.hooks("0", "box/0").count("upgrade-charm 0") == n)
        yard.settle("box/0", "box/1", "post/0")
    assert yard.hooks("0", "box/0").count("start 0") == 1, "no stop and no start"
    assert yard.ssh("0", "ls /var/lib/juju/agents/unit-box-0/charm/by-hook"), "it was kept"


def test_files_go_to_machines_and_come_back(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("and back")
    yard.juju("scp", str(tmp_path / "there"), "box/1:/root/there")
    yard.juju("scp", "1:/root/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "and back"
    out = json.loads(yard.juju("exec", "--format", "json", "--machine", "0,1", "--", "hostname"))
    assert [out[number]["results"]["return-code"] for number in ("0", "1")] == [0, 0]
    assert "machine-1" in yard.juju("debug-log", "--limit", "1000", "--include", "machine-1")


def test_agents_and_machines_live_on_without_the_engine(yard: Yard) -> None:
    hooks, process_id = yard.hooks("0", "box/0"), yard.container("0")["Pid"]
    yard.stop_engine()
    assert yard.container("0")["Pid"] == process_id
    yard.settle("box/0", "box/1", "post/0")
    assert yard.container("0")["Pid"] == process_id
    assert yard.hooks("0", "box/0") == hooks


def test_a_machine_that_dies_comes_back_as_it_was_and_its_units_start(yard: Yard) -> None:
    before = yard.status()["machines"]["0"]["network-interfaces"]
    os.kill(yard.container("0")["Pid"], 9)
    yard.until(lambda: yard.hooks("0", "box/0")[-1] == "start 0")
    yard.until(lambda: yard.hooks("0", "post/0")[-1] == "start 0")
    data = yard.settle("box/0", "box/1", "post/0")
    assert data["machines"]["0"]["network-interfaces"] == before
    assert yard.ssh("0", "cat /etc/only-here") == "here"
    assert yard.ssh("0", "ip route show default | wc -l") == "1"
    assert yard.hooks("1", "box/1").count("start 1") == 1


def test_a_machine_that_somebody_stopped_is_started(yard: Yard) -> None:
    name = yard.container("1")["Names"][0]
    argv = commands.podman(yard.settings, "stop", "--time=10", name)
    subprocess.run(argv, check=True, env=yard.environment, stdout=subprocess.DEVNULL)
    yard.until(lambda: yard.hooks("1", "box/1").count("start 1") == 2)
    yard.settle("box/0", "box/1", "post/0")


def test_a_charm_restarts_its_machine(yard: Yard) -> None:
    process_id = yard.container("1")["Pid"]
    yard.juju("config", "box", "restart=true")
    yard.until(lambda: yard.container("1")["Pid"] not in {process_id, 0})
    yard.until(lambda: yard.hooks("1", "box/1").count("start 1") == 3)
    hooks = yard.hooks("1", "box/1")
    assert hooks[-2:] == ["config-changed 1", "start 1"], "the hook was done"
    yard.settle("box/0", "box/1", "post/0")
    yard.juju("config", "box", "restart=false")


def test_units_and_machines_go(yard: Yard) -> None:
    yard.settle("box/0", "box/1", "post/0")
    yard.juju("remove-unit", "box/1", "--no-prompt")
    data = yard.settle("box/0", "post/0")
    yard.until(lambda: list(yard.status()["machines"]) == ["0"])
    yard.juju("remove-unit", "post/0", "--no-prompt")
    yard.settle("box/0")
    assert yard.ssh("0", "ls /var/lib/juju/agents") == "unit-box-0", "its neighbour stays"
    assert not (yard.settings.home / "models/yard/machines/1").exists()
    yard.juju("add-unit", "box", "--to", "0")
    yard.settle("box/0", "box/2")
    assert data["machines"]["0"]["hostname"] == yard.status()["machines"]["0"]["hostname"]


def test_nothing_is_left(
    yard: Yard, before: dict[str, Any], look_at_host: Callable[[str], Any]
) -> None:
    yard.juju("add-machine")
    runtime = names.runtime_dir(yard.settings)
    assert runtime.exists()
    told = yard.destroy()
    assert "removed machine t9yard.yard.machine-0" in told
    assert not runtime.exists()
    assert not yard.settings.home.exists()
    common = {"namespaces", "sockets"}  # of all instances, which may be busy
    made = look_at_host(INSTANCE)
    assert {k: v for k, v in made.items() if k not in common} == {
        k: v for k, v in before["made"].items() if k not in common
    }
    rules = subprocess.check_output(("iptables-save",), text=True)
    assert "10.218." not in rules
    cgroups = Path("/sys/fs/cgroup")
    assert not [p for p in cgroups.rglob(f"*localjuju-{INSTANCE}*") if p.is_dir()]
    if (runtime.parent / "host.json").exists():
        return  # another instance has machines, and puts the host back when it goes
    mounts = Path("/proc/self/mountinfo").read_text()
    assert host_state.delegating(mounts) == before["delegating"]
    assert host_state.read_keys() == before["keys"]
