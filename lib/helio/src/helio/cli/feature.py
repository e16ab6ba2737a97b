"""`helio enable` and `helio disable`: what the cloud can do without."""

import click

from helio import bootstrap
from helio.cli.clouds import stall_option
from helio.cli.context import (
    confirm,
    dry_run_option,
    format_option,
    logged_host,
    require_cloud,
    yes_option,
)
from helio.cli.stage import Stage
from helio.embedded import Engine
from helio.features import Switch
from helio.plan import Plan, read_plan
from helio.settings import Settings
from helio.tree import find_tree
from helio.watching import Watch


@click.command()
@click.argument("feature")
@stall_option
@dry_run_option
@format_option
def enable(feature: str, stall_limit: float, dry_run: bool, style: str) -> None:
    """Deploy a FEATURE of the cloud, such as horizon or tempest, and relate it.

    Other services join by Juju alone: see docs/how-to/extend.md.
    """
    found = require_cloud("enable")
    stage = Stage(logged_host(found), dry_run, style)
    with stage.alone(found, "enable"):
        plan, switch = _switch(found, stall_limit, stage)
        steps = switch.enabling(feature)  # refused before anything is made
        stage.run([*bootstrap.provide(plan, [feature]), *steps])
    stage.end(f"{feature} is enabled.")


@click.command()
@click.argument("feature")
@stall_option
@dry_run_option
@format_option
@yes_option
def disable(feature: str, stall_limit: float, dry_run: bool, style: str, yes: bool) -> None:
    """Remove a FEATURE of the cloud with what it keeps in its storage."""
    found = require_cloud("disable")
    if not (yes or dry_run):
        confirm("disable", f"Remove {feature} with what it keeps?")
    stage = Stage(logged_host(found), dry_run, style)
    with stage.alone(found, "disable"):
        _, switch = _switch(found, stall_limit, stage)
        stage.run(switch.disabling(feature))
    stage.end(f"{feature} is disabled.")


def _switch(found: Settings, stall: float, stage: Stage) -> tuple[Plan, Switch]:
    plan = read_plan(found, find_tree(), stage.host)
    return plan, Switch(plan, Engine(found).connect(), Watch(stage.reporter, stall))
