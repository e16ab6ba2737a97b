"""What machines may change on this host that no namespace holds: noted before, put back after.

Machines are privileged. Packages in them set keys of the kernel for their services, and systemd
remounts the host's cgroup2 with another option. The note is the host's, shared by all instances:
the first machine writes it, the last instance that goes puts everything back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any, TextIO, cast

from localjuju.settings import Settings
from localjuju.substrate import names
from localjuju.substrate.runner import Runner

_KEYS = Path("/proc/sys")
_TREES = ("fs", "kernel", "vm")  # the others belong to a network namespace
_NOT_SETTINGS = (
    "kernel/cad_pid",
    "kernel/domainname",  # has a namespace
    "kernel/hostname",  # the same
    "kernel/hung_task_warnings",
    "kernel/ns_last_pid",
    "kernel/perf_event_max_sample_rate",  # the kernel lowers it by itself
    "kernel/tainted",
)
_MOUNTS = Path("/proc/self/mountinfo")
_OPTION = "nsdelegate"
_READABLE = stat.S_IRUSR | stat.S_IWUSR


def read_keys(root: Path = _KEYS) -> dict[str, str]:
    """Return the kernel's settings that can be read and written, and have no namespace."""
    found: dict[str, str] = {}
    for tree in _TREES:
        for path in sorted((root / tree).rglob("*")):
            name = path.relative_to(root).as_posix()
            if name in _NOT_SETTINGS or not _is_plain(path):
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError):  # a key may refuse to be read
                found[name] = path.read_text()
    return found


def _is_plain(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) and mode & _READABLE == _READABLE


def delegating(mounts: str) -> list[str]:
    """Return the mount points of cgroup2 that have the option which systemd sets.

    Args:
        mounts: The text of `/proc/self/mountinfo`.
    """
    found: list[str] = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, *rest = after.split(" ")
        if kind == "cgroup2" and _OPTION in rest[-1].split(","):
            found.append(before.split(" ")[4])
    return found


def _locked(path: Path) -> TextIO:
    """Open the note, alone. Whoever waited for that may have got one that was removed since."""
    while True:
        file = path.open("a+", encoding="ascii")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


@contextlib.contextmanager
def _note(settings: Settings) -> Generator[dict[str, Any]]:
    """Open the host's note, alone; what is in it at the end is written back.

    On an exception it stays as it was.
    """
    folder = names.runtime_dir(settings).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "host.json"
    with _locked(path) as file:
        file.seek(0)
        text = file.read()
        note = cast(dict[str, Any], json.loads(text)) if text else {}
        yield note
        file.seek(0)
        file.truncate()
        if note:
            json.dump(note, file)
        else:
            path.unlink()


def record(settings: Settings) -> None:
    """Note how the host is, unless that was done, and that this instance has machines."""
    with _note(settings) as note:
        if not note:
            note["keys"] = read_keys()
            note["delegating"] = delegating(_MOUNTS.read_text())
        instances = {*note.get("instances", ()), settings.instance}
        note["instances"] = sorted(instances)


async def restore(runner: Runner, settings: Settings) -> list[str]:
    """Put the host back as it was, if no other instance has machines; return what differed.

    The note is cleared last: what is cut off, or fails, is done by the next call.

    Raises:
        SubstrateError: A file system cannot be mounted as it was.
    """
    with _note(settings) as note:
        if not note:
            return []
        instances = [name for name in note["instances"] if name != settings.instance]
        if instances:
            note["instances"] = instances
            return []
        restored = _restore_keys(note["keys"])
        for place in delegating(_MOUNTS.read_text()):
            if place not in note["delegating"]:
                # The source must be named, or the option stays.
                remount = ("mount", "-t", "cgroup2", "-o", "remount,rw", "cgroup2", place)
                await runner.check(f"mount {place} as it was", remount)
                restored.append(f"mount option {_OPTION} of {place}")
        note.clear()
    return restored


def _restore_keys(before: dict[str, str], root: Path = _KEYS) -> list[str]:
    restored: list[str] = []
    for name, value in read_keys(root).items():
        old = before.get(name)
        if old is None or old == value:
            continue
        # Some count by themselves and take no value; the others do.
        with contextlib.suppress(OSError):
            file = os.open(root / name, os.O_WRONLY)
            try:
                os.write(file, old.encode())
            finally:
                os.close(file)
            restored.append(f"value {value.strip()} of {name.replace('/', '.')}")
    return restored
