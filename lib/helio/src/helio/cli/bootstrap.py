"""`helio bootstrap`: make a cloud on this machine."""

import sys

import click

from helio import bootstrap as steps
from helio.cli.context import (
    alone,
    confirm,
    current,
    dry_run_option,
    format_option,
    logged_host,
    require_root,
    yes_option,
)
from helio.cli.stage import Stage
from helio.embedded import DryRunJuju, Engine, Juju
from helio.host import HelioError, LocalHost
from helio.manifest import Part
from helio.plan import STALL, read_plan
from helio.settings import Settings
from helio.tree import find_tree

NEXT = """
The cloud is up. Next:
  sudo ./helio status                     what runs
  source <(sudo ./helio openrc)           credentials for this shell
  openstack catalog list                  with the client: pip install python-openstackclient
"""


@click.command()
@click.option(
    "--substrate",
    type=click.Choice(["embedded", "microk8s"]),
    default="embedded",
    show_default=True,
    help="What runs the charms: the embedded engine on Podman, or Juju on MicroK8s.",
)
@click.option(
    "--stall-limit",
    type=click.FloatRange(min=10),
    default=STALL,
    show_default=True,
    metavar="SECONDS",
    help="Give up waiting when nothing has changed for so long.",
)
@dry_run_option
@format_option
@yes_option
def bootstrap(substrate: str, stall_limit: float, dry_run: bool, style: str, yes: bool) -> None:
    """Make a cloud on this machine.

    Installs the Debian packages that are missing, builds the images, packs the charms, deploys
    the bundle and waits until the cloud answers. Interrupted anywhere, run it again: it goes on.
    """
    if substrate == "microk8s":
        raise HelioError(
            "cannot bootstrap on microk8s: this release only has the embedded substrate"
        )
    found = current()
    if dry_run:
        return _run(found, stall_limit, Stage(LocalHost(), True, style))
    require_root("bootstrap")
    if not yes and sys.stdin.isatty():  # nothing is lost by it, so it needs no answer
        confirm("bootstrap", f"Make a cloud in {found.home} and install what it needs?")
    with alone(found, "bootstrap"):
        _run(found, stall_limit, Stage(logged_host(found), False, style))


def _run(found: Settings, stall: float, stage: Stage) -> None:
    plan = read_plan(found, find_tree(), stage.host, stall)
    models = Engine(found).connect_all()
    dry: dict[Part, Juju] = {
        part: DryRunJuju(juju, stage.host) if stage.is_dry else juju
        for part, juju in models.items()
    }
    stage.run(steps.steps(plan, dry, models["pods"]))
    stage.end(NEXT)
