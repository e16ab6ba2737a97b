"""The substrate on Podman: pods, dispatches, service addresses."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from localjuju.hooks import COMMAND_NAMES
from localjuju.settings import Settings
from localjuju.substrate import (
    agent,
    agent_client,
    commands,
    firewall,
    hosts,
    links,
    names,
    pause_image,
    records,
    remains,
)
from localjuju.substrate.protocol import (
    Dispatch,
    DispatchResult,
    Mount,
    PodEvent,
    PodSpec,
    ServiceSpec,
    SubstrateError,
)
from localjuju.substrate.records import Forwarding, Key, PodRecord
from localjuju.substrate.runner import Runner
from localjuju.substrate.watching import UnitWatch

_AGENT_ANSWERS_WITHIN = 20.0  # seconds after the pod was started
_HEAL_AFTER = 2.0  # seconds of silence before a look whether a container is down
_HEAL_EVERY = 10.0  # seconds between two such looks at one pod


class PodmanSubstrate:
    """Runs units as Podman pods.

    Args:
        settings: The instance whose pods these are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner = Runner(settings.containers_conf)
        self._host: commands.Host | None = None
        self._pods = records.load_pods(settings)
        self._forwarding = records.load_forwarding(settings)
        self._loaded_rules = ""
        self._locks: dict[Key, asyncio.Lock] = {}
        self._watches: dict[Key, UnitWatch] = {}
        self._healed: dict[Key, float] = {}
        self._events: asyncio.Queue[PodEvent] = asyncio.Queue()
        self._background: set[asyncio.Task[None]] = set()
        self._forward_lock = asyncio.Lock()

    # What all pods share

    async def prepare(self) -> None:
        """Make the network's definition, the tools folder, the first process's image, the table.

        Raises:
            SubstrateError: A program is missing or failed.
        """
        settings = self._settings
        for folder in (settings.home, names.runtime_dir(settings)):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._define_network()
        await asyncio.to_thread(self._place_programs)
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
        await self._forward()

    def _define_network(self) -> None:
        folder = commands.networks_dir(self._settings)
        folder.mkdir(exist_ok=True, mode=0o700)
        definition = commands.network_definition(self._settings)
        path = folder / f"{definition['name']}.json"
        if not path.exists():
            records.replace(path, definition)

    def _place_programs(self) -> None:
        """Put the hook commands (hard links of one program) and the agent where pods see them."""
        settings = self._settings
        program = commands.agent_program(settings)
        _place(Path(agent.__file__), program)
        tools = commands.tools_dir(settings)
        tools.mkdir(exist_ok=True)
        client = settings.home / "hook-client"
        _place(settings.hook_client, client)
        for command in COMMAND_NAMES:
            link = tools / command
            if not (link.exists() and link.samefile(client)):
                fresh = settings.home / ".link"
                fresh.unlink(missing_ok=True)
                fresh.hardlink_to(client)
                fresh.replace(link)

    async def close(self) -> None:
        """Stop watching; pods and service addresses stay as they are."""
        await asyncio.gather(*(watch.stop() for watch in self._watches.values()))
        self._watches.clear()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # Pods

    async def ensure_pod(self, spec: PodSpec, hook_socket: Path) -> None:
        """Make the unit's pod run as `spec` says.

        Raises:
            SubstrateError: An image is missing, Podman failed, the Python is another one.
        """
        settings = self._settings
        key = (spec.model, spec.unit)
        digest = commands.digest(spec, hook_socket, settings.charm_base)
        async with self._lock(key):
            record = PodRecord(
                model=spec.model,
                unit=spec.unit,
                address=spec.address,
                workloads=tuple(workload.name for workload in spec.workloads),
                storage=tuple(sorted({str(mount.source) for mount in _all_mounts(spec)})),
                hook_dir=str(hook_socket.parent),
                digest=digest,
            )
            present = await self._containers(key)
            wanted = set(commands.container_names(settings, spec))
            is_same = set(present) == wanted and all(
                state["Labels"].get(names.LABEL_SPEC) == digest for state in present.values()
            )
            if not is_same:
                await self._drop_pod(key)
            self._make_folders(record)
            self._pods[key] = record
            records.save_pod(settings, record)
            self._write_hosts()
            if is_same:
                await self._start_stopped(key, present)
                return
            await self._create(spec, hook_socket, digest)
            await self._start_pod(key)
            await self._check_python(spec)

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _make_folders(self, record: PodRecord) -> None:
        settings, (model, unit) = self._settings, record.key
        folders = [
            names.agent_socket(settings, model, unit).parent,
            Path(record.hook_dir),
            *(names.pebble_dir(settings, model, unit, name) for name in record.workloads),
        ]
        for folder in (*folders, *map(Path, record.storage)):
            folder.mkdir(parents=True, exist_ok=True)
        names.unit_runtime_dir(settings, model, unit).chmod(0o700)
        names.unit_dir(settings, model, unit).mkdir(parents=True, exist_ok=True)

    async def _create(self, spec: PodSpec, hook_socket: Path, digest: str) -> None:
        host = self._prepared()
        settings = self._settings
        copy = commands.charm_copy(settings, spec.model, spec.unit)
        what = f"make the pod of {spec.unit}"
        if copy.exists():
            await asyncio.to_thread(shutil.rmtree, copy)
        # Blocks are shared where the file system can do that.
        copy_it = ("cp", "--archive", "--reflink=auto", str(spec.charm_dir), str(copy))
        await self._runner.check(f"copy the charm of {spec.unit}", copy_it)
        for workload in spec.workloads:
            if workload.uid is not None:
                folder = names.pebble_dir(settings, spec.model, spec.unit, workload.name)
                os.chown(folder, workload.uid, workload.gid or 0)
        try:
            await self._runner.check(what, commands.create_pod(host, spec, digest))
            create = commands.create_charm(host, spec, hook_socket, digest)
            await self._create_container(what, settings.charm_base, create)
            for workload in spec.workloads:
                create = commands.create_workload(host, spec, workload, digest)
                await self._create_container(what, workload.image, create)
        except SubstrateError:
            await self._drop_pod((spec.model, spec.unit))
            raise

    async def _create_container(self, what: str, image: str, argv: Sequence[str]) -> None:
        done = await self._runner.run(argv)
        if done.code == 0:
            return
        store = self._settings.store_root
        exists = commands.podman(self._settings, "image", "exists", image)
        if (await self._runner.run(exists)).code != 0:
            raise SubstrateError(
                f"cannot {what}: the image {image} is not in {store}; build or load it first"
            )
        raise SubstrateError(f"cannot {what}: {done.reason}")

    async def _containers(self, key: Key) -> dict[str, dict[str, Any]]:
        """Return the containers of a unit's pod by name, as Podman lists them."""
        model, unit = key
        argv = commands.list_containers(
            self._settings,
            f"label={names.LABEL_MODEL}={model}",
            f"label={names.LABEL_UNIT}={unit}",
        )
        listed = json.loads(await self._runner.check(f"look at the pod of {unit}", argv) or b"[]")
        return {state["Names"][0]: state for state in listed or ()}

    async def _start_stopped(self, key: Key, present: Mapping[str, dict[str, Any]]) -> None:
        """Start what is down. Without its namespaces a pod is started as a whole."""
        down = [name for name, state in present.items() if state["State"] != "running"]
        if not down:
            return
        if names.infra(self._settings.instance, *key) in down and len(down) < len(present):
            argv = commands.podman(
                self._settings, "pod", "stop", "--time=5", names.pod(self._settings.instance, *key)
            )
            await self._runner.check(f"stop the pod of {key[1]}", argv)
        await self._start_pod(key)

    async def _start_pod(self, key: Key) -> None:
        pod = names.pod(self._settings.instance, *key)
        argv = commands.podman(self._settings, "pod", "start", pod)
        await self._runner.check(f"start the pod of {key[1]}", argv)
        links.allow_hairpin(names.bridge(self._settings.instance))

    async def _check_python(self, spec: PodSpec) -> None:
        path = names.agent_socket(self._settings, spec.model, spec.unit)
        hello = await _hello(path)
        if spec.python and hello["python"] != spec.python:
            raise SubstrateError(
                f"cannot run {spec.unit}: its charm is packed for Python {spec.python}, the image "
                f"{self._settings.charm_base} has {hello['python']}; pack the charm for that one"
            )

    async def remove_pod(self, model: str, unit: str, *, keep_storage: bool = True) -> None:
        """Remove a unit's pod, its sockets and its private folders."""
        key = (model, unit)
        await self._stop_watch(key)
        async with self._lock(key):
            await self._drop_pod(key)
            record = self._pods.pop(key, None)
            folders = [
                names.unit_runtime_dir(self._settings, model, unit),
                names.unit_dir(self._settings, model, unit),
            ]
            if record and not keep_storage:
                inside = self._settings.home
                folders += [p for p in map(Path, record.storage) if p.is_relative_to(inside)]
            for folder in folders:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            self._write_hosts()

    async def _drop_pod(self, key: Key) -> None:
        pod = names.pod(self._settings.instance, *key)
        argv = commands.remove_pods(self._settings, pod, seconds=commands.STOP_SECONDS)
        done = await self._runner.run(argv, waits=False)
        if done.code != 0:
            raise SubstrateError(f"cannot remove the pod of {key[1]}: {done.reason}")

    def _prepared(self) -> commands.Host:
        if self._host is None:
            raise SubstrateError("cannot make pods before the substrate is prepared")
        return self._host

    # Paths in the charm container

    def hook_socket_path(self, model: str, unit: str) -> str:
        """Return the hook socket's path as the charm container sees it."""
        return f"{names.HOOK_DIR}/{names.HOOK_SOCKET}"

    def charm_path(self, model: str, unit: str) -> str:
        """Return the charm folder as the charm container sees it (Juju's own path)."""
        return names.charm_path(unit)

    def tools_path(self, model: str, unit: str) -> str:
        """Return the folder with the hook commands as the charm container sees it."""
        return commands.tools_path(unit)

    # Dispatches

    async def dispatch(self, dispatch: Dispatch) -> DispatchResult:
        """Run one dispatch to its end. Cancelling sends SIGTERM to its process group.

        Raises:
            SubstrateError: The charm container does not answer.
        """
        return await agent_client.dispatch(
            names.agent_socket(self._settings, dispatch.model, dispatch.unit),
            dispatch.argv,
            dispatch.environment,
            names.charm_path(dispatch.unit),
            warm=dispatch.warm or self._settings.warm,
        )

    async def running_dispatch(self, model: str, unit: str) -> bool:
        """Tell whether a dispatch of an engine that died still runs; ends it if so."""
        return await agent_client.end_running(names.agent_socket(self._settings, model, unit))

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
        record = self._pods.get(key)
        self._watches[key] = UnitWatch(
            self._settings,
            model,
            unit,
            containers,
            after,
            was_ready=record is not None and record.address in self._forwarding.ready,
            emit=self._events.put_nowait,
            on_ready=lambda _ready: self._spawn(self._forward()),
            on_silence=partial(self._heal, key),
        )

    def unwatch(self, model: str, unit: str) -> None:
        """Stop watching a unit's containers."""
        self._spawn(self._stop_watch((model, unit)))

    async def _stop_watch(self, key: Key) -> None:
        watch = self._watches.pop(key, None)
        if watch:
            await watch.stop()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _heal(self, key: Key, silence: float) -> None:
        """Start containers that somebody stopped; Podman itself restarts those that died."""
        now = asyncio.get_running_loop().time()
        lock = self._lock(key)
        recently = now - self._healed.get(key, 0.0) < _HEAL_EVERY
        if silence < _HEAL_AFTER or recently or lock.locked() or key not in self._pods:
            return
        self._healed[key] = now
        async with lock:
            with contextlib.suppress(SubstrateError):  # it is tried again while silence lasts
                self._make_folders(self._pods[key])
                await self._start_stopped(key, await self._containers(key))

    # Services

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        """Make the service addresses of this instance lead as given, in one step."""
        self._forwarding = dataclasses.replace(self._forwarding, services=tuple(services))
        self._write_hosts()
        await self._forward()

    async def _forward(self) -> None:
        """Load the rules for the present services and readiness, if they differ."""
        async with self._forward_lock:
            settings = self._settings
            services = self._forwarding.services
            ready = {r.address for key, r in self._pods.items() if self._is_ready(key, r)}
            self._forwarding = Forwarding(services, frozenset(ready))
            addresses = sorted({service.address for service in services if service.address})
            rules = firewall.render(
                names.table(settings.instance),
                settings.subnet,
                addresses,
                firewall.forwards(services, ready),
            )
            if rules == self._loaded_rules:
                return
            await links.set_addresses(
                self._runner, names.service_link(settings.instance), addresses
            )
            await self._runner.check(
                "load the firewall's rules", ("nft", "-f", "-"), rules.encode()
            )
            self._loaded_rules = rules
            records.save_forwarding(settings, self._forwarding)

    def _is_ready(self, key: Key, record: PodRecord) -> bool:
        """Tell whether a unit gets traffic; one that is not watched yet keeps what it had."""
        watch = self._watches.get(key)
        return watch.ready if watch else record.address in self._forwarding.ready

    def _write_hosts(self) -> None:
        """Bring the hosts files of all pods up to date."""
        units = [hosts.Entry(r.model, r.unit, r.address) for r in self._pods.values()]
        services = [
            hosts.Entry(s.model, s.app, s.address) for s in self._forwarding.services if s.address
        ]
        for own in units:
            path = commands.hosts_file(self._settings, own.model, own.name)
            hosts.write(path, hosts.render(own, units, services))

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
        return ["env", *(f"{k}={v}" for k, v in self._runner.extra.items()), *command]

    # The end

    async def destroy_model(self, model: str) -> None:
        """Remove every pod, folder and service of a model."""
        for key in [key for key in self._pods if key[0] == model]:
            await self._stop_watch(key)
        left = tuple(s for s in self._forwarding.services if s.model != model)
        await self.set_services(left)
        await self._remove_pods(f"label={names.LABEL_MODEL}={model}")
        for key in [key for key in self._pods if key[0] == model]:
            del self._pods[key]
            shutil.rmtree(names.unit_runtime_dir(self._settings, *key), ignore_errors=True)
        folder = names.model_dir(self._settings, model)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._write_hosts()

    async def _remove_pods(self, *filters: str) -> list[str]:
        settings = self._settings
        listed = await self._runner.check("list the pods", commands.list_pods(settings, *filters))
        pods = listed.decode().split()
        if pods:
            argv = commands.remove_pods(settings, *pods, seconds=0)
            await self._runner.check("remove the pods", argv)
        return pods

    async def destroy(self) -> list[str]:
        """Remove everything of this instance from the host; return what was removed."""
        settings = self._settings
        await self.close()
        removed = [f"pod {pod}" for pod in await self._remove_pods()]
        self._pods.clear()
        listed = json.loads(
            await self._runner.check("list containers", commands.list_containers(settings))
            or b"[]"
        )
        for state in listed or ():
            argv = commands.podman(settings, "rm", "--force", "--time=0", state["Id"])
            await self._runner.check("remove a container", argv)
            removed.append(f"container {state['Names'][0]}")
        removed += await remains.remove(self._runner, settings)
        return removed


def _all_mounts(spec: PodSpec) -> list[Mount]:
    return [*spec.mounts, *(mount for workload in spec.workloads for mount in workload.mounts)]


def _place(source: Path, target: Path) -> None:
    """Copy a program in one step, if it differs: running pods keep the file that they have."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return
    fresh = target.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.replace(target)


async def _hello(path: Path) -> dict[str, str]:
    """Return what a unit agent says of itself, waiting for it to come up."""
    give_up = asyncio.get_running_loop().time() + _AGENT_ANSWERS_WITHIN
    while True:
        try:
            async with agent_client.watching(path) as (hello, _):
                return hello
        except SubstrateError:
            if asyncio.get_running_loop().time() > give_up:
                raise
            await asyncio.sleep(0.05)
