"""Makes the `Plan` of a service from what was seen. Pure: equal snapshots give equal plans."""

import dataclasses
import typing
from collections.abc import Sequence

from charmkit import layout, overrides, ownership, records
from charmkit.service import Service
from charmkit.spec import Publication, Refusable, Snapshot
from charmkit.templates import Templates


@dataclasses.dataclass(frozen=True)
class Status:
    """What the unit shows.

    Attributes:
        name: Juju's word.
        message: Lower case, names the thing.
    """

    name: typing.Literal["active", "maintenance", "waiting", "blocked"]
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do.

    Attributes:
        publications: Databags and secrets to write.
        workload: The container as it shall be. None while that cannot be told: then what runs
            stays as it is.
        ports: Ports to open.
        status: What keeps the unit from being active, or active itself; the state of the
            processes comes on top.
    """

    publications: tuple[Publication, ...] = ()
    workload: layout.Workload | None = None
    ports: tuple[int, ...] = ()
    status: Status = Status("active")


def make(service: Service, snapshot: Snapshot, templates: Templates) -> Plan:
    """Plan what a unit of the service does, given what it saw."""
    if snapshot.is_leaving:
        # It serves as it is until its `stop`: what its relations say no longer counts.
        return Plan(ports=service.ports, status=Status("maintenance", "leaving"))
    for option in service.options:
        if problem := option.problem(snapshot.config):
            # Nothing else: needs, secrets and offers may depend on the option.
            return Plan(ports=service.ports, status=Status("blocked", problem))
    secrets, lacking = ownership.own_secrets(service, snapshot)
    publications = [Publication(secrets=secrets)] if snapshot.is_leader and secrets else []
    publications += [
        publication for need in service.needs if (publication := need.request(snapshot))
    ]
    publications += records.balancer_publications(service, snapshot)
    status = _obstacle(service, snapshot, lacking)
    workload = None
    seen = values(service, snapshot) if status is None else {}
    if status is None and (found := service.obstacle(snapshot, seen)):
        status = Status(*found)
    if status is None:
        tasks = tuple(service.tasks(snapshot, seen))
        publications += service.offers(snapshot, seen)
        publications += records.record_publications(snapshot)
        publications += ownership.seen_publications(service, snapshot)
        if message := layout.awaited(tasks, snapshot):
            status = Status("waiting", f"waiting for the leader: {message}")
        elif service.has_workload:
            workload = layout.lay_out(service, snapshot, seen, tasks, templates)
        if status is None and (found := service.condition(snapshot, seen)):
            status = Status(*found)
        if status is None or status.name == "active":
            status = _unreached(service, snapshot) or status
    return Plan(
        publications=tuple(publications),
        workload=workload,
        ports=service.ports,
        status=status or Status("active"),
    )


# --- what keeps us -----------------------------------------------------------------------------


def _obstacle(service: Service, snapshot: Snapshot, lacking: Sequence[str]) -> Status | None:
    """Find what keeps the service from being configured; what a person must do comes first."""
    missing = [
        need.endpoint
        for need in service.needs
        if need.endpoint not in snapshot.optional and not snapshot.related(need.endpoint)
    ]
    if missing:
        return Status("blocked", f"missing integration: {', '.join(missing)}")
    if refusal := _refusal(service, snapshot):
        return Status("blocked", refusal)
    if service.processes:
        try:
            for process in service.processes:
                layout.process_overrides(service, process, snapshot)
        except overrides.OverrideError as error:
            return Status("blocked", str(error))
    if lacking:
        return Status("waiting", f"waiting for the leader's secret: {', '.join(lacking)}")
    incomplete = [
        need.endpoint
        for need in service.needs
        if snapshot.related(need.endpoint) and need.read(snapshot) is None
    ]
    if incomplete:
        return Status("waiting", f"waiting for data from: {', '.join(incomplete)}")
    if service.has_workload and not _connected(service, snapshot):
        return Status("waiting", f"waiting for container: {service.name}")
    return None


def _refusal(service: Service, snapshot: Snapshot) -> str | None:
    """Tell what another application will not give us and why, or None."""
    for need in service.needs:
        if isinstance(need, Refusable) and (problem := need.problem(snapshot)):
            relation = snapshot.relation(need.endpoint)
            return f"{(relation and relation.app) or need.endpoint} refuses: {problem}"
    return None


def _unreached(service: Service, snapshot: Snapshot) -> Status | None:
    """Tell why clients outside the cluster cannot reach us, if there are any; the leader does."""
    balancer = service.load_balancer
    if balancer is None or not snapshot.is_leader or not balancer.wanted(snapshot):
        return None
    if snapshot.load_balancer_problem:
        return Status("blocked", snapshot.load_balancer_problem)
    if not snapshot.load_balancer:
        return Status("waiting", "waiting for the address of the load balancer")
    return None


def _connected(service: Service, snapshot: Snapshot) -> bool:
    container = snapshot.containers.get(service.name)
    return container is not None and container.can_connect


def values(service: Service, snapshot: Snapshot) -> dict[str, typing.Any]:
    """Give what templates, tasks and offers see.

    Returns:
        - every need under its endpoint with `_` for `-`: what it read; None if it is optional
          and not integrated,
        - `config`: options, `_` for `-`,
        - `secrets`: own secrets by label, `_` for `-`,
        - `facts`: task → what it printed, for tasks that were done,
        - `online`: whether the service answers its clients,
        - `app`, `unit`, `model`, `addresses`, `cpus`, `memory`, `service`, `machine`,
        - what the service's own `values` adds.
    """
    secrets, _ = ownership.own_secrets(service, snapshot)
    seen: dict[str, typing.Any] = {
        _name(need.endpoint): need.read(snapshot) for need in service.needs
    }
    seen |= {
        "config": {_name(option): value for option, value in snapshot.config.items()},
        "secrets": {_name(secret.label): secret.content for secret in secrets},
        "facts": {
            task: record["facts"]
            for task, record in records.records(snapshot).items()
            if "facts" in record
        },
        "online": records.is_online(service, snapshot),
        "app": snapshot.app,
        "unit": snapshot.unit,
        "model": snapshot.model,
        "addresses": snapshot.addresses,
        "cpus": snapshot.cpus,
        "memory": snapshot.memory,
        "service": service.name,
        "machine": snapshot.machine,
    }
    return seen | dict(service.values(snapshot, seen))


def _name(endpoint: str) -> str:
    return endpoint.replace("-", "_")
