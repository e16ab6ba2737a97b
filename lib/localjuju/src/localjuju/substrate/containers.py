"""What pods and machines have in common: their first processes, their images, their Python."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from localjuju.settings import Settings
from localjuju.substrate import agent_client, commands
from localjuju.substrate.protocol import SubstrateError
from localjuju.substrate.records import Key
from localjuju.substrate.runner import Runner

_AGENT_ANSWERS_WITHIN = 20.0  # seconds after the pod or the service was started


class Holders:
    """Watches first processes: with one of them its pod or machine has ended.

    Args:
        on_end: Called with the pod or machine whose process has ended; that is not watched then.
    """

    def __init__(self, on_end: Callable[[Key], None]) -> None:
        self._on_end = on_end
        self._descriptors: dict[Key, int] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._descriptors

    def hold(self, key: Key, process: int) -> bool:
        """Watch a process, in place of the one before; return whether it is there at all."""
        self.let_go(key)
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            return False
        self._descriptors[key] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, key)
        return True

    def _ended(self, key: Key) -> None:
        self.let_go(key)
        self._on_end(key)

    def let_go(self, key: Key) -> None:
        """Stop watching a process, if it is watched."""
        descriptor = self._descriptors.pop(key, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Stop watching."""
        for key in list(self._descriptors):
            self.let_go(key)


async def why_not_made(runner: Runner, settings: Settings, image: str, reason: str) -> str:
    """Return why a container could not be made: its image is missing, else Podman's reason."""
    exists = commands.podman(settings, "image", "exists", image)
    if (await runner.run(exists)).code == 0:
        return reason
    return f"the image {image} is not in {settings.store_root}; build or load it first"


async def check_python(path: Path, unit: str, wanted: str | None, place: str) -> None:
    """Wait for a unit's agent, and check that it runs on the Python of the unit's charm.

    Args:
        path: The agent's socket.
        unit: The unit.
        wanted: As the charm was packed for, like `3.11`; None: any.
        place: What the Python belongs to.

    Raises:
        SubstrateError: The agent does not answer, or runs on another Python.
    """
    async with agent_client.watching(path, _AGENT_ANSWERS_WITHIN) as (hello, _):
        found = hello["python"]
    if wanted and found != wanted:
        raise SubstrateError(
            f"cannot run {unit}: its charm is packed for Python {wanted}, {place} has {found}; "
            "pack the charm for that one"
        )
