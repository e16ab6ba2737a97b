"""Wait until a model, an application or a unit is as a query wants it."""

from __future__ import annotations

import time
from typing import Any

import click

from localjuju.cli.base import DURATION, Session, command
from localjuju.cli.query import QueryError, parse

_DEFAULTS = {
    "application": 'life=="alive" && status=="active"',
    "model": 'life=="alive" && status=="available"',
    "unit": 'life=="alive" && workload-status=="active"',
}
_PAUSE = 1.0  # a change between two questions is not waited for


@command("wait-for")
@click.argument("kind", type=click.Choice(sorted(_DEFAULTS)))
@click.argument("name")
@click.option("--query", help="What to wait for.  [default: alive and active]")
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="How long.")
@click.option("--summary/--no-summary", default=True, help="Tell what is waited for.")
def wait_for(
    session: Session, kind: str, name: str, query: str | None, timeout: float, summary: bool
) -> None:
    """Wait until an application, a model or a unit is ready.

    Examples of queries: status=="active" | forEach(units, unit => unit.workload-status=="active")
    | len(units)==3
    """
    model = name if kind == "model" else session.model
    text = query or _DEFAULTS[kind]
    try:
        holds = parse(text)
        deadline = time.monotonic() + timeout
        while True:
            data = session.ask("status", model=model)["status"]
            found = entity(data, kind, name)
            if found is not None and holds(found):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                break
            session.ask("wait", seconds=min(left, _PAUSE))
    except QueryError as error:
        raise click.ClickException(f"cannot evaluate query: {error}") from error
    state = "it does not exist" if found is None else _told(found)
    if summary:
        session.say(f'{kind} "{name}": {state}')
    raise click.ClickException(
        f'timed out waiting for "{name}" to reach goal state: {text} ({state})'
    )


def _told(found: dict[str, Any]) -> str:
    state = found.get("workload-status", found.get("status", ""))
    message = found.get("workload-message", found.get("status-message", ""))
    return f"{state}: {message}" if message else str(state)


def entity(data: dict[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    """Return what a query can see of an entity; None when it is not there."""
    applications = {app: _application(app, shown) for app, shown in data["applications"].items()}
    units = {n: u for app in applications.values() for n, u in app["units"].items()}
    if kind == "application":
        return applications.get(name)
    if kind == "unit":
        return units.get(name)
    status = data["model"]["model-status"]["current"]
    return {
        "name": data["model"]["name"],
        "life": "alive" if status == "available" else "dying",
        "status": status,
        "applications": applications,
        "units": units,
        "machines": {},
    }


def _application(name: str, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "life": shown.get("life", "alive"),
        "status": shown["application-status"]["current"],
        "status-message": shown["application-status"].get("message", ""),
        "workload-version": shown.get("version", ""),
        "charm-url": shown["charm"],
        "exposed": shown["exposed"],
        "scale": shown.get("scale", 0),
        "units": {unit: _unit(unit, u) for unit, u in shown.get("units", {}).items()},
    }


def _unit(name: str, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "application": name.partition("/")[0],
        "life": shown["juju-status"].get("life", "alive"),
        "leader": shown.get("leader", False),
        "address": shown.get("address", ""),
        "public-address": shown.get("address", ""),
        "workload-status": shown["workload-status"]["current"],
        "workload-message": shown["workload-status"].get("message", ""),
        "agent-status": shown["juju-status"]["current"],
    }
