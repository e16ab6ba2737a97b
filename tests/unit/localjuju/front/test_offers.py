"""The commands about offers, with a real engine behind them; jubilant reads what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jubilant
import pytest

IMAGE = "paint-image=localhost:32000/x/paint:1"


@pytest.fixture
def offered(painted: Any, wall_file: str) -> Any:
    """The model `m` offers `paint`; the model `n`, now current, has `wall`."""
    painted.ok("offer", "paint:colour,shade")
    painted.ok("add-model", "n")
    painted.ok("deploy", wall_file, "wall")
    return painted


def wait_for_relation(juju: Any) -> None:
    query = 'workload-status=="active" && agent-status=="idle"'
    for unit, model in (("wall/0", "n"), ("paint/0", "m")):
        juju.ok("wait-for", "unit", unit, "-m", model, "--timeout", "20s", "--query", query)


def test_an_offer_is_made_found_shown_and_taken_back(painted: Any) -> None:
    told = painted("offer", "paint:colour,shade", "hues")
    assert told.stderr == (
        'Application "paint" endpoints [colour, shade] available at "admin/m.hues"\n'
    )
    found = json.loads(painted.ok("find-offers", "m", "--format", "json"))
    assert list(found) == ["localjuju:admin/m.hues"]
    shown = json.loads(painted.ok("show-offer", "m.hues", "--format", "json"))
    assert shown["localjuju:admin/m.hues"]["endpoints"]["colour"] == {
        "interface": "colour",
        "role": "provider",
    }
    assert json.loads(painted.ok("show-offer", "hues", "--format", "json")) == shown
    listed = json.loads(painted.ok("offers", "--format", "json"))["hues"]
    assert (listed["application"], listed["offer-url"]) == ("paint", "admin/m.hues")
    assert listed["connections"] == []
    painted.ok("remove-offer", "admin/m.hues")
    assert "not found" in painted.refused("show-offer", "hues")
    assert "no matching" in painted.refused("find-offers")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("offer", "paint"), "endpoints must conform to format"),
        (("offer", "paint:none"), 'application "paint" has no "none" relation'),
        (("offer", "paint:painters"), 'has no "painters" relation'),
        (("offer", "none:x"), 'application "none" not found'),
        (("offer", "paint:colour", "-c", "other"), "controller other not found"),
        (("consume", "admin/m.none"), 'application offer "admin/m.none" not found'),
        (("consume", "none"), "not valid"),
        (("consume", "other:admin/m.x"), "controller other not found"),
        (("consume", "somebody/m.x"), "not found"),
        (("remove-saas", "none"), 'saas application "none" not found'),
        (("remove-offer", "none"), 'application offer "admin/m.none" not found'),
        (("suspend-relation", "x"), 'relation ID "x" not valid'),
        (("suspend-relation", "77"), 'relation "77" not found'),
        (("suspend-relation", "0"), "which is not associated with an offer"),
        (("grant", "bob", "read", "m"), "is no URL of an offer"),
    ],
)
def test_what_cannot_be_is_refused(painted: Any, words: tuple[str, ...], text: str) -> None:
    assert text in painted.refused(*words)


def test_a_name_stands_for_one_thing(offered: Any) -> None:
    offered.ok("consume", "m.paint", "hue")
    offered.ok("consume", "m.paint", "hue")  # the same again
    assert "local application with same name" in offered.refused("consume", "m.paint", "wall")
    offered.ok("offer", "m.paint:colour", "second")
    assert "already exists" in offered.refused("consume", "m.second", "hue")
    assert "offer of the same model" in offered.refused("consume", "m.paint", "-m", "m")


def test_an_application_is_not_deployed_over_a_name_of_an_offer(
    offered: Any, wall_file: str
) -> None:
    offered.ok("consume", "m.paint", "hue")
    assert "saas application with same name" in offered.refused("deploy", wall_file, "hue")


def test_an_offer_can_be_integrated_by_its_url(offered: Any) -> None:
    offered.ok("integrate", "wall:colour", "localjuju:admin/m.paint:colour")
    wait_for_relation(offered)
    unit = json.loads(offered.ok("show-unit", "wall/0", "--format", "json"))["wall/0"]
    (relation,) = [r for r in unit["relation-info"] if r["endpoint"] == "colour"]
    assert relation["cross-model"] is True
    assert relation["related-units"]["paint/0"]["data"]["tone"] == "red"
    offered.ok("integrate", "wall:shade", "m.paint")  # the name is there already
    assert list(json.loads(offered.ok("status", "--format", "json"))["application-endpoints"]) == [
        "paint"
    ]


def test_the_tables_show_both_sides(offered: Any) -> None:
    offered.ok("consume", "admin/m.paint", "hue")
    offered.ok("integrate", "wall:colour", "hue")
    wait_for_relation(offered)
    consuming = offered.ok("status", "--relations")
    assert "SAAS  Status  Store      URL\nhue   active  localjuju  admin/m.paint\n" in consuming
    assert "hue:colour" in consuming
    offering = offered.ok("status", "-m", "m").splitlines()
    header = next(n for n, line in enumerate(offering) if line.startswith("Offer"))
    assert offering[header].split() == [
        *["Offer", "Application", "Charm", "Rev", "Connected"],
        *["Endpoint", "Interface", "Role"],
    ]
    assert offering[header + 1].split() == [
        *["paint", "paint", "paint-k8s", "0", "1/1", "colour", "colour", "provider"]
    ]
    listed = offered.ok("offers", "-m", "m").splitlines()
    name, user, number, state, *rest = listed[1].split()
    assert (name, user, state) == ("paint", "admin", "joined")
    assert rest[:3] == ["colour", "colour", "provider"]
    offered.ok("suspend-relation", number, "-m", "m", "--message", "audit")
    assert "suspended" in offered.ok("offers", "-m", "m")
    offered.ok("resume-relation", number, "-m", "m")
    assert "joined" in offered.ok("offers", "-m", "m")
    assert "paint-k8s-0" in offered.ok("offers", "-m", "m", "--format", "summary")


def test_models_and_applications_with_offers_in_use_stay(offered: Any) -> None:
    offered.ok("integrate", "wall:colour", "m.paint")
    wait_for_relation(offered)
    in_use = "is used by 1 consumer"
    assert in_use in offered.refused("destroy-model", "m", "--no-prompt", "--destroy-storage")
    assert in_use in offered.refused("remove-application", "paint", "-m", "m", "--no-prompt")
    assert "offer has 1 relation" in offered.refused("remove-offer", "m.paint")
    offered.ok("destroy-model", "m", "--no-prompt", "--force", "--destroy-storage")
    shown = json.loads(offered.ok("status", "--format", "json"))["application-endpoints"]
    assert shown["paint"]["application-status"]["current"] == "terminated"
    offered.ok("remove-saas", "paint")
    assert "application-endpoints" not in json.loads(offered.ok("status", "--format", "json"))


def test_users_of_an_offer_are_granted_and_revoked(offered: Any) -> None:
    def users() -> dict[str, str]:
        shown = json.loads(offered.ok("show-offer", "m.paint", "--format", "json"))
        (offer,) = shown.values()
        return {user: found["access"] for user, found in offer["users"].items()}

    offered.ok("grant", "bob", "consume", "m.paint")
    assert users() == {"admin": "admin", "bob": "consume"}
    assert "already has" in offered.refused("grant", "bob", "read", "m.paint")
    offered.ok("revoke", "bob", "consume", "m.paint")
    assert users()["bob"] == "read"
    offered.ok("revoke", "bob", "read", "m.paint")
    assert "bob" not in users()
    assert "owner" in offered.refused("revoke", "admin", "read", "m.paint")


OFFERS = """
applications:
  paint:
    charm: {charm}
    resources: {{paint-image: "x/paint:1"}}
---
applications:
  paint:
    offers:
      hues:
        endpoints: [colour, shade]
        acl: {{bob: consume}}
"""
SAAS = """
saas:
  paint: {{url: "localjuju:admin/m.hues"}}
applications:
  wall: {{charm: {charm}}}
relations:
- [wall:colour, paint:colour]
"""


def test_bundles_make_offers_and_use_them(
    juju: Any, tmp_path: Path, paint_file: str, wall_file: str
) -> None:
    (tmp_path / "m.yaml").write_text(OFFERS.format(charm=paint_file))
    (tmp_path / "n.yaml").write_text(SAAS.format(charm=wall_file))
    juju.ok("add-model", "n")
    missing = juju.refused("deploy", str(tmp_path / "n.yaml"))
    assert 'saas paint: application offer "admin/m.hues" not found' in missing
    juju.ok("add-model", "m")
    told = juju("deploy", str(tmp_path / "m.yaml")).stderr
    assert "- create offer hues using paint:colour,shade" in told
    told = juju("deploy", str(tmp_path / "n.yaml"), "-m", "n").stderr
    assert "- consume offer paint at admin/m.hues" in told
    wait_for_relation(juju)
    for name in ("m", "n"):
        again = juju("deploy", str(tmp_path / f"{name}.yaml"), "-m", name)
        assert "No changes to apply." in again.stderr
    shown = json.loads(juju.ok("show-offer", "m.hues", "--format", "json"))
    assert shown["localjuju:admin/m.hues"]["users"]["bob"] == {"access": "consume"}


def test_an_overlay_takes_a_foreign_application_away_with_its_relations(
    offered: Any, tmp_path: Path, wall_file: str
) -> None:
    text = SAAS.replace("m.hues", "m.paint").format(charm=wall_file)
    (tmp_path / "n.yaml").write_text(text)
    (tmp_path / "o.yaml").write_text("saas: {paint: null}\n")
    told = offered("deploy", str(tmp_path / "n.yaml"), "--overlay", str(tmp_path / "o.yaml"))
    assert "No changes to apply." in told.stderr


def test_jubilant_offers_consumes_and_reads_the_status(offered: Any) -> None:
    program = Path(sys.executable).parent / "juju"
    give = jubilant.Juju(model="m", cli_binary=program, wait_timeout=20)
    take = jubilant.Juju(model="n", cli_binary=program, wait_timeout=20)
    give.offer("paint", endpoint=["colour"], name="hues")
    take.consume("m.hues", "hue", owner="admin", controller="localjuju")
    take.integrate("wall:colour", "hue:colour")
    status = take.wait(lambda s: s.app_endpoints["hue"].relations == {"colour": ["wall"]})
    hue = status.app_endpoints["hue"]
    assert (hue.url, hue.app_status.current) == ("localjuju:admin/m.hues", "active")
    assert hue.endpoints["colour"] == jubilant.statustypes.RemoteEndpoint("colour", "provider")
    offer = give.wait(lambda s: s.offers["hues"].total_connected_count == 1).offers["hues"]
    assert (offer.app, offer.active_connected_count) == ("paint", 1)
    assert offer.charm.startswith("local:paint-k8s-")
    relation = take.show_unit("wall/0").relation_info
    assert relation
