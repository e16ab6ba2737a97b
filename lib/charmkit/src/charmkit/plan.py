"""Makes the `Plan` of a service from what was seen. Pure: equal snapshots give equal plans."""

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping, Sequence

from charmkit import overrides
from charmkit.service import File, Process, Service, Task, digest
from charmkit.spec import (
    PEERS,
    ContainerState,
    OwnedSecret,
    Publication,
    Publish,
    Snapshot,
    Values,
)
from charmkit.templates import Templates

ONLINE = "online"
"""The check whose result decides whether clients' traffic reaches the unit."""

DIGEST = "CHARMKIT_FILES_DIGEST"
"""Environment variable by which Pebble's `replan` sees that a process's files changed."""

TASKS = "tasks"
"""Key of the peer application bag: what the leader did, task → digest and facts."""

SEEN = "secrets-seen"
"""Key of the peer unit bag: which content of the own secrets this unit has written."""


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
class Content:
    """A file as it shall be."""

    path: str
    text: str = dataclasses.field(repr=False)
    mode: int
    user: str
    group: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DirectoryContent:
    """A directory as it shall be; `files` in the order in which they are written."""

    path: str
    files: tuple[Content, ...]
    mode: int
    user: str
    group: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validation:
    """Overrides that the service's own option lists must know.

    Attributes:
        namespaces: Where the service declares its options.
        dynamic_groups: Groups that are not held against them.
        overrides: What operators set.
    """

    namespaces: tuple[str, ...]
    dynamic_groups: tuple[str, ...]
    overrides: tuple[overrides.Override, ...]

    @property
    def digest(self) -> str:
        """Give a text that is equal if and only if the same is to be validated."""
        return digest(dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """The workload container as it shall be.

    Attributes:
        container: Its name.
        files: Files to write, each path once.
        directories: Directories with exact content.
        validations: What to validate before anything is written.
        services: Pebble's services.
        checks: Pebble's checks.
        probes: The commands of the checks, to wait for a start; with their patience in seconds.
        tasks: The leader's tasks, in their order; none on a follower.
        drains: Whether other units take over while this one restarts, so that clients are kept
            away before it does.
    """

    container: str
    files: tuple[Content, ...] = ()
    directories: tuple[DirectoryContent, ...] = ()
    validations: tuple[Validation, ...] = ()
    services: Mapping[str, Mapping[str, typing.Any]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, typing.Any]]
    )
    checks: Mapping[str, Mapping[str, typing.Any]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, typing.Any]]
    )
    probes: tuple[tuple[str, float], ...] = ()
    tasks: tuple[Task, ...] = ()
    drains: bool = False


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
    workload: Workload | None = None
    ports: tuple[int, ...] = ()
    status: Status = Status("active")


def make(service: Service, snapshot: Snapshot, templates: Templates) -> Plan:
    """Plan what a unit of the service does, given what it saw."""
    for option in service.options:
        if problem := option.problem(snapshot.config):
            # Nothing else: needs, secrets and offers may depend on the option.
            return Plan(ports=service.ports, status=Status("blocked", problem))
    secrets, lacking = own_secrets(service, snapshot)
    publications = [Publication(secrets=secrets)] if snapshot.is_leader and secrets else []
    publications += [
        publication for need in service.needs if (publication := need.request(snapshot))
    ]
    status = _obstacle(service, snapshot, lacking)
    workload = None
    if status is None:
        seen = values(service, snapshot)
        publications += service.offers(snapshot, seen)
        publications += _record(snapshot)
        if service.processes:
            status, workload = _workload(service, snapshot, seen, templates)
            publications += _seen(service, snapshot)
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
    if service.processes:
        try:
            for process in service.processes:
                _overrides(service, process, snapshot)
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
    if service.processes and not _connected(service, snapshot):
        return Status("waiting", f"waiting for container: {service.name}")
    return None


def _connected(service: Service, snapshot: Snapshot) -> bool:
    container = snapshot.containers.get(service.name)
    return container is not None and container.can_connect


# --- own secrets -------------------------------------------------------------------------------


def own_secrets(
    service: Service, snapshot: Snapshot
) -> tuple[tuple[OwnedSecret, ...], tuple[str, ...]]:
    """Give the application's own secrets, and the labels of those that a follower still lacks.

    On a leader a secret that does not exist yet has its initial content.
    """
    found: list[OwnedSecret] = []
    lacking: list[str] = []
    for secret in service.own_secrets:
        content = snapshot.own_secrets.get(secret.label)
        if content is None:
            if not snapshot.is_leader:
                lacking.append(secret.label)
                continue
            content = secret.initial(snapshot)
        found.append(
            OwnedSecret(
                label=secret.label,
                content=content,
                rotate=secret.rotate(snapshot),
                description=secret.description,
            )
        )
    return tuple(found), tuple(lacking)


class CannotRotateError(Exception):
    """A secret that must not be rotated now; the text says why and what to do."""


def rotate(service: Service, snapshot: Snapshot, label: str) -> Snapshot:
    """Give the snapshot in which an own secret has its next content.

    Raises:
        CannotRotateError: We do not lead, the secret is not there, or a unit has not got it yet.
    """
    secret = next((each for each in service.own_secrets if each.label == label), None)
    if secret is None or secret.rotated is None:
        raise CannotRotateError(f"cannot rotate {label}: it is none of the secrets that rotate")
    if not snapshot.is_leader:
        raise CannotRotateError(
            f"cannot rotate {label}: {snapshot.unit} is not the leader; ask it"
        )
    content = snapshot.own_secrets.get(label)
    if content is None:
        raise CannotRotateError(f"cannot rotate {label}: it has not been made yet")
    behind = _behind(snapshot, label) if secret.everywhere_first else ()
    if behind:
        raise CannotRotateError(
            f"cannot rotate {label}: {', '.join(behind)} has not got the present one yet;"
            " try again when all units are idle"
        )
    changed = {**snapshot.own_secrets, label: secret.rotated(snapshot, content)}
    return dataclasses.replace(snapshot, own_secrets=changed)


def _behind(snapshot: Snapshot, label: str) -> tuple[str, ...]:
    """Name the units that wrote an older content. One that wrote none will read the newest."""
    present = digest(snapshot.own_secrets[label])
    peers = snapshot.peers
    if peers is None:
        return ()
    bags = peers.remote_units
    seen = {unit: _json_map(bag.get(SEEN)).get(label, present) for unit, bag in bags.items()}
    return tuple(sorted(unit for unit, each in seen.items() if each != present))


def _seen(service: Service, snapshot: Snapshot) -> list[Publication]:
    """Tell the leader which content of the secrets this unit writes."""
    labels = [secret.label for secret in service.own_secrets if secret.everywhere_first]
    if not labels or snapshot.peers is None:
        return []
    found, _ = own_secrets(service, snapshot)
    seen = {each.label: digest(each.content) for each in found if each.label in labels}
    text = json.dumps(seen, sort_keys=True)
    return [
        Publication(bags=(Publish(relation_id=snapshot.peers.id, unit={SEEN: text}),)),
    ]


# --- values ------------------------------------------------------------------------------------


def values(service: Service, snapshot: Snapshot) -> dict[str, typing.Any]:
    """Give what templates, tasks and offers see.

    Returns:
        - every need under its endpoint with `_` for `-`: what it read; None if it is optional
          and not integrated,
        - `config`: options, `_` for `-`,
        - `secrets`: own secrets by label, `_` for `-`,
        - `facts`: task → what it printed, for tasks that were done,
        - `online`: whether the service answers its clients,
        - `app`, `unit`, `model`, `addresses`, `cpus`, `service`,
        - what the service's own `values` adds.
    """
    secrets, _ = own_secrets(service, snapshot)
    seen: dict[str, typing.Any] = {
        _name(need.endpoint): need.read(snapshot) for need in service.needs
    }
    seen |= {
        "config": {_name(option): value for option, value in snapshot.config.items()},
        "secrets": {_name(secret.label): secret.content for secret in secrets},
        "facts": {
            task: record["facts"]
            for task, record in records(snapshot).items()
            if "facts" in record
        },
        "online": is_online(service, snapshot),
        "app": snapshot.app,
        "unit": snapshot.unit,
        "model": snapshot.model,
        "addresses": snapshot.addresses,
        "cpus": snapshot.cpus,
        "service": service.name,
    }
    return seen | dict(service.values(snapshot, seen))


def is_online(service: Service, snapshot: Snapshot) -> bool:
    """Tell whether the checks of every process are up."""
    container = snapshot.containers.get(service.name, ContainerState())
    return container.can_connect and all(
        container.checks.get(name, False) for name in _check_names(service)
    )


def _check_names(service: Service) -> dict[str, Process]:
    """Give check → process: `online` for the first process, `online-<name>` for the others."""
    checked = [process for process in service.processes if process.check]
    return {
        ONLINE if index == 0 else f"{ONLINE}-{process.name}": process
        for index, process in enumerate(checked)
    }


def _name(endpoint: str) -> str:
    return endpoint.replace("-", "_")


def records(snapshot: Snapshot) -> dict[str, dict[str, typing.Any]]:
    """Give what the leader recorded: task → `digest` and, if it has them, `facts`."""
    return _json_map(snapshot.peers.local_app.get(TASKS) if snapshot.peers else None)


def _json_map(text: str | None) -> dict[str, typing.Any]:
    return json.loads(text) if text else {}


def reached(
    service: Service,
    snapshot: Snapshot,
    done: Mapping[str, Mapping[str, typing.Any]],
    online: bool,
) -> Snapshot:
    """Give the snapshot in which these tasks are done and the service is online, or not.

    It is the same object if that was so before.
    """
    known, peers = records(snapshot), snapshot.peers
    if peers and any(known.get(name) != record for name, record in done.items()):
        text = json.dumps(known | dict(done), sort_keys=True)
        peers = dataclasses.replace(peers, local_app={**peers.local_app, TASKS: text})
        relations = {**snapshot.relations, PEERS: (peers,)}
        snapshot = dataclasses.replace(snapshot, relations=relations)
    if service.processes and is_online(service, snapshot) != online:
        container = snapshot.containers[service.name]
        checks = {**container.checks, **dict.fromkeys(_check_names(service), online)}
        container = dataclasses.replace(container, checks=checks)
        containers = {**snapshot.containers, service.name: container}
        snapshot = dataclasses.replace(snapshot, containers=containers)
    return snapshot


def _record(snapshot: Snapshot) -> list[Publication]:
    """Give the publication of the recorded tasks."""
    peers = snapshot.peers
    if peers is None or TASKS not in peers.local_app:
        return []
    bag = Publish(relation_id=peers.id, app={TASKS: peers.local_app[TASKS]})
    return [Publication(bags=(bag,))]


# --- workload ----------------------------------------------------------------------------------


def _workload(
    service: Service, snapshot: Snapshot, seen: Values, templates: Templates
) -> tuple[Status | None, Workload | None]:
    tasks = tuple(service.tasks(snapshot, seen))
    if not snapshot.is_leader:
        for task in tasks:
            if task.when == "before-start" and not _done_by_leader(task, snapshot):
                return Status("waiting", f"waiting for the leader: {task.message}"), None
        tasks = ()
    files: dict[str, Content] = {}
    services: dict[str, dict[str, typing.Any]] = {}
    validations: list[Validation] = []
    for process in service.processes:
        mine = [
            _content(file, process, service, snapshot, seen, templates) for file in process.files
        ]
        for content in mine:
            if files.setdefault(content.path, content) != content:
                raise ValueError(
                    f"{content.path} differs between processes: give each a path of its own"
                )
        validations += _validations(service, process, snapshot)
        restarting = [
            dataclasses.asdict(content)
            for file, content in zip(process.files, mine, strict=True)
            if file.restarts
        ]
        services[process.name] = _pebble_service(process, digest(restarting))
    for file in service.files:
        files[file.path] = _content(file, None, service, snapshot, seen, templates)
    probes = {
        process.name: templates.render_text(process.check.command, seen)
        for process in service.processes
        if process.check
    }
    return None, Workload(
        container=service.name,
        files=tuple(files.values()),
        directories=_directories(service, snapshot, seen),
        validations=tuple(validations),
        services=services,
        checks=_pebble_checks(service, probes),
        probes=tuple(
            (probes[process.name], process.check.patience)
            for process in service.processes
            if process.check
        ),
        tasks=tasks,
        drains=bool(snapshot.peers and snapshot.peers.remote_units),
    )


def _done_by_leader(task: Task, snapshot: Snapshot) -> bool:
    record = records(snapshot).get(task.name)
    return record is not None and record["inputs"] == list(task.inputs)


def _content(
    file: File,
    process: Process | None,
    service: Service,
    snapshot: Snapshot,
    seen: Values,
    templates: Templates,
) -> Content:
    scope = {**seen, **file.values, "process": process.name if process else ""}
    if file.template:
        text = templates.render(file.template, scope)
    else:
        text = templates.render_text(file.text, scope)
    if file.namespaces and process:
        merged = overrides.merge(overrides.parse(text), _overrides(service, process, snapshot))
        text = overrides.render(
            merged, f"Written by the charm of {snapshot.app}; use its options."
        )
    return Content(path=file.path, text=text, mode=file.mode, user=file.user, group=file.group)


def _overrides(
    service: Service, process: Process, snapshot: Snapshot
) -> tuple[overrides.Override, ...]:
    names = tuple(each.name for each in service.processes)
    return overrides.layers(snapshot.config, process.name, names, snapshot.unit)


def _validations(service: Service, process: Process, snapshot: Snapshot) -> Iterable[Validation]:
    wanted = _overrides(service, process, snapshot)
    if not wanted:
        # What a template writes is held against the option lists by tests, not at run time.
        return []
    return [
        Validation(
            namespaces=file.namespaces, dynamic_groups=file.dynamic_groups, overrides=wanted
        )
        for file in process.files
        if file.namespaces
    ]


def _directories(
    service: Service, snapshot: Snapshot, seen: Values
) -> tuple[DirectoryContent, ...]:
    return tuple(
        DirectoryContent(
            path=directory.path,
            files=tuple(
                Content(
                    path=f"{directory.path}/{name}",
                    text=text,
                    mode=directory.file_mode,
                    user=directory.user,
                    group=directory.group,
                )
                for name, text in directory.content(snapshot, seen).items()
            ),
            mode=directory.mode,
            user=directory.user,
            group=directory.group,
        )
        for directory in service.directories
    )


def _pebble_service(process: Process, files: str) -> dict[str, typing.Any]:
    return {
        "override": "replace",
        "summary": process.summary or process.name,
        "command": process.command,
        "startup": "enabled",
        "user": process.user,
        "group": process.group,
        "kill-delay": f"{process.kill_delay}s",
        "environment": {**process.environment, DIGEST: files},
    }


def _pebble_checks(
    service: Service, probes: Mapping[str, str]
) -> dict[str, dict[str, typing.Any]]:
    return {
        name: {
            "override": "replace",
            "level": "ready",
            "startup": "enabled",
            "period": f"{process.check.period:g}s",
            "timeout": f"{process.check.timeout:g}s",
            "threshold": process.check.threshold,
            "exec": {"command": probes[process.name]},
        }
        for name, process in _check_names(service).items()
        if process.check
    }
