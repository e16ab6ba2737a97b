"""ovn-central-k8s: members, listeners, and what clients are told."""

import dataclasses
import json
import pathlib
import sys

import pytest

from charmkit import plan
from charmkit.interfaces import tls_certificates
from charmkit.spec import Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

CHARM = pathlib.Path(__file__).parents[3] / "charms/ovn-central-k8s"
SCRIPTS = CHARM / "src/templates"
CHECKS = ("online", "online-ovsdb-sb", "online-northd")


@pytest.fixture
def charm(load_charm):
    return load_charm("ovn-central-k8s")


@pytest.fixture
def service(charm, with_needs):
    certificate = tls_certificates.Certificate(certificate="cert", private_key="key", ca="CA")
    return with_needs(charm.SERVICE, certificates=certificate)


def sees(*, unit=0, planned=1, peers=None, online=True, listens=True, external=False, **changes):
    """Give what a unit sees; `peers`: number of another unit → database → identity."""
    record = {"listeners": {"digest": "d", "inputs": [], "facts": {"ports": ["pssl:6641"]}}}
    bags = {
        f"ovn/{number}": {"members": json.dumps(told)} if told else {}
        for number, told in (peers or {}).items()
    }
    peer = RelationData(
        id=1,
        endpoint="peers",
        app="ovn",
        local_app={"tasks": json.dumps(record)} if listens else {},
        remote_units=bags,
    )
    client = RelationData(
        id=10,
        endpoint="ovsdb-cms",
        app="neutron",
        remote_app={"external-connectivity": json.dumps(external)},
    )
    state = ContainerState(can_connect=True, checks=dict.fromkeys(CHECKS, online))
    snapshot = Snapshot(
        app="ovn",
        unit=f"ovn/{unit}",
        model="cloud",
        is_leader=True,
        planned_units=planned,
        config={"election-timer": 4, "inactivity-probe": 60},
        relations={"peers": (peer,), "ovsdb-cms": (client,)},
        optional=frozenset({"certificates"}),
        addresses=Addresses(
            unit_ip="10.1.0.5",
            unit_name=f"ovn-{unit}.ovn-endpoints.cloud.svc.cluster.local",
            service_name="ovn.cloud.svc.cluster.local",
        ),
        containers={"ovn-central": state},
        entropy=b"e" * 32,
    )
    return dataclasses.replace(snapshot, **changes)


def host(number):
    return f"ovn-{number}.ovn-endpoints.cloud.svc.cluster.local"


def make(service, charm, snapshot):
    return plan.make(service, snapshot, Templates(SCRIPTS))


def told(made):
    [bag] = [
        bag
        for publication in made.publications
        for bag in publication.bags
        if bag.relation_id == 10
    ]
    return {key: value for key, value in {**bag.app, **bag.unit}.items() if value}


# --- members -----------------------------------------------------------------------------------


def test_the_first_unit_founds_the_clusters_unless_others_belong_to_them(charm):
    assert charm.ovn.membership(sees()).may_found
    assert charm.ovn.membership(sees(planned=2, peers={1: {}})).may_found
    assert not charm.ovn.membership(sees(planned=2, peers={1: {"nb": "a"}})).may_found
    assert not charm.ovn.membership(sees(unit=1, planned=2)).may_found


def test_the_roll_names_planned_units_with_the_identities_that_they_told(charm):
    snapshot = sees(planned=3, peers={1: {"nb": "b1", "sb": "b2"}, 2: {}, 3: {"nb": "d1"}})
    roll = charm.ovn.roll(snapshot, {"nb": "a1", "sb": "a2"})
    assert roll["nb"] == {host(0): "a1", host(1): "b1", host(2): ""}
    assert roll["sb"] == {host(0): "a2", host(1): "b2", host(2): ""}


def test_identities_are_read_from_the_storage(charm, tmp_path):
    assert charm.ovn.read(tmp_path) == {}
    (tmp_path / "nb.sid").write_text("6c35b8ea\n")
    assert charm.ovn.read(tmp_path) == {"nb": "6c35b8ea"}


@pytest.mark.parametrize("online", [True, False])
def test_a_unit_tells_its_identities_while_it_answers(charm, service, tmp_path, online):
    (tmp_path / "nb.sid").write_text("6c35b8ea\n")
    snapshot = sees(online=online, storage={"data": (str(tmp_path),)})
    texts = [
        bag.unit["members"]
        for publication in make(service, charm, snapshot).publications
        for bag in publication.bags
        if "members" in bag.unit
    ]
    assert texts == ['{"nb": "6c35b8ea"}' if online else None]


def test_members_restart_northd_and_no_database(charm, service):
    before = make(service, charm, sees()).workload
    after = make(service, charm, sees(planned=3, peers={1: {}, 2: {}})).workload
    changed = [name for name in before.services if before.services[name] != after.services[name]]
    assert changed == ["northd"]


def test_a_new_certificate_restarts_northd_and_no_database(charm, service, with_needs):
    renewed = tls_certificates.Certificate(certificate="new", private_key="new", ca="new")
    before = make(service, charm, sees()).workload
    after = make(with_needs(service, certificates=renewed), charm, sees()).workload
    changed = [name for name in before.services if before.services[name] != after.services[name]]
    assert changed == ["northd"]


def test_keys_are_for_the_databases_alone(charm, service):
    [key] = [
        each
        for each in make(service, charm, sees()).workload.files
        if each.path.endswith("key.pem")
    ]
    assert (key.mode, key.user, key.text) == (0o400, "ovn", "key")


# --- clients -----------------------------------------------------------------------------------


def test_clients_are_told_where_a_unit_is_once_its_ports_are_open(charm, service):
    found = told(make(service, charm, sees()))
    assert found == {"bound-hostname": host(0), "bound-address": "10.1.0.5"}
    assert told(make(service, charm, sees(listens=False))) == {}
    assert told(make(service, charm, sees(online=False))) == {}


def test_machines_are_told_the_address_that_they_reach(charm, service):
    waiting = make(service, charm, sees(external=True))
    assert waiting.status == plan.Status("waiting", "waiting for the address of the load balancer")
    reached = make(service, charm, sees(external=True, load_balancer="10.0.0.9"))
    assert reached.status == plan.Status("active")
    assert told(reached)["loadbalancer-address"] == "10.0.0.9"


def test_machines_do_not_reach_the_northbound_database(charm):
    assert sorted(charm.SERVICE.load_balancer.ports.values()) == [6642, 16642]
    assert all(len(name) <= 15 for name in charm.SERVICE.load_balancer.ports)


# --- the scripts beside the servers ------------------------------------------------------------

STATUS = """\
6c35
Name: OVN_Northbound
Cluster ID: 84e4 (84e47e95-0642-47bf-9334-735c9c951a78)
Server ID: 6c35 (6c35b8ea-f3fb-4cd8-8ca7-fc97739990e0)
Address: ssl:{me}:6643
Status: cluster member
Role: {role}
Term: 1
Leader: self
Election timer: {timer}
Servers:
{servers}
"""


class Clusters:
    """The servers' answers, as ovs-appctl and the databases' tools print them."""

    def __init__(self, module):
        self.module = module
        self.members = {"nb": {"6c35": host(0)}, "sb": {"f686": host(0)}}
        self.timer = {"nb": 1000, "sb": 1000}
        self.role = "leader"
        self.rows = {"nb": [], "sb": []}
        self.left = set()
        self.leaving = 0  # how often a member is asked before it is let go
        self.converted = set()
        self.outdated = set()
        self.commands = []

    def run(self, *argv, timeout=60):
        self.commands.append(argv)
        text = " ".join(argv)
        short = next(each for each in ("nb", "sb") if f"/run/ovn/{each}." in text)
        if argv[0] == "ovs-appctl":
            return self._appctl(short, argv[3], argv[5:])
        if argv[0] == "ovsdb-client":
            if "convert" in argv:
                self.converted.add(short)
            return "yes\n" if short in self.outdated - self.converted else "no\n"
        if "list" in argv:
            columns = ["target", "inactivity_probe"] + (["role"] if short == "sb" else [])
            rows = [[row[name] for name in columns] for row in self.rows[short]]
            return json.dumps({"headings": columns, "data": rows})
        probe = int(next(each for each in argv if "probe" in each).partition("=")[2])
        words = argv[argv.index("set-connection") + 1 :]
        database = dataclasses.replace(self.module.DATABASES[short], listeners=tuple(words))
        self.rows[short] = [
            {"target": target, "role": role, "inactivity_probe": probe}
            for target, role, probe in self.module.rows(database, probe)
        ]
        return ""

    def _appctl(self, short, command, argv):
        if short in self.left:
            raise self.module.ToolError("ovs-appctl: unknown cluster ovs-appctl: server error")
        if command == "cluster/status":
            port = self.module.DATABASES[short].raft
            servers = "\n".join(
                f"    {member} ({member} at ssl:{where}:{port}) last msg 711 ms ago"
                for member, where in self.members[short].items()
            )
            return STATUS.format(
                me=host(0), role=self.role, timer=self.timer[short], servers=servers
            )
        if command == "cluster/kick":
            del self.members[short][argv[0]]
        elif command == "cluster/leave":
            if self.leaving:
                self.leaving -= 1
            else:
                self.left.add(short)
        elif command == "cluster/change-election-timer":
            wanted = int(argv[0])
            assert wanted <= 2 * self.timer[short], "a cluster refuses more than twice"
            self.timer[short] = wanted
        return ""


@pytest.fixture
def cluster(load_script, monkeypatch, tmp_path):
    module = load_registered(monkeypatch, "cluster")
    facts = {"me": host(0), "others": [host(1)], "may_found": True, "election_timer": 4000}
    (tmp_path / "cluster.json").write_text(json.dumps(facts))
    monkeypatch.setattr(module, "FACTS", tmp_path / "cluster.json")
    monkeypatch.setattr(module, "STORAGE", tmp_path)
    clock = iter(range(100000))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    return module


def load_registered(monkeypatch, name):
    """Import a script under its own name: dataclasses look their module up."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clusters(cluster, monkeypatch):
    found = Clusters(cluster)
    monkeypatch.setattr(cluster, "run", found.run)
    return found


def test_a_member_that_is_not_on_the_roll_is_struck_off(cluster, clusters):
    clusters.members["nb"]["cca7"] = host(2)
    cluster.keep({"nb": {host(0): "6c35b8ea"}, "sb": {host(0): "f686"}})
    assert clusters.members == {"nb": {"6c35": host(0)}, "sb": {"f686": host(0)}}


def test_a_member_that_may_still_leave_by_itself_is_given_the_time(cluster, clusters, monkeypatch):
    clusters.members["nb"]["cca7"] = host(2)
    monkeypatch.setattr(
        cluster.time, "sleep", lambda seconds: clusters.members["nb"].pop("cca7", None)
    )
    cluster.keep({"nb": {host(0): ""}, "sb": {host(0): ""}})
    assert "cluster/kick" not in [argv[3] for argv in clusters.commands]


def test_what_a_unit_was_before_it_lost_its_data_is_struck_off_at_once(
    cluster, clusters, monkeypatch
):
    monkeypatch.setattr(cluster, "PATIENCE", 10**6)
    clusters.members["nb"] |= {"a5b8": host(1), "0c56": host(1)}
    cluster.keep({"nb": {host(0): "6c35", host(1): "0c56aa"}, "sb": {host(0): "f686"}})
    assert clusters.members["nb"] == {"6c35": host(0), "0c56": host(1)}


def test_a_member_whose_identity_is_not_known_yet_stays(cluster, clusters):
    clusters.members["nb"]["a5b8"] = host(1)
    cluster.keep({"nb": {host(0): "6c35", host(1): ""}, "sb": {host(0): "f686"}})
    assert "a5b8" in clusters.members["nb"]


def test_a_unit_leaves_both_clusters_and_their_data(cluster, clusters, tmp_path):
    clusters.leaving = 2
    (tmp_path / "nb.db").write_text("data")
    cluster.leave()
    assert clusters.left == {"nb", "sb"}
    assert not (tmp_path / "nb.db").exists()
    cluster.leave()  # and again


def test_a_cluster_that_does_not_let_go_is_a_failure(cluster, clusters, tmp_path):
    clusters.leaving = 10**6
    with pytest.raises(cluster.ToolError, match="does not let us go"):
        cluster.leave()


def test_a_failure_tells_all_that_the_program_said(cluster):
    with pytest.raises(cluster.ToolError, match="sh: unknown cluster sh: server error"):
        cluster.run("sh", "-c", "echo unknown cluster >&2; echo sh: server error >&2; exit 2")


def test_hypervisors_have_a_port_with_a_role(cluster, clusters):
    assert cluster.listen(60000) == ["pssl:6641", "pssl:6642", "pssl:16642"]
    roles = {row["target"]: row["role"] for row in clusters.rows["sb"]}
    assert roles == {"pssl:6642": "ovn-controller", "pssl:16642": ""}


def test_listeners_that_are_right_are_not_written_again(cluster, clusters):
    cluster.listen(60000)
    clusters.commands.clear()
    cluster.listen(60000)
    assert not [argv for argv in clusters.commands if "set-connection" in argv]
    cluster.listen(30000)
    assert {row["inactivity_probe"] for row in clusters.rows["sb"]} == {30000}


def test_a_newer_schema_is_brought_in_once(cluster, clusters):
    clusters.outdated = {"sb"}
    cluster.listen(60000)
    assert clusters.converted == {"sb"}


def test_the_election_timer_grows_by_steps_where_the_unit_leads(cluster, clusters, monkeypatch):
    timer = load_registered(monkeypatch, "timer")
    timer.main(5000)
    assert clusters.timer == {"nb": 5000, "sb": 5000}
    clusters.role = "follower"
    timer.main(9000)
    assert clusters.timer == {"nb": 5000, "sb": 5000}


# --- the start of a server ---------------------------------------------------------------------


@pytest.fixture
def start(cluster, monkeypatch):
    module = load_registered(monkeypatch, "start")
    calls = []

    def tool(*argv):
        if argv[0] == "db-cid":
            raise module.subprocess.CalledProcessError(1, argv)
        calls.append(argv)

    monkeypatch.setattr(module, "tool", tool)
    monkeypatch.setattr(module, "answers", lambda where, port: False)
    module.calls = calls
    return module


def test_a_cluster_is_founded_with_its_timer(start, cluster, tmp_path):
    start.prepare(cluster.DATABASES["nb"])
    [call] = start.calls
    assert call[:2] == ("--election-timer=4000", "create-cluster")
    assert call[-1] == f"ssl:{host(0)}:6643"


def test_nobody_founds_a_cluster_that_is_there(start, cluster, monkeypatch):
    monkeypatch.setattr(start, "answers", lambda where, port: (where, port) == (host(1), 6644))
    start.prepare(cluster.DATABASES["sb"])
    [call] = start.calls
    assert call[0] == "join-cluster"
    assert call[2:] == ("OVN_Southbound", f"ssl:{host(0)}:6644", f"ssl:{host(1)}:6644")


def test_what_only_asked_to_join_is_asked_anew(start, cluster, tmp_path):
    database = cluster.DATABASES["nb"]
    database.path.write_text("OVSDB CLUSTER of nobody")
    assert not start.is_member(database)
    start.prepare(database)
    assert not database.path.exists()


def test_a_server_speaks_tls_to_the_network_and_is_told_its_ports_by_the_database(start, cluster):
    words = start.command(cluster.DATABASES["sb"])
    remotes = [word for word in words if word.startswith("--remote=")]
    assert remotes == [
        "--remote=punix:/run/ovn/sb.sock",
        "--remote=db:OVN_Southbound,SB_Global,connections",
    ]
    assert "--ssl-protocols=TLSv1.2" in words
