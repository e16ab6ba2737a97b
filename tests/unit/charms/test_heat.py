"""The charm heat-k8s: plans, from a snapshot."""

import configparser
import pathlib

import pytest

from charmkit import plan
from charmkit.interfaces import keystone_resources
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/heat-k8s"
NEEDS = ("database", "certificates", "amqp", "identity-service", "identity-ops")


@pytest.fixture
def make(load_charm, with_needs, account, certificate, make_database, broker):
    domain = keystone_resources.Domain(
        name="heat", id="d-1", username="heat_domain_admin", user_id="u-1", password="s3cret",
        auth_url=account.auth_url, public_auth_url=account.public_auth_url, region="RegionOne",
    )  # fmt: skip
    service = with_needs(
        load_charm("heat-k8s").HEAT,
        database=make_database("heat"),
        certificates=certificate,
        amqp=broker,
        identity_service=account,
        identity_ops=domain,
        receive_ca_cert=None,
        cache=None,
    )
    return lambda snapshot: plan.make(service, snapshot, Templates(FOLDER / "src/templates"))


@pytest.fixture
def ready():
    relations = {name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(NEEDS)}
    return Snapshot(
        app="heat",
        unit="heat/0",
        is_leader=True,
        optional=frozenset({"receive-ca-cert", "cache"}),
        config={"debug": False, "region": "RegionOne", "workers": 0},
        relations={**relations, PEERS: (RelationData(id=9, endpoint=PEERS),)},
        addresses=Addresses(unit_ip="10.0.0.6", service_name="heat.cloud.svc"),
        containers={"heat": ContainerState(can_connect=True)},
        entropy=b"h" * 32,
    )


def conf(made, process):
    (file,) = [each for each in made.workload.files if each.path == f"/etc/heat/{process}.conf"]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(file.text)
    return parser


def test_who_uses_a_trust_asks_for_no_project_beside_it(make, ready):
    trustee = conf(make(ready), "heat-engine")["trustee"]
    assert (trustee["username"], trustee["user_domain_name"]) == ("svc", "service_domain")
    assert (trustee["auth_type"], trustee["password"]) == ("password", "pa$$word")
    # "Authentication cannot be scoped to multiple targets", says keystoneauth.
    assert not [option for option in trustee if option.startswith(("project", "domain", "system"))]


def test_signatures_of_instances_are_checked_by_the_services_account(make, ready):
    checker = conf(make(ready), "heat-api-cfn")["ec2authtoken"]
    assert (checker["auth_type"], checker["username"]) == ("password", "svc")
    assert checker["project_name"] == "services"
    # Heat adds `/v3/ec2tokens`.
    assert checker["endpoint_override"] == "https://keystone:5000"
