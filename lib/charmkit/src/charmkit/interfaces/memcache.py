"""`memcache`: servers that keep what may be lost.

The wire format is that of the published charms: each unit of the provider writes `host` and `port`
into its own bag; the requirer writes nothing. Nothing here is secret. A client that keeps secrets
in the cache encrypts them with a key of its own (`charmkit.caching`).

Source: charm-interface-memcache; charm memcached, endpoint `cache`.
"""

import dataclasses
from collections.abc import Iterable

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Bag of each unit of the provider."""

    host: str | None = None
    port: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cache:
    """Servers, among which a client spreads its keys.

    Attributes:
        servers: `host:port` of each, sorted: all clients have to spread them alike. Empty while
            none answers: who only saves time by a cache goes on without.
    """

    servers: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Use a cache.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "cache"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for nothing: the relation is the request."""
        return None

    def read(self, snapshot: Snapshot) -> Cache | None:
        """Give the servers that answer; None only without a relation."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        told = [_base.parse(ProviderBag, bag) for bag in relation.remote_units.values()]
        servers = sorted(f"{each.host}:{each.port}" for each in told if each.host and each.port)
        return Cache(tuple(servers))


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Tell clients where this unit's server is.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "cache"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def respond(self, snapshot: Snapshot, *, host: str, port: int) -> Publication:
        """Tell every client where this unit's server is.

        Args:
            snapshot: What was seen.
            host: Its name or address; "" while it does not answer.
            port: Its port.
        """
        bag = _base.dump(ProviderBag(host=host or None, port=str(port) if host else None))
        return Publication(
            bags=tuple(
                Publish(relation_id=relation.id, unit=bag)
                for relation in snapshot.related(self.endpoint)
            )
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a server publishes, whatever our bags hold."""
    host = "memcached-0.memcached-endpoints.test.svc.cluster.local"
    return _base.RemoteSide(unit_bag={"host": host, "port": "11211"})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes: nothing."""
    return _base.RemoteSide()
