"""A service of its own for tests: `web`, one process, one need, one task, one rotating secret."""

import dataclasses
import pathlib

import pytest

from charmkit import keys
from charmkit.service import Check, Directory, File, Option, OwnSecret, Process, Service, Task
from charmkit.spec import (
    PEERS,
    Addresses,
    ContainerState,
    Publication,
    Publish,
    RelationData,
    Snapshot,
)
from charmkit.templates import Templates


@dataclasses.dataclass(frozen=True)
class Store:
    """What the need of `web` reads."""

    address: str


@dataclasses.dataclass(frozen=True)
class StoreRequirer:
    """A need: the provider writes `address`, its password is a secret named by `password`."""

    endpoint: str = "store"

    def secret_uris(self, snapshot):
        return [relation.remote_app["password"] for relation in snapshot.related(self.endpoint)
                if "password" in relation.remote_app]  # fmt: skip

    def secret_labels(self, snapshot):
        return ()

    def request(self, snapshot):
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        return Publication(bags=(Publish(relation_id=relation.id, app={"name": snapshot.app}),))

    def read(self, snapshot):
        relation = snapshot.relation(self.endpoint)
        address = relation.remote_app.get("address") if relation else None
        return Store(address) if address else None


CONF = File(
    path="/etc/web/web.conf",
    text="[DEFAULT]\ndebug = {{ config.debug }}\n[store]\naddress = {{ store.address }}\n",
    namespaces=("web",),
)

WEB = Service(
    name="web",
    processes=(
        Process(
            name="web-api",
            command="/bin/web",
            files=(CONF, File(path="/etc/web/note", text="{{ config.note }}", restarts=False)),
            check=Check(command="probe {{ addresses.unit_ip }}"),
        ),
    ),
    needs=(StoreRequirer(),),
    own_secrets=(
        OwnSecret(
            label="web-keys",
            initial=lambda snapshot: keys.initial(snapshot, "web-keys"),
            rotated=lambda snapshot, old: keys.rotated(snapshot, old, "web-keys", 3),
            rotate=lambda snapshot: "weekly",
            action="rotate-keys",
            everywhere_first=True,
        ),
    ),
    directories=(
        Directory(
            path="/etc/web/keys",
            content=lambda snapshot, seen: keys.files(seen["secrets"]["web_keys"]),
        ),
    ),
    tasks=lambda snapshot, seen: [
        Task(
            name="schema",
            argv=("migrate",),
            message="migrating",
            inputs=(seen["store"].address,),
        )
    ],
    options=(Option(name="port", minimum=1, maximum=65535),),
    ports=(80,),
)


@pytest.fixture
def web():
    return WEB


@pytest.fixture
def templates(tmp_path):
    return Templates(pathlib.Path(tmp_path))


@pytest.fixture
def peers():
    return RelationData(id=1, endpoint=PEERS, app="web")


@pytest.fixture
def store():
    return RelationData(id=2, endpoint="store", app="st", remote_app={"address": "st:1"})


@pytest.fixture
def ready(peers, store):
    """A leader whose needs are complete and whose container answers."""
    return Snapshot(
        app="web",
        unit="web/0",
        is_leader=True,
        config={"debug": False, "note": "n", "port": 80},
        relations={PEERS: (peers,), "store": (store,)},
        addresses=Addresses(unit_ip="10.0.0.5", service_ips=("10.8.0.5",)),
        containers={"web": ContainerState(can_connect=True, checks={"online": True})},
        entropy=b"e" * 32,
    )
