"""Real charms on real ops, dispatched in processes, against the compiled client and the server."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from localjuju import secrets
from localjuju.hooks import COMMAND_NAMES, HookServer
from localjuju.model import Action, Bag, Hook, HookKind, Life, Resource

CHARM = """
import json, pathlib, sys
import ops

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import script  # what this dispatch does: written by the test


class Charm(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        for event in self.on.events().values():
            if not isinstance(event, (ops.CollectStatusEvent,)):
                framework.observe(event, self._on_any)

    def _on_any(self, event):
        if isinstance(event, (ops.CollectStatusEvent, ops.LifecycleEvent)):
            return
        report = script.handle(self, event)
        (HERE / "report.json").write_text(json.dumps({"event": type(event).__name__, "r": report}))


ops.main(Charm)
"""

METADATA = """
name: web
requires: {database: {interface: pgsql}}
peers: {cluster: {interface: cluster}}
containers: {app: {resource: app-image}}
storage: {data: {type: filesystem}}
resources:
  app-image: {type: oci-image}
  archive: {type: file, filename: archive.tar}
  absent: {type: file, filename: absent.txt}
extra-bindings: {admin: null}
"""

CONFIG = """
options:
  title: {type: string, default: hello}
  count: {type: int, default: 42}
  ratio: {type: float, default: 1.0}
  debug: {type: boolean, default: false}
  unset: {type: string}
  credential: {type: secret}
"""

ACTIONS = """
backup:
  description: Save all.
  params: {where: {type: string, default: /tmp}}
"""


@dataclasses.dataclass
class Dispatched:
    """How one dispatch ended."""

    code: int
    event: str
    report: object
    stderr: str


class Stage:
    """Dispatches hooks of one small charm; commits them like an engine."""

    def __init__(self, world, client: Path) -> None:
        self.world = world
        self.charm = Path(world.paths.charm)
        (self.charm / "src").mkdir(parents=True)
        (self.charm / "src/charm.py").write_text(CHARM)
        (self.charm / "metadata.yaml").write_text(METADATA)
        (self.charm / "config.yaml").write_text(CONFIG)
        (self.charm / "actions.yaml").write_text(ACTIONS)
        dispatch = self.charm / "dispatch"
        dispatch.write_text(f"#!/bin/sh\nexec {sys.executable} src/charm.py\n")
        dispatch.chmod(0o755)
        tools = Path(world.paths.tools)
        tools.mkdir()
        for name in COMMAND_NAMES:
            os.link(client, tools / name)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = HookServer()
        asyncio.run_coroutine_threadsafe(
            self.server.start(Path(world.paths.hook_socket)), self.loop
        ).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def __call__(
        self, script: str, hook: Hook | None = None, unit: str = "web/0", *, fails: bool = False
    ) -> Dispatched:
        """Dispatch a hook whose handler's body is `script`; commit it if it ends well."""
        body = textwrap.indent(textwrap.dedent(script), "    ")
        (self.charm / "src/script.py").write_text(
            f"import json, logging, os, ops, ops.hookcmds\n\n\ndef handle(charm, event):\n{body}\n"
        )
        report = self.charm / "src/report.json"
        report.unlink(missing_ok=True)
        self.context = context = self.world.context(hook, unit)
        self.loop.call_soon_threadsafe(self.server.register, context)
        done = subprocess.run(
            [self.charm / "dispatch"],
            cwd=self.charm,
            env=context.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.loop.call_soon_threadsafe(self.server.unregister, context.context_id)
        if context.outcome is not None:
            context.finish_action(done.returncode)
        if done.returncode == 0:
            context.flush()
        if not fails:
            assert done.returncode == 0, (done.stderr, self.world.logs)
        found = json.loads(report.read_text()) if report.exists() else {"event": "", "r": None}
        return Dispatched(done.returncode, found["event"], found["r"], done.stderr)


@pytest.fixture
def stage(world, client):
    world.model.charms["local:web-0"].metadata["containers"] = {"app": {}}
    running = Stage(world, client)
    yield running
    running.close()


# --- Events


@pytest.mark.parametrize(
    ("hook", "event"),
    [
        (Hook(HookKind.INSTALL), "InstallEvent"),
        (Hook(HookKind.CONFIG_CHANGED), "ConfigChangedEvent"),
        (
            Hook(HookKind.RELATION_CREATED, relation_id=4, remote_app="db", prefix="database"),
            "RelationCreatedEvent",
        ),
        (
            Hook(
                HookKind.RELATION_DEPARTED,
                relation_id=4,
                remote_app="db",
                remote_unit="db/1",
                departing_unit="db/1",
                prefix="database",
            ),
            "RelationDepartedEvent",
        ),
        (
            Hook(HookKind.RELATION_BROKEN, relation_id=4, remote_app="db", prefix="database"),
            "RelationBrokenEvent",
        ),
        (Hook(HookKind.PEBBLE_READY, container="app", prefix="app"), "PebbleReadyEvent"),
        (
            Hook(
                HookKind.PEBBLE_CUSTOM_NOTICE,
                container="app",
                prefix="app",
                notice_id="1",
                notice_type="custom",
                notice_key="example.com/a",
            ),
            "PebbleCustomNoticeEvent",
        ),
        (
            Hook(HookKind.PEBBLE_CHECK_FAILED, container="app", prefix="app", check_name="online"),
            "PebbleCheckFailedEvent",
        ),
        (
            Hook(HookKind.SECRET_EXPIRED, secret_id="a" * 20, secret_revision=2),
            "SecretExpiredEvent",
        ),
        (
            Hook(HookKind.STORAGE_ATTACHED, storage_id="data/0", prefix="data"),
            "StorageAttachedEvent",
        ),
    ],
)
def test_ops_emits_the_event_of_each_hook(stage, hook, event):
    assert stage("return None", hook).event == event


def test_an_event_that_the_charm_does_not_know_is_success(stage):
    done = stage("return None", Hook(HookKind.STORAGE_DETACHING, storage_id="x/0", prefix="x"))
    assert (done.code, done.event) == (0, "")


def test_the_context_of_a_departed_hook_is_read_by_ops(stage):
    hook = Hook(
        HookKind.RELATION_DEPARTED,
        relation_id=4,
        remote_app="db",
        remote_unit="db/1",
        departing_unit="web/0",
        prefix="database",
    )
    done = stage(
        """
        context = ops.JujuContext.from_environ()
        return [
            event.relation.id, event.app.name, event.unit.name, event.departing_unit.name,
            sorted(unit.name for unit in event.relation.units), context.relation_name,
        ]
        """,
        hook,
    )
    assert done.report == [4, "db", "db/1", "web/0", ["db/0"], "database"]


# --- Relations


def test_data_written_in_a_hook_is_seen_in_it_and_stays_after_it(stage, world):
    done = stage(
        """
        relation = charm.model.get_relation("database")
        relation.data[charm.unit].update({"a": "1", "gone": ""})
        relation.data[charm.app]["b"] = "zwei é 😀"
        model = ops.Model(charm.meta, charm.model._backend)
        fresh = model.get_relation("database")
        return [dict(fresh.data[model.unit]), dict(fresh.data[model.app])]
        """
    )
    assert done.report == [{"private-address": "10.20.0.30", "a": "1"}, {"b": "zwei é 😀"}]
    assert world.bag(4, "web").data == {"b": "zwei é 😀"}
    assert world.bag(4, "web/0").data["a"] == "1"


def test_a_failing_hook_keeps_its_status_and_drops_its_data(stage, world):
    done = stage(
        """
        charm.unit.status = ops.MaintenanceStatus("trying")
        charm.model.get_relation("database").data[charm.unit]["a"] = "1"
        charm.unit.open_port("tcp", 80)
        charm.app.add_secret({"password": "hunter2"})
        raise RuntimeError("boom")
        """,
        fails=True,
    )
    assert done.code == 1
    unit = world.model.units["web/0"]
    assert (unit.workload_status.current, unit.workload_status.message) == (
        "maintenance",
        "trying",
    )
    assert "a" not in world.bag(4, "web/0").data
    assert (unit.opened_ports, world.model.secrets) == ({}, {})
    assert any(level == "ERROR" and "boom" in text for level, _, text in world.logs)


def test_a_relation_that_is_gone_gives_its_own_exception(stage):
    done = stage(
        """
        found = []
        backend = charm.model._backend
        for call in (
            lambda: backend.relation_list(9),
            lambda: backend.relation_get(9, "db/0", False),
            lambda: backend.relation_set(9, {"a": "b"}, False),
            lambda: backend.relation_model_get(9),
            lambda: backend.network_get("database", 9),
        ):
            try:
                call()
            except ops.RelationNotFoundError:
                found.append(True)
        return found
        """
    )
    assert done.report == [True] * 5


def test_a_follower_reads_and_writes_what_it_may(stage, world):
    world.bag(1, "web").data["token"] = "t"
    world.bag(4, "db").data["version"] = "14"
    done = stage(
        """
        peers = charm.model.get_relation("cluster")
        database = charm.model.get_relation("database")
        backend = charm.model._backend
        found = [charm.unit.is_leader(), peers.data[charm.app]["token"],
                 database.data[database.app]["version"], backend.relation_remote_app_name(4)]
        for call in (
            lambda: backend.relation_get(4, "web", True),
            lambda: backend.relation_set(1, {"a": "b"}, True),
            lambda: backend.status_set("active", "", is_app=True),
            lambda: backend.status_get(is_app=True),
        ):
            try:
                call()
            except ops.ModelError as error:
                found.append([type(error).__name__, str(error).strip()])
        return found
        """,
        unit="web/1",
    )
    assert done.report == [
        False,
        "t",
        "14",
        "db",
        ["ModelError", "ERROR permission denied"],
        ["ModelError", "ERROR cannot write relation settings"],
        ["ModelError", "ERROR setting application status: this unit is not the leader"],
        ["ModelError", "ERROR finding application status: this unit is not the leader"],
    ]


def test_in_broken_the_relation_is_no_longer_listed(stage, world):
    world.model.units["web/0"].relations[4].members.clear()
    done = stage(
        """
        return [charm.model.get_relation("database") is None, event.relation.active,
                dict(event.relation.data[charm.unit])]
        """,
        Hook(HookKind.RELATION_BROKEN, relation_id=4, remote_app="db", prefix="database"),
    )
    assert done.report == [True, False, {"private-address": "10.20.0.30"}]


# --- Model and unit


def test_config_reaches_ops_with_its_types(stage, world):
    world.model.applications["web"].config["credential"] = "secret:" + "a" * 20
    done = stage("return dict(charm.config)")
    assert done.report == {
        "title": "hello",
        "count": 42,
        "ratio": 1,
        "debug": False,
        "credential": "secret:" + "a" * 20,
    }


def test_statuses_and_version(stage, world):
    done = stage(
        """
        charm.unit.status = ops.BlockedStatus("no")
        charm.app.status = ops.WaitingStatus("soon")
        charm.unit.set_workload_version("1.2")
        fresh = ops.Model(charm.meta, charm.model._backend)
        found = [fresh.unit.status.name, fresh.app.status.name, fresh.app.status.message]
        try:
            ops.hookcmds.status_set("error", "x")
        except ops.hookcmds.Error as error:
            found.append(error.stderr)
        return found
        """
    )
    assert done.report[:3] == ["blocked", "waiting", "soon"]
    assert "expected one of [maintenance blocked waiting active]" in done.report[3]
    assert world.model.applications["web"].version == "1.2"


def test_planned_units_count_those_to_come(stage, world):
    world.model.applications["web"].scale = 3
    assert stage("return charm.app.planned_units()").report == 3
    world.model.units["web/1"].life = Life.DYING
    world.model.applications["web"].scale = 1
    assert stage("return charm.app.planned_units()").report == 1


def test_networks_parse_for_every_binding(stage):
    done = stage(
        """
        found = []
        for binding in ("database", "cluster", "admin", charm.model.get_relation("database")):
            network = charm.model.get_binding(binding).network
            found.append([str(network.bind_address), str(network.ingress_address),
                          str(network.interfaces[0].subnet), str(network.egress_subnets[0])])
        try:
            charm.model.get_binding("zz").network
        except ops.ModelError as error:
            found.append(str(error).strip())
        return found
        """
    )
    networks = ["10.20.0.30", "10.20.1.1", "10.20.0.0/20", "10.20.1.1/32"]
    assert done.report == [networks] * 4 + ['ERROR no network config found for binding "zz"']


def test_ports_are_set_by_difference(stage, world):
    stage("charm.unit.set_ports(80, ops.Port('udp', 53))")
    assert world.model.units["web/0"].opened_ports == {"": ["80/tcp", "53/udp"]}
    done = stage(
        """
        charm.unit.set_ports(443)
        return sorted([port.port, port.protocol] for port in charm.unit.opened_ports())
        """
    )
    assert done.report == [[443, "tcp"]]
    assert world.model.units["web/0"].opened_ports == {"": ["443/tcp"]}


def test_resources_are_files(stage, world, tmp_path):
    stored = tmp_path / "stored"
    stored.write_text("content")
    world.paths = dataclasses.replace(world.paths, resources=str(tmp_path / "resources"))
    world.model.applications["web"].resources = {
        "archive": Resource("archive", "file", str(stored)),
        "app-image": Resource("app-image", "oci-image", "localhost/app:1"),
    }
    done = stage(
        """
        path = charm.model.resources.fetch("archive")
        image = charm.model.resources.fetch("app-image")
        try:
            charm.model.resources.fetch("absent")
        except ops.ModelError as error:
            return [path.name, path.read_text(), image.read_text(), str(error).strip()]
        """
    )
    assert done.report == [
        "archive.tar",
        "content",
        "registrypath: localhost/app:1\n",
        'ERROR could not download resource: resource "absent" not found',
    ]


def test_storage_is_found(stage):
    done = stage("return [[str(s.location), s.full_id] for s in charm.model.storages['data']]")
    assert done.report == [["/var/lib/juju/storage/data/0", "data/0"]]


def test_state_of_the_framework_can_live_in_juju(stage, world):
    done = stage(
        """
        from ops.storage import JujuStorage, NoSnapshotError
        storage = JujuStorage()
        storage.save_snapshot("Charm/x", {"list": [1, (2, "zwei")], "text": "a\\nb\\n é"})
        storage.save_notice("event", "observer", "method")
        found = [storage.load_snapshot("Charm/x") == {"list": [1, (2, "zwei")],
                                                      "text": "a\\nb\\n é"}]
        found.append(list(storage.notices()))
        storage.drop_snapshot("Charm/x")
        try:
            storage.load_snapshot("Charm/x")
        except NoSnapshotError:
            found.append("gone")
        return found
        """
    )
    assert done.report == [True, [["event", "observer", "method"]], "gone"]
    assert list(world.model.units["web/0"].state) == ["#notices#"]


def test_a_long_log_line_arrives_in_order(stage, world):
    stage(
        """
        logging.getLogger("x").warning("".join(f"<{n:06d}>" for n in range(25_000)))
        return None
        """
    )
    text = "".join(message for level, _, message in world.logs if level == "WARNING")
    numbers = text.replace(">", "").split("<")[1:]
    assert numbers == [f"{n:06d}" for n in range(25_000)]


# --- Actions


@pytest.fixture
def action(world):
    world.model.actions[3] = Action(3, "web/0", "backup", {}, status="running")
    return world.model.actions[3]


RUN_BACKUP = Hook(HookKind.ACTION, action_id=3, prefix="backup")


def test_an_action_answers(stage, action):
    done = stage(
        """
        event.log("on the way")
        event.set_results({"a": {"b": 1}, "where": event.params["where"], "id": event.id})
        return None
        """,
        RUN_BACKUP,
    )
    assert done.event == "ActionEvent"
    assert action.results == {"a": {"b": "1"}, "where": "/tmp", "id": "3", "return-code": 0}
    assert (action.status, action.log[0][1]) == ("running", "on the way")


def test_a_failed_action_keeps_its_results(stage, action):
    stage("event.set_results({'a': 1}); event.fail('disk full')", RUN_BACKUP)
    assert (action.status, action.message, action.results["a"]) == ("failed", "disk full", "1")


def test_reserved_results_are_refused(stage, action):
    done = stage("event.set_results({'stdout': 'x'})", RUN_BACKUP, fails=True)
    assert done.code == 1
    assert action.status == "failed"


# --- Secrets


def test_a_secret_lives_from_add_to_remove(stage, world):
    done = stage(
        """
        secret = charm.app.add_secret(
            {"password": "one"}, label="mine", description="why",
            rotate=ops.SecretRotate.DAILY)
        secret.grant(charm.model.get_relation("database"))
        charm.model.get_relation("database").data[charm.app]["id"] = secret.id
        info = secret.get_info()
        return [info.label, info.description, info.revision, str(info.rotation),
                info.rotates is None, charm.model.get_secret(label="mine").get_content()]
        """
    )
    assert done.report == [
        "mine",
        "why",
        1,
        "SecretRotate.DAILY",
        True,
        {"password": "one"},
    ]
    done = stage(
        """
        secret = charm.model.get_secret(label="mine")
        before = secret.get_content()
        secret.set_content({"password": "two"})
        secret.set_info(description="new")
        return [before, secret.peek_content(), secret.get_content(),
                secret.get_content(refresh=True), secret.get_info().description,
                secret.get_info().rotates is not None]
        """
    )
    assert done.report == [
        {"password": "one"},
        {"password": "two"},
        {"password": "one"},
        {"password": "two"},
        "new",
        True,
    ]
    (secret,) = world.model.secrets.values()
    assert (secret.latest, secrets.obsolete(secret)) == (2, [1])
    hook = secrets.due(world.model, "web/0", world.clock.time)[0]
    assert (hook.kind, hook.secret_revision) == (HookKind.SECRET_REMOVE, 1)
    stage("event.remove_revision()", hook)
    assert sorted(secret.revisions) == [2]
    stage("charm.model.get_secret(label='mine').remove_all_revisions()")
    assert world.model.secrets == {}


def test_a_reader_follows_a_secret(stage, world):
    secret_id = "b" * 20
    world.model.applications["db"].leader = "db/0"

    def revise(text):
        data = {"password": text}
        owner = world.context(unit="db/0")
        argv = [f"{key}={value}" for key, value in data.items()]
        owner.run("secret-set", [secret_id, *argv])
        owner.flush()

    secrets.create(
        world.model,
        secret_id=secret_id,
        owner_kind="application",
        owner="db",
        data={"password": "b25l"},
        now=world.clock.time,
    )
    secrets.grant(world.model, secret_id, 4, "web")
    world.model.relations[4].app_bags["db"] = Bag({"id": f"secret:{secret_id}"}, 1)
    hook = Hook(HookKind.RELATION_CHANGED, relation_id=4, remote_app="db", prefix="database")
    done = stage(
        """
        uri = event.relation.data[event.app]["id"]
        return charm.model.get_secret(id=uri, label="database").get_content()
        """,
        hook,
    )
    assert done.report == {"password": "one"}
    revise("two")
    (changed,) = secrets.due(world.model, "web/0", world.clock.time)
    done = stage(
        """
        secret = charm.model.get_secret(label="database")
        return [event.secret.label, event.secret.get_content(), event.secret.peek_content(),
                secret.get_content(refresh=True)]
        """,
        changed,
    )
    assert (done.event, done.report) == (
        "SecretChangedEvent",
        ["database", {"password": "one"}, {"password": "two"}, {"password": "two"}],
    )


def test_errors_about_secrets_have_their_own_exceptions(stage, world):
    secrets.create(
        world.model,
        secret_id="b" * 20,
        owner_kind="application",
        owner="db",
        data={"password": "b25l"},
        now=world.clock.time,
    )
    done = stage(
        """
        found = []
        charm.app.add_secret({"password": "x"}, label="taken")
        for call in (
            lambda: charm.model.get_secret(id="secret:" + "c" * 20),
            lambda: charm.model.get_secret(label="nothing"),
            lambda: charm.model.get_secret(id="secret:" + "b" * 20),
            lambda: charm.app.add_secret({"password": "y"}, label="taken"),
        ):
            try:
                call()
            except ops.ModelError as error:
                found.append([type(error).__name__, str(error).strip()])
        return found
        """
    )
    assert [name for name, _ in done.report] == [
        "SecretNotFoundError",
        "SecretNotFoundError",
        "ModelError",
        "ModelError",
    ]
    assert done.report[2][1] == "ERROR permission denied"
    assert done.report[3][1] == 'ERROR secret with label "taken" already exists'


def test_a_follower_cannot_change_the_applications_secret(stage, world):
    secrets.create(
        world.model,
        secret_id="b" * 20,
        owner_kind="application",
        owner="web",
        label="mine",
        data={"password": "b25l"},
        now=world.clock.time,
    )
    done = stage(
        """
        secret = charm.model.get_secret(id="secret:" + "b" * 20)
        found = [charm.model.get_secret(label="mine").get_content()]
        for call in (
            lambda: secret.set_content({"password": "x"}),
            lambda: secret.get_info(),
            lambda: charm.app.add_secret({"password": "x"}),
        ):
            try:
                call()
            except ops.ModelError as error:
                found.append([type(error).__name__, str(error).strip()])
        return found
        """,
        unit="web/1",
    )
    assert done.report == [
        {"password": "one"},
        ["ModelError", "ERROR this unit is not the leader"],
        ["SecretNotFoundError", ""],
        ["ModelError", "ERROR this unit is not the leader"],
    ]


def test_a_user_secret_comes_through_config(stage, world):
    secrets.add_user_secret(
        world.model, "api", {"token": "b25l"}, secret_id="u" * 20, now=world.clock.time
    )
    secrets.grant_user_secret(world.model, "api", "web")
    world.model.applications["web"].config["credential"] = "secret:" + "u" * 20
    script = "return charm.model.get_secret(id=charm.config['credential']).get_content()"
    done = stage(script, Hook(HookKind.CONFIG_CHANGED))
    assert done.report == {"token": "one"}
    secrets.update_user_secret(world.model, "api", now=world.clock.time, data={"token": "dHdv"})
    (changed,) = secrets.due(world.model, "web/0", world.clock.time)
    done = stage("return event.secret.get_content(refresh=True)", changed)
    assert done.report == {"token": "two"}


def test_no_secret_reaches_the_trace(stage):
    stage(
        """
        secret = charm.app.add_secret({"password": "hunter2"})
        secret.set_content({"password": "hunter3"})
        return secret.peek_content()
        """
    )
    names = [record.command for record in stage.context.records]
    assert "secret-add" in names
    assert "secret-get" in names
    assert "hunter" not in repr(stage.context.records)


def test_the_functions_of_ops_hookcmds_understand_every_answer(stage, world, action):
    world.model.applications["web"].scale = 3
    done = stage(
        """
        from ops import hookcmds as h
        h.status_set("waiting", "a -- b", app=True)
        h.app_version_set("2")
        h.juju_log("x", level="WARNING")
        h.open_port("tcp", 80, endpoints="cluster")
        h.open_port("icmp")
        h.relation_set({"n": "1"}, 4, endpoint="database", app=True)
        h.state_set({"key": "a\\nb"})
        secret = h.secret_add({"password": "one"}, label="l", rotate="never", owner="unit")
        h.secret_grant(secret, 4, unit="db/0")
        h.secret_set(secret, content={"password": "two"}, owner="unit")
        info = h.secret_info_get(label="l")
        goal = h.goal_state()
        network = h.network_get("database", relation_id=4)
        try:
            h.network_get("zz")
        except h.Error as error:
            refused = [error.returncode, error.stderr]
        h.action_set({"a": {"b": "c"}})
        h.action_log("going")
        return {
            "status": h.status_get(app=True).message,
            "unit": h.status_get().status,
            "config": [h.config_get("count"), h.config_get()["title"]],
            "leader": h.is_leader(),
            "ports": sorted([p.port or 0, p.protocol, p.endpoints]
                            for p in h.opened_ports(endpoints=True)),
            "relation": [h.relation_ids("database"), h.relation_list(4),
                         h.relation_list(4, app=True),
                         h.relation_get(4, key="n", unit="web/0", app=True),
                         h.relation_get(4, unit="db/0")],
            "model": h.relation_model_get(4).uuid == charm.model.uuid,
            "state": [h.state_get("key"), h.state_get(None)],
            "storage": [h.storage_list("data"), str(h.storage_get("data/0").location)],
            "secret": [h.secret_get(id=secret), info.revision, info.label,
                       h.secret_ids() == [info.id]],
            "goal": [sorted(goal.units), sorted(goal.relations["database"])],
            "network": [network.bind_addresses[0].addresses[0].value,
                        list(network.ingress_addresses)],
            "action": h.action_get("where"),
            "refused": refused,
        }
        """,
        RUN_BACKUP,
    )
    assert done.report == {
        "status": "a -- b",
        "unit": "active",
        "config": [42, "hello"],
        "leader": True,
        "ports": [[0, "icmp", ["*"]], [80, "tcp", ["cluster"]]],
        "relation": [
            ["database:4"],
            ["db/0", "db/1"],
            "db",
            "1",
            {"private-address": "10.20.0.20"},
        ],
        "model": True,
        "state": ["a\nb", {"key": "a\nb"}],
        "storage": [["data/0"], "/var/lib/juju/storage/data/0"],
        "secret": [{"password": "two"}, 1, "l", True],
        "goal": [["web/0", "web/1", "web/2"], ["db", "db/0", "db/1"]],
        "network": ["10.20.0.30", ["10.20.1.1"]],
        "action": "/tmp",
        "refused": [1, 'ERROR no network config found for binding "zz"\n'],
    }
    assert action.results["a"] == {"b": "c"}
