"""`helio dashboard`: where the dashboard is, and how to log in."""

import click

from helio import clients
from helio.cli.context import format_option, logged_host, require_cloud
from helio.embedded import Engine
from helio.host import HelioError
from helio.report import show_json, show_table
from helio.settings import Settings


@click.command()
@click.option(
    "--user",
    type=click.Choice(["admin", clients.DEMO]),
    default="admin",
    show_default=True,
    help="Whose credentials to show.",
)
@format_option
def dashboard(user: str, style: str) -> None:
    """Show the address of the dashboard, and the credentials to log in with."""
    shown = _describe(require_cloud("dashboard"), user)
    if style == "json":
        return show_json(shown)
    show_table(("Dashboard", ""), list(shown.items()))


def _describe(found: Settings, user: str) -> dict[str, str]:
    juju = Engine(found).connect()
    url = clients.dashboard_url(juju)
    if url is None:
        raise HelioError("cannot show the dashboard: there is none; run: helio enable horizon")
    account = clients.choose(clients.accounts(juju, logged_host(found), found), user)
    return {
        "url": url,
        "domain": account.user_domain,
        "username": account.username,
        "password": account.password,
    }
