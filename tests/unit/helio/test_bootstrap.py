import dataclasses
from pathlib import Path

import jubilant
import pytest
import yaml
from jubilant.statustypes import AppStatus, AppStatusRelation, ModelStatus, Status

from helio import bootstrap, images
from helio.bootstrap import SetUpEngine
from helio.bundle import Release
from helio.deployment import AddModel, Deploy, Join, Settle
from helio.embedded import DryRunJuju, Engine
from helio.host import CommandError, DryRunHost, HelioError
from helio.manifest import Wiring, parse_manifest
from helio.packing import BASES
from helio.plan import Plan, image_builder, read_plan
from helio.settings import Settings
from helio.steps import rehearse
from helio.tree import Tree

PARTS = ("pods", "machines")
SETTINGS = Settings(home=Path("/home"), store=Path("/home/storage"))
MANIFEST = """
{release: "2026.2", base: ubuntu@24.04, arch: amd64, channels: {}, versions: {},
 images: {db-image: mariadb}, files: {runtime: agents},
 applications: {db: {charm: db-k8s, trust: true}, api: {charm: api-k8s},
                extra: {charm: api-k8s, feature: deployed},
                more: {charm: more-k8s, feature: optional}, host: {charm: host, to: ["0"]}}}
"""
SQL = {"database": {"interface": "sql"}}
CHARMS = {
    "db-k8s": {
        "name": "db-k8s",
        "resources": {"db-image": {"type": "oci-image"}},
        "provides": SQL,
    },
    "api-k8s": {"name": "api-k8s", "requires": {"disks": {"interface": "disks"}}},
    "more-k8s": {"name": "more-k8s"},
    "host": {
        "name": "host",
        "resources": {"runtime": {"type": "file"}},
        "provides": {"disks": {"interface": "disks"}},
        "requires": SQL,
    },
}


class Catalogue:
    """Images that exist by name only."""

    def references(self, distro):
        return {name: self.reference(name, distro) for name in ("base", "machine", "mariadb")}

    def files(self, distro):
        return {"agents": f"agents-{distro}.tar.zst"}

    def reference(self, image, distro):
        return f"localhost:32000/helio/{image}:{distro}"


class Juju:
    """A model that remembers what was asked of it."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.did: list[tuple] = []

    def add_model(self, model, cloud=None):
        self.did.append(("add-model", model, cloud))

    def cli(self, *args, include_model=True):
        self.did.append(args)
        return ""

    def deploy(self, charm, *, overlays=(), trust=False):
        self.did.append(("deploy", charm.name, [path.name for path in overlays], trust))

    def status(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def status(*related: str, apps=("api", "db")) -> Status:
    """A model with these applications; `api:database` is related to db when named."""
    relations = {"database": [AppStatusRelation("db")]} if "api:database" in related else {}
    if "api:disks" in related:
        relations["disks"] = [AppStatusRelation("host")]
    made = {
        name: AppStatus(
            charm="local:x", charm_origin="local", charm_name="x", charm_rev=0, exposed=False,
            relations=relations if name == "api" else {},
        )
        for name in apps
    }  # fmt: skip
    return Status(ModelStatus("openstack", "caas", "c", "k", "3.6.24"), {}, made)


NO_MODEL = jubilant.CLIError(1, ["juju"], "", "ERROR model openstack not found")


def write(path: Path, *documents: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("---\n".join(map(yaml.safe_dump, documents)))


@pytest.fixture
def plan(tmp_path):
    bundles = tmp_path / "bundles"
    offers = {"applications": {"db": {"offers": {"db": {"endpoints": ["database"]}}}}}
    apps = {"applications": {"db": {}, "api": {}, "extra": {}}}
    wanted = [["db:database", "api:database"], ["db:database", "extra:database"]]
    write(bundles / "openstack.yaml", {**apps, "relations": wanted}, offers)
    write(bundles / "machines.yaml", {"applications": {"host": {}}, "relations": []})
    write(
        bundles / "overlays" / "from-machines.yaml", {"relations": [["host:disks", "api:disks"]]}
    )
    release = Release(parse_manifest(MANIFEST), Wiring({}, ()), CHARMS)
    return Plan(SETTINGS, Tree(tmp_path), BASES["debian-12"], release, Catalogue())


@pytest.fixture
def set_up(host):
    """A machine whose engine is set up."""
    host.files[SETTINGS.engine_home / "settings.json"] = "{}"
    return host


def test_the_steps_come_in_the_order_in_which_each_needs_the_last(plan):
    juju = Juju(status())
    titles = [step.title for step in bootstrap.steps(plan, dict.fromkeys(PARTS, juju), juju)]
    assert titles == [
        "Check the machine", "Install Debian packages", "Set kernel limits", "Configure Podman",
        "Get Pebble", "Build images", "Pack charms", "Set up the engine",
        "Add the model openstack", "Deploy openstack.yaml", "Add the model machines",
        "Deploy machines.yaml", "Join the models", "Wait for the applications",
        "Write client files", "Get a token",
    ]  # fmt: skip


def test_the_engine_gets_the_machines_charms_and_images(plan, host, reporter):
    host.answer(str(bootstrap.program("localjuju")), "init")
    SetUpEngine(plan).apply(host, reporter)
    overlay = yaml.safe_load(host.files[SETTINGS.overlay("pods")])
    assert overlay["applications"]["db"] == {
        "charm": str(plan.tree.dist / "db-k8s_debian-12-amd64.charm"),
        "base": "debian@12",
        "resources": {"db-image": "localhost:32000/helio/mariadb:debian12"},
    }
    overlay = yaml.safe_load(host.files[SETTINGS.overlay("machines")])
    assert overlay["applications"]["host"]["resources"] == {
        "runtime": str(SETTINGS.cache / "files/agents-debian12.tar.zst")
    }
    (command,) = host.changes
    assert "--charm-base localhost:32000/helio/base:debian12" in command
    assert "--machine-image localhost:32000/helio/machine:debian12" in command
    assert "--home /home/engine --instance helio --subnet 10.131.0.0/20" in command


def test_machines_have_a_network_for_instances_and_one_for_floating_addresses(
    plan, host, reporter
):
    host.answer(str(bootstrap.program("localjuju")), "init")
    SetUpEngine(plan).apply(host, reporter)
    assert "--space tunnel=10.131.16.0/24" in host.changes[0]
    assert (
        "--space provider=172.24.4.0/24,gateway,"
        "addresses=172.24.4.240-172.24.4.254" in host.changes[0]
    )


def test_the_models_find_each_other_by_the_names_that_this_cloud_gives_them(plan, host, reporter):
    named = dataclasses.replace(SETTINGS, model="one", machine_model="two")
    host.answer(str(bootstrap.program("localjuju")), "init")
    SetUpEngine(dataclasses.replace(plan, settings=named)).apply(host, reporter)
    machines = yaml.safe_load(host.files[SETTINGS.overlay("machines")])
    assert machines["saas"] == {"db": {"url": "admin/one.db"}}
    joining = yaml.safe_load(host.files[SETTINGS.joining_overlay])
    assert joining == {"saas": {"host": {"url": "admin/two.host"}}}


def test_images_are_not_there_where_the_program_that_knows_is_not(plan, host):
    plan = dataclasses.replace(plan, catalogue=images.load())
    builder = image_builder(SETTINGS, plan.catalogue, plan.base, host)
    host.files[SETTINGS.store / "db.sql"] = ""
    for image in plan.references:
        host.files[builder.sbom_path(image)] = "{}"
    host.fail("buildah", status=127)
    step = bootstrap.BuildImages(plan, tuple(plan.references))
    assert not step.is_done(host)
    host.fail("buildah", status=125, stderr="no space left on device")
    with pytest.raises(CommandError, match="no space left"):
        step.is_done(host)


def test_only_what_is_deployed_is_made(plan):
    made, packed = bootstrap.provide(plan, plan.deployed, ("base",))
    assert made.names == ("agents", "base", "mariadb")
    assert packed.names == ("api-k8s", "db-k8s", "host")


def test_an_engine_that_is_not_set_up_is_not_asked(plan, host):
    assert not AddModel(plan, Juju(AssertionError("asked"))).is_done(host)


def test_the_model_is_added_when_it_is_missing(plan, set_up, reporter):
    juju = Juju(NO_MODEL)
    step = AddModel(plan, juju)
    assert not step.is_done(set_up)
    step.apply(set_up, reporter)
    assert juju.did == [("add-model", "openstack", None), ("switch", "openstack")]
    assert AddModel(plan, Juju(status())).is_done(set_up)


def test_the_model_of_the_machines_is_on_their_cloud(plan, set_up, reporter):
    juju = Juju(NO_MODEL)
    AddModel(plan, juju, "machines", "localhost").apply(set_up, reporter)
    assert juju.did == [("add-model", "machines", "localhost")]


def test_an_engine_that_cannot_answer_is_told(plan, set_up):
    broken = Juju(jubilant.CLIError(1, ["juju"], "", "ERROR disk full"))
    with pytest.raises(HelioError, match="cannot read the status: ERROR disk full"):
        AddModel(plan, broken).is_done(set_up)


@pytest.mark.parametrize(
    ("answer", "is_done"),
    [
        (NO_MODEL, False),
        (status(apps=("db",)), False),
        (status(), False),  # interrupted between applications and relations
        (status("api:database"), True),  # without the feature, which was disabled
        (status("api:database", apps=("api", "db", "extra")), False),
    ],
)
def test_a_bundle_is_deployed_until_all_of_it_is_there(plan, set_up, answer, is_done):
    assert Deploy(plan, Juju(answer)).is_done(set_up) is is_done


def test_the_bundle_is_deployed_with_this_machines_overlay(plan, set_up, reporter):
    juju = Juju(status())
    Deploy(plan, juju).apply(set_up, reporter)
    assert juju.did == [("deploy", "openstack.yaml", ["overlay-pods.yaml"], True)]


def test_the_bundle_of_the_machines_is_trusted_with_nothing(plan, set_up, reporter):
    juju = Juju(status())
    Deploy(plan, juju, "machines").apply(set_up, reporter)
    assert juju.did == [("deploy", "machines.yaml", ["overlay-machines.yaml"], False)]


def test_the_models_are_joined_when_both_are_deployed(plan, set_up, reporter):
    juju = Juju(status())
    step = Join(plan, juju)
    assert not step.is_done(set_up)
    step.apply(set_up, reporter)
    overlays = ["overlay-pods.yaml", "from-machines.yaml", "overlay-joining.yaml"]
    assert juju.did == [("deploy", "openstack.yaml", overlays, True)]
    assert Join(plan, Juju(status("api:disks"))).is_done(set_up)


def test_a_refused_bundle_is_told_with_jujus_words(plan, set_up, reporter):
    class Refusing(Juju):
        def deploy(self, charm, *, overlays=(), trust=False):
            raise jubilant.CLIError(1, ["juju"], "", "x\nERROR no such image\n")

    with pytest.raises(HelioError, match=r"cannot deploy openstack\.yaml: ERROR no such image"):
        Deploy(plan, Refusing(status())).apply(set_up, reporter)


def test_a_rehearsal_of_the_last_steps_asks_and_changes_nothing(plan, set_up, reporter):
    record = []
    dry = DryRunHost(set_up, record.append)
    juju = Juju(NO_MODEL)
    steps = [AddModel(plan, DryRunJuju(juju, dry)), Deploy(plan, DryRunJuju(juju, dry)),
             Settle(plan, dict.fromkeys(PARTS, juju))]  # fmt: skip
    rehearse(steps, dry, reporter)
    assert record == [
        "run juju add-model openstack",
        "run juju switch openstack",
        f"run juju deploy {plan.bundle_file('pods')} --overlay /home/overlay-pods.yaml --trust",
    ]
    assert reporter.of("note") == ["would wait until api, db, extra, host are active"]
    assert juju.did == []


def test_a_distribution_that_is_not_supported_is_refused(host, tmp_path):
    host.files[Path("/etc/os-release")] = "ID=fedora\nVERSION_ID=42\n"
    with pytest.raises(HelioError, match="cannot bootstrap on fedora-42: use debian-12 or"):
        read_plan(SETTINGS, Tree(tmp_path), host)


def test_the_engines_programs_are_those_beside_helio(monkeypatch):
    monkeypatch.setattr("sys.executable", "/opt/venv/bin/python")
    monkeypatch.setattr("os.environ", {})
    juju = Engine(SETTINGS).connect()
    assert juju.cli_binary == "/opt/venv/bin/juju"
    assert juju.model == "openstack"
    assert Engine(SETTINGS).connect("machines").model == "machines"


def test_another_home_is_another_engine():
    other = dataclasses.replace(SETTINGS, home=Path("/second"))
    assert Engine(other).environment == {"LOCALJUJU_HOME": "/second/engine"}
