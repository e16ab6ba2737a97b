"""What is remembered over a restart of the engine, and how traffic follows it."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from localjuju.settings import Settings
from localjuju.substrate import commands, names, pause_image, records, remains
from localjuju.substrate.forwarder import Forwarder
from localjuju.substrate.protocol import ServiceSpec
from localjuju.substrate.records import Forwarding, Key, PodRecord
from localjuju.substrate.runner import Done, Runner

SERVICE = ServiceSpec("shop", "web", "10.70.0.200", ("80/tcp",), ("10.70.0.10", "10.70.0.11"))


def _pod(number: int) -> PodRecord:
    return PodRecord(
        model="shop",
        unit=f"web/{number}",
        address=f"10.70.0.1{number}",
        workloads=("web",),
        storage=("/data",),
        hook_dir="/run/hook",
        digest="d",
    )


@pytest.fixture
def here(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An instance whose run-time folder is the test's, with two pods."""
    monkeypatch.setattr(names, "runtime_dir", lambda _: tmp_path / "run")
    (tmp_path / "run").mkdir()
    for pod in (_pod(0), _pod(1)):
        names.unit_dir(settings, pod.model, pod.unit).mkdir(parents=True)
        records.save_pod(settings, pod)
    return settings


def test_pods_are_found_again(here: Settings):
    assert records.load_pods(here) == {pod.key: pod for pod in (_pod(0), _pod(1))}


def test_forwarding_is_found_again(here: Settings):
    forwarding = Forwarding((SERVICE,), frozenset({"10.70.0.10"}))
    records.save_forwarding(here, forwarding)
    assert records.load_forwarding(here) == forwarding


def test_nothing_is_forwarded_after_the_hosts_start(here: Settings):
    assert records.load_forwarding(here) == Forwarding()


class Recorder(Runner):
    """Notes what would be started."""

    def __init__(self) -> None:
        super().__init__("")
        self.rules: list[str] = []
        self.failures = 0  # how often the rules cannot be loaded

    async def run(self, argv: object, stdin: bytes = b"", *, waits: bool = True) -> Done:
        if argv == ("nft", "-f", "-"):
            if self.failures:
                self.failures -= 1
                return Done(1, b"", b"Device or resource busy")
            self.rules.append(stdin.decode())
        return Done(0, b"[]", b"")


class World:
    """A forwarder, and what it is told of units."""

    def __init__(self, settings: Settings) -> None:
        self.runner = Recorder()
        self.ready: dict[Key, bool] = {}
        self.pods = records.load_pods(settings)
        self.forwarder = Forwarder(settings, self.runner, self.pods, self.ready.get)

    def backends(self) -> list[str]:
        (rule,) = [line for line in self.runner.rules[-1].splitlines() if "dport 80" in line]
        return [address for address in SERVICE.backends if address in rule.partition("dnat")[2]]


def test_traffic_follows_readiness(here: Settings):
    async def story() -> list[list[str]]:
        world = World(here)
        world.ready[("shop", "web/0")] = True
        await world.forwarder.set_services([SERVICE])
        one = world.backends()
        world.ready[("shop", "web/1")] = True
        await world.forwarder.update()
        return [one, world.backends()]

    assert asyncio.run(story()) == [["10.70.0.10"], ["10.70.0.10", "10.70.0.11"]]


def test_a_new_engine_leaves_traffic_where_it_was_until_it_knows_better(here: Settings):
    records.save_forwarding(here, Forwarding((SERVICE,), frozenset({"10.70.0.11"})))

    async def story() -> list[str]:
        world = World(here)
        await world.forwarder.set_services([SERVICE])
        return world.backends()

    assert asyncio.run(story()) == ["10.70.0.11"]


def test_a_change_of_readiness_is_not_lost_when_loading_fails(
    here: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("localjuju.substrate.forwarder._AGAIN", 0.0)

    async def story() -> list[str]:
        world = World(here)
        await world.forwarder.set_services([SERVICE])
        world.ready[("shop", "web/1")] = True
        world.runner.failures = 2
        await world.forwarder.follow()
        return world.backends()

    assert asyncio.run(story()) == ["10.70.0.11"]


def test_equal_rules_are_loaded_once(here: Settings):
    async def story() -> int:
        world = World(here)
        for _ in range(3):
            await world.forwarder.set_services([SERVICE])
        return len(world.runner.rules)

    assert asyncio.run(story()) == 1


def test_names_of_a_service_reach_every_pods_hosts_file(here: Settings):
    async def story() -> None:
        await World(here).forwarder.set_services([SERVICE])

    asyncio.run(story())
    for pod in (_pod(0), _pod(1)):
        text = commands.hosts_file(here, pod.model, pod.unit).read_text()
        assert "10.70.0.200 web.shop.svc.cluster.local" in text


def test_a_service_without_address_has_no_name_yet(here: Settings):
    async def story() -> None:
        await World(here).forwarder.set_services([dataclasses.replace(SERVICE, address="")])

    asyncio.run(story())
    text = commands.hosts_file(here, "shop", "web/0").read_text()
    assert "web.shop.svc.cluster.local" not in text


def test_the_image_of_the_first_process_is_made_of_equal_bytes_each_time():
    assert pause_image.archive(b"program") == pause_image.archive(b"program")


def test_cgroups_are_found_in_every_hierarchy_deepest_first(tmp_path: Path):
    for folder in ("memory/mine/pod/one", "cpu/mine", "mine/pod", "memory/other"):
        (tmp_path / folder).mkdir(parents=True)
    found = remains.cgroup_folders(tmp_path, "/mine")
    assert [str(path.relative_to(tmp_path)) for path in found[:1]] == ["memory/mine/pod/one"]
    assert {str(path.relative_to(tmp_path)) for path in found} == {
        "memory/mine/pod/one", "memory/mine/pod", "memory/mine", "cpu/mine", "mine", "mine/pod",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (b"warning: x\nError: no such image\n", "no such image"),
        (b"Error: a failed\nError: b failed\n", "a failed; b failed"),
        (b"usage\nunknown option\n", "unknown option"),
        (b"", "exit status 3"),
    ],
)
def test_a_failed_program_is_told_by_its_errors(stderr: bytes, reason: str):
    assert Done(3, b"", stderr).reason == reason
