"""What the commands that use the cloud share: accounts, connections, and how waiting is set up."""

import click

from helio import clients
from helio.embedded import Engine
from helio.host import Host
from helio.report import Reporter, reporter
from helio.sdk import Clouds
from helio.settings import Settings
from helio.watching import Watch

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


def make_watch(stall: float, tell: Reporter | None = None) -> Watch:
    """Return what waits, and tells on standard error what for."""
    return Watch(tell or reporter(), stall)
