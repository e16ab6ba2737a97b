"""`cinder-ceph-key`: what a hypervisor needs to open volumes in Ceph (endpoint `ceph-access`).

The wire format is that of the published `ceph_access` library, version 0: the provider names a
Juju secret in its application bag; the secret has the client's key, and the UUID under which
libvirt is to keep it. The other facts of a volume come with its connection.

Source: sunbeam-charms, `cinder_volume_ceph/v0/ceph_access`.
"""

import dataclasses
import hashlib
import uuid
from collections.abc import Iterable

from charmkit.interfaces import _base
from charmkit.spec import (
    Bag,
    BagValue,
    OwnedSecret,
    Publication,
    Publish,
    RelationData,
    SecretRef,
    Snapshot,
)

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider: the URI of a secret with `uuid` and `key`."""

    access_credentials: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Access:
    """A key that libvirt is to know.

    Attributes:
        app: The application that gave it.
        uuid: The UUID under which libvirt keeps it.
        key: The key.
    """

    app: str
    uuid: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for the keys; there may be several providers, each with a storage of its own.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "ceph-access"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret of each provider."""
        return filter(None, map(self._uri, snapshot.related(self.endpoint)))

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for nothing: the relation is the request."""
        return None

    def read(self, snapshot: Snapshot) -> tuple[Access, ...] | None:
        """Give the keys of all providers, sorted by relation, once none is missing."""
        found = [self._access(snapshot, each) for each in snapshot.related(self.endpoint)]
        complete = tuple(each for each in found if each is not None)
        return complete if found and len(complete) == len(found) else None

    def _access(self, snapshot: Snapshot, relation: RelationData) -> Access | None:
        content = snapshot.secrets.get(self._uri(relation) or "", {})
        uuid, key = content.get("uuid"), content.get("key")
        return Access(app=relation.app, uuid=uuid, key=key) if uuid and key else None

    def _uri(self, relation: RelationData) -> str | None:
        return _base.parse(ProviderBag, relation.remote_app).access_credentials


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give a key to hypervisors.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "ceph-access"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the one secret that all clients read."""
        return (self.endpoint,)

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def respond(self, snapshot: Snapshot, *, uuid: str, key: str) -> Publication:
        """Tell every client the key and the UUID under which libvirt is to keep it."""
        relations = snapshot.related(self.endpoint)
        if not relations:
            return Publication()
        bag: dict[str, BagValue] = {"access-credentials": SecretRef(self.endpoint)}
        secret = OwnedSecret(
            label=self.endpoint,
            content={"uuid": uuid, "key": key},
            grants=tuple(relation.id for relation in relations),
            description="key for volumes in Ceph, for hypervisors",
        )
        return Publication(
            bags=tuple(Publish(relation_id=relation.id, app=bag) for relation in relations),
            secrets=(secret,),
        )


def libvirt_uuid(fsid: str, user: str) -> str:
    """Give the UUID of a client's key: the same on every unit, another for another cluster."""
    made = hashlib.sha256(f"libvirt:{fsid}:{user}".encode()).digest()[:16]
    return str(uuid.UUID(bytes=made, version=4))


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a storage publishes, whatever our bags hold."""
    uri = "secret:cephaccess0000000000"
    content = {
        "uuid": "11111111-2222-4333-8444-555555555555",
        "key": "AQAAAAAAAAAAABAAs3cr3ts3cr3ts3cr3tse==",
    }
    return _base.RemoteSide(app_bag={"access-credentials": uri}, secrets={uri: content})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a hypervisor publishes: nothing."""
    return _base.RemoteSide()
