"""Addresses, pods and services, computed from models; what pods tell; clocks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localjuju import wanted, workload
from localjuju.clock import VirtualClock
from localjuju.model import ContainerView, Life, Resource, StorageAttachment
from localjuju.substrate.protocol import Mount, Notice, PodEvent

SUBNET = "10.5.0.0/24"
RESOURCES = Mount(Path("/here"), "/there")


@pytest.fixture
def fresh(world):
    """A world of two applications without any address."""
    for name in ("db", "web"):
        world.app(name, units=2, containers=["c"]).service_address = ""
        world.model.applications[name].resources["c-image"] = Resource(
            "c-image", "oci-image", f"store/{name}"
        )
    for unit in world.model.units.values():
        unit.address = ""
    return world


def test_services_get_low_addresses_and_pods_the_rest(fresh):
    wanted.assign([fresh.model], SUBNET, Path("/s"))
    apps = [app.service_address for app in fresh.model.applications.values()]
    assert apps == ["10.5.0.10", "10.5.0.11"]
    units = [unit.address for unit in fresh.model.units.values()]
    assert units == ["10.5.0.64", "10.5.0.65", "10.5.0.66", "10.5.0.67"]


def test_addresses_stay_and_are_given_again_only_when_free(fresh):
    model = fresh.model
    wanted.assign([model], SUBNET, Path("/s"))
    before = {unit.name: unit.address for unit in model.units.values()}
    free = model.units.pop("db/1").address
    wanted.assign([model], SUBNET, Path("/s"))
    assert all(unit.address == before[unit.name] for unit in model.units.values())
    fresh.unit("web").address = ""
    wanted.assign([model], SUBNET, Path("/s"))
    assert model.units["web/2"].address == free


def test_models_share_the_network(fresh, new_world):
    other = new_world()
    other.app("db").service_address = ""
    other.model.units["db/0"].address = ""
    wanted.assign([fresh.model, other.model], SUBNET, Path("/s"))
    assert other.model.applications["db"].service_address == "10.5.0.12"
    assert other.model.units["db/0"].address == "10.5.0.68"


def test_a_full_network_is_told_by_the_pod_that_gets_no_address(fresh):
    wanted.assign([fresh.model], "10.5.0.0/28", Path("/s"))
    unit = fresh.model.units["web/1"]
    assert unit.address
    for _ in range(4):
        fresh.unit("web").address = ""
    wanted.assign([fresh.model], "10.5.0.0/28", Path("/s"))
    last = fresh.model.units["web/5"]
    assert last.address == ""
    with pytest.raises(wanted.WantedError, match="no free address for web/5"):
        wanted.pod_spec(fresh.model, last, RESOURCES)


def test_storage_folders_are_stable_by_number_and_new_for_a_new_application(fresh):
    model = fresh.model
    unit = model.units["db/1"]
    for key in ("data/0", "data/1"):
        unit.storage[key] = StorageAttachment(key, "data", "/in", "")
    wanted.assign([model], SUBNET, Path("/s"))
    paths = [storage.path for storage in unit.storage.values()]
    assert len(set(paths)) == 2
    assert all(Path(path).is_relative_to(f"/s/{model.uuid}") for path in paths)
    unit.storage["data/0"].path = unit.storage["data/1"].path = ""
    wanted.assign([model], SUBNET, Path("/s"))
    assert [storage.path for storage in unit.storage.values()] == paths
    unit.storage["data/0"].path = ""
    model.applications["db"].created += 1
    wanted.assign([model], SUBNET, Path("/s"))
    assert unit.storage["data/0"].path not in paths


def test_a_pod_has_its_containers_with_image_index_and_mounts(fresh):
    model = fresh.model
    charm = model.charms["local:db-0"]
    container = charm.containers["c"]
    charm.containers["c"] = type(container)("c", "c-image", (("data", "/data"),), uid=7, gid=8)
    unit = model.units["db/0"]
    unit.address = "10.5.0.64"
    unit.storage["data/0"] = StorageAttachment("data/0", "data", "/in", "/host")
    spec = wanted.pod_spec(model, unit, RESOURCES)
    assert spec.mounts == (RESOURCES, Mount(Path("/host"), "/in"))
    only = spec.workloads[0]
    assert (only.image, only.index, only.uid, only.gid) == ("store/db", 0, 7, 8)
    assert only.mounts == (Mount(Path("/host"), "/data"),)


def test_a_missing_image_is_named(fresh):
    fresh.model.applications["db"].resources.clear()
    fresh.model.units["db/0"].address = "10.5.0.64"
    with pytest.raises(wanted.WantedError, match="attach the resource 'c-image'"):
        wanted.pod_spec(fresh.model, fresh.model.units["db/0"], RESOURCES)


def test_services_lead_to_units_that_are_up_and_stay(fresh):
    model = fresh.model
    wanted.assign([model], SUBNET, Path("/s"))
    first, second = model.units_of("db")
    first.pod_ready = second.pod_ready = True
    first.opened_ports, second.opened_ports = {"": ["80/tcp"]}, {"": ["443/tcp", "80/tcp"]}
    service = wanted.service_specs([model])[0]
    assert service.backends == (first.address, second.address)
    assert service.ports == ("443/tcp", "80/tcp")
    second.life = Life.DYING
    assert wanted.service_specs([model])[0].backends == (first.address,)
    first.pod_ready = False
    assert wanted.service_specs([model])[0].backends == ()
    assert wanted.service_specs([model], {("m", "db/0")})[0].backends == (first.address,)


# --- What pods tell -----------------------------------------------------------------------------


def notices(*times: str) -> PodEvent:
    made = tuple(Notice("1", "custom", "a.b/c", time, {}) for time in times)
    return PodEvent("notices", "m", "db/0", "c", notices=made)


def test_notices_are_taken_once_in_spite_of_dropped_zeros(fresh):
    unit = fresh.model.units["db/0"]
    assert workload.observe(unit, notices("2026-01-01T00:00:01.1Z", "2026-01-01T00:00:01.12Z"))
    assert not workload.observe(unit, notices("2026-01-01T00:00:01.1Z"))
    assert workload.observe(unit, notices("2026-01-01T00:00:02Z"))
    assert len(unit.containers["c"].pending) == 3
    assert workload.newest(unit.containers["c"]) == "2026-01-01T00:00:02Z"


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:01.1Z", "2026-01-01T00:00:01.12Z"),
        ("2026-01-01T00:00:01.12Z", "2026-01-01T00:00:01.2Z"),
        ("2026-01-01T00:00:01.000000001Z", "2026-01-01T00:00:01.000000002Z"),
        ("2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00.5Z"),
    ],
)
def test_times_of_notices_sort_to_the_nanosecond(earlier, later):
    assert workload.moment(earlier) < workload.moment(later)


def test_notices_are_still_known_after_pebble_restarted(fresh):
    unit = fresh.model.units["db/0"]
    unit.containers["c"] = ContainerView("one", "one", last_notice="2026-01-01T00:00:02Z")
    assert workload.observe(unit, PodEvent("pebble", "m", "db/0", "c", "two"))
    assert not workload.observe(unit, notices("2026-01-01T00:00:01Z"))


def test_the_first_agent_of_a_pod_is_no_restart_the_second_is(fresh):
    unit = fresh.model.units["db/0"]
    unit.started = True
    assert workload.observe(unit, PodEvent("charm-started", "m", "db/0", boot_id="one"))
    assert not unit.restart_pending
    assert not workload.observe(unit, PodEvent("charm-started", "m", "db/0", boot_id="one"))
    assert workload.observe(unit, PodEvent("charm-started", "m", "db/0", boot_id="two"))
    assert unit.restart_pending


def test_events_that_mean_nothing_to_the_model_change_nothing(fresh):
    unit = fresh.model.units["db/0"]
    assert not workload.observe(unit, PodEvent("health", "m", "db/0", "c", healthy=True))


# --- Clocks -------------------------------------------------------------------------------------


async def test_a_virtual_clock_wakes_sleepers_in_order_at_their_times():
    clock = VirtualClock(0.0)
    seen = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((seconds, clock.now()))

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3, 1, 2)]
    await asyncio.sleep(0)
    assert clock.next_timer() == 1.0
    clock.advance(2.5)
    await asyncio.sleep(0.001)
    assert [seconds for seconds, _ in seen] == [1, 2]
    clock.advance(1)
    await asyncio.gather(*tasks)
    assert clock.next_timer() is None
    assert clock.now() == 3.5


def test_a_cancelled_timer_is_not_called():
    clock = VirtualClock(0.0)
    called = []
    clock.call_at(1, lambda: called.append(1)).cancel()
    clock.call_at(1, lambda: called.append(2))
    clock.advance(5)
    assert called == [2]
