"""Brings a container or machine to what a plan says. Knows no Juju, no Pebble, no systemd."""

import dataclasses
import json
import logging
import shlex
import time
import typing
from collections.abc import Callable, Mapping, Sequence

from charmkit.layout import Content, DirectoryContent, Validation, Workload
from charmkit.plan import Status
from charmkit.service import Task, digest
from charmkit.target import CommandError, FileInfo, Target
from charmkit.templates import OURS

logger = logging.getLogger(__name__)

PYTHON = "/opt/openstack/bin/python3"
VALIDATOR = "check_overrides.py"

_POLL = 0.2  # seconds between two looks whether a started process answers
_PROBE = 10  # seconds that a probe may take while we wait


class TaskError(Exception):
    """A task that failed; Juju shows the unit in error, keeps the traceback and tries again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What applying a workload came to.

    Attributes:
        done: The leader's tasks that are done, as they are to be recorded.
        status: What keeps the unit from being active, or None.
    """

    done: Mapping[str, Mapping[str, typing.Any]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, typing.Any]]
    )
    status: Status | None = None


def apply(
    target: Target,
    workload: Workload,
    recorded: Mapping[str, Mapping[str, typing.Any]],
    show: Callable[[str], None],
) -> Outcome:
    """Write files, run tasks, start what is to run, and wait until it answers.

    If the operators' overrides are wrong, files and processes stay as they are.

    Args:
        target: Where the workload runs.
        workload: What shall be.
        recorded: Tasks as the peer databag records them.
        show: Tells the operator what is going on.

    Raises:
        TaskError: A task failed.
        ops.pebble.ChangeError: A process does not start in its container.
        CommandError: A process does not start on its machine.
    """
    state = _State(target)
    for directory in workload.directories:
        ensure_directory(target, directory)
    if problems := _validate(target, workload.validations, state):
        return Outcome(status=Status("blocked", problems[0]))
    for content in workload.files:
        ensure_file(target, content)
    done = _run_tasks(target, workload, "before-start", state, recorded, show)
    silent = _start(target, workload, state, show)
    if workload.units:
        state.set("online", {"yes": not silent})
        answered = {each.process: each.digest for each in workload.units}
        state.set("answered", {name: answered[name] for name in answered if name not in silent})
    if not silent:
        done |= _run_tasks(target, workload, "online", state, recorded, show)
    return Outcome(done=done, status=offline(silent) if silent else None)


def offline(silent: Sequence[str]) -> Status:
    """Give the status of a unit whose processes run but do not answer."""
    return Status("waiting", f"waiting for an answer of: {', '.join(silent)}")


def silent(target: Target, workload: Workload) -> Sequence[str]:
    """Name the processes that do not run, or do not answer and are still to be asked."""
    return target.silent(_still_asked(workload, _State(target)) if workload.units else workload)


def was_online(target: Target) -> bool:
    """Tell whether everything answered when the workload was applied last; for machines."""
    return bool(_State(target).get("online").get("yes"))


def say_farewell(target: Target, tasks: Sequence[Task], show: Callable[[str], None]) -> None:
    """Keep clients away and run these tasks, whatever was done before.

    Raises:
        TaskError: A task failed.
    """
    if tasks:
        target.drain()
    for task in tasks:
        show(task.message)
        _run(target, task)


# --- files -------------------------------------------------------------------------------------


def ensure_file(target: Target, content: Content) -> bool:
    """Write a file unless it is there with this content, mode and owner; tell whether it was."""
    wanted = FileInfo(mode=content.mode, user=content.user, group=content.group)
    if target.info(content.path) == wanted and target.read(content.path) == content.text:
        return False
    target.write(content)
    logger.info("wrote %s", content.path)
    return True


def ensure_directory(target: Target, directory: DirectoryContent) -> None:
    """Make a directory whose files are exactly these."""
    if target.info(directory.path) is None:
        target.make_folder(directory)
    for content in directory.files:
        ensure_file(target, content)
    wanted = {content.path for content in directory.files}
    for path in target.list(directory.path):
        if path not in wanted:
            target.remove(path)


class _State:
    """The record of what was done at this target."""

    def __init__(self, target: Target):
        self._target = target
        self._path = f"{target.folder}/state.json"
        self._data: dict[str, typing.Any] = json.loads(target.read(self._path) or "{}")

    def get(self, section: str) -> dict[str, typing.Any]:
        """Give one section of the record."""
        return self._data.get(section, {})

    def set(self, section: str, value: Mapping[str, typing.Any]) -> None:
        """Write one section, at once: what was done stays done if the hook fails later."""
        if self._data.get(section) != value:
            self._data[section] = dict(value)
            text = json.dumps(self._data, sort_keys=True)
            self._target.write(
                Content(path=self._path, text=text, mode=0o600, user="root", group="root")
            )


# --- overrides ---------------------------------------------------------------------------------


def refused(target: Target, workload: Workload) -> str | None:
    """Give the known reason why the overrides are refused, without asking anew."""
    record = _State(target).get("validation")
    wanted = digest([validation.digest for validation in workload.validations])
    return next(iter(record["problems"]), None) if record.get("digest") == wanted else None


def _validate(target: Target, validations: tuple[Validation, ...], state: _State) -> list[str]:
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
        path=f"{target.folder}/{VALIDATOR}",
        text=(OURS / VALIDATOR).read_text(),
        mode=0o644,
        user="root",
        group="root",
    )
    ensure_file(target, script)
    problems: list[str] = []
    for validation in validations:
        request = json.dumps(dataclasses.asdict(validation))
        try:
            output = target.run([PYTHON, script.path], stdin=request)
        except CommandError as error:
            raise TaskError(f"cannot validate the overrides: {error}") from None
        problems += [problem for problem in json.loads(output or "[]") if problem not in problems]
    state.set("validation", {"digest": wanted, "problems": problems})
    return problems


# --- tasks -------------------------------------------------------------------------------------


def _run_tasks(
    target: Target,
    workload: Workload,
    when: str,
    state: _State,
    recorded: Mapping[str, Mapping[str, typing.Any]],
    show: Callable[[str], None],
) -> dict[str, dict[str, typing.Any]]:
    """Run the tasks that were not done with this input; give the records of the leader's."""
    records: dict[str, dict[str, typing.Any]] = {}
    for task in workload.tasks:
        if task.when != when:
            continue
        known = recorded.get(task.name, {})
        done_here = state.get("tasks").get(task.name) == task.digest
        # Another record is of another leader, who has done it with other input since.
        recorded_here = (
            task.on == "unit" or known.get("digest") == task.digest or not (known or task.facts)
        )
        if task.again or not (done_here and recorded_here):
            show(task.message)
            output = _run(target, task)
            known = _record(task)
            if task.facts:
                known["facts"] = json.loads(output)
            state.set("tasks", {**state.get("tasks"), task.name: task.digest})
        if task.on == "leader":
            records[task.name] = dict(known) or _record(task)
    return records


def _record(task: Task) -> dict[str, typing.Any]:
    return {"digest": task.digest, "inputs": list(task.inputs)}


def _run(target: Target, task: Task) -> str:
    try:
        return target.run(
            task.argv,
            environment=task.environment,
            stdin=task.stdin,
            user=task.user,
            group=task.group,
            timeout=task.timeout,
        )
    except CommandError as error:
        raise TaskError(f"cannot finish the task {task.name}: {error}") from None


# --- processes ---------------------------------------------------------------------------------


def _start(
    target: Target,
    workload: Workload,
    state: _State,
    show: Callable[[str], None],
) -> Sequence[str]:
    """Start and restart what has to be; name what does not answer.

    A process gets no traffic before it answers: the check that the image or `stop` brings fails
    until the real one takes its place.
    """
    wanted = digest([workload.services, [each.digest for each in workload.units]])
    starts = bool(workload.names) and (
        not target.is_as_wanted(workload)
        # A hook that ended between the layer and its replan left the old process running.
        or state.get("started").get("digest") != wanted
    )
    new_checks = not target.has_checks(workload)
    if starts:
        if workload.drains and target.is_running(workload):
            target.drain()
            new_checks = bool(workload.checks)
        show(f"starting {', '.join(workload.names)}")
        target.start(workload)
        state.set("started", {"digest": wanted})
    silent = _wait(target, workload) if starts or new_checks else None
    if new_checks:
        # Also without an answer: then the check fails, and its recovery brings us back here.
        target.install_checks(workload)
    # A new check has not looked yet, so only on machines, which have none, there is more to ask.
    if workload.units:
        return target.silent(_still_asked(workload, state))
    return target.silent(workload) if silent is None else silent


def _still_asked(workload: Workload, state: _State) -> Workload:
    """Give the workload without the probes of which one answer was enough."""
    answered = state.get("answered")
    digests = {unit.process: unit.digest for unit in workload.units}
    probes = tuple(
        probe
        for probe in workload.probes
        if not (probe.until_answered and answered.get(probe.process) == digests[probe.process])
    )
    return dataclasses.replace(workload, probes=probes)


def _wait(target: Target, workload: Workload) -> Sequence[str]:
    """Wait until every process answers its probe; name the one whose patience is over."""
    for probe in workload.probes:
        end = time.monotonic() + probe.patience
        while not _answers(target, probe.command):
            if time.monotonic() > end:
                return [probe.process]
            time.sleep(_POLL)
    return ()


def _answers(target: Target, command: str) -> bool:
    """Tell whether a probe succeeds."""
    try:
        target.run(shlex.split(command), timeout=_PROBE)
    except CommandError:
        return False
    return True
