"""The status of a model, once or again and again."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from localjuju.cli import tables
from localjuju.cli.base import DURATION, Session, command

_CLEAR = "\x1b[H\x1b[2J"


@command("status", formats=("tabular", "json", "yaml"))
@click.argument("selectors", nargs=-1)
@click.option("--relations", is_flag=True, help="List the relations in the table.")
@click.option("--integrations", is_flag=True, help="The same as --relations.")
@click.option("--storage", is_flag=True, help="List the storage in the table.")
@click.option("--watch", type=DURATION, help="Show it again after this time, such as 5s.")
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--color", is_flag=True, hidden=True)
@click.option("--no-color", is_flag=True, hidden=True)
def status(
    session: Session,
    selectors: tuple[str, ...],
    relations: bool,
    integrations: bool,
    storage: bool,
    watch: float | None,
    utc: bool,
    color: bool,
    no_color: bool,
) -> None:
    """Show applications, units and what they say of themselves.

    SELECTORS are names of applications or units (* matches anything), or workload statuses.
    """
    del color, no_color

    def show() -> None:
        data = session.call("status", selectors=list(selectors), utc=utc)
        if session.format == "tabular":
            text = tables.status(
                data, with_relations=relations or integrations, with_storage=storage
            )
            session.write(text)
            _tell_empty(session, data["status"], selectors)
        else:
            session.show(data["status"])

    show()
    while watch is not None:
        time.sleep(watch)
        if sys.stdout.isatty():
            session.write(_CLEAR)
        show()


def _tell_empty(session: Session, data: dict[str, Any], selectors: tuple[str, ...]) -> None:
    if data["applications"] or data.get("application-endpoints"):
        return
    if selectors:
        session.say(f"Nothing matched specified filter{'s' if len(selectors) > 1 else ''}.")
    else:
        session.say(f'Model "{session.model}" is empty.')
