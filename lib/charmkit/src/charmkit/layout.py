"""What a container or machine shall hold and run. Pure: equal snapshots give equal layouts."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping

from charmkit import overrides
from charmkit.records import check_names, records
from charmkit.service import File, Process, Service, Task, digest
from charmkit.spec import Snapshot, Values
from charmkit.templates import Templates
from charmkit.units import Unit, define

DIGEST = "CHARMKIT_FILES_DIGEST"
"""Environment variable by which Pebble's `replan` sees that a process's files changed."""


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
class Probe:
    """How to see that a process answers.

    Attributes:
        process: The process.
        check: Name of its check.
        command: The command; exit 0 means that it answers.
        patience: Seconds that it may take after its start.
        until_answered: Machines: whether one answer is enough, see `service.Check`.
    """

    process: str
    check: str
    command: str
    patience: float
    until_answered: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """The workload container, or the machine, as it shall be.

    Attributes:
        container: Its name; for a machine that of the service.
        files: Files to write, each path once.
        directories: Directories with exact content.
        validations: What to validate before anything is written.
        services: Pebble's services; none on a machine.
        checks: Pebble's checks; none on a machine.
        units: systemd's units; none in a container.
        probes: What the checks ask, to wait for a start.
        tasks: The tasks that this unit runs, in their order.
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
    units: tuple[Unit, ...] = ()
    probes: tuple[Probe, ...] = ()
    tasks: tuple[Task, ...] = ()
    drains: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Name the processes, in their order."""
        return tuple(self.services) or tuple(unit.process for unit in self.units)


def awaited(tasks: Iterable[Task], snapshot: Snapshot) -> str | None:
    """Tell which of the leader's tasks a follower has to wait for before it starts, or None."""
    if snapshot.is_leader:
        return None
    known = records(snapshot)
    for task in tasks:
        record = known.get(task.name)
        if (
            task.when == "before-start"
            and task.on == "leader"
            and (record is None or record["inputs"] != list(task.inputs))
        ):
            return task.message
    return None


def lay_out(
    service: Service,
    snapshot: Snapshot,
    seen: Values,
    tasks: tuple[Task, ...],
    templates: Templates,
) -> Workload:
    """Lay out the container or machine of a service whose needs are complete.

    Args:
        service: The service.
        snapshot: What was seen.
        seen: The values of `plan.values`.
        tasks: All tasks, the leader's and those of every unit.
        templates: The charm's templates.

    Raises:
        ValueError: Two processes share a path with different content: the service's mistake.
    """
    files: dict[str, Content] = {}
    services: dict[str, dict[str, typing.Any]] = {}
    defined: list[Unit] = []
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
        if snapshot.is_machine:
            defined.append(
                define(
                    _rendered(process, seen, templates),
                    service=service.name,
                    files=tuple(content.path for content in mine),
                    digest_of_files=digest(restarting) if restarting else "",
                    runtime=snapshot.runtime,
                )
            )
        else:
            services[process.name] = _pebble_service(
                _rendered(process, seen, templates), digest(restarting)
            )
    for file in service.files:
        files[file.path] = _content(file, None, service, snapshot, seen, templates)
    probes = {
        process.name: templates.render_text(process.check.command, seen)
        for process in service.processes
        if process.check
    }
    return Workload(
        container=service.name,
        files=tuple(files.values()),
        directories=_directories(service, snapshot, seen),
        validations=tuple(validations),
        services=services,
        checks={} if snapshot.is_machine else _pebble_checks(service, probes),
        units=tuple(defined),
        probes=tuple(
            Probe(
                process=process.name,
                check=name,
                command=probes[process.name],
                patience=process.check.patience,
                until_answered=process.check.until_answered,
            )
            for name, process in check_names(service).items()
            if process.check
        ),
        tasks=tuple(task for task in tasks if task.on == "unit" or snapshot.is_leader),
        drains=bool(snapshot.peers and snapshot.peers.remote_units and not snapshot.is_machine),
    )


def _rendered(process: Process, seen: Values, templates: Templates) -> Process:
    """Give the process with the templates in its definition rendered."""
    if "{" not in "".join((process.command, process.unit, *process.environment.values())):
        return process
    return dataclasses.replace(
        process,
        command=templates.render_text(process.command, seen),
        unit=templates.render_text(process.unit, seen),
        environment={
            name: templates.render_text(text, seen) for name, text in process.environment.items()
        },
    )


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
        merged = overrides.merge(
            overrides.parse(text), process_overrides(service, process, snapshot)
        )
        text = overrides.render(
            merged, f"Written by the charm of {snapshot.app}; use its options."
        )
    return Content(path=file.path, text=text, mode=file.mode, user=file.user, group=file.group)


def process_overrides(
    service: Service, process: Process, snapshot: Snapshot
) -> tuple[overrides.Override, ...]:
    """Give what operators override in the configuration of one process of this unit.

    Raises:
        overrides.OverrideError: An option's text cannot be used.
    """
    names = tuple(each.name for each in service.processes)
    return overrides.layers(snapshot.config, process.name, names, snapshot.unit)


def _validations(service: Service, process: Process, snapshot: Snapshot) -> Iterable[Validation]:
    wanted = process_overrides(service, process, snapshot)
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
        "kill-delay": _duration(process.kill_delay),
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
            "period": _duration(process.check.period),
            "timeout": _duration(process.check.timeout),
            "threshold": process.check.threshold,
            "exec": {"command": probes[process.name]},
        }
        for name, process in check_names(service).items()
        if process.check
    }


def _duration(seconds: float) -> str:
    """Write a time span as Pebble writes it back (`1m30s`), so that equal ones compare equal."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{text}{rest:g}s"
