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


def test_who_uses_a_trust_asks_for_no_project_beside_it(make, ready):
    trustee = plans.conf(make(ready), "/etc/heat/heat-engine.conf")["trustee"]
    assert (trustee["username"], trustee["user_domain_name"]) == ("svc", "service_domain")
    assert (trustee["auth_type"], trustee["password"]) == ("password", "pa$$word")
    # "Authentication cannot be scoped to multiple targets", says keystoneauth.
    assert not [option for option in trustee if option.startswith(("project", "domain", "system"))]
