"""What the substrate is asked for: addresses, pods and services, computed from the models."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from localjuju import changes
from localjuju.kubernetes import balanced_ports
from localjuju.model import ALPHA, Container, HookKind, Interface, Life, Machine, Model, Unit
from localjuju.settings import Space
from localjuju.substrate.protocol import (
    MachineInterface,
    MachineSpec,
    MachineUnitSpec,
    Mount,
    PodSpec,
    ServiceSpec,
    WorkloadSpec,
)

RESERVED = 10
"""The network's own address, its gateway and a few more that nobody is given."""


class WantedError(Exception):
    """The model cannot be turned into what the substrate needs; the text names what lacks."""


def assign(
    models: Iterable[Model], subnet: str, storage: Path, spaces: Iterable[Space] = ()
) -> None:
    """Give addresses to whatever has none yet, and folders to storage.

    Services get the low quarter of the network, pods and machines the rest; a machine gets an
    address in every other space, too. An address stays with its holder until that is gone. Where
    none is free it stays empty, and `pod_spec` or `machine_spec` says so.

    Args:
        models: All models of the engine: they share the networks.
        subnet: The management network as IPv4 CIDR.
        storage: Folder under which every storage instance has its own.
        spaces: The networks of machines besides it.
    """
    models = list(models)
    network = ipaddress.IPv4Network(subnet)
    services = {a.service_address for m in models for a in m.applications.values()}
    pods = {u.address for m in models for u in m.units.values()}
    split = max(RESERVED + 1, network.num_addresses // 4)
    pod_range = range(split, network.num_addresses - 1)
    nets = [(ALPHA, network, pod_range), *((s.name, *machine_range(s)) for s in spaces)]
    taken = {
        name: {i.address for m in models for c in m.machines.values() if (i := _in(c, name))}
        for name, *_ in nets
    }
    taken[ALPHA] = pods = pods | taken[ALPHA]
    for model in models:
        for app in model.applications.values():
            if not (app.service_address or model.has_machines):
                app.service_address = _free(network, range(RESERVED, split), services)
        for machine in model.machines.values():
            if not machine.interfaces:
                machine.interfaces = {
                    name: Interface(f"eth{number}", "") for number, (name, *_) in enumerate(nets)
                }
            for name, net, span in nets:
                held = _in(machine, name)
                if held is not None and not held.address:
                    held.address = _free(net, span, taken[name])
        for unit in model.units.values():
            if unit.machine:
                unit.address = model.machines[unit.machine].address
            elif not unit.address:
                unit.address = _free(network, pod_range, pods)
            for attached in unit.storage.values():
                if not (attached.path or unit.machine):
                    attached.path = str(_storage_folder(storage, model, unit, attached.name))


def _in(machine: Machine, space: str) -> Interface | None:
    return machine.interfaces.get(space)


def machine_range(space: Space) -> tuple[ipaddress.IPv4Network, range]:
    """Return a space's network, and which of its addresses machines get.

    Raises:
        ValueError: An address is not in the network.
    """
    network = ipaddress.IPv4Network(space.subnet)
    base = int(network.network_address)
    first = int(ipaddress.IPv4Address(space.first)) - base if space.first else RESERVED
    last = int(ipaddress.IPv4Address(space.last)) - base if space.last else None
    end = network.num_addresses - 1
    last = end - 1 if last is None else last
    if not 0 < first <= last < end:
        raise ValueError(f"{space.first} to {space.last} is no range in {space.subnet}")
    return network, range(first, last + 1)


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


def machine_spec(model: Model, machine: Machine, image: str) -> MachineSpec:
    """Return a machine as it should be.

    Args:
        model: The model.
        machine: The machine.
        image: What it is made from when no constraint says otherwise.

    Raises:
        WantedError: No image is known, or no address is free.
    """
    chosen = changes.constraint(machine.constraints, changes.IMAGE) or image
    if not chosen:
        raise WantedError(
            f"machine {machine.id} has no image: set one with `localjuju init --machine-image`, "
            f"or with the constraint {changes.IMAGE}"
        )
    full = [space for space, held in machine.interfaces.items() if not held.address]
    if full:
        raise WantedError(f"no free address for machine {machine.id} in space {full[0]}")
    return MachineSpec(
        model=model.name,
        machine=machine.id,
        hostname=machine.hostname,
        image=chosen,
        interfaces=tuple(
            MachineInterface(space, held.name, held.address)
            for space, held in machine.interfaces.items()
        ),
        is_new=not machine.image,
    )


def machine_unit_spec(model: Model, unit: Unit) -> MachineUnitSpec:
    """Return a unit on its machine as it should be."""
    charm = model.charm_of(unit.app)
    return MachineUnitSpec(
        model=model.name,
        unit=unit.name,
        machine=unit.machine,
        generation=unit.pod_generation,
        charm_dir=Path(charm.path),
        storage=tuple((held.id, held.location) for held in unit.storage.values()),
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
