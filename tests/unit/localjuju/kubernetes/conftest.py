"""A model, and the real server on a loopback address with the real lightkube as its client."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import lightkube
import pytest
from lightkube.config.kubeconfig import KubeConfig

from localjuju.clock import SystemClock
from localjuju.kubernetes import Accounts, KubernetesServer, open_accounts
from localjuju.model import (
    Application,
    Charm,
    Container,
    Endpoint,
    Model,
    Resource,
    Unit,
)

HOST = "127.0.0.9"
NOW = 1_800_000_000.0


def _add(model: Model, name: str, address: str, *, trust: bool) -> None:
    charm = Charm(
        url=f"local:{name}-0",
        name=name,
        revision=0,
        sha256="",
        path="/nowhere",
        metadata={"name": name},
        config={},
        actions={},
        manifest={},
        endpoints={"give": Endpoint("give", "thing", "provider")},
        containers={"work": Container("work", "work-image")},
        storage={},
        resources={},
    )
    model.charms[charm.url] = charm
    app = Application(name, charm.url, trust=trust, created=NOW, service_address=address)
    app.resources["work-image"] = Resource("work-image", "oci-image", "store/work:1")
    model.applications[name] = app
    unit = Unit(f"{name}/0", name, 0, pod_generation=1, pod_ready=True, address="10.0.1.7")
    unit.opened_ports = {"": ["80/tcp"]}
    model.units[unit.name] = unit


@pytest.fixture
def model() -> Model:
    """A model with the applications `web`, which is trusted, and `guest`, which is not."""
    model = Model(name="shop", uuid="11111111-2222-3333-4444-555555555555", created=NOW)
    _add(model, "web", "10.0.0.10", trust=True)
    _add(model, "guest", "10.0.0.11", trust=False)
    return model


@dataclasses.dataclass
class Cluster:
    """What the server needs of an engine; remembers how often it stored."""

    models: dict[str, Model]
    clock: SystemClock = dataclasses.field(default_factory=SystemClock)
    stored: int = 0

    def persist(self, model: Model) -> list[str]:
        assert model is self.models[model.name]
        self.stored += 1
        return []


@pytest.fixture
def cluster(model: Model) -> Cluster:
    return Cluster({"shop": model})


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    return open_accounts(tmp_path / "kubernetes", HOST, port)


@pytest.fixture
def served(accounts: Accounts, cluster: Cluster) -> Iterator[Accounts]:
    """The server, running in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = KubernetesServer(accounts, cluster)
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield accounts
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def client(
    served: Accounts, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], lightkube.Client]]:
    """Return a maker of clients, each configured as inside the pod of a unit."""
    for name, value in served.environment.items():
        monkeypatch.setenv(name, value)
    opened: list[lightkube.Client] = []

    def make(unit: str) -> lightkube.Client:
        folder = tmp_path / unit.replace("/", "-")
        served.write(model, model.units[unit], folder)
        config = KubeConfig.from_service_account(folder)
        opened.append(lightkube.Client(config=config, field_manager="me", trust_env=False))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
