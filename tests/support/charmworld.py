"""Every charm, and a small world to run one in.

The world plays Juju and the charm's neighbours: what a related application publishes comes from
the test data of its interface, so a charm and an interface are held against each other. Workload
programs are fakes that behave: they keep state and fail on a command that nobody declared.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import json
import pathlib
import re
import sys
import time
import types

import jinja2
import ops
import pytest
import yaml
from fakemachine import FakeMachine, System
from ops import testing

from charmkit import kubernetes, observe, reconciler, workload
from charmkit.spec import PEERS

ROOT = pathlib.Path(__file__).parents[2]
CHARMS = sorted(path.parent.name for path in ROOT.glob("charms/*/charmcraft.yaml"))


# --- charms ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Charm:
    """A charm of this repository."""

    name: str
    folder: pathlib.Path
    module: types.ModuleType

    @functools.cached_property
    def metadata(self):
        return yaml.safe_load((self.folder / "charmcraft.yaml").read_text())

    @functools.cached_property
    def type(self):
        found = [
            each
            for each in vars(self.module).values()
            if isinstance(each, type) and issubclass(each, ops.CharmBase)
        ]
        assert len(found) == 1, "a charm.py has one charm"
        return found[0]

    @functools.cached_property
    def service(self):
        from charmkit.service import Service

        found = [each for each in vars(self.module).values() if isinstance(each, Service)]
        assert len(found) == 1, "a charm.py has one Service"
        return found[0]

    def endpoints(self, role):
        return self.metadata.get(role, {})

    @property
    def required(self):
        """Endpoints without which the charm does not work."""
        requires = self.endpoints("requires")
        return sorted(name for name, each in requires.items() if not each.get("optional"))

    @property
    def containers(self):
        return sorted(self.metadata.get("containers", {}))

    @property
    def is_machine(self):
        """Whether its processes run on a machine."""
        return bool(self.service.processes) and "k8s-api" not in self.metadata["assumes"]

    @property
    def distribution_units(self):
        """The units that the packages of a machine charm bring."""
        named = [each.unit for each in self.service.processes if each.unit]
        environment = {"addresses": {"unit_name": HOST}}
        return [jinja2.Template(each).render(environment) for each in named]


@functools.cache
def load(name):
    """Import a charm's charm.py under a name of its own, its neighbours in src included."""
    folder = ROOT / "charms" / name
    source = folder / "src"
    siblings = [path.stem for path in source.glob("*.py") if path.stem != "charm"]
    before = {each: sys.modules.pop(each, None) for each in siblings}
    sys.path.insert(0, str(source))
    try:
        spec = importlib.util.spec_from_file_location(f"charm of {name}", source / "charm.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # ops.testing looks the charm's file up there
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(source))
        for each in siblings:
            sys.modules.pop(each, None)
            if before[each] is not None:
                sys.modules[each] = before[each]
    return Charm(name, folder, module)


# --- workloads ---------------------------------------------------------------------------------


class FakeKeystone:
    """Keystone's API as the script `accounts.py` uses it: collections in memory."""

    def __init__(self):
        self.items = {}

    def log_in(self, admin):
        return "id-of-admin", "id-of-admin-project"

    def list(self, kind, **filters):
        items = self.items.setdefault(kind, [])
        return [dict(each) for each in items if filters.items() <= each.items()]

    def create(self, kind, values):
        text = json.dumps([kind, sorted(values.items())])
        made = {"id": hashlib.sha256(text.encode()).hexdigest()[:8], "enabled": True, **values}
        self.items.setdefault(kind, []).append(made)
        return dict(made)

    def change(self, kind, id_, values):
        (found,) = [each for each in self.items[kind] if each["id"] == id_]
        found.update(values)

    def assign(self, target, user, role, kind="projects"):
        scope = f"scope.{kind.removesuffix('s')}.id"
        assignment = {"user": {"id": user}, "role": {"id": role}, scope: target}
        self.items.setdefault("role_assignments", []).append(assignment)


class Programs:
    """The programs of every workload container, by the name of the executable or script.

    Attributes:
        argvs: The words of everything that was run.
        commands: The names of the programs of tasks.
    """

    def __init__(self):
        self.keystone = FakeKeystone()
        self.argvs = []
        self.commands = []
        self.machine = None
        self._programs = {
            "keystone-manage": lambda stdin: "",
            "placement-manage": lambda stdin: "",
            "heat-manage": lambda stdin: "",
            "glance-manage": lambda stdin: "",
            "nova-manage": lambda stdin: "",
            "cells.py": lambda stdin: "",
            "neutron-db-manage": lambda stdin: "",
            "install": lambda stdin: "",
            "pool.py": lambda stdin: "",
            "connected.sh": lambda stdin: "",
            "accounts.py": self._accounts,
            "haproxy": lambda stdin: "",
            "reload.sh": lambda stdin: "",
            "check_overrides.py": lambda stdin: "[]",
            "online.sh": lambda stdin: "",
            "online": lambda stdin: "",
            "cinder-manage": lambda stdin: "",
            "mariadb": self._sql,
            "node.py": self._node,
            "broker.py": self._broker,
            "timer.py": lambda stdin: "",
            "cluster.py": lambda stdin: '{"ports": ["pssl:6641"]}',
        }

    def run(self, argv, stdin):
        self.argvs.append(tuple(argv))
        words = [pathlib.PurePath(word).name for word in argv]
        name = words[1] if words[0] in ("sh", "bash", "python3") else words[0]
        assert name in self._programs, f"nobody declared the program of {argv}"
        # Probes are no tasks, and folders are made by every unit.
        if not name.startswith(("online", "connected")) and name != "install":
            self.commands.append(name)
        return self._programs[name](stdin)

    def on_machine(self, argv, stdin):
        """Run a program of a machine: what looks at it has nothing to say, the rest works."""
        if pathlib.PurePath(argv[0]).name in self._programs:
            return 0, self.run(argv, stdin), ""
        return 0, "", ""

    def _accounts(self, stdin):
        path = ROOT / "charms/keystone-k8s/src/templates/accounts.py"
        spec = importlib.util.spec_from_file_location("accounts", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return json.dumps(module.make(self.keystone, json.loads(stdin)))

    def _node(self, stdin):
        request = json.loads(stdin)
        names = {each["name"]: each["relation"] for each in request.get("clients", ())}
        made = {"seed": request.get("seed"), "clients": names, "version": "16.2.15"}
        return json.dumps(made if "clients" in request else {})

    def _broker(self, stdin):
        users = json.loads(stdin)["users"] if stdin else ()
        return json.dumps({"accounts": sorted(user["name"] for user in users)})

    def _sql(self, stdin):
        names = sorted(set(re.findall(r"CREATE USER IF NOT EXISTS '([^']+)'@", stdin)))
        return json.dumps({"version": "10.11.13-MariaDB", "accounts": names or None})


class Done:
    """A process that has ended well."""

    def __init__(self, output):
        self._output = output

    def wait_output(self):
        return self._output, ""


def fake_programs(monkeypatch):
    """Run workload programs by fakes, without real time passing."""
    fakes = Programs()

    def execute(container, command, *, stdin="", **_):
        return Done(fakes.run(command, stdin))

    monkeypatch.setattr(ops.Container, "exec", execute)
    monkeypatch.setattr(reconciler, "Machine", lambda service: FakeMachine(service, fakes.machine))
    balancer = kubernetes.Balancer(address="10.64.0.1")
    monkeypatch.setattr(kubernetes, "ensure_load_balancer", lambda app, model, ports: balancer)
    monkeypatch.setattr(kubernetes, "remove_load_balancer", lambda app, model: None)
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    monkeypatch.setattr(workload.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.0)
    # With the same randomness in every dispatch, equal facts give equal passwords and keys.
    monkeypatch.setattr(observe.os, "urandom", lambda size: b"r" * size)
    return fakes


# --- the world ---------------------------------------------------------------------------------


CONFIG = {
    # It needs some storage, by integration or by this option.
    "cinder-volume": {"backends": "array: {driver: other, class: cinder.tests.fake_driver.Fake}"}
}
ANSWERS = {}
HOST = "machine-0"


class World:
    """One unit of a charm, and what is around it.

    Args:
        charm: The charm.
        folder: Where the files of its containers, or of its machine, are.
        programs: What it runs there.
        leader: Whether the unit leads at first.
        config: Its options; None: what it cannot do without.
        secrets: What operators have granted to it.
    """

    def __init__(self, charm, folder, programs, leader=True, config=None, secrets=()):
        self.charm = charm
        self._programs = programs
        self.context = testing.Context(charm.type)
        self.files = folder
        containers = set()
        for name in charm.containers:
            mounts = {}
            for place in ("etc", "var"):
                (folder / name / place).mkdir(parents=True, exist_ok=True)
                mounts[place] = testing.Mount(location=f"/{place}", source=folder / name / place)
            containers.add(testing.Container(name, can_connect=False, mounts=mounts))
        peers = {testing.PeerRelation(PEERS, id=1)} if PEERS in charm.endpoints("peers") else set()
        self.state = testing.State(
            leader=leader,
            containers=containers,
            relations=peers,
            storages={testing.Storage(name) for name in charm.endpoints("storage")},
            model=testing.Model("cloud"),
            config=CONFIG.get(charm.name, {}) if config is None else config,
            secrets=set(secrets),
            resources={
                testing.Resource(name=name, path=_file(folder / "resources" / name))
                for name, each in charm.metadata.get("resources", {}).items()
                if each["type"] == "file"
            },
        )
        self.machine = System(folder / "machine", charm.distribution_units, programs.on_machine)
        endpoints = sorted({*charm.endpoints("requires"), *charm.endpoints("provides")})
        self._ids = {endpoint: number for number, endpoint in enumerate(endpoints)}
        if charm.is_machine:
            self.run(self.context.on.install())

    def run(self, event):
        self._programs.machine = self.machine
        self.state = self.context.run(event, self.state)
        return self.state

    @property
    def status(self):
        return self.state.unit_status

    @property
    def command_lines(self):
        """Everything that was run, in its container or on its machine, one text each."""
        return [" ".join(argv) for argv in (*self._programs.argvs, *self.machine.argvs)]

    @property
    def units(self):
        """The texts of what was written for systemd."""
        folder = self.machine.root / "etc/systemd"
        return [path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()]

    def lead(self):
        """Make the unit the leader, of which Juju tells it."""
        self.state = dataclasses.replace(self.state, leader=True)
        return self.run(self.context.on.leader_elected())

    def follow(self):
        """Take the leadership away, of which Juju tells nothing."""
        self.state = dataclasses.replace(self.state, leader=False)

    def start_container(self, name):
        container = dataclasses.replace(self.state.get_container(name), can_connect=True)
        others = {each for each in self.state.containers if each.name != name}
        self.state = dataclasses.replace(self.state, containers={*others, container})
        return self.run(self.context.on.pebble_ready(container))

    def relation(self, endpoint):
        return self.state.get_relations(endpoint)[0]

    def integrate(self, endpoint):
        """Relate an endpoint: created, joined, changed."""
        # The first id does not depend on the order, so that passwords, whose names hold it, do
        # not either; a relation that comes back has another one.
        self._ids[endpoint] = self._ids[endpoint] + 100
        relation = testing.Relation(
            endpoint,
            id=self._ids[endpoint],
            remote_app_name=f"the-{endpoint}",
            remote_units_data={},
        )
        self.state = dataclasses.replace(self.state, relations={*self.state.relations, relation})
        self.run(self.context.on.relation_created(relation))
        joined = dataclasses.replace(self.relation(endpoint), remote_units_data={0: {}})
        self._replace(joined)
        self.run(self.context.on.relation_joined(joined, remote_unit=0))
        self.run(self.context.on.relation_changed(self.relation(endpoint), remote_unit=0))

    def _replace(self, relation):
        others = {each for each in self.state.relations if each.id != relation.id}
        self.state = dataclasses.replace(self.state, relations={*others, relation})

    def unheard(self):
        """Name the endpoints whose other end has something to say that we have not heard."""
        return sorted(
            relation.endpoint
            for relation in self.state.relations
            if relation.endpoint != PEERS and self._answer(relation) != relation
        )

    def hear(self, endpoint):
        """Let the other end publish its answer."""
        relation = self._answer(self.relation(endpoint))
        side = self._side(relation)
        secrets = {
            testing.Secret(tracked_content=dict(content), id=uri)
            for uri, content in side.secrets.items()
        }
        known = {each for each in self.state.secrets if each.id not in side.secrets}
        self.state = dataclasses.replace(self.state, secrets={*known, *secrets})
        self._replace(relation)
        self.run(self.context.on.relation_changed(relation, remote_unit=0))

    def _side(self, relation):
        role = "requires" if relation.endpoint in self.charm.endpoints("requires") else "provides"
        interface = self.charm.endpoints(role)[relation.endpoint]["interface"]
        module = importlib.import_module(f"charmkit.interfaces.{interface.replace('-', '_')}")
        other = module.provider_side if role == "requires" else module.requirer_side
        bags = relation.local_app_data, relation.local_unit_data
        # One answer to one question: a signature, for example, is another one each time.
        question = (module.__name__, role, json.dumps(bags, sort_keys=True))
        if question not in ANSWERS:
            ANSWERS[question] = other(*bags)
        return ANSWERS[question]

    def _answer(self, relation):
        side = self._side(relation)
        return dataclasses.replace(
            relation,
            remote_app_data=dict(side.app_bag),
            remote_units_data={0: dict(side.unit_bag)},
        )

    def settle(self):
        """Let the others answer until nobody has anything to say."""
        for _ in range(30):
            unheard = self.unheard()
            if not unheard:
                return
            self.hear(unheard[0])
        pytest.fail("the charm and its neighbours never settle")

    def break_(self, endpoint):
        relation = self.relation(endpoint)
        self.run(self.context.on.relation_broken(relation))
        others = {each for each in self.state.relations if each.id != relation.id}
        self.state = dataclasses.replace(self.state, relations=others)

    def facts(self):
        """Give what the unit has made of the world, in a form that can be compared."""
        return {
            "status": (self.status.name, self.status.message),
            "ports": sorted(port.port for port in self.state.opened_ports),
            "bags": {
                relation.endpoint: (
                    self._without_ids(relation.local_app_data),
                    self._without_ids(relation.local_unit_data),
                )
                for relation in self.state.relations
            },
            "secrets": sorted(
                json.dumps([self._without_ids({"": each.label})[""], _present(each)])
                for each in self.state.secrets
                if each.owner
            ),
            "layers": {
                container.name: json.dumps(container.plan.to_dict(), sort_keys=True)
                for container in self.state.containers
            },
            "files": {
                str(path.relative_to(self.files)): self._without_ids({"": path.read_text()})[""]
                for path in sorted(self.files.rglob("*"))
                if path.is_file()
            },
        }

    def _without_ids(self, bag):
        """Replace the ids of secrets, which are random, by their labels."""
        names = {each.id: f"<{each.label}>" for each in self.state.secrets if each.owner}
        result = dict(bag)
        for key in result:
            for id_, name in names.items():
                result[key] = result[key].replace(id_, name)
        return result


def _present(secret):
    """Give a secret's content without what it was before, which the way here decides."""
    content = secret.latest_content or {}
    return {key: value for key, value in content.items() if not key.startswith("old-")}


def _file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    return path


def begin(world):
    """Bring a unit to the end of its first hooks; its containers are up."""
    for name in world.charm.containers:
        world.start_container(name)
    world.run(world.context.on.config_changed())
    world.run(world.context.on.start())
    return world


def activate(world):
    """Give a begun unit all that it must have, and a client on every endpoint that it offers."""
    for endpoint in (*world.charm.required, *world.charm.endpoints("provides")):
        world.integrate(endpoint)
    world.settle()
    return world
