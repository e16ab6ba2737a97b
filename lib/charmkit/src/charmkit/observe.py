"""Makes the `Snapshot`: the one place that reads from Juju and from Pebble."""

import dataclasses
import logging
import os
import typing
from collections.abc import Iterable

import ops

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


def observe(charm: ops.CharmBase, service: Service) -> Snapshot:
    """Read everything that a plan may depend on."""
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
        addresses=_addresses(charm, next(iter(charm.meta.relations), "")),
        containers={
            name: _container(unit.get_container(name)) for name in sorted(charm.meta.containers)
        },
        storage={
            name: tuple(str(storage.location) for storage in model.storages[name])
            for name in sorted(charm.meta.storages)
        },
        cpus=os.cpu_count() or 1,
        entropy=os.urandom(32),
    )
    labels = {secret.label for secret in service.own_secrets}
    labels |= {label for part in parts for label in part.secret_labels(seen)}
    uris = {uri for part in parts for uri in part.secret_uris(seen)}
    return dataclasses.replace(
        seen,
        secrets=_secrets((uri, _read(model, id=uri)) for uri in sorted(uris)),
        own_secrets=_secrets((label, _read(model, label=label)) for label in sorted(labels)),
    )


def _relation(relation: ops.Relation, unit: ops.Unit, is_leader: bool) -> RelationData:
    remote = typing.cast("ops.Application | None", relation.app)
    is_peer = relation.name == PEERS
    return RelationData(
        id=relation.id,
        endpoint=relation.name,
        app=remote.name if remote else "",
        local_app=dict(relation.data[unit.app]) if is_leader or is_peer else {},
        local_unit=dict(relation.data[unit]),
        remote_app=dict(relation.data[remote]) if remote and not is_peer else {},
        remote_units={
            each.name: dict(relation.data[each])
            for each in sorted(relation.units, key=lambda each: each.name)
        },
    )


def _addresses(charm: ops.CharmBase, binding: str) -> Addresses:
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
    found = charm.model.get_binding(binding)
    network = found.network if found else None
    return Addresses(
        unit_ip=str(network.bind_address or "") if network else "",
        service_ips=tuple(str(each) for each in network.ingress_addresses) if network else (),
        unit_name=own[-1],
        service_name=service[-1],
        hostnames=tuple(sorted(service + own)),
    )


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
    model: ops.Model, *, id: str | None = None, label: str | None = None
) -> SecretContent | None:
    try:
        return model.get_secret(id=id, label=label).get_content(refresh=True)
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
