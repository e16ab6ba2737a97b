"""Whether a service can be used, for the interfaces that tell nothing else.

The wire format is that of the published `service_readiness` library, version 0: the provider
writes `ready`, a JSON boolean, into its application bag; the requirer writes nothing. The address
of the service stands in Keystone's catalogue.

Source: sunbeam-charms, `sunbeam_libs/v0/service_readiness`.
"""

import dataclasses
from collections.abc import Iterable

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider; `ready` is a JSON boolean."""

    ready: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ready:
    """The service can be used."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Wait for the service.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for nothing: the relation is the request."""
        return None

    def read(self, snapshot: Snapshot) -> Ready | None:
        """Give a value once the provider says that it is ready."""
        bag = _base.answer(ProviderBag, snapshot, self.endpoint)
        return Ready() if _base.from_json(bag.ready) is True else None


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Tell clients that the service can be used.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def respond(self, snapshot: Snapshot, *, ready: bool) -> Publication:
        """Tell every client whether the service can be used."""
        bag = _base.dump(ProviderBag(ready=_base.to_json(ready)))
        return Publication(
            bags=tuple(
                Publish(relation_id=relation.id, app=bag)
                for relation in snapshot.related(self.endpoint)
            )
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what the service publishes, whatever our bags hold."""
    return _base.RemoteSide(app_bag={"ready": "true"})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes: nothing."""
    return _base.RemoteSide()
