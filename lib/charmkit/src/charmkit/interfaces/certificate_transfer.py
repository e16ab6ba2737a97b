"""`certificate_transfer`: CA certificates that the other end shall trust.

Version 1 of the interface: a JSON list of PEM texts in the provider's application bag, for
requirers that announce `version` 1 in theirs. For requirers that announce nothing, version 0 is
spoken: `ca`, `certificate` and `chain` in the bag of each provider unit.

Source: interface `certificate_transfer` v0 and v1 of charm-relation-interfaces.
"""

import dataclasses
import typing
from collections.abc import Iterable, Iterator

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot

_VERSION = "1"
_BEGIN = "-----BEGIN CERTIFICATE-----"


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of a provider, version 1. `certificates` is a JSON list of PEM texts."""

    certificates: str | None = None
    version: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderUnitBag:
    """Unit bag of a provider, version 0. `chain` is a JSON list; the others are PEM texts.

    Some libraries write the PEM texts as JSON strings too.
    """

    ca: str | None = None
    certificate: str | None = None
    chain: str | None = None
    version: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of a requirer."""

    version: str | None = None


def _pems(*texts: str | None) -> Iterator[str]:
    """Give every PEM certificate in databag values, whether plain, JSON string or JSON list."""
    for text in texts:
        value = _base.from_json(text)
        found = typing.cast("list[object]", value) if isinstance(value, list) else [value or text]
        for item in found:
            if isinstance(item, str) and item.strip().startswith(_BEGIN):
                yield item.strip() + "\n"


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trusted:
    """The certificates to trust.

    Attributes:
        certificates: PEM texts, each once, sorted, each with a final newline.
    """

    certificates: tuple[str, ...]

    @property
    def bundle(self) -> str:
        """Give all of them as the content of one file."""
        return "".join(self.certificates)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask what to trust. Several providers may be integrated; their certificates are merged.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "receive-ca-cert"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: certificates are public."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: certificates are public."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Announce that we speak version 1."""
        relations = snapshot.related(self.endpoint)
        if not relations:
            return None
        bag = _base.dump(RequirerBag(version=_VERSION))
        return Publication(
            bags=tuple(Publish(relation_id=relation.id, app=bag) for relation in relations)
        )

    def read(self, snapshot: Snapshot) -> Trusted | None:
        """Give the certificates once there is one from every provider."""
        found = [tuple(self._received(relation)) for relation in snapshot.related(self.endpoint)]
        if not found or not all(found):
            return None
        return Trusted(certificates=tuple(sorted({pem for pems in found for pem in pems})))

    def _received(self, relation: RelationData) -> Iterator[str]:
        yield from _pems(_base.parse(ProviderBag, relation.remote_app).certificates)
        for bag in relation.remote_units.values():
            old = _base.parse(ProviderUnitBag, bag)
            yield from _pems(old.ca, old.certificate, old.chain)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """That one requirer wants to know what to trust, and the version that it speaks."""

    relation_id: int
    app: str
    version: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Tell others what to trust.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "send-ca-cert"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: certificates are public."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: certificates are public."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give the requirers, sorted by relation."""
        return tuple(
            Request(
                relation_id=relation.id,
                app=relation.app,
                version=int(_base.parse(RequirerBag, relation.remote_app).version == _VERSION),
            )
            for relation in snapshot.related(self.endpoint)
        )

    def respond(self, snapshot: Snapshot, certificates: Iterable[str]) -> Publication:
        """Publish certificates, in the version that each requirer speaks.

        Args:
            snapshot: What was seen.
            certificates: PEM texts. The first one is what version 0 calls `certificate` and `ca`.
        """
        chain = list(dict.fromkeys(pem.strip() for pem in certificates))
        new = _base.dump(
            ProviderBag(certificates=_base.to_json(sorted(chain)), version=_VERSION)
            if chain
            else ProviderBag()
        )
        old = _base.dump(
            ProviderUnitBag(ca=chain[0], certificate=chain[0], chain=_base.to_json(chain))
            if chain
            else ProviderUnitBag()
        )
        nothing = _base.dump(ProviderUnitBag())
        return Publication(
            bags=tuple(
                Publish(relation_id=request.relation_id, app=new, unit=nothing)
                if request.version
                else Publish(relation_id=request.relation_id, unit=old)
                for request in self.requests(snapshot)
            )
        )


# --- test data ---------------------------------------------------------------------------------

_PEM = f"{_BEGIN}\nMIIBtest\n-----END CERTIFICATE-----\n"


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a provider publishes once it has seen our bags."""
    if _base.parse(RequirerBag, local_app).version == _VERSION:
        return _base.RemoteSide(
            app_bag={"certificates": _base.to_json([_PEM]), "version": _VERSION}
        )
    chain = _base.to_json([_PEM])
    return _base.RemoteSide(unit_bag={"ca": _PEM, "certificate": _PEM, "chain": chain})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a requirer publishes, whatever our bags hold."""
    return _base.RemoteSide(app_bag={"version": _VERSION})
