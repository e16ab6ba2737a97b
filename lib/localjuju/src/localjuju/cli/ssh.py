"""A shell in a unit's container or on a machine, and files to and from it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import click

from localjuju.cli.base import Session, command


@command("ssh", interspersed=False)
@click.option("--container", help="The container; the charm's own by default.")
@click.option("--no-host-key-checks", is_flag=True, hidden=True)
@click.option("--proxy", is_flag=True, hidden=True)
@click.option("--pty", type=bool, default=None, help="Whether to use a terminal.")
@click.option("--remote", is_flag=True, hidden=True)
@click.argument("target", metavar="[USER@]UNIT|MACHINE")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND...]")
def ssh(
    session: Session,
    container: str | None,
    no_host_key_checks: bool,
    proxy: bool,
    pty: bool | None,
    remote: bool,
    target: str,
    words: tuple[str, ...],
) -> None:
    """Run a command, or a shell, in a container of a unit, or on a machine as root."""
    del no_host_key_checks, proxy, remote
    tty = (sys.stdin.isatty() and sys.stdout.isatty()) if pty is None else pty
    # As with a real ssh, words are joined and a shell takes them apart again.
    script = ["-c", " ".join(words)] if words else (["-i"] if tty else [])
    argv = session.call(
        "exec_argv",
        unit=target.rpartition("@")[2],
        container=container,
        argv=["/bin/sh", *script],
        tty=tty,
    )["argv"]
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - the very point: this process becomes the command


@command("scp", interspersed=False)
@click.option("--container", help="The container; the charm's own by default.")
@click.option("--no-host-key-checks", is_flag=True, hidden=True)
@click.option("--proxy", is_flag=True, hidden=True)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="SOURCE TARGET")
def scp(
    session: Session,
    container: str | None,
    no_host_key_checks: bool,
    proxy: bool,
    words: tuple[str, ...],
) -> None:
    """Copy files between this host and a container of a unit, or a machine.

    SOURCE or TARGET is UNIT:PATH or MACHINE:PATH. Folders need -r after --, as in:
    scp -- -r a/0:/etc/x .
    """
    del no_host_key_checks, proxy
    recursive = any(word.startswith("-") and "r" in word for word in words)
    places = [word for word in words if not word.startswith("-")]
    if len(places) != 2:
        raise click.UsageError("expected one source and one target")
    source, target = (_place(word) for word in places)
    if (source[0] is None) == (target[0] is None):
        raise click.ClickException("exactly one of source and target must be UNIT:PATH")
    if source[0] is not None:
        _fetch(session, container, source[0], source[1], Path(target[1]), recursive=recursive)
    elif target[0] is not None:
        _send(session, container, Path(source[1]), target[0], target[1], recursive=recursive)


def _place(word: str) -> tuple[str | None, str]:
    """Return unit and path of `[user@]unit:path`; the unit is None for a path of this host."""
    unit, colon, path = word.partition(":")
    if not colon or word.startswith(("/", ".")):
        return None, word
    return unit.rpartition("@")[2], path


def _run(
    session: Session, unit: str, container: str | None, argv: list[str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command_line = session.call("exec_argv", unit=unit, container=container, argv=argv, tty=False)[
        "argv"
    ]
    return subprocess.run(command_line, input=stdin, capture_output=True, check=False)


def _fetch(
    session: Session,
    container: str | None,
    unit: str,
    path: str,
    target: Path,
    *,
    recursive: bool,
) -> None:
    remote = PurePosixPath(path)
    name = remote.name or "."
    done = _run(
        session, unit, container, ["tar", "-C", str(remote.parent), "-chf", "-", "--", name]
    )
    if done.returncode:
        raise _failure(f"{unit}:{path}", done)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = archive.getmembers()
        if members and members[0].isdir() and not recursive:
            raise click.ClickException(f"{unit}:{path} is a folder: add -- -r")
        goal = target / name if target.is_dir() else target
        for member in members:
            inside = PurePosixPath(member.name).relative_to(name)
            if ".." in inside.parts:
                raise click.ClickException(f"cannot copy {unit}:{path}: {member.name} leads out")
            try:
                _write_member(archive, member, goal / inside)
            except OSError as error:
                raise click.ClickException(f"cannot write {goal}: {error.strerror}") from error


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a file or a folder; there is nothing else, since the other end follows links."""
    if member.isdir():
        path.mkdir(exist_ok=True)
        return
    content = archive.extractfile(member)
    if content is not None:
        path.write_bytes(content.read())
        path.chmod(member.mode & 0o777)


def _send(
    session: Session,
    container: str | None,
    source: Path,
    unit: str,
    path: str,
    *,
    recursive: bool,
) -> None:
    if not source.exists():
        raise click.ClickException(f"{source}: No such file or directory")
    if source.is_dir() and not recursive:
        raise click.ClickException(f"{source} is a folder: add -- -r")
    goal = PurePosixPath(path or ".")
    is_folder = path.endswith("/") or not path
    if not is_folder:
        is_folder = _run(session, unit, container, ["test", "-d", str(goal)]).returncode == 0
    folder, name = (goal, source.resolve().name) if is_folder else (goal.parent, goal.name)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(source.resolve(), arcname=name, filter=_without_owner)
    argv = ["tar", "-C", str(folder), "-xf", "-", "--no-same-owner"]
    done = _run(session, unit, container, argv, packed.getvalue())
    if done.returncode:
        raise _failure(f"{unit}:{path}", done)


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _failure(place: str, done: subprocess.CompletedProcess[bytes]) -> click.ClickException:
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return click.ClickException(f"cannot copy {place}: {words[-1] if words else done.returncode}")
