"""The charm cinder-volume: what operators say about storage, and what it comes to."""

import configparser
import dataclasses
import json
import pathlib
import types

import pytest

from charmkit import plan
from charmkit.interfaces import ceph_client, keystone_credentials, rabbitmq
from charmkit.plan import Status
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, SecretRef, Snapshot
from charmkit.target import CommandError
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/cinder-volume"
LVM = "fast: {driver: lvm, volume-group: vg, type: thin}"
NFS = 'shared: {driver: nfs, shares: ["10.0.0.5:/a", "10.0.0.5:/b"], qcow2: true}'
PURE = "array: {driver: pure, address: 10.0.0.6, secret: secret:d1}"
OTHER = "x: {driver: other, class: a.b.Driver, san_ip: 1.2.3.4, secret: secret:d2}"


@pytest.fixture
def charm(load_charm):
    return load_charm("cinder-volume")


@pytest.fixture
def backends(charm):
    return charm.backends


@pytest.fixture
def ceph():
    return ceph_client.Ceph(
        monitors=("10.0.0.9",), user="volume", key="AQkey", pools=("volumes",), fsid="f-s-i-d"
    )


@pytest.fixture
def make(charm, with_needs, ceph):
    account = keystone_credentials.Credentials(
        auth_url="https://keystone.cloud.svc:5000/v3",
        public_auth_url="https://10.8.0.5:5000/v3",
        region="RegionOne",
        username="svc_volume",
        password="pa$word",
        project="services",
        project_domain="service_domain",
        user_domain="service_domain",
        admin_role="admin",
    )
    broker = rabbitmq.Broker(
        hosts=("10.8.0.7",), port=5671, username="u", password="p", vhost="cinder", tls=True,
        tls_ca="CA",
    )  # fmt: skip
    needs = {
        "amqp": broker,
        "database": types.SimpleNamespace(
            address="10.8.0.8:3306", tls_ca="", url=lambda ca: "mysql://x"
        ),
        "identity_credentials": account,
        "receive_ca_cert": types.SimpleNamespace(bundle="PEM"),
    }
    templates = Templates(FOLDER / "src/templates")

    def plan_it(snapshot):
        has_ceph = bool(snapshot.related("ceph"))
        service = with_needs(charm.CINDER_VOLUME, **needs, ceph=ceph if has_ceph else None)
        return plan.make(service, snapshot, templates)

    return plan_it


@pytest.fixture
def ready():
    """A unit with Ceph, an API that is ready, and a hypervisor."""
    endpoints = ("amqp", "database", "identity-credentials", "ceph", "receive-ca-cert")
    relations = {name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(endpoints)}
    api = RelationData(id=20, endpoint="storage-backend", remote_app={"ready": "true"})
    hypervisor = RelationData(id=21, endpoint="ceph-access")
    return Snapshot(
        app="volume",
        unit="volume/0",
        is_leader=True,
        is_machine=True,
        optional=frozenset({"ceph", "receive-ca-cert"}),
        config={"debug": False, "backends": "", "ceph-backend": "ceph", "ceph-pool": ""},
        relations={
            **relations,
            "storage-backend": (api,),
            "ceph-access": (hypervisor,),
            PEERS: (RelationData(id=9, endpoint=PEERS),),
        },
        addresses=Addresses(unit_ip="10.0.0.6", unit_name="m-0"),
        containers={"cinder-volume": ContainerState(can_connect=True)},
        machine={"lacks": (), "packages": ()},
        entropy=b"v" * 32,
    )


def with_backends(snapshot, *texts, **changes):
    config = {**snapshot.config, "backends": "\n".join(texts)}
    return dataclasses.replace(snapshot, config=config, **changes)


def without(snapshot, endpoint):
    relations = {name: each for name, each in snapshot.relations.items() if name != endpoint}
    return dataclasses.replace(snapshot, relations=relations)


def files(made):
    return {each.path: each for each in made.workload.files}


def config(made):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(files(made)["/etc/cinder/cinder-volume.conf"].text)
    return parser


# --- Ceph --------------------------------------------------------------------------------------


def test_ceph_comes_by_integration(make, ready):
    made = make(ready)
    assert made.status == Status("active")
    parser = config(made)
    assert parser["DEFAULT"]["enabled_backends"] == "ceph"
    assert parser["ceph"]["volume_driver"] == "cinder.volume.drivers.rbd.RBDDriver"
    assert (parser["ceph"]["rbd_pool"], parser["ceph"]["rbd_user"]) == ("volumes", "volume")


def test_the_key_of_ceph_is_for_the_service_only(make, ready):
    keyring = files(make(ready))["/etc/cinder/ceph/ceph.keyring"]
    assert keyring.text == "[client.volume]\nkey = AQkey\n"
    assert (keyring.mode, keyring.user, keyring.group) == (0o640, "root", "cinder")
    assert "AQkey" not in files(make(ready))["/etc/cinder/cinder-volume.conf"].text


def test_the_key_is_also_where_volumes_are_opened_by_hand(make, ready):
    [task] = make(ready).workload.tasks
    assert task.argv[-1] == "/etc/ceph/ceph.client.volume.keyring"
    assert task.stdin == "[client.volume]\nkey = AQkey\n"
    assert "AQkey" not in " ".join(task.argv)


def test_hypervisors_get_the_key_under_the_uuid_that_volumes_name(make, ready):
    made = make(ready)
    [bag] = [b for p in made.publications for b in p.bags if b.relation_id == 21]
    [secret] = [s for p in made.publications for s in p.secrets if s.label == "ceph-access"]
    assert bag.app == {"access-credentials": SecretRef("ceph-access")}
    assert secret.content == {"uuid": config(made)["ceph"]["rbd_secret_uuid"], "key": "AQkey"}


def test_the_api_hears_what_storage_there_is(make, ready):
    made = make(with_backends(ready, LVM))
    [bag] = [b for p in made.publications for b in p.bags if b.relation_id == 20]
    listed = json.loads(bag.app["backends"])
    assert listed == [{"driver": "ceph", "name": "ceph"}, {"driver": "lvm", "name": "fast"}]


# --- the service -------------------------------------------------------------------------------


def test_a_volume_belongs_to_the_application_and_not_to_a_machine(make, ready):
    other = dataclasses.replace(
        ready,
        unit="volume/7",
        addresses=dataclasses.replace(ready.addresses, unit_name="m-7"),
    )
    hosts = [config(make(each))["DEFAULT"]["host"] for each in (ready, other)]
    assert hosts == ["volume", "volume"]


def test_a_machine_uses_public_addresses(make, ready):
    parser = config(make(ready))
    assert parser["DEFAULT"]["glance_catalog_info"] == "image:glance:publicURL"
    assert parser["nova"]["interface"] == "public"
    for section in ("nova", "service_user"):
        assert parser[section]["auth_url"] == "https://10.8.0.5:5000/v3"
        assert parser[section]["password"] == "pa$$word"
        assert parser[section]["cafile"] == "/etc/cinder/tls/ca.pem"


def test_it_waits_for_the_schema(make, ready):
    late = RelationData(id=20, endpoint="storage-backend", remote_app={"ready": "false"})
    relations = {**ready.relations, "storage-backend": (late,)}
    assert make(dataclasses.replace(ready, relations=relations)).status == Status(
        "waiting", "waiting for data from: storage-backend"
    )
    assert make(without(ready, "storage-backend")).status == Status("active")


def test_without_any_storage_it_says_what_to_do(make, ready):
    status = make(without(ready, "ceph")).status
    assert status == Status("blocked", "no storage: integrate ceph, or set the option backends")


def test_two_units_would_undo_each_others_work(make, ready):
    status = make(dataclasses.replace(ready, planned_units=2)).status
    assert (status.name, status.message.partition(":")[0]) == ("blocked", "one unit only")


def test_root_is_granted_for_the_list_of_rootwrap_only(make, ready):
    sudoers = files(make(ready))["/etc/sudoers.d/cinder-volume"]
    grants = [line for line in sudoers.text.splitlines() if "NOPASSWD" in line]
    assert [line.partition("NOPASSWD: ")[2] for line in grants] == [
        "/opt/openstack/bin/cinder-rootwrap /etc/cinder/rootwrap.conf *"
    ]
    assert (sudoers.mode, sudoers.user) == (0o440, "root")


# --- the table ---------------------------------------------------------------------------------


def test_lvm_is_served_by_iscsi(make, ready):
    section = config(make(with_backends(ready, LVM)))["fast"]
    assert section["volume_driver"] == "cinder.volume.drivers.lvm.LVMVolumeDriver"
    assert (section["volume_group"], section["lvm_type"]) == ("vg", "thin")
    assert (section["target_helper"], section["target_protocol"]) == ("tgtadm", "iscsi")


def test_nfs_has_a_file_with_its_shares(make, ready):
    made = make(with_backends(ready, NFS))
    section = config(made)["shared"]
    assert section["nfs_qcow2_volumes"] == "true"
    [folder] = made.workload.directories
    [shares] = folder.files
    assert shares.path == section["nfs_shares_config"]
    assert shares.text == "10.0.0.5:/a\n10.0.0.5:/b\n"


def test_a_password_comes_from_the_secret(make, ready):
    seen = with_backends(ready, PURE, secrets={"secret:d1": {"api-token": "t0ken"}})
    section = config(make(seen))["array"]
    assert (section["san_ip"], section["pure_api_token"]) == ("10.0.0.6", "t0ken")


def test_any_class_of_cinder_can_be_named(make, ready):
    seen = with_backends(ready, OTHER, secrets={"secret:d2": {"san-password": "pw"}})
    section = config(make(seen))["x"]
    assert section["volume_driver"] == "a.b.Driver"
    assert (section["san_ip"], section["san_password"]) == ("1.2.3.4", "pw")


def test_several_backends_stand_side_by_side(make, ready):
    seen = with_backends(ready, LVM, NFS)
    assert config(make(seen))["DEFAULT"]["enabled_backends"] == "fast,shared,ceph"


def test_the_secrets_of_backends_are_read(charm, ready):
    seen = with_backends(ready, PURE, OTHER)
    assert sorted(charm.volume.STORAGE.secret_uris(seen)) == ["secret:d1", "secret:d2"]
    assert charm.volume.STORAGE.secret_uris(with_backends(ready, "nonsense")) == []


def test_every_driver_can_be_described_and_none_has_a_setting_twice(charm):
    for driver in charm.drivers.DRIVERS.values():
        names = [each.name for each in driver.settings]
        assert len(names) == len(set(names)), driver.name
        options = [each.option for each in driver.settings if each.option]
        assert not set(options) & set(driver.fixed), driver.name


def test_the_service_can_open_the_volumes_of_every_driver_itself(charm):
    # It copies images into volumes, and volumes from one storage to another.
    clients = {"fc": set(), "iscsi": {"open-iscsi"}, "nfs": {"nfs-common"}, "nvme": {"nvme-cli"}}
    always = set(charm.CINDER_VOLUME.packages)
    for driver in charm.drivers.DRIVERS.values():
        assert driver.transports or driver is charm.drivers.OTHER, driver.name
        for transport in driver.transports:
            assert clients[transport] <= {*driver.packages, *always}, (driver.name, transport)


# --- what cannot be used -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fast: [", "cannot be read as YAML"),
        ("- fast", "must map names to backends"),
        ("fast: lvm", "fast: must have settings"),
        ("fast: {driver: floppy}", "fast: driver must be one of lvm, netapp-ontap, nfs"),
        ("fast: {driver: lvm}", "fast: volume-group is missing"),
        ("fast: {driver: lvm, volume-group: v, size: 3}", "fast: lvm has no size; it has"),
        ("fast: {driver: lvm, volume-group: [v]}", "fast: volume-group must be a text"),
        ("s: {driver: nfs, shares: x}", "s: shares must be a list"),
        ("s: {driver: nfs, shares: []}", "s: shares must be a list"),
        ("a: {driver: pure, address: x, api-token: y}", "a: put api-token into a secret"),
        ("a: {driver: pure, address: x}", "a: name a secret with api-token"),
        (
            "a: {driver: solidfire, address: x, login: y, port: z, secret: s}",
            "port must be a number",
        ),
        ("a: {driver: other}", "a: class must name a driver's class"),
        ("nova: {driver: lvm, volume-group: v}", "no backend can be called 'nova'"),
        ("DEFAULT: {driver: lvm, volume-group: v}", "no backend can be called 'DEFAULT'"),
        ("'a b': {driver: lvm, volume-group: v}", "no backend can be called 'a b'"),
        ("ceph: {driver: lvm, volume-group: v}", "ceph is Ceph's name, see ceph-backend"),
    ],
)
def test_what_cannot_be_used_blocks_by_name(make, ready, text, reason):
    made = make(with_backends(ready, text))
    assert made.status.name == "blocked"
    assert made.status.message.startswith("backends: ")
    assert reason in made.status.message
    assert made.workload is None, "nothing restarts"


@pytest.mark.parametrize(
    ("text", "changes", "reason"),
    [
        (LVM, {"machine": {"lacks": ("dm_mod",)}}, "fast: this machine's kernel has no dm_mod"),
        (NFS, {"machine": {"lacks": ("nfs",)}}, "shared: this machine's kernel has no nfs"),
        (
            PURE,
            {"machine": {"lacks": ("pypureclient",)}},
            "array: the runtime has no Python module pypureclient",
        ),
        (PURE, {}, "array: cannot read secret:d1; grant it with juju grant-secret"),
        (PURE, {"secrets": {"secret:d1": {"token": "t"}}}, "array: its secret has no api-token"),
    ],
)  # fmt: skip
def test_what_a_host_cannot_carry_blocks_by_name(make, ready, text, changes, reason):
    made = make(with_backends(ready, text, **changes))
    assert made.status.name == "blocked"
    assert reason in made.status.message
    assert made.workload is None


# --- what is there -----------------------------------------------------------------------------


class Sight:
    """A machine: files, and commands that succeed."""

    def __init__(self, files=None, commands=()):
        self.files = files or {}
        self.commands = commands

    def read(self, path):
        return self.files.get(path)

    def run(self, argv, *, stdin="", timeout=120):
        if " ".join(argv) not in self.commands:
            raise CommandError(argv, 1, "")
        return ""


def test_a_bare_machine_lacks_everything(charm, ready):
    seen = charm.inspection.look(with_backends(ready, LVM, NFS, PURE), Sight())
    assert seen["lacks"] == ("dm_mod", "nfs", "pypureclient")
    assert seen["packages"] == ("lvm2", "open-iscsi", "tgt", "thin-provisioning-tools")


@pytest.mark.parametrize(
    "sight",
    [
        Sight({"/proc/misc": "236 device-mapper\n", "/proc/filesystems": "nodev\tnfs\n"}),
        Sight(
            commands=(
                "modprobe --dry-run --quiet dm_mod",
                "modprobe --dry-run --quiet nfs",
            )
        ),
    ],
)
def test_a_module_may_be_there_or_be_loaded(charm, ready, sight):
    assert charm.inspection.look(with_backends(ready, LVM, NFS), sight)["lacks"] == ()


def test_nfsd_alone_is_no_client(charm, ready):
    sight = Sight({"/proc/filesystems": "nodev\tnfsd\n"})
    assert charm.inspection.look(with_backends(ready, NFS), sight)["lacks"] == ("nfs",)


def test_only_packages_that_are_missing_are_installed(make, ready):
    def tasks(packages):
        machine = {"lacks": (), "packages": packages}
        made = make(with_backends(without(ready, "ceph"), LVM, machine=machine))
        return made.workload.tasks

    assert tasks(()) == ()
    (install,) = tasks(("lvm2",))
    assert install.argv[-1] == "lvm2"
    assert "apt-get update && exec apt-get install" in install.argv[2], "one does not go alone"
    assert install.on == "unit"
    assert install.again, "also those that were removed since"


def test_an_option_that_cannot_be_used_is_no_error_when_the_machine_is_looked_at(charm, ready):
    assert charm.inspection.look(with_backends(ready, "fast: ["), Sight()) == {
        "lacks": (),
        "packages": (),
    }
