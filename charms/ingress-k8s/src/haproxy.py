"""HAProxy: its settings, its reload, and the URLs that clients are told. Pure."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from charmkit.interfaces import ingress, tls_certificates
from charmkit.service import Task, digest
from charmkit.spec import Publication, Snapshot, Values, in_url

PROGRAM = "/usr/sbin/haproxy"
CONFIG = "/etc/haproxy/haproxy.cfg"
CERTIFICATE = "/etc/haproxy/tls/server.pem"
TRUSTED = "/etc/haproxy/tls/ca.pem"
PID = "/run/haproxy/haproxy.pid"
PROBE = "/var/lib/charmkit/online.sh"
RELOAD = "/var/lib/charmkit/reload.sh"
PORTS = (443, 80)

CLIENTS = ingress.Provider()


def _subject(snapshot: Snapshot) -> tls_certificates.Subject | None:
    """Give the unit's names and the one by which clients call."""
    own = tls_certificates.unit_subject(snapshot)
    name = str(snapshot.config.get("external-hostname", ""))
    if own is None or not name:
        return own
    return dataclasses.replace(own, hostnames=tuple(sorted({*own.hostnames, name})))


CERTIFICATES = tls_certificates.Requirer(subject=_subject)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """The units that serve below one prefix.

    Attributes:
        prefix: First part of the path.
        scheme: `http` or `https`.
        port: Where the units serve.
        strip: Whether the units do not want to see the prefix.
        path: Path that answers when a unit is well, or "".
        servers: The units.
    """

    prefix: str
    scheme: str
    port: int
    strip: bool
    path: str
    servers: tuple[ingress.Server, ...]


def backends(snapshot: Snapshot) -> tuple[Backend, ...]:
    """Give the backends, sorted by prefix.

    An application that asks twice, for its public and its internal URL, is served once.
    """
    found = {
        request.prefix: Backend(
            prefix=request.prefix,
            scheme=request.scheme,
            port=request.port,
            strip=request.strip_prefix,
            path=request.path,
            servers=request.servers,
        )
        for request in CLIENTS.requests(snapshot)
    }
    return tuple(found[prefix] for prefix in sorted(found))


def values(snapshot: Snapshot, seen: Values) -> dict[str, Any]:
    """Give what the templates need beyond options and relations."""
    return {
        "backends": backends(snapshot),
        "tls_file": CERTIFICATE,
        "trusted_file": TRUSTED,
    }


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Check new settings before they are used, and load them without losing a connection."""
    inputs = (
        digest(
            [
                [dataclasses.asdict(each) for each in seen["backends"]],
                dataclasses.asdict(seen["certificates"]),
                dataclasses.asdict(seen["receive_ca_cert"]) if seen["receive_ca_cert"] else None,
                dict(seen["config"]),
            ]
        ),
    )
    yield Task(
        name="settings",
        argv=(PROGRAM, "-c", "-q", "-f", CONFIG),
        message="checking the settings",
        inputs=inputs,
        on="unit",
    )
    yield Task(
        name="reload",
        argv=("sh", RELOAD, PID),
        message="loading the settings",
        inputs=inputs,
        on="unit",
        when="online",
    )


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell each client its URL, once we serve.

    What was told stays when we do not: the address is the same when we are back, and the services
    would all start anew.
    """
    address = snapshot.load_balancer or snapshot.addresses.service_ip
    host = seen["config"]["external_hostname"] or in_url(address)
    urls = {
        request.relation_id: f"https://{host}/{request.prefix}"
        for request in CLIENTS.requests(snapshot)
    }
    if host and seen["online"]:
        yield CLIENTS.respond(snapshot, urls)
