"""Juju-shaped status and views of a model, and the tables made of them."""

from __future__ import annotations

import json

import jubilant
import pytest

from localjuju import changes, status, views
from localjuju.cli import tables
from localjuju.model import Charm, Life, Model, Resource, SecretRevision, Status

NOW = 1_800_000_000.0
IMAGE = {"paint-image": Resource("paint-image", "oci-image", "x/paint:1")}


@pytest.fixture
def deployed(model: Model, paint_charm: Charm, wall_charm: Charm) -> Model:
    changes.deploy(model, paint_charm, "paint", units=2, resources=IMAGE, now=NOW)
    changes.deploy(model, wall_charm, "wall", now=NOW)
    changes.add_relation(model, "paint:colour", "wall:colour")
    for unit in model.units.values():
        unit.address = f"10.0.0.{unit.ordinal + 1}"
        unit.workload_status = Status("active", "", NOW)
        unit.agent_status = Status("idle", since=NOW)
    model.applications["paint"].service_address = "10.0.9.9"
    model.applications["paint"].leader = "paint/1"
    model.units["paint/1"].opened_ports = {"": ["443/tcp", "80/tcp"], "colour": ["80/tcp"]}
    return model


def parsed(model: Model, *selectors: str) -> jubilant.Status:
    data = json.loads(json.dumps(status.status(model, NOW, selectors=selectors)))
    return jubilant.Status._from_dict(data)


def test_an_empty_model_has_a_status(model: Model) -> None:
    found = parsed(model)
    assert (found.model.name, found.apps, found.machines) == ("m", {}, {})
    assert found.model.model_status.current == "available"


def test_units_show_leader_ports_and_address(deployed: Model) -> None:
    units = parsed(deployed).apps["paint"].units
    assert [unit.leader for unit in units.values()] == [False, True]
    assert units["paint/1"].open_ports == ["80/tcp", "443/tcp"]
    assert units["paint/0"].address == "10.0.0.1"
    assert units["paint/0"].provider_id == "paint-0"


def test_a_failed_hook_is_the_error_of_the_workload(deployed: Model) -> None:
    unit = deployed.units["paint/0"]
    unit.agent_status = Status("error", 'hook failed: "start"', NOW)
    found = parsed(deployed).apps["paint"]
    assert found.units["paint/0"].is_error
    assert found.units["paint/0"].workload_status.message == 'hook failed: "start"'
    assert found.units["paint/0"].juju_status.current == "idle"
    assert found.is_error


@pytest.mark.parametrize(
    ("words", "worst"),
    [
        (("active", "waiting"), "waiting"),
        (("waiting", "maintenance"), "maintenance"),
        (("maintenance", "blocked"), "blocked"),
        (("unknown", "terminated"), "terminated"),
        (("unknown", "active"), "active"),
    ],
)
def test_an_application_without_a_status_shows_the_worst_of_its_units(
    deployed: Model, words: tuple[str, str], worst: str
) -> None:
    for unit, word in zip(deployed.units_of("paint"), words, strict=True):
        unit.workload_status = Status(word, word, NOW)
    assert parsed(deployed).apps["paint"].app_status.current == worst
    deployed.applications["paint"].status = Status("active", "as the leader says", NOW)
    assert parsed(deployed).apps["paint"].app_status.message == "as the leader says"


def test_dying_things_say_so(deployed: Model) -> None:
    changes.remove_application(deployed, "paint")
    found = parsed(deployed).apps["paint"]
    assert (found.life, found.units["paint/0"].juju_status.life) == ("dying", "dying")
    deployed.life = Life.DYING
    assert parsed(deployed).model.model_status.current == "destroying"


@pytest.mark.parametrize(
    ("selectors", "apps", "units"),
    [
        (("paint",), {"paint"}, {"paint/0", "paint/1"}),
        (("paint/1",), {"paint"}, {"paint/1"}),
        (("paint/leader",), {"paint"}, {"paint/1"}),
        (("w*",), {"wall"}, {"wall/0"}),
        (("blocked",), {"wall"}, {"wall/0"}),
        (("nope",), set(), set()),
    ],
)
def test_selectors_show_only_what_they_mean(
    deployed: Model, selectors: tuple[str, ...], apps: set[str], units: set[str]
) -> None:
    deployed.units["wall/0"].workload_status = Status("blocked", "", NOW)
    found = parsed(deployed, *selectors)
    assert set(found.apps) == apps
    assert {unit for app in found.apps.values() for unit in app.units} == units


def test_the_table_looks_like_jujus(deployed: Model) -> None:
    deployed.units["paint/0"].agent_status = Status(
        "executing", "running colour-relation-changed hook for wall/0", NOW
    )
    deployed.applications["paint"].version = "1.5\nmore"
    data = {
        "status": status.status(deployed, NOW),
        "relations": status.relations(deployed),
    }
    text = tables.status(data, with_relations=True, with_storage=True)
    stamp = status.format_clock(NOW)
    assert text.splitlines() == [
        "Model  Controller  Cloud/Region      Version  SLA          Timestamp",
        f"m      localjuju   podman/localhost  3.6.9    unsupported  {stamp}",
        "",
        "App    Version  Status  Scale  Charm      Channel  Rev  Address   Exposed  Message",
        "paint  1.5      active      2  paint-k8s             0  10.0.9.9  no",
        "wall            active      1  wall-k8s              0            no",
        "",
        "Unit      Workload  Agent      Address   Ports           Message",
        "paint/0   active    executing  10.0.0.1                  (colour-relation-changed)",
        "paint/1*  active    idle       10.0.0.2  80/tcp,443/tcp",
        "wall/0    active    idle       10.0.0.1",
        "",
        "Integration provider  Requirer        Interface  Type     Message",
        "paint:colour          wall:colour     colour     regular",
        "paint:painters        paint:painters  painters   peer",
        "",
        "Storage Unit  Storage ID  Type        Mountpoint                    Size"
        "  Status   Message",
        "paint/0       cans/0      filesystem  /var/lib/juju/storage/cans/0        pending",
        "paint/1       cans/1      filesystem  /var/lib/juju/storage/cans/1        pending",
    ]


def test_times_are_juju_like() -> None:
    assert status.format_time(NOW, utc=True) == "2027-01-15 08:00:00Z"
    assert views.task_time(NOW) == "2027-01-15 08:00:00 +0000 UTC"
    assert views.iso_time(NOW) == "2027-01-15T08:00:00Z"


def test_a_charm_owned_secret_shows_who_may_read_it_and_no_content(deployed: Model) -> None:
    changes.add_secret(deployed, "s", {"key": "dg=="}, secret_id="0" * 20, now=NOW)
    secret = deployed.secrets["0" * 20]
    secret.owner_kind, secret.owner, secret.label = "application", "paint", "db"
    secret.rotate, secret.next_rotate = "daily", NOW + 1
    secret.revisions[1].expires = NOW + 2
    found = views.secret(deployed, secret)
    assert "content" not in found
    assert "checksum" not in found, "a digest of a short secret gives it away"
    assert (found["owner"], found["label"], found["rotation"]) == ("paint", "db", "daily")
    assert found["expires"] == "2027-01-15T08:00:02Z"


def test_a_secret_that_is_no_text_stays_base64(deployed: Model) -> None:
    changes.add_secret(deployed, "s", {"key": "dg=="}, secret_id="0" * 20, now=NOW)
    revision = SecretRevision(1, {"text": "aGk=", "raw": "/w=="}, NOW)
    found = views.secret(deployed, deployed.secrets["0" * 20], revision=revision)
    assert found["content"] == {"Data": {"text": "hi", "raw": "/w=="}}
