"""The scripts beside the broker, against a tool that behaves like rabbitmqctl over one cluster."""

import json
import pathlib
import re
import sys

import pytest

CHARMS = pathlib.Path(__file__).parents[3] / "charms"

TEMPLATES = CHARMS / "rabbitmq-k8s/src/templates"
ME, FIRST, LAST = "rabbit@rabbitmq-1", "rabbit@rabbitmq-0", "rabbit@rabbitmq-2"


class Cluster:
    """What all nodes know, and which of them run."""

    def __init__(self, *nodes):
        self.members = list(nodes)
        self.running = list(nodes)
        self.queues = {"orders": list(nodes)}
        self.definitions = {"users": [], "vhosts": [], "permissions": []}
        self.commands = []
        self.busy = 0  # groups that refuse a change before one succeeds
        self.resets = True

    def ctl(self, error, argv, node, stdin):
        """Run a command in a node; `error` makes the failure."""
        command, *rest = argv
        self.commands.append((command, node))
        if command in ("cluster_status", "eval", "forget_cluster_node") and (
            node not in self.running
        ):
            raise error(f"{node} does not run")
        return getattr(self, f"_{command}")(error, rest, node, stdin)

    def _cluster_status(self, error, rest, node, stdin):
        return json.dumps({"disk_nodes": self.members, "running_nodes": self.running})

    def _eval(self, error, rest, node, stdin):
        [expression] = rest
        if "rabbit:stop()" in expression:
            self.running.remove(node)
            return "done\n"
        if self.busy:
            self.busy -= 1
            return "[cluster_change_not_permitted]\n"
        if "shrink_all" in expression:
            gone = re.search(r"Node = '([^']+)'", expression)[1]
            for nodes in self.queues.values():
                if gone in nodes and len(nodes) > 1:
                    nodes.remove(gone)
        elif "grow" in expression:
            for nodes in self.queues.values():
                if node not in nodes:
                    nodes.append(node)
        return "done\n"

    def _forget_cluster_node(self, error, rest, node, stdin):
        [gone] = rest
        if gone in self.running:
            raise error(f"{gone} runs")
        self.members.remove(gone)
        return ""

    def _reset(self, error, rest, node, stdin):
        if not self.resets:
            raise error("cannot reset: nobody answers")
        self.members.remove(node)
        return ""

    def _export_definitions(self, error, rest, node, stdin):
        return json.dumps(self.definitions)

    def _import_definitions(self, error, rest, node, stdin):
        for kind, items in json.loads(stdin).items():
            names = [item.get("name") for item in items]
            kept = [
                each
                for each in self.definitions[kind]
                if each.get("name") is None or each["name"] not in names
            ]
            self.definitions[kind] = [*kept, *items]
        return ""

    def _delete_user(self, error, rest, node, stdin):
        [name] = rest
        users, permissions = self.definitions["users"], self.definitions["permissions"]
        self.definitions["users"] = [each for each in users if each["name"] != name]
        self.definitions["permissions"] = [each for each in permissions if each["user"] != name]
        return ""

    def _clear_permissions(self, error, rest, node, stdin):
        _, vhost, user = rest
        self.definitions["permissions"] = [
            each
            for each in self.definitions["permissions"]
            if (each["user"], each["vhost"]) != (user, vhost)
        ]
        return ""


@pytest.fixture
def cluster():
    return Cluster(FIRST, ME, LAST)


@pytest.fixture
def broker(cluster, load_script, monkeypatch, tmp_path):
    """The script of unit 1."""
    module = load_script(TEMPLATES / "broker.py")
    facts = {"me": ME, "others": ["rabbitmq-0", "rabbitmq-2"], "may_found": False}
    (tmp_path / "cluster.json").write_text(json.dumps(facts))
    (tmp_path / "member").touch()
    monkeypatch.setattr(module, "FACTS", tmp_path / "cluster.json")
    monkeypatch.setattr(module, "STORAGE", tmp_path)
    monkeypatch.setattr(module, "MEMBER", tmp_path / "member")

    def ctl(*argv, node="", stdin="", timeout=60):
        return cluster.ctl(module.ToolError, argv, node or ME, stdin)

    clock = iter(range(100000))
    monkeypatch.setattr(module, "ctl", ctl)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    return module


# --- leaving -----------------------------------------------------------------------------------


def test_a_node_that_leaves_hands_its_queues_over_before_it_stops(broker, cluster):
    broker.leave()
    assert cluster.queues == {"orders": [FIRST, LAST]}
    assert cluster.members == [FIRST, LAST]
    assert [name for name, _ in cluster.commands].index("eval") == 0


def test_a_queue_that_is_busy_is_asked_again(broker, cluster):
    cluster.busy = 3
    broker.leave()
    assert cluster.queues == {"orders": [FIRST, LAST]}


def test_a_queue_that_stays_keeps_the_node(broker, cluster):
    cluster.busy = 10**6
    with pytest.raises(broker.ToolError, match="cluster_change_not_permitted"):
        broker.leave()
    assert ME in cluster.members
    assert ME in cluster.running


def test_others_let_go_a_node_that_cannot_reset(broker, cluster):
    cluster.resets = False
    broker.leave()
    assert cluster.members == [FIRST, LAST]


def test_a_node_whose_neighbour_leaves_as_well_asks_the_other(broker, cluster):
    cluster.resets = False
    cluster.running.remove(FIRST)
    broker.leave()
    assert ME not in cluster.members


def test_leaving_may_be_tried_again(broker, cluster):
    cluster.resets = False
    cluster.running = [ME]
    with pytest.raises(broker.ToolError, match="no other member"):
        broker.leave()
    cluster.running = [FIRST, LAST]
    broker.leave()
    assert cluster.members == [FIRST, LAST]


def test_a_lone_node_just_stops(broker, cluster):
    broker.FACTS.write_text(json.dumps({"me": ME, "others": [], "may_found": True}))
    broker.leave()
    assert cluster.commands == []


# --- keeping -----------------------------------------------------------------------------------


def test_a_node_that_died_is_struck_off_with_its_queues(broker, cluster):
    cluster.running.remove(LAST)
    broker.keep([FIRST, ME])
    assert cluster.members == [FIRST, ME]
    assert cluster.queues == {"orders": [FIRST, ME]}


def test_a_node_that_still_runs_is_not_struck_off(broker, cluster):
    broker.keep([FIRST, ME])
    assert LAST in cluster.members
    assert cluster.queues == {"orders": [FIRST, ME]}, "it has nothing left to lose"


def test_a_node_that_pauses_for_a_moment_is_waited_for(broker, cluster, monkeypatch):
    cluster.running.remove(ME)
    monkeypatch.setattr(broker.time, "sleep", lambda seconds: cluster.running.append(ME))
    broker.keep([FIRST, ME, LAST])
    cluster.running.remove(ME)
    monkeypatch.setattr(broker.time, "sleep", lambda seconds: None)
    with pytest.raises(broker.ToolError, match="does not run"):
        broker.keep([FIRST, ME, LAST])


def test_who_belongs_to_it_is_left_alone(broker, cluster):
    broker.keep([FIRST, ME, LAST])
    assert {name for name, _ in cluster.commands} == {"cluster_status"}


def test_a_node_that_came_back_empty_is_forgotten_first(broker, cluster):
    cluster.running.remove(ME)
    broker.expel(FIRST, ME)
    assert cluster.members == [FIRST, LAST]
    broker.expel(FIRST, ME)  # and again, when it is not known


def test_a_node_takes_part_in_every_queue(broker, cluster):
    cluster.queues = {"orders": [FIRST]}
    broker.grow()
    assert cluster.queues == {"orders": [FIRST, ME]}


# --- accounts ----------------------------------------------------------------------------------


def wanted(*names, vhost="nova"):
    return {
        "users": [{"name": name, "password_hash": "h", "tags": ["helio"]} for name in names],
        "vhosts": [{"name": vhost, "metadata": {"default_queue_type": "quorum"}}],
        "permissions": [
            {"user": name, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"}
            for name in names
        ],
    }


def test_accounts_are_made_once(broker, cluster):
    assert broker.accounts(wanted("nova-1")) == {"accounts": ["nova-1"]}
    cluster.commands.clear()
    broker.accounts(wanted("nova-1"))
    assert [name for name, _ in cluster.commands] == ["export_definitions"]


def test_an_account_goes_with_its_client_and_its_virtual_host_stays(broker, cluster):
    broker.accounts(wanted("nova-1", "nova-2"))
    broker.accounts(wanted("nova-2"))
    assert [user["name"] for user in cluster.definitions["users"]] == ["nova-2"]
    broker.accounts({"users": [], "vhosts": [], "permissions": []})
    assert cluster.definitions["users"] == []
    assert [each["name"] for each in cluster.definitions["vhosts"]] == ["nova"]


def test_an_account_of_an_operator_is_left_alone(broker, cluster):
    mine = {"name": "me", "password_hash": "h", "tags": ["administrator"]}
    cluster.definitions["users"].append(mine)
    broker.accounts(wanted("nova-1"))
    assert mine in cluster.definitions["users"]


def test_who_asks_for_another_virtual_host_loses_the_first(broker, cluster):
    broker.accounts(wanted("nova-1"))
    broker.accounts(wanted("nova-1", vhost="cell"))
    found = [(each["user"], each["vhost"]) for each in cluster.definitions["permissions"]]
    assert found == [("nova-1", "cell")]


def test_another_password_is_written(broker, cluster):
    broker.accounts(wanted("nova-1"))
    changed = wanted("nova-1")
    changed["users"][0]["password_hash"] = "other"
    broker.accounts(changed)
    assert cluster.definitions["users"][0]["password_hash"] == "other"


# --- starting ----------------------------------------------------------------------------------


@pytest.fixture
def start(broker, load_script, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "broker", broker)
    module = load_script(TEMPLATES / "start.py")
    monkeypatch.setattr(module, "CLUSTER", tmp_path / "20-cluster.conf")
    monkeypatch.setattr(module, "answers", lambda host: False)
    return module


def may_found(broker, yes):
    facts = {"me": ME, "others": ["rabbitmq-0", "rabbitmq-2"], "may_found": yes}
    broker.FACTS.write_text(json.dumps(facts))


def test_a_new_node_joins_whoever_answers(start, broker, monkeypatch):
    monkeypatch.setattr(start, "answers", lambda host: host == "rabbitmq-2")
    assert start.prepare() == "rabbitmq-2"
    assert f"nodes.2 = {LAST}\n" in start.CLUSTER.read_text()


def test_a_new_node_does_not_found_while_another_answers(start, broker, monkeypatch):
    may_found(broker, True)
    monkeypatch.setattr(start, "answers", lambda host: True)
    assert start.prepare() == "rabbitmq-0"


def test_a_new_node_waits_until_it_may_found(start, broker, monkeypatch):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        may_found(broker, len(waits) == 3)

    monkeypatch.setattr(start.time, "sleep", sleep)
    assert start.prepare() == ""
    assert len(waits) == 3
    assert start.CLUSTER.read_text() == ""


def test_what_a_first_start_left_behind_is_cleared_away(start, broker):
    may_found(broker, True)
    (broker.STORAGE / "data/mnesia").mkdir(parents=True)
    start.prepare()
    assert not (broker.STORAGE / "data").exists()


def test_a_node_that_joined_takes_part_and_is_a_member(start, broker, cluster):
    broker.MEMBER.unlink()
    cluster.queues = {"orders": [FIRST]}
    assert start.settle(joins=True)
    assert broker.MEMBER.exists()
    assert cluster.queues == {"orders": [FIRST, ME]}


def test_a_node_that_founded_by_mistake_is_no_member(start, broker, cluster):
    broker.MEMBER.unlink()
    cluster.members = cluster.running = [ME]
    assert not start.settle(joins=True)
    assert not broker.MEMBER.exists()
    assert start.settle(joins=False)


def test_a_node_that_does_not_start_is_no_member(start, broker, cluster):
    broker.MEMBER.unlink()
    cluster.running = []
    assert not start.settle(joins=True)
    assert not broker.MEMBER.exists()
