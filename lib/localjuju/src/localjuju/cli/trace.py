"""Show what dispatches of a unit did."""

from __future__ import annotations

import time
from typing import Any

import click

from localjuju.cli.base import Session, command
from localjuju.cli.tables import table


@command("trace", formats=("tabular", "json", "yaml"))
@click.argument("unit")
@click.option("-n", "--lines", type=int, help="Only so many, the newest.")
@click.option("--number", type=int, help="One dispatch in full, by its number.")
def trace(session: Session, unit: str, lines: int | None, number: int | None) -> None:
    """Show the recorded dispatches of a unit: hook, time, hook commands, outcome.

    UNIT is app/0 or app/leader. Contents of secrets are not in the records.
    """
    traces = session.call("traces", unit=unit, tail=lines)
    if number is None:
        session.show(traces, _list)
        return
    for found in traces:
        if found["number"] == number:
            session.show(found, _one)
            return
    raise click.ClickException(f"no dispatch {number} of {unit} is recorded")


def _list(traces: list[dict[str, Any]]) -> str:
    rows = [
        [
            found["number"],
            time.strftime("%H:%M:%S", time.localtime(found["started"])),
            found["hook"],
            f"{found['seconds']:.2f}",
            f"{found['cpu_seconds']:.2f}",
            len(found["commands"]),
            found["outcome"] + (f": {found['error']}" if found["error"] else ""),
        ]
        for found in traces
    ]
    header = ["No", "Started", "Hook", "Seconds", "CPU", "Commands", "Outcome"]
    return table(header, rows, right=(0, 3, 4, 5))


def _one(found: dict[str, Any]) -> str:
    lines = [f"{found['unit']} {found['hook']} ({found['outcome']})", ""]
    lines += [f"{key}={value}" for key, value in sorted(found["environment"].items())]
    lines += ["", *(_command(entry) for entry in found["commands"]), ""]
    lines += [f"changed {row}" for row in found["changes"]]
    return "\n".join(lines) + "\n"


def _command(entry: dict[str, Any]) -> str:
    words = " ".join([str(entry.get("command", "")), *map(str, entry.get("args", ()))])
    return f"{entry.get('seconds', 0.0) * 1000:8.1f} ms  {words}"
