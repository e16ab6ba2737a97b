"""Units' pods: made, started, healed and removed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localjuju.settings import Settings
from localjuju.substrate import commands, containers, links, names, records
from localjuju.substrate.protocol import PodSpec, SubstrateError
from localjuju.substrate.records import Key, PodRecord
from localjuju.substrate.remains import remove_tree
from localjuju.substrate.runner import Runner

_RESTART_SECONDS = 5  # that processes have to end when a pod is restarted as a whole
_HEAL_AFTER = 2.0  # seconds of silence before a look whether a container is down
_HEAL_EVERY = 3.0  # seconds between two such looks at one pod


_LOG = logging.getLogger(__name__)


class Pods:
    """The pods of one instance.

    Args:
        settings: The instance.
        runner: Starts Podman.
        on_change: Called after a pod came or went, with its files in place or gone.
    """

    def __init__(self, settings: Settings, runner: Runner, on_change: Callable[[], None]) -> None:
        self._settings = settings
        self._runner = runner
        self._on_change = on_change
        self.records = records.load_pods(settings)
        self.leaving: set[Key] = set()
        self._locks: dict[Key, asyncio.Lock] = {}
        self._looked: dict[Key, float] = {}
        self._holders = containers.Holders(self._holder_ended)
        self._background: set[asyncio.Task[None]] = set()

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    def _name(self, key: Key) -> str:
        return names.pod(self._settings.instance, *key)

    # Making

    async def ensure(self, host: commands.Host, spec: PodSpec, hook_socket: Path) -> None:
        """Make a unit's pod run as `spec` says.

        Raises:
            SubstrateError: An image is missing, Podman failed, the Python is another one.
        """
        record = _record(spec, hook_socket, self._settings.charm_base)
        key = record.key
        async with self._lock(key):
            self.leaving.discard(key)
            self._make_folders(record)
            self.records[key] = record
            records.save_pod(self._settings, record)
            self._on_change()
            if not await self._revive(record, commands.container_names(self._settings, spec)):
                await self._drop(key)
                await self._create(host, spec, hook_socket, record)
                await self._start_stopped(key, await self._containers(key))
        path = names.agent_socket(self._settings, *key)
        image = f"the image {self._settings.charm_base}"
        await containers.check_python(path, spec.unit, spec.python, image)

    async def _revive(self, record: PodRecord, wanted: Sequence[str]) -> bool:
        """Start what is down of a pod that is there already; return whether it runs.

        What cannot be started is made anew, as in Kubernetes: after a crash of the host Podman
        may hold on to things that are gone.
        """
        present = await self._containers(record.key)
        if not _is_made(present, wanted, record):
            return False
        try:
            await self._start_stopped(record.key, present)
        except SubstrateError as error:
            _LOG.warning("%s; it is made anew", error)
            return False
        return True

    def _make_folders(self, record: PodRecord) -> None:
        settings, key = self._settings, record.key
        names.unit_dir(settings, *key).mkdir(parents=True, exist_ok=True)
        names.unit_runtime_dir(settings, *key).mkdir(parents=True, exist_ok=True, mode=0o700)
        shared = (names.pebble_dir(settings, *key, name) for name in record.workloads)
        agent, hook = names.agent_socket(settings, *key).parent, Path(record.hook_dir)
        for folder in (agent, hook, *shared, *map(Path, record.storage)):
            folder.mkdir(parents=True, exist_ok=True)

    async def _create(
        self, host: commands.Host, spec: PodSpec, hook_socket: Path, record: PodRecord
    ) -> None:
        what, digest = f"make the pod of {spec.unit}", record.digest
        # Pebble keeps its state beside its socket: a new pod starts from the images.
        remove_tree(names.pebbles_dir(self._settings, *record.key))
        self._make_folders(record)
        copy = commands.charm_copy(self._settings, spec.model, spec.unit)
        await asyncio.to_thread(remove_tree, copy)
        # Blocks are shared where the file system can do that.
        copy_it = ("cp", "--archive", "--reflink=auto", str(spec.charm_dir), str(copy))
        await self._runner.check(f"copy the charm of {spec.unit}", copy_it)
        self._give_to_users(spec)
        charm = commands.create_charm(host, spec, hook_socket, digest)
        made_from = [(self._settings.charm_base, charm)]
        made_from += [
            (workload.image, commands.create_workload(host, spec, workload, digest))
            for workload in spec.workloads
        ]
        try:
            await self._runner.check(what, commands.create_pod(host, spec, digest))
            for image, create in made_from:
                await self._create_container(what, image, create)
        except SubstrateError:
            await self._drop((spec.model, spec.unit))
            raise

    def _give_to_users(self, spec: PodSpec) -> None:
        """Give a workload that does not run as root its socket's folder and its empty storage."""
        for workload in spec.workloads:
            if workload.uid is None:
                continue
            own = names.pebble_dir(self._settings, spec.model, spec.unit, workload.name)
            empty = (m.source for m in workload.mounts if not any(m.source.iterdir()))
            for folder in (own, *empty):
                os.chown(folder, workload.uid, workload.gid or 0)

    async def _create_container(self, what: str, image: str, argv: Sequence[str]) -> None:
        done = await self._runner.run(argv)
        if done.code == 0:
            return
        reason = await containers.why_not_made(self._runner, self._settings, image, done.reason)
        raise SubstrateError(f"cannot {what}: {reason}")

    # Running

    async def _containers(self, key: Key) -> dict[str, dict[str, Any]]:
        """Return the containers of a unit's pod by name, as Podman lists them."""
        model, unit = key
        argv = commands.list_containers(
            self._settings,
            f"label={names.LABEL_MODEL}={model}",
            f"label={names.LABEL_UNIT}={unit}",
        )
        listed = await self._list(argv, f"look at the pod of {unit}")
        return {state["Names"][0]: state for state in listed}

    async def _start_stopped(self, key: Key, present: Mapping[str, dict[str, Any]]) -> None:
        """Start what is down. A pod that lost its namespaces is restarted as a whole."""
        down = [name for name, state in present.items() if state["State"] != "running"]
        infra = names.infra(self._settings.instance, *key)
        if infra in down and len(down) < len(present):
            stop = ("pod", "stop", f"--time={_RESTART_SECONDS}", self._name(key))
            argv = commands.podman(self._settings, *stop)
            await self._runner.check(f"stop the pod of {key[1]}", argv)
        if down:
            argv = commands.podman(self._settings, "pod", "start", self._name(key))
            await self._runner.check(f"start the pod of {key[1]}", argv)
            links.allow_hairpin(names.bridge(self._settings.instance))
            present = await self._containers(key)
        self._hold(key, present.get(infra, {}).get("Pid", 0))

    def _hold(self, key: Key, process: int) -> None:
        """Watch the process that holds a pod's namespaces.

        Podman starts everything in a pod again but this one. The other containers go on without
        it, cut off from the network, and nothing that they answer tells it.
        """
        if process and key not in self._holders and not self._holders.hold(key, process):
            self._spawn(key)

    def _holder_ended(self, key: Key) -> None:
        if key in self.records and key not in self.leaving:
            self._spawn(key)

    def _spawn(self, key: Key) -> None:
        task = asyncio.create_task(self._look(key))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def heal(self, key: Key, silence: float) -> None:
        """Start containers that somebody stopped; Podman itself restarts those that died.

        Args:
            key: The pod.
            silence: Seconds for which one of its containers has not answered.
        """
        now = asyncio.get_running_loop().time()
        recently = now - self._looked.get(key, -_HEAL_EVERY) < _HEAL_EVERY
        if silence < _HEAL_AFTER or recently or self._lock(key).locked():
            return
        self._looked[key] = now
        await self._look(key)

    async def _look(self, key: Key) -> None:
        async with self._lock(key):
            if key not in self.records or key in self.leaving:
                return
            try:
                self._make_folders(self.records[key])
                present = await self._containers(key)
                if present:
                    await self._start_stopped(key, present)
            except SubstrateError as error:  # whoever misses the pod looks again
                _LOG.warning("%s", error)

    def close(self) -> None:
        """Stop watching the pods' first processes."""
        self._holders.close()
        for task in self._background:
            task.cancel()

    # Removing

    async def remove(self, key: Key, *, keep_storage: bool) -> None:
        """Remove a pod, its sockets, its private folders."""
        async with self._lock(key):
            await self._drop(key)
            record = self.records.pop(key, None)
            folders = [
                names.unit_runtime_dir(self._settings, *key),
                names.unit_dir(self._settings, *key),
            ]
            if record and not keep_storage:
                home = self._settings.home
                folders += [
                    path for path in map(Path, record.storage) if path.is_relative_to(home)
                ]
            for folder in folders:
                await asyncio.to_thread(remove_tree, folder)
            self.leaving.discard(key)
            self._on_change()

    async def _drop(self, key: Key) -> None:
        self._holders.let_go(key)
        pods = (self._name(key),)
        argv = commands.remove_pods(self._settings, *pods, seconds=commands.STOP_SECONDS)
        done = await self._runner.run(argv, waits=False)
        if done.code != 0:
            raise SubstrateError(f"cannot remove the pod of {key[1]}: {done.reason}")

    async def remove_all(self, model: str | None = None) -> list[str]:
        """Remove every pod of a model or of the instance at once; return their names."""
        for key in [key for key in self.records if model in (None, key[0])]:
            self._holders.let_go(key)
            del self.records[key]
            await asyncio.to_thread(remove_tree, names.unit_runtime_dir(self._settings, *key))
        filters = () if model is None else (f"label={names.LABEL_MODEL}={model}",)
        listed = await self._runner.check(
            "list the pods", commands.list_pods(self._settings, *filters)
        )
        found = listed.decode().split()
        if found:
            argv = commands.remove_pods(self._settings, *found, seconds=0)
            await self._runner.check("remove the pods", argv)
        return found

    async def remove_strays(self) -> list[str]:
        """Remove containers of the instance that belong to no pod; return their names."""
        listed = await self._list(commands.list_containers(self._settings), "list containers")
        for state in listed:
            remove = commands.podman(self._settings, "rm", "--force", "--time=0", state["Id"])
            await self._runner.check("remove a container", remove)
        return [state["Names"][0] for state in listed]

    async def _list(self, argv: Sequence[str], what: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] | None = json.loads(
            await self._runner.check(what, argv) or b"[]"
        )
        return listed or []


def _record(spec: PodSpec, hook_socket: Path, charm_base: str) -> PodRecord:
    mounts = [*spec.mounts, *(mount for workload in spec.workloads for mount in workload.mounts)]
    return PodRecord(
        model=spec.model,
        unit=spec.unit,
        address=spec.address,
        workloads=tuple(workload.name for workload in spec.workloads),
        storage=tuple(sorted({str(mount.source) for mount in mounts})),
        hook_dir=str(hook_socket.parent),
        digest=commands.digest(spec, hook_socket, charm_base),
    )


def _is_made(
    present: Mapping[str, dict[str, Any]], wanted: Sequence[str], record: PodRecord
) -> bool:
    """Tell whether exactly the wanted containers are there, made from the same wish."""
    return set(present) == set(wanted) and all(
        state["Labels"].get(names.LABEL_SPEC) == record.digest for state in present.values()
    )
