"""Machines: containers that boot systemd. Made, started, watched and removed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localjuju.hooks import COMMAND_NAMES
from localjuju.identity import JUJU_VERSION
from localjuju.settings import Settings
from localjuju.substrate import (
    bridges,
    commands,
    containers,
    host_state,
    hosts,
    names,
    records,
    remains,
)
from localjuju.substrate.protocol import MachineSpec, PodEvent, SubstrateError
from localjuju.substrate.records import Key, MachineRecord
from localjuju.substrate.runner import Done, Runner

_BOOTS_WITHIN = 90.0  # seconds until services can be started
_LOOK_EVERY = 0.2
_CALM = ("created", "running")
_SETTLES = 0.5  # seconds that Podman gets to boot a machine again that has just ended
_SHUTDOWN_SECONDS = 60  # guests and databases end in order
_REMOVE_SECONDS = 20
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class Machines:
    """The machines of one instance.

    Args:
        settings: The instance.
        runner: Starts Podman.
        emit: Gets an event when a machine comes up or goes down.

    Attributes:
        records: What is remembered of each machine.
        units: What is remembered of each unit on them; it goes with its machine.
    """

    def __init__(
        self, settings: Settings, runner: Runner, emit: Callable[[PodEvent], None]
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._emit = emit
        self.records = records.load_machines(settings)
        self.units = records.load_machine_units(settings)
        self._locks: dict[Key, asyncio.Lock] = {}
        self._holders = containers.Holders(self._ended)

    def lock(self, key: Key) -> asyncio.Lock:
        """Return the lock of a machine: who changes it, or what is on it, holds it."""
        return self._locks.setdefault(key, asyncio.Lock())

    def _name(self, key: Key) -> str:
        return names.machine(self._settings.instance, *key)

    async def ensure(self, host: commands.Host, spec: MachineSpec) -> None:
        """Make a machine run as `spec` says, and return when services can be started on it.

        Raises:
            SubstrateError: Its image is missing, it is gone, Podman failed, it does not boot.
        """
        key = (spec.model, spec.machine)
        async with self.lock(key):
            state = await self.state(key)
            if not state and not spec.is_new:
                raise SubstrateError(
                    f"machine {spec.machine} is gone, its container was removed: "
                    f"juju remove-machine --force {spec.machine}, and add another"
                )
            self._prepare(spec)
            if not state:
                await self._create(host, spec)
            await self.start(key)

    def _prepare(self, spec: MachineSpec) -> None:
        """Make a machine's folders and files: after a reboot of the host some are gone."""
        settings, key = self._settings, (spec.model, spec.machine)
        for folder in (
            names.machine_juju_dir(settings, *key),
            names.machine_runtime_dir(settings, *key),
        ):
            folder.mkdir(parents=True, exist_ok=True)
        for unit, record in self.units.items():
            if (unit[0], record.machine) == key:
                self.make_sockets(unit, record.machine)
        addresses = {interface.space: interface.address for interface in spec.interfaces}
        record = MachineRecord(spec.model, spec.machine, spec.hostname, addresses)
        self.records[key] = record
        records.save_machine(settings, record)
        _, resolver = commands.machine_files(settings, *key)
        hosts.write(resolver, _resolver(names.gateway(settings.subnet)))
        self._write_hosts(spec.model)
        self._place_programs(key)

    def make_sockets(self, unit: Key, machine: str) -> None:
        """Make the folders of a unit's sockets."""
        for path in (
            names.agent_socket(self._settings, *unit, machine).parent,
            names.hook_dir(self._settings, *unit, machine),
        ):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _place_programs(self, key: Key) -> None:
        """Put the hook commands and the agent where the machine sees them."""
        folder = names.machine_juju_dir(self._settings, *key)
        tools = folder / "tools" / JUJU_VERSION
        tools.mkdir(parents=True, exist_ok=True)
        source = commands.tools_dir(self._settings)
        for command in COMMAND_NAMES:
            _link(source / command, tools / command)
        _link(commands.agent_program(self._settings), folder / "agent.py")

    async def _create(self, host: commands.Host, spec: MachineSpec) -> None:
        host_state.record(self._settings)
        done = await self._runner.run(commands.create_machine(host, spec))
        if done.code == 0:
            return
        reason = await containers.why_not_made(
            self._runner, self._settings, spec.image, done.reason
        )
        raise SubstrateError(f"cannot make machine {spec.machine}: {reason}")

    async def state(self, key: Key) -> dict[str, Any]:
        """Return a machine's container as Podman lists it; empty when there is none."""
        filters = (f"label={names.LABEL_MODEL}={key[0]}", f"label={names.LABEL_MACHINE}={key[1]}")
        argv = commands.list_containers(self._settings, *filters)
        output = await self._runner.check(f"look at machine {key[1]}", argv)
        listed: list[dict[str, Any]] = json.loads(output or b"[]") or []
        return listed[0] if listed else {}

    async def start(self, key: Key) -> None:
        """Boot a machine that is down, and wait until services can be started on it.

        Raises:
            SubstrateError: It does not start or boot, or ends while it boots.
        """
        state = await self.state(key)
        if state["State"] not in _CALM:
            await asyncio.sleep(_SETTLES)
            state = await self.state(key)
        if state["State"] != "running":
            argv = commands.podman(self._settings, "start", self._name(key))
            await self._runner.check(f"start machine {key[1]}", argv)
            state = await self.state(key)
        process = int(state["Pid"])
        if self._holders.hold(key, process):
            await self._plumb(key, process)
            await self._booted(key)
        if key not in self._holders:
            # Podman has started it again, with another process and all its routes.
            raise SubstrateError(f"machine {key[1]} has ended while it booted")

    async def _plumb(self, key: Key, process: int) -> None:
        """Leave one way outwards, and let this host finish its checksums."""
        for space in self._settings.spaces:
            if not space.gateway or space.name not in self.records[key].addresses:
                continue
            enter = ("nsenter", f"--net=/proc/{process}/ns/net", "ip", "route", "delete")
            gateway = names.gateway(space.subnet)
            # What is not there (any more) need not go: the machine itself may have removed it.
            await self._runner.run((*enter, "default", "via", gateway))
            try:
                bridges.disable_offload(names.space_bridge(self._settings.instance, space.name))
            except OSError as error:
                raise SubstrateError(f"cannot set up space {space.name}: {error}") from error

    async def _booted(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _BOOTS_WITHIN
        ask = ("systemctl", "is-active", "--quiet", "basic.target")
        while (await self.run(key, ask)).code != 0:
            if loop.time() > give_up:
                raise SubstrateError(f"machine {key[1]} has not booted in {_BOOTS_WITHIN:g} s")
            await asyncio.sleep(_LOOK_EVERY)

    def _ended(self, key: Key) -> None:
        self._emit(PodEvent("machine", key[0], "", machine=key[1], healthy=False))

    def close(self) -> None:
        """Stop watching the machines' first processes."""
        self._holders.close()

    async def restart(self, key: Key) -> None:
        """Shut a machine down and boot it again.

        Raises:
            SubstrateError: It is not there, or does not boot.
        """
        async with self.lock(key):
            stop = ("stop", f"--time={_SHUTDOWN_SECONDS}", self._name(key))
            argv = commands.podman(self._settings, *stop)
            done = await self._runner.run(argv, waits=False)
            if done.code != 0:
                raise SubstrateError(f"cannot stop machine {key[1]}: {done.reason}")
            await self.start(key)

    async def run(self, key: Key, argv: Sequence[str], stdin: bytes = b"") -> Done:
        """Run a program on a machine as root, to its end."""
        command = commands.on_machine(self._settings, *key, argv, "--interactive")
        return await self._runner.run(command, stdin, waits=False)

    async def remove(self, key: Key) -> None:
        """Remove a machine with all that is on it."""
        async with self.lock(key):
            await self._drop([key])

    async def remove_all(self, model: str | None = None) -> list[str]:
        """Remove every machine of a model, or of the instance; return their names."""
        keys = [key for key in self.records if model in (None, key[0])]
        return await self._drop(keys)

    async def _drop(self, keys: Sequence[Key]) -> list[str]:
        """Remove machines at once; they shut down side by side."""
        found: list[str] = []
        identities: list[str] = []
        for key in keys:
            self._holders.let_go(key)
            state = await self.state(key)
            found += [self._name(key)] if state else []
            identities += [state["Id"]] if state else []
        if found:
            remove = ("rm", "--force", "--ignore", f"--time={_REMOVE_SECONDS}", *found)
            argv = commands.podman(self._settings, *remove)
            done = await self._runner.run(argv, waits=False)
            if done.code != 0:
                raise SubstrateError(f"cannot remove {', '.join(found)}: {done.reason}")
        for identity in identities:  # systemd leaves its folders in hierarchies of version 1
            await remains.remove_cgroups(
                names.cgroup(self._settings.instance, "cgroupfs"), identity
            )
        for key in keys:
            for folder in (
                names.machine_runtime_dir(self._settings, *key),
                names.machine_dir(self._settings, *key),
            ):
                await asyncio.to_thread(remains.remove_tree, folder)
            self.records.pop(key, None)
            for unit in [u for u, r in self.units.items() if (u[0], r.machine) == key]:
                del self.units[unit]
            self._write_hosts(key[0])
        return found

    def _write_hosts(self, model: str) -> None:
        """Let the machines of a model know themselves and each other by name."""
        machines = [record for (name, _), record in self.records.items() if name == model]
        for own in machines:
            others = [record for record in machines if record is not own]
            lines = [f"{record.address} {record.hostname}\n" for record in (own, *others)]
            path, _ = commands.machine_files(self._settings, model, own.machine)
            path.parent.mkdir(parents=True, exist_ok=True)
            hosts.write(path, hosts.HEAD + "".join(lines))


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, in one step."""
    if target.exists() and target.samefile(source):
        return
    fresh = target.with_name(f".{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, fresh)
    fresh.replace(target)


def _resolver(gateway: str) -> str:
    """Return the name servers that machines ask: those of this host.

    One that listens on this host alone cannot be reached from a machine. Where there are no
    others, the management network's own server asks for it.
    """
    for path in _RESOLVERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        servers = [line.split() for line in lines if line.startswith("nameserver ")]
        if any(not words[1].startswith(("127.", "::1")) for words in servers):
            kept = [line for line in lines if not line.startswith("nameserver 127.")]
            return "".join(f"{line}\n" for line in kept)
    return f"nameserver {gateway}\n"
