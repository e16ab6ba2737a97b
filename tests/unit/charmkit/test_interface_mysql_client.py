"""`mysql_client`: both ends against each other, and against what the published library writes."""

import dataclasses
import json

import pytest

from charmkit.interfaces import mysql_client
from charmkit.spec import OwnedSecret, Publish, RelationData, SecretRef, Snapshot

REQUIRER = mysql_client.Requirer(database="placement")
PROVIDER = mysql_client.Provider()
USER, TLS = "secret:user", "secret:tls"


def client_sees(remote_app=None, secrets=None):
    relation = RelationData(id=4, endpoint="database", app="mariadb", remote_app=remote_app or {})
    return Snapshot(
        app="placement",
        unit="placement/0",
        relations={"database": (relation,)},
        secrets=secrets or {},
    )


def server_sees(remote_app=None, own_secrets=None, entropy=b"x"):
    relation = RelationData(
        id=4, endpoint="database", app="placement", remote_app=remote_app or {}
    )
    return Snapshot(
        app="mariadb",
        unit="mariadb/0",
        is_leader=True,
        relations={"database": (relation,)},
        own_secrets=own_secrets or {},
        entropy=entropy,
    )


def request():
    [publish] = REQUIRER.request(client_sees()).bags
    return publish.app


def delivered(publication):
    """Give bag and secrets as Juju hands them to the client."""
    contents = {secret.label: secret.content for secret in publication.secrets}
    [publish] = publication.bags
    uris = {label: f"secret:{number}" for number, label in enumerate(contents)}
    bag = {
        key: uris[value.label] if isinstance(value, SecretRef) else value
        for key, value in publish.app.items()
        if value
    }
    return bag, {uri: contents[label] for label, uri in uris.items()}


def respond(snapshot, **facts):
    accounts = [PROVIDER.account(snapshot, each) for each in PROVIDER.requests(snapshot)]
    return PROVIDER.respond(snapshot, accounts, address="db:3306", **facts)


# --- both ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ca", ["", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_client_reads_what_the_server_answers(ca):
    bag, secrets = delivered(respond(server_sees(request()), version="10.11", tls_ca=ca))
    database = REQUIRER.read(client_sees(bag, secrets))
    assert database.address == "db:3306"
    assert database.name == "placement"
    assert database.username == "relation-4"
    assert len(database.password) == 32
    assert (database.tls, database.tls_ca) == (bool(ca), ca)
    assert database.version == "10.11"


def test_a_machine_gets_the_address_that_it_reaches_and_no_other():
    outside = mysql_client.Requirer(database="cinder", external=True)
    [publish] = outside.request(client_sees()).bags
    waiting = respond(server_sees(publish.app))
    assert waiting.bags == ()
    assert "database:4" in [secret.label for secret in waiting.secrets], "the password is kept"
    bag, secrets = delivered(respond(server_sees(publish.app), external_address="10.0.0.9:3306"))
    assert outside.read(client_sees(bag, secrets)).address == "10.0.0.9:3306"
    inside = respond(server_sees(request()), external_address="10.0.0.9:3306")
    assert delivered(inside)[0]["endpoints"] == "db:3306"


def test_no_password_is_in_a_bag():
    bag, secrets = delivered(respond(server_sees(request())))
    [password] = [each["password"] for each in secrets.values() if "password" in each]
    assert password not in json.dumps(bag)


def test_the_server_keeps_the_password_that_it_made():
    first = respond(server_sees(request()))
    known = {secret.label: secret.content for secret in first.secrets}
    assert respond(server_sees(request(), known, entropy=b"y")) == first


def test_every_secret_that_is_published_is_looked_up_again():
    snapshot = server_sees(request())
    labels = {secret.label for secret in respond(snapshot).secrets}
    assert labels == set(PROVIDER.secret_labels(snapshot))


def test_the_client_looks_up_every_secret_that_it_reads():
    bag, secrets = delivered(respond(server_sees(request())))
    assert set(REQUIRER.secret_uris(client_sees(bag))) == set(secrets)


def test_secrets_are_granted_to_their_client_only():
    assert {secret.grants for secret in respond(server_sees(request())).secrets} == {(4,)}


# --- incomplete --------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["endpoints", "secret-user"])
def test_a_client_reads_nothing_while_a_part_is_missing(lost):
    bag, secrets = delivered(respond(server_sees(request())))
    assert REQUIRER.read(client_sees({**bag, lost: ""}, secrets)) is None


def test_a_client_reads_nothing_while_it_may_not_read_a_secret():
    bag, secrets = delivered(respond(server_sees(request())))
    for uri in secrets:
        others = {each: content for each, content in secrets.items() if each != uri}
        assert REQUIRER.read(client_sees(bag, others)) is None


def test_a_client_that_names_no_schema_is_not_answered():
    assert PROVIDER.requests(server_sees({"requested-secrets": "[]"})) == ()


def test_without_a_relation_there_is_no_request_and_no_value():
    alone = Snapshot(app="placement", unit="placement/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None


def test_an_account_of_a_relation_that_is_gone_is_not_published():
    snapshot = server_sees(request())
    [wanted] = PROVIDER.requests(snapshot)
    account = PROVIDER.account(snapshot, wanted)
    gone = dataclasses.replace(snapshot, relations={})
    assert PROVIDER.respond(gone, [account], address="db:3306").bags == ()


# --- the published library ---------------------------------------------------------------------


def test_the_request_is_what_the_published_provider_looks_for():
    assert request()["database"] == "placement"
    assert {"username", "password", "tls", "tls-ca"} <= set(
        json.loads(request()["requested-secrets"])
    )


def test_the_answer_of_the_published_provider_is_read():
    bag = {
        "data": '{"database": "placement"}',
        "database": "placement",
        "endpoints": "mysql-primary.openstack.svc.cluster.local:3306,other:3306",
        "read-only-endpoints": "mysql-replicas.openstack.svc.cluster.local:3306",
        "secret-tls": TLS,
        "secret-user": USER,
        "version": "8.0.36-0ubuntu0.22.04.1",
    }
    secrets = {
        USER: {"username": "relation-68", "password": "p", "uris": "mysql://…"},
        TLS: {"tls": "True", "tls-ca": "PEM"},
    }
    assert REQUIRER.read(client_sees(bag, secrets)) == mysql_client.Database(
        address="mysql-primary.openstack.svc.cluster.local:3306",
        name="placement",
        username="relation-68",
        password="p",
        tls=True,
        tls_ca="PEM",
        version="8.0.36-0ubuntu0.22.04.1",
    )


def test_a_published_client_is_understood():
    bag = {
        "database": "wordpress",
        "extra-user-roles": "admin,reader",
        "requested-secrets": '["username", "password", "tls", "tls-ca", "uris"]',
        "external-node-connectivity": "true",
    }
    [found] = PROVIDER.requests(server_sees(bag))
    assert (found.database, found.roles) == ("wordpress", ("admin", "reader"))
    [user, tls] = respond(server_sees(bag), external_address="db:3306").secrets
    assert user.content["uris"] == (
        f"mysql://relation-4:{user.content['password']}@db:3306/wordpress"
    )
    assert tls.content == {"tls": "False"}


def test_a_client_without_requested_secrets_finds_tls_in_the_bag_and_its_password_not():
    publication = respond(server_sees({"database": "old"}), tls_ca="PEM")
    [publish] = publication.bags
    assert (publish.app["tls"], publish.app["tls-ca"]) == ("True", "PEM")
    assert publish.app["secret-user"] == SecretRef("database:4")
    assert not {"password", "username"} & set(publish.app)


@pytest.mark.parametrize("text", ["", "nonsense", '{"a": 1}', "[1, 2]"])
def test_nonsense_in_requested_secrets_counts_as_none(text):
    [found] = PROVIDER.requests(server_sees({"database": "d", "requested-secrets": text}))
    assert found.secrets == frozenset()


# --- the URL -----------------------------------------------------------------------------------


def test_the_url_quotes_the_account():
    database = mysql_client.Database(
        address="db:3306", name="n", username="u@x", password="p/+:%", tls=False
    )
    assert database.url("/ca.pem") == (
        "mysql+pymysql://u%40x:p%2F%2B%3A%25@db:3306/n?charset=utf8mb3"
    )


def test_the_url_verifies_the_server_if_it_offers_tls():
    database = mysql_client.Database(
        address="db:3306", name="n", username="u", password="p", tls=True
    )
    assert database.url("/etc/ca.pem").endswith("/n?charset=utf8mb3&ssl_ca=/etc/ca.pem")


def test_a_password_is_not_in_the_representation():
    database = mysql_client.Database(address="a", name="n", username="u", password="hidden")
    assert "hidden" not in repr(database)
    assert "hidden" not in repr(OwnedSecret(label="l", content={"password": "hidden"}))


# --- test data ---------------------------------------------------------------------------------


def test_the_builders_fit_both_ends():
    provided = mysql_client.provider_side(request(), {})
    assert REQUIRER.read(client_sees(provided.app_bag, provided.secrets)) is not None
    asked = mysql_client.requirer_side({}, {})
    assert len(PROVIDER.requests(server_sees(asked.app_bag))) == 1
    assert mysql_client.provider_side({}, {}).app_bag == {}


def test_a_stale_key_is_taken_away():
    [publish] = respond(server_sees(request())).bags
    assert isinstance(publish, Publish)
    assert publish.app["read-only-endpoints"] is None
