"""One table per command: what goes in, what comes out, byte for byte."""

import json
import re

import pytest

from localjuju.hooks import COMMAND_NAMES, FlushError
from localjuju.hooks.build import SOURCE
from localjuju.hooks.commands import COMMANDS, NOT_SUPPORTED
from localjuju.model import (
    Action,
    Bag,
    Hook,
    HookKind,
    Life,
    Relation,
    RelationEnd,
    Resource,
    Status,
)


def check(world, run, table, hook=None, unit="web/0"):
    for line, out, error, code in table:
        assert run(world.context(hook, unit), line) == (
            out,
            f"ERROR {error}\n" if error else "",
            code,
        ), line


# --- Relations


def test_relation_ids(world, run):
    world.relate(10, "pgsql", (("web", "database", "requirer"), ("db", "db", "provider")))
    check(
        world,
        run,
        [
            ("relation-ids database --format=json", '["database:10","database:4"]\n', "", 0),
            ("relation-ids cluster", "cluster:1\n", "", 0),
            ("relation-ids nothing --format=json", "[]\n", "", 0),
            ("relation-ids", "", "no endpoint name specified", 2),
            ("relation-ids a b", "", 'unrecognized args: ["b"]', 2),
        ],
    )


def test_relation_ids_defaults_to_the_endpoint_of_the_hook(world, run):
    hook = world.relation_hook(HookKind.RELATION_CHANGED)
    check(world, run, [("relation-ids", "database:4\n", "", 0)], hook)


def test_relation_ids_leaves_out_the_relation_that_breaks(world, run):
    hook = world.relation_hook(HookKind.RELATION_BROKEN, "")
    world.model.units["web/0"].relations[4].members.clear()
    check(
        world,
        run,
        [
            ("relation-ids database --format=json", "[]\n", "", 0),
            ("relation-list -r 4 --format=json", "[]\n", "", 0),
            (
                "relation-get -r 4 - web/0 --format=json",
                '{"private-address":"10.20.0.30"}\n',
                "",
                0,
            ),
        ],
        hook,
    )


def test_a_relation_is_unknown_until_its_scope_is_entered(world, run):
    world.model.units["web/0"].relations[4].entered = False
    check(
        world,
        run,
        [
            ("relation-ids database --format=json", "[]\n", "", 0),
            (
                "relation-list -r 4",
                "",
                'invalid value "4" for option -r: relation not found',
                2,
            ),
        ],
    )


def test_relation_list(world, run):
    check(
        world,
        run,
        [
            ("relation-list --format=json -r 4", '["db/0","db/1"]\n', "", 0),
            ("relation-list -r database:4", "db/0\ndb/1\n", "", 0),
            ("relation-list --app -r 4 --format=json", '"db"\n', "", 0),
            ("relation-list --app -r 1 --format=json", '"web"\n', "", 0),
            ("relation-list -r 1 --format=json", '["web/1"]\n', "", 0),
            ("relation-list", "", "no relation id specified", 2),
            (
                "relation-list -r 9",
                "",
                'invalid value "9" for option -r: relation not found',
                2,
            ),
            (
                "relation-list -r db:x",
                "",
                'invalid value "db:x" for option -r: invalid relation id',
                2,
            ),
        ],
    )


def test_the_joining_unit_is_listed_and_the_departing_one_is_not(world, run):
    view = world.model.units["web/0"].relations[4]
    view.members.clear()
    joined = world.relation_hook(HookKind.RELATION_JOINED, "db/1")
    check(world, run, [("relation-list", "db/1\n", "", 0)], joined)
    view.members.update({"db/0": 1, "db/1": 1})
    departed = world.relation_hook(HookKind.RELATION_DEPARTED, "db/1")
    check(world, run, [("relation-list", "db/0\n", "", 0)], departed)


def test_relation_get(world, run):
    world.bag(4, "db/0").data.update({"host": "h", "port": "5432"})
    world.bag(4, "db").data["version"] = "14"
    check(
        world,
        run,
        [
            (
                "relation-get -r 4 - db/0 --format=json",
                '{"host":"h","port":"5432","private-address":"10.20.0.20"}\n',
                "",
                0,
            ),
            ("relation-get -r 4 host db/0", "h\n", "", 0),
            ("relation-get -r 4 port db/0 --format=json", '"5432"\n', "", 0),
            ("relation-get -r 4 nothing db/0 --format=json", "null\n", "", 0),
            ("relation-get -r 4 nothing db/0", "", "", 0),
            ("relation-get -r 4 --app - db --format=json", '{"version":"14"}\n', "", 0),
            ("relation-get -r 4 --app version db/1", "14\n", "", 0),
            ("relation-get -r 4", "", "no unit or application specified", 2),
            ("relation-get", "", "no relation id specified", 2),
            ("relation-get -r 4 - db", "", 'expected unit name, got application name "db"', 2),
            ("relation-get -r 4 - !", "", 'invalid unit name "!"', 2),
            ("relation-get -r 4 - other/0", "", "permission denied", 1),
            ("relation-get -r 4 --app - other", "", "permission denied", 1),
            (
                "relation-get -r 4 - db/7",
                "",
                'cannot read settings for unit "db/7" in relation "web:database db:db": '
                'unit "db/7": settings not found',
                1,
            ),
        ],
    )


def test_relation_get_defaults_to_the_partner_of_the_hook(world, run):
    world.bag(4, "db/0").data["host"] = "h"
    world.bag(4, "db").data["version"] = "14"
    by_unit = world.relation_hook(HookKind.RELATION_CHANGED)
    table = [
        ("relation-get host", "h\n", "", 0),
        ("relation-get --app version", "14\n", "", 0),
    ]
    check(world, run, table, by_unit)
    by_app = world.relation_hook(HookKind.RELATION_CHANGED, "")
    check(world, run, [("relation-get version", "14\n", "", 0)], by_app)


@pytest.mark.parametrize(
    ("unit", "line", "answer"),
    [
        ("web/0", "relation-get -r 4 --app - web --format=json", ('{"k":"v"}\n', "", 0)),
        ("web/1", "relation-get -r 4 --app - web", ("", "ERROR permission denied\n", 1)),
        ("web/0", "relation-get -r 1 --app - web --format=json", ('{"p":"q"}\n', "", 0)),
        ("web/1", "relation-get -r 1 --app - web --format=json", ('{"p":"q"}\n', "", 0)),
        ("web/0", "relation-set -r 4 --app a=b", ("", "", 0)),
        (
            "web/1",
            "relation-set -r 4 --app a=b",
            ("", "ERROR cannot write relation settings\n", 1),
        ),
        (
            "web/1",
            "relation-set -r 1 --app a=b",
            ("", "ERROR cannot write relation settings\n", 1),
        ),
        ("web/1", "relation-set -r 1 a=b", ("", "", 0)),
    ],
)
def test_only_the_leader_touches_its_own_application_bag(world, run, unit, line, answer):
    world.bag(4, "web").data["k"] = "v"
    world.bag(1, "web").data["p"] = "q"
    assert run(world.context(unit=unit), line) == answer


def test_relation_set_is_seen_by_its_hook_and_by_others_after_the_flush(world, run):
    mine, other = world.context(), world.context(unit="db/0")
    assert run(mine, "relation-set -r 4 a=1 b=2") == ("", "", 0)
    assert run(mine, "relation-set -r 4 --file - b=3", b'{"a": "", "c": "x"}') == ("", "", 0)
    assert json.loads(run(mine, "relation-get -r 4 - web/0 --format=json")[0]) == {
        "private-address": "10.20.0.30",
        "b": "3",
        "c": "x",
    }
    assert run(other, "relation-get -r 4 b web/0") == ("", "", 0)
    assert world.bag(4, "web/0").version == 1
    mine.flush()
    assert world.bag(4, "web/0") == Bag({"private-address": "10.20.0.30", "b": "3", "c": "x"}, 2)


def test_an_equal_write_makes_no_new_version(world, run):
    for _ in range(2):
        context = world.context()
        run(context, "relation-set -r 4 --app k=v")
        context.flush()
    assert world.bag(4, "web").version == 1


def test_setting_the_empty_string_deletes(world, run):
    world.bag(4, "web/0").data["a"] = "1"
    context = world.context()
    run(context, "relation-set -r 4 a=")
    assert run(context, "relation-get -r 4 a web/0 --format=json") == ("null\n", "", 0)
    context.flush()
    assert "a" not in world.bag(4, "web/0").data


def test_values_that_are_no_strings_become_text(world, run):
    context = world.context()
    run(context, "relation-set -r 4 --file -", b"port: 5432\nversion: 1.10\non: true\n")
    context.flush()
    data = world.bag(4, "web/0").data
    assert (data["port"], data["version"], data["on"]) == ("5432", "1.10", "true")


@pytest.mark.parametrize(
    ("line", "error", "code"),
    [
        ("relation-set a=b", "no relation id specified", 2),
        ("relation-set -r 4 a", 'expected "key=value" parameters, got "a"', 2),
        ("relation-set -r 4 =a", 'expected "key=value" parameters, got "=a"', 2),
        ("relation-set -r 4 --file nowhere", "open nowhere: not sent", 1),
    ],
)
def test_relation_set_refuses(world, run, line, error, code):
    assert run(world.context(), line) == ("", f"ERROR {error}\n", code)


def test_a_failed_hook_leaves_the_bag_as_it_was(world, run):
    run(world.context(), "relation-set -r 4 a=1")  # and no flush
    assert world.bag(4, "web/0").data == {"private-address": "10.20.0.30"}


def test_a_members_bag_stays_stale_until_its_own_hook(world, run):
    world.bag(4, "db/0").data["k"] = "old"
    line = "relation-get -r 4 k db/0"
    assert run(world.context(), line)[0] == "old\n"
    world.bag(4, "db/0").data["k"] = "new"
    assert run(world.context(), line)[0] == "old\n"
    assert run(world.context(world.relation_hook(HookKind.RELATION_CHANGED, "db/1")), line)[0] == (
        "old\n"
    )
    assert run(world.context(world.relation_hook(HookKind.RELATION_CHANGED, "db/0")), line)[0] == (
        "new\n"
    )


def test_an_application_bag_is_read_once_per_hook(world, run):
    line = "relation-get -r 4 --app k db"
    world.bag(4, "db").data["k"] = "old"
    context = world.context()
    assert run(context, line)[0] == "old\n"
    world.bag(4, "db").data["k"] = "new"
    assert run(context, line)[0] == "old\n"
    assert run(world.context(), line)[0] == "new\n"


def test_a_departed_units_last_data_stays_readable(world, run):
    del world.model.units["web/0"].relations[4].members["db/1"]
    del world.model.units["db/1"]
    context = world.context()
    assert run(context, "relation-list -r 4") == ("db/0\n", "", 0)
    assert run(context, "relation-get -r 4 private-address db/1") == ("10.20.0.21\n", "", 0)


def test_relation_model_get(world, run):
    uuid = f'{{"uuid":"{world.model.uuid}"}}\n'
    check(
        world,
        run,
        [
            ("relation-model-get -r 4 --format=json", uuid, "", 0),
            ("relation-model-get -r 1 --format=json", uuid, "", 0),
            ("relation-model-get --format=json", "", "no relation id specified", 2),
        ],
    )


# --- Model and unit


def test_config_get(world, run):
    world.model.applications["web"].config.update(title="mine", ratio=2.5)
    check(
        world,
        run,
        [
            (
                "config-get --format=json",
                '{"count":42,"debug":false,"ratio":2.5,"title":"mine"}\n',
                "",
                0,
            ),
            ("config-get count --format=json", "42\n", "", 0),
            ("config-get title", "mine\n", "", 0),
            ("config-get debug", "False\n", "", 0),
            ("config-get unset --format=json", "null\n", "", 0),
            ("config-get unknown --format=json", "null\n", "", 0),
            (
                "config-get --all --format=json",
                '{"count":42,"credential":null,"debug":false,"ratio":2.5,"title":"mine",'
                '"unset":null}\n',
                "",
                0,
            ),
        ],
    )


def test_a_secret_option_gives_its_uri(world, run):
    world.model.applications["web"].config["credential"] = "secret:abcdefghij0123456789"
    line = "config-get credential --format=json"
    assert run(world.context(), line)[0] == '"secret:abcdefghij0123456789"\n'


def test_is_leader(world, run):
    check(
        world, run, [("is-leader --format=json", "true\n", "", 0), ("is-leader", "True\n", "", 0)]
    )
    check(world, run, [("is-leader --format=json", "false\n", "", 0)], unit="web/1")


def test_status_set_stands_at_once(world, run):
    context = world.context(unit="web/1")
    for status in ("maintenance", "blocked", "waiting", "active"):
        result = context.run("status-set", ["--application=False", status, "--", "on the way"])
        assert result.code == 0
        assert world.model.units["web/1"].workload_status == Status(
            status, "on the way", world.clock.time
        )
    assert context.changed_now
    context.changed_now = False
    context.run("status-set", ["active", "on the way"])
    assert not context.changed_now  # the same again is no change


def test_status_get_shows_what_was_set(world, run):
    context = world.context()
    run(context, "status-set --application=False blocked no")
    run(context, "status-set --application=True waiting")
    assert run(context, "status-get") == ("blocked\n", "", 0)
    assert run(context, "status-get --include-data --format=json --application=false")[0] == (
        '{"message":"no","status":"blocked","status-data":{}}\n'
    )
    assert json.loads(
        run(context, "status-get --include-data --format=json --application=true")[0]
    ) == {
        "application-status": {
            "status": "waiting",
            "message": "",
            "status-data": {},
            "units": {
                "web/0": {"status": "blocked", "message": "no", "status-data": {}},
                "web/1": {"status": "active", "message": "", "status-data": {}},
            },
        }
    }


def test_application_status_is_the_worst_of_its_units_until_the_leader_sets_it(world, run):
    world.model.units["web/1"].workload_status = Status("blocked", "no")
    assert run(world.context(), "status-get --application") == ("blocked\n", "", 0)


@pytest.mark.parametrize(
    ("line", "error", "code"),
    [
        (
            "status-set error",
            'invalid status "error", expected one of [maintenance blocked waiting active]',
            2,
        ),
        ("status-set", "invalid args, require <status> [message]", 2),
        ("status-set active a b", 'unrecognized args: ["b"]', 2),
        (
            "status-set --application active",
            "setting application status: this unit is not the leader",
            1,
        ),
        (
            "status-get --application",
            "finding application status: this unit is not the leader",
            1,
        ),
    ],
)
def test_status_refuses(world, run, line, error, code):
    assert run(world.context(unit="web/1"), line) == ("", f"ERROR {error}\n", code)


def test_application_version_set(world, run):
    context = world.context()
    assert context.run("application-version-set", ["--", "1.2 (beta)"]).code == 0
    assert world.model.applications["web"].version == "1.2 (beta)"
    assert context.changed_now


def test_juju_log(world):
    context = world.context()
    context.run("juju-log", ["--log-level", "WARNING", "--", "-- odd\nlines"])
    context.run("juju-log", ["--log-level", "nonsense", "plain", "words"])
    context.run("juju-log", ["--debug", "deep"])
    world.context(world.relation_hook(HookKind.RELATION_CHANGED)).run("juju-log", ["hi"])
    module = "unit.web/0.juju-log"
    assert world.logs == [
        ("WARNING", module, "-- odd\nlines"),
        ("INFO", module, "plain words"),
        ("DEBUG", module, "deep"),
        ("INFO", module, "database:4: hi"),
    ]
    assert context.run("juju-log", []).code == 2


def test_goal_state_knows_units_to_come_and_dying_ones(world, run):
    world.model.applications["db"].scale = 3
    world.model.units["web/1"].life = Life.DYING
    world.model.applications["web"].scale = 1
    since = "2027-01-15T08:00:00Z"
    assert json.loads(run(world.context(), "goal-state --format=json")[0]) == {
        "units": {
            "web/0": {"status": "active", "since": since},
            "web/1": {"status": "dying", "since": since},
        },
        "relations": {
            "database": {
                "db": {"status": "joined", "since": since},
                "db/0": {"status": "active", "since": since},
                "db/1": {"status": "active", "since": since},
                "db/2": {"status": "waiting", "since": since},
            }
        },
    }


def test_network_get(world, run):
    full = (
        '{"bind-addresses":[{"addresses":[{"cidr":"10.20.0.0/20","hostname":"web-0",'
        '"value":"10.20.0.30"}],"interface-name":"eth0"}],'
        '"egress-subnets":["10.20.1.1/32"],"ingress-addresses":["10.20.1.1"]}\n'
    )
    check(
        world,
        run,
        [
            ("network-get database --format=json", full, "", 0),
            ("network-get --format=json -r 4 database", full, "", 0),
            ("network-get admin --format=json", full, "", 0),
            ("network-get --bind-address cluster", "10.20.0.30\n", "", 0),
            ("network-get --ingress-address cluster", "10.20.1.1\n", "", 0),
            (
                "network-get --bind-address --ingress-address cluster --format json",
                '{"bind-address":"10.20.0.30","ingress-address":"10.20.1.1"}\n',
                "",
                0,
            ),
            ("network-get zz", "", 'no network config found for binding "zz"', 1),
            ("network-get", "", "no arguments specified", 2),
            (
                "network-get -r 9 database",
                "",
                'invalid value "9" for option -r: relation not found',
                2,
            ),
            ("unit-get private-address", "10.20.0.30\n", "", 0),
            ("unit-get public-address", "10.20.1.1\n", "", 0),
            ("unit-get colour", "", 'unknown setting "colour"', 2),
        ],
    )


def test_network_get_without_a_service_address_gives_the_pods(world, run):
    world.model.applications["web"].service_address = ""
    assert run(world.context(), "network-get database --ingress-address")[0] == "10.20.0.30\n"


def test_leader_settings_stand_at_once(world, run):
    context = world.context()
    assert run(context, "leader-set a=1 b=2") == ("", "", 0)
    assert context.changed_now
    assert run(world.context(unit="web/1"), "leader-get - --format=json") == (
        '{"a":"1","b":"2"}\n',
        "",
        0,
    )
    assert run(world.context(), "leader-get b") == ("2\n", "", 0)
    assert run(world.context(unit="web/1"), "leader-set a=2")[1:] == (
        "ERROR cannot write leadership settings: this unit is not the leader\n",
        1,
    )


# --- Ports


def test_ports_are_merged_with_what_the_hook_changes(world, run):
    world.model.units["web/0"].opened_ports = {"": ["80/tcp"]}
    context = world.context()
    run(context, "open-port 443")
    run(context, "open-port 53/udp")
    run(context, "open-port icmp")
    run(context, "open-port --endpoints database,cluster 81/tcp")
    run(context, "close-port 80/tcp")
    assert run(context, "opened-ports --format=json")[0] == (
        '["icmp","81/tcp","443/tcp","53/udp"]\n'
    )
    assert run(context, "opened-ports --endpoints --format=json")[0] == (
        '["icmp (*)","81/tcp (cluster, database)","443/tcp (*)","53/udp (*)"]\n'
    )
    assert world.model.units["web/0"].opened_ports == {"": ["80/tcp"]}
    context.flush()
    assert world.model.units["web/0"].opened_ports == {
        "": ["icmp", "443/tcp", "53/udp"],
        "database": ["81/tcp"],
        "cluster": ["81/tcp"],
    }


def test_close_cancels_open(world, run):
    context = world.context()
    run(context, "open-port 80")
    run(context, "close-port 80")
    context.flush()
    assert world.model.units["web/0"].opened_ports == {}


def test_a_port_stays_open_for_the_endpoints_that_are_not_closed(world, run):
    context = world.context()
    run(context, "open-port --endpoints database,cluster 80")
    run(context, "close-port --endpoints cluster 80")
    assert run(context, "opened-ports --endpoints") == ("80/tcp (database)\n", "", 0)


@pytest.mark.parametrize(
    ("line", "error", "code"),
    [
        (
            "open-port 8000-8999/tcp",
            "port ranges are not supported for k8s applications, please specify a single port",
            1,
        ),
        ("open-port 0", "invalid port range 0-0/tcp", 2),
        ("open-port 70000", "invalid port range 70000-70000/tcp", 2),
        ("open-port 80/sctp", 'invalid protocol "sctp", expected "tcp", "udp", or "icmp"', 2),
        ("open-port x", 'invalid port "x"; expected <port>[-<port>][/<protocol>] or icmp', 2),
        ("open-port", "no port or range specified", 2),
        ("open-port --endpoints nope 80", 'endpoint "nope" not found', 1),
    ],
)
def test_ports_refuse(world, run, line, error, code):
    assert run(world.context(), line) == ("", f"ERROR {error}\n", code)


# --- State, storage, resources


def test_state_commands_answer_as_charms_expect(world, run):
    unit = world.model.units["web/0"]
    unit.state["old"] = "1"
    context = world.context()
    text = "ünïcode\nlines: |\n" + "x" * 1_000_000
    assert run(context, "state-set --file -", json.dumps({"big": text}).encode()) == ("", "", 0)
    assert run(context, "state-set small=x") == ("", "", 0)
    assert run(context, "state-delete old") == ("", "", 0)
    assert run(context, "state-delete never") == ("", "", 0)
    assert run(context, "state-get big") == (text + "\n", "", 0)
    assert run(context, "state-get big --format=json")[0] == (
        json.dumps(text, ensure_ascii=False) + "\n"
    )
    assert run(context, "state-get missing") == ("", "", 0)
    assert run(context, "state-get --strict missing") == ("", 'ERROR "missing" not found\n', 1)
    assert json.loads(run(context, "state-get --format=json")[0]) == {"big": text, "small": "x"}
    assert unit.state == {"old": "1"}
    context.flush()
    assert unit.state == {"big": text, "small": "x"}


def test_an_empty_state_is_an_empty_map(world, run):
    assert run(world.context(), "state-get --format=json") == ("{}\n", "", 0)


def test_storage_commands_answer_as_charms_expect(world, run):
    location = "/var/lib/juju/storage/data/0"
    check(
        world,
        run,
        [
            ("storage-list --format=json", '["data/0"]\n', "", 0),
            ("storage-list data --format=json", '["data/0"]\n', "", 0),
            ("storage-list other --format=json", "[]\n", "", 0),
            (
                "storage-get -s data/0 --format=json",
                f'{{"kind":"filesystem","location":"{location}"}}\n',
                "",
                0,
            ),
            ("storage-get -s data/0 location", f"{location}\n", "", 0),
            ("storage-get -s data/0 colour", "", 'invalid storage attribute "colour"', 1),
            ("storage-get", "", "no storage instance specified", 2),
            (
                "storage-get -s data/9",
                "",
                'invalid value "data/9" for option -s: storage not found',
                2,
            ),
        ],
    )
    hook = Hook(HookKind.STORAGE_ATTACHED, storage_id="data/0", prefix="data")
    check(world, run, [("storage-get location", f"{location}\n", "", 0)], hook)


def test_a_file_resource_keeps_its_name_and_follows_its_content(world, run, tmp_path):
    stored = tmp_path / "0f3a"
    resource = Resource("archive", "file", str(stored))
    world.model.applications["web"].resources["archive"] = resource
    for content in (b"one", b"two and more"):
        stored.write_bytes(content)
        assert run(world.context(), "resource-get archive") == (
            "/var/lib/juju/agents/unit-web-0/resources/archive/archive.tar\n",
            "",
            0,
        )
        assert (tmp_path / "resources/archive/archive.tar").read_bytes() == content


def test_an_image_resource_is_a_private_file_with_its_access(world, run, tmp_path):
    password = tmp_path / "password"
    password.write_text("hush\n")
    world.model.applications["web"].resources["app-image"] = Resource(
        "app-image", "oci-image", "localhost/app:1", username="me", password_file=str(password)
    )
    assert run(world.context(), "resource-get app-image") == (
        "/var/lib/juju/agents/unit-web-0/resources/app-image/content.yaml\n",
        "",
        0,
    )
    path = tmp_path / "resources/app-image/content.yaml"
    assert path.read_text() == "password: hush\nregistrypath: localhost/app:1\nusername: me\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["absent", "unknown"])
def test_a_missing_resource_is_an_error(world, run, name):
    assert run(world.context(), f"resource-get {name}") == (
        "",
        f'ERROR could not download resource: resource "{name}" not found\n',
        1,
    )


# --- Actions


@pytest.fixture
def action(world):
    task = Action(3, "web/0", "backup", {"where": "/srv"}, status="running")
    world.model.actions[3] = task
    return task


@pytest.fixture
def in_action(world, action):
    return world.context(Hook(HookKind.ACTION, action_id=3, prefix="backup"))


def test_action_get_fills_in_defaults(in_action, run):
    for line, out in [
        ("action-get --format=json", '{"compress":{"level":3},"where":"/srv"}\n'),
        ("action-get where", "/srv\n"),
        ("action-get compress.level --format=json", "3\n"),
        ("action-get nothing --format=json", "null\n"),
    ]:
        assert run(in_action, line) == (out, "", 0)


def test_action_set_nests_and_stays_after_a_failure(in_action, run, action):
    run(in_action, "action-set a=1 b.c=2")
    run(in_action, "action-set b.d=x=y")
    in_action.run("action-fail", ["--", "disk full"])
    in_action.finish_action(0, ["out"], [])
    assert action.results == {
        "a": "1",
        "b": {"c": "2", "d": "x=y"},
        "return-code": 0,
        "stdout": "out\n",
    }
    assert (action.status, action.message) == ("failed", "disk full")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("action-set stdout=x", 'cannot set reserved action key "stdout"'),
        ("action-set stderr-encoding=x", 'cannot set reserved action key "stderr-encoding"'),
        ("action-set a", 'argument "a" must be of the form key...=value'),
        (
            "action-set Aa=1",
            'key "Aa" must start and end with lowercase alphanumeric, and contain only '
            "lowercase alphanumeric, hyphens and periods",
        ),
        (
            "action-set a-=1",
            'key "a-" must start and end with lowercase alphanumeric, and contain only '
            "lowercase alphanumeric, hyphens and periods",
        ),
    ],
)
def test_action_set_refuses(in_action, run, line, error):
    assert run(in_action, line) == ("", f"ERROR {error}\n", 2)


def test_action_log_stands_at_once(world, in_action, action):
    in_action.run("action-log", ["--", "half", "way"])
    assert action.log == [(world.clock.time, "half way")]
    assert in_action.changed_now


def test_an_action_without_reason_has_a_standard_one(in_action, run, action):
    run(in_action, "action-fail")
    in_action.finish_action(1)
    assert action.message == "action failed without reason given, check action for errors"


def test_a_successful_action_keeps_its_status_for_the_engine(in_action, action):
    in_action.finish_action(0)
    assert (action.status, action.results) == ("running", {"return-code": 0})


def test_a_failing_exit_status_is_told(in_action, action):
    in_action.finish_action(3, [], ["boom"])
    assert (action.status, action.message) == ("failed", "exit status 3")
    assert action.results == {"return-code": 3, "stderr": "boom\n"}


@pytest.mark.parametrize("line", ["action-get", "action-set a=1", "action-fail", "action-log x"])
def test_action_commands_need_an_action(world, run, line):
    assert run(world.context(), line) == ("", "ERROR not running an action\n", 1)


# --- All


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_what_is_not_supported_says_so(world, run, name):
    out, error, code = run(world.context(), f"{name} --now --format=json x")
    assert (out, code) == ("", 1)
    assert error == f"ERROR {name} is not supported on caas models\n"


def test_unknown_formats_and_flags_are_wrong_usage(world, run):
    for name, command in COMMANDS.items():
        if command.raw:
            continue
        assert run(world.context(), f"{name} --no-such-flag")[2] == 2
        if command.prints:
            out, error, code = run(world.context(), f"{name} --format=xml")
            assert (out, code) == ("", 2)
            assert "xml" in error


def test_every_command_has_help(world, run):
    for name in COMMAND_NAMES:
        if not COMMANDS[name].raw:
            out, error, code = run(world.context(), f"{name} --help")
            assert (error, code) == ("", 0)
            assert out.startswith(f"Usage: {name}")


def test_the_client_reads_files_for_the_commands_that_take_them():
    taking = {
        name
        for name, command in COMMANDS.items()
        if any(flag.name == "file" for flag in command.flags)
    }
    listed = re.search(r"names\[\] = \{(.*?)\}", SOURCE.read_text())
    assert listed
    assert set(re.findall(r'"([a-z-]+)"', listed[1])) == taking


def test_output_goes_to_a_file_when_asked(world):
    result = world.context().run("is-leader", ["--format=json", "-o", "answer.json"])
    assert (result.stdout, result.output) == (b"true\n", "answer.json")


def test_config_changed_refreshes_the_addresses_in_the_bags(world, run):
    world.model.applications["web"].service_address = "10.20.1.9"
    context = world.context(Hook(HookKind.CONFIG_CHANGED))
    run(context, "relation-set -r 4 ingress-address=mine")
    context.flush()
    assert world.bag(4, "web/0").data == {
        "egress-subnets": "10.20.1.9/32",
        "ingress-address": "mine",
        "private-address": "10.20.1.9",
    }
    assert world.bag(1, "web/0").data["ingress-address"] == "10.20.1.9"
    assert world.bag(4, "db/0").version == 1


def test_a_leader_that_lost_its_lease_cannot_flush_its_application_bag(world, run):
    context = world.context()
    run(context, "relation-set -r 4 --app a=b")
    run(context, "relation-set -r 4 a=b")
    world.model.applications["web"].leader = "web/1"
    with pytest.raises(FlushError, match="not the leader"):
        context.flush()
    assert world.bag(4, "web/0").version == 1


def test_writes_to_a_relation_that_is_gone_are_dropped(world, run):
    context = world.context()
    run(context, "relation-set -r 4 a=b")
    del world.model.relations[4]
    context.flush()


def test_other_relations_of_the_same_applications_have_bags_of_their_own(world, run):
    world.relate(10, "pgsql", (("web", "database", "requirer"), ("db", "db", "provider")))
    context = world.context()
    run(context, "relation-set -r 10 a=b")
    context.flush()
    assert "a" not in world.bag(4, "web/0").data
    assert isinstance(world.model.relations[10], Relation)
    assert world.model.relations[10].ends[1] == RelationEnd("db", "db", "provider")


def test_a_unit_that_was_removed_by_force_can_do_nothing_more(world, run):
    context = world.context()
    run(context, "relation-set -r 4 a=b")
    del world.model.units["web/0"]
    assert run(context, "is-leader") == (
        "",
        'ERROR bad request: unit "web/0" not found\n',
        1,
    )
    with pytest.raises(FlushError, match='unit "web/0" not found'):
        context.flush()
