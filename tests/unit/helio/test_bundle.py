import dataclasses

import pytest
import yaml

from helio import bundle
from helio.bundle import Release
from helio.host import HelioError
from helio.manifest import Wiring, parse_manifest, parse_wiring

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
    "resources": {"api-image": {"type": "oci-image"}},
    "requires": {
        "database": {"interface": "mysql_client"},
        "ingress": {"interface": "ingress", "optional": True},
    },
    "provides": {"identity": {"interface": "keystone", "optional": True}},
}
CHARMS = {"db-k8s": DB, "api-k8s": API}
REFERENCES = {
    "mariadb": "localhost:32000/helio/mariadb:1",
    "openstack": "localhost:32000/o:1",
    "agents": "../dist/agents-1.tar.zst",
}
NOTHING = Wiring(choose={}, leave=())

HOST = {
    "name": "host",
    "resources": {"runtime": {"type": "file"}},
    "requires": {"database": {"interface": "mysql_client"}, "tunnel": {"interface": "tunnel"}},
    "provides": {"disks": {"interface": "disks"}, "tunnel-end": {"interface": "tunnel"}},
    "extra-bindings": {"provider": None},
}
STORE = {
    "name": "store-k8s",
    "requires": {
        "disks": {"interface": "disks"},
        "backup": {"interface": "mysql_client", "optional": True},
    },
}
TWO_MODELS = """
release: "2026.2"
base: ubuntu@24.04
arch: amd64
channels: {juju: 3.6/stable}
versions: {juju-minimum: 3.6.24}
models: {pods: openstack, machines: metal}
spaces: [alpha, tunnel, provider]
images: {db-image: mariadb}
files: {runtime: agents}
applications:
  db: {charm: db-k8s}
  store: {charm: store-k8s}
  host: {charm: host, to: ["0", "1"]}
  far: {charm: host, to: ["1"]}
"""


@pytest.fixture
def manifest():
    return parse_manifest(MANIFEST)


@pytest.fixture
def two():
    """A release whose applications stand in two models."""
    wiring = Wiring(
        choose={
            "host:tunnel": "far:tunnel-end",
            "far:tunnel": "host:tunnel-end",
            "store:disks": "host:disks",
        },
        leave=(),
    )
    charms = {"db-k8s": DB, "host": HOST, "store-k8s": STORE}
    return Release(parse_manifest(TWO_MODELS), wiring, charms)


def test_the_bundle_follows_from_manifest_and_metadata(manifest):
    made = bundle.generate(Release(manifest, NOTHING, CHARMS), REFERENCES)
    assert list(made) == ["openstack.yaml"]
    assert made["openstack.yaml"][0] == {
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
    assert len(made["openstack.yaml"]) == 1, "nothing is offered where there is one model"


def test_what_stands_on_machines_has_a_bundle_of_its_own(two):
    machines, _ = bundle.generate(two, REFERENCES)["machines.yaml"]
    assert machines == {
        "name": "metal",
        "description": "OpenStack 2026.2",
        "default-base": "ubuntu@24.04",
        "machines": {"0": {}, "1": {}},
        "saas": {"db": {"url": "admin/openstack.db"}},
        "applications": {
            "far": {
                "charm": "../dist/host_ubuntu-24.04-amd64.charm",
                "base": "ubuntu@24.04",
                "num_units": 1,
                "to": ["1"],
                "bindings": {"tunnel": "tunnel", "provider": "provider"},
                "resources": {"runtime": "../dist/agents-1.tar.zst"},
            },
            "host": {
                "charm": "../dist/host_ubuntu-24.04-amd64.charm",
                "base": "ubuntu@24.04",
                "num_units": 2,
                "to": ["0", "1"],
                "bindings": {"tunnel": "tunnel", "provider": "provider"},
                "resources": {"runtime": "../dist/agents-1.tar.zst"},
            },
        },
        "relations": [
            ["db:database", "far:database"],
            ["db:database", "host:database"],
            ["far:tunnel-end", "host:tunnel"],
            ["host:tunnel-end", "far:tunnel"],
        ],
    }


def test_a_relation_between_the_models_becomes_an_offer(two):
    made = bundle.generate(two, REFERENCES)
    assert made["openstack.yaml"][1] == {
        "applications": {"db": {"offers": {"db": {"endpoints": ["database"]}}}}
    }
    assert made["machines.yaml"][1] == {
        "applications": {"host": {"offers": {"host": {"endpoints": ["disks"]}}}}
    }


def test_what_pods_need_of_machines_comes_in_an_overlay(two):
    made = bundle.generate(two, REFERENCES)
    assert made["openstack.yaml"][0]["relations"] == [["db:database", "store:backup"]]
    assert "saas" not in made["openstack.yaml"][0]
    assert made["overlays/from-machines.yaml"] == [
        {
            "saas": {"host": {"url": "admin/metal.host"}},
            "relations": [["host:disks", "store:disks"]],
        }
    ]


def test_what_is_optional_comes_in_an_overlay_of_its_own(two):
    store = dataclasses.replace(two.manifest.applications["store"], feature="optional")
    applications = {**two.manifest.applications, "store": store}
    release = dataclasses.replace(
        two, manifest=dataclasses.replace(two.manifest, applications=applications)
    )
    made = bundle.generate(release, REFERENCES)
    assert list(made["openstack.yaml"][0]["applications"]) == ["db"]
    assert "overlays/from-machines.yaml" not in made, "nobody needs it"
    assert len(made["machines.yaml"]) == 1, "nothing is offered to what is not there"
    assert bundle.feature_overlays(release, REFERENCES) == {
        "overlays/store.yaml": [
            {
                "applications": {
                    "store": {
                        "charm": "../../dist/store-k8s_ubuntu-24.04-amd64.charm",
                        "base": "ubuntu@24.04",
                        "scale": 1,
                    }
                },
                "relations": [["db:database", "store:backup"]],
            }
        ]
    }


def test_remote_applications_follow_the_names_of_a_clouds_models(two):
    names = {"pods": "one", "machines": "two"}
    assert bundle.remote(two, "machines", names) == {"saas": {"db": {"url": "admin/one.db"}}}
    assert bundle.remote(two, "pods", names) == {"saas": {"host": {"url": "admin/two.host"}}}


def test_without_spaces_nothing_is_bound(two):
    plain = dataclasses.replace(two, manifest=dataclasses.replace(two.manifest, spaces=()))
    machines, _ = bundle.generate(plain, REFERENCES)["machines.yaml"]
    assert all("bindings" not in entry for entry in machines["applications"].values())


def test_a_file_with_two_documents_is_read_as_one_bundle(two):
    documents = bundle.generate(two, REFERENCES)["machines.yaml"]
    text = bundle.render("machines.yaml", documents)
    assert list(yaml.safe_load_all(text)) == documents
    merged = bundle.load_documents(text)
    assert merged["applications"]["host"]["offers"] == {"host": {"endpoints": ["disks"]}}
    assert merged["applications"]["host"]["num_units"] == 2


def test_a_required_endpoint_without_a_provider_is_an_error():
    with pytest.raises(HelioError, match="nothing provides mysql_client, which api:database"):
        bundle.relations({"api": API}, NOTHING)


def test_two_providers_need_a_choice():
    charms = {"db": DB, "other": DB, "api": API}
    with pytest.raises(HelioError, match="db:database or other:database; choose one"):
        bundle.relations(charms, NOTHING)
    wiring = Wiring(choose={"api:database": "other:database"}, leave=())
    assert bundle.relations(charms, wiring) == [["other:database", "api:database"]]


def test_the_provider_that_an_interface_prefers_is_taken_where_there_are_several():
    wiring = Wiring(choose={}, leave=(), prefer={"mysql_client": "other:database"})
    charms = {"db": DB, "other": DB, "api": API}
    assert bundle.relations(charms, wiring) == [["other:database", "api:database"]]
    assert bundle.relations({"db": DB, "api": API}, wiring) == [["db:database", "api:database"]]


def test_a_choice_that_provides_something_else_is_an_error():
    wiring = Wiring(choose={"api:database": "api:identity"}, leave=())
    with pytest.raises(HelioError, match="only db:database provides mysql_client"):
        bundle.relations({"db": DB, "api": API}, wiring)


def test_an_endpoint_that_is_left_alone_is_not_related():
    wiring = Wiring(choose={}, leave=("api:database",))
    assert bundle.relations({"db": DB, "api": API}, wiring) == []


def test_an_exception_for_an_unknown_endpoint_is_an_error():
    wiring = Wiring(choose={}, leave=("api:databse",))
    with pytest.raises(HelioError, match="api:databse, which no charm requires"):
        bundle.relations({"db": DB, "api": API}, wiring)


def test_an_application_is_not_related_to_itself():
    both = {**DB, "requires": {"upstream": {"interface": "mysql_client", "optional": True}}}
    assert bundle.relations({"db": both}, NOTHING) == []


def test_a_resource_that_the_manifest_does_not_name_is_an_error(manifest):
    for kind in ("oci-image", "file"):
        charm = {"name": "x", "resources": {"x-image": {"type": kind}}}
        with pytest.raises(HelioError, match=r"resource x-image of charm x: .*names nothing"):
            bundle.resources(manifest, charm, REFERENCES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("release:", "relese:", "unknown key relese"),
        ("arch: amd64\n", "", "missing key arch"),
        ("quorum: true", "qourum: true", "application db: unknown key qourum"),
        ("db: {", "db: [", "cannot read manifest.yaml"),
        ("quorum: true", "feature: maybe", "feature is maybe, not deployed or optional"),
    ],
)
def test_a_wrong_manifest_is_named(old, new, message):
    with pytest.raises(HelioError, match=message):
        parse_manifest(MANIFEST.replace(old, new))


def test_an_overlay_names_another_distribution(two):
    files = {
        "db-k8s": "/d/db.charm", "host": "/d/host.charm", "store-k8s": "/d/store.charm",
    }  # fmt: skip
    pods = bundle.overlay(two, "pods", REFERENCES, files, "debian@12")
    assert sorted(pods["applications"]) == ["db", "store"]
    assert pods["applications"]["db"] == {
        "charm": "/d/db.charm",
        "base": "debian@12",
        "resources": {"db-image": "localhost:32000/helio/mariadb:1"},
    }
    machines = bundle.overlay(
        two, "machines", {**REFERENCES, "agents": "/d/agents.tar.zst"}, files, "debian@12"
    )
    assert machines["applications"]["host"] == {
        "charm": "/d/host.charm",
        "base": "debian@12",
        "resources": {"runtime": "/d/agents.tar.zst"},
    }


def test_wiring_has_three_kinds_of_exceptions():
    text = "choose: {a:b: c:d}\nleave: [x:y]\n"
    assert parse_wiring(text) == Wiring({"a:b": "c:d"}, ("x:y",))
    assert parse_wiring(text + "prefer: {z: c:d}").prefer == {"z": "c:d"}
    with pytest.raises(HelioError, match="unknown key chose"):
        parse_wiring("chose: {}\nchoose: {}\nleave: []\n")


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
        "saas": {"far": {"url": "admin/two.far"}},
    }
    assert bundle.merge({**base, "saas": {"near": {}}}, overlay) == {
        "default-base": "debian@12",
        "saas": {"near": {}, "far": {"url": "admin/two.far"}},
        "applications": {
            "a": {"charm": "./a", "scale": 3, "options": {"x": 1, "y": 5}},
            "c": {"charm": "./c"},
        },
        "relations": [["a:r", "a:s"], ["c:q", "a:q"]],
    }
    assert base["applications"]["a"]["options"] == {"x": 1, "y": 2}
