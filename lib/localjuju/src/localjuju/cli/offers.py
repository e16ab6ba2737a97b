"""Offers: endpoints that one model lets others use, and relations between models."""

from __future__ import annotations

import re

import click

from localjuju import identity
from localjuju.cli import tables
from localjuju.cli.base import Session, command, confirm, parse_model

_APPLICATION = re.compile(r"(?:(?P<model>[^.]+)\.)?(?P<app>[^:.]+):(?P<endpoints>[^:]+)")


def _check_controller(controller: str | None) -> None:
    if controller not in {None, identity.CONTROLLER}:
        raise click.ClickException(f"controller {controller} not found")


@command("offer", model=False)
@click.argument("application", metavar="[MODEL.]APPLICATION:ENDPOINT[,ENDPOINT]")
@click.argument("name", required=False)
@click.option("-c", "--controller", help="The controller; there is one.")
def offer(session: Session, application: str, name: str | None, controller: str | None) -> None:
    """Offer endpoints of an application to other models."""
    _check_controller(controller)
    match = _APPLICATION.fullmatch(application)
    if match is None:
        raise click.ClickException(
            'endpoints must conform to format "<application-name>:<endpoint-name>[,...]"'
        )
    made = session.ask(
        "offer",
        model=parse_model(match["model"]) if match["model"] else session.model,
        app=match["app"],
        endpoints=match["endpoints"].split(","),
        name=name,
    )
    listed = ", ".join(made["endpoints"])
    session.say(f'Application "{match["app"]}" endpoints [{listed}] available at "{made["url"]}"')


@command("offers", formats=("tabular", "summary", "json", "yaml"))
@click.argument("name", required=False)
@click.option("--application", help="Only offers of this application.")
@click.option("--interface", help="Only offers with this interface.")
@click.option("--active-only", is_flag=True, help="Only offers that somebody uses.")
@click.option("--allowed-consumer", hidden=True)
@click.option("--connected-user", hidden=True)
def offers(
    session: Session,
    name: str | None,
    application: str | None,
    interface: str | None,
    active_only: bool,
    allowed_consumer: str | None,
    connected_user: str | None,
) -> None:
    """List the offers of a model, and who is connected to them."""
    del allowed_consumer, connected_user
    found = session.call(
        "offers", offer=name, application=application, interface=interface, active_only=active_only
    )
    summary = session.format == "summary"
    session.show(found, tables.offers_summary if summary else tables.offers)


@command("find-offers", formats=("tabular", "json", "yaml"), model=False)
@click.argument("place", required=False, metavar="[CONTROLLER:][USER/]MODEL")
@click.option("--interface", help="Only offers with this interface.")
@click.option("--offer", "name", help="Only the offer of this name.")
@click.option("--url", help="Only offers of this model, or the one with this URL.")
def find_offers(
    session: Session, place: str | None, interface: str | None, name: str | None, url: str | None
) -> None:
    """Find offers that models can use."""
    place = place or url
    model = None
    if place is not None and place != f"{identity.CONTROLLER}:":
        where, dot, offered = place.rpartition(".")
        model = parse_model(where if dot else offered)
        name = offered if dot else name
    found = session.ask("find_offers", in_model=model, interface=interface, offer=name)
    if not found:
        raise click.ClickException("no matching application offers found")
    session.show(found, tables.found_offers)


@command("show-offer", formats=("tabular", "json", "yaml"))
@click.argument("url", metavar="[CONTROLLER:][USER/][MODEL.]OFFER")
def show_offer(session: Session, url: str) -> None:
    """Show an offer."""
    session.show(session.ask("show_offer", url=_full(session, url)), tables.show_offer)


def _full(session: Session, url: str) -> str:
    """Return the URL of an offer; a name alone is one of the model's own."""
    return url if "." in url else f"{identity.USER}/{session.model}.{url}"


@command("remove-offer")
@click.argument("urls", nargs=-1, required=True, metavar="[MODEL.]OFFER")
@click.option("--force", is_flag=True, help="Also with relations, which go with it.")
@click.option("--no-prompt", "-y", is_flag=True, help="Do not ask.")
@click.option("-c", "--controller", help="The controller; there is one.")
def remove_offer(
    session: Session, urls: tuple[str, ...], force: bool, no_prompt: bool, controller: str | None
) -> None:
    """Take offers back."""
    _check_controller(controller)
    full = [_full(session, url) for url in urls]
    if force:
        told = "\n".join(f"will remove offer {url} with its relations" for url in full)
        confirm(told, no_prompt=no_prompt)
    session.ask("remove_offer", urls=full, force=force)


@command("consume")
@click.argument("url", metavar="[CONTROLLER:][USER/]MODEL.OFFER")
@click.argument("alias", required=False)
def consume(session: Session, url: str, alias: str | None) -> None:
    """Give an offer of another model a name in this one."""
    added = session.call("consume", url=url, alias=alias)
    session.say(f"Added {added['url']} as {added['name']}")


@command("remove-saas")
@click.argument("names", nargs=-1, required=True, metavar="SAAS")
@click.option("--no-wait", is_flag=True, hidden=True)
@click.option("--force", is_flag=True, hidden=True)
def remove_saas(session: Session, names: tuple[str, ...], no_wait: bool, force: bool) -> None:
    """Remove the names of offers, with their relations."""
    del no_wait, force
    session.call("remove_saas", names=list(names))


@command("suspend-relation")
@click.argument("relations", nargs=-1, required=True, metavar="ID")
@click.option("--message", help="Why, for who looks at the status.")
def suspend_relation(session: Session, relations: tuple[str, ...], message: str | None) -> None:
    """Interrupt relations of other models with offers of this one."""
    session.call("suspend", relations=list(relations), suspended=True, reason=message)


@command("resume-relation")
@click.argument("relations", nargs=-1, required=True, metavar="ID")
def resume_relation(session: Session, relations: tuple[str, ...]) -> None:
    """Let interrupted relations go on."""
    session.call("suspend", relations=list(relations), suspended=False)


@command("grant")
@click.argument("user")
@click.argument("access", metavar="read|consume|admin")
@click.argument("urls", nargs=-1, required=True, metavar="OFFER")
def grant(session: Session, user: str, access: str, urls: tuple[str, ...]) -> None:
    """Let a user do something with offers."""
    _set_access(session, user, access, urls, grant=True)


@command("revoke")
@click.argument("user")
@click.argument("access", metavar="read|consume|admin")
@click.argument("urls", nargs=-1, required=True, metavar="OFFER")
def revoke(session: Session, user: str, access: str, urls: tuple[str, ...]) -> None:
    """Take a user's access to offers back."""
    _set_access(session, user, access, urls, grant=False)


def _set_access(
    session: Session, user: str, access: str, urls: tuple[str, ...], *, grant: bool
) -> None:
    for url in urls:
        if "." not in url:
            raise click.ClickException(f'"{url}" is no URL of an offer; only these have users')
    session.ask("offer_access", urls=list(urls), user=user, access=access, grant=grant)
