"""`ingress`: one URL for all units of an application, from outside the model.

The wire format is that of the published `ingress` library, version 2: every value is JSON. The
requirer writes into its application bag where it serves (`model`, `name`, `port`, `scheme`,
`strip-prefix`, `healthcheck-params`) and into each unit bag that unit's `host` and `ip`; the
provider answers `{"url": …}` under `ingress`.

Our provider forwards `https://<address>/<model>-<name>/…`, takes the prefix away and says so in
`X-Forwarded-Prefix`.

Source: charmlibs, `ingress` (traefik-k8s-operator, `traefik_k8s/v2/ingress`).
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer; every value is JSON."""

    model: str | None = None
    name: str | None = None
    port: str | None = None
    scheme: str | None = None
    strip_prefix: str | None = None
    redirect_https: str | None = None
    healthcheck_params: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerUnitBag:
    """Unit bag of the requirer; every value is JSON."""

    host: str | None = None
    ip: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider; `ingress` is JSON with `url`."""

    ingress: str | None = None


# --- requirer ----------------------------------------------------------------------------------

PUBLIC = "ingress-public"
"""The endpoint of an API for the URL that the world uses."""

INTERNAL = "ingress-internal"
"""The endpoint of an API for the URL that the other services use."""


@dataclasses.dataclass(frozen=True)
class Ingress:
    """Where clients find us.

    Attributes:
        url: Without a slash at its end. "" while the provider has not told it: an API serves at
            its own address until then, and is active. Only Keystone lets its clients wait.
    """

    url: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for a URL.

    Attributes:
        endpoint: Our endpoint.
        port: Where our units serve.
        path: Path that answers without a token when a unit is well.
        scheme: How our units serve.
    """

    endpoint: str
    port: int
    path: str = "/"
    scheme: str = "https"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Tell where this unit serves."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        app = RequirerBag(
            model=_base.to_json(snapshot.model),
            name=_base.to_json(snapshot.app),
            port=_base.to_json(self.port),
            scheme=_base.to_json(self.scheme),
            strip_prefix=_base.to_json(True),
            redirect_https=_base.to_json(True),
            healthcheck_params=_base.to_json(
                {"path": self.path, "scheme": self.scheme, "port": self.port}
            ),
        )
        where = snapshot.addresses
        unit = RequirerUnitBag(
            host=_base.to_json(where.unit_name), ip=_base.to_json(where.unit_ip or None)
        )
        bag = Publish(relation_id=relation.id, app=_base.dump(app), unit=_base.dump(unit))
        return Publication(bags=(bag,))

    def read(self, snapshot: Snapshot) -> Ingress | None:
        """Give the URL; None only if there is no relation."""
        return Ingress(self.url(snapshot)) if snapshot.relation(self.endpoint) else None

    def url(self, snapshot: Snapshot) -> str:
        """Give the URL that the provider has told, or "" if it has told none."""
        told = _base.answer(ProviderBag, snapshot, self.endpoint)
        url = _object(told.ingress).get("url")
        return url.rstrip("/") if isinstance(url, str) else ""


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """A unit that serves.

    Attributes:
        unit: The unit.
        host: Its host name, which its certificate has if it serves TLS.
        address: Where it is reached: its IP, or the host name.
    """

    unit: str
    host: str
    address: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for.

    Attributes:
        relation_id: The client's relation.
        model: Its model.
        name: Its application, as it calls itself.
        port: Where its units serve.
        scheme: `http` or `https`.
        strip_prefix: Whether its units do not want to see the prefix.
        path: Path that answers when a unit is well, or "".
        servers: Its units, sorted by name.
    """

    relation_id: int
    model: str
    name: str
    port: int
    scheme: str
    strip_prefix: bool
    path: str
    servers: tuple[Server, ...]

    @property
    def prefix(self) -> str:
        """Give the first part of the path of its URL, without slashes."""
        return f"{self.model}-{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give URLs.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "ingress"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give the complete requests, sorted by relation."""
        found = (_request(relation) for relation in snapshot.related(self.endpoint))
        return tuple(request for request in found if request is not None)

    def respond(self, snapshot: Snapshot, urls: Mapping[int, str]) -> Publication:
        """Tell clients their URLs.

        Args:
            snapshot: What was seen.
            urls: Relation id → URL.
        """
        return Publication(
            bags=tuple(
                Publish(
                    relation_id=relation.id,
                    app=_base.dump(
                        ProviderBag(ingress=_base.to_json({"url": urls[relation.id]}))
                        if relation.id in urls
                        else ProviderBag()
                    ),
                )
                for relation in snapshot.related(self.endpoint)
            )
        )


def _request(relation: RelationData) -> Request | None:
    bag = _base.parse(RequirerBag, relation.remote_app)
    model, name, port = (_base.from_json(text) for text in (bag.model, bag.name, bag.port))
    scheme = _base.from_json(bag.scheme) or "http"
    texts = isinstance(model, str) and isinstance(name, str) and isinstance(port, int)
    # They become parts of a configuration file and of URLs.
    if not (texts and _is_name(model) and _is_name(name) and scheme in ("http", "https")):
        return None
    path = _object(bag.healthcheck_params).get("path")
    servers = (_server(unit, data) for unit, data in sorted(relation.remote_units.items()))
    return Request(
        relation_id=relation.id,
        model=model,
        name=name,
        port=port,
        scheme=scheme,
        strip_prefix=_base.from_json(bag.strip_prefix) is True,
        path=path if isinstance(path, str) and path.startswith("/") and path.isprintable() else "",
        servers=tuple(server for server in servers if server is not None),
    )


def _server(unit: str, data: Bag) -> Server | None:
    bag = _base.parse(RequirerUnitBag, data)
    host, address = _base.from_json(bag.host), _base.from_json(bag.ip)
    if not isinstance(host, str) or not _is_name(host.replace(".", "-")):
        return None
    usable = isinstance(address, str) and all(each in "0123456789abcdef.:" for each in address)
    return Server(unit=unit, host=host, address=address if usable else host)


def _is_name(text: str) -> bool:
    return text.replace("-", "").isalnum() and text.isascii()


def _object(text: str | None) -> dict[str, typing.Any]:
    found = _base.from_json(text)
    return typing.cast("dict[str, typing.Any]", found) if isinstance(found, dict) else {}


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what an ingress publishes once it has seen our bags; nothing before we asked."""
    model, name = (_base.from_json(local_app.get(key)) for key in ("model", "name"))
    if not name:
        return _base.RemoteSide()
    url = f"https://10.8.0.80/{model}-{name}"
    return _base.RemoteSide(app_bag={"ingress": _base.to_json({"url": url})})


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client with one unit publishes, whatever our bags hold."""
    app = {
        "model": "test",
        "name": "placement",
        "port": 8778,
        "scheme": "https",
        "strip-prefix": True,
        "healthcheck-params": {"path": "/"},
    }
    host = "placement-0.placement-endpoints.test.svc.cluster.local"
    unit = {"host": host, "ip": "10.1.0.7"}
    return _base.RemoteSide(
        app_bag={key: _base.to_json(value) for key, value in app.items()},
        unit_bag={key: _base.to_json(value) for key, value in unit.items()},
    )
