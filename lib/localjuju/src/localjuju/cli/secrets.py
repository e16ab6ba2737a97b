"""Secrets: list and show all, add and change those of operators."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, cast

import click

from localjuju.cli import tables
from localjuju.cli.base import Session, command, from_yaml, pairs, read_text


@command("secrets", formats=("tabular", "json", "yaml"))
@click.option("--owner", help="Only those of this application or unit.")
def secrets(session: Session, owner: str | None) -> None:
    """List the secrets of the model, without their contents."""
    session.show(session.call("secrets", owner=owner), tables.secrets)


@command("show-secret", formats=("yaml", "json"))
@click.argument("reference", metavar="ID|NAME")
@click.option("--reveal", is_flag=True, help="Show the content, too.")
@click.option("-r", "--revision", type=int, help="Show this revision's content.")
@click.option("--revisions", is_flag=True, help="List the revisions.")
def show_secret(
    session: Session, reference: str, reveal: bool, revision: int | None, revisions: bool
) -> None:
    """Show a secret."""
    if revisions and (reveal or revision is not None):
        raise click.ClickException("cannot specify --revisions with --reveal or --revision")
    data = session.call(
        "show_secret",
        reference=reference,
        reveal=reveal,
        revision=revision,
        revisions=revisions,
    )
    if session.format == "yaml":
        for entry in data.values():
            if "content" in entry:
                entry["content"] = entry["content"]["Data"]
    session.show(data)


@command("add-secret")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[KEY[#base64|#file]=VALUE...]")
@click.option("--file", "file", help="YAML file with keys and values; - is standard input.")
@click.option("--info", help="What the secret is for.")
def add_secret(
    session: Session, name: str, words: tuple[str, ...], file: str | None, info: str | None
) -> None:
    """Add a secret, and print its URI.

    Arguments can be seen by other users of the host: rather use KEY#file=PATH or --file.
    """
    data = content(words, file)
    if not data:
        raise click.ClickException("missing secret value or filename")
    session.write(session.call("add_secret", name=name, data=data, info=info) + "\n")


@command("update-secret")
@click.argument("reference", metavar="ID|NAME")
@click.argument("words", nargs=-1, metavar="[KEY[#base64|#file]=VALUE...]")
@click.option("--file", "file", help="YAML file with keys and values; - is standard input.")
@click.option("--info", help="What the secret is for.")
@click.option("--name", help="A new name.")
@click.option("--auto-prune", is_flag=True, default=None, help="Drop revisions nobody reads.")
def update_secret(
    session: Session,
    reference: str,
    words: tuple[str, ...],
    file: str | None,
    info: str | None,
    name: str | None,
    auto_prune: bool | None,
) -> None:
    """Change a secret; other content makes a new revision."""
    data = content(words, file)
    if not (data or info or name or auto_prune is not None):
        raise click.ClickException("must specify a new value or metadata to update a secret")
    session.call(
        "update_secret",
        reference=reference,
        data=data or None,
        info=info,
        name=name,
        auto_prune=auto_prune or None,
    )


@command("grant-secret")
@click.argument("reference", metavar="ID|NAME")
@click.argument("apps", metavar="APPLICATION[,APPLICATION...]")
def grant_secret(session: Session, reference: str, apps: str) -> None:
    """Let applications read a secret."""
    session.call("grant_secret", reference=reference, apps=_listed(apps))


@command("revoke-secret")
@click.argument("reference", metavar="ID|NAME")
@click.argument("apps", metavar="APPLICATION[,APPLICATION...]")
def revoke_secret(session: Session, reference: str, apps: str) -> None:
    """Take applications' access to a secret back."""
    session.call("revoke_secret", reference=reference, apps=_listed(apps))


@command("remove-secret")
@click.argument("reference", metavar="ID|NAME")
@click.option("-r", "--revision", type=int, help="Only this revision.")
def remove_secret(session: Session, reference: str, revision: int | None) -> None:
    """Remove a secret."""
    session.call("remove_secret", reference=reference, revision=revision)


def _listed(words: str) -> list[str]:
    return [name for name in words.split(",") if name]


def content(words: tuple[str, ...], file: str | None) -> dict[str, str]:
    """Return a secret's content, as base64 text, from arguments and a file.

    Raises:
        click.ClickException: A value cannot be read.
    """
    given: dict[str, Any] = {}
    if file is not None:
        found = from_yaml(read_text(file))
        if not isinstance(found, dict):
            raise click.ClickException(f"cannot read {file}: it does not map keys to values")
        given = cast(dict[str, Any], found)
    given |= pairs(words, "secret")
    return dict(_encoded(str(key), value) for key, value in given.items())


def _encoded(key: str, value: Any) -> tuple[str, str]:
    name, _, kind = key.partition("#")
    if kind == "base64":
        return name, str(value)
    if kind == "file":
        try:
            return name, base64.b64encode(Path(str(value)).read_bytes()).decode()
        except OSError as error:
            raise click.ClickException(f"cannot read {value}: {error.strerror}") from error
    if kind:
        raise click.ClickException(f'key "{key}": unknown kind "{kind}", use #base64 or #file')
    if isinstance(value, dict | list) or value is None:
        raise click.ClickException(f'key "{key}": the value is not a text')
    return name, base64.b64encode(str(value).encode()).decode()
