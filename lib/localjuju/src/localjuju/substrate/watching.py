"""The watch over one unit: its agent and the Pebbles of its workload containers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from localjuju.settings import Settings
from localjuju.substrate import agent_client, names, pebble
from localjuju.substrate.health import Readiness
from localjuju.substrate.protocol import Notice, PodEvent, SubstrateError

_HURRY = 5.0  # seconds of silence during which an agent is looked for ten times a second


class UnitWatch:
    """Watches a unit until it is stopped.

    Args:
        settings: The instance.
        model: The unit's model.
        unit: Name of the unit.
        containers: Its workload containers.
        after: Container → time of its newest delivered notice.
        machine: The machine that the unit is on; empty for a pod. A new process of the agent is
            no new start of a machine.
        was_ready: Whether it had traffic when the engine ended; it keeps it till the first look.
        emit: Called with everything that happens.
        on_ready: Called when the unit as a whole became ready for traffic, or is no more.
        on_silence: Awaited with the seconds for which a container has not answered.
    """

    def __init__(
        self,
        settings: Settings,
        model: str,
        unit: str,
        containers: Sequence[str],
        after: Mapping[str, str],
        machine: str = "",
        *,
        was_ready: bool,
        emit: Callable[[PodEvent], None],
        on_ready: Callable[[bool], None],
        on_silence: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._model = model
        self._unit = unit
        self._machine = machine
        self._emit = emit
        self._on_ready = on_ready
        self._on_silence = on_silence
        self._readiness = {
            name: Readiness(ready=was_ready) for name in containers or (names.CHARM_CONTAINER,)
        }
        self.ready = was_ready
        self._tasks = [asyncio.create_task(self._watch_agent())]
        self._tasks += [
            asyncio.create_task(self._watch_pebble(name, after.get(name, "")))
            for name in containers
        ]

    async def stop(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell(
        self,
        kind: str,
        container: str = "",
        *,
        boot_id: str = "",
        notices: tuple[Notice, ...] = (),
        healthy: bool = False,
    ) -> None:
        self._emit(PodEvent(kind, self._model, self._unit, container, boot_id, notices, healthy))

    def _look(self, container: str, healthy: bool) -> None:
        self._readiness[container].look(healthy)
        ready = all(one.ready for one in self._readiness.values())
        if ready != self.ready:
            self.ready = ready
            self._on_ready(ready)
            self._tell("health", healthy=ready)

    async def _watch_pebble(self, container: str, after: str) -> None:
        watch = pebble.Watch(
            names.pebble_socket(self._settings, self._model, self._unit, container),
            after,
            on_boot=lambda boot_id: self._tell("pebble", container, boot_id=boot_id),
            on_gone=partial(self._pebble_gone, container),
            on_notices=lambda notices: self._tell("notices", container, notices=notices),
            on_health=partial(self._look, container),
            on_silence=self._on_silence,
            is_ready=lambda: self._readiness[container].ready,
        )
        await watch.run()

    def _pebble_gone(self, container: str) -> None:
        self._tell("pebble-gone", container)
        self._look(container, healthy=False)

    async def _watch_agent(self) -> None:
        """Hold a connection to the agent: its end is the end of the charm container."""
        path = names.agent_socket(self._settings, self._model, self._unit, self._machine)
        alone = names.CHARM_CONTAINER in self._readiness
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        known = ""
        while True:
            try:
                async with agent_client.watching(path) as (hello, reader):
                    started = hello["boot" if self._machine else "id"]
                    if started != known:
                        known = started
                        self._tell("charm-started", names.CHARM_CONTAINER, boot_id=known)
                    if alone:
                        self._readiness[names.CHARM_CONTAINER].look(healthy=True)
                        self._look(names.CHARM_CONTAINER, healthy=True)
                    await reader.read()
                silent_since = loop.time()
            except SubstrateError:
                pass
            silence = loop.time() - silent_since
            if alone:
                self._look(names.CHARM_CONTAINER, healthy=False)
            await self._on_silence(silence)
            await asyncio.sleep(0.1 if silence < _HURRY else 1.0)
