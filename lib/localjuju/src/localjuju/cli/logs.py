"""The log of a model."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from localjuju.cli.base import Session, command

_LINES = 10


@command("debug-log")
@click.option("-i", "--include", multiple=True, help="Only this unit or application.")
@click.option("-x", "--exclude", multiple=True, help="Without this unit or application.")
@click.option("--include-module", multiple=True, help="Only modules that begin like this.")
@click.option("--exclude-module", multiple=True, help="Without modules that begin like this.")
@click.option("-l", "--level", help="Lowest level: TRACE, DEBUG, INFO, WARNING, ERROR.")
@click.option("-n", "--lines", default=_LINES, help="Old lines to show before new ones.")
@click.option("--limit", default=0, help="At most so many lines, the newest; 0 means all.")
@click.option("--replay", is_flag=True, help="Begin with the oldest line.")
@click.option("--tail", is_flag=True, help="Wait for new lines (on a terminal always).")
@click.option("-T", "--no-tail", is_flag=True, help="Do not wait for new lines.")
@click.option("--date", is_flag=True, help="Show dates, too.")
@click.option("--ms", is_flag=True, help="Show milliseconds.")
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--location", is_flag=True, hidden=True)
@click.option("--color", is_flag=True, hidden=True)
@click.option("--firehose", is_flag=True, hidden=True)
@click.option("--format", "_format", hidden=True)
@click.option("--include-labels", multiple=True, hidden=True)
@click.option("--exclude-labels", multiple=True, hidden=True)
def debug_log(
    session: Session,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    include_module: tuple[str, ...],
    exclude_module: tuple[str, ...],
    level: str | None,
    lines: int,
    limit: int,
    replay: bool,
    tail: bool,
    no_tail: bool,
    date: bool,
    ms: bool,
    utc: bool,
    **ignored: Any,
) -> None:
    """Show what units and their charms logged."""
    del ignored
    follow = (tail or sys.stdout.isatty()) and not no_tail and not limit
    newest: int | None = limit or None
    if follow and not replay:
        newest = lines

    def show(event: dict[str, Any]) -> None:
        for moment, entity, severity, module, message in event["lines"]:
            stamp = _stamp(moment, date=date, ms=ms, utc=utc)
            click.echo(f"{entity}: {stamp} {severity} {module} {message}")

    session.call(
        "debug_log",
        on_event=show,
        include=list(include),
        exclude=list(exclude),
        include_module=list(include_module),
        exclude_module=list(exclude_module),
        level=level,
        tail=newest,
        follow=follow,
    )


def _stamp(moment: float, *, date: bool, ms: bool, utc: bool) -> str:
    fields = time.gmtime(moment) if utc else time.localtime(moment)
    text = time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", fields)
    return text + (f".{int(moment % 1 * 1000):03}" if ms else "")
