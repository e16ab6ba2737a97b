from pathlib import Path

import jubilant
import pytest
from jubilant.statustypes import AppStatus, AppStatusRelation, ModelStatus, Status, StatusInfo
from jubilant.statustypes import UnitStatus as Unit

from helio.bundle import Release
from helio.features import Switch, features
from helio.host import HelioError, LocalHost
from helio.manifest import Wiring, parse_manifest
from helio.packing import BASES
from helio.plan import Plan
from helio.settings import Settings
from helio.steps import rehearse, run
from helio.tree import Tree
from helio.watching import Watch

MANIFEST = """
{release: "2026.2", base: ubuntu@24.04, arch: amd64, channels: {}, versions: {},
 images: {board-image: openstack},
 applications: {id: {charm: id-k8s}, gate: {charm: gate-k8s},
                board: {charm: board-k8s, scale: 2, feature: deployed, trust: true,
                        options: {theme: dark}},
                tests: {charm: tests-k8s, feature: optional}}}
"""
CHARMS = {
    "id-k8s": {"name": "id-k8s", "provides": {"identity": {"interface": "keystone"}}},
    "gate-k8s": {"name": "gate-k8s", "provides": {"gate": {"interface": "ingress"}}},
    "board-k8s": {
        "name": "board-k8s",
        "resources": {"board-image": {"type": "oci-image"}},
        "requires": {
            "identity": {"interface": "keystone"},
            "way-in": {"interface": "ingress", "optional": True},
        },
    },
    "tests-k8s": {"name": "tests-k8s", "requires": {"identity": {"interface": "keystone"}}},
}


class Catalogue:
    def references(self, distro):
        return {"openstack": f"localhost:32000/helio/openstack:{distro}"}

    def files(self, distro):
        return {}


class Juju:
    """A model that does at once what it is asked."""

    def __init__(self, *apps: str):
        self.apps = dict.fromkeys(apps, ())
        self.did: list[tuple] = []

    def status(self):
        made = {
            name: AppStatus(
                charm="x", charm_origin="local", charm_name="x", charm_rev=0, exposed=False,
                scale=1, app_status=StatusInfo("active"),
                units={f"{name}/0": Unit(StatusInfo("active"), StatusInfo("idle"))},
                relations={end: [AppStatusRelation(other)] for end, other in relations},
            )
            for name, relations in self.apps.items()
        }  # fmt: skip
        return Status(ModelStatus("openstack", "caas", "c", "k", "3.6.24"), {}, made)

    def deploy(self, charm, app, **values):
        self.did.append(("deploy", Path(charm).name, app, values))
        self.apps[app] = ()

    def integrate(self, provider, requirer):
        self.did.append(("integrate", provider, requirer))
        app, _, endpoint = requirer.partition(":")
        self.apps[app] = (*self.apps[app], (endpoint, provider.partition(":")[0]))

    def remove_application(self, app, *, destroy_storage):
        assert destroy_storage
        self.did.append(("remove", app))
        del self.apps[app]


@pytest.fixture
def release():
    return Release(parse_manifest(MANIFEST), Wiring({}, ()), CHARMS)


@pytest.fixture
def make(release, reporter):
    def make(juju):
        plan = Plan(Settings(), Tree(Path("/t")), BASES["debian-12"], release, Catalogue())
        return Switch(plan, juju, Watch(reporter, 10, sleep=lambda _seconds: None))

    return make


def enable(switch, name):
    run(switch.enabling(name), LocalHost(), switch._watch.reporter)


def disable(switch, name):
    run(switch.disabling(name), LocalHost(), switch._watch.reporter)


INTEGRATIONS = [
    ("integrate", "gate:gate", "board:way-in"),
    ("integrate", "id:identity", "board:identity"),
]


def test_features_and_their_relations_follow_from_manifest_and_metadata(release):
    found = features(release)
    assert list(found) == ["board", "tests"]
    assert found["board"].relations == (
        ("gate:gate", "board:way-in"),
        ("id:identity", "board:identity"),
    )


def test_a_feature_is_deployed_and_related(make):
    juju = Juju("id", "gate")
    enable(make(juju), "board")
    deployed, *integrated = juju.did
    assert deployed == (
        "deploy",
        "board-k8s_debian-12-amd64.charm",
        "board",
        {
            "base": "debian@12",
            "config": {"theme": "dark"},
            "num_units": 2,
            "resources": {"board-image": "localhost:32000/helio/openstack:debian12"},
            "trust": True,
        },
    )
    assert integrated == INTEGRATIONS


def test_what_is_enabled_already_is_left_as_it_is(make):
    juju = Juju("id", "gate")
    enable(make(juju), "board")
    juju.did.clear()
    enable(make(juju), "board")
    assert juju.did == []


def test_an_interrupted_enabling_goes_on(make):
    juju = Juju("id", "gate", "board")
    enable(make(juju), "board")
    assert juju.did == INTEGRATIONS


def test_a_feature_is_related_to_what_there_is(make):
    juju = Juju("id", "board")
    enable(make(juju), "board")
    assert juju.did == INTEGRATIONS[1:]


def test_a_disabled_feature_is_gone(make, reporter):
    juju = Juju("id", "gate", "board")
    disable(make(juju), "board")
    assert juju.did == [("remove", "board")]
    disable(make(juju), "board")
    assert juju.did == [("remove", "board")]


def test_what_the_cloud_cannot_do_without_is_no_feature(make):
    juju = Juju("id")
    for name in ("id", "nothing"):
        with pytest.raises(HelioError, match=f"cannot find the feature {name}: there is board, t"):
            disable(make(juju), name)
    assert juju.did == []


def test_a_refusal_is_told_with_jujus_words(make):
    class Refusing(Juju):
        def deploy(self, charm, app, **values):
            raise jubilant.CLIError(1, ["juju"], "", "ERROR no such image\n")

    with pytest.raises(HelioError, match="cannot deploy board: ERROR no such image"):
        enable(make(Refusing("id")), "board")


def test_a_rehearsal_changes_nothing(make, reporter):
    juju = Juju("id", "gate", "tests")
    rehearse(make(juju).enabling("board"), LocalHost(), reporter)
    rehearse(make(juju).disabling("tests"), LocalHost(), reporter)
    rehearse(make(juju).disabling("board"), LocalHost(), reporter)
    assert juju.did == []
    assert reporter.of("note") == [
        "would deploy board, and relate it to what there is",
        "would wait until the applications are active",
        "would remove tests with its storage",
    ]
    assert reporter.of("skipped") == ["Remove board"]
