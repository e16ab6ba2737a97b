"""`rabbitmq`: both ends against each other, and against what the published library writes."""

import base64
import json

import pytest

from charmkit.interfaces import rabbitmq
from charmkit.spec import RelationData, SecretRef, Snapshot

REQUIRER = rabbitmq.Requirer(username="nova", vhost="nova")
PROVIDER = rabbitmq.Provider()
CA = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
FACTS = {"hostname": "rabbitmq.cloud", "port": 5671, "tls_ca": CA}


def client_sees(remote_app=None, secrets=None, remote_units=None):
    relation = RelationData(
        id=4,
        endpoint="amqp",
        app="rabbitmq",
        remote_app=remote_app or {},
        remote_units=remote_units or {},
    )
    return Snapshot(
        app="nova", unit="nova/0", relations={"amqp": (relation,)}, secrets=secrets or {}
    )


def broker_sees(*bags, own_secrets=None):
    relations = tuple(
        RelationData(id=4 + number, endpoint="amqp", app=f"client-{number}", remote_app=bag)
        for number, bag in enumerate(bags)
    )
    return Snapshot(
        app="rabbitmq",
        unit="rabbitmq/0",
        is_leader=True,
        relations={"amqp": relations},
        own_secrets=own_secrets or {},
        entropy=b"x",
    )


def request(requirer=REQUIRER):
    [publish] = requirer.request(client_sees()).bags
    return publish.app


def respond(snapshot, **facts):
    accounts = [PROVIDER.account(snapshot, each) for each in PROVIDER.requests(snapshot)]
    return PROVIDER.respond(snapshot, accounts, **{**FACTS, **facts})


def delivered(publication):
    """Give the only answer's bag and secrets as Juju hands them to the client."""
    contents = {secret.label: secret.content for secret in publication.secrets}
    [publish] = publication.bags
    bag = {
        key: f"secret:{value.label}" if isinstance(value, SecretRef) else value
        for key, value in publish.app.items()
        if value
    }
    return bag, {f"secret:{label}": content for label, content in contents.items()}


# --- both ends ---------------------------------------------------------------------------------


def test_a_client_reads_what_the_broker_answers():
    bag, secrets = delivered(respond(broker_sees(request())))
    broker = REQUIRER.read(client_sees(bag, secrets))
    assert broker.hosts == ("rabbitmq.cloud",)
    assert (broker.port, broker.tls, broker.tls_ca) == (5671, True, CA)
    assert (broker.username, broker.vhost) == ("nova-4", "nova")
    assert broker.url() == f"rabbit://nova-4:{broker.password}@rabbitmq.cloud:5671/nova?ssl=1"


def test_no_password_is_in_a_bag():
    bag, secrets = delivered(respond(broker_sees(request()), allow_plain=True))
    [content] = secrets.values()
    assert content["password"] not in json.dumps(bag)


def test_a_machine_gets_the_address_that_it_reaches_and_no_other():
    outside = request(rabbitmq.Requirer(username="nova", vhost="nova", external=True))
    waiting = respond(broker_sees(outside))
    assert waiting.bags == ()
    assert [secret.label for secret in waiting.secrets] == ["amqp:4"], "the password is kept"
    bag, _ = delivered(respond(broker_sees(outside), external_hostname="10.0.0.9"))
    assert bag["hostname"] == "10.0.0.9"
    bag, _ = delivered(respond(broker_sees(request()), external_hostname="10.0.0.9"))
    assert bag["hostname"] == "rabbitmq.cloud"


def test_two_clients_of_one_virtual_host_have_accounts_of_their_own():
    snapshot = broker_sees(request(), request())
    accounts = [PROVIDER.account(snapshot, each) for each in PROVIDER.requests(snapshot)]
    assert [each.username for each in accounts] == ["nova-4", "nova-5"]
    assert accounts[0].password != accounts[1].password
    assert {each.request.vhost for each in accounts} == {"nova"}


def test_a_password_that_was_made_stays():
    known = {"amqp:4": {"username": "nova-4", "password": "known"}}
    snapshot = broker_sees(request(), own_secrets=known)
    [asked] = PROVIDER.requests(snapshot)
    assert PROVIDER.account(snapshot, asked).password == "known"
    assert list(PROVIDER.secret_labels(snapshot)) == ["amqp:4"]


def test_a_relation_that_is_gone_is_not_answered():
    snapshot = broker_sees(request())
    [asked] = PROVIDER.requests(snapshot)
    account = PROVIDER.account(snapshot, asked)
    assert PROVIDER.respond(broker_sees(), [account], **FACTS).bags == ()


# --- the published library ---------------------------------------------------------------------

PUBLISHED = {"username": "nova", "vhost": "openstack", "external_connectivity": "false"}


def test_a_published_client_is_known_by_the_name_that_it_asked_for():
    snapshot = broker_sees(PUBLISHED)
    [asked] = PROVIDER.requests(snapshot)
    assert PROVIDER.account(snapshot, asked).username == "nova"


@pytest.mark.parametrize("allowed", [False, True])
def test_a_published_client_gets_a_plain_password_only_if_that_is_allowed(allowed):
    bag, secrets = delivered(respond(broker_sees(PUBLISHED), allow_plain=allowed))
    [content] = secrets.values()
    assert bag.get("password") == (content["password"] if allowed else None)
    assert "secret-user" not in bag
    assert base64.b64decode(bag["ssl_ca"]).decode() == CA


def test_a_published_broker_is_understood():
    broker = REQUIRER.read(client_sees({"hostname": "10.1.0.4", "password": "a/b@c"}))
    assert broker.url() == "rabbit://nova:a%2Fb%40c@10.1.0.4:5672/nova"


def test_units_of_a_published_broker_are_all_used():
    units = {f"rabbitmq/{n}": {"ingress-address": f"10.1.0.{n}"} for n in (2, 1)}
    broker = REQUIRER.read(client_sees({"password": "pw"}, remote_units=units))
    assert broker.url() == "rabbit://nova:pw@10.1.0.1:5672,nova:pw@10.1.0.2:5672/nova"


@pytest.mark.parametrize("ca", [CA, base64.b64encode(CA.encode()).decode()])
def test_an_authority_is_understood_with_and_without_base64(ca):
    bag = {"hostname": "broker", "password": "pw", "ssl_port": "5671", "ssl_ca": ca}
    assert REQUIRER.read(client_sees(bag)).tls_ca == CA


# --- incomplete --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bag",
    [
        {},
        {"hostname": "broker"},
        {"password": "pw"},
        {"hostname": "broker", "secret-user": "secret:unreadable"},
        {"hostname": "broker", "password": "pw", "ssl_port": "5671"},
        {"hostname": "broker", "password": "pw", "ssl_port": "5671", "ssl_ca": "?"},
        {"hostname": "broker", "password": "pw", "ssl_port": "many", "ssl_ca": CA},
    ],
)
def test_half_an_answer_is_none(bag):
    assert REQUIRER.read(client_sees(bag)) is None


@pytest.mark.parametrize("bag", [{}, {"username": "nova"}, {"vhost": "nova"}])
def test_half_a_request_is_none(bag):
    assert PROVIDER.requests(broker_sees(bag)) == ()


@pytest.mark.parametrize("wrong", ["7", "{", '"password"'])
def test_a_request_for_secrets_that_is_no_list_is_none(wrong):
    [asked] = PROVIDER.requests(broker_sees({**PUBLISHED, "requested-secrets": wrong}))
    assert asked.secrets is False


def test_without_a_relation_there_is_nothing_to_ask_or_read():
    alone = Snapshot(app="nova", unit="nova/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None


# --- test data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("external", [False, True])
def test_the_test_data_of_a_broker_is_what_a_client_reads(external):
    requirer = rabbitmq.Requirer(username="nova", vhost="nova", external=external)
    side = rabbitmq.provider_side(request(requirer), {})
    assert requirer.read(client_sees(side.app_bag, side.secrets)).tls


def test_the_test_data_of_a_client_is_what_a_broker_reads():
    [asked] = PROVIDER.requests(broker_sees(rabbitmq.requirer_side({}, {}).app_bag))
    assert (asked.vhost, asked.secrets, asked.external) == ("nova", True, False)
    assert rabbitmq.provider_side({}, {}).app_bag == {}
