"""Commands about machines and spaces."""

from __future__ import annotations

import click

from localjuju.cli import tables
from localjuju.cli.base import Session, command, confirm


@command("add-machine")
@click.argument("place", required=False, metavar="")
@click.option("-n", "count", default=1, show_default=True, help="How many machines.")
@click.option(
    "--constraints", multiple=True, help="image-id=IMAGE; the others are kept and shown."
)
@click.option("--base", hidden=True)
@click.option("--series", hidden=True)
@click.option("--disks", hidden=True)
def add_machine(
    session: Session,
    place: str | None,
    count: int,
    constraints: tuple[str, ...],
    base: str | None,
    series: str | None,
    disks: str | None,
) -> None:
    """Add machines to a model of machines: containers of this host that boot."""
    del base, series
    if place or disks:
        raise click.ClickException(f'"{place or disks}" is not supported: machines are made here')
    for number in session.call("add_machine", count=count, constraints=" ".join(constraints)):
        session.say(f"created machine {number}")


@command("remove-machine")
@click.argument("numbers", nargs=-1, required=True, metavar="MACHINE...")
@click.option("--no-prompt", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Take the units on it along; pass over failing hooks.")
@click.option("--keep-instance", is_flag=True, help="Keep what runs: not possible.")
@click.option("--no-wait", is_flag=True, hidden=True)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def remove_machine(
    session: Session,
    numbers: tuple[str, ...],
    no_prompt: bool,
    force: bool,
    keep_instance: bool,
    no_wait: bool,
    dry_run: bool,
) -> None:
    """Remove machines with all that is on them."""
    del no_wait
    if keep_instance:
        raise click.ClickException("--keep-instance is not supported: a machine is its instance")
    leaving = session.call("remove_machine", machines=list(numbers), force=force, dry_run=True)
    told = "\n".join(
        line
        for number, units in leaving.items()
        for line in (
            f"will remove machine {number}",
            *(f"- will remove unit {unit}" for unit in units),
        )
    )
    if dry_run:
        session.say(told)
        return
    confirm(told, no_prompt=no_prompt)
    session.call("remove_machine", machines=list(numbers), force=force)
    if no_prompt:
        session.say(told)


@command("machines", formats=("tabular", "json", "yaml"))
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--color", is_flag=True, hidden=True)
def machines(session: Session, utc: bool, color: bool) -> None:
    """List the machines of a model."""
    del color
    session.show(session.call("machines", utc=utc), tables.machines)


@command("show-machine", formats=("yaml", "json", "tabular"))
@click.argument("numbers", nargs=-1, metavar="[MACHINE...]")
@click.option("--utc", is_flag=True, help="Show times in UTC.")
@click.option("--color", is_flag=True, hidden=True)
def show_machine(session: Session, numbers: tuple[str, ...], utc: bool, color: bool) -> None:
    """Show machines with their networks."""
    del color
    data = session.call("machines", machines=list(numbers), utc=utc)
    session.show(data, tables.machines if session.format == "tabular" else None)


@command("spaces", formats=("tabular", "json", "yaml"))
@click.option("--short", is_flag=True, hidden=True)
def spaces(session: Session, short: bool) -> None:
    """List the spaces: networks that endpoints can be bound to."""
    del short
    found = session.call("spaces")
    if session.format == "tabular":
        session.write(tables.spaces(found))
    else:
        session.show({"spaces": found})
