"""What a workload container shall hold and run. Pure: equal snapshots give equal layouts."""

import dataclasses
import typing
from collections.abc import Iterable, Mapping

from charmkit import overrides
from charmkit.records import check_names, records
from charmkit.service import File, Process, Service, Task, digest
from charmkit.spec import Snapshot, Values
from charmkit.templates import Templates

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


def awaited(tasks: Iterable[Task], snapshot: Snapshot) -> str | None:
    """Tell which of the leader's tasks a follower has to wait for before it starts, or None."""
    if snapshot.is_leader:
        return None
    known = records(snapshot)
    for task in tasks:
        record = known.get(task.name)
        if task.when == "before-start" and (
            record is None or record["inputs"] != list(task.inputs)
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
    """Lay out the workload container of a service whose needs are complete.

    Args:
        service: The service.
        snapshot: What was seen.
        seen: The values of `plan.values`.
        tasks: The leader's tasks.
        templates: The charm's templates.

    Raises:
        ValueError: Two processes share a path with different content: the service's mistake.
    """
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
    return Workload(
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
        tasks=tasks if snapshot.is_leader else (),
        drains=bool(snapshot.peers and snapshot.peers.remote_units),
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
