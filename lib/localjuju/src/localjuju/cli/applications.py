"""Commands about applications and units, but for deploying and configuring them."""

from __future__ import annotations

from typing import Any

import click

from localjuju.cli import tables
from localjuju.cli.base import Session, absolute, command, confirm, is_path, pairs


@command("integrate")
@click.argument("a", metavar="APPLICATION[:ENDPOINT]")
@click.argument("b", metavar="APPLICATION[:ENDPOINT]|OFFER")
@click.option("--via", hidden=True)
def integrate(session: Session, a: str, b: str, via: str | None) -> None:
    """Relate two applications; one may be an offer of another model: [user/]model.offer."""
    del via
    session.call("integrate", a=a, b=b)


@command("remove-relation")
@click.argument("a", metavar="APPLICATION[:ENDPOINT] | ID")
@click.argument("b", metavar="APPLICATION[:ENDPOINT]", required=False)
@click.option("--force", is_flag=True, help="Accepted; a relation goes once its units left it.")
def remove_relation(session: Session, a: str, b: str | None, force: bool) -> None:
    """Remove the relation between two applications."""
    del force
    session.call("remove_relation", a=a, b=b)


@command("add-unit")
@click.argument("app")
@click.option("-n", "--num-units", default=1, show_default=True, help="How many units to add.")
@click.option("--to", help="Machines for them, separated by commas: numbers, or new.")
@click.option("--attach-storage", hidden=True)
def add_unit(
    session: Session, app: str, num_units: int, to: str | None, attach_storage: str | None
) -> None:
    """Add units to an application."""
    refuse_attached_storage(attach_storage)
    session.call("add_unit", app=app, count=num_units, placement=placement(to))


def placement(text: str | None) -> list[str]:
    """Return the machines that `--to 0,new` names."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def refuse_attached_storage(attach_storage: str | None) -> None:
    """Refuse to give a unit the storage of another.

    Raises:
        click.ClickException: That is asked for.
    """
    if attach_storage:
        raise click.ClickException("--attach-storage is not supported")


@command("scale-application")
@click.argument("app")
@click.argument("scale", type=int)
def scale_application(session: Session, app: str, scale: int) -> None:
    """Give an application this many units."""
    if scale < 0:
        raise click.ClickException("scale must be a positive integer")
    session.call("scale", app=app, count=scale)
    session.say(f"{app} scaled to {scale} units")


@command("remove-unit")
@click.argument("apps", nargs=-1, required=True, metavar="APPLICATION|UNIT...")
@click.option("-n", "--num-units", default=0, help="How many pods to remove.")
@click.option("--no-prompt", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Pass over hooks that fail.")
@click.option("--no-wait", is_flag=True, hidden=True)
@click.option("--destroy-storage", is_flag=True, help="Destroy the units' storage, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def remove_unit(
    session: Session,
    apps: tuple[str, ...],
    num_units: int,
    no_prompt: bool,
    force: bool,
    no_wait: bool,
    destroy_storage: bool,
    dry_run: bool,
) -> None:
    """Remove the newest pods of an application, or the named units from their machines."""
    del no_wait
    named = all("/" in word for word in apps)
    if named and num_units:
        raise click.ClickException("cannot specify both --num-units and units")
    if len(apps) != 1 and not named:
        raise click.ClickException("only single application supported")
    given: dict[str, Any] = {"app": apps[0], "count": num_units or 1}
    if named:
        given["units"] = list(apps)
    units = session.call("remove_unit", dry_run=True, **given)
    told = "\n".join(f"will remove unit {unit}" for unit in units)
    if dry_run:
        session.say(told)
        return
    confirm(told, no_prompt=no_prompt)
    session.call("remove_unit", force=force, destroy_storage=destroy_storage, **given)
    session.say(told if named else f"scaling down to {_scale(session, apps[0])} units")


def _scale(session: Session, app: str) -> int:
    shown = session.call("status", selectors=[app])["status"]["applications"][app]
    return shown.get("scale", 0)


@command("remove-application")
@click.argument("apps", nargs=-1, required=True)
@click.option("--no-prompt", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Pass over hooks that fail.")
@click.option("--no-wait", is_flag=True, hidden=True)
@click.option("--destroy-storage", is_flag=True, help="Destroy the storage, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def remove_application(
    session: Session,
    apps: tuple[str, ...],
    no_prompt: bool,
    force: bool,
    no_wait: bool,
    destroy_storage: bool,
    dry_run: bool,
) -> None:
    """Remove applications with their units and relations."""
    del no_wait
    told: list[str] = []
    for app in apps:
        leaving = session.call("remove_application", app=app, dry_run=True)
        told.append(f"will remove application {app}")
        told += [f"- will remove unit {unit}" for unit in leaving["units"]]
        fate = "destroy" if destroy_storage else "detach"
        told += [f"- will {fate} storage {storage}" for storage in leaving["storage"]]
    text = "\n".join(told)
    if dry_run:
        session.say(text)
        return
    confirm(text, no_prompt=no_prompt)
    if no_prompt:
        session.say(text)
    for app in apps:
        session.call("remove_application", app=app, force=force, destroy_storage=destroy_storage)


@command("resolved")
@click.argument("units", nargs=-1)
@click.option("--no-retry", is_flag=True, help="Count the failed hook as done.")
@click.option("--all", "all_", is_flag=True, help="All units that are in error.")
def resolved(session: Session, units: tuple[str, ...], no_retry: bool, all_: bool) -> None:
    """Run the failed hook of a unit again, or pass over it."""
    if not units and not all_:
        raise click.UsageError("no unit specified")
    session.call("resolved", units=list(units), retry=not no_retry, all=all_)


@command("trust")
@click.argument("app")
@click.option("--remove", is_flag=True, help="Take the trust back.")
@click.option("--scope", type=click.Choice(["cluster"]), help="How far the trust goes.")
def trust(session: Session, app: str, remove: bool, scope: str | None) -> None:
    """Let an application use the cluster's API."""
    if scope is None and not remove:
        raise click.ClickException(
            f"'juju trust' currently grants full access to the cluster itself.\n"
            f"Set the scope to 'cluster' using '--scope=cluster' to confirm this: "
            f"juju trust {app} --scope=cluster"
        )
    session.call("trust", app=app, remove=remove)


@command("expose")
@click.argument("app")
def expose(session: Session, app: str) -> None:
    """Mark an application as reachable from outside."""
    session.call("expose", app=app, exposed=True)


@command("unexpose")
@click.argument("app")
def unexpose(session: Session, app: str) -> None:
    """Take the mark of being reachable from outside back."""
    session.call("expose", app=app, exposed=False)


@command("attach-resource")
@click.argument("app")
@click.argument("values", nargs=-1, required=True, metavar="NAME=IMAGE|FILE")
def attach_resource(session: Session, app: str, values: tuple[str, ...]) -> None:
    """Give an application another image or file."""
    session.call("attach_resource", app=app, resources=resource_values(values))


def resource_values(words: tuple[str, ...]) -> dict[str, str]:
    """Return `name=value` words as a mapping; paths are made absolute."""
    return {
        name: absolute(value) if is_path(value) else value
        for name, value in pairs(words, "resource").items()
    }


@command("resources", formats=("tabular", "json", "yaml"))
@click.argument("app")
def resources(session: Session, app: str) -> None:
    """List the resources of an application."""
    session.show(session.call("resources", app=app), tables.resources)


@command("show-application", formats=("yaml", "json"))
@click.argument("apps", nargs=-1, required=True)
def show_application(session: Session, apps: tuple[str, ...]) -> None:
    """Show what there is to know about applications."""
    found: dict[str, Any] = {}
    for app in apps:
        found |= session.call("show_application", app=app)
    session.show(found)


@command("show-unit", formats=("yaml", "json"))
@click.argument("units", nargs=-1, required=True)
@click.option("--endpoint", help="Only relations at this endpoint.")
@click.option("--related-unit", help="Only relations with this unit.")
@click.option("--app", "app_only", is_flag=True, help="Leave out the data of units.")
def show_unit(
    session: Session,
    units: tuple[str, ...],
    endpoint: str | None,
    related_unit: str | None,
    app_only: bool,
) -> None:
    """Show units with the data of their relations."""
    session.show(
        session.call(
            "show_unit",
            units=list(units),
            endpoint=endpoint,
            related_unit=related_unit,
            app_only=app_only,
        )
    )
