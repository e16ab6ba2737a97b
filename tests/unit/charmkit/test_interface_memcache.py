"""`memcache`: both ends against each other."""

import pytest

from charmkit.interfaces import memcache
from charmkit.spec import RelationData, Snapshot

REQUIRER = memcache.Requirer()
PROVIDER = memcache.Provider()


def sees(remote_units=None):
    relation = RelationData(id=4, endpoint="cache", app="other", remote_units=remote_units or {})
    return Snapshot(app="ours", unit="ours/0", relations={"cache": (relation,)})


def published(host):
    [bag] = PROVIDER.respond(sees(), host=host, port=11211).bags
    return bag.unit


def test_a_client_reads_every_unit_in_one_order():
    units = {"memcached/1": published("b"), "memcached/0": published("a")}
    assert REQUIRER.read(sees(units)).servers == ("a:11211", "b:11211")


def test_a_unit_that_does_not_answer_takes_its_address_back():
    assert set(published("").values()) == {None}


@pytest.mark.parametrize("bag", [{}, {"host": "a"}, {"port": "11211"}])
def test_half_an_answer_is_no_server_and_keeps_nobody_waiting(bag):
    assert REQUIRER.read(sees({"memcached/0": bag})) == memcache.Cache(())
    assert REQUIRER.read(sees()) == memcache.Cache(())


def test_without_a_relation_there_is_nothing_to_ask_or_read():
    alone = Snapshot(app="ours", unit="ours/0")
    assert REQUIRER.request(alone) is None
    assert REQUIRER.read(alone) is None
    assert PROVIDER.respond(alone, host="a", port=1).bags == ()


def test_the_test_data_of_a_server_is_what_a_client_reads():
    side = memcache.provider_side({}, {})
    assert REQUIRER.read(sees({"memcached/0": side.unit_bag}))
    assert len(PROVIDER.requests(sees())) == 1
    assert memcache.requirer_side({}, {}).app_bag == {}
