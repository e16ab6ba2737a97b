"""The charm heat-k8s: plans, from a snapshot."""

import plans
import pytest

from charmkit.interfaces import keystone_resources


@pytest.fixture
def make(make_plan, account, broker):
    domain = keystone_resources.Domain(
        name="heat", id="d-1", username="heat_domain_admin", user_id="u-1", password="s3cret",
        auth_url=account.auth_url, public_auth_url=account.public_auth_url, region="RegionOne",
    )  # fmt: skip
    return lambda snapshot: make_plan("heat-k8s", snapshot, amqp=broker, identity_ops=domain)


@pytest.fixture
def ready():
    return plans.sees("heat-k8s")


def test_stacks_users_have_a_role_that_heat_asks_for(make, ready, load_charm):
    charm = load_charm("heat-k8s")
    operations = charm.DOMAIN._operations()
    roles = [each["params"]["name"] for each in operations if each["name"] == "create_role"]
    assert roles == ["manager", "heat_stack_user"]
    granted = [each["params"]["role"] for each in operations if each["name"] == "grant_role"]
    assert granted == ["{{ create_role[0].id }}"]
    assert (
        plans.conf(make(ready), "/etc/heat/heat-engine.conf")["DEFAULT"]["heat_stack_user_role"]
        == roles[1]
    )


def test_nothing_is_signed_by_keys_that_only_an_administrator_may_make(make, ready):
    engine = plans.conf(make(ready), "/etc/heat/heat-engine.conf")["DEFAULT"]
    assert engine["default_software_config_transport"] == "POLL_SERVER_HEAT"
    assert engine["default_deployment_signal_transport"] == "HEAT_SIGNAL"


def test_who_uses_a_trust_asks_for_no_project_beside_it(make, ready):
    trustee = plans.conf(make(ready), "/etc/heat/heat-engine.conf")["trustee"]
    assert (trustee["username"], trustee["user_domain_name"]) == ("svc", "service_domain")
    assert (trustee["auth_type"], trustee["password"]) == ("password", "pa$$word")
    # "Authentication cannot be scoped to multiple targets", says keystoneauth.
    assert not [option for option in trustee if option.startswith(("project", "domain", "system"))]


def test_signatures_of_instances_are_checked_by_the_services_account(make, ready):
    checker = plans.conf(make(ready), "/etc/heat/heat-api-cfn.conf")["ec2authtoken"]
    assert (checker["auth_type"], checker["username"]) == ("password", "svc")
    assert checker["project_name"] == "services"
    # Heat adds `/v3/ec2tokens`.
    assert checker["endpoint_override"] == "https://keystone:5000"
