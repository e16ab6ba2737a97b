"""`helio openrc` and `helio cloud-config`: credentials for clients."""

import os
from pathlib import Path

import click

from helio import clients
from helio.cli.context import Decorator, logged_host, require_cloud
from helio.clients import DEMO
from helio.embedded import Engine
from helio.host import Host

_output_option = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which only its owner can read, instead of printing.",
)


def _user_option(default: str | None, text: str) -> Decorator:
    return click.option("--user", type=click.Choice(["admin", DEMO]), default=default, help=text)


@click.command()
@_output_option
@_user_option("admin", "Whose: the administrator's, or the demo user's.")
def openrc(output: Path | None, user: str) -> None:
    """Print shell variables with the credentials of the administrator or the demo user.

    Use it as `source <(sudo ./helio openrc)`.
    """
    found = require_cloud("openrc")
    host = logged_host(found)
    accounts = clients.accounts(Engine(found).connect(), host, found)
    _hand_over(host, clients.openrc(clients.choose(accounts, user), found.ca), output)


@click.command()
@_output_option
@_user_option(None, "Only the administrator's, or the demo user's; both without it.")
def cloud_config(output: Path | None, user: str | None) -> None:
    """Print a clouds.yaml with credentials.

    Its cloud `helio` is the administrator's; `demo` is the demo user's, once there is one.
    """
    found = require_cloud("cloud-config")
    host = logged_host(found)
    accounts = clients.accounts(Engine(found).connect(), host, found)
    if user:
        accounts = {clients.name_of(user): clients.choose(accounts, user)}
    _hand_over(host, clients.clouds_yaml(accounts, found.ca), output)


def _hand_over(host: Host, text: str, output: Path | None) -> None:
    if output is None:
        return click.echo(text, nl=False)
    path = output.absolute()
    host.write(path, text, 0o600)
    # Through sudo the file is for the user who called it.
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group:
        os.chown(path, int(user), int(group), follow_symlinks=False)
    click.echo(f"wrote {path}", err=True)
