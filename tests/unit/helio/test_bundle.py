import pytest

from helio import bundle
from helio.host import HelioError

MANIFEST = """
release: "2026.2"
base: ubuntu@24.04
arch: amd64
channels: {juju: 3.6/stable}
versions: {juju-minimum: 3.6.24}
images: {db-image: mariadb, api-image: openstack}
applications:
  db: {charm: db-k8s, quorum: true}
  api: {charm: api-k8s, scale: 3, options: {debug: true}, trust: true}
"""
DB = {
    "name": "db-k8s",
    "resources": {"db-image": {"type": "oci-image"}},
    "provides": {"database": {"interface": "mysql_client"}},
}
API = {
    "name": "api-k8s",
    "resources": {"api-image": {"type": "oci-image"}, "list": {"type": "file"}},
    "requires": {
        "database": {"interface": "mysql_client"},
        "ingress": {"interface": "ingress", "optional": True},
    },
    "provides": {"identity": {"interface": "keystone", "optional": True}},
}
CHARMS = {"db-k8s": DB, "api-k8s": API}
REFERENCES = {"mariadb": "localhost:32000/helio/mariadb:1", "openstack": "localhost:32000/o:1"}
NOTHING = bundle.Wiring(choose={}, leave=())


@pytest.fixture
def manifest():
    return bundle.parse_manifest(MANIFEST)


def test_the_bundle_follows_from_manifest_and_metadata(manifest):
    assert bundle.generate(manifest, NOTHING, CHARMS, REFERENCES) == {
        "bundle": "kubernetes",
        "name": "openstack",
        "description": "OpenStack 2026.2",
        "default-base": "ubuntu@24.04",
        "applications": {
            "api": {
                "charm": "../dist/api-k8s_ubuntu-24.04-amd64.charm",
                "base": "ubuntu@24.04",
                "scale": 3,
                "resources": {"api-image": "localhost:32000/o:1"},
                "options": {"debug": True},
                "trust": True,
            },
            "db": {
                "charm": "../dist/db-k8s_ubuntu-24.04-amd64.charm",
                "base": "ubuntu@24.04",
                "scale": 1,
                "resources": {"db-image": "localhost:32000/helio/mariadb:1"},
            },
        },
        "relations": [["db:database", "api:database"]],
    }


def test_a_required_endpoint_without_a_provider_is_an_error():
    with pytest.raises(HelioError, match="nothing provides mysql_client, which api:database"):
        bundle.relations({"api": API}, NOTHING)


def test_two_providers_need_a_choice():
    charms = {"db": DB, "other": DB, "api": API}
    with pytest.raises(HelioError, match="db:database or other:database; choose one"):
        bundle.relations(charms, NOTHING)
    wiring = bundle.Wiring(choose={"api:database": "other:database"}, leave=())
    assert bundle.relations(charms, wiring) == [["other:database", "api:database"]]


def test_a_choice_that_provides_something_else_is_an_error():
    wiring = bundle.Wiring(choose={"api:database": "api:identity"}, leave=())
    with pytest.raises(HelioError, match="only db:database provides mysql_client"):
        bundle.relations({"db": DB, "api": API}, wiring)


def test_an_endpoint_that_is_left_alone_is_not_related():
    wiring = bundle.Wiring(choose={}, leave=("api:database",))
    assert bundle.relations({"db": DB, "api": API}, wiring) == []


def test_an_exception_for_an_unknown_endpoint_is_an_error():
    wiring = bundle.Wiring(choose={}, leave=("api:databse",))
    with pytest.raises(HelioError, match="api:databse, which no charm requires"):
        bundle.relations({"db": DB, "api": API}, wiring)


def test_an_application_is_not_related_to_itself():
    both = {**DB, "requires": {"upstream": {"interface": "mysql_client", "optional": True}}}
    assert bundle.relations({"db": both}, NOTHING) == []


def test_a_resource_that_the_manifest_does_not_name_is_an_error(manifest):
    charm = {"name": "x", "resources": {"x-image": {"type": "oci-image"}}}
    with pytest.raises(HelioError, match=r"resource x-image of charm x: .*no image"):
        bundle.image_resources(manifest, charm, REFERENCES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("release:", "relese:", "unknown key relese"),
        ("arch: amd64\n", "", "missing key arch"),
        ("quorum: true", "qourum: true", "application db: unknown key qourum"),
        ("db: {", "db: [", "cannot read manifest.yaml"),
    ],
)
def test_a_wrong_manifest_is_named(old, new, message):
    with pytest.raises(HelioError, match=message):
        bundle.parse_manifest(MANIFEST.replace(old, new))


def test_an_overlay_names_another_distribution(manifest):
    files = {"db-k8s": "/d/db.charm", "api-k8s": "/d/api.charm"}
    made = bundle.overlay(manifest, CHARMS, REFERENCES, files, "debian@12")
    assert made["applications"]["db"] == {
        "charm": "/d/db.charm",
        "base": "debian@12",
        "resources": {"db-image": "localhost:32000/helio/mariadb:1"},
    }


def test_an_overlay_changes_adds_and_removes():
    base = {
        "applications": {
            "a": {"charm": "./a", "options": {"x": 1, "y": 2}},
            "b": {"charm": "./b"},
        },
        "relations": [["a:q", "b:q"], ["a:r", "a:s"]],
    }
    overlay = {
        "default-base": "debian@12",
        "applications": {"a": {"scale": 3, "options": {"y": 5}}, "b": None, "c": {"charm": "./c"}},
        "relations": [["c:q", "a:q"]],
    }
    assert bundle.merge(base, overlay) == {
        "default-base": "debian@12",
        "applications": {
            "a": {"charm": "./a", "scale": 3, "options": {"x": 1, "y": 5}},
            "c": {"charm": "./c"},
        },
        "relations": [["a:r", "a:s"], ["c:q", "a:q"]],
    }
    assert base["applications"]["a"]["options"] == {"x": 1, "y": 2}
