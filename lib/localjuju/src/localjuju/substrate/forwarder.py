"""Keeps service addresses, the firewall's rules and hosts files as pods and services are."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence

from localjuju.kubernetes import PORT as KUBERNETES_PORT
from localjuju.settings import Settings
from localjuju.substrate import commands, firewall, hosts, links, names, records
from localjuju.substrate.protocol import ServiceSpec, SubstrateError
from localjuju.substrate.records import Forwarding, Key, PodRecord
from localjuju.substrate.runner import Runner

_LOG = logging.getLogger(__name__)
_AGAIN = 1.0  # seconds


class Forwarder:
    """Forwards service addresses to units that are ready.

    What is loaded stays loaded while no engine runs.

    Args:
        settings: The instance.
        runner: Starts `nft` and `ip`.
        pods: The pods that exist; looked at anew for each change.
        readiness: Tells whether a unit may get traffic; None: not known yet, so it keeps what
            it had when the rules were last loaded.
    """

    def __init__(
        self,
        settings: Settings,
        runner: Runner,
        pods: Mapping[Key, PodRecord],
        readiness: Callable[[Key], bool | None],
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._pods = pods
        self._readiness = readiness
        self._state = records.load_forwarding(settings)
        self._loaded = ""
        self._lock = asyncio.Lock()

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """The services as last set."""
        return self._state.services

    def had_traffic(self, key: Key) -> bool:
        """Tell whether a unit was ready when the rules were last loaded."""
        record = self._pods.get(key)
        return record is not None and record.address in self._state.ready

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        """Make the service addresses lead as given."""
        self._state = dataclasses.replace(self._state, services=tuple(services))
        self.write_hosts()
        await self.update()

    async def update(self) -> None:
        """Load the rules for the present services and readiness, if they differ."""
        async with self._lock:
            ready = {record.address for key, record in self._pods.items() if self._is_ready(key)}
            self._state = Forwarding(self._state.services, frozenset(ready))
            instance = self._settings.instance
            addresses = sorted(service.address for service in self.services if service.address)
            rules = firewall.render(
                names.table(instance),
                self._settings.subnet,
                addresses,
                firewall.forwards(self.services, ready),
                self._inside(),
            )
            if rules == self._loaded:
                return
            await links.set_addresses(self._runner, names.service_link(instance), addresses)
            load = ("nft", "-f", "-")
            await self._runner.check("load the firewall's rules", load, rules.encode())
            self._loaded = rules
            records.save_forwarding(self._settings, self._state)

    def _inside(self) -> firewall.Inside:
        settings = self._settings
        gateway, bridge = names.gateway(settings.subnet), names.bridge(settings.instance)
        return firewall.Inside(gateway, KUBERNETES_PORT, bridge)

    async def follow(self) -> None:
        """Update after a unit became ready, or is no more, however often it takes.

        A change of readiness is told once: where the update fails, nobody else would try again.
        """
        while True:
            try:
                await self.update()
                return
            except SubstrateError as error:
                _LOG.warning("%s; trying again", error)
                await asyncio.sleep(_AGAIN)

    def _is_ready(self, key: Key) -> bool:
        known = self._readiness(key)
        return self.had_traffic(key) if known is None else known

    def write_hosts(self) -> None:
        """Bring the hosts files of all pods up to date."""
        units = [hosts.Entry(r.model, r.unit, r.address) for r in self._pods.values()]
        services = [hosts.Entry(s.model, s.app, s.address) for s in self.services if s.address]
        for own in units:
            path = commands.hosts_file(self._settings, own.model, own.name)
            hosts.write(path, hosts.render(own, units, services))
