"""The engine's process as others see it: does one run for a home, and end it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

STOP_SECONDS = 40.0
"""Running hooks get 20 seconds to end; the rest is for a busy host."""
_KILL_SECONDS = 10.0
_PAUSE = 0.05


class ProcessError(Exception):
    """The engine's process cannot be ended; the text says which one."""


def engine_pid(home: Path) -> int | None:
    """Return the process that holds the home's lock; None when nobody does.

    The kernel gives the lock back however a process ends, so that a stale number in the file
    is never believed.
    """
    try:
        with (home / "engine.lock").open("r+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read().strip()
                return int(text) if text.isdigit() else None
    except FileNotFoundError:
        return None
    return None


@contextlib.contextmanager
def held(home: Path) -> Generator[None, None, None]:
    """Hold the home's lock, so that no engine starts meanwhile.

    Raises:
        ProcessError: An engine holds it.
    """
    with (home / "engine.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessError(
                f"an engine runs in {home} again, as process {engine_pid(home)}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def stop_engine(home: Path, *, kill: bool = False) -> int | None:
    """End the engine of a home, and wait for its end; pods live on.

    Args:
        home: The engine's home.
        kill: Whether to end it by force when it does not follow the polite request.

    Returns:
        The process that was ended; None when none ran.

    Raises:
        ProcessError: It still runs.
    """
    pid = engine_pid(home)
    if pid is None:
        return None
    _signal(pid, signal.SIGTERM)
    if _ended(home, pid, STOP_SECONDS):
        return pid
    if kill:
        _signal(pid, signal.SIGKILL)
        if _ended(home, pid, _KILL_SECONDS):
            return pid
    raise ProcessError(f"cannot stop the engine in {home}: process {pid} still runs")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ProcessError(f"cannot stop process {pid}: run the command as root") from error


def _ended(home: Path, pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if engine_pid(home) != pid:
            return True
        time.sleep(_PAUSE)
    return False
