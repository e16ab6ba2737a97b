"""Units on machines: charms and agents, put there, started and removed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from localjuju.identity import JUJU_VERSION
from localjuju.settings import Settings
from localjuju.substrate import agent_client, commands, containers, names, records, remains
from localjuju.substrate.machines import Machines
from localjuju.substrate.protocol import MachineUnitSpec, SubstrateError
from localjuju.substrate.records import Key, MachineUnitRecord
from localjuju.substrate.runner import Runner

_AGENT_IS_THERE = 0.3  # seconds in which one that runs answers
_LOG = logging.getLogger(__name__)

_SERVICE = """\
[Unit]
Description=Agent of unit {unit}
After=network.target dbus.service

[Service]
ExecStart=/usr/bin/env python3 -I {agent} {socket}
Restart=always
RestartSec=1
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


class MachineUnits:
    """The units on the machines of one instance.

    Args:
        settings: The instance.
        runner: Starts programs of this host.
        machines: What the units are on.
    """

    def __init__(self, settings: Settings, runner: Runner, machines: Machines) -> None:
        self._settings = settings
        self._runner = runner
        self._machines = machines

    def place_of(self, unit: Key) -> str:
        """Return the machine of a unit; empty for a pod's."""
        record = self._machines.units.get(unit)
        return record.machine if record is not None else ""

    async def ensure(self, spec: MachineUnitSpec, hook_socket: Path) -> None:
        """Make a unit's agent run on its machine as `spec` says.

        Raises:
            SubstrateError: The machine is down, the agent does not answer, the Python is another.
        """
        key, unit = (spec.model, spec.machine), (spec.model, spec.unit)
        path = names.agent_socket(self._settings, *unit, spec.machine)
        wanted = names.hook_dir(self._settings, *unit, spec.machine) / names.HOOK_SOCKET
        if hook_socket != wanted:
            raise SubstrateError(f"cannot use {hook_socket}: the machine would look for {wanted}")
        async with self._machines.lock(key):
            if key not in self._machines.records:
                raise SubstrateError(f"machine {spec.machine} is not up")
            self._machines.make_sockets(unit, spec.machine)
            held = self._machines.units.get(unit)
            record = self._record(spec, held)
            if held is None or held.digest != record.digest:
                await self._place_charm(spec, held)
                await self._start_agent(key, spec)
            elif not await _answers(path):
                await self._start_agent(key, spec)
            if held != record:
                self._machines.units[unit] = record
                records.save_machine_unit(self._settings, record)
        await containers.check_python(path, spec.unit, spec.python, f"machine {spec.machine}")

    def _record(self, spec: MachineUnitSpec, held: MachineUnitRecord | None) -> MachineUnitRecord:
        program = commands.agent_program(self._settings).read_bytes()
        text = json.dumps([spec.generation, str(spec.charm_dir), spec.storage])
        digest = hashlib.sha256(program + text.encode()).hexdigest()[:16]
        brought = tuple(sorted(path.name for path in spec.charm_dir.iterdir()))
        # A storage that was detached is still on the machine.
        storage = {**dict(held.storage if held is not None else ()), **dict(spec.storage)}
        return MachineUnitRecord(
            spec.model, spec.unit, spec.machine, digest, brought, tuple(storage.items())
        )

    def agent_folder(self, unit: Key, machine: str) -> Path:
        """Return a unit's folder below Juju's on this host: its charm and its resources."""
        juju = names.machine_juju_dir(self._settings, unit[0], machine)
        return juju / "agents" / f"unit-{names.unit_tag(unit[1])}"

    async def _place_charm(self, spec: MachineUnitSpec, held: MachineUnitRecord | None) -> None:
        """Put a charm's files on its machine; what hooks have added beside them stays.

        The old folder goes last, when nothing of that is in it any more: wherever this is cut
        off, the next call finds everything.
        """
        folder = self.agent_folder((spec.model, spec.unit), spec.machine)
        charm, fresh, old = folder / "charm", folder / ".charm.new", folder / ".charm.old"
        brought = held.brought if held is not None else ()
        folder.mkdir(parents=True, exist_ok=True)
        if old.exists() and not charm.exists():
            old.rename(charm)
        await _bring_over(old, charm, brought)
        await asyncio.to_thread(remains.remove_tree, fresh)
        copy = ("cp", "--archive", "--reflink=auto", str(spec.charm_dir), str(fresh))
        await self._runner.check(f"copy the charm of {spec.unit}", copy)
        if charm.exists():
            charm.rename(old)
        fresh.rename(charm)
        await _bring_over(old, charm, brought)
        juju = names.machine_juju_dir(self._settings, spec.model, spec.machine)
        tools = juju / "tools" / folder.name
        if not tools.is_symlink():
            tools.symlink_to(JUJU_VERSION)

    async def _start_agent(self, key: Key, spec: MachineUnitSpec) -> None:
        socket = names.agent_socket(self._settings, spec.model, spec.unit, spec.machine)
        service = names.agent_service(spec.unit)
        text = _SERVICE.format(
            unit=spec.unit,
            agent=names.MACHINE_AGENT,
            socket=names.seen_on_machine(spec.unit, socket),
        )
        lines = [line for storage in spec.storage for line in _storage_lines(*storage)]
        lines += [
            f"cat > /etc/systemd/system/{service} <<'END'\n{text}END",
            "systemctl daemon-reload",
            f"systemctl enable --quiet {service}",
            f"systemctl restart {service}",
        ]
        await self._script(key, f"start the agent of {spec.unit}", lines)

    async def _script(self, key: Key, what: str, lines: Sequence[str]) -> None:
        script = "set -e\n" + "\n".join(lines) + "\n"
        done = await self._machines.run(key, ("/bin/sh", "-s"), script.encode())
        if done.code != 0:
            raise SubstrateError(f"cannot {what} on machine {key[1]}: {done.reason}")

    async def remove(self, unit: Key, *, force: bool, keep_storage: bool) -> None:
        """Remove a unit from its machine, as `Substrate.remove_from_machine` says."""
        record = self._machines.units.get(unit)
        if record is None:
            return
        key = (unit[0], record.machine)
        async with self._machines.lock(key):
            try:
                await self._remove_agent(key, record, force=force)
            except SubstrateError as error:
                if not force:
                    raise
                _LOG.warning("%s", error)
            juju = names.machine_juju_dir(self._settings, *key)
            folder = self.agent_folder(unit, record.machine)
            (juju / "tools" / folder.name).unlink(missing_ok=True)
            folders = [folder, names.unit_runtime_dir(self._settings, *unit, record.machine)]
            if not keep_storage:
                folders += [juju / "storage" / identity for identity, _ in record.storage]
            for left in folders:
                await asyncio.to_thread(remains.remove_tree, left)
            records.forget_machine_unit(self._settings, record)
            del self._machines.units[unit]

    async def _remove_agent(self, key: Key, record: MachineUnitRecord, *, force: bool) -> None:
        state = await self._machines.state(key)
        if not state or (force and state["State"] != "running"):
            return
        if state["State"] != "running":
            await self._machines.start(key)
        service = names.agent_service(record.unit)
        lines = [
            f"systemctl disable --now --quiet {service} || true",
            f"rm -f /etc/systemd/system/{service}",
            "systemctl daemon-reload",
            *(_unlink_line(*storage) for storage in record.storage),
        ]
        await self._script(key, f"remove the agent of {record.unit}", lines)


async def _bring_over(old: Path, charm: Path, brought: Sequence[str]) -> None:
    """Move what hooks have added to a charm's old folder, if that is there, and remove it."""
    if not old.exists():
        return
    for path in list(old.iterdir()):
        if path.name not in brought and not (charm / path.name).exists():
            path.rename(charm / path.name)
    await asyncio.to_thread(remains.remove_tree, old)


def _storage_folder(identity: str) -> str:
    return f"{names.MACHINE_JUJU}/storage/{identity}"


def _unlink_line(identity: str, location: str) -> str:
    """Return the shell line that makes a storage's place free for another one."""
    place, goal = shlex.quote(location), shlex.quote(_storage_folder(identity))
    return f'[ "$(readlink {place})" != {goal} ] || rm {place}'


def _storage_lines(identity: str, location: str) -> list[str]:
    """Return shell lines that make a storage's folder, at the place that the charm wants."""
    folder = _storage_folder(identity)
    lines = [f"mkdir -p {shlex.quote(folder)}"]
    if location != folder:
        place, goal = shlex.quote(location), shlex.quote(folder)
        lines += [
            f"mkdir -p {shlex.quote(str(Path(location).parent))}",
            f"if [ ! -L {place} ]; then",
            f"  [ ! -d {place} ] || rmdir {place}",  # one that holds something is refused
            f"  ln -s {goal} {place}",
            "fi",
            f'[ "$(readlink {place})" = {goal} ] || {{',
            f"  echo {place} is the place of another storage >&2; exit 1",
            "}",
        ]
    return lines


async def _answers(path: Path) -> bool:
    try:
        async with agent_client.watching(path, _AGENT_IS_THERE):
            return True
    except SubstrateError:
        return False
