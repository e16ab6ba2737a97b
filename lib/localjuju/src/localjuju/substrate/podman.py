"""The substrate on Podman: what the engine asks for, put together from the parts beside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path

from localjuju.hooks import COMMAND_NAMES
from localjuju.settings import Settings
from localjuju.substrate import (
    agent,
    agent_client,
    commands,
    links,
    names,
    pause_image,
    records,
    remains,
    resolver,
)
from localjuju.substrate.forwarder import Forwarder
from localjuju.substrate.machine_units import MachineUnits
from localjuju.substrate.machines import Machines
from localjuju.substrate.pods import Pods
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
from localjuju.substrate.records import Key
from localjuju.substrate.runner import Runner
from localjuju.substrate.watching import UnitWatch


class PodmanSubstrate:
    """Runs units as Podman pods, and machines as containers that boot.

    Args:
        settings: The instance whose pods these are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner = Runner(settings.containers_conf)
        self._host: commands.Host | None = None
        self._pods = Pods(settings, self._runner, lambda: self._forwarder.write_hosts())
        self._forwarder = Forwarder(settings, self._runner, self._pods.records, self._readiness)
        self._python: dict[str, str] = {}
        self._watches: dict[Key, UnitWatch] = {}
        self._events: asyncio.Queue[PodEvent] = asyncio.Queue()
        self._machines = Machines(settings, self._runner, self._events.put_nowait)
        self._machine_units = MachineUnits(settings, self._runner, self._machines)
        self._background: set[asyncio.Task[None]] = set()

    def _readiness(self, key: Key) -> bool | None:
        watch = self._watches.get(key)
        if key in self._pods.leaving:
            return False
        return watch.ready if watch else None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # What all pods share

    async def prepare(self) -> None:
        """Make what all pods share: network, tools, the first process's image, link and table.

        Raises:
            SubstrateError: A program is missing or failed.
        """
        settings = self._settings
        for folder in (settings.home, names.runtime_dir(settings)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # Pebble lets every user of its socket read the plan
        _define_networks(settings)
        kept = names.network(settings)
        await asyncio.to_thread(resolver.forget, settings.instance, keep=kept)
        await asyncio.to_thread(_place_programs, settings)
        info = await self._runner.check(
            "ask Podman about this host",
            commands.podman(settings, "info", "--format", "{{.Host.CgroupManager}}"),
        )
        self._host = commands.Host(
            settings=settings,
            pause=await pause_image.ensure(self._runner, settings),
            cgroup_parent=names.cgroup(settings.instance, info.decode().strip()),
        )
        await links.ensure_link(self._runner, names.service_link(settings.instance))
        await self._forwarder.update()

    async def close(self) -> None:
        """Stop watching; pods and service addresses stay as they are."""
        await asyncio.gather(*(watch.stop() for watch in self._watches.values()))
        self._watches.clear()
        self._pods.close()
        self._machines.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # Pods

    async def ensure_pod(self, spec: PodSpec, hook_socket: Path) -> None:
        """Make the unit's pod run as `spec` says.

        Raises:
            SubstrateError: An image is missing, Podman failed, the Python is another one.
        """
        if self._host is None:
            raise SubstrateError("cannot make pods before the substrate is prepared")
        if hook_socket.name != names.HOOK_SOCKET:
            raise SubstrateError(f"cannot use {hook_socket}: name it {names.HOOK_SOCKET}")
        await self._pods.ensure(self._host, spec, hook_socket)

    async def remove_pod(self, model: str, unit: str, *, keep_storage: bool = True) -> None:
        """Remove a unit's pod, its sockets and its private folders."""
        key = (model, unit)
        self._pods.leaving.add(key)
        await self._stop_watch(key)
        await self._forwarder.update()
        await self._pods.remove(key, keep_storage=keep_storage)

    # Machines

    async def ensure_machine(self, spec: MachineSpec) -> None:
        """Make a machine run as `spec` says, and return when it has booted.

        Raises:
            SubstrateError: Its image is missing, it is gone, Podman failed, it does not boot.
        """
        if self._host is None:
            raise SubstrateError("cannot make machines before the substrate is prepared")
        await self._machines.ensure(self._host, spec)

    async def restart_machine(self, model: str, machine: str) -> None:
        """Shut a machine down and boot it again.

        Raises:
            SubstrateError: It is not there, or does not boot.
        """
        await self._machines.restart((model, machine))

    async def remove_machine(self, model: str, machine: str) -> None:
        """Remove a machine with all that is on it."""
        await self._machines.remove((model, machine))

    async def ensure_on_machine(self, spec: MachineUnitSpec, hook_socket: Path) -> None:
        """Make a unit's agent run on its machine as `spec` says.

        Raises:
            SubstrateError: The machine is down, the agent does not answer, the Python is another.
        """
        await self._machine_units.ensure(spec, hook_socket)

    async def remove_from_machine(
        self, model: str, unit: str, *, force: bool = False, keep_storage: bool = True
    ) -> None:
        """Remove a unit from its machine, as `Substrate.remove_from_machine` says."""
        await self._stop_watch((model, unit))
        await self._machine_units.remove((model, unit), force=force, keep_storage=keep_storage)

    def resources_path(self, model: str, unit: str, machine: str) -> Path | None:
        """Return the folder on this host of a machine unit's resources; None for a pod's."""
        if not machine:
            return None
        return self._machine_units.agent_folder((model, unit), machine) / "resources"

    def machine_argv(
        self, model: str, machine: str, argv: Sequence[str], *, tty: bool = False
    ) -> list[str]:
        """Return the command line that runs `argv` on a machine as root."""
        flags = ("--interactive", "--tty") if tty else ("--interactive",)
        command = commands.on_machine(self._settings, model, machine, argv, *flags)
        return self._with_environment(command)

    async def run_on_machine(
        self, model: str, machine: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command on a machine as root: `juju exec --machine`."""
        done = await self._machines.run((model, machine), argv, stdin)
        return done.code, done.stdout, done.stderr

    # Paths as a unit sees them

    def hook_socket_path(self, model: str, unit: str) -> str:
        """Return the hook socket's path as the charm container or machine sees it."""
        if self._machine_units.place_of((model, unit)):
            return names.seen_on_machine(unit, Path("hook", names.HOOK_SOCKET))
        return f"{names.HOOK_DIR}/{names.HOOK_SOCKET}"

    def charm_path(self, model: str, unit: str) -> str:
        """Return the charm folder as the charm container sees it (Juju's own path)."""
        return names.charm_path(unit)

    def tools_path(self, model: str, unit: str) -> str:
        """Return the folder with the hook commands as the charm container sees it."""
        return commands.tools_path(unit)

    async def charm_python(self, image: str = "") -> str:
        """Return the minor version of the Python that charms run on, like `3.11`.

        Args:
            image: A machine's image; empty for that of charm containers.

        Raises:
            SubstrateError: The image is missing, or has no Python.
        """
        image = image or self._settings.charm_base
        if image not in self._python:
            what = f"find the Python of the image {image}"
            output = await self._runner.check(what, commands.ask_python(self._settings, image))
            self._python[image] = output.decode().strip()
        return self._python[image]

    # Dispatches

    async def dispatch(self, dispatch: Dispatch) -> DispatchResult:
        """Run one dispatch to its end. Cancelling sends SIGTERM to its process group.

        Raises:
            SubstrateError: The charm container does not answer.
        """
        return await agent_client.dispatch(
            self._agent_socket(dispatch.model, dispatch.unit),
            dispatch.argv,
            dispatch.environment,
            names.charm_path(dispatch.unit),
            warm=dispatch.warm,
        )

    async def running_dispatch(self, model: str, unit: str) -> bool:
        """Tell whether a dispatch of an engine that died still runs; ends it if so."""
        return await agent_client.end_running(self._agent_socket(model, unit))

    def _agent_socket(self, model: str, unit: str) -> Path:
        machine = self._machine_units.place_of((model, unit))
        return names.agent_socket(self._settings, model, unit, machine)

    # Events

    async def events(self) -> AsyncIterator[PodEvent]:
        """Yield what watched pods do by themselves, from their present state."""
        while True:
            yield await self._events.get()

    def watch(
        self, model: str, unit: str, containers: Sequence[str], after: Mapping[str, str]
    ) -> None:
        """Begin to watch a unit's containers; `after` gives each one's last notice time."""
        key = (model, unit)
        if key in self._watches:
            return
        self._watches[key] = UnitWatch(
            self._settings,
            model,
            unit,
            containers,
            after,
            self._machine_units.place_of(key),
            was_ready=self._forwarder.had_traffic(key),
            emit=self._events.put_nowait,
            on_ready=lambda _: self._spawn(self._forwarder.follow()),
            on_silence=partial(self._pods.heal, key),
        )

    def unwatch(self, model: str, unit: str) -> None:
        """Stop watching a unit's containers."""
        self._spawn(self._stop_watch((model, unit)))

    async def _stop_watch(self, key: Key) -> None:
        watch = self._watches.pop(key, None)
        if watch:
            await watch.stop()

    # Services

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        """Make the service addresses of this instance lead as given, in one step."""
        await self._forwarder.set_services(services)

    # Programs in containers

    async def exec(
        self, model: str, unit: str, container: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command in a container (`charm` or a workload): `juju ssh` and `juju scp`."""
        command = commands.execute(self._settings, model, unit, container, argv, "--interactive")
        done = await self._runner.run(command, stdin, waits=False)
        return done.code, done.stdout, done.stderr

    def exec_argv(
        self, model: str, unit: str, container: str, argv: Sequence[str], *, tty: bool
    ) -> list[str]:
        """Return the command line that runs `argv` interactively in a container."""
        flags = ("--interactive", "--tty") if tty else ("--interactive",)
        command = commands.execute(self._settings, model, unit, container, argv, *flags)
        return self._with_environment(command)

    def _with_environment(self, command: Sequence[str]) -> list[str]:
        return ["env", *(f"{k}={v}" for k, v in self._runner.extra.items()), *command]

    # The end

    async def destroy_model(self, model: str) -> None:
        """Remove every pod, machine, folder and service of a model."""
        for key in [key for key in self._watches if key[0] == model]:
            await self._stop_watch(key)
        left = [service for service in self._forwarder.services if service.model != model]
        await self._forwarder.set_services(left)
        await self._pods.remove_all(model)
        await self._machines.remove_all(model)
        folder = names.model_dir(self._settings, model)
        await asyncio.to_thread(remains.remove_tree, folder)
        self._forwarder.write_hosts()

    async def destroy(self) -> list[str]:
        """Remove everything of this instance from the host; return what was removed."""
        await self.close()
        removed = [f"pod {name}" for name in await self._pods.remove_all()]
        removed += [f"machine {name}" for name in await self._machines.remove_all()]
        removed += [f"container {name}" for name in await self._pods.remove_strays()]
        return removed + await remains.remove(self._runner, self._settings)


def _define_networks(settings: Settings) -> None:
    folder = commands.networks_dir(settings)
    folder.mkdir(exist_ok=True, mode=0o700)
    definitions = [commands.network_definition(settings)]
    definitions += [commands.space_definition(settings, space) for space in settings.spaces]
    for definition in definitions:
        path = folder / f"{definition['name']}.json"
        if not path.exists():
            records.replace(path, definition)


def _place_programs(settings: Settings) -> None:
    """Put the hook commands (hard links of one program) and the agent where pods see them."""
    _place(Path(agent.__file__), commands.agent_program(settings))
    client = settings.home / "hook-client"
    _place(settings.hook_client, client)
    tools = commands.tools_dir(settings)
    tools.mkdir(exist_ok=True)
    for command in COMMAND_NAMES:
        link = tools / command
        if not (link.exists() and link.samefile(client)):
            fresh = settings.home / ".link"
            fresh.unlink(missing_ok=True)
            fresh.hardlink_to(client)
            fresh.replace(link)


def _place(source: Path, target: Path) -> None:
    """Copy a program in one step, if it differs: running pods keep the file that they have."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return
    fresh = target.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.replace(target)
