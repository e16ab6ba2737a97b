"""What the commands share: the cloud that is meant, its host with a log, and common options."""

import contextlib
import fcntl
import logging
import os
import sys
from collections.abc import Callable, Generator
from typing import Any

import click

from helio import settings
from helio.host import HelioError, LocalHost
from helio.settings import Settings

# `--format` of every command that prints a table.
format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print the result.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask, for scripts.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and change nothing."
)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def current() -> Settings:
    """Return the settings of the cloud that the environment chooses."""
    return settings.load(os.environ)


def require_root(what: str) -> None:
    """Refuse to go on as an ordinary user.

    Args:
        what: What cannot be done: `bootstrap`.

    Raises:
        HelioError: the user is not root.
    """
    if os.geteuid() != 0:
        raise HelioError(f"cannot {what}: it needs root; run: sudo helio {what}")


def require_cloud(what: str) -> Settings:
    """Return the settings of the cloud, if there is one.

    Raises:
        HelioError: the user is not root, or nothing was bootstrapped.
    """
    require_root(what)
    found = current()
    if not (found.engine_home / "settings.json").is_file():
        raise HelioError(f"cannot {what}: there is no cloud in {found.home}; run: helio bootstrap")
    return found


def confirm(what: str, question: str) -> None:
    """Ask before something is changed.

    Raises:
        HelioError: the answer is no, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise HelioError(f"cannot {what}: nobody can be asked here; scripts give --yes")
    if not click.confirm(question):
        raise HelioError(f"cannot {what}: the answer was no; nothing was changed")


def logged_host(found: Settings) -> LocalHost:
    """Return this machine, with everything that is done noted in the cloud's log.

    Raises:
        HelioError: the home is a folder of somebody else's.
    """
    handler = logging.FileHandler(_private(found), encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    # Waiting looks at the status again and again; that would drown what is done.
    handler.addFilter(lambda record: "juju status" not in record.getMessage())
    logger = logging.getLogger("jubilant")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return LocalHost(found.log)


@contextlib.contextmanager
def alone(found: Settings, what: str) -> Generator[None]:
    """Keep other commands that change the same cloud out.

    Raises:
        HelioError: such a command runs already.
    """
    path = found.home.with_name(f".{found.home.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it before may have removed the file between our opening and locking it.
            is_current = path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except BlockingIOError:
            is_current = False
        if not is_current:
            raise HelioError(
                f"cannot {what}: another helio is changing the cloud in {found.home}; "
                "wait until it has finished"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def in_turn(found: Settings) -> Generator[None]:
    """Wait until nobody else is in its turn in the same cloud: for what takes seconds."""
    folder = os.open(found.home, os.O_RDONLY)  # needs no file that somebody must take away
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _private(found: Settings) -> str:
    """Return the log's path after making it readable by its owner only."""
    if not settings.is_ours(found.home):
        raise HelioError(
            f"cannot use {found.home}: it holds other things than a cloud's; "
            f"set {settings.HOME_VARIABLE} to a new or an empty folder"
        )
    found.home.mkdir(parents=True, exist_ok=True)
    os.close(os.open(found.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    return str(found.log)
