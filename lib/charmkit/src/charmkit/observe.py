"""Makes the `Snapshot`: the one place that reads from Juju, Pebble and the machine."""

import dataclasses
import functools
import logging
import os
import socket
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

import ops

from charmkit import workload
from charmkit.machine import Machine
from charmkit.records import check_names, with_balancer
from charmkit.service import Service
from charmkit.spec import (
    PEERS,
    Addresses,
    ContainerState,
    Part,
    RelationData,
    SecretContent,
    Snapshot,
)

logger = logging.getLogger(__name__)

"""What a container may use, in bytes, or `max`; it is not there outside of one."""


class _Bag(Mapping[str, str]):
    """A databag that is read when it is first looked into.

    Every bag costs a hook command, and most plans look into few of them. Juju gives the same
    answer all through a hook, so when it is asked makes no difference.
    """

    def __init__(self, read: Callable[[], Mapping[str, str]]):
        self._read = read

    @functools.cached_property
    def _content(self) -> dict[str, str]:
        return dict(self._read())

    def __getitem__(self, key: str) -> str:
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def observe(
    charm: ops.CharmBase,
    service: Service,
    machine: Machine | None = None,
    *,
    refresh: bool = True,
) -> Snapshot:
    """Read everything that a plan may depend on.

    Args:
        charm: The charm.
        service: What it runs; says which endpoints and secrets count.
        machine: The machine, for a machine charm.
        refresh: Whether to look for newer revisions of secrets. Juju announces them, and asking
            costs a hook command for each secret.
    """
    model, unit = charm.model, charm.unit
    parts: tuple[Part, ...] = (*service.needs, *service.provides)
    is_leader = unit.is_leader()
    endpoints = {part.endpoint for part in parts} | ({PEERS} & charm.meta.peers.keys())
    relations = {
        endpoint: tuple(
            _relation(relation, unit, is_leader)
            for relation in sorted(model.relations[endpoint], key=lambda each: each.id)
        )
        for endpoint in sorted(endpoints)
    }
    seen = Snapshot(
        app=charm.app.name,
        unit=unit.name,
        model=model.name,
        model_uuid=model.uuid or "",
        is_leader=is_leader,
        planned_units=charm.app.planned_units(),
        config=dict(charm.config),
        relations=relations,
        optional=frozenset(
            name for name, relation in charm.meta.relations.items() if relation.optional
        ),
        addresses=_machine_addresses(charm, service) if machine else _addresses(charm),
        containers={
            name: _container(unit.get_container(name)) for name in sorted(charm.meta.containers)
        },
        storage={
            name: tuple(str(storage.location) for storage in model.storages[name])
            for name in sorted(charm.meta.storages)
        },
        cpus=os.cpu_count() or 1,
        memory=_memory(),
        now=time.time(),
        entropy=os.urandom(32),
    )
    if machine:
        seen = _with_machine(seen, service, machine)
    if service.load_balancer:
        seen = with_balancer(seen)
    labels = {secret.label for secret in service.own_secrets}
    labels |= {label for part in parts for label in part.secret_labels(seen)}
    uris = {uri for part in parts for uri in part.secret_uris(seen)}
    return dataclasses.replace(
        seen,
        secrets=_secrets((uri, _read(model, refresh, id=uri)) for uri in sorted(uris)),
        own_secrets=_secrets(
            (label, _read(model, refresh, label=label)) for label in sorted(labels)
        ),
    )


def _memory() -> int:
    """Give the MiB of the machine's memory.

    Juju limits the container that we run in, to 1 GiB if nobody says otherwise. That tells
    nothing of the containers in which the service runs.
    """
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _relation(relation: ops.Relation, unit: ops.Unit, is_leader: bool) -> RelationData:
    # ops promises an application, but gives none for a relation that is just going.
    remote = typing.cast("ops.Application | None", relation.app)
    is_peer = relation.name == PEERS

    def bag(entity: ops.Unit | ops.Application) -> Mapping[str, str]:
        return _Bag(lambda: relation.data[entity])

    return RelationData(
        id=relation.id,
        endpoint=relation.name,
        app=remote.name if remote else "",
        local_app=bag(unit.app) if is_leader or is_peer else {},
        local_unit=bag(unit),
        remote_app=bag(remote) if remote and not is_peer else {},
        remote_units={
            each.name: bag(each) for each in sorted(relation.units, key=lambda each: each.name)
        },
    )


def _addresses(charm: ops.CharmBase) -> Addresses:
    app, unit, model = charm.app.name, charm.unit.name.replace("/", "-"), charm.model.name
    service = [app, f"{app}.{model}", f"{app}.{model}.svc", f"{app}.{model}.svc.cluster.local"]
    headless = f"{unit}.{app}-endpoints"
    own = [
        unit,
        headless,
        f"{headless}.{model}",
        f"{headless}.{model}.svc",
        f"{headless}.{model}.svc.cluster.local",
    ]
    network = _network(charm, next(iter(charm.meta.relations), ""))
    return Addresses(
        unit_ip=str(network.bind_address or "") if network else "",
        service_ips=tuple(str(each) for each in network.ingress_addresses) if network else (),
        unit_name=own[-1],
        service_name=service[-1],
        hostnames=tuple(sorted(service + own)),
    )


def _machine_addresses(charm: ops.CharmBase, service: Service) -> Addresses:
    name = socket.gethostname()
    network = _network(charm, next(iter(charm.meta.relations), ""))
    bound = {binding: _network(charm, binding) for binding in service.bindings}
    return Addresses(
        unit_ip=str(network.bind_address or "") if network else "",
        unit_name=name,
        hostnames=(name,),
        bindings={
            binding: str(found.bind_address)
            for binding, found in bound.items()
            if found and found.bind_address
        },
    )


def _network(charm: ops.CharmBase, binding: str) -> ops.Network | None:
    found = charm.model.get_binding(binding)
    return found.network if found else None


def _with_machine(seen: Snapshot, service: Service, machine: Machine) -> Snapshot:
    checks = dict.fromkeys(check_names(service), workload.was_online(machine))
    state = ContainerState(can_connect=True, services=machine.services(), checks=checks)
    seen = dataclasses.replace(
        seen, is_machine=True, containers={service.name: state}, runtime=machine.runtime()
    )
    return dataclasses.replace(seen, machine=service.inspect(seen, machine))


def _container(container: ops.Container) -> ContainerState:
    if not container.can_connect():
        return ContainerState()
    return ContainerState(
        can_connect=True,
        services={name: info.is_running() for name, info in container.get_services().items()},
        checks={
            name: info.status is ops.pebble.CheckStatus.UP
            for name, info in container.get_checks().items()
        },
    )


def _read(
    model: ops.Model, refresh: bool, *, id: str | None = None, label: str | None = None
) -> SecretContent | None:
    try:
        return model.get_secret(id=id, label=label).get_content(refresh=refresh)
    except ops.SecretNotFoundError:
        return None
    except ops.ModelError as error:
        # A grant is revoked before the bag that names the secret is gone, so this is no failure.
        logger.info("cannot read secret %s: %s", id or label, error)
        return None


def _secrets(
    found: Iterable[tuple[str, SecretContent | None]],
) -> dict[str, SecretContent]:
    return {name: content for name, content in found if content is not None}
