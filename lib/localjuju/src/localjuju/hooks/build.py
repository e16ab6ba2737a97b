"""Compile the hook client: one static program that stands behind every hook command's name."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("client") / "hook-client.c"
FLAGS = ("-std=c11", "-O2", "-static", "-Wall", "-Wextra", "-Werror")


class BuildError(Exception):
    """The client cannot be compiled; the text says what is missing."""


def client_path(cache: Path) -> Path:
    """Return where the client of this source is kept in a cache folder."""
    digest = hashlib.sha256(SOURCE.read_bytes() + "\0".join(FLAGS).encode()).hexdigest()
    return cache / f"hook-client-{digest[:16]}"


def ensure_client(cache: Path, compiler: str = "cc") -> Path:
    """Return the compiled client, compiling it unless the cache has it.

    Args:
        cache: Folder to keep it in; made if missing.
        compiler: C compiler with a static C library.

    Raises:
        BuildError: There is no compiler, or it failed.
    """
    target = client_path(cache)
    if target.is_file() and os.access(target, os.X_OK):
        return target
    program = shutil.which(compiler)
    if program is None:
        raise BuildError(
            f"cannot compile the hook client: no {compiler} found; install a C compiler with "
            "its static C library (Debian and Ubuntu: gcc and libc6-dev)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder) / target.name
        done = subprocess.run(
            [program, *FLAGS, "-o", str(fresh), str(SOURCE)],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise BuildError(f"cannot compile the hook client: {lines[-1]}")
        fresh.chmod(0o755)
        fresh.replace(target)  # one step: another process may compile the same
    return target
