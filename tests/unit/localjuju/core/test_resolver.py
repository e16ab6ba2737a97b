"""What a unit does next: chosen cases, and random worlds in which the rules must always hold."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localjuju import facts, leadership, lifecycle, relating, resolver
from localjuju.model import (
    Action,
    Bag,
    Consumer,
    ContainerView,
    Grant,
    Hook,
    HookKind,
    Life,
    Operation,
    Secret,
    SecretRevision,
    Status,
    Step,
    StorageAttachment,
    Unit,
)

K = HookKind


class Simulation:
    """Runs the units of a world without pods: hooks begin and end as the test says."""

    def __init__(self, world: Any, seed: int | None = None) -> None:
        self.world = world
        self.model = world.model
        self.history: list[tuple[str, Hook]] = []  # operations that were committed
        self.attempts: list[tuple[str, Hook]] = []
        self.running: dict[str, Operation] = {}
        self.random = random.Random(seed) if seed is not None else None

    def converge(self) -> None:
        lifecycle.cascade(self.model)
        lifecycle.reap(self.model)
        leadership.elect(self.model, self.world.now)
        for unit in list(self.model.units.values()):
            resolver.settle(unit, self.model, self.world.now)
            if unit.removed:
                lifecycle.forget_unit(self.model, unit.name, self.world.now)
            elif resolver.wants_new_pod(unit, self.model):
                resolver.new_pod(unit, self.model)
                unit.pod_ready = True
        lifecycle.reap(self.model)

    def begin(self, name: str) -> Operation | None:
        self.converge()
        unit = self.model.units.get(name)
        if unit is None:
            return None
        chosen = resolver.next_operation(unit, self.model, self.world.now, shuffle=self.random)
        if chosen is None:
            return None
        assert name not in self.running, "two operations at once"
        operation = resolver.started(unit, chosen, self.model, self.world.now)
        self.running[name] = operation
        self.attempts.append((name, operation.hook))
        return operation

    def end(self, name: str, *, ok: bool = True) -> None:
        operation = self.running.pop(name)
        unit = self.model.units[name]
        if ok:
            self.history.append((name, operation.hook))
            resolver.commit(unit, operation, self.model, self.world.now)
        else:
            resolver.failed(unit, operation, self.model, self.world.now)
        self.converge()

    def step(self, name: str, *, ok: bool = True) -> Hook | None:
        operation = self.begin(name)
        if operation is None:
            return None
        self.end(name, ok=ok)
        return operation.hook

    def settle(self, limit: int = 5000) -> None:
        """Run everything until nobody has anything to do."""
        for name in list(self.running):
            self.end(name)
        for _ in range(limit):
            self.converge()
            if not [n for n in list(self.model.units) if self.step(n) is not None]:
                return
        raise AssertionError("the model does not come to rest")

    def write(self, relation: int, name: str, data: dict[str, str]) -> None:
        bags = self.model.relations[relation]
        bag = (bags.unit_bags if "/" in name else bags.app_bags).setdefault(name, Bag())
        if bag.data != data:
            bag.data, bag.version = data, bag.version + 1

    def names(self, unit: str) -> list[str]:
        return [hook.name for name, hook in self.history if name == unit]

    def take(self) -> list[tuple[str, str]]:
        """Return what was committed since the last call."""
        done = [(name, hook.name) for name, hook in self.history]
        self.history.clear()
        return done


@pytest.fixture
def sim(world) -> Simulation:
    return Simulation(world)


def fail_first(sim: Simulation, unit: str, kind: HookKind) -> None:
    while sim.model.units[unit].operation is None or (
        sim.model.units[unit].operation.step is not Step.FAILED
    ):
        operation = sim.begin(unit)
        assert operation is not None
        sim.end(unit, ok=operation.hook.kind is not kind)


# --- First start --------------------------------------------------------------------------------


def test_first_start_of_a_leader_with_peer_and_relation_follows_the_contract(world, sim):
    world.app("db", peer=True)
    world.app("web")
    world.relate("db", "web")
    for _ in range(8):
        sim.step("db/0")
    assert sim.names("db/0") == [
        "install",
        "peers-relation-created",
        "give-relation-created",
        "leader-elected",
        "config-changed",
        "start",
    ]
    sim.settle()
    assert sim.names("db/0")[6:] == ["give-relation-joined", "give-relation-changed"]


def test_second_unit_is_not_elected_and_joins_its_peer(world, sim):
    world.app("db", units=2, peer=True)
    sim.settle()
    assert sim.names("db/1") == [
        "install",
        "peers-relation-created",
        "config-changed",
        "start",
        "peers-relation-joined",
        "peers-relation-changed",
    ]


def test_start_follows_config_changed_even_if_pebble_became_ready(world, sim):
    world.app("db", containers=["db"])
    while sim.step("db/0").kind is not K.CONFIG_CHANGED:
        pass
    sim.model.units["db/0"].containers["db"] = ContainerView(seen_boot_id="b1")
    assert sim.step("db/0").name == "start"
    assert sim.step("db/0").name == "db-pebble-ready"


def test_pebble_ready_may_come_before_config_changed(world, sim):
    world.app("db", containers=["db"])
    sim.step("db/0")
    sim.model.units["db/0"].containers["db"] = ContainerView(seen_boot_id="b1")
    sim.settle()
    assert sim.names("db/0") == [
        "install",
        "leader-elected",
        "db-pebble-ready",
        "config-changed",
        "start",
    ]


def test_nothing_runs_without_a_pod(world, sim):
    world.app("db")
    sim.converge()
    unit = sim.model.units["db/0"]
    unit.pod_ready = False
    assert resolver.next_operation(unit, sim.model, world.now) is None


def test_storage_is_told_of_after_start_and_before_relations(world, sim):
    world.app("db")
    world.app("web")
    world.relate("db", "web")
    sim.step("web/0")  # in scope, so that joined is possible
    unit = sim.model.units["db/0"]
    unit.storage["data/0"] = StorageAttachment("data/0", "data", "/s", "/h")
    sim.settle()
    names = sim.names("db/0")
    assert names[names.index("start") + 1] == "data-storage-attached"
    assert unit.storage["data/0"].attached


# --- Relations ----------------------------------------------------------------------------------


@pytest.fixture
def pair(world, sim) -> Simulation:
    """`db` and `web` of two units each, related and at rest; the history is empty."""
    world.app("db", units=2, peer=True)
    world.app("web", units=2)
    world.relate("db", "web")
    sim.settle()
    sim.history.clear()
    return sim


def test_ten_writes_are_one_changed(pair):
    for number in range(10):
        pair.write(1, "db/0", {"n": str(number)})
    pair.settle()
    assert sorted(pair.take()) == [
        ("web/0", "take-relation-changed"),
        ("web/1", "take-relation-changed"),
    ]


def test_a_write_of_equal_data_is_no_event(pair):
    pair.write(1, "db/0", dict(pair.model.relations[1].unit_bags["db/0"].data))
    pair.settle()
    assert pair.take() == []


def test_application_bag_reaches_all_remote_units_with_empty_remote_unit(pair):
    pair.write(1, "db", {"password": "x"})
    pair.settle()
    assert [(n, h.name, h.remote_app, h.remote_unit) for n, h in pair.history] == [
        ("web/0", "take-relation-changed", "db", ""),
        ("web/1", "take-relation-changed", "db", ""),
    ]


def test_peer_application_bag_reaches_the_peers_but_not_the_leader(pair):
    pair.write(0, "db", {"key": "x"})
    pair.settle()
    assert pair.take() == [("db/1", "peers-relation-changed")]


def test_an_old_leader_gets_no_event_for_what_it_wrote_itself(pair):
    pair.write(0, "db", {"key": "x"})
    pair.settle()
    pair.history.clear()
    pair.model.applications["db"].leader = "db/1"
    pair.settle()
    assert pair.take() == [("db/1", "leader-elected")]


def test_scaling_down_gives_departed_on_both_sides_and_broken_only_on_the_leaving_one(pair):
    pair.model.units["web/1"].life = Life.DYING
    pair.settle()
    seen = [(n, h.name, h.remote_unit, h.departing_unit) for n, h in pair.history]
    leaving = [entry[1:] for entry in seen if entry[0] == "web/1"]
    assert leaving == [
        ("take-relation-departed", "db/0", "web/1"),
        ("take-relation-departed", "db/1", "web/1"),
        ("take-relation-broken", "", ""),
        ("stop", "", ""),
        ("remove", "", ""),
    ]
    assert sorted(entry for entry in seen if entry[0] != "web/1") == [
        ("db/0", "give-relation-departed", "web/1", "web/1"),
        ("db/1", "give-relation-departed", "web/1", "web/1"),
    ]
    assert "web/1" not in pair.model.units


def test_a_peer_relation_is_departed_but_never_broken(pair):
    pair.model.units["db/1"].life = Life.DYING
    pair.settle()
    names = [name for unit, name in pair.take() if unit == "db/1"]
    assert "peers-relation-departed" in names
    assert "peers-relation-broken" not in names


def test_removing_a_relation_departs_every_member_then_breaks_once_and_units_live(pair):
    pair.model.relations[1].life = Life.DYING
    pair.settle()
    assert 1 not in pair.model.relations
    for unit, endpoint in (("db/0", "give"), ("web/1", "take")):
        assert pair.names(unit) == [
            f"{endpoint}-relation-departed",
            f"{endpoint}-relation-departed",
            f"{endpoint}-relation-broken",
        ]
    assert all(unit.life is Life.ALIVE for unit in pair.model.units.values())


def test_departing_unit_of_a_removed_relation_is_the_remote_one(pair):
    pair.model.relations[1].life = Life.DYING
    pair.settle()
    departed = [hook for _, hook in pair.history if hook.kind is K.RELATION_DEPARTED]
    assert all(hook.departing_unit == hook.remote_unit for hook in departed)


def test_removing_an_application_leaves_the_other_side_clean(pair):
    pair.model.applications["db"].life = Life.DYING
    pair.settle()
    assert set(pair.model.applications) == {"web"}
    assert pair.model.relations == {}
    assert pair.names("web/0") == [
        "take-relation-departed",
        "take-relation-departed",
        "take-relation-broken",
    ]
    assert pair.model.units["web/0"].relations == {}


def test_data_of_a_departed_unit_stays_while_the_relation_lives(pair):
    pair.model.units["web/1"].life = Life.DYING
    pair.settle()
    assert "web/1" in pair.model.relations[1].unit_bags
    assert "web/1" not in pair.model.units["db/0"].relations[1].members


def test_a_member_counts_from_the_start_of_joined_and_no_longer_from_the_start_of_departed(
    world, sim
):
    world.app("db")
    world.app("web")
    world.relate("db", "web")
    sim.step("web/0")
    while sim.begin("db/0").hook.kind is not K.RELATION_JOINED:
        sim.end("db/0")
    assert sim.model.units["db/0"].relations[0].members == {"web/0": -1}
    sim.end("db/0")
    sim.settle()
    sim.model.relations[0].life = Life.DYING
    sim.begin("db/0")
    assert sim.model.units["db/0"].relations[0].members == {}


def test_the_view_of_a_remote_bag_is_dropped_only_when_its_own_hook_starts(pair):
    view = pair.model.units["web/0"].relations[1]
    view.cached = {"db/0": {"old": "1"}, "db/1": {"old": "1"}}
    pair.write(1, "db/0", {"new": "1"})
    pair.begin("web/0")
    assert view.cached == {"db/1": {"old": "1"}}


def test_a_retried_changed_takes_the_version_of_now(pair):
    pair.write(1, "db/0", {"n": "1"})
    fail_first(pair, "web/0", K.RELATION_CHANGED)
    pair.write(1, "db/0", {"n": "2"})
    pair.world.now += 60
    pair.settle()
    assert [n for n in pair.take() if n[0] == "web/0"] == [("web/0", "take-relation-changed")]


def test_a_write_during_changed_gives_another_changed(pair):
    pair.write(1, "db/0", {"n": "1"})
    pair.begin("web/0")
    pair.write(1, "db/0", {"n": "2"})
    pair.end("web/0")
    assert pair.step("web/0").name == "take-relation-changed"
    assert pair.step("web/0") is None


def test_a_suspended_relation_breaks_and_comes_again_when_resumed(pair):
    pair.model.relations[1].suspended = True
    pair.settle()
    assert pair.names("db/0")[-1] == "give-relation-broken"
    pair.history.clear()
    pair.model.relations[1].suspended = False
    pair.settle()
    assert pair.names("db/0")[:3] == [
        "give-relation-created",
        "give-relation-joined",
        "give-relation-changed",
    ]


def test_a_relation_that_dies_before_created_gives_no_hook(world, sim):
    world.app("db")
    sim.settle()
    world.app("web")
    relation = world.relate("db", "web")
    sim.converge()
    relation.life = Life.DYING
    sim.history.clear()
    sim.settle()
    assert not any(hook.prefix in {"give", "take"} for _, hook in sim.history)
    assert sim.model.relations == {}


def test_entering_a_scope_seeds_the_bag_with_the_service_address(pair):
    assert pair.model.relations[1].unit_bags["db/0"].data == {
        "egress-subnets": "10.0.0.10/32",
        "ingress-address": "10.0.0.10",
        "private-address": "10.0.0.10",
    }


def test_a_new_unit_of_an_old_name_begins_with_a_fresh_bag_and_joins(pair):
    pair.write(1, "web/1", {"old": "1"})
    pair.settle()
    before = pair.model.relations[1].unit_bags["web/1"].version
    pair.model.units["web/1"].life = Life.DYING
    pair.settle()
    pair.world.unit("web")
    pair.history.clear()
    pair.settle()
    bag = pair.model.relations[1].unit_bags["web/1"]
    assert "old" not in bag.data
    assert bag.version > before
    joined = [(n, h.remote_unit) for n, h in pair.history if h.name == "give-relation-joined"]
    assert joined == [("db/0", "web/1"), ("db/1", "web/1")]


# --- Errors -------------------------------------------------------------------------------------


def test_a_failed_hook_blocks_every_other_hook_but_not_actions(pair):
    model = pair.model
    pair.write(1, "db/0", {"n": "1"})
    fail_first(pair, "web/0", K.RELATION_CHANGED)
    unit = model.units["web/0"]
    assert unit.agent_status.current == "error"
    assert unit.agent_status.message == 'hook failed: "take-relation-changed"'
    assert unit.agent_status.data["remote-unit"] == "db/0"
    model.applications["web"].config["colour"] = "blue"
    model.applications["web"].leader = "web/1"
    model.units["web/0"].update_status_due = 0
    assert pair.begin("web/0") is None
    model.actions[1] = Action(1, "web/0", "act", {})
    assert pair.step("web/0").kind is K.ACTION
    assert model.actions[1].status == "completed"
    assert unit.agent_status.current == "error"
    assert pair.begin("web/0") is None


def test_retries_wait_5_10_20_up_to_300_seconds_and_begin_anew_after_success(world, sim):
    world.app("db")
    sim.converge()
    unit = sim.model.units["db/0"]
    waits = []
    for _ in range(9):
        sim.step("db/0", ok=False)
        waits.append(unit.operation.retry_at - world.now)
        assert sim.begin("db/0") is None
        world.now = unit.operation.retry_at
    expected = [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert all(
        low <= wait <= min(300, low * 1.1) for low, wait in zip(expected, waits, strict=True)
    )
    assert sim.step("db/0").name == "install"
    sim.step("db/0", ok=False)
    assert unit.operation.retry_at - world.now <= 5.5


def test_retries_can_be_switched_off(world, sim):
    world.app("db")
    sim.model.config["automatically-retry-hooks"] = False
    sim.step("db/0", ok=False)
    world.now += 10_000
    assert sim.begin("db/0") is None
    assert resolver.wake_at(sim.model.units["db/0"], sim.model, world.now) == float("inf")


def test_resolved_runs_the_hook_again_now(world, sim):
    world.app("db")
    sim.step("db/0", ok=False)
    sim.model.units["db/0"].resolved = "retry"
    assert sim.step("db/0").name == "install"
    assert sim.model.units["db/0"].resolved == ""


def test_resolved_without_retry_treats_the_hook_as_done(world, sim):
    world.app("db")
    world.app("web")
    world.relate("db", "web")
    sim.step("web/0")
    fail_first(sim, "db/0", K.RELATION_JOINED)
    sim.model.units["db/0"].resolved = "no-retry"
    assert sim.step("db/0").name == "give-relation-changed"
    assert sim.names("db/0").count("give-relation-joined") == 0
    assert sim.model.units["db/0"].agent_status.current != "error"


def test_resolved_of_a_unit_without_error_is_forgotten(pair):
    pair.model.units["db/0"].resolved = "no-retry"
    pair.settle()
    assert pair.model.units["db/0"].resolved == ""
    assert pair.take() == []


def test_a_requeued_hook_runs_again_without_an_error(world, sim):
    world.app("db")
    operation = sim.begin("db/0")
    unit = sim.model.units["db/0"]
    del sim.running["db/0"]
    resolver.requeued(unit, operation, sim.model, world.now)
    assert unit.agent_status.current == "executing"
    assert sim.step("db/0").name == "install"


def test_a_unit_of_a_dead_engine_runs_its_hook_again_and_its_action_is_lost(pair):
    unit = pair.model.units["db/0"]
    pair.write(1, "web/0", {"n": "1"})
    pair.begin("db/0")
    pair.running.clear()
    pair.model.actions[7] = Action(7, "db/0", "act", {}, status="running")
    resolver.recovered(unit, pair.model, pair.world.now)
    assert unit.operation.step is Step.QUEUED
    assert pair.model.actions[7].status == "failed"
    unit.pod_ready = True
    assert pair.step("db/0").name == "give-relation-changed"


def test_a_unit_removed_by_force_passes_over_failing_hooks(pair):
    unit = pair.model.units["web/1"]
    unit.life, unit.force = Life.DYING, True
    for _ in range(20):
        if "web/1" in pair.model.units and pair.begin("web/1"):
            pair.end("web/1", ok=False)
    pair.settle()
    assert "web/1" not in pair.model.units


# --- Leadership, config, timers ------------------------------------------------------------------


def test_config_set_to_its_default_gives_no_hook(pair):
    pair.model.applications["db"].config["colour"] = "red"
    pair.settle()
    assert pair.take() == []


def test_several_config_changes_are_one_hook_for_each_unit(pair):
    pair.model.applications["db"].config["colour"] = "blue"
    pair.model.applications["db"].config["colour"] = "green"
    pair.settle()
    assert pair.take() == [("db/0", "config-changed"), ("db/1", "config-changed")]


def test_a_new_address_gives_config_changed(pair):
    pair.model.units["db/0"].address = "10.9.9.9"
    pair.settle()
    assert pair.take() == [("db/0", "config-changed")]


def test_leader_is_replaced_once_after_its_lease_ran_out(pair):
    pair.model.units["db/0"].pod_ready = False
    pair.settle()
    assert pair.model.applications["db"].leader == "db/0"
    pair.world.now += 29
    pair.settle()
    assert pair.take() == []
    pair.world.now += 31
    pair.settle()
    assert pair.take() == [("db/1", "leader-elected")]
    pair.model.units["db/0"].pod_ready = True
    pair.world.now += 200
    pair.settle()
    assert pair.model.applications["db"].leader == "db/1"
    assert pair.take() == []
    assert not pair.model.units["db/0"].is_leader


def test_a_leader_that_comes_back_in_time_keeps_its_lease(pair):
    pair.model.units["db/0"].pod_ready = False
    pair.settle()
    pair.world.now += 20
    pair.model.units["db/0"].pod_ready = True
    pair.settle()
    assert pair.model.applications["db"].lease_until == 0.0
    pair.world.now += 100
    pair.settle()
    assert pair.take() == []


def test_leader_settings_reach_the_others_once(pair):
    pair.model.applications["db"].leader_settings["a"] = "1"
    pair.settle()
    assert pair.take() == [("db/1", "leader-settings-changed")]


def test_update_status_comes_after_about_five_minutes_and_ticks_coalesce(pair):
    due = resolver.wake_at(pair.model.units["db/0"], pair.model, pair.world.now)
    assert 240 <= due - pair.world.now <= 360
    pair.world.now += 3600
    pair.settle()
    assert sorted(pair.take()) == [
        (unit, "update-status") for unit in ("db/0", "db/1", "web/0", "web/1")
    ]


def test_update_status_does_not_show_as_executing(pair):
    unit = pair.model.units["db/0"]
    unit.agent_status = Status("idle")
    pair.world.now += 3600
    pair.begin("db/0")
    assert unit.agent_status.current == "idle"


def test_update_status_interval_is_taken_from_the_model(pair):
    pair.model.config["update-status-hook-interval"] = "1h"
    pair.world.now += 360
    pair.settle()
    due = pair.model.units["db/0"].update_status_due
    assert 2880 <= due - pair.world.now <= 4320


def test_a_shorter_update_status_interval_counts_at_once(pair):
    pair.model.config["update-status-hook-interval"] = "10s"
    pair.settle()
    due = pair.model.units["db/0"].update_status_due
    assert 8 <= due - pair.world.now <= 12
    pair.world.now += 12
    pair.settle()
    assert ("db/0", "update-status") in pair.take()


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400)]
)
def test_durations_are_read_as_juju_writes_them(text, seconds):
    assert facts.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "5m x"])
def test_a_text_that_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        facts.duration(text)


# --- Pods, workloads, secrets, actions -----------------------------------------------------------


def test_refresh_stops_replaces_the_pod_upgrades_configures_and_starts(world, sim):
    world.app("db", containers=["db"])
    sim.settle()
    unit = sim.model.units["db/0"]
    unit.containers["db"] = ContainerView(boot_id="b1", seen_boot_id="b1")
    sim.history.clear()
    sim.model.applications["db"].charm_modified += 1
    generation = unit.pod_generation
    sim.step("db/0")
    assert unit.pod_generation == generation + 1
    unit.containers["db"].seen_boot_id = "b2"
    sim.settle()
    assert sim.names("db/0") == [
        "stop",
        "db-pebble-ready",
        "upgrade-charm",
        "config-changed",
        "start",
    ]


def test_nothing_else_runs_between_the_stop_for_a_new_pod_and_the_new_pod(pair):
    unit = pair.model.units["web/0"]
    pair.model.applications["web"].charm_modified += 1
    operation = pair.begin("web/0")
    assert operation.hook.kind is K.STOP
    del pair.running["web/0"]
    resolver.commit(unit, operation, pair.model, pair.world.now)
    assert resolver.wants_new_pod(unit, pair.model)
    assert resolver.next_operation(unit, pair.model, pair.world.now) is None


def test_trust_replaces_the_pod_without_an_upgrade(pair):
    pair.model.applications["web"].trust = True
    pair.settle()
    assert pair.names("web/0") == ["stop", "config-changed", "start"]


def test_a_failed_hook_holds_a_refresh_back_unless_it_is_forced(world, sim):
    app = world.app("db")
    sim.step("db/0", ok=False)
    unit = sim.model.units["db/0"]
    generation = unit.pod_generation
    app.charm_modified += 1
    sim.converge()
    assert unit.pod_generation == generation
    app.charm_forced = app.charm_modified
    sim.settle()
    assert unit.pod_generation == generation + 1
    assert sim.names("db/0") == ["install", "leader-elected", "config-changed", "start"]


def test_a_charm_container_that_came_back_gets_start_again(pair):
    pair.model.units["db/0"].restart_pending = True
    pair.settle()
    assert pair.take() == [("db/0", "start")]


def test_workload_events_come_one_by_one_in_the_order_of_their_times(world, sim):
    world.app("db", containers=["a", "b"])
    sim.settle()
    sim.history.clear()
    unit = sim.model.units["db/0"]

    def notice(container: str, time: str) -> Hook:
        return Hook(K.PEBBLE_CUSTOM_NOTICE, container=container, notice_time=time)

    unit.containers["a"] = ContainerView(pending=[notice("a", "1"), notice("a", "3")])
    unit.containers["b"] = ContainerView(pending=[notice("b", "2")])
    sim.settle()
    assert [hook.notice_time for _, hook in sim.history] == ["1", "2", "3"]
    assert unit.containers["a"].last_notice == "3"


def test_secret_changed_comes_once_for_each_newer_revision(pair):
    secret = Secret("a" * 20, "application", "db")
    secret.revisions[1] = SecretRevision(1, {"key": "eA=="}, 0)
    secret.latest = 1
    secret.consumers["web/0"] = Consumer("web/0", 1)
    pair.model.secrets[secret.id] = secret
    secret.grants.append(Grant("web", 1))
    pair.settle()
    assert pair.take() == []
    for number in (2, 3):
        secret.revisions[number] = SecretRevision(number, {"key": "eA=="}, 0)
        secret.latest = number
        pair.settle()
        assert ("web/0", "secret-changed") in pair.take()
        pair.settle()
        assert ("web/0", "secret-changed") not in pair.take()


def test_a_revision_that_comes_during_secret_changed_is_announced_again(pair):
    secret = Secret("a" * 20, "application", "db", latest=2)
    secret.revisions = {n: SecretRevision(n, {"key": "eA=="}, 0) for n in (1, 2)}
    secret.consumers["web/0"] = Consumer("web/0", 1)
    secret.grants.append(Grant("web", 1))
    pair.model.secrets[secret.id] = secret
    pair.begin("web/0")
    secret.revisions[3] = SecretRevision(3, {"key": "eA=="}, 0)
    secret.latest = 3
    pair.end("web/0")
    assert pair.step("web/0").name == "secret-changed"
    assert pair.step("web/0") is None


def test_actions_wait_for_install_and_go_before_commands(world, sim):
    world.app("db")
    sim.model.actions[1] = Action(1, "db/0", "juju-exec", {"command": "true"})
    sim.model.actions[2] = Action(2, "db/0", "act", {})
    sim.settle()
    assert sim.names("db/0")[:4] == ["install", "leader-elected", "act", "juju-exec"]


def test_a_failed_action_is_no_error_of_the_unit(pair):
    pair.model.actions[1] = Action(1, "db/0", "act", {})
    pair.step("db/0", ok=False)
    assert pair.model.actions[1].status == "failed"
    assert pair.model.units["db/0"].operation is None


def test_actions_of_a_removed_unit_are_cancelled(pair):
    unit = pair.model.units["web/1"]
    unit.life = Life.DYING
    pair.model.actions[1] = Action(1, "web/1", "act", {})
    unit.stopped = True
    pair.settle()
    assert pair.model.actions[1].status == "cancelled"


def test_a_unit_that_was_never_installed_goes_without_hooks(world, sim):
    world.app("db")
    sim.model.applications["db"].life = Life.DYING
    sim.settle()
    assert sim.history == []
    assert sim.model.applications == {}


def test_the_status_of_a_unit_follows_its_life(world, sim):
    world.app("db")
    unit = sim.model.units["db/0"]
    sim.begin("db/0")
    assert unit.workload_status.message == "installing charm software"
    assert unit.agent_status.message == "running install hook"
    sim.end("db/0")
    sim.settle()
    assert unit.workload_status.current == "unknown"
    unit.life = Life.DYING
    assert sim.begin("db/0").hook.kind is K.STOP
    assert unit.workload_status.message == "stopping charm software"
    sim.end("db/0")
    sim.begin("db/0")
    assert unit.workload_status.message == "cleaning up prior to charm deletion"


# --- Random worlds ------------------------------------------------------------------------------

_VERBS = (
    ["step"] * 12
    + ["begin", "end", "fail"] * 4
    + ["write", "write_app"] * 3
    + ["config", "add_unit", "remove_unit", "relate", "unrelate", "remove_app"]
    + ["refresh", "restart", "action", "resolved", "time", "lose_pod", "engine_dies", "notice"]
)


def _play(new_world, seed: int, length: int) -> Simulation:
    """Play random operators, charms and failures; then leave everybody alone."""
    chance = random.Random(seed)
    world = new_world()
    sim = Simulation(world, seed)
    for number in range(chance.randint(1, 3)):
        world.app(
            f"a{number}",
            units=chance.randint(1, 3),
            peer=chance.random() < 0.6,
            containers=["c"] if chance.random() < 0.5 else [],
        )
    for _ in range(length):
        _PLAY[chance.choice(_VERBS)](sim, chance)
        _check_always(sim)
    for unit in sim.model.units.values():
        unit.pod_ready = unit.pod_generation > 0
    for _ in range(6):  # what failed is retried, leases run out
        world.now += 400
        sim.settle()
    return sim


def _some_unit(sim: Simulation, chance: random.Random) -> Unit | None:
    units = list(sim.model.units.values())
    return chance.choice(units) if units else None


def _on_unit(verb):
    def play(sim: Simulation, chance: random.Random) -> None:
        unit = _some_unit(sim, chance)
        if unit is not None:
            verb(sim, chance, unit)

    return play


def _begin(sim, chance, unit):
    if unit.name not in sim.running:
        sim.begin(unit.name)


def _finish(ok):
    def play(sim, chance):
        if sim.running:
            sim.end(chance.choice(sorted(sim.running)), ok=ok)

    return play


def _full_step(sim, chance, unit):
    if unit.name not in sim.running:
        sim.step(unit.name)


def _write(sim, chance, unit):
    entered = [n for n, view in unit.relations.items() if view.entered]
    if entered:
        sim.write(chance.choice(entered), unit.name, {"n": str(chance.randint(0, 2))})


def _write_app(sim, chance, unit):
    entered = [n for n, view in unit.relations.items() if view.entered]
    if entered and sim.model.applications[unit.app].leader == unit.name:
        sim.write(chance.choice(entered), unit.app, {"n": str(chance.randint(0, 2))})


def _alive_apps(sim):
    return [a.name for a in sim.model.applications.values() if a.life is Life.ALIVE]


def _config(sim, chance, unit):
    sim.model.applications[unit.app].config["colour"] = chance.choice(["red", "blue"])


def _add_unit(sim, chance):
    apps = _alive_apps(sim)
    if apps and len(sim.model.units) < 9:
        sim.world.unit(chance.choice(apps))


def _remove_unit(sim, chance, unit):
    unit.life = Life.DYING


def _relate(sim, chance):
    apps = _alive_apps(sim)
    if len(apps) > 1 and len(sim.model.relations) < 6:
        sim.world.relate(*chance.sample(apps, 2))


def _unrelate(sim, chance):
    relations = [r for r in sim.model.relations.values() if len(r.ends) > 1]
    if relations:
        chance.choice(relations).life = Life.DYING


def _remove_app(sim, chance):
    apps = _alive_apps(sim)
    if len(apps) > 1:
        sim.model.applications[chance.choice(apps)].life = Life.DYING


def _refresh(sim, chance, unit):
    app = sim.model.applications[unit.app]
    app.charm_modified += 1
    if chance.random() < 0.3:
        app.charm_forced = app.charm_modified


def _restart(sim, chance, unit):
    unit.restart_pending = unit.started
    for view in unit.containers.values():
        view.seen_boot_id = str(chance.random())


def _notice(sim, chance, unit):
    if sim.model.charm_of(unit.app).containers:
        view = unit.containers.setdefault("c", ContainerView())
        view.seen_boot_id = view.seen_boot_id or "boot"
        key = str(chance.random())
        view.pending.append(Hook(K.PEBBLE_CUSTOM_NOTICE, container="c", notice_time=key))


def _enqueue(sim, chance, unit):
    number = sim.model.next_action_id
    sim.model.next_action_id += 1
    sim.model.actions[number] = Action(number, unit.name, "act", {})


def _resolved(sim, chance, unit):
    unit.resolved = chance.choice(["retry", "no-retry"])


def _time(sim, chance):
    sim.world.now += chance.choice([1, 20, 100, 400])


def _lose_pod(sim, chance, unit):
    if unit.name not in sim.running:
        unit.pod_ready = not unit.pod_ready and unit.pod_generation > 0


def _engine_dies(sim, chance):
    sim.running.clear()
    for unit in sim.model.units.values():
        resolver.recovered(unit, sim.model, sim.world.now)
        unit.pod_ready = unit.pod_generation > 0


_PLAY = {
    "step": _on_unit(_full_step),
    "begin": _on_unit(_begin),
    "end": _finish(True),
    "fail": _finish(False),
    "write": _on_unit(_write),
    "write_app": _on_unit(_write_app),
    "config": _on_unit(_config),
    "add_unit": _add_unit,
    "remove_unit": _on_unit(_remove_unit),
    "relate": _relate,
    "unrelate": _unrelate,
    "remove_app": _remove_app,
    "refresh": _on_unit(_refresh),
    "restart": _on_unit(_restart),
    "action": _on_unit(_enqueue),
    "resolved": _on_unit(_resolved),
    "time": _time,
    "lose_pod": _on_unit(_lose_pod),
    "engine_dies": _engine_dies,
    "notice": _on_unit(_notice),
}


def _check_always(sim: Simulation) -> None:
    for unit in sim.model.units.values():
        operation = unit.operation
        if operation is not None and operation.step is Step.FAILED:
            chosen = resolver.next_operation(unit, sim.model, operation.retry_at - 0.001)
            assert chosen is None or chosen.hook.kind is K.ACTION, (
                "an error blocks all but actions"
            )
        if unit.name in sim.running and operation is not None:
            assert resolver.next_operation(unit, sim.model, sim.world.now + 1e6) is None


def _by_unit(entries: list[tuple[str, Hook]]) -> dict[str, list[Hook]]:
    """Split a history by unit; a name that is used again is another unit."""
    lives: dict[str, list[Hook]] = {}
    life: dict[str, int] = {}
    for name, hook in entries:
        if hook.kind is K.INSTALL:
            life[name] = life.get(name, 0) + 1
        lives.setdefault(f"{name}#{life.get(name, 0)}", []).append(hook)
    return lives


def _relation_hooks(hooks: list[Hook]) -> dict[int, list[Hook]]:
    found: dict[int, list[Hook]] = {}
    for hook in hooks:
        if hook.relation_id is not None:
            found.setdefault(hook.relation_id, []).append(hook)
    return found


WORLDS = given(seed=st.integers(0, 2**32), length=st.integers(5, 150))
EFFORT = settings(max_examples=120, deadline=None)


@WORLDS
@EFFORT
def test_joined_is_followed_at_once_by_changed_for_that_unit(new_world, seed, length):
    sim = _play(new_world, seed, length)
    for hooks in _by_unit(sim.history).values():
        related = [hook for hook in hooks if hook.relation_id is not None]
        for joined, follower in itertools.pairwise(related):
            if joined.kind is not K.RELATION_JOINED:
                continue
            if follower.kind is K.RELATION_CREATED:  # an operator related it just then
                continue
            expected = (K.RELATION_CHANGED, joined.relation_id, joined.remote_unit)
            assert (follower.kind, follower.relation_id, follower.remote_unit) == expected


@WORLDS
@EFFORT
def test_created_comes_first_and_once_and_broken_last_and_once(new_world, seed, length):
    sim = _play(new_world, seed, length)
    skipped = any(unit.resolved for unit in sim.model.units.values())
    assert not skipped
    for hooks in _by_unit(sim.history).values():
        for related in _relation_hooks(hooks).values():
            kinds = [hook.kind for hook in related]
            assert kinds.count(K.RELATION_CREATED) <= 1
            assert K.RELATION_CREATED not in kinds[1:]
            assert K.RELATION_BROKEN not in kinds[:-1]


@WORLDS
@EFFORT
def test_every_member_departs_before_broken(new_world, seed, length):
    sim = _play(new_world, seed, length)
    for hooks in _by_unit(sim.attempts).values():
        for related in _relation_hooks(hooks).values():
            members: set[str] = set()
            for hook in related:
                if hook.kind is K.RELATION_JOINED:
                    members.add(hook.remote_unit)
                elif hook.kind is K.RELATION_DEPARTED:
                    members.discard(hook.remote_unit)
                elif hook.kind is K.RELATION_BROKEN:
                    assert not members


@WORLDS
@EFFORT
def test_start_follows_config_changed_with_nothing_but_actions_between(new_world, seed, length):
    sim = _play(new_world, seed, length)
    for hooks in _by_unit(sim.attempts).values():
        plain = [hook for hook in hooks if hook.kind is not K.ACTION]
        first = next((i for i, h in enumerate(plain) if h.kind is K.CONFIG_CHANGED), None)
        if first is None:
            continue
        rest = [h for h in plain[first:] if h.kind is not K.CONFIG_CHANGED]
        assert not rest or rest[0].kind is K.START


@WORLDS
@EFFORT
def test_a_world_left_alone_comes_to_rest_with_every_bag_delivered(new_world, seed, length):
    sim = _play(new_world, seed, length)
    model = sim.model
    for unit in model.units.values():
        if unit.operation is not None:
            pytest.fail(f"{unit.name} still has {unit.operation}")
        assert unit.life is Life.ALIVE
        assert unit.started
        for number, view in unit.relations.items():
            relation = model.relations[number]
            others = relating.remote_units(relation, unit)
            assert sorted(view.members) == sorted(others)
            for name, version in view.members.items():
                assert version == relation.unit_bags[name].version
            remote = relating.remote_end(relation, unit.app).app
            bag = relation.app_bags.get(remote)
            if bag is not None and bag.version:
                assert view.app_versions.get(remote) == bag.version
        assert not any(view.pending for view in unit.containers.values())
    for app in model.applications.values():
        leaders = [unit.name for unit in model.units_of(app.name) if unit.is_leader]
        assert leaders == ([app.leader] if model.units_of(app.name) else [])
    assert all(action.status != "pending" for action in model.actions.values())


def test_a_lease_that_nobody_can_take_over_is_looked_at_later_not_at_once(world):
    world.app("db", units=1)
    app, unit = world.model.applications["db"], world.model.units["db/0"]
    unit.pod_ready = True
    leadership.elect(world.model, world.now)
    unit.pod_ready = False
    leadership.elect(world.model, world.now)
    late = app.lease_until
    leadership.elect(world.model, late)
    assert app.leader == "db/0"
    assert leadership.next_expiry(world.model) > late
