"""`cinder-backend`: both ends against each other, and against what published charms write."""

import pytest

from charmkit.interfaces import cinder_backend
from charmkit.interfaces.cinder_backend import Backend
from charmkit.spec import RelationData, Snapshot

REQUIRER = cinder_backend.Requirer()
PROVIDER = cinder_backend.Provider()


def sees(*remote):
    relations = tuple(
        RelationData(id=number, endpoint="storage-backend", remote_app=bag)
        for number, bag in enumerate(remote)
    )
    return Snapshot(app="a", unit="a/0", relations={"storage-backend": relations})


def test_the_api_reads_what_the_services_tell():
    ceph, lvm = Backend(name="ceph", driver="ceph"), Backend(name="fast", driver="lvm")
    [first] = PROVIDER.respond(sees({}), backends=[lvm, ceph]).bags
    [second] = PROVIDER.respond(sees({}), backends=[ceph]).bags
    assert REQUIRER.read(sees(first.app, second.app)) == (ceph, lvm)


@pytest.mark.parametrize("bag", [{}, {"backends": "nonsense"}, {"backends": '[{"x": 1}, 2]'}])
def test_a_service_that_tells_nothing_is_storage_too(bag):
    assert REQUIRER.read(sees(bag)) == ()


def test_no_service_is_no_storage():
    assert REQUIRER.read(sees()) is None


def test_a_service_waits_for_every_api():
    [ready] = REQUIRER.answer(sees({}), ready=True).bags
    [late] = REQUIRER.answer(sees({}), ready=False).bags
    assert ready.app == {"ready": "true"}
    assert PROVIDER.is_ready(sees(ready.app))
    assert not PROVIDER.is_ready(sees(ready.app, late.app))
    assert not PROVIDER.is_ready(sees({}))
    assert not PROVIDER.is_ready(sees())


def test_test_data_fit_together():
    assert PROVIDER.is_ready(sees(cinder_backend.requirer_side({}, {}).app_bag))
    [backend] = REQUIRER.read(sees(cinder_backend.provider_side({}, {}).app_bag))
    assert backend == Backend(name="ceph", driver="ceph")
