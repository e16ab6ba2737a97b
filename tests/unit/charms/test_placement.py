"""The charm placement-k8s: plans, from a snapshot."""

import configparser
import dataclasses
import pathlib
import types

import pytest

from charmkit import plan
from charmkit.interfaces import keystone as identity
from charmkit.interfaces import placement
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/placement-k8s"


@pytest.fixture
def service(load_charm, with_needs):
    account = identity.Identity(
        auth_url="https://keystone:5000/v3",
        public_auth_url="https://10.8.0.5:5000/v3",
        admin_auth_url="https://keystone:5000/v3",
        region="RegionOne",
        username="svc_placement",
        password="pa$word",
        project="services",
        project_domain="service_domain",
        user_domain="service_domain",
        admin_role="admin",
    )
    return with_needs(
        load_charm("placement-k8s").PLACEMENT,
        database=types.SimpleNamespace(
            address="mariadb:3306",
            name="placement",
            username="relation-1",
            tls_ca="",
            url=lambda ca: "mysql://x",
        ),
        certificates=types.SimpleNamespace(certificate="cert", private_key="key", ca="ca"),
        identity_service=account,
        receive_ca_cert=None,
    )


@pytest.fixture
def ready():
    endpoints = ("database", "certificates", "identity-service", "placement")
    relations = {name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(endpoints)}
    return Snapshot(
        app="placement",
        unit="placement/0",
        is_leader=True,
        optional=frozenset({"receive-ca-cert"}),
        config={"debug": False, "region": "RegionOne", "workers": 0},
        relations={**relations, PEERS: (RelationData(id=9, endpoint=PEERS),)},
        addresses=Addresses(unit_ip="10.0.0.6", service_name="placement.cloud.svc"),
        containers={"placement": ContainerState(can_connect=True)},
        entropy=b"p" * 32,
    )


@pytest.fixture
def make(service):
    templates = Templates(FOLDER / "src/templates")
    return lambda snapshot: plan.make(service, snapshot, templates)


def test_the_configuration_has_the_service_account(make, ready):
    files = {each.path: each.text for each in make(ready).workload.files}
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(files["/etc/placement/placement.conf"])
    account = parser["keystone_authtoken"]
    assert account["username"] == "svc_placement"
    assert account["password"] == "pa$$word"
    assert account["auth_url"] == "https://keystone:5000/v3"
    assert account["www_authenticate_uri"] == "https://10.8.0.5:5000/v3"
    assert account["cafile"] == "/etc/placement/tls/ca.pem"


def test_the_leader_makes_the_schema_before_the_start(make, ready):
    (task,) = make(ready).workload.tasks
    assert (task.argv[-2:], task.when, task.user) == (("db", "sync"), "before-start", "placement")


def test_clients_hear_that_placement_is_ready_when_it_answers(make, ready):
    def heard(snapshot):
        return [
            bag.app["ready"]
            for each in make(snapshot).publications
            for bag in each.bags
            if "ready" in bag.app
        ]

    assert heard(ready) == ["false"]
    up = {"placement": ContainerState(can_connect=True, checks={"online": True})}
    assert heard(dataclasses.replace(ready, containers=up)) == ["true"]


@pytest.mark.parametrize(("bag", "ready"), [({}, None), ({"ready": "false"}, None),
                                            ({"ready": "true"}, placement.Ready()),
                                            ({"ready": "perhaps"}, None)])  # fmt: skip
def test_a_client_reads_whether_placement_is_ready(bag, ready):
    relation = RelationData(id=1, endpoint="placement", remote_app=bag)
    seen = Snapshot(app="nova", unit="nova/0", relations={"placement": (relation,)})
    assert placement.Requirer().read(seen) == ready


def test_what_placement_publishes_is_what_a_client_reads():
    side = placement.provider_side({}, {})
    relation = RelationData(id=1, endpoint="placement", remote_app=side.app_bag)
    seen = Snapshot(app="nova", unit="nova/0", relations={"placement": (relation,)})
    assert placement.Requirer().read(seen) == placement.Ready()


def test_charm_py_stays_short():
    assert len((FOLDER / "src/charm.py").read_text().splitlines()) < 60
