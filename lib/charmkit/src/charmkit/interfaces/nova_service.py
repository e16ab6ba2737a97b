"""`nova-service`: what a hypervisor has to know of the compute service.

The wire format is that of the published `nova_service` library, version 0: the provider writes
into its application bag, the requirer writes nothing. `metadata-proxy-shared-secret-id` is the URI
of a Juju secret that is granted to the requirer. Ours adds `metadata-url`, where machines reach
the metadata API, and `novnc-proxy-url`, the page of consoles; we have no console of SPICE, so
`spice-proxy-url` stays empty.

The message broker is not part of it. Hypervisors have a relation `amqp` of their own and ask there
for the virtual host `VHOST`, which they share with the compute service.

Source: sunbeam-charms, `nova_k8s/v0/nova_service`.
"""

import dataclasses
import urllib.parse
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

VHOST = "nova"
"""Virtual host of the message broker on which the compute service and hypervisors talk."""

_METADATA_PORT = 8775
_SECRET_KEY = "metadata-proxy-shared-secret"  # noqa: S105 - a name


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider."""

    region: str | None = None
    spice_proxy_url: str | None = None
    novnc_proxy_url: str | None = None
    metadata_url: str | None = None
    metadata_secret: str | None = _base.key("metadata-proxy-shared-secret-id")


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compute:
    """The compute service as a hypervisor needs it.

    Attributes:
        region: Its region.
        metadata_url: Where the metadata API answers, `https://10.20.0.9:8775`.
        metadata_secret: What the metadata API and those who pass requests on to it share.
        console_url: The page that shows consoles, or "" if there is none.
    """

    region: str
    metadata_url: str
    metadata_secret: str = dataclasses.field(repr=False)
    console_url: str = ""

    @property
    def metadata_protocol(self) -> str:
        """Give `https` or `http`."""
        return urllib.parse.urlsplit(self.metadata_url).scheme

    @property
    def metadata_host(self) -> str:
        """Give the name or address of the metadata API."""
        return urllib.parse.urlsplit(self.metadata_url).hostname or ""

    @property
    def metadata_port(self) -> int:
        """Give the port of the metadata API."""
        return urllib.parse.urlsplit(self.metadata_url).port or _METADATA_PORT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Know the compute service.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "nova-service"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret of the metadata API."""
        uri = self._answer(snapshot).metadata_secret
        return (uri,) if uri else ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for nothing: the relation is the request."""
        return None

    def read(self, snapshot: Snapshot) -> Compute | None:
        """Give the compute service once its metadata API and the secret are known."""
        answer = self._answer(snapshot)
        secret = snapshot.secrets.get(answer.metadata_secret or "", {}).get(_SECRET_KEY)
        if not (answer.metadata_url and secret):
            return None
        return Compute(
            region=answer.region or "RegionOne",
            metadata_url=answer.metadata_url,
            metadata_secret=secret,
            console_url=answer.novnc_proxy_url or "",
        )

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        return _base.answer(ProviderBag, snapshot, self.endpoint)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Tell hypervisors about the compute service.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "nova-service"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the one secret that all clients read."""
        return (self.endpoint,)

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def respond(self, snapshot: Snapshot, compute: Compute) -> Publication:
        """Tell every client."""
        relations = snapshot.related(self.endpoint)
        if not relations:
            return Publication()
        told = ProviderBag(
            region=compute.region,
            novnc_proxy_url=compute.console_url or None,
            metadata_url=compute.metadata_url,
        )
        bag: dict[str, BagValue] = _base.dump(told)
        bag["metadata-proxy-shared-secret-id"] = SecretRef(self.endpoint)
        secret = OwnedSecret(
            label=self.endpoint,
            content={_SECRET_KEY: compute.metadata_secret},
            grants=tuple(relation.id for relation in relations),
            description="what the metadata API and hypervisors share",
        )
        return Publication(
            bags=tuple(Publish(relation_id=relation.id, app=bag) for relation in relations),
            secrets=(secret,),
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what the compute service publishes, whatever our bags hold."""
    uri = "secret:novametadata00000000"
    return _base.RemoteSide(
        app_bag={
            "region": "RegionOne",
            "novnc-proxy-url": "https://10.20.0.9:6080/vnc_lite.html",
            "metadata-url": "https://10.20.0.9:8775",
            "metadata-proxy-shared-secret-id": uri,
        },
        secrets={uri: {_SECRET_KEY: "s3cret-metadata"}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a hypervisor publishes: nothing."""
    return _base.RemoteSide()
