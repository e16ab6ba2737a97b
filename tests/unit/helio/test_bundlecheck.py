"""Each rule with a bundle that breaks it and nothing else."""

import copy
import dataclasses

import pytest

from helio.bundlecheck import Known, check, check_overlay

DB = {
    "name": "db-k8s",
    "assumes": ["k8s-api", "juju >= 3.6"],
    "resources": {"db-image": {"type": "oci-image"}},
    "storage": {"data": {"type": "filesystem"}},
    "provides": {"database": {"interface": "mysql_client"}},
    "config": {"options": {"size": {"type": "int"}, "debug": {"type": "boolean"}}},
}
API = {
    "name": "api-k8s",
    "provides": {"web": {"interface": "http"}},
    "requires": {
        "database": {"interface": "mysql_client", "limit": 1},
        "backend": {"interface": "http"},
        "host": {"interface": "http", "scope": "container"},
    },
}
KNOWN = Known(
    charms={"db-k8s": DB, "api-k8s": API},
    images=frozenset({"localhost:32000/db:1"}),
    quorum=frozenset({"db"}),
    trusted=frozenset({"api"}),
    offers={"admin/machines.ovn": {"web": {"interface": "http"}}},
    spaces=frozenset({"alpha"}),
)
GOOD = {
    "bundle": "kubernetes",
    "default-base": "ubuntu@24.04",
    "applications": {
        "db": {
            "charm": "../dist/db-k8s_ubuntu-24.04-amd64.charm",
            "scale": 3,
            "resources": {"db-image": "localhost:32000/db:1"},
            "options": {"size": 5, "debug": True},
            "constraints": "mem=2G cpu-power=500",
            "storage": {"data": "fast,10G"},
        },
        "api": {"charm": "../dist/api-k8s_ubuntu-24.04-amd64.charm", "trust": True},
    },
    "relations": [["db:database", "api:database"]],
    "saas": {"ovn": {"url": "admin/machines.ovn"}},
}
MACHINES = {
    "default-base": "ubuntu@24.04",
    "machines": {"0": None, "1": None},
    "applications": {
        "api": {
            "charm": "../dist/api-k8s_ubuntu-24.04-amd64.charm",
            "trust": True,
            "num_units": 2,
            "to": ["0", "1"],
            "constraints": "cores=4",
            "bindings": {"": "alpha", "web": "alpha"},
        }
    },
}


def changed(bundle: dict, path: str, value: object) -> dict:
    """Return a copy with the value at a path of keys; ... removes the key."""
    copied = copy.deepcopy(bundle)
    *above, last = path.split("/")
    place = copied
    for key in above:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copied


def test_good_bundles_have_no_problems():
    assert check(GOOD, KNOWN) == []
    assert check(MACHINES, KNOWN) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        # 1: keys and types
        ("aplications", {}, "unknown key aplications"),
        ("applications/db/scales", 1, "application db: unknown key scales"),
        ("applications/db/scale", "3", "scale must be int, not str"),
        ("applications/db/scale", True, "scale must be int, not bool"),
        ("applications/db", None, "application db must have keys and values"),
        ("relations", [["db:database"]], "must be a pair"),
        # 2: names
        (
            "applications/db-2",
            {"charm": "./api-k8s_ubuntu-24.04-amd64.charm"},
            "application db-2:",
        ),
        # 3: charms
        ("applications/db/charm", "mysql-k8s", "is not a path"),
        ("applications/db/charm", "./db.charm", "is not named <charm>_<base>-<arch>.charm"),
        ("applications/db/charm", "./x_ubuntu-24.04-amd64.charm", "there is no charm x"),
        ("applications/db/base", "debian@12", "is not for base debian@12"),
        # 4: relations
        ("relations", [["db:database", "api:database"]] * 2, "is there twice"),
        ("relations", [["api:web", "api:backend"]], "cannot be related to itself"),
        ("relations", [["db:nothing", "api:database"]], "there is no endpoint db:nothing"),
        ("relations", [["ghost:database", "api:database"]], "no endpoint ghost:database"),
        ("relations", [["db:database", "api:web"]], "one end must provide"),
        ("relations", [["db:database", "api:backend"]], "mysql_client is not http"),
        ("relations", [["db:database", "api:host"]], "container scope needs a subordinate"),
        # 5: options
        ("applications/db/options/colour", "red", "its charm has no option colour"),
        ("applications/db/options/size", "5", "option size must be int"),
        ("applications/db/options/size", True, "option size must be int"),
        # 6: resources and storage
        ("applications/db/resources", {}, "resource db-image has no value"),
        ("applications/db/resources/other", "x", "its charm has no resource other"),
        ("applications/db/resources/db-image", "x:1", "x:1 is not an image of this release"),
        ("applications/db/storage", {"logs": "1G"}, "its charm has no storage logs"),
        ("applications/db/storage/data", "much!", "much! is not POOL,SIZE"),
        # 7: constraints
        ("applications/db/constraints", "cores=4", "constraint cores means nothing here"),
        ("applications/db/constraints", "mem=lots", "constraint mem=lots cannot be read"),
        # 8: units
        ("machines", {"0": {}}, "cannot have machines"),
        ("applications/db/num_units", 3, "scale and num_units mean the same"),
        ("applications/db/scale", 0, "needs at least one unit"),
        ("applications/db/scale", 2, "2 units have no majority"),
        ("applications/db/to", ["a=b", "c=d"], "one placement selector"),
        # 9: trust
        ("applications/db/trust", True, "application db must not have trust"),
        ("applications/api/trust", ..., "application api needs trust"),
        # 10: offers and remote applications
        ("applications/api/offers", {}, "offers is allowed in overlays only"),
        ("relations", [["ovn:ghost", "api:backend"]], "there is no endpoint ovn:ghost"),
        ("relations", [["ovn:web", "api:database"]], "http is not mysql_client"),
        ("saas/ovn/url", "admin/machines.none", "nothing offers admin/machines.none"),
        ("saas", {"db": {"url": "admin/machines.ovn"}}, "saas db has the name of an application"),
    ],
)
def test_each_rule_finds_its_bad_example(path, value, problem):
    found = check(changed(GOOD, path, value), KNOWN)
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("applications/api/to", ["0"], "machine 1 is not used"),
        ("applications/api/to", ["0", "7"], "there is no machine 7"),
        ("applications/api/num_units", 1, "2 places for 1 units"),
        ("applications/api/bindings", {"wbe": "alpha"}, "no endpoint or binding wbe"),
        ("applications/api/bindings", {"web": "beta"}, "there is no space beta"),
        ("applications/db", GOOD["applications"]["db"] | {"trust": False}, "assumes Kubernetes"),
    ],
)
def test_machine_bundles_have_rules_of_their_own(path, value, problem):
    found = check(changed(MACHINES, path, value), KNOWN)
    assert any(problem in text for text in found), found


def test_a_limit_counts_all_relations_of_an_endpoint():
    two = changed(GOOD, "applications/db2", GOOD["applications"]["db"])
    two["relations"] = [["db:database", "api:database"], ["db2:database", "api:database"]]
    assert any("more than its limit 1" in text for text in check(two, KNOWN))


def test_a_bundle_with_overlays_laid_over_may_have_offers():
    with_offers = changed(GOOD, "applications/api/offers", {"web": {"endpoints": ["web"]}})
    assert check(with_offers, KNOWN, merged=True) == []


@pytest.mark.parametrize(
    ("offer", "problem"),
    [
        ({"endpoints": ["wbe"]}, "offer web: api provides no wbe"),
        ({"endpoints": ["database"]}, "offer web: api provides no database"),
        ({"endpoints": []}, "offer web: api offers no endpoint"),
    ],
)
def test_an_offer_names_what_the_charm_provides(offer, problem):
    wrong = changed(GOOD, "applications/api/offers", {"web": offer})
    assert problem in check(wrong, KNOWN, merged=True)


def test_a_relation_to_a_remote_application_is_held_against_its_offer():
    related = changed(GOOD, "relations", [["ovn:web", "api:backend"]])
    assert check(related, KNOWN) == []


def test_an_overlay_may_remove_and_offer_but_not_misspell():
    overlay = {"applications": {"db": None, "api": {"offers": {}, "scael": 1}}}
    assert check_overlay(overlay, KNOWN) == ["application api: unknown key scael"]


def test_a_charm_that_needs_a_newer_juju_is_named():
    old = dataclasses.replace(KNOWN, juju="3.5.9")
    assert check(GOOD, old) == ["application db: db-k8s assumes juju >= 3.6, not 3.5.9"]
