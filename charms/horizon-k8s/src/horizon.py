"""Horizon: its names and files. Pure; no Juju, no Pebble."""

import dataclasses
from typing import Any

from charmkit.interfaces import tls_certificates
from charmkit.spec import Snapshot, Values, in_url

PORT = 443
SETTINGS = "/etc/horizon/local_settings.py"
CERTIFICATE = "/etc/horizon/tls/cert.pem"
KEY = "/etc/horizon/tls/key.pem"
TRUSTED = "/etc/horizon/tls/ca.pem"
STATIC = "/usr/share/horizon/static"


def _subject(snapshot: Snapshot) -> tls_certificates.Subject | None:
    """Give the unit's names and the one by which browsers call."""
    own = tls_certificates.unit_subject(snapshot)
    name = str(snapshot.config.get("external-hostname", ""))
    if own is None or not name:
        return own
    return dataclasses.replace(own, hostnames=tuple(sorted({*own.hostnames, name})))


CERTIFICATES = tls_certificates.Requirer(subject=_subject)


def values(snapshot: Snapshot, seen: Values) -> dict[str, Any]:
    """Give what the templates need beyond options and relations."""
    where = snapshot.addresses
    named = str(snapshot.config["external-hostname"])
    return {
        "static": STATIC,
        "trusted_file": TRUSTED,
        "certificate_file": CERTIFICATE,
        "key_file": KEY,
        "port": PORT,
        "hosts": sorted({*where.hostnames, *where.ips, snapshot.load_balancer, named} - {""}),
    }


def url(snapshot: Snapshot) -> str:
    """Give the dashboard's address for browsers."""
    address = snapshot.load_balancer or snapshot.addresses.service_ip
    return f"https://{snapshot.config['external-hostname'] or in_url(address)}/"
