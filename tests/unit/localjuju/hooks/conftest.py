"""A small model with two related applications, and a way to run hook commands in it."""

from __future__ import annotations

import dataclasses
import itertools
import random
import shutil
from pathlib import Path

import pytest

from localjuju.hooks import CommandResult, HookContext, Paths
from localjuju.hooks.build import ensure_client
from localjuju.model import (
    Application,
    Bag,
    Charm,
    Endpoint,
    Hook,
    HookKind,
    Model,
    Relation,
    RelationEnd,
    RelationView,
    Status,
    StorageAttachment,
    StorageSpec,
    Unit,
)

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z

CONFIG = {
    "title": {"type": "string", "default": "hello"},
    "count": {"type": "int", "default": 42},
    "ratio": {"type": "float", "default": 1.0},
    "debug": {"type": "boolean", "default": False},
    "unset": {"type": "string"},
    "credential": {"type": "secret"},
}

ACTIONS = {
    "backup": {
        "description": "Save all.",
        "params": {
            "where": {"type": "string", "default": "/tmp"},
            "compress": {
                "type": "object",
                "properties": {"level": {"type": "integer", "default": 3}},
            },
        },
    }
}


@dataclasses.dataclass
class Watch:
    """A clock that stands still until it is set."""

    time: float = START

    def now(self) -> float:
        return self.time


class World:
    """A model with `web` (two units), related to `db` (two units), and a peer relation."""

    def __init__(self, folder: Path) -> None:
        self.clock = Watch()
        self.logs: list[tuple[str, str, str]] = []
        self.random = random.Random(7)
        self.numbers = itertools.count(1)
        self.folder = folder
        self.paths = Paths(
            charm=str(folder / "charm"),
            tools=str(folder / "tools"),
            hook_socket=str(folder / "hook.sock"),
            resources="/var/lib/juju/agents/unit-web-0/resources",
            resources_host=folder / "resources",
            hostname="web-0",
            subnets={"alpha": "10.20.0.0/20"},
        )
        self.model = Model(name="test", uuid="0b4b1c1e-6c1b-4d6e-8e0e-3a4f5b6c7d8e")
        self._charm("web", {"database": "requirer", "cluster": "peer"})
        self._charm("db", {"db": "provider"})
        for app, address in (("web", "10.20.1.1"), ("db", "10.20.1.2")):
            self.model.applications[app] = Application(
                app,
                f"local:{app}-0",
                scale=2,
                service_address=address,
                leader=f"{app}/0",
                created=START,
            )
            for number in range(2):
                self.unit(app, number)
        self.relate(1, "cluster", (("web", "cluster", "peer"),))
        self.relate(4, "pgsql", (("web", "database", "requirer"), ("db", "db", "provider")))

    def _charm(self, name: str, endpoints: dict[str, str]) -> None:
        self.model.charms[f"local:{name}-0"] = Charm(
            url=f"local:{name}-0",
            name=name,
            revision=0,
            sha256="",
            path=str(self.folder / "charm"),
            metadata={"name": name},
            config=CONFIG,
            actions=ACTIONS,
            manifest={},
            endpoints={e: Endpoint(e, "any", role) for e, role in endpoints.items()},
            containers={},
            storage={"data": StorageSpec("data")},
            resources={
                "app-image": {"type": "oci-image"},
                "archive": {"type": "file", "filename": "archive.tar"},
                "absent": {"type": "file", "filename": "absent.txt"},
            },
            extra_bindings=("admin",),
        )

    def unit(self, app: str, number: int) -> Unit:
        name = f"{app}/{number}"
        unit = Unit(name, app, number, address=f"10.20.0.{10 * len(app) + number}")
        unit.installed = True
        unit.storage["data/0"] = StorageAttachment(
            "data/0", "data", "/var/lib/juju/storage/data/0", "", attached=True
        )
        unit.workload_status = Status("active", "", START)
        self.model.units[name] = unit
        return unit

    def relate(self, number: int, interface: str, ends: tuple[tuple[str, str, str], ...]) -> None:
        relation = Relation(number, interface, tuple(RelationEnd(*end) for end in ends))
        self.model.relations[number] = relation
        apps = {end.app for end in relation.ends}
        for app in apps:
            relation.app_bags[app] = Bag()
        units = [unit for unit in self.model.units.values() if unit.app in apps]
        for unit in units:
            relation.in_scope.append(unit.name)
            relation.unit_bags[unit.name] = Bag({"private-address": unit.address}, 1)
            remote = [
                other.name
                for other in units
                if other is not unit and (len(apps) == 1 or other.app != unit.app)
            ]
            unit.relations[number] = RelationView(
                entered=True, created=True, members=dict.fromkeys(remote, 1)
            )

    def context(self, hook: Hook | None = None, unit: str = "web/0") -> HookContext:
        return HookContext(
            self.model,
            unit,
            hook or Hook(HookKind.UPDATE_STATUS),
            context_id=f"{unit}-{next(self.numbers)}",
            clock=self.clock,
            paths=self.paths,
            on_log=lambda *line: self.logs.append(line),
            random_bytes=self.random.randbytes,
        )

    def relation_hook(self, kind: HookKind, remote_unit: str = "db/0") -> Hook:
        return Hook(
            kind, relation_id=4, remote_app="db", remote_unit=remote_unit, prefix="database"
        )

    def bag(self, relation: int, entity: str) -> Bag:
        record = self.model.relations[relation]
        return (record.unit_bags if "/" in entity else record.app_bags)[entity]


def call(
    context: HookContext, line: str, stdin: bytes | None = None, **files: bytes
) -> tuple[str, str, int]:
    """Run one command line, split at spaces; return stdout, stderr and exit status."""
    command, *args = line.split()
    result: CommandResult = context.run(command, args, stdin, files)
    return result.stdout.decode(), result.stderr.decode(), result.code


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def run():
    return call


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.fail("these tests compile the hook client: install gcc and libc6-dev")
    return ensure_client(tmp_path_factory.mktemp("client"))
