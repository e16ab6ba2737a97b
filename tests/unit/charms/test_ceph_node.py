"""The script that works on a machine of a Ceph cluster; Ceph's programs are a fake with memory."""

import io
import json
import pathlib
import re

import pytest

SCRIPT = pathlib.Path(__file__).parents[3] / "charms/ceph/src/templates/node.py"
MONITOR = {
    "node": "m-0",
    "address": "10.0.0.6",
    "fsid": "f-s-i-d",
    "seed": "m-0",
    "mon_key": "AQmon",
    "admin_key": "AQadmin",
    "confirmed": False,
}


class Ceph:
    """Ceph as its programs show it: OSDs by host, pools, clients, settings."""

    def __init__(self):
        self.hosts = {"m-0": [0]}
        self.pools = {}
        self.clients = {}
        self.settings = {}
        self.keys = {}
        self.rules = {}
        self.osd_ids = {}
        self.commands = []
        self.monitors = ["m-0"]
        self.unsafe = False
        self.mute = False
        self.made_keys = 0

    def run(self, *argv, stdin=None, timeout=120):
        self.commands.append(argv)
        words = [each for each in argv if each not in ("--format", "json", "--in-file", "-")]
        if words[0] == "ceph":
            words = words[3:]  # ceph --connect-timeout 30
            for length in (3, 2, 1):
                found = getattr(self, "_".join(words[:length]).replace("-", "_"), None)
                if found:
                    return found(words[length:], stdin)
        if words[0] == "ceph-authtool":
            self.made_keys += 1
            return f"AQnew{self.made_keys}\n"
        if words[0] == "ceph-mon" and words[1] == "--version":
            return "ceph version 16.2.15 (x) pacific (stable)\n"
        assert words[0] in {"rbd", "systemctl", "monmaptool", "ceph-mon", "ceph-osd"}, argv
        return ""

    def config_set(self, words, stdin):
        self.settings[tuple(words[:2])] = words[2]
        return ""

    def config_key_get(self, words, stdin):
        if words[0] not in self.keys:
            raise self.missing("Error ENOENT: ")
        if self.mute:
            raise self.error("Error ETIMEDOUT: ")
        return self.keys[words[0]]

    def config_key_set(self, words, stdin):
        self.keys[words[0]] = words[1]
        return ""

    def osd_tree(self, words, stdin):
        hosts = [{"type": "host", "children": osds} for osds in self.hosts.values()]
        osds = [{"type": "osd"} for each in self.hosts.values() for _ in each]
        return json.dumps({"nodes": [{"type": "root"}, *hosts, *osds]})

    def osd_dump(self, words, stdin):
        up = [{"osd": each, "up": 1} for osds in self.hosts.values() for each in osds]
        return json.dumps({"pools": list(self.pools.values()), "osds": up})

    def osd_crush_rule(self, words, stdin):
        if words[0] == "create-replicated":
            self.rules.setdefault(words[1], len(self.rules))
            return ""
        listed = [{"rule_id": id, "rule_name": name} for name, id in self.rules.items()]
        return json.dumps(listed)

    def osd_pool_create(self, words, stdin):
        self.pools[words[0]] = {
            "pool_name": words[0],
            "size": int(self.settings["global", "osd_pool_default_size"]),
            "min_size": 0,
            "crush_rule": self.rules[words[4]],
        }
        return ""

    def osd_pool_set(self, words, stdin):
        name, option, value = words[:3]
        assert option != "size" or value != "1" or "--yes-i-really-mean-it" in words
        self.pools[name][option] = self.rules[value] if option == "crush_rule" else int(value)
        return ""

    def osd_pool_application(self, words, stdin):
        return ""

    def auth_import(self, words, stdin):
        name = re.search(r"\[client\.(.+)\]", stdin)[1]
        self.clients[name] = dict(re.findall(r"^(?:caps )?(\w+) = \"?([^\"\n]+)", stdin, re.M))
        return ""

    def auth_del(self, words, stdin):
        self.clients.pop(words[0].removeprefix("client."), None)
        return ""

    def auth_get_or_create(self, words, stdin):
        return f"[{words[0]}]\nkey = AQmgr\n"

    def mon_getmap(self, words, stdin):
        return ""

    def mon_dump(self, words, stdin):
        return json.dumps({"mons": [{"name": each} for each in self.monitors]})

    def mon_remove(self, words, stdin):
        if words[0] in self.monitors:
            self.monitors.remove(words[0])
        return ""

    def osd_new(self, words, stdin):
        id_, key = self.osd_ids.setdefault(words[0], (len(self.osd_ids), stdin))
        if key != stdin:
            raise self.error("entity exists but key does not match")
        self.hosts["m-0"] = sorted({*self.hosts["m-0"], id_})
        return f"{id_}\n"

    def osd_ok_to_stop(self, words, stdin):
        if self.unsafe:
            raise self.error("unsafe to stop osd(s)")
        return ""

    def osd_purge(self, words, stdin):
        self.hosts["m-0"].remove(int(words[0]))
        return ""

    def osd_crush_remove(self, words, stdin):
        return ""


@pytest.fixture
def node(load_script, tmp_path, monkeypatch):
    module = load_script(SCRIPT)
    monkeypatch.setattr(module, "STATE", tmp_path)
    monkeypatch.setattr(module, "MADE", tmp_path / "helio.json")
    monkeypatch.setattr(module, "OSDS", tmp_path / "helio-osds.json")
    monkeypatch.setattr(module, "own", lambda path: None)
    return module


@pytest.fixture
def ceph(node, monkeypatch):
    fake = Ceph()
    fake.error, fake.missing = node.NodeError, node.MissingError
    monkeypatch.setattr(node, "run", fake.run)
    return fake


@pytest.fixture
def do(node, monkeypatch, capsys):
    """Run a command; give what it printed, or the line that it ends with."""

    def command(name, request):
        monkeypatch.setattr(node.sys, "stdin", io.StringIO(json.dumps(request)))
        result = node.main([name])
        output = capsys.readouterr().out
        return result or (json.loads(output) if output else None)

    return command


def programs(ceph):
    return [argv[0] for argv in ceph.commands]


# --- the monitor -------------------------------------------------------------------------------


def test_the_first_monitor_makes_a_map_of_itself(do, ceph, tmp_path):
    assert do("monitor", MONITOR) is None
    [monmap] = [argv for argv in ceph.commands if argv[0] == "monmaptool"]
    assert monmap[:4] == ("monmaptool", "--create", "--addv", "m-0")
    assert monmap[4] == "[v2:10.0.0.6:3300]"
    keyring = tmp_path / "mgr/ceph-m-0/keyring"
    assert keyring.read_text() == "[mgr.m-0]\nkey = AQnew1\n"
    assert keyring.stat().st_mode & 0o777 == 0o600


def test_a_further_monitor_asks_the_others_for_the_map(do, ceph, tmp_path):
    assert do("monitor", {**MONITOR, "node": "m-1", "confirmed": True}) is None
    assert "monmaptool" not in programs(ceph)
    assert any(argv[3:5] == ("mon", "getmap") for argv in ceph.commands)
    assert (tmp_path / "mgr/ceph-m-1/keyring").read_text() == "[mgr.m-1]\nkey = AQmgr\n"


def test_a_monitor_is_made_once(do, ceph):
    do("monitor", MONITOR)
    ceph.commands.clear()
    do("monitor", {**MONITOR, "confirmed": True})
    assert programs(ceph) == ["systemctl"]


def test_what_a_failed_hook_made_is_made_anew(do, ceph, tmp_path):
    do("monitor", MONITOR)
    do("storage", {"devices": [], "size": 1 << 20})
    assert do("monitor", {**MONITOR, "fsid": "other"}) is None
    assert programs(ceph).count("monmaptool") == 2
    assert not (tmp_path / "helio-osds.json").exists()
    assert json.loads((tmp_path / "helio.json").read_text())["fsid"] == "other"


def test_the_data_of_another_cluster_are_not_touched(do, ceph, tmp_path):
    do("monitor", {**MONITOR, "confirmed": True})
    before = json.loads((tmp_path / "helio.json").read_text())
    ceph.commands.clear()
    assert "holds the data of the cluster f-s-i-d" in do("monitor", {**MONITOR, "fsid": "other"})
    assert json.loads((tmp_path / "helio.json").read_text()) == before
    assert ceph.commands == []


def test_no_key_is_in_an_argv(do, ceph):
    do("monitor", MONITOR)
    do("storage", {"devices": [], "size": 1 << 20})
    do("cluster", cluster(client("glance")))
    words = {word for argv in ceph.commands for word in argv}
    assert [each for each in words if each.startswith("AQ")] == []


# --- storage -----------------------------------------------------------------------------------


def test_an_osd_in_a_file_takes_no_space_at_first(do, ceph, tmp_path):
    assert do("storage", {"devices": [], "size": 1 << 20}) == {"osds": [0]}
    block = (tmp_path / "osd/ceph-0/block").stat()
    assert (block.st_size, block.st_blocks) == (1 << 20, 0)
    enabled = [argv for argv in ceph.commands if argv[0] == "systemctl"]
    assert enabled == [("systemctl", "enable", "--now", "--quiet", "ceph-osd@0")]


def test_storage_is_made_once_and_started_again(do, ceph):
    do("storage", {"devices": [], "size": 1 << 20})
    ceph.commands.clear()
    assert do("storage", {"devices": [], "size": 2 << 20}) == {"osds": [0]}
    assert "ceph-osd" not in programs(ceph)
    assert "systemctl" in programs(ceph)


def test_a_further_file_is_added(do, ceph):
    do("storage", {"devices": [], "size": 1 << 20})
    assert do("storage", {"devices": [], "size": 1 << 20, "files": [1 << 20]}) == {"osds": [0, 1]}


def test_an_osd_that_was_interrupted_keeps_its_number(do, ceph, node, monkeypatch):
    def broken(*argv, **how):
        if argv[0] == "ceph-osd":
            raise node.NodeError("killed")
        return ceph.run(*argv, **how)

    monkeypatch.setattr(node, "run", broken)
    assert do("storage", {"devices": [], "size": 1 << 20}) == "killed"
    monkeypatch.setattr(node, "run", ceph.run)
    assert do("storage", {"devices": [], "size": 1 << 20}) == {"osds": [0]}


def test_the_record_of_storage_is_for_root_only_and_forgets_the_key(do, ceph, tmp_path):
    do("storage", {"devices": [], "size": 1 << 20})
    record = tmp_path / "helio-osds.json"
    assert record.stat().st_mode & 0o777 == 0o600
    assert "AQ" not in record.read_text()


def test_a_file_larger_than_the_disk_is_refused(do, ceph):
    assert "choose a smaller osd-size" in do("storage", {"devices": [], "size": 1 << 60})


def test_what_is_no_device_is_refused_by_name(do, ceph, tmp_path):
    (tmp_path / "x").touch()
    answer = do("storage", {"devices": [str(tmp_path / "x")], "size": 1})
    assert answer == f"cannot use {tmp_path / 'x'}: it is no block device"


def test_a_device_with_data_is_refused_by_name(node, ceph, monkeypatch):
    monkeypatch.setattr(node, "run", lambda *argv, **how: "/dev/vdb 0x438 ext4\n")
    with pytest.raises(node.NodeError, match=r"cannot use /dev/vdb: there are data on it"):
        node.check_room({"device": "/dev/vdb"})


# --- the cluster -------------------------------------------------------------------------------


def client(name, *, pools=None, groups=(), key="AQkey", group="", relation=4):
    listed = pools if pools is not None else [name]
    return {
        "name": name,
        "relation": relation,
        "key": key,
        "pools": [
            {"name": each, "application": "rbd", "group": group, "replicas": 0} for each in listed
        ],
        "groups": [list(each) for each in groups],
    }


def cluster(*clients, settings=(), kept=()):
    return {
        "seed": "m-0",
        "settings": list(settings),
        "clients": list(clients),
        "kept": dict(kept),
    }


@pytest.mark.parametrize(
    ("hosts", "size", "least", "rule"),
    [
        ({"a": [0]}, 1, 1, "helio-osd"),
        ({"a": [0, 1]}, 2, 1, "helio-osd"),
        ({"a": [0, 1, 2, 3]}, 3, 2, "helio-osd"),
        ({"a": [0, 1], "b": [2]}, 2, 1, "helio-host"),
        ({"a": [0], "b": [1], "c": [2]}, 3, 2, "helio-host"),
        ({"a": [0], "b": [1], "c": [2], "d": [3]}, 3, 2, "helio-host"),
    ],
)
def test_there_are_as_many_copies_as_machines_can_keep_apart(do, ceph, hosts, size, least, rule):
    ceph.hosts = hosts
    do("cluster", cluster(client("glance")))
    pool = ceph.pools["glance"]
    assert (pool["size"], pool["min_size"]) == (size, least)
    assert pool["crush_rule"] == ceph.rules[rule]


def test_pools_get_more_copies_when_machines_come(do, ceph):
    do("cluster", cluster(client("glance")))
    ceph.hosts = {"a": [0], "b": [1], "c": [2]}
    do("cluster", cluster(client("glance")))
    pool = ceph.pools["glance"]
    assert (pool["size"], pool["min_size"]) == (3, 2)
    assert pool["crush_rule"] == ceph.rules["helio-host"]


def test_no_pool_has_more_copies_than_can_be(do, ceph):
    wish = client("glance")
    wish["pools"][0]["replicas"] = 3
    do("cluster", cluster(wish))
    assert ceph.pools["glance"]["size"] == 1


def test_a_client_may_use_its_pools_and_nothing_else(do, ceph):
    do("cluster", cluster(client("glance", group="images"), client("nova")))
    assert ceph.clients["glance"] == {
        "key": "AQkey",
        "mon": "profile rbd",
        "mgr": "profile rbd pool=glance",
        "osd": "profile rbd pool=glance",
    }


@pytest.mark.parametrize(("permission", "profile"), [("r", "rbd-read-only"), ("rwx", "rbd")])
def test_a_group_gives_access_to_pools_of_others(do, ceph, permission, profile):
    asking = client("cinder", groups=[("images", permission), ("none", "rwx")])
    do("cluster", cluster(client("glance", group="images"), asking))
    assert ceph.clients["cinder"]["osd"] == (
        f"profile rbd pool=cinder, profile {profile} pool=glance"
    )
    assert ceph.clients["cinder"]["mgr"] == "profile rbd pool=cinder"


def test_a_client_that_goes_loses_its_rights_and_keeps_its_pool(do, ceph):
    both = cluster(client("glance"), client("nova", relation=5))
    assert do("cluster", both)["clients"] == {"glance": 4, "nova": 5}
    assert do("cluster", cluster(client("nova", relation=5)))["clients"] == {"nova": 5}
    assert set(ceph.clients) == {"nova"}
    assert set(ceph.pools) == {"glance", "nova"}


def test_a_client_that_goes_takes_no_rights_of_others_away(do, ceph):
    cinder = client("cinder", groups=[("images", "r")])
    do("cluster", cluster(client("glance", group="images"), cinder))
    before = ceph.clients["cinder"]
    assert "profile rbd-read-only pool=glance" in before["osd"]
    do("cluster", cluster(cinder))
    assert ceph.clients == {"cinder": before}


def test_the_group_of_a_pool_is_what_its_client_says_now(do, ceph):
    cinder = client("cinder", groups=[("images", "r"), ("private", "r"), ("", "rwx")])
    do("cluster", cluster(client("glance", group="images"), cinder))
    do("cluster", cluster(client("glance", group=""), cinder))
    assert "glance" not in ceph.clients["cinder"]["osd"]


def test_a_client_without_units_keeps_its_key(do, ceph):
    do("cluster", cluster(client("glance"), client("nova", relation=5)))
    before = json.dumps(ceph.clients)
    made = do("cluster", cluster(client("nova", relation=5), kept={"glance": 4}))
    assert made["clients"] == {"glance": 4, "nova": 5}
    assert json.dumps(ceph.clients) == before


def test_a_cluster_that_does_not_answer_is_not_one_that_remembers_nothing(do, ceph):
    do("cluster", cluster(client("glance"), client("nova")))
    ceph.mute = True
    assert do("cluster", cluster(client("nova"))) == "Error ETIMEDOUT: "
    ceph.mute = False
    do("cluster", cluster(client("nova")))
    assert set(ceph.clients) == {"nova"}, "who has gone is still known"


def test_a_client_that_others_made_is_left_alone(do, ceph):
    ceph.clients["backup"] = {}
    do("cluster", cluster(client("glance")))
    do("cluster", cluster())
    assert set(ceph.clients) == {"backup"}


def test_a_second_run_makes_nothing(do, ceph):
    first = do("cluster", cluster(client("glance"), settings=[["osd", "a", "1"]]))
    pools = json.dumps(ceph.pools)
    ceph.commands.clear()
    assert do("cluster", cluster(client("glance"), settings=[["osd", "a", "1"]])) == first
    assert json.dumps(ceph.pools) == pools
    assert not [argv for argv in ceph.commands if argv[3:6] == ("osd", "pool", "create")]


def test_without_osds_there_are_no_pools(do, ceph):
    ceph.hosts = {"a": []}
    assert do("cluster", cluster(client("glance"))) == "cannot make pools: there are no OSDs"


# --- leaving -----------------------------------------------------------------------------------


def test_a_machine_leaves_a_cluster_that_goes_on(do, ceph):
    do("storage", {"devices": [], "size": 1 << 20})
    ceph.monitors = ["m-0", "m-1"]
    assert do("leave", {"node": "m-0"}) is None
    assert ceph.monitors == ["m-1"]
    assert ceph.hosts["m-0"] == []


def test_a_machine_that_left_joins_again_whoever_made_the_cluster(do, ceph, tmp_path):
    request = {**MONITOR, "confirmed": True}
    do("monitor", MONITOR)
    do("monitor", request)
    do("storage", {"devices": [], "size": 1 << 20})
    ceph.monitors = ["m-0", "m-1"]
    do("leave", {"node": "m-0"})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    ceph.commands.clear()
    ceph.osd_ids.clear()
    assert do("monitor", request) is None
    assert "monmaptool" not in programs(ceph), "that would be a cluster of its own"
    assert any(argv[3:5] == ("mon", "getmap") for argv in ceph.commands)
    assert do("storage", {"devices": [], "size": 1 << 20}) == {"osds": [0]}
    assert "ceph-osd" in programs(ceph)


def test_who_was_interrupted_leaves_at_the_next_try(do, ceph, node, tmp_path, monkeypatch):
    def broken(*argv, **how):
        if argv[3:5] == ("auth", "del"):
            raise node.NodeError("killed")
        return ceph.run(*argv, **how)

    do("monitor", MONITOR)
    do("storage", {"devices": [], "size": 1 << 20})
    ceph.monitors = ["m-0", "m-1"]
    monkeypatch.setattr(node, "run", broken)
    assert do("leave", {"node": "m-0"}) == "killed"
    monkeypatch.setattr(node, "run", ceph.run)
    assert do("leave", {"node": "m-0"}) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_machine_does_not_leave_with_the_only_copy(do, ceph):
    do("storage", {"devices": [], "size": 1 << 20})
    ceph.monitors = ["m-0", "m-1"]
    ceph.unsafe = True
    assert do("leave", {"node": "m-0"}) == "unsafe to stop osd(s)"
    assert ceph.monitors == ["m-0", "m-1"]


def test_the_last_machine_stays(do, ceph):
    do("storage", {"devices": [], "size": 1 << 20})
    assert do("leave", {"node": "m-0"}) is None
    assert ceph.monitors == ["m-0"]


# --- programs ----------------------------------------------------------------------------------


def test_a_program_that_fails_is_named_with_its_last_line(node):
    with pytest.raises(node.NodeError, match=r"^cannot run sh -c .*: two$"):
        node.run("sh", "-c", "echo one >&2; echo two >&2; exit 3")


def test_what_is_missing_is_told_from_what_fails(node):
    with pytest.raises(node.MissingError):
        node.run("sh", "-c", "echo 'Error ENOENT: ' >&2; exit 2")
    with pytest.raises(node.NodeError) as failure:
        node.run("sh", "-c", "echo '[errno 110] RADOS timed out' >&2; exit 1")
    assert not isinstance(failure.value, node.MissingError)


def test_a_program_that_hangs_is_named(node):
    with pytest.raises(node.NodeError, match=r"^cannot finish sleep: no answer in 0\.1 s$"):
        node.run("sleep", "5", timeout=0.1)
