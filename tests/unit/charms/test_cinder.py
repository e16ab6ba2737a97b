"""The charm cinder-k8s: plans, from a snapshot."""

import configparser
import dataclasses
import json
import pathlib
import types

import pytest

from charmkit import plan
from charmkit.interfaces import keystone as identity
from charmkit.interfaces import rabbitmq
from charmkit.plan import Status
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/cinder-k8s"
UP = {"online": True, "online-cinder-scheduler": True}


@pytest.fixture
def charm(load_charm):
    return load_charm("cinder-k8s")


@pytest.fixture
def service(charm, with_needs):
    account = identity.Identity(
        auth_url="https://keystone:5000/v3",
        public_auth_url="https://10.8.0.5:5000/v3",
        admin_auth_url="https://keystone:5000/v3",
        region="RegionOne",
        username="svc_cinder",
        password="pa$word",
        project="services",
        project_domain="service_domain",
        user_domain="service_domain",
        admin_role="admin",
    )
    broker = rabbitmq.Broker(
        hosts=("rabbitmq",), port=5671, username="u", password="p", vhost="cinder", tls=True,
        tls_ca="CA",
    )  # fmt: skip
    return with_needs(
        charm.CINDER,
        database=types.SimpleNamespace(
            address="mariadb:3306",
            name="cinder",
            username="relation-1",
            tls_ca="",
            url=lambda ca: "mysql://x",
        ),
        certificates=types.SimpleNamespace(certificate="cert", private_key="key", ca="ca"),
        receive_ca_cert=None,
        amqp=broker,
        identity_service=account,
        storage_backend=(),
        image_service=None,
        cache=types.SimpleNamespace(servers=("10.0.0.8:11211",)),
    )


@pytest.fixture
def ready():
    endpoints = (
        "database", "certificates", "amqp", "identity-service", "storage-backend", "cache",
    )  # fmt: skip
    relations = {name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(endpoints)}
    return Snapshot(
        app="cinder",
        unit="cinder/0",
        is_leader=True,
        optional=frozenset({"receive-ca-cert", "image-service", "cache"}),
        config={"debug": False, "region": "RegionOne", "workers": 0, "default-volume-type": ""},
        relations={**relations, PEERS: (RelationData(id=9, endpoint=PEERS),)},
        addresses=Addresses(unit_ip="10.0.0.6", service_name="cinder.cloud.svc"),
        containers={"cinder": ContainerState(can_connect=True)},
        entropy=b"c" * 32,
    )


@pytest.fixture
def make(service):
    templates = Templates(FOLDER / "src/templates")
    return lambda snapshot: plan.make(service, snapshot, templates)


def config(made, path="/etc/cinder/cinder.conf"):
    [text] = [each.text for each in made.workload.files if each.path == path]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_the_service_account_is_used_for_every_other_service(make, ready):
    parser = config(make(ready))
    for section in ("keystone_authtoken", "service_user", "nova"):
        assert parser[section]["username"] == "svc_cinder", section
        assert parser[section]["password"] == "pa$$word", section
        assert parser[section]["cafile"] == "/etc/cinder/tls/ca.pem", section
    assert parser["service_user"]["send_service_user_token"] == "true"
    assert parser["nova"]["interface"] == "internal"
    # As this account Cinder would not see the images of projects.
    assert "username" not in parser["glance"]
    assert parser["DEFAULT"]["glance_catalog_info"] == "image:glance:internalURL"


def test_api_and_scheduler_have_queues_of_their_own(make, ready):
    made = make(ready)
    names = [
        config(made, path)["oslo_messaging_rabbit"]["processname"]
        for path in ("/etc/cinder/cinder.conf", "/etc/cinder/cinder-scheduler.conf")
    ]
    assert names == ["cinder-api", "cinder-scheduler"]


def test_tokens_are_cached_encrypted(make, ready):
    section = config(make(ready))["keystone_authtoken"]
    assert section["memcached_servers"] == "10.0.0.8:11211"
    assert section["memcache_security_strategy"] == "ENCRYPT"


def test_a_default_type_is_named_only_if_there_is_one(make, ready):
    assert "default_volume_type" not in config(make(ready))["DEFAULT"]
    named = dataclasses.replace(ready, config={**ready.config, "default-volume-type": "fast"})
    assert config(make(named))["DEFAULT"]["default_volume_type"] == "fast"


def test_the_scheduler_counts_as_there_while_it_hears_the_broker(make, ready):
    checks = make(ready).workload.checks
    assert set(checks) == set(UP)
    assert checks["online-cinder-scheduler"]["exec"]["command"].endswith("cinder-scheduler 5671")


def test_volume_services_start_when_the_api_answers(make, ready):
    def told(snapshot):
        return [
            bag.app["ready"]
            for each in make(snapshot).publications
            for bag in each.bags
            if "ready" in bag.app
        ]

    assert told(ready) == ["false"]
    up = {"cinder": ContainerState(can_connect=True, checks=UP)}
    assert told(dataclasses.replace(ready, containers=up)) == ["true"]


def test_without_storage_there_are_no_volumes(make, ready):
    relations = {name: each for name, each in ready.relations.items() if name != "storage-backend"}
    assert make(dataclasses.replace(ready, relations=relations)).status == Status(
        "blocked", "missing integration: storage-backend"
    )


def test_the_catalogue_has_the_name_of_today_and_that_of_old_clients(charm, ready):
    where = dataclasses.replace(ready.addresses, service_ips=("10.8.0.6",))
    need = identity.Requirer(apis=charm.APIS)
    [bag] = need.request(dataclasses.replace(ready, addresses=where)).bags
    entries = json.loads(bag.app["service-endpoints"])
    assert [each["type"] for each in entries] == ["block-storage", "volumev3"]
    assert {each["public_url"] for each in entries} == {"https://10.8.0.6:8776/v3"}


def test_charm_py_stays_short():
    assert len((FOLDER / "src/charm.py").read_text().splitlines()) < 120
