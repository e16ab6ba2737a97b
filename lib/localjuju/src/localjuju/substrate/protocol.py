"""The line between the engine and whatever runs pods and machines. The engine knows only this.

All methods are idempotent: the engine calls them again after a crash with the same arguments.
Names: model name, unit name (`app/0`), container name as in the charm's metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class SubstrateError(Exception):
    """The substrate could not do what was asked; the text names the thing and the cause."""


@dataclasses.dataclass(frozen=True)
class Mount:
    """A folder of this host bound into a container."""

    source: Path
    target: str
    readonly: bool = False


@dataclasses.dataclass(frozen=True)
class WorkloadSpec:
    """One workload container of a pod."""

    name: str
    image: str  # reference in the store
    mounts: tuple[Mount, ...] = ()  # storage
    uid: int | None = None
    gid: int | None = None
    index: int = 0  # Pebble's health port is 38813 + index


@dataclasses.dataclass(frozen=True)
class PodSpec:
    """A unit's pod, as wanted. Equal spec = nothing to do."""

    model: str
    unit: str
    app: str
    ordinal: int
    address: str
    generation: int  # a new number replaces the pod: file systems start fresh
    charm_dir: Path  # unpacked charm on this host; copied, private to the unit
    workloads: tuple[WorkloadSpec, ...]
    mounts: tuple[Mount, ...] = ()  # storage in the charm container
    python: str | None = None


@dataclasses.dataclass(frozen=True)
class MachineInterface:
    """A network interface of a machine."""

    space: str
    name: str
    address: str


@dataclasses.dataclass(frozen=True)
class MachineSpec:
    """A machine as wanted.

    Attributes:
        machine: Its id.
        image: What it is made from; one that was made already keeps its own.
        is_new: Whether it may be made: what units have put on a machine is lost with it, so one
            that was made once is never made again.
    """

    model: str
    machine: str
    hostname: str
    image: str
    interfaces: tuple[MachineInterface, ...]
    is_new: bool = True


@dataclasses.dataclass(frozen=True)
class MachineUnitSpec:
    """A unit on a machine, as wanted. Equal spec = nothing to do.

    Attributes:
        generation: A new number replaces the charm's files; what the charm added to them stays.
        charm_dir: Unpacked charm on this host; copied, private to the unit.
        storage: Id and location of each storage instance, a folder of the machine.
    """

    model: str
    unit: str
    machine: str
    generation: int
    charm_dir: Path
    storage: tuple[tuple[str, str], ...] = ()
    python: str | None = None


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """One run of a charm's dispatch (or of a shell text, for `juju exec`) in a unit's place.

    Attributes:
        argv: Program and arguments, run with the charm folder as working directory.
        environment: The whole environment; nothing is added but PATH's tools folder.
    """

    model: str
    unit: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    warm: bool = False


@dataclasses.dataclass(frozen=True)
class DispatchResult:
    """How a dispatch ended.

    Attributes:
        exit_code: Exit status; None when the process was killed by a signal or never reported,
            which is not an error of the charm: the hook is queued again.
        signal: The signal that ended it, or 0.
        cpu_seconds: User and system time of the process and its children.
        stdout: Lines printed, each without its end.
        stderr: Lines printed, each without its end.
        warm: Whether it was forked from a preloaded interpreter.
    """

    exit_code: int | None
    signal: int = 0
    cpu_seconds: float = 0.0
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    warm: bool = False


@dataclasses.dataclass(frozen=True)
class Notice:
    """A Pebble notice; times are RFC 3339 text as Pebble writes them."""

    id: str
    type: str
    key: str
    last_repeated: str
    data: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class PodEvent:
    """Something that a pod did by itself.

    Attributes:
        kind: `charm-started` (the agent answers; `boot_id` tells which start of the pod or
            machine it is), `machine` (one came up, or went down: `healthy`),
            `pebble` (a container's Pebble answers; `boot_id` tells which process),
            `pebble-gone`, `notices` (new ones, oldest first), `health` (changed).
    """

    kind: str
    model: str
    unit: str
    container: str = ""
    boot_id: str = ""
    notices: tuple[Notice, ...] = ()
    healthy: bool = False
    machine: str = ""


@dataclasses.dataclass(frozen=True)
class ServiceSpec:
    """An application's fixed address and where it leads.

    Attributes:
        ports: Like `5000/tcp`.
        backends: Addresses of the units that may get traffic, in unit order. The substrate
            forwards only to those whose Pebbles are all healthy at level `ready`.
    """

    model: str
    app: str
    address: str
    ports: tuple[str, ...]
    backends: tuple[str, ...]


class Substrate(Protocol):
    """Runs pods and machines, starts dispatches in them and forwards service addresses."""

    async def prepare(self) -> None:
        """Make networks and what else all pods share; heal what is missing."""
        ...

    async def ensure_pod(self, spec: PodSpec, hook_socket: Path) -> None:
        """Make the unit's pod run as `spec` says.

        Args:
            spec: The pod as wanted.
            hook_socket: Socket on this host on which the engine serves the unit's hook
                commands; the pod sees it at `hook_socket_path`.

        Raises:
            SubstrateError: An image is missing, Podman failed, …
        """
        ...

    def hook_socket_path(self, model: str, unit: str) -> str:
        """Return the hook socket's path as the charm container sees it."""
        ...

    def charm_path(self, model: str, unit: str) -> str:
        """Return the charm folder as the charm container sees it (Juju's own path)."""
        ...

    def tools_path(self, model: str, unit: str) -> str:
        """Return the folder with the hook commands as the charm container sees it."""
        ...

    async def remove_pod(self, model: str, unit: str, *, keep_storage: bool = True) -> None:
        """Remove a unit's pod, its sockets and its private folders."""
        ...

    async def ensure_machine(self, spec: MachineSpec) -> None:
        """Make a machine run as `spec` says, and return when it has booted.

        Raises:
            SubstrateError: Its image is missing, it is gone, Podman failed, …
        """
        ...

    async def restart_machine(self, model: str, machine: str) -> None:
        """Shut a machine down and boot it again.

        Raises:
            SubstrateError: It is not there, or does not boot.
        """
        ...

    async def remove_machine(self, model: str, machine: str) -> None:
        """Remove a machine with all that is on it."""
        ...

    async def ensure_on_machine(self, spec: MachineUnitSpec, hook_socket: Path) -> None:
        """Make a unit's agent run on its machine as `spec` says.

        Args:
            spec: The unit as wanted.
            hook_socket: As for `ensure_pod`.

        Raises:
            SubstrateError: The machine is down, the Python is another one, …
        """
        ...

    async def remove_from_machine(
        self, model: str, unit: str, *, force: bool = False, keep_storage: bool = True
    ) -> None:
        """Remove a unit's agent and its folders from its machine; a machine that is down boots.

        Args:
            model: The unit's model.
            unit: The unit.
            force: Leave a machine that is down alone, and pass over what fails on it.
            keep_storage: Leave what is in its storage; the locations are free in any case.

        Raises:
            SubstrateError: The machine is there, and does not boot or refuses.
        """
        ...

    def resources_path(self, model: str, unit: str, machine: str) -> Path | None:
        """Return the folder on this host of a machine unit's resources; None for a pod's."""
        ...

    def machine_argv(
        self, model: str, machine: str, argv: Sequence[str], *, tty: bool = False
    ) -> list[str]:
        """Return the command line that runs `argv` on a machine as root."""
        ...

    async def run_on_machine(
        self, model: str, machine: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command on a machine as root: `juju exec --machine`."""
        ...

    async def dispatch(self, dispatch: Dispatch) -> DispatchResult:
        """Run one dispatch to its end. Cancelling sends SIGTERM to its process group.

        Raises:
            SubstrateError: The charm container does not answer; the hook is queued again.
        """
        ...

    async def running_dispatch(self, model: str, unit: str) -> bool:
        """Tell whether a dispatch of an engine that died still runs; ends it if so."""
        ...

    def events(self) -> AsyncIterator[PodEvent]:
        """Yield what pods do by themselves, for all pods that exist, from their present state."""
        ...

    def watch(
        self, model: str, unit: str, containers: Sequence[str], after: Mapping[str, str]
    ) -> None:
        """Begin to watch a unit's containers; `after` gives each one's last notice time."""
        ...

    def unwatch(self, model: str, unit: str) -> None:
        """Stop watching a unit's containers."""
        ...

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        """Make the service addresses of this instance lead as given, in one step."""
        ...

    async def exec(
        self, model: str, unit: str, container: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        """Run a command in a container (`charm` or a workload): `juju ssh` and `juju scp`."""
        ...

    def exec_argv(
        self, model: str, unit: str, container: str, argv: Sequence[str], *, tty: bool
    ) -> list[str]:
        """Return the command line that runs `argv` interactively in a container."""
        ...

    async def destroy_model(self, model: str) -> None:
        """Remove every pod, folder and service of a model."""
        ...

    async def destroy(self) -> list[str]:
        """Remove everything of this instance from the host; return what was removed."""
        ...
