"""`helio node`: list, add and remove hypervisors."""

import dataclasses

import click

from helio import clients, sdk
from helio.cli.clouds import open_clouds, stall_option
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
from helio.nodes import Node, Nodes
from helio.report import show_json, show_table
from helio.settings import Settings
from helio.watching import Watch


@click.group()
def node() -> None:
    """List, add and remove hypervisors."""


@node.command("list")
@format_option
def list_nodes(style: str) -> None:
    """List the hypervisors, what they are ready for, and the instances on them."""
    found = require_cloud("node list")
    with sdk.errors("list the nodes"):
        known = _nodes(found, Stage(logged_host(found), is_dry=False)).known()
    _show(known, style)


@node.command()
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=1, show_default=True, help="How many."
)
@stall_option
@dry_run_option
@format_option
def add(count: int, stall_limit: float, dry_run: bool, style: str) -> None:
    """Add hypervisors, each on a machine of its own, and wait until instances can go there.

    Interrupted, run it again: hypervisors that were begun and are not ready count as added.
    """
    found = require_cloud("node add")
    stage = Stage(logged_host(found), dry_run, style)
    with stage.alone(found, "node add"), sdk.errors("add a node"):
        nodes = _nodes(found, stage, stall_limit)
        old = nodes.settled()
        stage.run(nodes.adding(count, old))
        new = nodes.beside(old)
    if dry_run:
        return stage.end()
    _show(new, style)


@node.command()
@click.argument("name")
@click.option(
    "--force",
    is_flag=True,
    help="The machine is lost: build its instances anew on others, from images and volumes. "
    "What was on their other disks is lost. Refused while the machine is up.",
)
@stall_option
@dry_run_option
@format_option
@yes_option
def remove(
    name: str, force: bool, stall_limit: float, dry_run: bool, style: str, yes: bool
) -> None:
    """Remove a hypervisor, by its name, unit or machine, after its instances have moved away.

    Instances move while they run, so those that do not run must be started or deleted first.
    Interrupted, run it again.
    """
    found = require_cloud("node remove")
    if not (yes or dry_run):
        confirm("node remove", _question(name, force))
    stage = Stage(logged_host(found), dry_run, style)
    with stage.alone(found, "node remove"), sdk.errors(f"remove {name}"):
        stage.run(_nodes(found, stage, stall_limit).removal(name, force))
    stage.end(f"{name} is gone.")


def _question(name: str, force: bool) -> str:
    if not force:
        return f"Move all instances away from {name} and remove it?"
    return (
        f"Give up {name} and build its instances anew on others? "
        "All that is on their disks is lost, but for volumes."
    )


def _nodes(found: Settings, stage: Stage, stall: float = 0) -> Nodes:
    clouds = open_clouds(found, stage.host)
    juju = Engine(found).connect("machines")
    return Nodes(juju, clouds.connect(clients.CLOUD), Watch(stage.reporter, stall))


def _show(nodes: list[Node], style: str) -> None:
    if style == "json":
        return show_json([dataclasses.asdict(each) for each in nodes])
    show_table(
        ("Node", "Unit", "Machine", "Status", "Compute", "Scheduling", "Instances"),
        [
            (each.name, each.unit, each.machine, each.status, each.state, each.scheduling,
             " ".join(each.instances))
            for each in nodes
        ],
    )  # fmt: skip
