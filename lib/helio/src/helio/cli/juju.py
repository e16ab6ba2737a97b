"""`helio juju`: run the juju command that drives this cloud."""

import os

import click

from helio.cli.context import require_cloud
from helio.embedded import Engine, program


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def juju(arguments: tuple[str, ...]) -> None:
    """Run juju on this cloud, with all ARGUMENTS: `helio juju status`."""
    found = require_cloud("juju")
    path = str(program("juju"))
    os.execve(path, [path, *arguments], os.environ | Engine(found).environment)  # noqa: S606 - becomes juju
