"""What the commands that use the cloud share: accounts, connections, and how long they wait."""

import click

from helio import clients
from helio.embedded import Engine
from helio.host import Host
from helio.sdk import Clouds
from helio.settings import Settings

STALL = 900.0  # seconds

stall_option = click.option(
    "--stall-limit",
    type=click.FloatRange(min=10),
    default=STALL,
    show_default=True,
    metavar="SECONDS",
    help="Give up waiting when nothing has changed for so long.",
)


def open_clouds(found: Settings, host: Host) -> Clouds:
    """Return connections with the accounts of a cloud, the administrator's asked for anew."""
    accounts = clients.accounts(Engine(found).connect(), host, found)
    return Clouds(found.ca, accounts)
