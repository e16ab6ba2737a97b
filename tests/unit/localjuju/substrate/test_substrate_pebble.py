"""The client of Pebble's API and the watches, against a fake that answers like Pebble."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from localjuju.settings import Settings
from localjuju.substrate import names
from localjuju.substrate.pebble import Connection, PebbleError, Watch
from localjuju.substrate.protocol import PodEvent
from localjuju.substrate.watching import UnitWatch


class Fake(Protocol):
    """What the fixture `pebble` gives."""

    path: Path
    answers: dict[str, tuple[int, Any]]
    asked: list[str]
    chunked: bool

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def notify(self, *notices: dict[str, Any]) -> None: ...


MakeNotice = Callable[[str], dict[str, Any]]


class Heard:
    """Everything that a watch told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.ready = False

    async def silence(self, seconds: float) -> None:
        self.told.append(("silence",)) if ("silence",) not in self.told else None

    async def until(self, *expected: Any) -> None:
        """Wait until something was told."""
        end = time.monotonic() + 5
        while expected not in self.told:
            assert time.monotonic() < end, f"{expected} is not in {self.told}"
            await asyncio.sleep(0.01)

    def watch(self, path: Path, after: str = "") -> Watch:
        return Watch(
            path,
            after,
            on_boot=lambda boot_id: self.told.append(("boot", boot_id)),
            on_gone=lambda: self.told.append(("gone",)),
            on_notices=lambda notices: self.told.extend(
                ("notice", notice.id, dict(notice.data)) for notice in notices
            ),
            on_health=lambda healthy: self.told.append(("health", healthy)),
            on_silence=self.silence,
            is_ready=lambda: self.ready,
        )


def _watching(
    pebble: Fake, story: Callable[[Heard], Awaitable[None]], after: str = ""
) -> list[tuple[Any, ...]]:
    """Run a story while a watch runs; return what the watch told."""

    async def run() -> list[tuple[Any, ...]]:
        heard = Heard()
        task = asyncio.create_task(heard.watch(pebble.path, after).run())
        try:
            await story(heard)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return heard.told

    return asyncio.run(run())


@pytest.mark.parametrize("chunked", [True, False])
def test_answers_are_read_in_both_forms_on_one_connection(pebble: Fake, chunked: bool):
    pebble.chunked = chunked

    async def ask() -> list[tuple[int, Any]]:
        connection = await Connection.open(pebble.path)
        try:
            return [await connection.get(path) for path in ("/v1/system-info", "/v1/none")]
        finally:
            connection.close()

    info, missing = asyncio.run(ask())
    assert info == (200, {"boot-id": "boot-1", "version": "v1"})
    assert missing == (404, {"message": "not found"})


def test_a_missing_socket_is_a_pebble_that_does_not_answer(tmp_path: Path):
    with pytest.raises(PebbleError, match=r"cannot connect to .*none\.sock"):
        asyncio.run(Connection.open(tmp_path / "none.sock"))


def test_the_present_state_is_told_first(pebble: Fake):
    async def story(heard: Heard) -> None:
        await heard.until("health", True)

    assert _watching(pebble, story)[0] == ("boot", "boot-1")


def test_a_pebble_that_ends_and_comes_back_is_told_with_its_new_boot_id(pebble: Fake):
    async def story(heard: Heard) -> None:
        await heard.until("boot", "boot-1")
        pebble.stop()
        await heard.until("gone")
        pebble.answers["/v1/system-info"] = (200, {"boot-id": "boot-2"})
        pebble.start()
        await heard.until("boot", "boot-2")

    _watching(pebble, story)


def test_a_pebble_that_is_not_there_yet_is_waited_for_and_never_gone(pebble: Fake):
    pebble.stop()

    async def story(heard: Heard) -> None:
        await heard.until("silence")
        pebble.start()
        await heard.until("boot", "boot-1")

    assert ("gone",) not in _watching(pebble, story)


def test_notices_come_in_order_and_each_once(pebble: Fake, custom_notice: MakeNotice):
    async def story(heard: Heard) -> None:
        pebble.notify(custom_notice("1"), custom_notice("2"))
        await heard.until("notice", "2", {"n": "2"})
        pebble.notify(custom_notice("3"))
        await heard.until("notice", "3", {"n": "3"})

    told = [item[1] for item in _watching(pebble, story) if item[0] == "notice"]
    assert told == ["1", "2", "3"]
    asked = [target for target in pebble.asked if target.startswith("/v1/notices")]
    assert "after=2026-01-01T00%3A00%3A03Z" in asked[-1]


def test_notices_are_asked_for_from_the_last_delivered_one_on(pebble: Fake):
    async def story(heard: Heard) -> None:
        await heard.until("health", True)
        while not [target for target in pebble.asked if target.startswith("/v1/notices")]:
            await asyncio.sleep(0.01)

    _watching(pebble, story, after="2026-05-05T00:00:00Z")
    (asked,) = [target for target in pebble.asked if target.startswith("/v1/notices")]
    assert "after=2026-05-05T00%3A00%3A00Z" in asked
    assert "types=custom%2Cchange-update" in asked


def _change(notice: dict[str, Any], kind: str, change: str) -> dict[str, Any]:
    data = {"kind": kind, "check-name": "online"}
    return {**notice, "type": "change-update", "key": change, "last-data": data}


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        ("perform-check", "Error", True),
        ("perform-check", "Doing", False),
        ("recover-check", "Done", True),
        ("recover-check", "Error", False),
        ("replan", "Done", False),
    ],
)
def test_only_ends_of_checks_are_told_of_all_changes(
    pebble: Fake, custom_notice: MakeNotice, kind: str, status: str, told: bool
):
    pebble.answers["/v1/changes/7"] = (200, {"id": "7", "kind": kind, "status": status})

    async def story(heard: Heard) -> None:
        pebble.notify(_change(custom_notice("1"), kind, "7"), custom_notice("2"))
        await heard.until("notice", "2", {"n": "2"})

    data = {"kind": kind, "check-name": "online", "status": status}
    assert (("notice", "1", data) in _watching(pebble, story)) == told


def test_the_end_of_a_check_is_told_once_however_often_it_is_noticed(
    pebble: Fake, custom_notice: MakeNotice
):
    pebble.answers["/v1/changes/7"] = (200, {"id": "7", "status": "Error"})

    async def story(heard: Heard) -> None:
        change = _change(custom_notice("1"), "perform-check", "7")
        pebble.notify(change, change, custom_notice("2"))
        await heard.until("notice", "2", {"n": "2"})

    told = [item[1] for item in _watching(pebble, story) if item[0] == "notice"]
    assert told == ["1", "2"]


def test_a_container_whose_checks_did_not_run_yet_is_not_healthy(pebble: Fake):
    check = {"name": "online", "level": "ready", "status": "up", "successes": 0}
    pebble.answers["/v1/checks"] = (200, [check])

    async def story(heard: Heard) -> None:
        await heard.until("health", False)
        check["successes"] = 1
        await heard.until("health", True)

    _watching(pebble, story)


def test_a_container_that_has_traffic_keeps_it_while_a_new_check_did_not_run_yet(pebble: Fake):
    check = {"name": "new", "level": "ready", "status": "up", "successes": 0}
    pebble.answers["/v1/checks"] = (200, [check])

    async def story(heard: Heard) -> None:
        heard.ready = True
        await heard.until("health", True)

    assert ("health", False) not in _watching(pebble, story)


def test_a_failed_check_is_told_at_once(pebble: Fake):
    async def story(heard: Heard) -> None:
        await heard.until("health", True)
        pebble.answers["/v1/health"] = (502, {"healthy": False})
        await heard.until("health", False)

    _watching(pebble, story)


# A unit as a whole


class Unit:
    """A watched unit; its agent never answers, its Pebble is a fake."""

    def __init__(self) -> None:
        self.events: list[PodEvent] = []
        self.ready: list[bool] = []

    async def silence(self, seconds: float) -> None:
        return

    async def until(self, *ready: bool) -> None:
        end = time.monotonic() + 8
        while self.ready != list(ready):
            assert time.monotonic() < end, f"{self.ready} is not {ready}"
            await asyncio.sleep(0.02)

    def watch(
        self, settings: Settings, containers: tuple[str, ...], *, was_ready: bool = False
    ) -> UnitWatch:
        after: Mapping[str, str] = {}
        return UnitWatch(
            settings,
            "shop",
            "web/0",
            containers,
            after,
            was_ready=was_ready,
            emit=self.events.append,
            on_ready=self.ready.append,
            on_silence=self.silence,
        )


@pytest.fixture
def at_sockets(monkeypatch: pytest.MonkeyPatch, pebble: Fake) -> None:
    """Let the one container's socket be the fake's."""
    monkeypatch.setattr(names, "pebble_socket", lambda *_: pebble.path)


@pytest.mark.usefixtures("at_sockets")
def test_a_unit_becomes_ready_after_two_looks_and_is_not_ready_once_its_pebble_ends(
    settings: Settings, pebble: Fake
):
    async def story() -> Unit:
        unit = Unit()
        watch = unit.watch(settings, ("web",))
        try:
            await unit.until(True)
            pebble.stop()
            await unit.until(True, False)
        finally:
            await watch.stop()
        return unit

    unit = asyncio.run(story())
    kinds = [event.kind for event in unit.events]
    assert kinds == ["pebble", "health", "pebble-gone", "health"]
    assert [event.healthy for event in unit.events if event.kind == "health"] == [True, False]


@pytest.mark.usefixtures("at_sockets")
def test_a_unit_that_had_traffic_loses_it_only_by_a_bad_look(settings: Settings, pebble: Fake):
    async def story() -> list[bool]:
        unit = Unit()
        watch = unit.watch(settings, ("web",), was_ready=True)
        try:
            while "/v1/health?level=ready" not in pebble.asked:
                await asyncio.sleep(0.01)
            assert watch.ready
            pebble.answers["/v1/health"] = (502, {})
            await unit.until(False)
        finally:
            await watch.stop()
        return unit.ready

    assert asyncio.run(story()) == [False]
