"""`certificate_transfer`: both versions, both ends."""

import json

import pytest

from charmkit.interfaces import certificate_transfer
from charmkit.spec import RelationData, Snapshot

ONE = "-----BEGIN CERTIFICATE-----\nMIIBone\n-----END CERTIFICATE-----\n"
TWO = "-----BEGIN CERTIFICATE-----\nMIIBtwo\n-----END CERTIFICATE-----\n"
REQUIRER = certificate_transfer.Requirer()
PROVIDER = certificate_transfer.Provider()


def client_sees(*relations):
    return Snapshot(
        app="web",
        unit="web/0",
        relations={
            "receive-ca-cert": tuple(
                RelationData(id=number, endpoint="receive-ca-cert", app="ca", **facts)
                for number, facts in enumerate(relations)
            )
        },
    )


def provider_sees(remote_app):
    relation = RelationData(id=5, endpoint="send-ca-cert", app="web", remote_app=remote_app)
    return Snapshot(app="ca", unit="ca/0", relations={"send-ca-cert": (relation,)})


def requested():
    [publish] = REQUIRER.request(client_sees({})).bags
    return publish.app


def test_a_client_reads_what_the_provider_answers():
    [publish] = PROVIDER.respond(provider_sees(requested()), [TWO, ONE]).bags
    trusted = REQUIRER.read(client_sees({"remote_app": publish.app}))
    assert trusted.certificates == (ONE, TWO)
    assert trusted.bundle == ONE + TWO


def test_an_old_client_is_served_by_each_unit():
    [publish] = PROVIDER.respond(provider_sees({}), [ONE, TWO]).bags
    assert publish.app == {}
    assert publish.unit["ca"] == publish.unit["certificate"] == ONE.strip()
    assert json.loads(publish.unit["chain"]) == [ONE.strip(), TWO.strip()]


def test_a_client_that_turns_out_to_be_new_is_no_longer_served_the_old_way():
    [publish] = PROVIDER.respond(provider_sees({"version": "1"}), [ONE]).bags
    assert publish.unit == dict.fromkeys(("ca", "certificate", "chain", "version"))


@pytest.mark.parametrize(
    "bag",
    [
        {"ca": ONE, "certificate": TWO, "chain": json.dumps([TWO])},
        {"ca": json.dumps(ONE), "certificate": json.dumps(TWO), "chain": json.dumps([ONE, TWO])},
        {"ca": ONE, "certificate": TWO},
        {"ca": ONE, "certificate": TWO, "chain": "null"},
    ],
)
def test_an_old_provider_is_read_however_it_writes(bag):
    trusted = REQUIRER.read(client_sees({"remote_units": {"ca/0": bag}}))
    assert trusted.certificates == (ONE, TWO)


def test_several_providers_are_merged_and_each_is_waited_for():
    one = {"remote_app": {"certificates": json.dumps([ONE]), "version": "1"}}
    both = {"remote_app": {"certificates": json.dumps([ONE, TWO]), "version": "1"}}
    assert REQUIRER.read(client_sees(one, both)).certificates == (ONE, TWO)
    assert REQUIRER.read(client_sees(one, {})) is None


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "[1]", "{}"])
def test_nonsense_counts_as_nothing(text):
    assert REQUIRER.read(client_sees({"remote_app": {"certificates": text}})) is None


def test_without_a_relation_there_is_no_request_and_no_value():
    alone = Snapshot(app="web", unit="web/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None


def test_nothing_to_trust_takes_everything_back():
    [publish] = PROVIDER.respond(provider_sees(requested()), []).bags
    assert publish.app == {"certificates": None, "version": None}


def test_the_builders_fit_both_ends():
    for bag in ({}, requested()):
        side = certificate_transfer.provider_side(bag, {})
        seen = client_sees({"remote_app": side.app_bag, "remote_units": {"ca/0": side.unit_bag}})
        assert REQUIRER.read(seen) is not None
    asked = certificate_transfer.requirer_side({}, {})
    assert PROVIDER.requests(provider_sees(asked.app_bag))[0].version == 1
