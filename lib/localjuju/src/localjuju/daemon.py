"""The engine as a process: `python -m localjuju.daemon HOME`.

One instance per home, by a lock that the kernel gives back however the process ends. SIGTERM
and SIGINT stop it cleanly; pods live on in any case.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import logging.handlers
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from localjuju import settings as settings_module
from localjuju.api import Server
from localjuju.engine import Engine
from localjuju.kubernetes import PORT, KubernetesServer, open_accounts
from localjuju.settings import Settings, SettingsError
from localjuju.store import StoreError
from localjuju.substrate import names
from localjuju.substrate.podman import PodmanSubstrate
from localjuju.substrate.protocol import SubstrateError

_LOG = logging.getLogger(__name__)
_LOG_LIMIT = 4 * 1024 * 1024
# Who only asks whether an engine runs holds the lock for a moment, too: see `process.engine_pid`.
_LOCK_PAUSES = (0.01, 0.05, 0.2)


class DaemonError(Exception):
    """The engine cannot run here; the text says why."""


def lock(home: Path) -> TextIO:
    """Take the home's lock and write this process' id into it; hold it while the file is open.

    Raises:
        DaemonError: Another engine holds it.
    """
    path = home / "engine.lock"
    file = path.open("a+", encoding="ascii")
    for pause in (*_LOCK_PAUSES, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if pause is not None:
                time.sleep(pause)
    else:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise DaemonError(f"an engine runs for {home} already (process {holder})")
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


async def serve(settings: Settings) -> None:
    """Run the engine and its socket until a signal comes or the engine fails.

    Raises:
        StoreError: The database cannot be used.
        SubstrateError: The substrate cannot be prepared.
        OSError: The socket cannot be made.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    substrate = PodmanSubstrate(settings)
    accounts = open_accounts(settings.home / "kubernetes", names.gateway(settings.subnet), PORT)
    engine = Engine(
        settings,
        substrate,
        hook_socket=lambda model, unit, machine: (
            names.hook_dir(settings, model, unit, machine) / names.HOOK_SOCKET
        ),
        accounts=accounts,
    )
    cluster = KubernetesServer(accounts, engine)
    await cluster.start()  # before any hook runs
    await engine.start()
    server = Server(engine)
    await server.start()
    _LOG.info("serving %s", settings.socket)
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, engine.failure}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    await server.stop()
    await cluster.stop()
    if engine.failure.done():
        engine.failure.result()  # raises: nothing is stored after a failure
    await engine.stop()
    await substrate.close()
    _LOG.info("stopped")


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_LIMIT, backupCount=1)
    path.chmod(0o600)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def main() -> None:
    """Run the engine of the home that is the first argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m localjuju.daemon HOME")
    home = Path(sys.argv[1])
    try:
        settings = settings_module.load(home)
        held = lock(home)
    except (SettingsError, DaemonError, OSError) as error:
        sys.exit(f"error: {error}")
    _log_to(home / "engine.log")
    with held:
        try:
            asyncio.run(serve(settings))
        except (StoreError, SubstrateError, OSError) as error:
            _LOG.error("%s", error)
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
