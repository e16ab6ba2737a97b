"""`keystone` and `keystone-credentials`: both ends, and what the published libraries write."""

import dataclasses
import json

import pytest

from charmkit import api
from charmkit.interfaces import keystone, keystone_credentials
from charmkit.spec import Addresses, RelationData, SecretRef, Snapshot

API = keystone.Api(
    name="placement", type="placement", description="Placement", port=8778, path="/v1"
)
REQUIRER = keystone.Requirer(apis=(API,))
PROVIDER = keystone.Provider()
CLOUD = keystone.Cloud(
    internal_url="https://keystone.cloud.svc.cluster.local:5000/v3",
    public_url="https://10.8.0.5/v3",
    admin_url="https://keystone.cloud.svc.cluster.local:5000/v3",
    region="RegionOne",
    service_domain=keystone.Named("service_domain", "d1"),
    service_project=keystone.Named("services"),
    admin_domain=keystone.Named("admin_domain"),
    admin_project=keystone.Named("admin"),
    admin_user=keystone.Named("admin"),
)
ADDRESSES = Addresses(
    unit_ip="10.1.0.7", service_ips=("10.8.0.7",), service_name="placement.cloud.svc.cluster.local"
)


def client_sees(remote_app=None, secrets=None, *, endpoint="identity-service", tls=True, **facts):
    relation = RelationData(id=4, endpoint=endpoint, app="keystone", remote_app=remote_app or {})
    relations = {endpoint: (relation,)}
    if tls:
        relations["certificates"] = (RelationData(id=9, endpoint="certificates", app="ca"),)
    seen = Snapshot(
        app="placement",
        unit="placement/0",
        relations=relations,
        secrets=secrets or {},
        addresses=ADDRESSES,
    )
    return dataclasses.replace(seen, **facts)


def server_sees(remote_app=None, own_secrets=None, *, endpoint="identity-service", entropy=b"x"):
    relation = RelationData(id=4, endpoint=endpoint, app="my-app", remote_app=remote_app or {})
    return Snapshot(
        app="keystone",
        unit="keystone/0",
        is_leader=True,
        relations={endpoint: (relation,)},
        own_secrets=own_secrets or {},
        entropy=entropy,
    )


def asked(**facts):
    [publish] = REQUIRER.request(client_sees(**facts)).bags
    return publish.app


def respond(snapshot):
    accounts = [PROVIDER.account(snapshot, each) for each in PROVIDER.requests(snapshot)]
    ids = {account.username: "u1" for account in accounts}
    return PROVIDER.respond(snapshot, accounts, cloud=CLOUD, user_ids=ids)


def delivered(publication):
    """Give bag and secrets as Juju hands them to the client."""
    [publish] = publication.bags
    [secret] = publication.secrets
    bag = {
        key: "secret:account" if isinstance(value, SecretRef) else value
        for key, value in publish.app.items()
        if value
    }
    return bag, {"secret:account": secret.content}


# --- identity-service --------------------------------------------------------------------------


def test_the_catalogue_entry_names_the_service_inside_and_its_address_outside():
    [entry] = json.loads(asked()["service-endpoints"])
    assert entry == {
        "service_name": "placement",
        "type": "placement",
        "description": "Placement",
        "internal_url": "https://placement.cloud.svc.cluster.local:8778/v1",
        "admin_url": "https://placement.cloud.svc.cluster.local:8778/v1",
        "public_url": "https://10.8.0.7:8778/v1",
    }


def entry_with(**told):
    """Give the catalogue entry of a service that was told these URLs, by endpoint."""
    relations = {
        endpoint.replace("_", "-"): (
            RelationData(
                id=20 + number,
                endpoint=endpoint.replace("_", "-"),
                remote_app={"ingress": json.dumps({"url": url})} if url else {},
            ),
        )
        for number, (endpoint, url) in enumerate(told.items())
    }
    requirer = keystone.Requirer(apis=(API,), ingresses=api.ingresses(8778))
    snapshot = client_sees()
    snapshot = dataclasses.replace(snapshot, relations={**snapshot.relations, **relations})
    [publish] = requirer.request(snapshot).bags
    [entry] = json.loads(publish.app["service-endpoints"])
    return entry


def test_a_url_of_an_ingress_stands_in_place_of_the_address():
    entry = entry_with(ingress_public="https://10.8.0.80/cloud-placement")
    assert entry["public_url"] == "https://10.8.0.80/cloud-placement/v1"
    assert entry["internal_url"] == "https://placement.cloud.svc.cluster.local:8778/v1"
    assert entry["admin_url"] == entry["internal_url"]


def test_an_internal_ingress_is_for_services_and_administrators():
    entry = entry_with(ingress_internal="https://10.8.0.81/cloud-placement/")
    assert entry["internal_url"] == "https://10.8.0.81/cloud-placement/v1"
    assert entry["admin_url"] == entry["internal_url"]
    assert entry["public_url"] == "https://10.8.0.7:8778/v1"


def test_the_address_stands_there_while_an_ingress_has_not_answered():
    assert entry_with(ingress_public="", ingress_internal="") == entry_with()


def test_an_api_on_another_port_is_not_behind_the_ingress():
    other = dataclasses.replace(API, name="cfn", port=8000)
    requirer = keystone.Requirer(apis=(API, other), ingresses=api.ingresses(8778))
    relation = RelationData(
        id=20,
        endpoint="ingress-public",
        remote_app={"ingress": json.dumps({"url": "https://10.8.0.80/cloud-heat"})},
    )
    snapshot = client_sees()
    relations = {**snapshot.relations, "ingress-public": (relation,)}
    [publish] = requirer.request(dataclasses.replace(snapshot, relations=relations)).bags
    urls = [each["public_url"] for each in json.loads(publish.app["service-endpoints"])]
    assert urls == ["https://10.8.0.80/cloud-heat/v1", "https://10.8.0.7:8000/v1"]


def test_urls_are_http_without_certificates():
    [entry] = json.loads(asked(tls=False)["service-endpoints"])
    assert entry["public_url"].startswith("http://")


def test_an_ipv6_address_is_bracketed():
    addresses = dataclasses.replace(ADDRESSES, service_ips=("fd00::7",))
    [entry] = json.loads(asked(addresses=addresses)["service-endpoints"])
    assert entry["public_url"] == "https://[fd00::7]:8778/v1"


def test_the_region_is_the_option():
    assert asked()["region"] == "RegionOne"
    assert asked(config={"region": "north"})["region"] == "north"


def test_nothing_is_asked_before_we_know_our_addresses():
    assert REQUIRER.request(client_sees(addresses=Addresses())).bags == ()


def test_a_service_without_api_gets_an_account_too():
    [publish] = keystone.Requirer().request(client_sees()).bags
    [found] = PROVIDER.requests(server_sees(publish.app))
    assert found.entries == ()


def test_a_client_reads_what_keystone_answers():
    bag, secrets = delivered(respond(server_sees(asked())))
    identity = REQUIRER.read(client_sees(bag, secrets))
    assert identity == keystone.Identity(
        auth_url=CLOUD.internal_url,
        public_auth_url=CLOUD.public_url,
        admin_auth_url=CLOUD.admin_url,
        region="RegionOne",
        username="svc_my_app",
        password=secrets["secret:account"]["password"],
        project="services",
        project_domain="service_domain",
        user_domain="service_domain",
        admin_role="admin",
    )


def test_urls_are_also_told_in_parts():
    bag, _ = delivered(respond(server_sees(asked())))
    assert (bag["auth-protocol"], bag["auth-host"], bag["auth-port"]) == (
        "https",
        "10.8.0.5",
        "443",
    )
    assert (bag["internal-host"], bag["internal-port"]) == (
        "keystone.cloud.svc.cluster.local",
        "5000",
    )


def test_a_client_is_told_the_id_of_its_account():
    bag, _ = delivered(respond(server_sees(asked())))
    assert (bag["service-user-id"], bag["service-domain-id"]) == ("u1", "d1")


def test_no_password_is_in_keystone_s_bag():
    bag, secrets = delivered(respond(server_sees(asked())))
    assert secrets["secret:account"]["password"] not in json.dumps(bag)


def test_keystone_keeps_the_account_that_it_made():
    first = respond(server_sees(asked()))
    known = {secret.label: secret.content for secret in first.secrets}
    again = server_sees(asked(), known, entropy=b"y")
    assert respond(again) == first
    assert set(PROVIDER.secret_labels(again)) == set(known)


@pytest.mark.parametrize(
    "lost",
    ["service-credentials", "internal-auth-url", "service-domain-name", "service-project-name"],
)
def test_a_client_reads_nothing_while_a_part_is_missing(lost):
    bag, secrets = delivered(respond(server_sees(asked())))
    assert REQUIRER.read(client_sees({**bag, lost: ""}, secrets)) is None
    assert REQUIRER.read(client_sees(bag, {})) is None


def test_a_published_client_is_understood():
    entry = {
        "service_name": "cinderv3",
        "type": "volumev3",
        "description": "Cinder Volume Service v3",
        "internal_url": "http://10.152.183.228:8776/v3/$(tenant_id)s",
        "public_url": "http://10.152.183.228:8776/v3/$(tenant_id)s",
        "admin_url": "http://10.152.183.228:8776/v3/$(tenant_id)s",
    }
    bag = {"region": "RegionOne", "service-endpoints": json.dumps([entry])}
    [found] = PROVIDER.requests(server_sees(bag))
    assert [dataclasses.asdict(each) for each in found.entries] == [entry]


@pytest.mark.parametrize("text", ["nonsense", "{}", "[1]", '[{"service_name": "x"}]'])
def test_entries_that_are_none_are_left_out(text):
    [found] = PROVIDER.requests(server_sees({"region": "r", "service-endpoints": text}))
    assert found.entries == ()


def test_the_answer_of_the_published_keystone_is_read():
    bag = {
        "admin-auth-url": "http://10.20.21.10:80/openstack-keystone/v3",
        "admin-domain-id": "c4",
        "admin-role": "Admin",
        "api-version": "v3",
        "auth-host": "10.20.21.10",
        "internal-auth-url": "http://keystone.openstack.svc.cluster.local:5000/v3",
        "public-auth-url": "http://10.20.21.10:80/openstack-keystone/v3",
        "region": "RegionOne",
        "service-credentials": "secret:account",
        "service-domain-name": "service_domain",
        "service-project-name": "services",
    }
    secrets = {"secret:account": {"username": "svc_placement-x", "password": "p"}}
    identity = REQUIRER.read(client_sees(bag, secrets))
    assert identity.username == "svc_placement-x"
    assert identity.admin_role == "Admin"
    assert identity.auth_url == bag["internal-auth-url"]


def test_the_builders_of_keystone_fit_both_ends():
    provided = keystone.provider_side(asked(), {})
    assert REQUIRER.read(client_sees(provided.app_bag, provided.secrets)) is not None
    assert keystone.provider_side({}, {}).app_bag == {}
    wanted = keystone.requirer_side({}, {})
    assert len(PROVIDER.requests(server_sees(wanted.app_bag))) == 1


# --- identity-credentials ----------------------------------------------------------------------

CREDENTIALS = "identity-credentials"
USER = keystone_credentials.Requirer()
GIVER = keystone_credentials.Provider()


def credentials(snapshot):
    accounts = [GIVER.account(snapshot, each) for each in GIVER.requests(snapshot)]
    cloud = keystone_credentials.Cloud(
        internal_url=CLOUD.internal_url,
        public_url=CLOUD.public_url,
        region="RegionOne",
        user_domain=keystone.Named("service_domain"),
        project=keystone.Named("services", "p1"),
        project_domain=keystone.Named("service_domain"),
    )
    return GIVER.respond(snapshot, accounts, cloud=cloud)


def test_an_account_without_catalogue_entry_is_read_as_given():
    [publish] = USER.request(client_sees(endpoint=CREDENTIALS)).bags
    bag, secrets = delivered(credentials(server_sees(publish.app, endpoint=CREDENTIALS)))
    found = USER.read(client_sees(bag, secrets, endpoint=CREDENTIALS))
    assert found.username == "cred_placement"
    assert found.auth_url == CLOUD.internal_url
    assert (found.project, found.project_domain) == ("services", "service_domain")
    assert bag["project-id"] == "p1"


def test_no_client_gets_an_account_of_somebody_else():
    snapshot = server_sees({"username": "admin"}, endpoint=CREDENTIALS)
    [wanted] = GIVER.requests(snapshot)
    assert GIVER.account(snapshot, wanted).username == "cred_admin"


def test_credentials_are_not_read_by_halves():
    [publish] = USER.request(client_sees(endpoint=CREDENTIALS)).bags
    bag, secrets = delivered(credentials(server_sees(publish.app, endpoint=CREDENTIALS)))
    for lost in ("credentials", "internal-endpoint", "project-name", "user-domain-name"):
        assert USER.read(client_sees({**bag, lost: ""}, secrets, endpoint=CREDENTIALS)) is None


def test_the_builders_of_credentials_fit_both_ends():
    [publish] = USER.request(client_sees(endpoint=CREDENTIALS)).bags
    provided = keystone_credentials.provider_side(publish.app, {})
    seen = client_sees(provided.app_bag, provided.secrets, endpoint=CREDENTIALS)
    assert USER.read(seen) is not None
    wanted = keystone_credentials.requirer_side({}, {})
    assert len(GIVER.requests(server_sees(wanted.app_bag, endpoint=CREDENTIALS))) == 1
