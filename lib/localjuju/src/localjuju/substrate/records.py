"""What the substrate remembers of pods and services over a restart of the engine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from localjuju.model import ALPHA
from localjuju.settings import Settings
from localjuju.substrate import names
from localjuju.substrate.protocol import ServiceSpec

_POD = "pod.json"
_MACHINE = "machine.json"
Key = tuple[str, str]  # model, unit


@dataclasses.dataclass(frozen=True)
class PodRecord:
    """A pod that was made.

    Attributes:
        workloads: Names of its workload containers.
        storage: Folders of this host that are bound into it and outlive it.
        hook_dir: The folder with the unit's hook socket.
        digest: Of the wish that it was made from.
    """

    model: str
    unit: str
    address: str
    workloads: tuple[str, ...]
    storage: tuple[str, ...]
    hook_dir: str
    digest: str

    @property
    def key(self) -> Key:
        """Model and unit."""
        return (self.model, self.unit)


@dataclasses.dataclass(frozen=True)
class MachineRecord:
    """A machine that was made.

    Attributes:
        addresses: Space → address.
    """

    model: str
    machine: str
    hostname: str
    addresses: dict[str, str]

    @property
    def address(self) -> str:
        """The address in the management network."""
        return self.addresses[ALPHA]


@dataclasses.dataclass(frozen=True)
class MachineUnitRecord:
    """A unit that was put on a machine.

    Attributes:
        digest: Of the wish that it was put there by.
        brought: What the charm itself brought into its folder.
        storage: Every storage that the unit has had there, as id and location.
    """

    model: str
    unit: str
    machine: str
    digest: str
    brought: tuple[str, ...]
    storage: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Forwarding:
    """The services, and the addresses that were ready when the rules were last loaded."""

    services: tuple[ServiceSpec, ...] = ()
    ready: frozenset[str] = frozenset()


def replace(path: Path, value: Any) -> None:
    """Write JSON in one step: after a crash there is the old file or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)


def save_pod(settings: Settings, record: PodRecord) -> None:
    """Remember a pod."""
    path = names.unit_dir(settings, record.model, record.unit) / _POD
    replace(path, dataclasses.asdict(record))


def _pod(raw: Any) -> PodRecord:
    raw.update(workloads=tuple(raw["workloads"]), storage=tuple(raw["storage"]))
    return PodRecord(**raw)


def load_pods(settings: Settings) -> dict[Key, PodRecord]:
    """Return every pod that is remembered."""
    found = [
        _pod(json.loads(path.read_text()))
        for path in sorted((settings.home / "models").glob(f"*/units/*/{_POD}"))
    ]
    return {record.key: record for record in found}


def save_machine(settings: Settings, record: MachineRecord) -> None:
    """Remember a machine."""
    path = names.machine_dir(settings, record.model, record.machine) / _MACHINE
    replace(path, dataclasses.asdict(record))


def load_machines(settings: Settings) -> dict[Key, MachineRecord]:
    """Return every machine that is remembered, by model and id."""
    found = [
        MachineRecord(**json.loads(path.read_text()))
        for path in sorted((settings.home / "models").glob(f"*/machines/*/{_MACHINE}"))
    ]
    return {(record.model, record.machine): record for record in found}


def _machine_unit_path(settings: Settings, record: MachineUnitRecord) -> Path:
    folder = names.machine_dir(settings, record.model, record.machine)
    return folder / "units" / f"{names.unit_tag(record.unit)}.json"


def save_machine_unit(settings: Settings, record: MachineUnitRecord) -> None:
    """Remember a unit on a machine."""
    path = _machine_unit_path(settings, record)
    path.parent.mkdir(exist_ok=True)
    replace(path, dataclasses.asdict(record))


def forget_machine_unit(settings: Settings, record: MachineUnitRecord) -> None:
    """Forget a unit on a machine."""
    _machine_unit_path(settings, record).unlink(missing_ok=True)


def load_machine_units(settings: Settings) -> dict[Key, MachineUnitRecord]:
    """Return every unit on a machine that is remembered."""
    found: list[MachineUnitRecord] = []
    for path in sorted((settings.home / "models").glob("*/machines/*/units/*.json")):
        raw: dict[str, Any] = json.loads(path.read_text())
        # Older engines have not noted the storage.
        storage = tuple((one, place) for one, place in raw.get("storage", ()))
        raw.update(brought=tuple(raw["brought"]), storage=storage)
        found.append(MachineUnitRecord(**raw))
    return {(record.model, record.unit): record for record in found}


def _forwarding_path(settings: Settings) -> Path:
    return names.runtime_dir(settings) / "forwarding.json"


def save_forwarding(settings: Settings, forwarding: Forwarding) -> None:
    """Remember what is forwarded, until the host's next start."""
    raw = {
        "services": [dataclasses.asdict(service) for service in forwarding.services],
        "ready": sorted(forwarding.ready),
    }
    replace(_forwarding_path(settings), raw)


def load_forwarding(settings: Settings) -> Forwarding:
    """Return what was forwarded last; nothing since the host's start gives an empty value."""
    try:
        raw = json.loads(_forwarding_path(settings).read_text())
    except FileNotFoundError:
        return Forwarding()
    services = tuple(
        ServiceSpec(
            model=item["model"],
            app=item["app"],
            address=item["address"],
            ports=tuple(item["ports"]),
            backends=tuple(item["backends"]),
        )
        for item in raw["services"]
    )
    return Forwarding(services, frozenset(raw["ready"]))
