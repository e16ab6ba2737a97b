"""Commands of Juju that this engine does not offer yet, and says so."""

from __future__ import annotations

import click

from localjuju.cli.base import Session, command


@command("offer")
@click.argument("words", nargs=-1)
@click.option("-c", "--controller", hidden=True)
def offer(session: Session, words: tuple[str, ...], controller: str | None) -> None:
    """Offer endpoints to other models (not supported yet)."""
    del session, words, controller
    raise click.ClickException("offers between models are not supported yet")


@command("consume")
@click.argument("words", nargs=-1)
def consume(session: Session, words: tuple[str, ...]) -> None:
    """Use an offer of another model (not supported yet)."""
    del session, words
    raise click.ClickException("offers between models are not supported yet")
