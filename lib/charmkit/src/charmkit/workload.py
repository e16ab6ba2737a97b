"""Brings a workload container to what a plan says. Knows Pebble and nothing of Juju."""

import contextlib
import dataclasses
import json
import logging
import shlex
import time
import typing
from collections.abc import Callable, Mapping

import ops

from charmkit.layout import Content, DirectoryContent, Validation, Workload
from charmkit.plan import Status
from charmkit.records import ONLINE
from charmkit.service import Task, digest
from charmkit.templates import OURS

logger = logging.getLogger(__name__)

LAYER = "charmkit"
FOLDER = "/var/lib/charmkit"
STATE = f"{FOLDER}/state.json"
"""What was done in this container: it goes when the container's file system goes, as it must."""

PYTHON = "/opt/openstack/bin/python3"
VALIDATOR = "check_overrides.py"

_CLOSED: "ops.pebble.LayerDict" = {
    "checks": {
        ONLINE: {
            "override": "replace",
            "level": "ready",
            "startup": "enabled",
            "period": "1s",
            "threshold": 1,
            "exec": {"command": "/bin/false"},
        }
    }
}
"""Keeps clients away from the unit: a check that never succeeds."""

# `except` cannot name the type argument, and without it the output has no type.
_ExecError: typing.TypeAlias = "ops.pebble.ExecError[str]"

_DRAIN = 3  # seconds; the check fails after one, and what watches it looks as often
_POLL = 0.2  # seconds between two looks whether a started process answers


class TaskError(Exception):
    """A task that failed; Juju shows the unit in error, keeps the traceback and tries again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What applying a workload came to.

    Attributes:
        done: Tasks that are done, as they are to be recorded.
        status: What keeps the unit from being active, or None.
    """

    done: Mapping[str, Mapping[str, typing.Any]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, typing.Any]]
    )
    status: Status | None = None


def apply(
    container: ops.Container,
    workload: Workload,
    recorded: Mapping[str, Mapping[str, typing.Any]],
    show: Callable[[str], None],
) -> Outcome:
    """Write files, run tasks, start what is to run, and wait until it answers.

    If the operators' overrides are wrong, files and processes stay as they are.

    Args:
        container: The workload container; its Pebble answers.
        workload: What shall be.
        recorded: Tasks as the peer databag records them.
        show: Tells the operator what is going on.

    Raises:
        TaskError: A task failed.
        ops.pebble.ChangeError: A process does not start.
    """
    state = _State(container)
    for directory in workload.directories:
        ensure_directory(container, directory)
    if problems := _validate(container, workload.validations, state):
        return Outcome(status=Status("blocked", problems[0]))
    for content in workload.files:
        ensure_file(container, content)
    done = _run_tasks(container, workload, "before-start", state, recorded, show)
    is_online = _start(container, workload, state, show)
    if is_online:
        done |= _run_tasks(container, workload, "online", state, recorded, show)
    return Outcome(done=done, status=None if is_online else offline(workload))


def offline(workload: Workload) -> Status:
    """Give the status of a unit whose processes run but do not answer."""
    return Status("waiting", f"waiting for an answer of: {', '.join(workload.services)}")


def stop(container: ops.Container, services: tuple[str, ...]) -> None:
    """Take the unit out of service and let its processes finish what they are doing."""
    running = container.get_services(*services)
    names = [name for name, info in running.items() if info.is_running()]
    if names:
        _drain(container)
        container.stop(*names)


def _drain(container: ops.Container) -> None:
    """Keep clients away from the unit, and give who forwards them the time to notice."""
    container.add_layer(LAYER, _CLOSED, combine=True)
    time.sleep(_DRAIN)


# --- files -------------------------------------------------------------------------------------


def ensure_file(container: ops.Container, content: Content) -> bool:
    """Write a file unless it is there with this content, mode and owner; tell whether it was."""
    present = _info(container, content.path)
    right = present is not None and (
        (present.permissions, present.user, present.group)
        == (content.mode, content.user, content.group)
    )
    if right and _read(container, content.path) == content.text:
        return False
    container.push(
        content.path,
        content.text,
        make_dirs=True,
        permissions=content.mode,
        user=content.user,
        group=content.group,
    )
    logger.info("wrote %s", content.path)
    return True


def ensure_directory(container: ops.Container, directory: DirectoryContent) -> None:
    """Make a directory whose files are exactly these."""
    if _info(container, directory.path) is None:
        container.make_dir(
            directory.path,
            make_parents=True,
            permissions=directory.mode,
            user=directory.user,
            group=directory.group,
        )
    for content in directory.files:
        ensure_file(container, content)
    wanted = {content.path for content in directory.files}
    for info in container.list_files(directory.path):
        if info.path not in wanted:
            container.remove_path(info.path, recursive=True)


def _read(container: ops.Container, path: str) -> str:
    with container.pull(path) as file:
        return file.read()


def _info(container: ops.Container, path: str) -> ops.pebble.FileInfo | None:
    try:
        found = container.list_files(path, itself=True)
    except ops.pebble.APIError as error:
        if error.code != 404:
            raise
        return None
    return found[0]


class _State:
    """The record of what was done in this container."""

    def __init__(self, container: ops.Container):
        self._container = container
        self._data: dict[str, typing.Any] = {}
        with contextlib.suppress(ops.pebble.PathError):  # a fresh container has none
            self._data = json.loads(_read(container, STATE))

    def get(self, section: str) -> dict[str, typing.Any]:
        """Give one section of the record."""
        return self._data.get(section, {})

    def set(self, section: str, value: Mapping[str, typing.Any]) -> None:
        """Write one section, at once: what was done stays done if the hook fails later."""
        if self._data.get(section) != value:
            self._data[section] = dict(value)
            text = json.dumps(self._data, sort_keys=True)
            self._container.push(STATE, text, make_dirs=True, permissions=0o600)


# --- overrides ---------------------------------------------------------------------------------


def refused(container: ops.Container, workload: Workload) -> str | None:
    """Give the known reason why this container's overrides are refused, without asking anew."""
    record = _State(container).get("validation")
    wanted = digest([validation.digest for validation in workload.validations])
    return next(iter(record["problems"]), None) if record.get("digest") == wanted else None


def _validate(
    container: ops.Container, validations: tuple[Validation, ...], state: _State
) -> list[str]:
    """Hold overrides against the service's own option lists; once for equal overrides.

    Returns:
        What is wrong, `option of the charm: reason`; empty if nothing is.
    """
    if not validations:
        return []
    wanted = digest([validation.digest for validation in validations])
    record = state.get("validation")
    if record.get("digest") == wanted:
        return record["problems"]
    script = Content(
        path=f"{FOLDER}/{VALIDATOR}",
        text=(OURS / VALIDATOR).read_text(),
        mode=0o644,
        user="root",
        group="root",
    )
    ensure_file(container, script)
    problems: list[str] = []
    for validation in validations:
        process = container.exec(
            [PYTHON, script.path], stdin=json.dumps(dataclasses.asdict(validation)), timeout=120
        )
        try:
            output, _ = process.wait_output()
        except ops.pebble.ExecError as error:  # pyright: ignore[reportUnknownVariableType]
            raise TaskError(
                f"cannot validate the overrides: {_reason(typing.cast(_ExecError, error))}"
            ) from None
        problems += [problem for problem in json.loads(output or "[]") if problem not in problems]
    state.set("validation", {"digest": wanted, "problems": problems})
    return problems


# --- tasks -------------------------------------------------------------------------------------


def _run_tasks(
    container: ops.Container,
    workload: Workload,
    when: str,
    state: _State,
    recorded: Mapping[str, Mapping[str, typing.Any]],
    show: Callable[[str], None],
) -> dict[str, dict[str, typing.Any]]:
    """Run the tasks that were not done with this input; give the records of all."""
    records: dict[str, dict[str, typing.Any]] = {}
    for task in workload.tasks:
        if task.when != when:
            continue
        known = recorded.get(task.name, {})
        done_here = state.get("tasks").get(task.name) == task.digest
        # Another record is of another leader, who has done it with other input since.
        recorded_here = known.get("digest") == task.digest or not (known or task.facts)
        if done_here and recorded_here:
            records[task.name] = dict(known) or _record(task)
            continue
        show(task.message)
        output = _run(container, task)
        records[task.name] = _record(task)
        if task.facts:
            records[task.name]["facts"] = json.loads(output)
        state.set("tasks", {**state.get("tasks"), task.name: task.digest})
    return records


def _record(task: Task) -> dict[str, typing.Any]:
    return {"digest": task.digest, "inputs": list(task.inputs)}


def _run(container: ops.Container, task: Task) -> str:
    process = container.exec(
        list(task.argv),
        environment=dict(task.environment),
        stdin=task.stdin,
        user=task.user,
        group=task.group,
        timeout=task.timeout,
    )
    try:
        output, _ = process.wait_output()
    except ops.pebble.ExecError as error:  # pyright: ignore[reportUnknownVariableType]
        # Without the cause: its text carries the whole output, which may quote the input.
        raise TaskError(
            f"cannot finish the task {task.name}: {_reason(typing.cast(_ExecError, error))}"
        ) from None
    return output


def _reason(error: "ops.pebble.ExecError[str]") -> str:
    lines = (error.stderr or error.stdout or "").strip().splitlines()
    return f"{error.command[0]} exited {error.exit_code}: {lines[-1] if lines else 'no output'}"


# --- processes ---------------------------------------------------------------------------------


def _start(
    container: ops.Container,
    workload: Workload,
    state: _State,
    show: Callable[[str], None],
) -> bool:
    """Start and restart what has to be; tell whether everything answers.

    A process gets no traffic before it answers: the check that the image or `stop` brings fails
    until the real one takes its place.
    """
    plan = container.get_plan()
    services = {name: plan.services[name].to_dict() for name in plan.services}
    changed = [name for name, each in workload.services.items() if services.get(name) != each]
    running = {
        name: info.current is not ops.pebble.ServiceStatus.INACTIVE
        for name, info in container.get_services(*workload.services).items()
    }
    checks = {name: plan.checks[name].to_dict() for name in plan.checks}
    new_checks = any(checks.get(name) != each for name, each in workload.checks.items())
    wanted = digest(workload.services)
    starts = (
        bool(changed)
        or not all(running.get(name) for name in workload.services)
        # A hook that ended between the layer and its replan left the old process running.
        or state.get("started").get("digest") != wanted
    )
    if starts:
        if workload.drains and any(running.values()):
            _drain(container)
            new_checks = bool(workload.checks)
        show(f"starting {', '.join(workload.services)}")
        services_only = typing.cast("ops.pebble.LayerDict", {"services": workload.services})
        container.add_layer(LAYER, services_only, combine=True)
        container.replan()
        state.set("started", {"digest": wanted})
    answers = _wait(container, workload) if starts or new_checks else None
    if new_checks:
        # Also without an answer: then the check fails, and its recovery brings us back here.
        checks_only = typing.cast("ops.pebble.LayerDict", {"checks": workload.checks})
        container.add_layer(LAYER, checks_only, combine=True)
    if answers is not None:
        return answers
    if not workload.checks:
        return True
    states = container.get_checks(*workload.checks).values()
    return all(info.status is ops.pebble.CheckStatus.UP for info in states)


def _wait(container: ops.Container, workload: Workload) -> bool:
    """Wait until every process answers its probe, or its patience is over."""
    for command, patience in workload.probes:
        end = time.monotonic() + patience
        while not _answers(container, command):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)
    return True


def _answers(container: ops.Container, command: str) -> bool:
    try:
        container.exec(shlex.split(command), timeout=10).wait_output()
    except (ops.pebble.ExecError, ops.pebble.ChangeError, ops.pebble.TimeoutError):
        return False
    return True
