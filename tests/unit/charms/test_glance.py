"""The charm glance-k8s: plans, from a snapshot."""

import dataclasses
import json

import plans
import pytest
from plans import configured, files

from charmkit import plan
from charmkit.interfaces import ceph_client
from charmkit.spec import PEERS, ContainerState, RelationData

CEPH = ceph_client.Ceph(
    monitors=("10.9.0.11", "10.9.0.12"),
    user="glance",
    key="s3cret-ceph",
    pools=("glance",),
    fsid="2222",
)


@pytest.fixture
def make(make_plan):
    """Plan for a snapshot, with Ceph or without."""

    def make(snapshot, ceph=None, cache=None):
        return make_plan("glance-k8s", snapshot, ceph=ceph, cache=cache)

    return make


@pytest.fixture
def ready():
    return plans.sees("glance-k8s")


def conf(made):
    return plans.conf(made, "/etc/glance/glance-api.conf")


def with_record(snapshot, task, inputs=()):
    done = json.dumps({task: {"digest": "d", "inputs": list(inputs)}})
    relation = RelationData(id=9, endpoint=PEERS, local_app={"tasks": done})
    return dataclasses.replace(snapshot, relations={**snapshot.relations, PEERS: (relation,)})


def test_images_are_on_the_storage_without_ceph(make, ready):
    found = conf(make(ready))
    assert found["DEFAULT"]["enabled_backends"] == "file:file"
    assert found["glance_store"]["default_backend"] == "file"
    assert found["file"]["filesystem_store_datadir"] == "/var/lib/glance/images"
    assert "ceph" not in found


def test_new_images_are_in_ceph_and_the_old_ones_stay_readable(make, ready):
    found = conf(make(ready, ceph=CEPH))
    assert found["DEFAULT"]["enabled_backends"] == "ceph:rbd, file:file"
    assert found["glance_store"]["default_backend"] == "ceph"
    assert found["ceph"]["rbd_store_pool"] == "glance"
    assert found["ceph"]["rbd_store_user"] == "glance"


def test_the_key_of_ceph_is_for_glance_only(make, ready):
    made = make(ready, ceph=CEPH)
    holders = [path for path, each in files(made).items() if "s3cret-ceph" in each.text]
    assert holders == ["/etc/glance/ceph.keyring"]
    keyring = files(made)["/etc/glance/ceph.keyring"]
    assert (keyring.mode, keyring.group) == (0o640, "glance")


def test_of_several_units_only_the_first_serves_without_a_store_that_they_share(make, ready):
    first = dataclasses.replace(ready, planned_units=3)
    second = dataclasses.replace(first, unit="glance/1")
    alone = plan.Status("blocked", "several units need a store that they share: integrate ceph")
    assert make(first).status == make(second).status == alone
    assert make(first).workload is not None, "images are on its storage"
    assert make(second).workload is None
    assert make(second, ceph=CEPH).status.name == "active"


def test_ceph_is_missed_once_there_are_images_in_it(make, ready):
    used = with_record(ready, "pool")
    made = make(used)
    assert made.status == plan.Status("blocked", "missing integration: ceph, where images are")
    assert made.workload is None, "what runs goes on with what it has"
    assert make(used, ceph=CEPH).status.name == "active"


def test_the_pool_is_opened_before_anything_is_kept_there(make, ready):
    tasks = make(ready, ceph=CEPH).workload.tasks
    assert [(task.name, task.on) for task in tasks] == [
        ("folders", "unit"),
        ("pool", "leader"),
        ("schema", "leader"),
    ]
    assert {task.when for task in tasks} == {"before-start"}


def test_every_unit_makes_its_own_folders(make, ready):
    follower = dataclasses.replace(
        with_record(ready, "schema", inputs=["mariadb:3306", "glance", "user-glance"]),
        is_leader=False,
        own_secrets={"token-cache": {"key": "k" * 43}},
    )
    [task] = make(follower).workload.tasks
    assert (task.name, task.user) == ("folders", "root")


def test_other_units_find_an_import_by_the_unit_that_has_it(make, ready):
    found = conf(make(ready))
    assert found["DEFAULT"]["worker_self_reference_url"] == "https://glance-0.test:9292"


def test_nothing_is_fetched_that_a_user_names(make, ready):
    assert "web-download" not in conf(make(ready))["DEFAULT"]["enabled_import_methods"]


def test_tokens_are_encrypted_before_they_are_cached(make, ready):
    class Cache:
        servers = ("memcached-0:11211",)

    found = conf(make(ready, cache=Cache()))["keystone_authtoken"]
    assert found["memcached_servers"] == "memcached-0:11211"
    assert found["memcache_security_strategy"] == "ENCRYPT"
    assert len(found["memcache_secret_key"]) == 43


def test_clients_hear_that_glance_is_ready_when_it_answers(make, ready):
    def heard(snapshot):
        bags = [bag.app for each in make(snapshot).publications for bag in each.bags]
        return [bag["ready"] for bag in bags if "ready" in bag]

    assert heard(ready) == ["false"]
    up = {"glance": ContainerState(can_connect=True, checks={"online": True})}
    assert heard(dataclasses.replace(ready, containers=up)) == ["true"]


def test_copies_are_asked_of_ceph_only_if_an_operator_says_so(load_charm, ready):
    pools = load_charm("glance-k8s").glance.CEPH.pools
    assert pools(ready)[0].replicas == 0
    [pool] = pools(configured(ready, ceph_pool_replicas=2))
    assert (pool.name, pool.group, pool.replicas) == ("glance", "images", 2)


def test_charm_py_stays_short():
    assert len((plans.CHARMS / "glance-k8s/src/charm.py").read_text().splitlines()) < 70
