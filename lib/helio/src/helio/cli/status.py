"""`helio status`: what runs and what it waits for."""

from collections.abc import Mapping
from typing import Any

import click
from jubilant.statustypes import Status

from helio.cli.context import format_option, logged_host, require_cloud
from helio.deployment import model_status
from helio.embedded import Engine
from helio.host import HelioError
from helio.report import show_json, show_table
from helio.waiting import READY, is_settled, lacks


@click.command()
@format_option
def status(style: str) -> None:
    """Show the cloud's applications and what each waits for."""
    found = require_cloud("status")
    host, models = logged_host(found), Engine(found).connect_all().values()
    answers = [answer for juju in models if (answer := model_status(found, juju, host))]
    if not answers:
        raise HelioError("cannot show the status: there is no model yet; run: helio bootstrap")
    if style == "json":
        return show_json(summary(answers))
    show_table(
        ("Application", "Model", "Units", "Status", "Address", "Waits for"),
        [row for answer in answers for row in rows(answer)],
    )


def summary(models: list[Status]) -> dict[str, Any]:
    """Return the status for programs."""
    return {
        "settled": all(is_settled(status, status.apps) for status in models),
        "models": [status.model.name for status in models],
        "applications": {
            name: value for status in models for name, value in _applications(status).items()
        },
    }


def rows(status: Status) -> list[tuple[str, ...]]:
    """Return the status of a model for people, a row for each application."""
    waits = lacks(status, status.apps)
    return [
        (
            name,
            status.model.name,
            f"{sum(unit.is_active for unit in app.units.values())}/{app.scale or len(app.units)}",
            app.app_status.current,
            app.address,
            "" if waits[name] == READY else waits[name],
        )
        for name, app in sorted(status.apps.items())
    ]


def _applications(status: Status) -> Mapping[str, Any]:
    waits = lacks(status, status.apps)
    return {
        name: {
            "model": status.model.name,
            "charm": app.charm_name,
            "status": app.app_status.current,
            "message": app.app_status.message,
            "address": app.address,
            "scale": app.scale or len(app.units),
            "waits-for": None if waits[name] == READY else waits[name],
            "units": {
                unit: {
                    "status": state.workload_status.current,
                    "message": state.workload_status.message,
                    "agent": state.juju_status.current,
                    "address": state.address or state.public_address,
                    "machine": state.machine or None,
                    "leader": state.leader,
                }
                for unit, state in sorted(app.units.items())
            },
        }
        for name, app in sorted(status.apps.items())
    }
