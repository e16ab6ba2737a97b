"""Machines: units on them, subordinates beside them, reboots; the engine with a fake substrate."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from localjuju import changes, wanted
from localjuju.model import ALPHA, Charm, Endpoint, Life, Model, StorageSpec
from localjuju.settings import Space

FAST = Space("fast", "10.78.0.0/24")


def charm(name: str, path: str, **parts: Any) -> Charm:
    return Charm(
        url="",
        name=name,
        revision=0,
        sha256=name,
        path=path,
        metadata={"name": name},
        config={"colour": {"type": "string", "default": "red"}},
        actions={},
        manifest={},
        endpoints=parts.pop("endpoints", {"boxes": Endpoint("boxes", "boxes", "peer")}),
        containers={},
        storage=parts.pop("storage", {}),
        resources={"tool": {"type": "file", "filename": "tool.bin"}},
        extra_bindings=("tunnel",),
        **parts,
    )


BESIDE = {"beside": Endpoint("beside", "juju-info", "requirer", "container")}


class Yard:
    """A model of machines in an engine, with the verbs that operators have."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud

    @property
    def model(self) -> Model:
        return self.cloud.engine.models["yard"]

    async def deploy(self, name: str, units: int = 1, **parts: Any) -> None:
        options = {k: parts.pop(k) for k in ("placement", "bindings", "constraints") if k in parts}
        made = charm(name, str(self.cloud.charm_dir), **parts)
        await self.change(
            lambda model: changes.deploy(
                model, made, name, units=units, spaces=(ALPHA, "fast"), **options
            )
        )

    async def change(self, edit: Any) -> Any:
        return await self.cloud.engine.change("yard", edit)

    async def relate(self, a: str, b: str) -> None:
        await self.change(lambda model: changes.add_relation(model, a, b))

    async def rest(self) -> None:
        """Return when nothing has anything to do, for long enough."""
        calm = 0
        for _ in range(4000):
            await asyncio.sleep(0.001)
            settled = all(m.ready or m.id in self.broken for m in self.model.machines.values())
            settled &= all(
                u.agent_status.current == "idle" or u.machine in self.broken
                for u in self.model.units.values()
            )
            settled &= all(m.life is Life.ALIVE for m in self.model.machines.values())
            settled &= self.cloud.substrate.queue.empty() and not self.cloud.substrate.active
            calm = calm + 1 if settled else 0
            if calm == 25:
                return
        raise AssertionError(f"no rest: {self.model.units}, {self.model.machines}")

    @property
    def broken(self) -> dict[str, str]:
        return self.cloud.substrate.broken

    def hooks(self, unit: str) -> list[str]:
        return self.cloud.hooks(unit)

    def take(self) -> list[tuple[str, str]]:
        return self.cloud.take()


@pytest.fixture
def yard(cloud: Any) -> Yard:
    return Yard(cloud)


async def started(yard: Yard) -> None:
    await yard.cloud.start(add_model=False)
    if "yard" not in yard.cloud.engine.models:
        await yard.cloud.engine.add_model("yard", {}, "iaas")


async def test_every_unit_gets_a_machine_and_hooks_in_the_order_of_machines(yard):
    await started(yard)
    await yard.deploy("box", 2, storage={"data": StorageSpec("data", location="/srv/data")})
    await yard.rest()
    assert yard.hooks("box/0")[:5] == [
        "data-storage-attached",
        "install",
        "boxes-relation-created",
        "leader-elected",
        "config-changed",
    ]
    units = yard.model.units
    assert {name: unit.machine for name, unit in units.items()} == {"box/0": "0", "box/1": "1"}
    assert [unit.address for unit in units.values()] == ["10.77.0.64", "10.77.0.65"]
    assert units["box/0"].storage["data/0"].location == "/srv/data"
    machine = yard.model.machines["1"]
    assert {s: i.address for s, i in machine.interfaces.items()} == {
        "alpha": "10.77.0.65",
        "fast": "10.78.0.11",
    }
    assert yard.model.applications["box"].service_address == ""
    assert machine.agent_status.current == "started"
    await yard.cloud.stop()


async def test_one_hook_at_a_time_runs_on_a_machine(yard):
    async def slow(hook):
        await asyncio.sleep(0.003)

    yard.cloud.substrate.charms = {"box": slow, "post": slow}
    await started(yard)
    await yard.deploy("box")
    await yard.deploy("post", placement=["0"])
    await yard.rest()
    assert yard.cloud.substrate.most_active == 1
    await yard.deploy("crate")
    await yard.cloud.stop()


async def test_units_with_a_machine_each_run_side_by_side(yard):
    async def slow(hook):
        await asyncio.sleep(0.003)

    yard.cloud.substrate.charms = {"box": slow}
    await started(yard)
    await yard.deploy("box", 3)
    await yard.rest()
    assert yard.cloud.substrate.most_active > 1
    await yard.cloud.stop()


async def test_numbers_are_never_given_again_and_an_empty_machine_goes(yard):
    await started(yard)
    await yard.deploy("box", 2)
    await yard.rest()
    yard.take()
    await yard.change(lambda model: changes.remove_named_unit(model, "box/0"))
    await yard.rest()
    assert [hook for unit, hook in yard.take() if unit == "box/0"] == [
        "boxes-relation-departed",
        "stop",
        "remove",
    ]
    assert yard.cloud.substrate.removed == ["box/0", "machine 0"]
    assert list(yard.model.machines) == ["1"]
    await yard.change(lambda model: changes.add_units(model, "box", 1, 0.0))
    await yard.rest()
    assert {unit.name: unit.machine for unit in yard.model.units.values()} == {
        "box/1": "1",
        "box/2": "2",
    }
    assert yard.model.applications["box"].scale == 2
    await yard.cloud.stop()


async def test_a_unit_takes_its_storage_along_only_if_that_is_wanted(yard):
    await started(yard)
    await yard.deploy("box", 2, storage={"data": StorageSpec("data", location="/srv/data")})
    await yard.rest()
    for name, wanted_so in (("box/0", False), ("box/1", True)):
        await yard.change(
            lambda model, n=name, d=wanted_so: changes.remove_named_unit(
                model, n, destroy_storage=d
            )
        )
    await yard.rest()
    assert not yard.model.units
    assert yard.cloud.substrate.destroyed == ["box/1"]
    await yard.cloud.stop()


async def test_a_machine_with_two_units_stays_when_one_goes(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.deploy("post", placement=["0"])
    await yard.rest()
    await yard.change(lambda model: changes.remove_named_unit(model, "box/0"))
    await yard.rest()
    assert list(yard.model.machines) == ["0"]
    assert list(yard.model.units) == ["post/0"]
    await yard.cloud.stop()


async def test_start_comes_again_after_a_machine_was_down(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.deploy("post", placement=["0"])
    await yard.rest()
    yard.take()
    yard.cloud.substrate.go_down("yard", "0")
    await yard.rest()
    assert sorted(yard.take()) == [("box/0", "start"), ("post/0", "start")]
    await yard.cloud.stop()


async def test_nothing_runs_again_when_only_the_engine_was_away(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    await yard.cloud.stop()
    yard.take()
    await started(yard)
    await yard.rest()
    assert yard.take() == []
    assert yard.model.machines["0"].ready
    await yard.cloud.stop()


async def test_a_hook_may_have_its_machine_restarted_when_it_is_done(yard):
    async def once(hook):
        if hook.name == "install":
            await hook.run("juju-reboot")

    yard.cloud.substrate.charms = {"box": once}
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    assert yard.cloud.substrate.restarted == ["0"]
    assert yard.hooks("box/0").count("install") == 1
    await yard.cloud.stop()


async def test_a_hook_that_wants_a_restart_at_once_runs_again(yard):
    runs = []

    async def at_once(hook):
        if hook.name == "install":
            runs.append("begun")
            if len(runs) == 1:
                await hook.run("juju-reboot", "--now")
                await asyncio.sleep(30)
            runs.append("done")

    yard.cloud.substrate.charms = {"box": at_once}
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    assert runs == ["begun", "begun", "done"]
    assert yard.cloud.substrate.restarted == ["0"]
    await yard.cloud.stop()


async def test_a_hook_that_fails_does_not_have_its_machine_restarted(yard):
    runs = []

    async def fails_once(hook):
        if hook.name == "install":
            await hook.run("juju-reboot")
            runs.append(list(yard.cloud.substrate.restarted))
            return 1 if len(runs) == 1 else 0

    yard.cloud.substrate.charms = {"box": fails_once}
    await started(yard)
    await yard.deploy("box")
    await yard.cloud.engine.wait_until(lambda: len(runs) == 1, 5)
    yard.cloud.clock.advance(60.0)
    await yard.rest()
    assert runs == [[], []]
    assert yard.cloud.substrate.restarted == ["0"]
    await yard.cloud.stop()


async def test_a_restart_at_once_counts_also_when_the_hook_ends_badly_by_itself(yard):
    runs = []

    async def at_once(hook):
        if hook.name == "install":
            runs.append("begun")
            if len(runs) == 1:
                with contextlib.suppress(asyncio.CancelledError):
                    await hook.run("juju-reboot", "--now")
                return 1

    yard.cloud.substrate.charms = {"box": at_once}
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    assert runs == ["begun", "begun"]
    assert yard.cloud.substrate.restarted == ["0"]
    await yard.cloud.stop()


async def test_a_refresh_replaces_files_without_a_stop(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    yard.take()
    before = yard.cloud.substrate.pods["yard", "box/0"].generation
    new = charm("box", str(yard.cloud.charm_dir))

    def refresh(model):
        changes.refresh(model, "box", changes.add_charm(model, new))

    await yard.change(refresh)
    await yard.rest()
    assert yard.take() == [("box/0", "upgrade-charm"), ("box/0", "config-changed")]
    assert yard.cloud.substrate.pods["yard", "box/0"].generation == before + 1
    await yard.cloud.stop()


async def test_other_addresses_or_bindings_are_told(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    yard.take()
    await yard.change(lambda m: changes.bind(m, "box", {"boxes": "fast"}, (ALPHA, "fast")))
    await yard.rest()
    assert yard.take() == [("box/0", "config-changed")]
    relation = next(iter(yard.model.relations.values()))
    assert relation.unit_bags["box/0"].data["ingress-address"] == "10.78.0.10"
    await yard.cloud.stop()


# --- Subordinates ---


async def test_a_subordinate_sees_only_its_principal_and_goes_with_it(yard):
    seen = {}

    async def lid(hook):
        if hook.name == "beside-relation-joined":
            seen.setdefault(hook.unit, []).append(hook.remote_unit)
            assert hook.environment["JUJU_PRINCIPAL_UNIT"] == hook.remote_unit
            assert hook.environment["JUJU_MACHINE_ID"]

    yard.cloud.substrate.charms = {"lid": lid}
    await started(yard)
    await yard.deploy("box", 2)
    await yard.deploy("lid", 0, endpoints=BESIDE, subordinate=True)
    await yard.rest()
    assert not yard.model.units_of("lid")
    await yard.relate("lid", "box")
    await yard.rest()
    beside = {unit.name: unit.principal for unit in yard.model.units_of("lid")}
    assert {n: p for n, p in beside.items()} == {u: m[0] for u, m in seen.items()}
    assert sorted(beside.values()) == ["box/0", "box/1"]
    assert all(len(members) == 1 for members in seen.values())
    yard.take()
    gone = next(name for name, principal in beside.items() if principal == "box/0")
    await yard.change(lambda model: changes.remove_named_unit(model, "box/0"))
    await yard.rest()
    done = yard.take()
    assert done.index((gone, "remove")) < done.index(("box/0", "stop"))
    assert (gone, "beside-relation-broken") in done
    assert [unit.principal for unit in yard.model.units_of("lid")] == ["box/1"]
    assert list(yard.model.machines) == ["1"]
    await yard.cloud.stop()


async def test_a_machine_goes_also_when_a_subordinate_is_the_last_to_leave_it(yard, monkeypatch):
    may_go = asyncio.Event()
    remove = yard.cloud.substrate.remove_from_machine

    async def slow(model: str, unit: str, **how: bool) -> None:
        if unit == "lid/0":
            await may_go.wait()
        await remove(model, unit, **how)

    monkeypatch.setattr(yard.cloud.substrate, "remove_from_machine", slow)
    await started(yard)
    await yard.deploy("box")
    await yard.deploy("lid", 0, endpoints=BESIDE, subordinate=True)
    await yard.relate("lid", "box")
    await yard.rest()
    yard.broken["0"] = "gone"
    yard.cloud.substrate.go_down("yard", "0")
    await yard.rest()
    await yard.change(lambda model: changes.remove_named_unit(model, "box/0", force=True))
    await yard.cloud.engine.wait_until(lambda: list(yard.model.units) == ["lid/0"], 5)
    assert yard.model.machines["0"].life is Life.ALIVE
    may_go.set()
    await yard.cloud.engine.wait_until(lambda: not yard.model.units, 5)
    yard.cloud.clock.advance(60.0)
    await yard.cloud.engine.wait_until(lambda: not yard.model.machines, 5)
    assert yard.model.applications["lid"].scale == 0
    await yard.cloud.stop()


async def test_subordinates_go_with_the_relation_and_come_back_with_it(yard):
    await started(yard)
    await yard.deploy("box", 2)
    await yard.deploy("lid", 0, endpoints=BESIDE, subordinate=True)
    await yard.relate("lid", "box")
    await yard.rest()
    await yard.change(lambda model: changes.remove_relation(model, "lid", "box"))
    await yard.rest()
    assert not yard.model.units_of("lid")
    assert len(yard.model.units_of("box")) == 2
    await yard.relate("lid", "box")
    await yard.rest()
    assert [unit.name for unit in yard.model.units_of("lid")] == ["lid/2", "lid/3"]
    await yard.cloud.stop()


# --- What cannot be, and what goes wrong ---


async def test_a_machine_that_cannot_be_made_says_why_and_is_made_later(yard):
    yard.broken["0"] = "the image x/machine:1 is not in the store"
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    machine = yard.model.machines["0"]
    assert machine.instance_status.message == "the image x/machine:1 is not in the store"
    unit = yard.model.units["box/0"]
    assert (unit.workload_status.current, unit.workload_status.message) == (
        "waiting",
        "waiting for machine",
    )
    del yard.broken["0"]
    for _ in range(8):
        yard.cloud.clock.advance(60.0)
        await asyncio.sleep(0.01)
    await yard.rest()
    assert unit.started
    await yard.cloud.stop()


async def test_a_machine_that_is_down_lets_its_units_go_by_force_only(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.rest()
    yard.broken["0"] = "gone"
    yard.cloud.substrate.go_down("yard", "0")
    await yard.rest()
    with pytest.raises(changes.ChangeError, match="has unit\\(s\\) box/0 assigned"):
        await yard.change(lambda model: changes.remove_machine(model, "0"))
    await yard.change(lambda model: changes.remove_machine(model, "0", force=True))
    for _ in range(8):
        yard.cloud.clock.advance(60.0)
        await asyncio.sleep(0.01)
    await yard.cloud.engine.wait_until(lambda: not yard.model.machines, 5)
    assert not yard.model.units
    await yard.cloud.stop()


async def test_destroying_the_model_takes_machines_without_units_along(yard):
    await started(yard)
    await yard.deploy("box")
    await yard.change(lambda model: changes.add_machine(model, 0.0))
    await yard.rest()
    await yard.cloud.engine.destroy_model("yard")
    assert "yard" not in yard.cloud.engine.models
    assert {"machine 0", "machine 1", "yard"} <= set(yard.cloud.substrate.removed)
    await yard.cloud.stop()


async def test_commands_run_on_machines_as_tasks(yard):
    await started(yard)
    await yard.change(lambda model: changes.add_machine(model, 0.0))
    await yard.rest()
    task = await yard.change(
        lambda model: changes.enqueue_on_machine(model, "0", {"command": "hostname"}, 0.0)
    )
    await yard.cloud.engine.wait_action("yard", task.id, 5)
    assert (task.status, task.message) == ("failed", "exit status 3")
    assert task.results == {"return-code": 3, "stdout": "0: hostname"}
    await yard.cloud.stop()


def command(number: str, text: str = "hostname") -> Any:
    return lambda model: changes.enqueue_on_machine(model, number, {"command": text}, 0.0)


async def test_a_command_on_a_machine_does_not_run_twice_when_the_engine_dies(yard, monkeypatch):
    begun: list[str] = []
    reached = asyncio.Event()

    async def endless(model: str, machine: str, argv: Any, stdin: bytes = b"") -> Any:
        begun.append(argv[-1])
        reached.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(yard.cloud.substrate, "run_on_machine", endless)
    await started(yard)
    await yard.change(lambda model: changes.add_machine(model, 0.0))
    await yard.rest()
    task = await yard.change(command("0"))
    await asyncio.wait_for(reached.wait(), 5)
    await yard.cloud.kill()
    await started(yard)
    await yard.rest()
    found = yard.model.actions[task.id]
    assert (found.status, found.message) == ("failed", "action terminated")
    assert begun == ["hostname"]
    await yard.cloud.stop()


async def test_commands_on_a_machine_that_goes_are_cancelled(yard, monkeypatch):
    ended = asyncio.Event()

    async def endless(model: str, machine: str, argv: Any, stdin: bytes = b"") -> Any:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    monkeypatch.setattr(yard.cloud.substrate, "run_on_machine", endless)
    await started(yard)
    await yard.change(lambda model: changes.add_machine(model, 0.0))
    await yard.rest()
    running = await yard.change(command("0"))
    await yard.rest()
    assert running.status == "running"
    yard.broken["0"] = "gone"
    yard.cloud.substrate.go_down("yard", "0")
    waiting = await yard.change(command("0"))
    await yard.change(lambda model: changes.remove_machine(model, "0", force=True))
    yard.cloud.clock.advance(60.0)
    await yard.cloud.engine.wait_until(lambda: not yard.model.machines, 5)
    for task in (running, waiting):
        assert (task.status, task.message) == ("cancelled", "the machine was removed")
    await asyncio.wait_for(ended.wait(), 5)
    await yard.cloud.stop()


@pytest.fixture
def model() -> Model:
    return Model(name="yard", uuid="11111111-2222-3333-4444-555555abcdef", type="iaas")


def deployed(model: Model, name: str = "box", **options: Any) -> None:
    made = charm(name, "/nowhere", subordinate=options.pop("subordinate", False))
    changes.deploy(model, made, name, spaces=(ALPHA, "fast"), **options)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: deployed(m, placement=["4"]), "machine 4 not found"),
        (lambda m: deployed(m, placement=["lxd:0"]), 'placement "lxd:0" is not supported'),
        (lambda m: deployed(m, placement=["new", "new"]), r"2 placements for 1 unit"),
        (lambda m: deployed(m, bindings={"x": "fast"}), 'no endpoint or binding "x"'),
        (lambda m: deployed(m, bindings={"": "slow"}), 'space "slow" not found; there are: alpha'),
        (lambda m: deployed(m, "lid", subordinate=True, placement=["new"]), "cannot be placed"),
        (lambda m: changes.scale_application(m, "old", 3, 0.0), "only supported on Kubernetes"),
        (lambda m: changes.remove_units(m, "old", 1, 0.0), "removed by their names"),
        (lambda m: changes.remove_machine(m, "9"), "machine 9 not found"),
    ],
)
def test_what_cannot_be_done_with_machines_is_refused(model, edit, words):
    deployed(model, "old")
    before = dataclasses.asdict(model)
    with pytest.raises(changes.ChangeError, match=words):
        edit(model)
    assert dataclasses.asdict(model) == before


def test_pods_have_no_machines_and_no_subordinates(world):
    pods = world.model
    with pytest.raises(changes.ChangeError, match="it has no machines"):
        changes.add_machine(pods, 0.0)
    with pytest.raises(changes.ChangeError, match="not supported in Kubernetes models"):
        changes.deploy(pods, charm("lid", "/nowhere", subordinate=True), "lid", units=0)


def test_a_charm_with_containers_is_not_for_machines(model, world):
    world.app("web", containers=["c"])
    with pytest.raises(changes.ChangeError, match="is for Kubernetes"):
        changes.deploy(model, world.model.charm_of("web"), "web")


def test_the_range_of_a_space_is_kept_and_a_full_one_is_told(model):
    space = Space("outer", "10.9.0.0/24", gateway=True, first="10.9.0.240", last="10.9.0.241")
    for _ in range(3):
        changes.add_machine(model, 0.0)
    wanted.assign([model], "10.77.0.0/24", Path("/s"), (space,))
    held = [machine.interfaces["outer"] for machine in model.machines.values()]
    assert [interface.address for interface in held] == ["10.9.0.240", "10.9.0.241", ""]
    assert [interface.name for interface in held] == ["eth1"] * 3
    with pytest.raises(wanted.WantedError, match="no free address for machine 2 in space outer"):
        wanted.machine_spec(model, model.machines["2"], "x")
    del model.machines["0"]
    wanted.assign([model], "10.77.0.0/24", Path("/s"), (space,))
    held = [machine.interfaces["outer"] for machine in model.machines.values()]
    assert [interface.address for interface in held] == ["10.9.0.241", "10.9.0.240"]
    wanted.machine_spec(model, model.machines["2"], "x")


def test_a_machine_that_is_there_gets_no_further_interface(model):
    changes.add_machine(model, 0.0)
    for spaces in ((), (FAST,)):
        wanted.assign([model], "10.77.0.0/24", Path("/s"), spaces)
        assert list(model.machines["0"].interfaces) == [ALPHA]


def test_a_machine_has_the_image_of_its_constraint_else_the_default(model):
    for constraints in ("mem=2G image-id=x/other:2", "mem=2G"):
        changes.add_machine(model, 0.0, constraints)
    wanted.assign([model], "10.77.0.0/24", Path("/s"), ())
    specs = [wanted.machine_spec(model, m, "x/default:1") for m in model.machines.values()]
    assert [spec.image for spec in specs] == ["x/other:2", "x/default:1"]
    with pytest.raises(wanted.WantedError, match="--machine-image"):
        wanted.machine_spec(model, model.machines["1"], "")
