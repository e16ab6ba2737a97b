"""The charm ceph: plans, from a snapshot."""

import base64
import dataclasses
import json
import pathlib
import uuid

import pytest

from charmkit import plan
from charmkit.interfaces import ceph_client
from charmkit.plan import Status
from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, Snapshot
from charmkit.target import CommandError
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/ceph"
IDENTITY = {"fsid": "f-s-i-d", "mon-key": "AQmon", "admin-key": "AQadmin"}


@pytest.fixture
def charm(load_charm):
    return load_charm("ceph")


@pytest.fixture
def cluster(charm):
    return charm.cluster


@pytest.fixture
def ready():
    """A leader whose cluster is made, with a client."""
    client = ceph_client.requirer_side({}, {})
    relation = RelationData(
        id=4,
        endpoint="ceph",
        app="glance",
        remote_app=client.app_bag,
        remote_units={"glance/0": client.unit_bag},
    )
    peers = RelationData(id=1, endpoint=PEERS, app="ceph", local_app=recorded("glance"))
    return Snapshot(
        app="ceph",
        unit="ceph/0",
        is_leader=True,
        is_machine=True,
        config={"osd-devices": "", "osd-size": 10, "osd-memory": 1024},
        relations={"ceph": (relation,), PEERS: (peers,)},
        optional=frozenset({"ceph"}),
        addresses=Addresses(unit_ip="10.0.0.6", unit_name="m-0"),
        containers={"ceph": ContainerState(can_connect=True, checks={"online": True})},
        machine={"has_monitor": True, "osds": 1, "health": {}},
        own_secrets={"cluster": IDENTITY, "ceph:4": {"key": "AQglance"}},
        entropy=b"c" * 32,
    )


def recorded(*clients, seed="m-0"):
    facts = {"seed": seed, "clients": dict.fromkeys(clients, 4), "version": "16.2.15"}
    record = {"digest": "d", "inputs": [], "facts": facts}
    return {"tasks": json.dumps({"cluster": record})}


def with_peers(snapshot, units=None, local_app=None):
    peers = snapshot.peers
    changed = dataclasses.replace(
        peers,
        remote_units=peers.remote_units if units is None else units,
        local_app=peers.local_app if local_app is None else local_app,
    )
    return dataclasses.replace(snapshot, relations={**snapshot.relations, PEERS: (changed,)})


def new_on_its_machine(snapshot):
    """Give what a unit sees that has made nothing yet."""
    containers = {"ceph": ContainerState(can_connect=True)}
    return dataclasses.replace(snapshot, machine={"has_monitor": False}, containers=containers)


@pytest.fixture
def make(charm):
    templates = Templates(FOLDER / "src/templates")
    return lambda snapshot: plan.make(charm.SERVICE, snapshot, templates)


@pytest.fixture
def tasks(make):
    def requests(snapshot):
        return {each.name: json.loads(each.stdin) for each in make(snapshot).workload.tasks}

    return requests


def files(made):
    return {each.path: each.text for each in made.workload.files}


def bags(made, relation_id):
    found = [each for p in made.publications for each in p.bags if each.relation_id == relation_id]
    app, unit = {}, {}
    for each in found:
        app |= each.app
        unit |= each.unit
    return app, unit


# --- a member ----------------------------------------------------------------------------------


def test_a_cluster_has_an_id_and_keys_that_are_its_own(cluster, ready):
    one = cluster.identity(ready)
    other = cluster.identity(dataclasses.replace(ready, entropy=b"d" * 32))
    assert uuid.UUID(one["fsid"]).version == 4
    assert len(base64.b64decode(one["mon-key"])) == 28
    assert len({*one.values(), *other.values()}) == 6


def test_every_member_knows_the_monitors_that_are_up(make, ready):
    units = {"ceph/1": {"monitor": "10.0.0.7"}, "ceph/2": {}}
    text = files(make(with_peers(ready, units)))["/etc/ceph/ceph.conf"]
    assert "mon_host = [v2:10.0.0.6:3300],[v2:10.0.0.7:3300]\n" in text


def test_nothing_is_sent_in_plain(make, ready):
    lines = files(make(ready))["/etc/ceph/ceph.conf"].splitlines()
    assert "ms_bind_msgr1 = false" in lines
    modes = [line for line in lines if line.startswith("ms_") and "_mode =" in line]
    assert len(modes) == 6
    assert {line.split(" = ")[1] for line in modes} == {"secure"}


def test_spaces_decide_about_addresses(make, ready):
    bindings = {"public": "10.1.0.6", "cluster": "10.2.0.6"}
    where = dataclasses.replace(ready.addresses, bindings=bindings)
    text = files(make(dataclasses.replace(ready, addresses=where)))["/etc/ceph/ceph.conf"]
    assert "public_addr = 10.1.0.6\ncluster_addr = 10.2.0.6\n" in text


def test_addresses_of_version_6_are_written_as_such(make, ready):
    where = dataclasses.replace(ready.addresses, unit_ip="fd00::6")
    text = files(make(dataclasses.replace(ready, addresses=where)))["/etc/ceph/ceph.conf"]
    assert "mon_host = [v2:[fd00::6]:3300]\n" in text
    assert "ms_bind_ipv4 = false\nms_bind_ipv6 = true\n" in text


def test_a_new_member_restarts_no_daemon(make, ready):
    def digests(snapshot):
        return [each.digest for each in make(snapshot).workload.units]

    joined = with_peers(ready, {"ceph/1": {"monitor": "10.0.0.7", "osds": "1"}})
    assert digests(ready) == digests(joined) == ["", ""]


def test_units_bear_the_name_of_the_machine(make, ready):
    names = [each.name for each in make(ready).workload.units]
    assert names == ["ceph-mon@m-0.service", "ceph-mgr@m-0.service"]


def test_no_key_stands_in_a_command(make, ready):
    for task in make(ready).workload.tasks:
        assert not set(task.argv) & {"AQmon", "AQadmin", "AQglance"}


# --- first and further members -----------------------------------------------------------------


def test_the_leader_makes_the_cluster_where_there_is_none(tasks, ready):
    new = with_peers(dataclasses.replace(ready, machine={"has_monitor": False}), local_app={})
    wanted = tasks(new)["monitor"]
    assert (wanted["seed"], wanted["node"], wanted["confirmed"]) == ("m-0", "m-0", False)


def test_a_cluster_that_is_recorded_counts(tasks, ready):
    assert tasks(ready)["monitor"]["confirmed"] is True


def test_a_leader_that_came_later_joins(tasks, ready):
    local_app = recorded(seed="m-9")
    late = with_peers(ready, {"ceph/9": {"monitor": "10.0.0.9"}}, local_app)
    late = dataclasses.replace(late, machine={"has_monitor": False})
    assert tasks(late)["monitor"]["seed"] == "m-9"


def test_a_member_waits_for_the_first_one(make, ready):
    late = dataclasses.replace(new_on_its_machine(ready), is_leader=False)
    nothing = with_peers(late, local_app={})
    assert make(nothing).status == Status("waiting", "waiting for the leader: making the cluster")
    made = with_peers(late, local_app=recorded(seed="m-9"))
    assert make(made).status == Status("waiting", "waiting for the monitor of another unit")
    up = with_peers(made, {"ceph/9": {"monitor": "10.0.0.9"}})
    assert make(up).status == Status("active")


def test_who_made_the_cluster_and_left_waits_for_the_others_too(make, ready):
    again = new_on_its_machine(ready)
    assert make(again).status == Status("waiting", "waiting for the monitor of another unit")
    up = with_peers(again, {"ceph/1": {"monitor": "10.0.0.7"}})
    assert make(up).status == Status("active")


def test_what_was_made_in_this_dispatch_counts(make, ready):
    # The machine was looked at before; the record is written in the same dispatch.
    made = make(dataclasses.replace(ready, machine={"has_monitor": False}))
    assert made.status == Status("active")
    assert "tasks" in bags(made, 1)[0]


def test_a_member_that_lost_all_others_goes_on(make, ready):
    alone = with_peers(ready, {}, recorded(seed="m-9"))
    assert make(dataclasses.replace(alone, is_leader=False)).status == Status("active")


def test_members_tell_each_other_once_they_are_up(make, ready):
    assert bags(make(ready), 1)[1] == {"monitor": "10.0.0.6", "osds": "1"}
    down = dataclasses.replace(ready, containers={"ceph": ContainerState(can_connect=True)})
    assert bags(make(down), 1)[1] == {}


def test_osds_of_others_make_the_leader_look_again(make, ready):
    def digest(snapshot):
        [task] = [each for each in make(snapshot).workload.tasks if each.name == "cluster"]
        return task.digest

    more = with_peers(ready, {"ceph/1": {"monitor": "10.0.0.7", "osds": "2"}})
    assert digest(ready) != digest(more)


# --- storage -----------------------------------------------------------------------------------


def test_without_devices_an_osd_is_made_in_a_file(tasks, ready):
    assert tasks(ready)["storage"] == {"devices": [], "size": 10 << 30}


def test_devices_are_taken_from_the_option(tasks, ready):
    config = {**ready.config, "osd-devices": " /dev/vdb  /dev/disk/by-id/x-1 "}
    wanted = tasks(dataclasses.replace(ready, config=config))["storage"]
    assert wanted["devices"] == ["/dev/vdb", "/dev/disk/by-id/x-1"]


@pytest.mark.parametrize("text", ["vdb", "/dev/vdb,/dev/vdc", "/dev/vdb; true"])
def test_what_is_no_list_of_devices_is_refused(make, ready, text):
    status = make(dataclasses.replace(ready, config={**ready.config, "osd-devices": text})).status
    assert status.name == "blocked"
    assert status.message.startswith("osd-devices: cannot be")


def test_the_memory_of_osds_is_a_setting_of_the_cluster(tasks, ready):
    settings = tasks(ready)["cluster"]["settings"]
    assert ["osd", "osd_memory_target", str(1024 << 20)] in settings


# --- clients -----------------------------------------------------------------------------------


def test_the_leader_makes_what_clients_ask_for(tasks, ready):
    [client] = tasks(ready)["cluster"]["clients"]
    assert (client["name"], client["key"]) == ("glance", "AQglance")
    assert [pool["name"] for pool in client["pools"]] == ["glance"]


def test_a_client_without_units_is_kept_while_its_relation_is_there(tasks, ready):
    [relation] = ready.related("ceph")
    empty = dataclasses.replace(relation, remote_units={})
    away = dataclasses.replace(ready, relations={**ready.relations, "ceph": (empty,)})
    asked = tasks(away)["cluster"]
    assert (asked["clients"], asked["kept"]) == ([], {"glance": 4})
    gone = dataclasses.replace(ready, relations={**ready.relations, "ceph": ()})
    assert tasks(gone)["cluster"]["kept"] == {}
    assert tasks(ready)["cluster"]["kept"] == {}


def test_a_client_of_a_relation_before_this_one_is_no_answer(make, ready):
    [relation] = ready.related("ceph")
    again = dataclasses.replace(relation, id=7)
    again = dataclasses.replace(ready, relations={**ready.relations, "ceph": (again,)})
    assert bags(make(again), 7) == ({}, {}), "its key is not in the cluster yet"


def test_a_client_is_answered_when_it_is_there(make, ready):
    app, unit = bags(make(ready), 4)
    assert json.loads(unit["broker-rsp-glance-0"])["exit-code"] == 0
    assert json.loads(app["ceph-mon-public-addresses"]) == ["10.0.0.6"]
    waiting = with_peers(ready, local_app=recorded())
    assert bags(make(waiting), 4) == ({}, {})


def test_a_follower_answers_with_its_own_monitor(make, ready):
    _, unit = bags(make(dataclasses.replace(ready, is_leader=False)), 4)
    assert unit["ceph-public-address"] == "10.0.0.6"


def test_a_follower_makes_no_key(make, ready):
    secrets = {"cluster": IDENTITY}
    late = dataclasses.replace(ready, is_leader=False, own_secrets=secrets)
    assert bags(make(late), 4) == ({}, {})


# --- health ------------------------------------------------------------------------------------


def health(status, **checks):
    return {
        "status": status,
        "checks": {
            name: {"summary": {"message": text}, "muted": False} for name, text in checks.items()
        },
    }


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        ({}, Status("active")),
        (health("HEALTH_OK"), Status("active")),
        (health("HEALTH_WARN", TOO_FEW_OSDS="x"), Status("active")),
        (health("HEALTH_WARN", OSD_DOWN="1 down"), Status("active", "HEALTH_WARN: 1 down")),
        (
            health("HEALTH_ERR", OSD_FULL="1 full osd(s)"),
            Status("blocked", "HEALTH_ERR: 1 full osd(s); see the action show-status"),
        ),
    ],
)  # fmt: skip
def test_what_ceph_warns_of_is_shown(make, ready, seen, status):
    machine = {**ready.machine, "health": seen}
    made = make(dataclasses.replace(ready, machine=machine))
    assert made.status == status
    assert made.workload is not None, "an ill cluster is still brought to what is wanted"


class Sight:
    def __init__(self, files, answer):
        self.files = files
        self.answer = answer

    def read(self, path):
        return self.files.get(path)

    def run(self, argv, *, stdin="", timeout=120):
        if self.answer is None:
            raise CommandError(argv, 1, "no answer")
        return self.answer


def test_a_machine_without_a_cluster_is_not_asked(cluster, ready):
    seen = cluster.look(ready, Sight({}, None))
    assert seen == {"has_monitor": False, "osds": 0, "health": {}}


@pytest.mark.parametrize(("answer", "found"), [(None, {}), ('{"status": "HEALTH_OK"}', None)])
def test_a_cluster_that_does_not_answer_is_no_error(cluster, ready, answer, found):
    files = {cluster.MADE: "{}", cluster.OSDS: '{"file-0": {"id": 0}}'}
    seen = cluster.look(ready, Sight(files, answer))
    assert (seen["has_monitor"], seen["osds"]) == (True, 1)
    assert seen["health"] == (found if found is not None else {"status": "HEALTH_OK"})
