"""`ovsdb-cms`: both ends against each other, and against what the published library writes."""

import pytest

from charmkit.interfaces import ovsdb_cms
from charmkit.spec import RelationData, Snapshot

REQUIRER = ovsdb_cms.Requirer()
OUTSIDE = ovsdb_cms.Requirer(external=True)
PROVIDER = ovsdb_cms.Provider()


def sees(remote_app=None, remote_units=None):
    relation = RelationData(
        id=4,
        endpoint="ovsdb-cms",
        app="other",
        remote_app=remote_app or {},
        remote_units=remote_units or {},
    )
    return Snapshot(app="ours", unit="ours/0", relations={"ovsdb-cms": (relation,)})


def texts(bag):
    return {key: value for key, value in bag.items() if value}


def respond(hostname="ovn-0", address="10.1.0.1", load_balancer=""):
    [bag] = PROVIDER.respond(
        sees(), hostname=hostname, address=address, load_balancer=load_balancer
    ).bags
    return texts(bag.app), texts(bag.unit)


def test_a_client_in_the_cluster_knows_every_server():
    app, first = respond("ovn-0", "10.1.0.1")
    _, second = respond("ovn-1", "10.1.0.2")
    found = REQUIRER.read(sees(app, {"ovn/1": second, "ovn/0": first}))
    assert found.northbound == "ssl:10.1.0.1:6641,ssl:10.1.0.2:6641"
    assert found.southbound == "ssl:10.1.0.1:6642,ssl:10.1.0.2:6642"
    assert found.southbound_admin == "ssl:10.1.0.1:16642,ssl:10.1.0.2:16642"


def test_a_machine_waits_for_the_address_that_it_reaches_and_uses_only_that():
    app, unit = respond()
    assert OUTSIDE.read(sees(app, {"ovn/0": unit})) is None
    app, unit = respond(load_balancer="10.0.0.9")
    found = OUTSIDE.read(sees(app, {"ovn/0": unit}))
    assert (found.southbound, found.southbound_admin) == (
        "ssl:10.0.0.9:6642",
        "ssl:10.0.0.9:16642",
    )
    assert found.northbound == ""


def test_a_unit_that_does_not_answer_takes_its_address_back():
    _, unit = respond(hostname="", address="")
    assert unit == {}
    assert REQUIRER.read(sees({}, {"ovn/0": unit})) is None


@pytest.mark.parametrize(("requirer", "external"), [(REQUIRER, False), (OUTSIDE, True)])
def test_the_provider_sees_who_is_outside(requirer, external):
    [publish] = requirer.request(sees()).bags
    relation = sees(publish.app).relation("ovsdb-cms")
    assert PROVIDER.is_external(relation) is external


def test_an_address_of_version_6_stands_in_brackets():
    assert ovsdb_cms.connection(["fd00::1"], 6642) == "ssl:[fd00::1]:6642"


def test_a_published_provider_without_names_is_understood():
    found = REQUIRER.read(sees({}, {"ovn/0": {"bound-address": "10.1.0.4"}}))
    assert found.southbound == "ssl:10.1.0.4:6642"


def test_a_published_proxy_gives_the_strings_themselves():
    told = {
        "proxy-relation": "true",
        "db_nb_connection_strs": "ssl:10.0.0.1:6641",
        "db_sb_connection_strs": "ssl:10.0.0.1:6642",
    }
    for requirer in (REQUIRER, OUTSIDE):
        found = requirer.read(sees(told))
        assert (found.northbound, found.southbound_admin) == (
            "ssl:10.0.0.1:6641",
            "ssl:10.0.0.1:6642",
        )
    assert REQUIRER.read(sees({"proxy-relation": "true"})) is None


def test_without_a_relation_there_is_nothing_to_ask_or_read():
    alone = Snapshot(app="ours", unit="ours/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None


def test_the_test_data_of_a_server_is_what_clients_read():
    side = ovsdb_cms.provider_side({}, {})
    world = sees(side.app_bag, {"ovn/0": side.unit_bag})
    assert REQUIRER.read(world).northbound
    assert OUTSIDE.read(world).southbound
    client = ovsdb_cms.requirer_side({}, {}).app_bag
    assert not PROVIDER.is_external(sees(client).relation("ovsdb-cms"))
    assert len(PROVIDER.requests(sees())) == 1
