"""Entry points. Only the table of commands is known here; each is imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys

import click

# Command → module below localjuju.cli and function; None for a second name.
JUJU = {
    "actions": "tasks:actions",
    "add-machine": "machines:add_machine",
    "add-model": "models:add_model",
    "add-secret": "secrets:add_secret",
    "add-unit": "applications:add_unit",
    "attach-resource": "applications:attach_resource",
    "bind": "deploy:bind",
    "cancel-task": "tasks:cancel_task",
    "clouds": "models:clouds",
    "config": "config:config",
    "consume": "offers:consume",
    "controllers": "models:controllers",
    "debug-log": "logs:debug_log",
    "deploy": "deploy:deploy",
    "destroy-model": "models:destroy_model",
    "exec": "tasks:execute",
    "expose": "applications:expose",
    "find-offers": "offers:find_offers",
    "grant": "offers:grant",
    "grant-secret": "secrets:grant_secret",
    "integrate": "applications:integrate",
    "machines": "machines:machines",
    "model-config": "config:model_config",
    "models": "models:models",
    "offer": "offers:offer",
    "offers": "offers:offers",
    "operations": "tasks:operations",
    "refresh": "deploy:refresh",
    "remove-application": "applications:remove_application",
    "remove-machine": "machines:remove_machine",
    "remove-offer": "offers:remove_offer",
    "remove-relation": "applications:remove_relation",
    "remove-saas": "offers:remove_saas",
    "remove-secret": "secrets:remove_secret",
    "remove-unit": "applications:remove_unit",
    "resolved": "applications:resolved",
    "resources": "applications:resources",
    "resume-relation": "offers:resume_relation",
    "revoke": "offers:revoke",
    "revoke-secret": "secrets:revoke_secret",
    "run": "tasks:run",
    "scale-application": "applications:scale_application",
    "scp": "ssh:scp",
    "secrets": "secrets:secrets",
    "show-application": "applications:show_application",
    "show-controller": "models:show_controller",
    "show-machine": "machines:show_machine",
    "show-model": "models:show_model",
    "show-offer": "offers:show_offer",
    "show-operation": "tasks:show_operation",
    "show-secret": "secrets:show_secret",
    "show-task": "tasks:show_task",
    "show-unit": "applications:show_unit",
    "spaces": "machines:spaces",
    "ssh": "ssh:ssh",
    "status": "status:status",
    "suspend-relation": "offers:suspend_relation",
    "switch": "models:switch",
    "trust": "applications:trust",
    "unexpose": "applications:unexpose",
    "update-secret": "secrets:update_secret",
    "version": "models:version",
    "wait-for": "wait:wait_for",
    "whoami": "models:whoami",
}
SECOND_NAMES = {
    "list-actions": "actions",
    "list-clouds": "clouds",
    "list-controllers": "controllers",
    "list-machines": "machines",
    "list-models": "models",
    "list-offers": "offers",
    "list-operations": "operations",
    "list-resources": "resources",
    "list-secrets": "secrets",
    "list-spaces": "spaces",
    "relate": "integrate",
    "resolve": "resolved",
}
LOCALJUJU = {
    "destroy": "instance:destroy",
    "init": "instance:init",
    "start": "instance:start",
    "status": "instance:status",
    "stop": "instance:stop",
    "trace": "trace:trace",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is run.

    Args:
        table: Command → `module:function`.
        second: Second name → name.
    """

    def __init__(self, table: dict[str, str], second: dict[str, str], help_text: str) -> None:
        super().__init__(help=help_text, context_settings={"help_option_names": ["-h", "--help"]})
        self._table = table
        self._second = second

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands that help shows."""
        del ctx
        return sorted(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        target = self._table.get(self._second.get(cmd_name, cmd_name))
        if target is None:
            return None
        module, _, function = target.partition(":")
        return getattr(importlib.import_module(f"localjuju.cli.{module}"), function)


def juju_group() -> LazyGroup:
    """Return the command `juju`."""
    return LazyGroup(
        JUJU,
        SECOND_NAMES,
        "Run charms with the embedded engine, by the commands and answers of Juju.\n\n"
        "The engine lives in the folder that LOCALJUJU_HOME names and starts by itself. "
        "JUJU_MODEL, or -m of a command, chooses the model.",
    )


def localjuju_group() -> LazyGroup:
    """Return the command `localjuju`."""
    return LazyGroup(
        LOCALJUJU,
        {},
        "Set the embedded engine up, look after it, and take it away. Work with `juju`.",
    )


def juju() -> None:
    """Run `juju`."""
    run(juju_group(), sys.argv[1:], "juju")


def localjuju() -> None:
    """Run `localjuju`."""
    run(localjuju_group(), sys.argv[1:], "localjuju")


def run(group: click.Group, arguments: list[str], name: str) -> None:
    """Run a command line, and end the process with its exit status.

    Errors are one line `ERROR …` on standard error, with status 1; wrong usage has status 2.
    """
    try:
        group.main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.ctx.get_help() if shown.ctx else shown.message)
    except click.UsageError as error:
        click.echo(f"ERROR {error.format_message()}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"ERROR {error.format_message()}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader has seen enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        click.echo(f"ERROR {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    juju()
