"""Actions, shell commands on units, and what became of them."""

from __future__ import annotations

import shlex
import sys
from typing import Any, cast

import click

from localjuju.cli import tables
from localjuju.cli.base import (
    DURATION,
    Session,
    command,
    from_yaml,
    read_text,
    rendered,
    to_yaml,
)

_RUN_SECONDS = 60.0
_EXEC_SECONDS = 300.0
_EXEC = "juju-exec"


@command("run", formats=("plain", "json", "yaml"))
@click.argument("words", nargs=-1, required=True, metavar="UNIT... ACTION [KEY=VALUE...]")
@click.option("--params", "file", help="YAML file with parameters; - is standard input.")
@click.option("--string-args", is_flag=True, help="Take values of KEY=VALUE as they are.")
@click.option("--wait", type=DURATION, help="How long to wait for the end.  [default: 60s]")
@click.option("--background", is_flag=True, help="Do not wait.")
@click.option("--utc", is_flag=True, hidden=True)
@click.option("--color", is_flag=True, hidden=True)
@click.option("--no-color", is_flag=True, hidden=True)
def run(
    session: Session,
    words: tuple[str, ...],
    file: str | None,
    string_args: bool,
    wait: float | None,
    background: bool,
    **ignored: Any,
) -> None:
    """Run an action of a charm on units, and show what it gave back.

    UNIT is app/0, or app/leader. KEY may be a.b for nested parameters.
    """
    del ignored
    units, action, rest = _split(words)
    parameters: dict[str, Any] = {}
    if file is not None:
        parameters = from_yaml(read_text(file)) or {}
    for word in rest:
        _put(parameters, word, string_args=string_args)
    _start(
        session,
        {"units": units, "action": action, "parameters": parameters},
        wait=_RUN_SECONDS if wait is None else wait,
        background=background,
        required=True,
    )


def _split(words: tuple[str, ...]) -> tuple[list[str], str, list[str]]:
    units: list[str] = []
    for index, word in enumerate(words):
        if "/" in word and "=" not in word:
            units.append(word)
            continue
        if not units:
            raise click.UsageError("no unit specified")
        return units, word, list(words[index + 1 :])
    raise click.UsageError("no action specified")


def _put(parameters: dict[str, Any], word: str, *, string_args: bool) -> None:
    """Add `a.b=value` to nested parameters; the value is YAML unless told otherwise."""
    key, equals, text = word.partition("=")
    if not equals:
        raise click.ClickException(f'argument "{word}" must be of the form key.key.key...=value')
    *parents, last = key.split(".")
    for parent in parents:
        inner: Any = parameters.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise click.ClickException(f'argument "{word}": {parent} has a value already')
        parameters = cast(dict[str, Any], inner)
    parameters[last] = text if string_args else from_yaml(text)


@command("exec", formats=("plain", "json", "yaml"), interspersed=False)
@click.option("-u", "--unit", "units", multiple=True, help="Units, separated by commas.")
@click.option("-a", "--application", "--app", "apps", multiple=True, help="All their units.")
@click.option("--all", "all_", is_flag=True, help="All units of the model.")
@click.option("--machine", "machines", multiple=True, help="Machines, separated by commas.")
@click.option("--wait", type=DURATION, help="How long to wait for the end.  [default: 5m]")
@click.option("--background", is_flag=True, help="Do not wait.")
@click.option("--operator", is_flag=True, hidden=True)
@click.option("--execution-group", hidden=True)
@click.option("--parallel", hidden=True)
@click.option("--utc", is_flag=True, hidden=True)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
def execute(
    session: Session,
    words: tuple[str, ...],
    units: tuple[str, ...],
    apps: tuple[str, ...],
    all_: bool,
    machines: tuple[str, ...],
    wait: float | None,
    background: bool,
    **ignored: Any,
) -> None:
    """Run a shell command where units are, with the hook commands at hand; or on machines."""
    del ignored
    targets = _listed(units)
    if not (targets or apps or all_ or machines):
        raise click.UsageError(
            "You must specify a target, either through --all, --machine, --application or --unit"
        )
    text = words[0] if len(words) == 1 else shlex.join(words)
    request = {
        "units": targets,
        "apps": _listed(apps),
        "all": all_,
        "machines": _listed(machines),
        "action": _EXEC,
        "parameters": {"command": text, "workload-context": False},
    }
    seconds = _EXEC_SECONDS if wait is None else wait
    _start(session, request, wait=seconds, background=background, required=False)


def _listed(words: tuple[str, ...]) -> list[str]:
    return [name for word in words for name in word.split(",") if name]


def _start(
    session: Session, request: dict[str, Any], *, wait: float, background: bool, required: bool
) -> None:
    """Start tasks, tell what happens, and print their results.

    Args:
        session: The session.
        request: Parameters of the engine's method.
        wait: Seconds to wait for the end; negative waits for ever.
        background: Whether to wait at all.
        required: Whether it is an error when nothing could be started. It is none for
            `juju exec`, as in Juju: whoever reads its output finds none.
    """

    def progress(event: dict[str, Any]) -> None:
        if "log" in event:
            session.say(event["log"])
        elif event["tasks"] and not background:
            plural = "s" if len(event["tasks"]) > 1 else ""
            session.say(
                f"Running operation {event['operation']} with {len(event['tasks'])} task{plural}"
            )
            for unit, number in event["tasks"].items():
                session.say(f"  - task {number} on {_tagged(unit)}")
            session.say("")

    answer = session.call(
        "run",
        on_event=progress,
        **request,
        wait=None if wait < 0 else wait,
        background=background,
    )
    if not answer["tasks"]:
        errors = [_marked(error) for error in answer["errors"]]
        text = f"Operation {answer['operation']} failed to schedule any tasks:\n" + "\n".join(
            errors
        )
        if required:
            raise click.ClickException(text)
        session.say(text)
        return
    if answer["errors"]:
        session.say("Some actions could not be scheduled:\n" + "\n".join(answer["errors"]))
    if background:
        _tell_background(session, answer)
        return
    if answer["timed_out"]:
        raise click.ClickException(
            f"timed out waiting for results from: {', '.join(map(_spoken, answer['timed_out']))}"
        )
    _show_results(session, answer["results"])


def _marked(error: str) -> str:
    """Return an error with the mark by which Juju's clients know that something is not there."""
    return f"{error} (not found)" if error.endswith("not found") else error


def _spoken(unit: str) -> str:
    return f"machine {unit}" if unit.isdigit() else f"unit {unit}"


def _tagged(unit: str) -> str:
    return f"machine-{unit}" if unit.isdigit() else f"unit-{unit.replace('/', '-')}"


def _tell_background(session: Session, answer: dict[str, Any]) -> None:
    operation, tasks = answer["operation"], answer["tasks"]
    session.say(f"Scheduled operation {operation} with {len(tasks)} task(s)")
    session.say(f"Check operation status with 'juju show-operation {operation}'")
    if session.format == "plain":
        for unit, number in tasks.items():
            session.say(f"Check task status of {unit} with 'juju show-task {number}'")
    else:
        session.show({unit: {"id": str(number)} for unit, number in tasks.items()})


def _show_results(session: Session, results: dict[str, Any]) -> None:
    if session.format == "plain":
        session.write(_plain(results))
        sys.stdout.flush()
    else:
        session.write(rendered(results, session.format or "yaml"))
    failed = {
        task["id"]: task["results"].get("return-code", 1) or 1
        for task in results.values()
        if task["status"] != "completed" or task["results"].get("return-code", 0) != 0
    }
    if failed:
        plural = "s" if len(failed) > 1 else ""
        lines = "\n".join(f' - id "{n}" with return code {code}' for n, code in failed.items())
        raise click.ClickException(
            f"the following task{plural} failed:\n{lines}\n\n"
            f"use 'juju show-task' to inspect the failure{plural}\n"
        )


def _plain(results: dict[str, Any]) -> str:
    """Return results for people: one unit's without a heading, several units' with one each."""
    parts: list[str] = []
    for unit, task in results.items():
        body = {k: v for k, v in task["results"].items() if k not in _OUTPUT}
        text = to_yaml(body) if body else ""
        text += "".join(_ended(task["results"].get(key, "")) for key in ("stdout", "stderr"))
        if task["status"] != "completed" and task.get("message"):
            text += f"Action id {task['id']} failed: {task['message']}\n"
        if len(results) > 1:
            text = f"{unit}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
        parts.append(text)
    return "".join(parts)


_OUTPUT = frozenset(("return-code", "stdout", "stderr"))


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


@command("actions", formats=("default", "tabular", "json", "yaml"))
@click.argument("app")
@click.option("--schema", is_flag=True, help="Show the parameters, too.")
def actions(session: Session, app: str, schema: bool) -> None:
    """List the actions of an application."""
    data = session.call("actions", app=app, schema=schema)
    if schema and session.format in {"default", "tabular"}:
        session.write(to_yaml(data))
    else:
        session.show(data, tables.actions)


@command("operations", formats=("plain", "json", "yaml"))
@click.option("--limit", type=int, help="At most so many, the newest.")
def operations(session: Session, limit: int | None) -> None:
    """List operations: actions and commands that were started."""
    data = session.call("operations")
    data = data[-limit:] if limit else data
    session.show(data, tables.operations)


@command("show-operation", formats=("yaml", "json"))
@click.argument("number", type=int)
@click.option("--wait", type=DURATION, hidden=True)
@click.option("--watch", is_flag=True, hidden=True)
@click.option("--utc", is_flag=True, hidden=True)
def show_operation(session: Session, number: int, **ignored: Any) -> None:
    """Show an operation with its tasks."""
    del ignored
    session.show(session.call("show_operation", id=number))


@command("show-task", formats=("yaml", "json", "plain"))
@click.argument("number", type=int)
@click.option("--wait", type=DURATION, help="Wait for its end, at most this long.")
@click.option("--watch", is_flag=True, hidden=True)
@click.option("--utc", is_flag=True, hidden=True)
def show_task(session: Session, number: int, wait: float | None, **ignored: Any) -> None:
    """Show a task and its results."""
    del ignored
    data = session.call("show_task", id=number, wait=wait)
    session.show(data, lambda task: _plain({task.get("unit") or task["machine"]: task}))


@command("cancel-task", formats=("yaml", "json"))
@click.argument("number", type=int)
def cancel_task(session: Session, number: int) -> None:
    """Cancel a task that has not begun."""
    session.show(session.call("cancel_task", id=number))
