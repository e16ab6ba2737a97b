"""The engine with real hook commands over sockets, a fake substrate and a clock to turn."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from localjuju.engine import EngineError
from localjuju.model import Action, Life, StorageAttachment
from localjuju.store import StoreError
from localjuju.substrate.protocol import Notice, PodEvent


async def test_the_first_start_follows_the_contract(cloud):
    async with cloud.running():
        await cloud.deploy("db", peer=True, containers=["db"])
        await cloud.rest()
        hooks = cloud.hooks("db/0")
        assert hooks[:2] == ["install", "peers-relation-created"]
        assert [h for h in hooks[2:] if h != "db-pebble-ready"] == [
            "leader-elected",
            "config-changed",
            "start",
        ]
        assert "db-pebble-ready" in hooks
        unit = cloud.model.units["db/0"]
        assert unit.agent_status.current == "idle"
        assert unit.address == "10.77.0.64"
        assert cloud.model.applications["db"].service_address == "10.77.0.10"


async def test_data_travels_from_one_charm_to_the_other(cloud):
    seen = {}

    async def provider(hook):
        if hook.name == "give-relation-created":
            await hook.run("relation-set", "--app", "--file", "-", stdin='{"who": "db"}')
            await hook.run("relation-set", "port=1")

    async def requirer(hook):
        if hook.name == "take-relation-changed":
            whom = hook.remote_unit or "db"
            seen[whom] = json.loads(
                await hook.run("relation-get", "--format=json", "-", whom)
                if hook.remote_unit
                else await hook.run("relation-get", "--format=json", "--app", "-", whom)
            )

    cloud.substrate.charms = {"db": provider, "web": requirer}
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.deploy("web")
        await cloud.change(lambda world: world.relate("db", "web"))
        await cloud.rest()
    assert seen["db"] == {"who": "db"}
    assert seen["db/0"]["port"] == "1"
    assert seen["db/0"]["ingress-address"] == "10.77.0.10"


async def test_two_units_run_in_parallel_and_one_never(cloud):
    inside = asyncio.Event()

    async def slow(hook):
        if hook.name == "install":
            if hook.unit == "db/0":
                await asyncio.wait_for(inside.wait(), 5)  # ends only while the other one runs
            else:
                inside.set()

    cloud.substrate.charms["db"] = slow
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
        assert cloud.substrate.most_active == 2
        assert cloud.hooks("db/0")[0] == "install"


async def test_a_failed_hook_drops_what_it_buffered_and_keeps_its_status(cloud):
    fails = True

    async def charm(hook):
        if hook.name == "give-relation-created":
            await hook.run("relation-set", "n=1")
            await hook.run("status-set", "waiting", "for godot")
            return 1 if fails else 0

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.deploy("web")
        await cloud.change(lambda world: world.relate("db", "web"))
        await cloud.rest()
        unit = cloud.model.units["db/0"]
        assert unit.agent_status.message == 'hook failed: "give-relation-created"'
        assert unit.workload_status.message == "for godot"
        assert "n" not in cloud.model.relations[0].unit_bags["db/0"].data
        fails = False
        await cloud.advance(6)
        assert unit.agent_status.current == "idle"
        assert cloud.model.relations[0].unit_bags["db/0"].data["n"] == "1"


async def test_failed_hooks_are_retried_by_the_clock(cloud):
    async def charm(hook):
        return 1

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        assert len(cloud.take()) == 1
        await cloud.advance(4.9)
        assert cloud.take() == []
        await cloud.advance(0.7)
        assert len(cloud.take()) == 1
        await cloud.advance(9)
        assert cloud.take() == []
        await cloud.advance(3)
        assert len(cloud.take()) == 1


async def test_resolved_without_retry_goes_on_with_the_next_hook(cloud):
    async def charm(hook):
        return int(hook.name == "config-changed")

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        await cloud.change(lambda w: setattr(w.model.units["db/0"], "resolved", "no-retry"))
        await cloud.rest()
        assert cloud.hooks("db/0")[-1] == "start"


async def test_a_killed_hook_is_queued_again_without_an_error(cloud, killed):
    times = 0

    async def charm(hook):
        nonlocal times
        times += 1
        if times == 1:
            raise killed

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await asyncio.sleep(0.02)
        assert cloud.model.units["db/0"].agent_status.current == "executing"
        cloud.clock.advance(1)
        await cloud.rest()
        assert cloud.hooks("db/0")[:3] == ["install", "install", "leader-elected"]


# --- Actions ------------------------------------------------------------------------------------


def enqueue(name: str, unit: str = "db/0", **parameters):
    def edit(world) -> int:
        number = world.model.next_action_id
        world.model.next_action_id += 1
        world.model.actions[number] = Action(number, unit, name, parameters)
        return number

    return edit


async def test_an_action_gives_its_results_and_output(cloud):
    async def charm(hook):
        if hook.name == "act":
            await hook.run("action-set", "size=3")
            hook.stdout.append("done")

    cloud.substrate.charms["db"] = charm
    async with cloud.running() as engine:
        await cloud.deploy("db")
        number = await cloud.change(enqueue("act"))
        action = await engine.wait_action("m", number, 5)
        assert action.status == "completed"
        assert action.results["size"] == "3"
        assert action.results["return-code"] == 0
        assert action.results["stdout"] == "done\n"


async def test_an_action_runs_while_the_unit_is_in_error(cloud):
    async def charm(hook):
        return int(hook.name == "start")

    cloud.substrate.charms["db"] = charm
    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        action = await engine.wait_action("m", await cloud.change(enqueue("act")), 5)
        assert action.status == "completed"
        assert cloud.model.units["db/0"].agent_status.current == "error"


async def test_juju_exec_runs_its_text_in_the_shell(cloud):
    async def charm(hook):
        hook.stdout.append("hello")

    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        cloud.substrate.charms["db"] = charm
        number = await cloud.change(enqueue("juju-exec", command="echo hello"))
        action = await engine.wait_action("m", number, 5)
        assert action.results["stdout"] == "hello\n"


async def test_a_command_of_juju_exec_is_ended_at_its_time_limit(cloud):
    async def charm(hook):
        await asyncio.sleep(3600)

    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        cloud.substrate.charms["db"] = charm
        number = await cloud.change(enqueue("juju-exec", command="sleep 3600", timeout=0.02))
        action = await engine.wait_action("m", number, 5)
        assert (action.status, action.message) == ("failed", "timed out after 0.02 s")


async def test_an_action_without_a_program_fails_by_name(cloud):
    (cloud.charm_dir / "dispatch").unlink()
    async with cloud.running() as engine:
        await cloud.deploy("db")
        action = await engine.wait_action("m", await cloud.change(enqueue("act")), 5)
        assert action.status == "failed"
        assert "not implemented" in action.message
        assert cloud.hooks("db/0") == []  # missing hooks count as done
        assert cloud.model.units["db/0"].started


async def test_hooks_of_a_charm_without_dispatch_run_by_their_names(cloud):
    (cloud.charm_dir / "dispatch").unlink()
    (cloud.charm_dir / "hooks").mkdir()
    (cloud.charm_dir / "hooks" / "start").touch()
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        assert cloud.hooks("db/0") == ["start"]


# --- Leadership, timers, pods -------------------------------------------------------------------


async def test_a_leader_that_goes_away_is_replaced_after_its_lease(cloud):
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
        cloud.take()
        cloud.substrate.broken["db/0"] = "the host is on fire"
        await cloud.change(lambda w: setattr(w.model.units["db/0"], "pod_ready", False))
        await cloud.rest()
        await cloud.advance(29)
        assert ("db/1", "leader-elected") not in cloud.take()
        await cloud.advance(31)
        assert cloud.take() == [("db/1", "leader-elected")]


async def test_update_status_comes_by_the_clock(cloud):
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        cloud.take()
        await cloud.advance(239)
        assert cloud.take() == []
        await cloud.advance(121)
        assert cloud.take() == [("db/0", "update-status")]
        await cloud.advance(361)
        assert cloud.take() == [("db/0", "update-status")]


async def test_a_pod_that_cannot_come_up_is_told_in_the_status_and_tried_again(cloud):
    cloud.substrate.broken["db/0"] = "image store/image is missing"
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        unit = cloud.model.units["db/0"]
        assert unit.agent_status.message == "image store/image is missing"
        assert unit.workload_status.message == "image store/image is missing"
        del cloud.substrate.broken["db/0"]
        cloud.clock.advance(2)
        await cloud.rest()
        assert unit.started


async def test_a_missing_image_resource_is_named(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.change(lambda w: w.model.applications["db"].resources.clear())
        await asyncio.sleep(0.02)
        message = cloud.model.units["db/0"].agent_status.message
        assert "db-image" in message or cloud.model.units["db/0"].installed


async def test_refresh_replaces_the_pod_between_stop_and_upgrade(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.rest()
        cloud.take()
        generation = cloud.substrate.pods["m", "db/0"].generation

        def refresh(world):
            world.model.applications["db"].charm_modified += 1

        await cloud.change(refresh)
        await cloud.rest()
        hooks = cloud.hooks("db/0")
        assert hooks[0] == "stop"
        assert [h for h in hooks if h != "db-pebble-ready"] == [
            "stop",
            "upgrade-charm",
            "config-changed",
            "start",
        ]
        assert "db-pebble-ready" in hooks
        assert cloud.substrate.pods["m", "db/0"].generation == generation + 1


async def test_a_new_pebble_gives_pebble_ready_again(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.rest()
        cloud.take()
        cloud.substrate.boot("m", "db/0", "db", "another")
        await cloud.rest()
        assert cloud.take() == [("db/0", "db-pebble-ready")]
        cloud.substrate.boot("m", "db/0", "db", "another")
        await cloud.rest()
        assert cloud.take() == []


async def test_a_charm_container_that_restarted_gives_start_again(cloud):
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        cloud.take()
        event = PodEvent("charm-started", "m", "db/0", boot_id="another")
        cloud.substrate.queue.put_nowait(event)
        await cloud.rest()
        assert cloud.take() == [("db/0", "start")]


def notice(time: str, key: str = "example.com/x", **fields) -> PodEvent:
    made = Notice(
        id="1",
        type=fields.pop("type", "custom"),
        key=key,
        last_repeated=time,
        data={name.replace("_", "-"): value for name, value in fields.items()},
    )
    return PodEvent("notices", "m", "db/0", "db", notices=(made,))


async def test_custom_notices_become_hooks_once(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.rest()
        cloud.take()
        cloud.substrate.queue.put_nowait(notice("2026-01-01T00:00:01.1Z"))
        cloud.substrate.queue.put_nowait(notice("2026-01-01T00:00:01.1Z"))
        cloud.substrate.queue.put_nowait(notice("2026-01-01T00:00:01.12Z"))
        await cloud.rest()
        assert cloud.take() == [("db/0", "db-pebble-custom-notice")] * 2
        key = cloud.substrate.environments[-1]["JUJU_NOTICE_KEY"]
        assert key == "example.com/x"


async def test_checks_become_failed_and_recovered(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.rest()
        cloud.take()
        for second, kind, status in (
            (1, "perform-check", "Doing"),
            (2, "perform-check", "Error"),
            (3, "recover-check", "Doing"),
            (4, "recover-check", "Done"),
            (5, "perform-check", "Doing"),
        ):
            event = notice(
                f"2026-01-01T00:00:0{second}Z",
                key=str(second),
                type="change-update",
                kind=kind,
                status=status,
                check_name="up",
            )
            cloud.substrate.queue.put_nowait(event)
        await cloud.rest()
        assert cloud.take() == [
            ("db/0", "db-pebble-check-failed"),
            ("db/0", "db-pebble-check-recovered"),
        ]


async def test_a_unit_leaves_its_service_before_stop_and_ports_are_forwarded(cloud):
    backends_at_stop = []

    async def charm(hook):
        if hook.name == "install":
            await hook.run("open-port", "80/tcp")
        if hook.name == "stop":
            backends_at_stop.append(cloud.substrate.services[-1][0].backends)

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
        service = cloud.substrate.services[-1][0]
        assert service.ports == ("80/tcp",)
        assert service.backends == ("10.77.0.64", "10.77.0.65")
        await cloud.change(lambda world: world.remove("db/1"))
        await cloud.rest()
        assert backends_at_stop == [("10.77.0.64",)]


async def test_a_refreshed_unit_is_out_of_its_service_while_it_stops(cloud):
    backends_at_stop = []

    async def charm(hook):
        if hook.name == "stop":
            backends_at_stop.append(cloud.substrate.services[-1][0].backends)

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.rest()
        await cloud.change(lambda w: setattr(w.model.applications["db"], "charm_modified", 1))
        await cloud.rest()
        assert backends_at_stop == [()]
        assert cloud.substrate.services[-1][0].backends == ("10.77.0.64",)


async def test_a_changed_address_gives_config_changed_which_refreshes_the_bags(cloud):
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.deploy("web")
        await cloud.change(lambda world: world.relate("db", "web"))
        await cloud.rest()
        cloud.take()
        await cloud.change(
            lambda w: setattr(w.model.applications["db"], "service_address", "10.77.0.50")
        )
        await cloud.rest()
        assert cloud.take() == [("db/0", "config-changed"), ("web/0", "take-relation-changed")]
        bag = cloud.model.relations[0].unit_bags["db/0"].data
        assert bag["ingress-address"] == "10.77.0.50"


async def test_storage_is_attached_after_start_and_detached_after_the_relations(cloud):
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.deploy("web")
        await cloud.change(lambda world: world.relate("db", "web"))

        def attach(world):
            storage = StorageAttachment("data/0", "data", "/var/lib/juju/storage/data/0", "")
            world.model.units["db/0"].storage["data/0"] = storage

        await cloud.change(attach)
        await cloud.rest()
        hooks = cloud.hooks("db/0")
        assert hooks.index("data-storage-attached") == hooks.index("start") + 1
        environment = next(
            e for e in cloud.substrate.environments if e.get("JUJU_STORAGE_ID") == "data/0"
        )
        assert environment["JUJU_STORAGE_LOCATION"] == "/var/lib/juju/storage/data/0"
        path = Path(cloud.model.units["db/0"].storage["data/0"].path)
        assert path.is_relative_to(cloud.home)
        cloud.take()
        await cloud.change(lambda w: setattr(w.model.applications["db"], "life", Life.DYING))
        await cloud.rest()
        assert cloud.hooks("db/0") == [
            "give-relation-departed",
            "give-relation-broken",
            "data-storage-detaching",
            "stop",
            "remove",
        ]


async def test_secrets_expire_and_rotate_by_the_clock(cloud):
    async def charm(hook):
        if hook.name == "leader-elected":
            await hook.run("secret-add", "--rotate", "daily", "--expire", "2h", "key=value")

    cloud.substrate.charms["db"] = charm
    async with cloud.running():
        await cloud.deploy("db")
        await cloud.change(
            lambda w: w.model.config.update({"update-status-hook-interval": "1000h"})
        )
        await cloud.rest()
        cloud.take()
        await cloud.advance(7100)
        assert cloud.take() == []
        await cloud.advance(200)
        assert cloud.take() == [("db/0", "secret-expired")]
        assert cloud.substrate.environments[-1]["JUJU_SECRET_REVISION"] == "1"
        await cloud.advance(301)
        assert cloud.take() == [("db/0", "secret-expired")]
        await cloud.change(
            lambda w: (
                next(iter(w.model.secrets.values())).revisions[1].__setattr__("expires", None)
            )
        )
        await cloud.advance(86400)
        assert ("db/0", "secret-rotate") in cloud.take()


async def test_after_a_reboot_of_the_host_the_units_start_again(cloud):
    async with cloud.running():
        await cloud.deploy("db", containers=["db"])
        await cloud.rest()
    cloud.take()
    cloud.substrate.reboot()
    async with cloud.running():
        await cloud.rest()
        assert cloud.take() == [("db/0", "start"), ("db/0", "db-pebble-ready")]


# --- Removal ------------------------------------------------------------------------------------


async def test_removing_an_application_leaves_nothing_of_it(cloud):
    async with cloud.running():
        await cloud.deploy("db", units=2, peer=True)
        await cloud.deploy("web")
        await cloud.change(lambda world: world.relate("db", "web"))
        await cloud.rest()
        await cloud.change(lambda w: setattr(w.model.applications["db"], "life", Life.DYING))
        await cloud.rest()
        assert set(cloud.model.applications) == {"web"}
        assert set(cloud.model.units) == {"web/0"}
        assert cloud.model.relations == {}
        assert sorted(cloud.substrate.removed) == ["db/0", "db/1"]
        assert not (cloud.home / "units" / "m" / "db-0").exists()


async def test_a_number_that_is_used_again_is_a_new_unit(cloud):
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
        await cloud.change(lambda world: world.remove("db/1"))
        await cloud.rest()
        cloud.take()
        await cloud.change(lambda w: setattr(w.model.applications["db"], "scale", 2))
        await cloud.rest()
        assert cloud.hooks("db/1") == ["install", "config-changed", "start"]


async def test_destroying_a_model_runs_the_last_hooks_and_removes_all(cloud):
    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        cloud.take()
        await asyncio.wait_for(engine.destroy_model("m"), 5)
        assert cloud.hooks("db/0") == ["stop", "remove"]
        assert engine.models == {}
        assert cloud.substrate.removed == ["db/0", "m"]
        assert engine.store.load() == {}


async def test_destroying_by_force_passes_over_failing_hooks(cloud):
    async def charm(hook):
        return 1

    cloud.substrate.charms["db"] = charm
    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        await asyncio.wait_for(engine.destroy_model("m", force=True), 5)
        assert engine.models == {}


async def test_a_refused_edit_changes_nothing(cloud):
    async with cloud.running() as engine:

        def edit(model):
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await engine.change("m", edit)
        assert engine.models["m"].units == {}


async def test_an_engine_that_cannot_write_its_database_ends(cloud, monkeypatch):
    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()

        def full(model):
            raise StoreError("cannot write engine.db: disk full")

        monkeypatch.setattr(engine.store, "commit", full)
        with pytest.raises(StoreError, match="disk full"):
            await cloud.change(lambda w: setattr(w.model.applications["db"], "exposed", True))
        with pytest.raises(StoreError, match="disk full"):
            await asyncio.wait_for(engine.failure, 1)
        monkeypatch.undo()


async def test_a_model_name_is_given_once(cloud):
    async with cloud.running() as engine:
        with pytest.raises(EngineError, match='model "m" already exists'):
            await engine.add_model("m", {})
        with pytest.raises(EngineError, match="admin/other not found"):
            await engine.destroy_model("other")


async def test_a_task_that_does_not_exist_is_named(cloud):
    async with cloud.running() as engine:
        with pytest.raises(EngineError, match='task "7" not found'):
            await engine.wait_action("m", 7)


# --- Death and restart --------------------------------------------------------------------------


async def test_a_hook_that_was_running_when_the_engine_died_runs_again_once(cloud):
    reached = asyncio.Event()

    async def slow(hook):
        if hook.name == "config-changed":
            reached.set()
            await asyncio.sleep(3600)

    cloud.substrate.charms["db"] = slow
    await cloud.start()
    await cloud.deploy("db")
    await asyncio.wait_for(reached.wait(), 5)
    await cloud.kill()
    before = cloud.hooks("db/0")
    assert before == ["install", "leader-elected", "config-changed"]
    cloud.substrate.charms.clear()
    cloud.take()
    async with cloud.running():
        await cloud.rest()
        assert cloud.hooks("db/0") == ["config-changed", "start"]
        assert cloud.substrate.ended_orphans == ["db/0"]


@pytest.mark.parametrize("point", range(1, 12))
async def test_a_model_settles_wherever_the_engine_is_killed(cloud, point):
    calls = 0
    reached = asyncio.Event()

    async def charm(hook):
        nonlocal calls
        calls += 1
        number = calls
        if hook.name == "give-relation-created":
            await hook.run("relation-set", "n=1")
        if number == point:
            reached.set()
            await asyncio.sleep(3600)

    cloud.substrate.charms = {"db": charm, "web": charm}
    await cloud.start()
    await cloud.deploy("db", peer=True)
    await cloud.deploy("web")
    await cloud.change(lambda world: world.relate("db", "web"))
    await asyncio.wait_for(reached.wait(), 5)
    await cloud.kill()
    async with cloud.running():
        await cloud.rest()
        for unit in cloud.model.units.values():
            assert unit.started
            view = unit.relations[1]
            assert view.created
            other = {"db/0": "web/0", "web/0": "db/0"}[unit.name]
            version = cloud.model.relations[1].unit_bags[other].version
            assert view.members == {other: version}
        assert cloud.model.relations[1].unit_bags["db/0"].data["n"] == "1"


async def test_effects_of_a_hook_and_its_end_are_stored_together(cloud, monkeypatch):
    async def charm(hook):
        if hook.name == "give-relation-created":
            await hook.run("relation-set", "n=1")

    cloud.substrate.charms["db"] = charm
    engine = await cloud.start()
    await cloud.deploy("db")
    await cloud.deploy("web")
    commits = []
    real = engine.store.commit

    def spy(model):
        rows = real(model)
        unit = model.units.get("db/0")
        if unit is not None and 0 in model.relations and 0 in unit.relations:
            bag = model.relations[0].unit_bags["db/0"].data
            commits.append(("n" in bag, unit.relations[0].created))
        return rows

    monkeypatch.setattr(engine.store, "commit", spy)
    await cloud.change(lambda world: world.relate("db", "web"))
    await cloud.rest()
    await cloud.stop()
    assert all(written == created for written, created in commits)
    assert (True, True) in commits


async def test_a_hook_that_ended_well_but_was_not_committed_runs_again(cloud):
    ended = asyncio.Event()

    async def charm(hook):
        if hook.name == "give-relation-created":
            await hook.run("relation-set", "n=1")

    cloud.substrate.charms["db"] = charm
    cloud.substrate.hold_result_of = ("db/0", "give-relation-created", ended)
    await cloud.start()
    await cloud.deploy("db")
    await cloud.deploy("web")
    await cloud.change(lambda world: world.relate("db", "web"))
    await asyncio.wait_for(ended.wait(), 5)
    await cloud.kill()
    cloud.take()
    cloud.substrate.hold_result_of = None
    async with cloud.running():
        await cloud.rest()
        assert cloud.hooks("db/0").count("give-relation-created") == 1
        assert cloud.model.relations[0].unit_bags["db/0"].data["n"] == "1"


async def test_a_restart_of_the_engine_takes_the_leadership_from_nobody(cloud):
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
    cloud.substrate.slow_pods = asyncio.Event()
    engine = await cloud.start()
    await asyncio.sleep(0.01)
    cloud.clock.advance(120)
    await asyncio.sleep(0.01)
    app = engine.models["m"].applications["db"]
    assert (app.leader, app.lease_until) == ("db/0", 0.0)
    cloud.substrate.slow_pods.set()
    await cloud.rest()
    assert (app.leader, app.lease_until) == ("db/0", 0.0)
    await cloud.stop()


async def test_pods_and_services_live_on_while_the_engine_restarts(cloud):
    async with cloud.running():
        await cloud.deploy("db", units=2)
        await cloud.rest()
    cloud.substrate.services.clear()
    cloud.take()
    async with cloud.running():
        await cloud.rest()
        assert cloud.take() == []
        assert all(len(specs[0].backends) == 2 for specs in cloud.substrate.services)
        assert cloud.substrate.removed == []


async def test_an_action_that_ran_when_the_engine_died_is_failed(cloud):
    reached = asyncio.Event()

    async def charm(hook):
        if hook.name == "act":
            reached.set()
            await asyncio.sleep(3600)

    cloud.substrate.charms["db"] = charm
    await cloud.start()
    await cloud.deploy("db")
    number = await cloud.change(enqueue("act"))
    await asyncio.wait_for(reached.wait(), 5)
    await cloud.kill()
    async with cloud.running() as engine:
        action = await engine.wait_action("m", number, 5)
        assert (action.status, action.message) == ("failed", "action terminated")


async def test_a_destruction_goes_on_after_the_engine_died(cloud):
    reached = asyncio.Event()

    async def charm(hook):
        if hook.name == "stop":
            reached.set()
            await asyncio.sleep(3600)

    cloud.substrate.charms["db"] = charm
    engine = await cloud.start()
    await cloud.deploy("db")
    await cloud.rest()
    destruction = asyncio.create_task(engine.destroy_model("m"))
    await asyncio.wait_for(reached.wait(), 5)
    await cloud.kill()
    await asyncio.gather(destruction, return_exceptions=True)
    cloud.substrate.charms.clear()
    engine = await cloud.start(add_model=False)
    await asyncio.wait_for(engine.wait_until(lambda: not engine.models), 5)
    await cloud.stop()


# --- Logs and traces ----------------------------------------------------------------------------


async def test_output_of_a_hook_is_in_the_log_and_its_commands_in_the_trace(cloud):
    async def charm(hook):
        if hook.name == "install":
            hook.stdout.append("to stdout")
            hook.stderr.append("to stderr")
            await hook.run("status-set", "active", "--", "ok")

    cloud.substrate.charms["db"] = charm
    async with cloud.running() as engine:
        await cloud.deploy("db")
        await cloud.rest()
        lines = {record.message: record for record in engine.logs.query("m")}
        assert lines["to stdout"].level == "DEBUG"
        assert lines["to stderr"].level == "WARNING"
        assert lines["to stderr"].module == "unit.db/0.install"
        trace = next(engine.traces.read("m", "db/0"))
        assert (trace.hook, trace.number, trace.outcome) == ("install", 1, "committed")
        assert trace.environment["JUJU_HOOK_NAME"] == "install"
        assert trace.commands[0]["command"] == "status-set"
        assert "units db/0" in trace.changes
