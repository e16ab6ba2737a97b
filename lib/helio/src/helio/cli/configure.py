"""`helio configure`: make what somebody needs to boot a first instance."""

import click

from helio import demo, sdk
from helio.cli.clouds import open_clouds
from helio.cli.context import dry_run_option, format_option, logged_host, require_cloud
from helio.cli.stage import Stage
from helio.demo.catalogue import image_of
from helio.demo.networks import RESOLV_CONF, resolvers_of
from helio.host import Host
from helio.images import load
from helio.plan import image_builder, read_base
from helio.settings import Settings
from helio.tree import find_tree

NEXT = """
The cloud is ready for instances. Next:
  sudo ./helio launch --ssh                        boot one and log in
  sudo ./helio cloud-config --user demo            the demo user's credentials
"""


@click.command()
@click.option(
    "--image",
    metavar="FILE|URL",
    help="Disk that instances boot from; a small guest that Helio builds without it.",
)
@dry_run_option
@format_option
def configure(image: str | None, dry_run: bool, style: str) -> None:
    """Make a demo project with all that a first instance needs.

    That is a user, quotas, flavors, an image, the external network, a network and a router of
    the project's own, a security group that lets ssh and ping in, and an ssh key. What is there
    already is left as it is, and quotas are only raised. The demo user's credentials are added
    to clouds.yaml in the home.
    """
    found = require_cloud("configure")
    stage = Stage(logged_host(found), dry_run, style)
    with stage.alone(found, "configure"), sdk.errors("configure"):
        clouds = open_clouds(found, stage.host)
        stage.run(demo.steps(clouds, _wanted(found, stage.host, image), stage.host))
    stage.end(NEXT)


def _wanted(found: Settings, host: Host, image: str | None) -> demo.Wanted:
    guest = image_builder(found, load(find_tree().root), read_base(host), host).path("guest")
    resolvers = resolvers_of(host.read(RESOLV_CONF))
    return demo.Wanted(found, image_of(image, guest), resolvers)
