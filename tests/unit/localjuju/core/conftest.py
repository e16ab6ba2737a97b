"""Small models for the tests of the engine's core."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any

import pytest

from localjuju import resolver
from localjuju.clock import VirtualClock
from localjuju.engine import Engine
from localjuju.hooks import protocol
from localjuju.model import (
    Application,
    Charm,
    Container,
    Endpoint,
    Life,
    Model,
    Relation,
    RelationEnd,
    Resource,
    Unit,
)
from localjuju.settings import Settings, Space
from localjuju.substrate.protocol import (
    Dispatch,
    DispatchResult,
    MachineSpec,
    MachineUnitSpec,
    PodEvent,
    PodSpec,
    ServiceSpec,
    SubstrateError,
)

NOW = 1_800_000_000.0


class World:
    """A model under construction, with the verbs that operators have."""

    def __init__(self) -> None:
        self.model = Model(name="m", uuid="11111111-2222-3333-4444-555555555555")
        self.now = NOW

    def app(
        self,
        name: str,
        *,
        units: int = 1,
        containers: Iterable[str] = (),
        peer: bool = False,
        path: str = "/nowhere",
    ) -> Application:
        charm = Charm(
            url=f"local:{name}-0",
            name=name,
            revision=0,
            sha256="",
            path=path,
            metadata={"name": name},
            config={"colour": {"type": "string", "default": "red"}},
            actions={"act": {}},
            manifest={},
            endpoints={
                "give": Endpoint("give", "thing", "provider"),
                "take": Endpoint("take", "thing", "requirer"),
                "peers": Endpoint("peers", "peers", "peer"),
            },
            containers={c: Container(c, f"{c}-image") for c in containers},
            storage={},
            resources={},
        )
        self.model.charms[charm.url] = charm
        app = Application(name, charm.url, scale=units, created=self.now)
        app.service_address = f"10.0.0.{10 + len(self.model.applications)}"
        self.model.applications[name] = app
        if peer:
            self._relation("peers", RelationEnd(name, "peers", "peer"))
        for _ in range(units):
            self.unit(name)
        return app

    def unit(self, app: str) -> Unit:
        taken = {unit.ordinal for unit in self.model.units_of(app)}
        ordinal = next(n for n in range(1000) if n not in taken)
        unit = Unit(f"{app}/{ordinal}", app, ordinal)
        unit.address = f"10.0.1.{len(self.model.units)}"
        self.model.units[unit.name] = unit
        return unit

    def remove(self, unit: str) -> None:
        """Remove the unit; as in Juju, that is the one with the highest number."""
        app = self.model.applications[unit.partition("/")[0]]
        app.scale -= 1
        self.model.units[unit].life = Life.DYING

    def relate(self, provider: str, requirer: str) -> Relation:
        return self._relation(
            "thing",
            RelationEnd(provider, "give", "provider"),
            RelationEnd(requirer, "take", "requirer"),
        )

    def _relation(self, interface: str, *ends: RelationEnd) -> Relation:
        relation = Relation(self.model.next_relation_id, interface, ends)
        self.model.next_relation_id += 1
        self.model.relations[relation.id] = relation
        return relation


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def new_world() -> Callable[[], World]:
    return World


# --- A substrate that behaves --------------------------------------------------------------------


class HookRun:
    """What a charm of a test works with: its environment and the hook commands."""

    def __init__(self, environment: dict[str, str], socket: Path) -> None:
        self.environment = environment
        self._socket = socket
        self.stdout: list[str] = []
        self.stderr: list[str] = []

    @property
    def name(self) -> str:
        return self.environment.get("JUJU_DISPATCH_PATH", "/juju-exec").partition("/")[2]

    @property
    def unit(self) -> str:
        return self.environment["JUJU_UNIT_NAME"]

    @property
    def remote_unit(self) -> str:
        return self.environment.get("JUJU_REMOTE_UNIT", "")

    async def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a hook command through the unit's socket; an error raises `CommandFailedError`."""
        command, *args = argv
        fields = [(b"c", self.environment["JUJU_CONTEXT_ID"]), (b"n", command)]
        fields += [(b"a", argument) for argument in args]
        if stdin is not None:
            fields.append((b"i", stdin))
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        with contextlib.closing(writer):
            writer.write(protocol.MAGIC)
            for kind, text in fields:
                writer.write(protocol.HEADER.pack(kind, len(text.encode())) + text.encode())
            writer.write(protocol.HEADER.pack(b"z", 0))
            head = await reader.readexactly(13)
            code, out, err, _ = struct.unpack(">BIII", head)
            stdout, stderr = await reader.readexactly(out), await reader.readexactly(err)
        if code:
            raise CommandFailedError(stderr.decode())
        return stdout.decode().rstrip("\n")


class CommandFailedError(Exception):
    """A hook command ended with an error."""


CharmCode = Callable[[HookRun], Awaitable[int | None]]


async def _quiet_charm(hook: HookRun) -> None:
    """Do nothing, successfully."""


class FakeSubstrate:
    """Keeps pods in memory and runs charms that are Python functions.

    Attributes:
        charms: Application → its code; returns the exit status, None means 0.
        dispatched: What was begun, as (unit, hook).
        broken: Unit → why its pod cannot come up.
        destroyed: Units that went with their storage.
    """

    def __init__(self) -> None:
        self.charms: dict[str, CharmCode] = {}
        self.dispatched: list[tuple[str, str]] = []
        self.environments: list[dict[str, str]] = []
        self.pods: dict[tuple[str, str], PodSpec | MachineUnitSpec] = {}
        self.machines: dict[tuple[str, str], MachineSpec] = {}
        self.restarted: list[str] = []
        self.sockets: dict[tuple[str, str], Path] = {}
        self.removed: list[str] = []
        self.destroyed: list[str] = []
        self.broken: dict[str, str] = {}
        self.services: list[list[ServiceSpec]] = []
        self.watched: dict[str, dict[str, str]] = {}
        self.active: set[str] = set()
        self.most_active = 0
        self.orphans: set[str] = set()
        self.ended_orphans: list[str] = []
        self.engine_is_dead = False
        self.boots = 0
        self.slow_pods = asyncio.Event()
        self.slow_pods.set()
        self.hold_result_of: tuple[str, str, asyncio.Event] | None = None
        self.queue: asyncio.Queue[PodEvent] = asyncio.Queue()

    async def prepare(self) -> None:
        self.queue = asyncio.Queue()

    async def ensure_pod(self, spec: PodSpec, hook_socket: Path) -> None:
        if spec.unit in self.broken:
            raise SubstrateError(self.broken[spec.unit])
        key = (spec.model, spec.unit)
        fresh = self.pods.get(key) != spec
        self.pods[key], self.sockets[key] = spec, hook_socket
        await self.slow_pods.wait()
        boot = f"agent-{spec.generation}-{self.boots}"
        self.queue.put_nowait(PodEvent("charm-started", spec.model, spec.unit, boot_id=boot))
        for workload in spec.workloads:
            boot = f"pebble-{spec.generation}-{self.boots}"
            self.boot(spec.model, spec.unit, workload.name, boot)
        if fresh:
            await asyncio.sleep(0)

    def reboot(self) -> None:
        """Every pod was stopped and comes back with new processes."""
        self.boots += 1

    def boot(self, model: str, unit: str, container: str, boot_id: str) -> None:
        self.queue.put_nowait(PodEvent("pebble", model, unit, container, boot_id))

    def hook_socket_path(self, model: str, unit: str) -> str:
        return "/var/lib/juju/hook.sock"

    def charm_path(self, model: str, unit: str) -> str:
        return f"/var/lib/juju/agents/unit-{unit.replace('/', '-')}/charm"

    def tools_path(self, model: str, unit: str) -> str:
        return "/var/lib/juju/tools"

    def resources_path(self, model: str, unit: str, machine: str) -> Path | None:
        return None

    async def ensure_machine(self, spec: MachineSpec) -> None:
        if spec.machine in self.broken:
            raise SubstrateError(self.broken[spec.machine])
        assert spec.is_new or (spec.model, spec.machine) in self.machines
        self.machines[spec.model, spec.machine] = spec

    async def restart_machine(self, model: str, machine: str) -> None:
        self.restarted.append(machine)
        self.go_down(model, machine)

    def go_down(self, model: str, machine: str) -> None:
        """A machine has ended; its worker brings it up again."""
        self.boots += 1
        self.queue.put_nowait(PodEvent("machine", model, "", machine=machine))

    async def remove_machine(self, model: str, machine: str) -> None:
        assert not [s for s in self.pods.values() if getattr(s, "machine", "") == machine]
        self.machines.pop((model, machine), None)
        self.removed.append(f"machine {machine}")

    async def ensure_on_machine(self, spec: MachineUnitSpec, hook_socket: Path) -> None:
        assert (spec.model, spec.machine) in self.machines
        key = (spec.model, spec.unit)
        self.pods[key], self.sockets[key] = spec, hook_socket
        boot = f"machine-{self.boots}"
        self.queue.put_nowait(PodEvent("charm-started", spec.model, spec.unit, boot_id=boot))

    async def remove_from_machine(
        self, model: str, unit: str, *, force: bool = False, keep_storage: bool = True
    ) -> None:
        machine = getattr(self.pods.get((model, unit)), "machine", "")
        if machine in self.broken and not force:
            raise SubstrateError(self.broken[machine])
        await self.remove_pod(model, unit, keep_storage=keep_storage)

    def machine_argv(
        self, model: str, machine: str, argv: Sequence[str], *, tty: bool = False
    ) -> list[str]:
        raise AssertionError("the engine does not exec by itself")

    async def run_on_machine(
        self, model: str, machine: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        return 3, f"{machine}: {argv[-1]}".encode(), b""

    async def remove_pod(self, model: str, unit: str, *, keep_storage: bool = True) -> None:
        self.pods.pop((model, unit), None)
        self.removed.append(unit)
        self.destroyed += [] if keep_storage else [unit]

    async def dispatch(self, dispatch: Dispatch) -> DispatchResult:
        unit = dispatch.unit
        assert (dispatch.model, unit) in self.pods
        assert unit not in self.active, "two dispatches at once"
        hook = HookRun(dict(dispatch.environment), self.sockets[dispatch.model, unit])
        self.dispatched.append((unit, hook.name))
        self.environments.append(hook.environment)
        self.active.add(unit)
        self.most_active = max(self.most_active, len(self.active))
        code = self.charms.get(unit.partition("/")[0], _quiet_charm)
        try:
            exit_code = await code(hook)
            if self.hold_result_of and self.hold_result_of[:2] == (unit, hook.name):
                self.hold_result_of[2].set()
                await asyncio.sleep(3600)
        except KilledError:
            return DispatchResult(exit_code=None, signal=15)
        except asyncio.CancelledError:
            if self.engine_is_dead:
                self.orphans.add(unit)
            raise
        finally:
            self.active.discard(unit)
        return DispatchResult(exit_code or 0, 0, 0.1, tuple(hook.stdout), tuple(hook.stderr))

    async def running_dispatch(self, model: str, unit: str) -> bool:
        if unit not in self.orphans:
            return False
        self.orphans.discard(unit)
        self.ended_orphans.append(unit)
        return True

    async def events(self) -> AsyncIterator[PodEvent]:
        while True:
            yield await self.queue.get()

    def watch(
        self, model: str, unit: str, containers: Sequence[str], after: Mapping[str, str]
    ) -> None:
        self.watched[unit] = dict(after)

    def unwatch(self, model: str, unit: str) -> None:
        self.watched.pop(unit, None)

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        self.services.append(list(services))

    async def exec(
        self, model: str, unit: str, container: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        raise AssertionError("the engine does not exec by itself")

    def exec_argv(
        self, model: str, unit: str, container: str, argv: Sequence[str], *, tty: bool
    ) -> list[str]:
        raise AssertionError("the engine does not exec by itself")

    async def destroy_model(self, model: str) -> None:
        self.removed.append(model)

    async def destroy(self) -> list[str]:
        raise AssertionError("the engine does not destroy its instance")


class KilledError(Exception):
    """Raised by a charm of a test: its process was killed by a signal."""


class Cloud:
    """An engine with a fake substrate and a clock that the test turns; it can be killed."""

    def __init__(self, home: Path, charm_dir: Path) -> None:
        self.home = home
        self.charm_dir = charm_dir
        self.sockets = home.parent / "s"
        self.substrate = FakeSubstrate()
        self.clock = VirtualClock(NOW)
        self.subnet = "10.77.0.0/24"
        self.engine: Engine | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Engine]:
        """Run an engine on this home; stopped cleanly at the end unless it was killed."""
        engine = await self.start()
        try:
            yield engine
        finally:
            if self.engine is not None:
                await self.stop()

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.home,
            instance="t",
            subnet=self.subnet,
            charm_base="base",
            pebble=Path("/pebble"),
            hook_client=Path("/client"),
            store_root=Path("/root"),
            store_runroot=Path("/runroot"),
            machine_image="x/machine:1",
            spaces=(Space("fast", "10.78.0.0/24"),),
        )

    async def start(self, *, add_model: bool = True) -> Engine:
        self.substrate.engine_is_dead = False
        self.engine = Engine(
            self.settings,
            self.substrate,
            clock=self.clock,
            seed=1,
            hook_socket=lambda model, unit, machine: self.sockets / unit.replace("/", "-") / "s",
        )
        await self.engine.start()
        if add_model and "m" not in self.engine.models:
            await self.engine.add_model("m", {})
        return self.engine

    async def stop(self) -> None:
        engine, self.engine = self.engine, None
        assert engine is not None
        await engine.stop()

    async def kill(self) -> None:
        """End the engine as `kill -9` does: nothing is stored or sent after this."""
        engine, self.engine = self.engine, None
        assert engine is not None
        self.substrate.engine_is_dead = True
        engine.store.close()
        engine._running = False
        tasks = [task for _, task in engine._workers.values()] + list(engine._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        engine.logs.close()

    @property
    def model(self) -> Model:
        assert self.engine is not None
        return self.engine.models["m"]

    async def change(self, edit: Callable[[World], Any]) -> Any:
        """Apply an edit in terms of `World`."""
        assert self.engine is not None

        def on_model(model: Model) -> Any:
            world = World()
            world.model, world.now = model, self.clock.now()
            return edit(world)

        return await self.engine.change("m", on_model)

    async def deploy(self, name: str, **options: Any) -> None:
        def edit(world: World) -> None:
            app = world.app(name, path=str(self.charm_dir), **options)
            app.service_address = ""
            for container in options.get("containers", ()):
                image = f"{container}-image"
                app.resources[image] = Resource(image, "oci-image", "store/image")
            for unit in world.model.units_of(name):
                unit.address = ""

        await self.change(edit)

    async def rest(self) -> None:
        """Return when nothing has anything to do (at the present time)."""
        calm = 0
        for _ in range(4000):
            await asyncio.sleep(0.001)
            calm = calm + 1 if self._is_calm() else 0
            if calm == 4:
                return
        raise AssertionError(f"the engine does not come to rest: {self._restless()}")

    async def advance(self, seconds: float) -> None:
        """Let time pass, and wait until everybody has done what came due."""
        self.clock.advance(seconds)
        await self.rest()

    def _restless(self) -> list[str]:
        assert self.engine is not None
        now = self.clock.now()
        return [
            unit.name
            for model in self.engine.models.values()
            for unit in model.units.values()
            if unit.name in self.substrate.active
            or unit.removed
            or (not unit.pod_ready and unit.name not in self.substrate.broken)
            or resolver.next_operation(unit, model, now) is not None
            or resolver.wants_new_pod(unit, model)
            or unit.agent_status.current not in {"idle", "error", "lost", "allocating"}
        ]

    def _is_calm(self) -> bool:
        return not self._restless() and self.substrate.queue.empty()

    def hooks(self, unit: str) -> list[str]:
        return [hook for name, hook in self.substrate.dispatched if name == unit]

    def take(self) -> list[tuple[str, str]]:
        """Return what was dispatched since the last call."""
        done = list(self.substrate.dispatched)
        self.substrate.dispatched.clear()
        return done


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    charm = tmp_path / "charm"
    charm.mkdir()
    (charm / "dispatch").touch()
    return Cloud(tmp_path / "home", charm)


@pytest.fixture(scope="session")
def killed() -> type[Exception]:
    return KilledError


@pytest.fixture(scope="session")
def command_failed() -> type[Exception]:
    return CommandFailedError
