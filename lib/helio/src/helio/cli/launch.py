"""`helio launch`: boot an instance."""

import dataclasses
import functools
import os
from typing import Any

import click

from helio import clients, sdk
from helio.cli.clouds import open_clouds, stall_option
from helio.cli.context import (
    dry_run_option,
    format_option,
    in_turn,
    logged_host,
    require_cloud,
)
from helio.cli.stage import Stage
from helio.demo.networks import NETWORK
from helio.launch import Instance, Launcher, Request, as_typed, ssh_command
from helio.report import show_json
from helio.settings import Settings
from helio.watching import Watch


@click.command()
@click.argument("name", required=False)
@click.option("--image", help="Name of the image; the newest of `helio configure` without it.")
@click.option("--flavor", default="m1.tiny", show_default=True, help="Name of the flavor.")
@click.option("--network", default=NETWORK, show_default=True, help="Name of the network.")
@click.option(
    "--volume", type=click.IntRange(min=1), metavar="GIB", help="Attach a new volume of this size."
)
@click.option("--ssh", "log_in", is_flag=True, help="Log in when it answers.")
@stall_option
@dry_run_option
@format_option
def launch(log_in: bool, stall_limit: float, dry_run: bool, style: str, **wanted: Any) -> None:
    """Boot an instance as the demo user, and wait until it answers by ssh.

    It gets a floating IP, and a name of its own without NAME. If there is an instance of that
    name, it is waited for: so an interrupted launch goes on when it is started again.
    """
    found = require_cloud("launch")
    stage = Stage(logged_host(found), dry_run, style)
    request = Request(**wanted)
    with sdk.errors("launch"):
        launcher = _launcher(found, stage, stall_limit)
        if dry_run:
            stage.run(launcher.steps(request))
            return stage.end()
        instance = launcher.launch(request)
    _end(instance, ssh_command(found, instance), log_in, style)


def _launcher(found: Settings, stage: Stage, stall: float) -> Launcher:
    demo = open_clouds(found, stage.host).connect(clients.DEMO)
    turn = functools.partial(in_turn, found)
    return Launcher(demo, found, stage.host, Watch(stage.reporter, stall), turn)


def _end(instance: Instance, command: tuple[str, ...], log_in: bool, style: str) -> None:
    if log_in:
        os.execvp(command[0], command)  # noqa: S606 - becomes ssh
    if style == "json":
        return show_json({**dataclasses.asdict(instance), "ssh": list(command)})
    click.echo(f"{instance.name} answers at {instance.floating_ip}. Log in with:")
    click.echo(f"  {as_typed(command, is_sudo=bool(os.environ.get('SUDO_UID')))}")
