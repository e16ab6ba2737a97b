"""`helio destroy`: take the cloud away."""

import sys

import click

from helio import destroy as removal
from helio.cli.context import (
    alone,
    confirm,
    current,
    dry_run_option,
    require_root,
    yes_option,
)
from helio.host import DryRunHost, Host, LocalHost
from helio.report import PlainReporter, reporter
from helio.settings import Settings
from helio.steps import rehearse, run
from helio.tree import find_tree


@click.command()
@click.option(
    "--purge",
    is_flag=True,
    help="Remove images, caches and the packages that helio installed as well.",
)
@dry_run_option
@yes_option
def destroy(purge: bool, dry_run: bool, yes: bool) -> None:
    """Remove everything of the cloud from this machine, with all data in it.

    Kernel settings and firewall chains go back to what they were. Images and caches stay, so
    that the next bootstrap is quick; --purge removes them too.
    """
    found = current()
    if dry_run:
        tell = PlainReporter(sys.stdout, is_rehearsal=True)
        host = DryRunHost(LocalHost(), tell.would)
        return rehearse(removal.steps(found, find_tree(), purge), host, tell)
    require_root("destroy")
    if not yes:
        confirm("destroy", f"Remove the cloud in {found.home} with all its data?")
    with alone(found, "destroy"):
        _run(found, LocalHost(), purge)


def _run(found: Settings, host: Host, purge: bool) -> None:
    run(removal.steps(found, find_tree(), purge), host, reporter())
    click.echo("The cloud is gone." + ("" if purge else " Images and caches stay."))
