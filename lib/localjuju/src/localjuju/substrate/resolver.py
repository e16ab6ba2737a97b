"""What Podman's resolver (aardvark-dns) keeps of an instance's networks.

It reads one file for each network, and ends when there is none. A container that ended with its
host, where /run outlives that, never has its line taken out: the resolver would answer with
addresses of pods that are gone, and would run for ever.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

_FOLDER = Path("/run/containers/networks/aardvark-dns")
_PROGRAM = "aardvark-dns"


def forget(instance: str, *, keep: str = "", folder: Path = _FOLDER) -> list[str]:
    """Remove what the resolver keeps of an instance's management networks.

    Args:
        instance: The instance's name.
        keep: The name of the network that stays, if any.
        folder: Where the resolver looks; it is common to all of Podman's stores.

    Returns:
        The names of the networks that it knew.
    """
    ours = re.compile(rf"{re.escape(instance)}-management(-[0-9a-f]+)?")
    found = sorted(
        path.name for path in folder.glob("*") if ours.fullmatch(path.name) and path.name != keep
    )
    for name in found:
        (folder / name).unlink(missing_ok=True)
    if found:
        _tell_resolver(folder)
    return found


def _tell_resolver(folder: Path) -> None:
    """Have the resolver read its files again."""
    try:
        number = int((folder / "aardvark.pid").read_text())
        program = Path(f"/proc/{number}/comm").read_text().strip()
        if program == _PROGRAM:  # the number may have become another program's
            os.kill(number, signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return  # it does not run
