"""`ceph-client`: both ends against each other, and against what published charms write."""

import base64
import json

import pytest

from charmkit.interfaces import ceph_client
from charmkit.spec import RelationData, SecretRef, Snapshot

REQUIRER = ceph_client.Requirer()
PROVIDER = ceph_client.Provider()
CLUSTER = ceph_client.Cluster(fsid="f-s-i-d", address="10.9.0.1", monitors=("10.9.0.1",))


def client_sees(unit_bag=None, app_bag=None, secrets=None, unit="glance/0"):
    relation = RelationData(
        id=4,
        endpoint="ceph",
        app="ceph",
        remote_app=app_bag or {},
        remote_units={"ceph/0": unit_bag or {}},
    )
    return Snapshot(
        app="glance", unit=unit, relations={"ceph": (relation,)}, secrets=secrets or {}
    )


def asked(requirer=REQUIRER, unit="glance/0"):
    [publish] = requirer.request(client_sees(unit=unit)).bags
    return publish


def client_relation(publish, id=4, app="remote-1234", unit="remote-1234/0"):
    app_bag = {key: value for key, value in publish.app.items() if value}
    return RelationData(
        id=id,
        endpoint="ceph",
        app=app,
        remote_app=app_bag,
        remote_units={unit: dict(publish.unit)},
    )


def cluster_sees(*relations, own_secrets=None, config=None, entropy=b"x"):
    return Snapshot(
        app="ceph",
        unit="ceph/0",
        is_leader=True,
        relations={"ceph": relations},
        own_secrets=own_secrets or {},
        config=config or {},
        entropy=entropy,
    )


def respond(snapshot):
    requests = [each for each in PROVIDER.requests(snapshot) if not each.refusal]
    clients = [PROVIDER.client(snapshot, each) for each in requests]
    return PROVIDER.respond(snapshot, clients, cluster=CLUSTER)


def delivered(publication, relation_id=4):
    """Give the bags and secrets as Juju hands them to the client."""
    contents = {secret.label: secret.content for secret in publication.secrets}
    uris = {label: f"secret:{number}" for number, label in enumerate(contents)}
    [publish] = [each for each in publication.bags if each.relation_id == relation_id]
    app = {
        key: uris[value.label] if isinstance(value, SecretRef) else value
        for key, value in publish.app.items()
        if value
    }
    unit = {key: value for key, value in publish.unit.items() if value}
    return unit, app, {uri: contents[label] for label, uri in uris.items()}


# --- both ends ---------------------------------------------------------------------------------


def test_a_client_reads_what_the_cluster_answers():
    ceph = REQUIRER.read(client_sees(*delivered(respond(cluster_sees(client_relation(asked()))))))
    assert ceph.monitors == ("10.9.0.1",)
    assert (ceph.user, ceph.pools, ceph.fsid) == ("glance", ("glance",), "f-s-i-d")
    assert len(base64.b64decode(ceph.key)) == 28


def test_the_key_is_in_no_bag():
    unit, app, secrets = delivered(respond(cluster_sees(client_relation(asked()))))
    [content] = secrets.values()
    assert content["key"] not in json.dumps([unit, app])
    assert "key" not in unit


def test_every_unit_of_the_client_is_answered():
    relation = client_relation(asked())
    other = client_relation(asked(unit="glance/1"), unit="remote-1234/1")
    both = {**relation.remote_units, **other.remote_units}
    snapshot = cluster_sees(
        RelationData(id=4, endpoint="ceph", remote_app=relation.remote_app, remote_units=both)
    )
    bags = delivered(respond(snapshot))
    assert REQUIRER.read(client_sees(*bags, unit="glance/1")) is not None
    assert REQUIRER.read(client_sees(*bags, unit="glance/2")) is None


def test_the_cluster_keeps_the_key_that_it_made():
    relation = client_relation(asked())
    first = respond(cluster_sees(relation))
    known = {secret.label: secret.content for secret in first.secrets}
    assert respond(cluster_sees(relation, own_secrets=known, entropy=b"y")) == first


def test_every_secret_is_looked_up_again_and_granted_to_its_client_only():
    snapshot = cluster_sees(client_relation(asked()))
    [secret] = respond(snapshot).secrets
    assert [secret.label] == PROVIDER.secret_labels(snapshot)
    assert secret.grants == (4,)


def test_the_client_looks_up_the_secret_that_it_reads():
    unit, app, secrets = delivered(respond(cluster_sees(client_relation(asked()))))
    assert list(REQUIRER.secret_uris(client_sees(unit, app))) == list(secrets)


def test_asking_again_is_no_new_request():
    assert asked() == asked()


def test_other_wishes_are_a_new_request():
    wishes = ceph_client.Requirer(groups=(("images", "r"),))
    bags = delivered(respond(cluster_sees(client_relation(asked()))))
    assert wishes.read(client_sees(*bags)) is None


def test_groups_reach_the_cluster():
    wishes = ceph_client.Requirer(
        pools=lambda snapshot: (ceph_client.Pool(name="volumes", group="volumes", replicas=2),),
        groups=(("images", "r"),),
    )
    [request] = PROVIDER.requests(cluster_sees(client_relation(asked(wishes))))
    assert request.pools == (ceph_client.Pool(name="volumes", group="volumes", replicas=2),)
    assert request.groups == (("images", "r"),)


# --- incomplete --------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["broker-rsp-glance-0", "secret-key"])
def test_a_client_reads_nothing_while_a_part_is_missing(lost):
    unit, app, secrets = delivered(respond(cluster_sees(client_relation(asked()))))
    unit.pop(lost, None)
    app.pop(lost, None)
    assert REQUIRER.read(client_sees(unit, app, secrets)) is None


def test_a_client_reads_nothing_while_it_may_not_read_the_secret():
    unit, app, _ = delivered(respond(cluster_sees(client_relation(asked()))))
    assert REQUIRER.read(client_sees(unit, app)) is None


def test_a_cluster_hears_nothing_from_a_client_that_has_not_asked():
    relation = RelationData(id=4, endpoint="ceph", remote_units={"glance/0": {}})
    assert PROVIDER.requests(cluster_sees(relation)) == ()


# --- refused -----------------------------------------------------------------------------------


def request_of(*ops, app="glance", secrets=True, version=1):
    wish = {"api-version": version, "ops": list(ops), "request-id": "7"}
    relation = RelationData(
        id=4,
        endpoint="ceph",
        app=app,
        remote_app={"requested-secrets": '["key"]'} if secrets else {},
        remote_units={f"{app}/0": {"broker_req": json.dumps(wish)}},
    )
    return relation


@pytest.mark.parametrize(
    ("relation", "reason"),
    [
        (request_of({"op": "delete-pool", "name": "glance"}), "the operation 'delete-pool'"),
        (request_of({"op": "create-pool", "name": "x y"}), "no pool can be called 'x y'"),
        (request_of({"op": "create-pool", "name": ".mgr"}), "no pool can be called '.mgr'"),
        (
            request_of({"op": "create-pool", "name": "x", "pool-type": "erasure"}),
            "pools of the type erasure",
        ),
        (
            request_of({"op": "add-permissions-to-key", "group-permission": "*"}),
            "the permission '*'",
        ),
        (request_of(app="admin"), "no client can be called 'admin'"),
        (request_of(app="bootstrap-osd"), "no client can be called 'bootstrap-osd'"),
        (request_of(version=2), "the API version is not 1"),
        (request_of(secrets=False), "unless allow-plain-credentials=true"),
    ],
)
def test_a_request_that_cannot_be_met_is_answered_with_the_reason(relation, reason):
    unit, app, secrets = delivered(respond(cluster_sees(relation)))
    [answer] = [json.loads(text) for key, text in unit.items() if key.startswith("broker-rsp-")]
    assert answer["exit-code"] == 22
    assert reason in answer["stderr"]
    assert (app, secrets) == ({}, {})


def test_the_client_can_tell_why_it_is_refused():
    relation = client_relation(asked())
    bad = ceph_client.Requirer(pools=lambda snapshot: (ceph_client.Pool(name="a b"),))
    unit, app, secrets = delivered(respond(cluster_sees(client_relation(asked(bad)))))
    assert bad.problem(client_sees(unit, app, secrets)) == "no pool can be called 'a b'"
    good = delivered(respond(cluster_sees(relation)))
    assert REQUIRER.problem(client_sees(*good)) is None


def test_two_applications_of_one_name_do_not_share_a_client():
    first = client_relation(asked())
    second = client_relation(asked(), id=9, app="remote-5678", unit="remote-5678/0")
    publication = respond(cluster_sees(first, second))
    assert [secret.grants for secret in publication.secrets] == [(4,)]
    unit, _, _ = delivered(publication, 9)
    assert "has that name already" in unit["broker-rsp-glance-0"]


# --- published charms --------------------------------------------------------------------------


def test_a_foreign_client_gets_the_key_in_plain_only_with_the_option():
    relation = request_of({"op": "create-pool", "name": "x", "replicas": 3}, secrets=False)
    allowed = cluster_sees(relation, config={"allow-plain-credentials": True})
    unit, _, secrets = delivered(respond(allowed))
    [content] = secrets.values()
    assert unit["key"] == content["key"]
    assert unit["auth"] == "cephx"
    assert json.loads(unit["broker-rsp-glance-0"]) == {"exit-code": 0, "request-id": "7"}
    assert unit["ceph-public-address"] == "10.9.0.1"


def test_a_client_reads_what_a_foreign_cluster_writes():
    wish = json.loads(asked().unit["broker_req"])
    answer = {"exit-code": 0, "request-id": wish["request-id"]}
    seen = client_sees(
        {
            "auth": "cephx",
            "key": "AQ==",
            "ceph-public-address": "192.0.2.2",
            "rbd-features": "1",
            "broker-rsp-glance-0": json.dumps(answer),
        }
    )
    ceph = REQUIRER.read(seen)
    assert (ceph.monitors, ceph.user, ceph.key) == (("192.0.2.2",), "glance", "AQ==")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:6789", "10.0.0.1"),
        ("v2:10.0.0.1:3300/0", "10.0.0.1"),
        ("v1:[fd00::1]:6789/0", "fd00::1"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_addresses_are_read_in_every_form(text, host):
    wish = json.loads(asked().unit["broker_req"])
    answer = json.dumps({"exit-code": 0, "request-id": wish["request-id"]})
    unit = {"key": "AQ==", "broker-rsp-glance-0": answer}
    seen = client_sees(unit, {"ceph-mon-public-addresses": json.dumps([text])})
    assert REQUIRER.read(seen).monitors == (host,)


# --- files -------------------------------------------------------------------------------------


def test_the_files_of_a_client():
    ceph = ceph_client.Ceph(
        monitors=("10.0.0.1", "fd00::1"), user="glance", key="AQ==", pools=("glance",), fsid="f"
    )
    config = ceph.config("/etc/glance/ceph.keyring").splitlines()
    assert "mon_host = 10.0.0.1,[fd00::1]" in config
    assert "keyring = /etc/glance/ceph.keyring" in config
    assert "fsid = f" in config
    assert ceph.keyring() == "[client.glance]\nkey = AQ==\n"


def test_test_data_fit_together():
    side = ceph_client.provider_side(asked().app, asked().unit)
    assert REQUIRER.read(client_sees(side.unit_bag, side.app_bag, side.secrets)) is not None
    client = ceph_client.requirer_side({}, {})
    relation = RelationData(
        id=4, endpoint="ceph", remote_app=client.app_bag, remote_units={"g/0": client.unit_bag}
    )
    [request] = PROVIDER.requests(cluster_sees(relation))
    assert (request.refusal, request.as_secret) == ("", True)
