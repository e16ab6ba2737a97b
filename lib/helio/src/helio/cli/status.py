"""`helio status`: what runs and what it waits for."""

from typing import Any

import click
from jubilant.statustypes import Status

from helio.cli.context import format_option, logged_host, require_cloud
from helio.deployment import model_status
from helio.embedded import Engine
from helio.host import HelioError
from helio.report import show_json, show_table
from helio.waiting import is_settled, lacks


@click.command()
@format_option
def status(style: str) -> None:
    """Show the cloud's applications and what each waits for."""
    found = require_cloud("status")
    answer = model_status(found, Engine(found).connect(), logged_host(found))
    if answer is None:
        raise HelioError("cannot show the status: there is no model yet; run: helio bootstrap")
    if style == "json":
        return show_json(summary(answer))
    show_table(("Application", "Units", "Status", "Address", "Waits for"), rows(answer))


def summary(status: Status) -> dict[str, Any]:
    """Return the status for programs."""
    waits = lacks(status, status.apps)
    return {
        "model": status.model.name,
        "settled": is_settled(status, status.apps),
        "applications": {
            name: {
                "charm": app.charm_name,
                "status": app.app_status.current,
                "message": app.app_status.message,
                "address": app.address,
                "scale": app.scale,
                "waits-for": None if waits[name] == "ready" else waits[name],
                "units": {
                    unit: {
                        "status": state.workload_status.current,
                        "message": state.workload_status.message,
                        "agent": state.juju_status.current,
                        "address": state.address,
                        "leader": state.leader,
                    }
                    for unit, state in sorted(app.units.items())
                },
            }
            for name, app in sorted(status.apps.items())
        },
    }


def rows(status: Status) -> list[tuple[str, ...]]:
    """Return the status for people, a row for each application."""
    waits = lacks(status, status.apps)
    return [
        (
            name,
            f"{sum(unit.is_active for unit in app.units.values())}/{app.scale}",
            app.app_status.current,
            app.address,
            "" if waits[name] == "ready" else waits[name],
        )
        for name, app in sorted(status.apps.items())
    ]
