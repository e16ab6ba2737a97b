"""`cinder-backend`: Cinder's API and the services with its storage (endpoint `storage-backend`).

The wire format is that of the published `storage_backend` library, version 0: the requirer, the
API, writes `ready`, a JSON boolean, into its application bag once its schema is there; the
provider, the volume service, writes nothing.

Added by us: the provider tells its `backends`, a JSON list of objects with `name` and `driver`.
A provider that tells none is one, too.

Source: sunbeam-charms, `cinder_k8s/v0/storage_backend`.
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer; `ready` is a JSON boolean."""

    ready: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider; `backends` is a JSON list, sorted by name."""

    backends: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """One storage of a volume service.

    Attributes:
        name: Its `volume_backend_name`, by which a volume type chooses it.
        driver: What drives it, `ceph`, `lvm` …
    """

    name: str
    driver: str


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Know what storage there is, and tell its services when they may start.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "storage-backend"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for nothing: `answer` tells when the API is ready."""
        return None

    def read(self, snapshot: Snapshot) -> tuple[Backend, ...] | None:
        """Give the backends that were told, sorted by name, each once.

        It is complete as soon as there is a relation: the services wait for us, and the published
        ones tell nothing.
        """
        relations = snapshot.related(self.endpoint)
        if not relations:
            return None
        found = {each for relation in relations for each in _backends(relation)}
        return tuple(sorted(found, key=lambda each: (each.name, each.driver)))

    def answer(self, snapshot: Snapshot, *, ready: bool) -> Publication:
        """Tell every volume service whether the API is ready."""
        bag = _base.dump(RequirerBag(ready=_base.to_json(ready)))
        return Publication(
            bags=tuple(
                Publish(relation_id=relation.id, app=bag)
                for relation in snapshot.related(self.endpoint)
            )
        )


def _backends(relation: RelationData) -> list[Backend]:
    value = _base.from_json(_base.parse(ProviderBag, relation.remote_app).backends)
    items = typing.cast("list[object]", value) if isinstance(value, list) else []
    maps = [typing.cast("Mapping[str, object]", x) for x in items if isinstance(x, dict)]
    return [
        Backend(name=str(each["name"]), driver=str(each.get("driver") or ""))
        for each in maps
        if each.get("name")
    ]


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Ready:
    """The API has made its schema, so that a volume service may start."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give storage to an API, and wait for it.

    It is a need as well: a volume service does not start before the API has made the schema.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "storage-backend"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def is_ready(self, snapshot: Snapshot) -> bool:
        """Tell whether every API that is related has made its schema; False without any."""
        bags = [
            _base.parse(RequirerBag, relation.remote_app)
            for relation in snapshot.related(self.endpoint)
        ]
        return bool(bags) and all(_base.from_json(bag.ready) is True for bag in bags)

    def respond(self, snapshot: Snapshot, *, backends: Iterable[Backend]) -> Publication:
        """Tell every API what storage there is."""
        listed = sorted(map(dataclasses.asdict, backends), key=lambda each: each["name"])
        bag = _base.dump(ProviderBag(backends=_base.to_json(listed)))
        return Publication(
            bags=tuple(
                Publish(relation_id=relation.id, app=bag)
                for relation in snapshot.related(self.endpoint)
            )
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a volume service publishes, whatever our bags hold."""
    listed = [dataclasses.asdict(Backend(name="ceph", driver="ceph"))]
    return _base.RemoteSide(app_bag={"backends": _base.to_json(listed)})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what an API publishes, whatever our bags hold."""
    return _base.RemoteSide(app_bag={"ready": "true"})
