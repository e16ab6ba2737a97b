"""`helio destroy`: take the cloud away."""

import click

from helio import destroy as removal
from helio.cli.context import (
    confirm,
    current,
    dry_run_option,
    format_option,
    require_root,
    yes_option,
)
from helio.cli.stage import Stage
from helio.host import LocalHost
from helio.tree import find_tree


@click.command()
@click.option(
    "--purge",
    is_flag=True,
    help="Remove images, caches and the packages that helio installed as well.",
)
@dry_run_option
@format_option
@yes_option
def destroy(purge: bool, dry_run: bool, style: str, yes: bool) -> None:
    """Remove everything of the cloud from this machine, with all data in it.

    Kernel settings and firewall chains go back to what they were. Images and caches stay, so
    that the next bootstrap is quick; --purge removes them too.
    """
    found, stage = current(), Stage(LocalHost(), dry_run, style)
    if not dry_run:
        require_root("destroy")
    if not dry_run and not yes:
        confirm("destroy", f"Remove the cloud in {found.home} with all its data?")
    with stage.alone(found, "destroy"):
        stage.run(removal.steps(found, find_tree(), purge))
    stage.end("The cloud is gone." + ("" if purge else " Images and caches stay."))
