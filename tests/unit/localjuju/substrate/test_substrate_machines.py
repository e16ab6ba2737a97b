"""Machines: command lines, networks, files, and what is noted of the host."""

import asyncio
import dataclasses
import fcntl
import json
import os

import pytest

from localjuju.settings import Settings, Space
from localjuju.substrate import (
    bridges,
    commands,
    host_state,
    machines,
    names,
    records,
)
from localjuju.substrate.commands import Host
from localjuju.substrate.protocol import MachineInterface, MachineSpec, SubstrateError

FAST = Space("fast", "10.78.0.0/24")
OUTER = Space("outer", "10.8.0.0/24", gateway=True, first="10.8.0.240")


@pytest.fixture
def with_spaces(settings: Settings) -> Settings:
    return dataclasses.replace(settings, spaces=(FAST, OUTER))


@pytest.fixture
def machine() -> MachineSpec:
    interfaces = (
        MachineInterface("alpha", "eth0", "10.70.4.1"),
        MachineInterface("fast", "eth1", "10.78.0.10"),
    )
    return MachineSpec("yard", "3", "juju-abcdef-3", "x/machine:1", interfaces)


def test_a_machine_boots_with_fixed_interfaces_and_comes_back_by_itself(with_spaces, machine):
    argv = commands.create_machine(Host(with_spaces, "x/pause:1", "/parent"), machine)
    assert argv[-2:] == ("x/machine:1", "/sbin/init")
    assert argv[argv.index("create") :][1] == "--name=here.yard.machine-3"
    for word in (
        "--systemd=always",
        "--privileged",
        "--restart=always",
        "--no-hosts",
        "--hostname=juju-abcdef-3",
        "--label=localjuju.machine=3",
        "--label=localjuju.instance=here",
        "--cgroup-parent=/parent",
        "--network=here-management:ip=10.70.4.1,mac=02:6a:0a:46:04:01,interface_name=eth0",
        "--network=here.fast:ip=10.78.0.10,mac=02:6a:0a:4e:00:0a,interface_name=eth1",
        "--volume=/dev/null:/etc/systemd/system/systemd-sysctl.service:ro",
    ):
        assert word in argv
    assert not any(word.startswith("--ulimit") for word in argv), "it would replace the defaults"


def test_a_space_is_internal_unless_it_has_a_gateway(with_spaces):
    inner = commands.space_definition(with_spaces, FAST)
    assert inner["internal"] is True
    assert inner["dns_enabled"] is False
    assert inner["subnets"] == [{"subnet": "10.78.0.0/24"}]
    outer = commands.space_definition(with_spaces, OUTER)
    assert outer["internal"] is False
    assert outer["subnets"] == [{"subnet": "10.8.0.0/24", "gateway": "10.8.0.1"}]
    links = [names.space_bridge("a-very-long-instance", name) for name in ("fast", "outer")]
    assert len({*links, names.bridge("a-very-long-instance")}) == 3
    assert all(len(link) <= 15 for link in links)


def test_a_machines_sockets_are_in_one_folder_and_short_enough(settings, tmp_path):
    home = dataclasses.replace(settings, home=tmp_path / ("x" * 60))
    unit = "a-rather-long-application-name/1234"
    socket = names.agent_socket(home, "a-model-with-a-long-name", unit, "12")
    folder = names.machine_runtime_dir(home, "a-model-with-a-long-name", "12")
    assert socket.is_relative_to(folder)
    assert len(os.fsencode(socket)) <= 107
    seen = names.seen_on_machine(unit, socket)
    assert seen == f"/run/localjuju/{socket.relative_to(folder)}"
    assert names.agent_socket(home, "m", unit) != names.agent_socket(home, "m", unit, "0")


def test_machines_and_units_are_remembered(settings):
    record = records.MachineRecord("yard", "3", "juju-abcdef-3", {"alpha": "10.70.4.1"})
    names.machine_dir(settings, "yard", "3").mkdir(parents=True)
    records.save_machine(settings, record)
    storage = (("data/0", "/srv/data"),)
    unit = records.MachineUnitRecord("yard", "box/0", "3", "digest", ("dispatch",), storage)
    records.save_machine_unit(settings, unit)
    assert records.load_machines(settings) == {("yard", "3"): record}
    assert records.load_machine_units(settings) == {("yard", "box/0"): unit}
    records.forget_machine_unit(settings, unit)
    assert records.load_machine_units(settings) == {}


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (("search x\nnameserver 10.0.0.2\n",), "search x\nnameserver 10.0.0.2\n"),
        (("nameserver 127.0.0.53\n", "nameserver 10.0.0.3\n"), "nameserver 10.0.0.3\n"),
        (("nameserver 127.0.0.1\nnameserver 10.0.0.4\n",), "nameserver 10.0.0.4\n"),
        (("nameserver 127.0.0.1\n",), "nameserver 10.70.0.1\n"),
        ((), "nameserver 10.70.0.1\n"),
    ],
)
def test_machines_ask_the_hosts_name_servers_that_they_can_reach(
    tmp_path, monkeypatch, files, wanted
):
    paths = [tmp_path / str(number) for number in range(2)]
    for path, text in zip(paths, files, strict=False):
        path.write_text(text)
    monkeypatch.setattr(machines, "_RESOLVERS", tuple(paths))
    assert machines._resolver("10.70.0.1") == wanted


def test_agents_and_tools_follow_a_new_version_of_the_engine(tmp_path):
    source, target = tmp_path / "new", tmp_path / "there"
    source.write_text("1")
    machines._link(source, target)
    assert target.samefile(source)
    source.unlink()
    source.write_text("2")
    machines._link(source, target)
    assert target.read_text() == "2"


# --- The host ---


def test_the_mount_option_of_systemd_is_seen_in_the_list_of_mounts():
    line = "30 25 0:26 / {} rw,relatime shared:9 - cgroup2 cgroup2 {}"
    text = "\n".join(
        (
            line.format("/sys/fs/cgroup/unified", "rw,nsdelegate"),
            line.format("/elsewhere", "rw,memory_recursiveprot"),
            "31 25 0:27 / /tmp rw - tmpfs tmpfs rw",
        )
    )
    assert host_state.delegating(text) == ["/sys/fs/cgroup/unified"]


def test_only_settings_of_the_host_are_read(tmp_path):
    for name, mode in (
        ("fs/aio-max-nr", 0o644),
        ("fs/file-nr", 0o444),
        ("vm/compact_memory", 0o200),
        ("kernel/hostname", 0o644),
        ("kernel/ns_last_pid", 0o666),
        ("net/ipv4/ip_forward", 0o644),
        ("fs/protected_fifos", 0o644),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
        path.chmod(mode)
    assert list(host_state.read_keys(tmp_path)) == ["fs/aio-max-nr", "fs/protected_fifos"]


def test_what_changed_is_put_back_and_the_rest_is_left_alone(tmp_path):
    (tmp_path / "fs").mkdir()
    for name in ("one", "two", "new"):
        (tmp_path / "fs" / name).write_text("9\n")
    restored = host_state._restore_keys({"fs/one": "1\n", "fs/two": "9\n"}, tmp_path)
    assert restored == ["value 9 of fs.one"]
    assert [(tmp_path / "fs" / n).read_text() for n in ("one", "two", "new")] == [
        "1\n",
        "9\n",
        "9\n",
    ]


def test_the_first_machine_notes_the_host_and_the_last_instance_clears_the_note(
    with_spaces, tmp_path, monkeypatch
):
    note = tmp_path / "run" / "host.json"
    monkeypatch.setattr(names, "runtime_dir", lambda _: tmp_path / "run" / "x")
    other = dataclasses.replace(with_spaces, instance="other")
    host_state.record(with_spaces)
    before = json.loads(note.read_text())["keys"]
    host_state.record(other)
    assert json.loads(note.read_text())["instances"] == ["here", "other"]
    assert json.loads(note.read_text())["keys"] == before

    class NoRunner:
        async def check(self, what: str, argv: object) -> bytes:
            raise AssertionError(what)

    assert asyncio.run(host_state.restore(NoRunner(), with_spaces)) == []
    assert json.loads(note.read_text())["instances"] == ["other"]
    assert asyncio.run(host_state.restore(NoRunner(), other)) == []
    assert not note.exists()
    assert asyncio.run(host_state.restore(NoRunner(), other)) == []
    assert not note.exists()


def test_the_note_stays_until_the_host_is_as_it_was(with_spaces, tmp_path, monkeypatch):
    note, mounts = tmp_path / "run" / "host.json", tmp_path / "mountinfo"
    monkeypatch.setattr(names, "runtime_dir", lambda _: tmp_path / "run" / "x")
    monkeypatch.setattr(host_state, "_MOUNTS", mounts)
    note.parent.mkdir()
    text = json.dumps({"keys": {}, "delegating": [], "instances": ["here"]})
    note.write_text(text)
    mounts.write_text("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n")

    class Runner:
        def __init__(self) -> None:
            self.fails = True

        async def check(self, what: str, argv: object) -> bytes:
            assert note.read_text() == text
            if self.fails:
                raise SubstrateError(f"cannot {what}")
            return b""

    runner = Runner()
    with pytest.raises(SubstrateError, match="cannot mount /sys/fs/cgroup as it was"):
        asyncio.run(host_state.restore(runner, with_spaces))
    runner.fails = False
    restored = asyncio.run(host_state.restore(runner, with_spaces))
    assert restored == ["mount option nsdelegate of /sys/fs/cgroup"]
    assert not note.exists()


def test_a_note_that_went_while_one_waited_for_it_is_written_anew(
    with_spaces, tmp_path, monkeypatch
):
    note = tmp_path / "run" / "host.json"
    monkeypatch.setattr(names, "runtime_dir", lambda _: tmp_path / "run" / "x")
    turns = []

    def waited(file: object, what: int) -> None:
        turns.append(what)
        if len(turns) == 1:
            note.unlink()  # by the last instance that had it

    monkeypatch.setattr(fcntl, "flock", waited)
    host_state.record(with_spaces)
    assert json.loads(note.read_text())["instances"] == ["here"]
    assert len(turns) == 2


def test_a_bridge_that_is_not_there_has_nothing_to_turn_off():
    assert bridges.disable_offload("nosuchlink0") is False
