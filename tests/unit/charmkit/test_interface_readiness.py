"""`placement` and `glance`: a client waits until the service can be used."""

import pytest

from charmkit.interfaces import glance, placement
from charmkit.spec import RelationData, Snapshot

BOTH = pytest.mark.parametrize(
    ("interface", "endpoint"), [(placement, "placement"), (glance, "image-service")]
)


def sees(endpoint, bag):
    relation = RelationData(id=1, endpoint=endpoint, remote_app=bag)
    return Snapshot(app="nova", unit="nova/0", relations={endpoint: (relation,)})


@BOTH
@pytest.mark.parametrize("ready", [True, False])
def test_a_client_reads_what_the_service_tells(interface, endpoint, ready):
    [bag] = interface.Provider().respond(sees(endpoint, {}), ready=ready).bags
    read = interface.Requirer().read(sees(endpoint, bag.app))
    assert read == (interface.Ready() if ready else None)


@BOTH
@pytest.mark.parametrize("bag", [{}, {"ready": "perhaps"}, {"ready": "1"}])
def test_what_is_no_yes_is_none(interface, endpoint, bag):
    assert interface.Requirer().read(sees(endpoint, bag)) is None


@BOTH
def test_the_test_data_of_the_service_is_what_a_client_reads(interface, endpoint):
    side = interface.provider_side({}, {})
    assert interface.Requirer().read(sees(endpoint, side.app_bag)) == interface.Ready()
