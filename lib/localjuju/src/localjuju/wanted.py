"""What the substrate is asked for: addresses, pods and services, computed from the models."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from localjuju.kubernetes import balanced_ports
from localjuju.model import Container, HookKind, Life, Model, Unit
from localjuju.substrate.protocol import Mount, PodSpec, ServiceSpec, WorkloadSpec

RESERVED = 10
"""The network's own address, its gateway and a few more that nobody is given."""


class WantedError(Exception):
    """The model cannot be turned into what the substrate needs; the text names what lacks."""


def assign(models: Iterable[Model], subnet: str, storage: Path) -> None:
    """Give addresses to applications and units, and folders to storage, that have none yet.

    Services get the low quarter of the network, pods the rest. An address stays with its holder
    until that is gone. Where none is free it stays empty, and `pod_spec` says so.

    Args:
        models: All models of the engine: they share one network.
        subnet: The management network as IPv4 CIDR.
        storage: Folder under which every storage instance has its own.
    """
    models = list(models)
    network = ipaddress.IPv4Network(subnet)
    services = {a.service_address for m in models for a in m.applications.values()}
    pods = {u.address for m in models for u in m.units.values()}
    split = max(RESERVED + 1, network.num_addresses // 4)
    for model in models:
        for app in model.applications.values():
            if not app.service_address:
                app.service_address = _free(network, range(RESERVED, split), services)
        for unit in model.units.values():
            if not unit.address:
                pod_range = range(split, network.num_addresses - 1)
                unit.address = _free(network, pod_range, pods)
            for attached in unit.storage.values():
                if not attached.path:
                    attached.path = str(_storage_folder(storage, model, unit, attached.name))


def _free(network: ipaddress.IPv4Network, span: range, taken: set[str]) -> str:
    for offset in span:
        address = str(network[offset])
        if address not in taken:
            taken.add(address)
            return address
    return ""


def _storage_folder(storage: Path, model: Model, unit: Unit, name: str) -> Path:
    # As with a claim of a stateful set: a unit that comes back under its number finds its data
    # again, a new application of the same name does not.
    created = round(model.applications[unit.app].created * 1000)
    taken = sum(1 for other in unit.storage.values() if other.name == name and other.path)
    return storage / model.uuid / f"{unit.app}-{created}" / f"{name}-{unit.ordinal}-{taken}"


def pod_spec(model: Model, unit: Unit, *own: Mount) -> PodSpec:
    """Return the pod of a unit as it should be.

    Args:
        model: The model.
        unit: The unit.
        own: Folders that the engine gives its charm container: resources, its account.

    Raises:
        WantedError: A container's image is not known, or no address is free.
    """
    charm = model.charm_of(unit.app)
    if not unit.address:
        raise WantedError(f"no free address for {unit.name}: give the engine a wider subnet")
    return PodSpec(
        model=model.name,
        unit=unit.name,
        app=unit.app,
        ordinal=unit.ordinal,
        address=unit.address,
        generation=unit.pod_generation,
        charm_dir=Path(charm.path),
        workloads=tuple(
            _workload(model, unit, container, index)
            for index, container in enumerate(charm.containers.values())
        ),
        mounts=(
            *own,
            *(Mount(Path(s.path), s.location) for s in unit.storage.values()),
        ),
        python=charm.python,
    )


def _workload(model: Model, unit: Unit, container: Container, index: int) -> WorkloadSpec:
    resource = model.applications[unit.app].resources.get(container.resource or "")
    if resource is None:
        raise WantedError(
            f"container {container.name!r} of {unit.app!r} has no image: attach the resource "
            f"{container.resource or container.name!r}"
        )
    return WorkloadSpec(
        name=container.name,
        image=resource.value,
        mounts=tuple(_storage_mounts(unit, container)),
        uid=container.uid,
        gid=container.gid,
        index=index,
    )


def _storage_mounts(unit: Unit, container: Container) -> Iterator[Mount]:
    for name, location in container.mounts:
        instances = [s for s in unit.storage.values() if s.name == name]
        for number, storage in enumerate(instances):
            several = f"{location}/{number}" if len(instances) > 1 else location
            yield Mount(Path(storage.path), several)


def service_specs(
    models: Collection[Model], presumed: Collection[tuple[str, str]] = ()
) -> list[ServiceSpec]:
    """Return where every application's address leads.

    Its ports are those that the charm opened, and those of its services of type `LoadBalancer`.
    A unit is left out before its `stop` runs, and as soon as it is to be removed.

    Args:
        models: All models of the engine.
        presumed: Models and units whose pods were up when the engine went away, and which it
            has not looked at again yet: their traffic goes on.
    """
    balanced = {model.name: balanced_ports(model) for model in models}
    return [
        ServiceSpec(
            model=model.name,
            app=app.name,
            address=app.service_address,
            ports=_ports(model.units_of(app.name), balanced[model.name].get(app.name, set())),
            backends=tuple(
                unit.address
                for unit in model.units_of(app.name)
                if _serves(unit, present=unit.pod_ready or (model.name, unit.name) in presumed)
            ),
        )
        for model in models
        for app in model.applications.values()
        if app.service_address
    ]


def _serves(unit: Unit, *, present: bool) -> bool:
    if unit.life is not Life.ALIVE or not present:
        return False
    operation = unit.operation
    stopping = operation is not None and operation.hook.kind is HookKind.STOP
    return not stopping


def _ports(units: list[Unit], balanced: set[str]) -> tuple[str, ...]:
    ports = {port for unit in units for opened in unit.opened_ports.values() for port in opened}
    return tuple(sorted(ports | balanced))
