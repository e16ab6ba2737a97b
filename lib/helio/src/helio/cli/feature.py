"""`helio enable` and `helio disable`: what the cloud can do without."""

import click

from helio import bootstrap
from helio.cli.clouds import make_watch, stall_option
from helio.cli.context import alone, confirm, logged_host, require_cloud, yes_option
from helio.embedded import Engine
from helio.features import Switch
from helio.plan import Plan, read_plan
from helio.report import reporter
from helio.settings import Settings
from helio.steps import run
from helio.tree import find_tree


@click.command()
@click.argument("feature")
@stall_option
def enable(feature: str, stall_limit: float) -> None:
    """Deploy a FEATURE of the cloud, such as horizon or tempest, and relate it.

    Other services join by Juju alone: see docs/how-to/extend.md.
    """
    found = require_cloud("enable")
    with alone(found, "enable"):
        plan, switch = _switch(found, stall_limit)
        switch.feature(feature)  # refused before anything is made
        run(bootstrap.provide(plan, [feature]), logged_host(found), reporter())
        switch.enable(feature)
    click.echo(f"{feature} is enabled.")


@click.command()
@click.argument("feature")
@stall_option
@yes_option
def disable(feature: str, stall_limit: float, yes: bool) -> None:
    """Remove a FEATURE of the cloud with what it keeps in its storage."""
    found = require_cloud("disable")
    if not yes:
        confirm("disable", f"Remove {feature} with what it keeps?")
    with alone(found, "disable"):
        _, switch = _switch(found, stall_limit)
        switch.disable(feature)
    click.echo(f"{feature} is disabled.")


def _switch(found: Settings, stall: float) -> tuple[Plan, Switch]:
    plan = read_plan(found, find_tree(), logged_host(found))
    return plan, Switch(plan, Engine(found).connect(), make_watch(stall))
