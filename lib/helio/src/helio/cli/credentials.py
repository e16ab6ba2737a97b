"""`helio openrc` and `helio cloud-config`: the administrator's credentials for clients."""

import os
from pathlib import Path

import click

from helio import clients
from helio.cli.context import logged_host, require_cloud
from helio.embedded import Engine
from helio.host import Host
from helio.settings import Settings

_output_option = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which only its owner can read, instead of printing.",
)


@click.command()
@_output_option
def openrc(output: Path | None) -> None:
    """Print shell variables with the administrator's credentials.

    Use it as `source <(sudo ./helio openrc)`.
    """
    found = require_cloud("openrc")
    host = logged_host(found)
    _hand_over(host, clients.openrc(_account(found, host), found.ca), output)


@click.command()
@_output_option
def cloud_config(output: Path | None) -> None:
    """Print a clouds.yaml with the administrator's credentials; its cloud is called `helio`."""
    found = require_cloud("cloud-config")
    host = logged_host(found)
    _hand_over(host, clients.clouds_yaml(_account(found, host), found.ca), output)


def _account(found: Settings, host: Host) -> clients.Account:
    """Ask the cloud, and not a file: the password may have been rotated."""
    juju = Engine(found).connect()
    host.write(found.ca, clients.read_ca(juju))
    return clients.read_account(juju)


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
