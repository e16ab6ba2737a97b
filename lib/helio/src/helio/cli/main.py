"""The entry point: the group of commands, and how errors end."""

import os
import sys

import click
import jubilant

from helio import settings
from helio.cli.bootstrap import bootstrap
from helio.cli.bundle import bundle
from helio.cli.configure import configure
from helio.cli.credentials import cloud_config, openrc
from helio.cli.dashboard import dashboard
from helio.cli.destroy import destroy
from helio.cli.feature import disable, enable
from helio.cli.images import images
from helio.cli.juju import juju
from helio.cli.launch import launch
from helio.cli.node import node
from helio.cli.pack import pack
from helio.cli.status import status
from helio.cli.validate import validate
from helio.embedded import program
from helio.host import HelioError
from helio.waiting import last_line

INTERRUPTED = 130  # as shells do it: 128 + SIGINT


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99})
@click.version_option(package_name="helio", message="%(prog)s %(version)s")
def helio() -> None:
    """Install, use and remove a Helio cloud, an OpenStack made of charms.

    HELIO_HOME chooses the cloud's folder; it is /var/lib/helio without it.
    """


for _command in (
    bootstrap, status, configure, launch, dashboard, validate, node, enable, disable,
    openrc, cloud_config, juju, destroy, pack, images, bundle,
):  # fmt: skip
    helio.add_command(_command)


def main() -> None:
    """Run the command line; every known error ends in one line and exit status 1."""
    os.umask(0o022)  # a narrower one makes files that the containers cannot read
    # The tools that are installed beside helio (uv) are found where the machine has none.
    os.environ["PATH"] = os.pathsep.join(
        (os.environ.get("PATH", ""), str(program("helio").parent))
    )
    try:
        status = helio.main(prog_name="helio", standalone_mode=False)
    except click.exceptions.Abort as error:
        sys.exit(_interrupted(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt as error:
        sys.exit(_interrupted(error))
    except BrokenPipeError:
        # The reader of our output has gone, as `helio status | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (HelioError, jubilant.CLIError, OSError) as error:
        sys.exit(_failed(error))
    sys.exit(status or 0)


def _interrupted(error: BaseException) -> int:
    text = "; ".join(_hints(error)) or "run the same command again to go on"
    click.echo(f"interrupted: {text}", err=True)
    return INTERRUPTED


def _failed(error: Exception) -> int:
    if isinstance(error, jubilant.CLIError):
        text = f"cannot run juju {error.cmd[1]}: {last_line(error)}"
    else:
        text = " ".join(str(error).split())
        text = text if text.startswith("cannot ") else f"cannot finish: {text}"
    text = "; ".join((text, *_hints(error)))
    click.echo(f"error: {text}", err=True)
    home = settings.home(os.environ)
    log = settings.Settings(home=home).log
    if os.access(log, os.R_OK):
        click.echo(f"log: {log}", err=True)
    return 1


def _hints(error: BaseException) -> list[str]:
    """Return what to do next where whoever failed has noted it; click and we wrap errors."""
    return [note for each in (error, error.__cause__) for note in getattr(each, "__notes__", ())]


if __name__ == "__main__":
    main()
