"""The reconciler with the service `web` of conftest.py: state in, event, state out."""

import dataclasses
import json
import pathlib
import shutil

import ops
import pytest
from ops import testing

from charmkit import pebble, workload
from charmkit.reconciler import Reconciler
from charmkit.service import Task

PROBE = "probe"
VALIDATOR = workload.PYTHON
META = {
    "name": "web",
    "containers": {"web": {"resource": "web-image"}},
    "resources": {"web-image": {"type": "oci-image"}},
    "peers": {"peers": {"interface": "web-peers"}},
    "requires": {"store": {"interface": "store"}},
}
CONFIG = {
    "options": {
        "debug": {"type": "boolean", "default": False},
        "note": {"type": "string", "default": ""},
        "port": {"type": "int", "default": 80},
        "config-overrides": {"type": "string", "default": ""},
    }
}
ACTIONS = {"rotate-keys": {"additionalProperties": False}}


@pytest.fixture
def ctx(web, tmp_path, monkeypatch):
    class WebCharm(ops.CharmBase):
        def __init__(self, framework):
            super().__init__(framework)
            self.reconciler = Reconciler(self, web, tmp_path / "templates")

    monkeypatch.setattr(workload.time, "sleep", lambda seconds: None)
    return testing.Context(WebCharm, meta=META, config=CONFIG, actions=ACTIONS)


def execs(*, probe=0, migrate=0, problems=()):
    return {
        testing.Exec([PROBE], return_code=probe),
        testing.Exec(["migrate"], return_code=migrate, stderr="line one\nno such table"),
        testing.Exec([VALIDATOR], stdout=json.dumps(list(problems))),
    }


@pytest.fixture
def disk(tmp_path):
    """The file system of the container, as it outlives one dispatch."""
    for name in ("etc", "var"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    return tmp_path / "disk"


@pytest.fixture
def fresh(disk):
    """A leader with every integration, whose container has just come up."""
    mounts = {
        name: testing.Mount(location=f"/{name}", source=disk / name) for name in ("etc", "var")
    }
    container = testing.Container("web", can_connect=True, mounts=mounts, execs=execs())
    store = testing.Relation("store", id=2, remote_app_data={"address": "st:1"})
    return testing.State(
        leader=True,
        containers={container},
        relations={testing.PeerRelation("peers", id=1), store},
    )


@pytest.fixture
def running(ctx, fresh):
    state = ctx.run(ctx.on.pebble_ready(fresh.get_container("web")), fresh)
    ctx.unit_status_history.clear()
    ctx.exec_history.clear()
    return state


def ran(ctx):
    """Give the commands that ran in the container, without probes."""
    return [
        args.command[0] for args in ctx.exec_history.get("web", ()) if args.command[0] != PROBE
    ]


def with_execs(state, **kwargs):
    container = dataclasses.replace(state.get_container("web"), execs=execs(**kwargs))
    return dataclasses.replace(state, containers={container})


def with_config(state, **config):
    return dataclasses.replace(
        state, config={name.replace("_", "-"): value for name, value in config.items()}
    )


def config_changed(ctx, state, **config):
    return ctx.run(ctx.on.config_changed(), with_config(state, **config))


def check_failed(ctx, state):
    container = state.get_container("web")
    (info,) = container.check_infos
    down = dataclasses.replace(info, failures=3, status=ops.pebble.CheckStatus.DOWN)
    container = dataclasses.replace(container, check_infos={down})
    state = dataclasses.replace(state, containers={container})
    return ctx.run(ctx.on.pebble_check_failed(container, down), state)


def plan_of(state):
    return state.get_container("web").plan.to_dict()


def shown(ctx):
    return [status.message for status in ctx.unit_status_history]


# --- start -------------------------------------------------------------------------------------


def test_a_unit_starts_and_tells_what_it_does(ctx, fresh):
    state = ctx.run(ctx.on.pebble_ready(fresh.get_container("web")), fresh)
    assert state.unit_status == testing.ActiveStatus()
    assert shown(ctx) == ["", "migrating", "starting web-api"]
    assert ran(ctx) == ["migrate"]
    assert {port.port for port in state.opened_ports} == {80}


def test_the_leader_records_what_it_did(running):
    record = json.loads(running.get_relation(1).local_app_data["tasks"])
    assert record["schema"]["inputs"] == ["st:1"]


def test_a_second_run_does_nothing(ctx, running):
    state = ctx.run(ctx.on.config_changed(), running)
    assert ran(ctx) == []
    assert shown(ctx) == [""]
    assert plan_of(state) == plan_of(running)
    assert state.relations == running.relations


def test_a_task_whose_record_was_lost_is_recorded_and_not_run_again(ctx, running):
    peers = dataclasses.replace(running.get_relation(1), local_app_data={})
    lost = dataclasses.replace(running, relations={peers, running.get_relation(2)})
    state = ctx.run(ctx.on.update_status(), lost)
    assert ran(ctx) == []
    assert "schema" in state.get_relation(1).local_app_data["tasks"]


def test_a_task_that_another_leader_did_otherwise_is_done_again(ctx, running):
    other = {"schema": {"digest": "of another input", "inputs": ["elsewhere:1"]}}
    peers = dataclasses.replace(
        running.get_relation(1), local_app_data={"tasks": json.dumps(other)}
    )
    state = ctx.run(
        ctx.on.leader_elected(),
        dataclasses.replace(running, relations={peers, running.get_relation(2)}),
    )
    assert ran(ctx) == ["migrate"]
    record = json.loads(state.get_relation(1).local_app_data["tasks"])
    assert record["schema"]["inputs"] == ["st:1"], "followers wait for their own input"


def test_a_new_container_is_migrated_again(ctx, running, disk):
    # Another image may have another schema, and nobody else knows what a file system has seen.
    shutil.rmtree(disk / "var/lib")
    ctx.run(ctx.on.pebble_ready(running.get_container("web")), running)
    assert ran(ctx) == ["migrate"]


def test_a_task_that_fails_fails_the_hook_with_its_last_line(ctx, fresh):
    state = with_execs(fresh, migrate=3)
    with pytest.raises(testing.errors.UncaughtCharmError) as caught:
        ctx.run(ctx.on.pebble_ready(state.get_container("web")), state)
    assert "cannot finish the task schema: migrate exited 3: no such table" in str(caught.value)


def test_a_task_that_failed_is_run_again(ctx, fresh):
    state = with_execs(fresh, migrate=3)
    with pytest.raises(testing.errors.UncaughtCharmError):
        ctx.run(ctx.on.pebble_ready(state.get_container("web")), state)
    state = ctx.run(ctx.on.pebble_ready(fresh.get_container("web")), fresh)
    assert state.unit_status == testing.ActiveStatus()
    assert ran(ctx) == ["migrate", "migrate"]


def test_keys_are_files_that_only_their_owner_reads(running, disk):
    folder = disk / "etc/web/keys"
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_follower_runs_no_task(ctx, running):
    follower = dataclasses.replace(running, leader=False)
    state = ctx.run(ctx.on.config_changed(), follower)
    assert ran(ctx) == []
    assert state.unit_status == testing.ActiveStatus()


def test_a_unit_that_is_being_taken_away_is_not_changed_before_its_stop(ctx, running):
    leaving = with_config(dataclasses.replace(running, planned_units=0), debug=True)
    state = ctx.run(ctx.on.relation_broken(running.get_relation(2)), leaving)
    assert plan_of(state) == plan_of(running)
    assert state.relations == running.relations
    stopped = ctx.run(ctx.on.stop(), state)
    assert not stopped.get_container("web").services["web-api"].is_running()


def test_the_log_names_each_file_that_is_written_and_only_when_it_is(ctx, running):
    def written():
        return [line.message for line in ctx.juju_log if line.message.startswith("wrote ")]

    assert written().count("wrote /etc/web/web.conf") == 1
    before = written()
    ctx.run(ctx.on.config_changed(), running)
    assert written() == before
    config_changed(ctx, running, debug=True)
    assert written()[len(before) :] == ["wrote /etc/web/web.conf"]


# --- restarts ----------------------------------------------------------------------------------


def test_a_changed_file_restarts_its_process_once(ctx, running):
    state = config_changed(ctx, running, debug=True)
    assert shown(ctx).count("starting web-api") == 1
    assert plan_of(state) != plan_of(running)


def test_a_file_that_needs_no_restart_is_written_without_one(ctx, running, disk):
    state = config_changed(ctx, running, note="changed")
    assert (disk / "etc/web/note").read_text() == "changed"
    assert shown(ctx) == [""]
    assert plan_of(state) == plan_of(running)


def test_a_hook_that_ended_before_the_restart_is_made_good(ctx, running, disk, monkeypatch):
    # Files and layer are new, but the processes were not replanned.
    state = config_changed(ctx, running, debug=True)
    record = disk / "var/lib/charmkit/state.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "started": {"digest": "old"}}))
    replans = []
    monkeypatch.setattr(
        pebble.Container, "start", lambda self, workload: replans.append(workload.container)
    )
    for _ in range(2):
        ctx.run(ctx.on.update_status(), state)
    assert replans == ["web"]


def test_a_process_that_was_stopped_is_started(ctx, running):
    stopped = {"web-api": ops.pebble.ServiceStatus.INACTIVE}
    container = dataclasses.replace(running.get_container("web"), service_statuses=stopped)
    state = ctx.run(ctx.on.update_status(), dataclasses.replace(running, containers={container}))
    assert state.get_container("web").services["web-api"].is_running()


# --- overrides ---------------------------------------------------------------------------------

WRONG = "[store]\ntimeoutt = 5\n"
PROBLEM = "config-overrides: unknown option [store] timeoutt"


@pytest.fixture
def refused(ctx, running):
    state = config_changed(ctx, with_execs(running, problems=[PROBLEM]), config_overrides=WRONG)
    assert ran(ctx) == [VALIDATOR]
    ctx.exec_history.clear()
    return state


def test_a_refused_override_blocks_and_names_the_option(refused):
    assert refused.unit_status == testing.BlockedStatus(PROBLEM)


def test_a_refused_override_leaves_what_runs_untouched(refused, running, disk):
    assert plan_of(refused) == plan_of(running)
    assert "timeoutt" not in (disk / "etc/web/web.conf").read_text()


def test_a_refused_override_is_not_validated_again(ctx, refused):
    state = ctx.run(ctx.on.update_status(), refused)
    assert state.unit_status == testing.BlockedStatus(PROBLEM)
    assert ran(ctx) == []


def test_a_refused_override_is_shown_also_when_only_reporting(ctx, refused):
    state = check_failed(ctx, refused)
    assert state.unit_status == testing.BlockedStatus(PROBLEM)
    assert ran(ctx) == []


def test_keys_reach_a_unit_whose_overrides_are_refused(ctx, refused, disk):
    # Otherwise it could not read what the other units write after the next rotation.
    ctx.run(ctx.on.secret_rotate(next(iter(refused.secrets))), refused)
    assert (disk / "etc/web/keys/2").exists()


def test_fixing_an_override_heals(ctx, refused, disk):
    state = config_changed(ctx, with_execs(refused), config_overrides="[store]\ntimeout = 5\n")
    assert state.unit_status == testing.ActiveStatus()
    assert "timeout = 5" in (disk / "etc/web/web.conf").read_text()


def test_taking_an_override_back_heals_without_a_restart(ctx, refused, running):
    state = config_changed(ctx, refused, config_overrides="")
    assert state.unit_status == testing.ActiveStatus()
    assert plan_of(state) == plan_of(running)


def test_a_bad_option_blocks_and_leaves_what_runs_untouched(ctx, running):
    state = config_changed(ctx, running, port=0)
    assert state.unit_status == testing.BlockedStatus("port: must be at least 1, is 0")
    assert plan_of(state) == plan_of(running)


# --- readiness ---------------------------------------------------------------------------------


@pytest.fixture
def patience(monkeypatch):
    """Let the patience of every probe be over at once."""
    times = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(workload.time, "monotonic", lambda: next(times))


def test_a_process_that_does_not_answer_is_waited_for(ctx, fresh, patience):
    silent = with_execs(fresh, probe=1)
    state = ctx.run(ctx.on.pebble_ready(silent.get_container("web")), silent)
    assert state.unit_status == testing.WaitingStatus("waiting for an answer of: web-api")
    # The real check is there: when it succeeds, the recovery brings us back.
    assert state.get_container("web").plan.checks["online"].exec == {"command": "probe 192.0.2.0"}


def test_a_failed_check_reports_and_does_not_reconcile(ctx, running):
    state = check_failed(ctx, running)
    assert state.unit_status == testing.WaitingStatus("waiting for an answer of: web-api")
    assert shown(ctx) == [""]


def test_a_recovered_check_makes_the_unit_active_again(ctx, running):
    (info,) = running.get_container("web").check_infos
    state = ctx.run(ctx.on.pebble_check_recovered(running.get_container("web"), info), running)
    assert state.unit_status == testing.ActiveStatus()


@pytest.fixture
def member_ctx(web, tmp_path, monkeypatch):
    """The service `web`, which has something to hand over; the context is unit 1's."""
    farewell = Task(name="leave", argv=("leave",), message="handing over")

    class WebCharm(ops.CharmBase):
        def __init__(self, framework):
            super().__init__(framework)
            service = dataclasses.replace(web, farewells=(farewell,))
            self.reconciler = Reconciler(self, service, tmp_path / "templates")

    monkeypatch.setattr(workload.time, "sleep", lambda seconds: None)
    return testing.Context(WebCharm, meta=META, config=CONFIG, actions=ACTIONS, unit_id=1)


@pytest.mark.parametrize(("planned", "leaves"), [(1, True), (2, False), (0, False)])
def test_only_a_unit_that_goes_alone_hands_over(member_ctx, running, planned, leaves):
    container = running.get_container("web")
    container = dataclasses.replace(container, execs=execs() | {testing.Exec(["leave"])})
    state = dataclasses.replace(running, planned_units=planned, containers={container})
    out = member_ctx.run(member_ctx.on.stop(), state)
    assert ("leave" in ran(member_ctx)) is leaves
    assert not out.get_container("web").services["web-api"].is_running()


def test_what_cannot_be_handed_over_is_not_stopped(member_ctx, running):
    container = running.get_container("web")
    failing = testing.Exec(["leave"], return_code=1, stderr="no majority")
    container = dataclasses.replace(container, execs=execs() | {failing})
    state = dataclasses.replace(running, planned_units=1, containers={container})
    with pytest.raises(testing.errors.UncaughtCharmError) as caught:
        member_ctx.run(member_ctx.on.stop(), state)
    assert "no majority" in str(caught.value.__cause__)


def test_a_stop_keeps_clients_away_and_then_stops(ctx, running):
    state = ctx.run(ctx.on.stop(), running)
    container = state.get_container("web")
    assert container.plan.checks["online"].exec == {"command": "/bin/false"}
    assert not container.services["web-api"].is_running()


def test_a_stop_without_a_container_is_no_error(ctx, running):
    gone = dataclasses.replace(running.get_container("web"), can_connect=False)
    ctx.run(ctx.on.stop(), dataclasses.replace(running, containers={gone}))


# --- secrets -----------------------------------------------------------------------------------


@pytest.fixture
def keys(running):
    (secret,) = running.secrets
    assert (secret.label, secret.owner, secret.rotate) == (
        "web-keys", "app", ops.SecretRotate.WEEKLY
    )  # fmt: skip
    return secret


def test_a_rotation_writes_new_keys_and_restarts_nothing(ctx, running, keys, disk):
    state = ctx.run(ctx.on.secret_rotate(keys), running)
    assert sorted(path.name for path in (disk / "etc/web/keys").iterdir()) == ["0", "1", "2"]
    assert (disk / "etc/web/keys/2").read_text() == keys.latest_content["key-0"]
    assert plan_of(state) == plan_of(running)
    assert shown(ctx) == [""]


def test_a_rotation_is_one_new_revision_that_the_leader_reads_next(ctx, running, keys, disk):
    state = ctx.run(ctx.on.secret_rotate(keys), running)
    (secret,) = state.secrets
    assert set(secret.latest_content) == {"key-0", "key-1", "key-2"}
    after = {path.name: path.read_text() for path in (disk / "etc/web/keys").iterdir()}
    ctx.run(ctx.on.relation_changed(state.get_relation(2), remote_unit=0), state)
    assert {path.name: path.read_text() for path in (disk / "etc/web/keys").iterdir()} == after


def test_the_action_rotates(ctx, running, keys):
    state = ctx.run(ctx.on.action("rotate-keys"), running)
    assert ctx.action_results == {"result": "rotated web-keys"}
    assert "key-2" in next(iter(state.secrets)).latest_content


def test_the_action_on_a_follower_says_whom_to_ask(ctx, running):
    with pytest.raises(testing.ActionFailed, match="web/0 is not the leader"):
        ctx.run(ctx.on.action("rotate-keys"), dataclasses.replace(running, leader=False))


def test_nothing_is_rotated_that_cannot_be_applied(ctx, running):
    gone = dataclasses.replace(running.get_container("web"), can_connect=False)
    with pytest.raises(testing.ActionFailed, match="waiting for container: web"):
        ctx.run(ctx.on.action("rotate-keys"), dataclasses.replace(running, containers={gone}))


def test_a_rotation_that_is_refused_does_not_fail_the_hook(ctx, running, keys):
    peers = dataclasses.replace(
        running.get_relation(1), peers_data={1: {"secrets-seen": '{"web-keys": "older"}'}}
    )
    state = dataclasses.replace(running, relations={peers, running.get_relation(2)})
    out = ctx.run(ctx.on.secret_rotate(keys), state)
    assert next(iter(out.secrets)).latest_content == keys.latest_content
    assert any("web/1 has not got the present one" in line.message for line in ctx.juju_log)


def test_revisions_that_nobody_reads_are_removed(ctx, running, keys):
    rotated = ctx.run(ctx.on.secret_rotate(keys), running)
    (secret,) = rotated.secrets
    ctx.run(ctx.on.secret_remove(secret, revision=1), rotated)
    assert ctx.removed_secret_revisions == [1]


def test_a_status_is_given_also_when_the_charm_goes(ctx, running):
    state = dataclasses.replace(running, relations=frozenset())
    assert ctx.run(ctx.on.remove(), state).unit_status.name == "blocked"


def test_templates_are_found_wherever_the_charm_is_started(ctx, fresh, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    state = ctx.run(ctx.on.pebble_ready(fresh.get_container("web")), fresh)
    assert state.unit_status == testing.ActiveStatus()
    assert pathlib.Path.cwd() == tmp_path


def test_a_unit_with_others_keeps_clients_away_while_it_restarts(ctx, running, monkeypatch):
    peers = dataclasses.replace(running.get_relation(1), peers_data={1: {}})
    state = dataclasses.replace(running, relations={peers, running.get_relation(2)})
    layers = []
    add_layer = ops.Container.add_layer

    def record(self, label, layer, **kwargs):
        layers.append(layer)
        add_layer(self, label, layer, **kwargs)

    monkeypatch.setattr(ops.Container, "add_layer", record)
    config_changed(ctx, state, debug=True)
    commands = [
        layer["checks"]["online"]["exec"]["command"] if "checks" in layer else "restart"
        for layer in layers
    ]
    assert commands == ["/bin/false", "restart", "probe 192.0.2.0"]
