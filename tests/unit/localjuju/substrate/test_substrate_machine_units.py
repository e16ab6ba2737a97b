"""Machines and the units on them, with a Podman that is a few lines of Python."""

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from localjuju.settings import Settings
from localjuju.substrate import machine_units, names, records, remains
from localjuju.substrate.machine_units import MachineUnits
from localjuju.substrate.machines import Machines
from localjuju.substrate.protocol import MachineUnitSpec, PodEvent, SubstrateError
from localjuju.substrate.runner import Done

KEY, UNIT = ("yard", "3"), ("yard", "box/0")
_VERB = 9  # what stands before it says where Podman keeps its things


class FakePodman:
    """Podman with one machine, and the programs of this host that are declared here.

    Attributes:
        state: The machine's, as Podman has it.
        process: Its first process.
        can_boot: Whether it starts.
        refuses: What a script on it complains about; empty: it does as it is told.
        scripts: What was run on it.
        boots: What happens when it boots, once.
    """

    def __init__(self) -> None:
        self.state = "running"
        self.process = os.getpid()
        self.can_boot = True
        self.refuses = ""
        self.scripts: list[str] = []
        self.boots: Callable[[], object] = lambda: None

    async def run(self, argv: Sequence[str], stdin: bytes = b"", *, waits: bool = True) -> Done:
        if argv[0] == "cp":
            shutil.copytree(argv[-2], argv[-1])
            return Done(0, b"", b"")
        assert argv[0] == "podman", argv
        verb, *arguments = argv[_VERB:]
        if verb == "ps":
            found = [{"State": self.state, "Pid": self.process, "Id": "1"}]
            return Done(0, json.dumps(found).encode(), b"")
        if verb == "stop":
            self.state = "exited"
            return Done(0, b"", b"")
        if verb == "start":
            if not self.can_boot:
                return Done(125, b"", b"Error: it does not start")
            self.state = "running"
            return Done(0, b"", b"")
        assert verb == "exec", argv
        assert self.state == "running"
        if "is-active" in arguments:
            self.boots()
            await asyncio.sleep(0.05)
            self.boots = lambda: None
            return Done(0, b"", b"")
        self.scripts.append(stdin.decode())
        return Done(1 if self.refuses else 0, b"", self.refuses.encode())

    async def check(self, what: str, argv: Sequence[str], stdin: bytes = b"") -> bytes:
        done = await self.run(argv, stdin)
        if done.code != 0:
            raise SubstrateError(f"cannot {what}: {done.reason}")
        return done.stdout


@pytest.fixture
def podman() -> FakePodman:
    return FakePodman()


@pytest.fixture
def events() -> list[PodEvent]:
    return []


@pytest.fixture
def machines(
    settings: Settings,
    podman: FakePodman,
    events: list[PodEvent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Machines:
    """A machine with a unit on it, as an engine has left them."""
    monkeypatch.setattr(names, "runtime_dir", lambda _: tmp_path / "run")
    names.machine_dir(settings, *KEY).mkdir(parents=True)
    records.save_machine(settings, records.MachineRecord(*KEY, "juju-3", {"alpha": "10.70.4.1"}))
    storage = (("data/0", "/srv/data"),)
    record = records.MachineUnitRecord(*UNIT, KEY[1], "digest", ("dispatch",), storage)
    records.save_machine_unit(settings, record)
    return Machines(settings, podman, events.append)


@pytest.fixture
def units(settings: Settings, podman: FakePodman, machines: Machines) -> MachineUnits:
    """What is on that machine, with its files."""
    found = MachineUnits(settings, podman, machines)
    charm = found.agent_folder(UNIT, KEY[1]) / "charm"
    charm.mkdir(parents=True)
    (charm / "dispatch").write_text("old")
    juju = names.machine_juju_dir(settings, *KEY)
    for folder in ("tools", "storage/data/0", "storage/data/1"):
        (juju / folder).mkdir(parents=True)
    return found


def is_left(units: MachineUnits, settings: Settings) -> bool:
    """Tell whether anything is left of the unit; all of it must be, or nothing."""
    found = {
        units.place_of(UNIT) == KEY[1],
        UNIT in records.load_machine_units(settings),
        units.agent_folder(UNIT, KEY[1]).exists(),
    }
    assert len(found) == 1
    return found.pop()


# --- A machine boots ---


async def test_a_machine_that_ends_while_it_boots_is_begun_with_again(machines, podman, events):
    with subprocess.Popen(["sleep", "60"]) as first:
        podman.process, podman.boots = first.pid, first.kill
        with pytest.raises(SubstrateError, match="machine 3 has ended while it booted"):
            await machines.restart(KEY)
    assert [(event.kind, event.machine, event.healthy) for event in events] == [
        ("machine", "3", False)
    ]
    with subprocess.Popen(["sleep", "60"]) as second:
        podman.process = second.pid
        await machines.restart(KEY)
        second.kill()
        async with asyncio.timeout(5):
            while len(events) < 2:
                await asyncio.sleep(0.01)


# --- A charm is refreshed ---


class CutOffError(Exception):
    """The engine has ended."""


@pytest.fixture
def refreshed(tmp_path: Path) -> MachineUnitSpec:
    """The unit `box/0` with a new charm."""
    charm = tmp_path / "new"
    charm.mkdir()
    for name in ("dispatch", "more"):
        (charm / name).write_text("new")
    return MachineUnitSpec("yard", "box/0", "3", 2, charm, (), "")


@pytest.mark.parametrize("step", range(5))
async def test_what_hooks_have_added_stays_wherever_a_refresh_is_cut_off(
    units, refreshed, monkeypatch, step
):
    charm = units.agent_folder(UNIT, KEY[1]) / "charm"
    (charm / ".unit-state.db").write_text("kept")
    (charm / "gone").write_text("old")
    held = records.MachineUnitRecord(*UNIT, KEY[1], "digest", ("dispatch", "gone"))
    steps: list[Path] = []

    def cut_off(real):
        def once(path: Path, *arguments: Path) -> object:
            steps.append(path)
            if len(steps) - 1 == step:
                raise CutOffError
            return real(path, *arguments)

        return once

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut_off(Path.rename))
        patch.setattr(remains, "remove_tree", cut_off(remains.remove_tree))
        with pytest.raises(CutOffError):
            await units._place_charm(refreshed, held)
    await units._place_charm(refreshed, held)
    assert {path.name: path.read_text() for path in charm.iterdir()} == {
        ".unit-state.db": "kept",
        "dispatch": "new",
        "more": "new",
    }
    assert [path.name for path in charm.parent.iterdir()] == ["charm"]


# --- A unit goes ---


async def test_a_machine_that_is_down_boots_to_let_a_unit_go(machines, units, podman, settings):
    podman.state = "exited"
    await units.remove(UNIT, force=False, keep_storage=True)
    assert podman.state == "running"
    assert "systemctl disable --now --quiet localjuju-unit-box-0.service" in podman.scripts[0]
    assert not is_left(units, settings)
    machines.close()


@pytest.mark.parametrize("state", ["exited", "running"])
async def test_only_by_force_a_unit_leaves_a_machine_that_does_not_do_as_it_is_told(
    units, podman, settings, state
):
    podman.state, podman.can_boot, podman.refuses = state, False, "no bus"
    with pytest.raises(SubstrateError, match=r"it does not start|no bus"):
        await units.remove(UNIT, force=False, keep_storage=True)
    assert is_left(units, settings)
    await units.remove(UNIT, force=True, keep_storage=True)
    assert podman.state == state
    assert not is_left(units, settings)


@pytest.mark.parametrize("kept", [True, False])
async def test_the_place_of_a_units_storage_is_free_and_its_data_goes_only_if_wanted(
    units, podman, settings, kept
):
    await units.remove(UNIT, force=False, keep_storage=kept)
    assert (
        '[ "$(readlink /srv/data)" != /var/lib/juju/storage/data/0 ] || rm /srv/data'
        in podman.scripts[0]
    )
    data = names.machine_juju_dir(settings, *KEY) / "storage/data"
    assert sorted(path.name for path in data.iterdir()) == (["0", "1"] if kept else ["1"])


async def test_a_storage_that_was_detached_is_not_forgotten(machines, units, refreshed):
    Path(units._settings.home / "agent.py").touch()
    held = machines.units[UNIT]
    assert units._record(refreshed, held).storage == (("data/0", "/srv/data"),)
    more = dataclasses.replace(refreshed, storage=(("data/2", "/srv/more"),))
    assert units._record(more, held).storage == (*held.storage, *more.storage)


def run_lines(lines: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    script = "set -e\n" + "\n".join(lines)
    script = script.replace("/var/lib/juju", f"{root}/juju").replace("/srv", f"{root}/srv")
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)


def test_storage_is_where_the_charm_wants_it_and_two_do_not_share_a_place(tmp_path):
    first = machine_units._storage_lines("data/0", "/srv/data")
    for _ in range(2):
        assert run_lines(first, tmp_path).returncode == 0
    (tmp_path / "srv/data/file").write_text("kept")
    assert (tmp_path / "juju/storage/data/0/file").read_text() == "kept"
    second = run_lines(machine_units._storage_lines("data/1", "/srv/data"), tmp_path)
    assert second.returncode == 1
    assert "is the place of another storage" in second.stderr
    for identity, is_left in (("data/1", True), ("data/0", False), ("data/0", False)):
        line = machine_units._unlink_line(identity, "/srv/data")
        assert run_lines([line], tmp_path).returncode == 0
        assert (tmp_path / "srv/data").is_symlink() is is_left
    assert (tmp_path / "juju/storage/data/0/file").read_text() == "kept"
    (tmp_path / "srv/full").mkdir()
    (tmp_path / "srv/full/file").touch()
    assert run_lines(machine_units._storage_lines("data/2", "/srv/full"), tmp_path).returncode == 1
    assert (tmp_path / "srv/full/file").exists()


def test_a_record_of_an_older_engine_is_read(settings):
    folder = names.machine_dir(settings, *KEY) / "units"
    folder.mkdir(parents=True)
    old = {"model": "yard", "unit": "box/0", "machine": "3", "digest": "x", "brought": []}
    (folder / "box-0.json").write_text(json.dumps(old))
    assert records.load_machine_units(settings)[UNIT].storage == ()
