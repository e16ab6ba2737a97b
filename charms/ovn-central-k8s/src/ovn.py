"""OVN central: its cluster, its connections, what clients are told. Pure; no Juju, no Pebble."""

from collections.abc import Iterator
from typing import Any

from charmkit.interfaces import ovsdb_cms
from charmkit.service import Task
from charmkit.spec import Publication, Snapshot, Values

SCRIPTS = "/var/lib/charmkit"
TLS = "/etc/ovn/tls"
MEMBERS = "/etc/ovn/members.env"
TRUST = "{{ certificates.ca }}{% if receive_ca_cert %}{{ receive_ca_cert.bundle }}{% endif %}"
OWNED: dict[str, Any] = {"user": "ovn", "group": "ovn", "mode": 0o400, "restarts": False}
PORTS = (
    ovsdb_cms.NORTHBOUND_PORT,
    ovsdb_cms.SOUTHBOUND_PORT,
    ovsdb_cms.SOUTHBOUND_ADMIN_PORT,
)
FIRST = "cluster"
"""Task by which the others see that a cluster was made, which they then join."""

CLIENTS = ovsdb_cms.Provider()


def others(snapshot: Snapshot) -> tuple[str, ...]:
    """Name the hosts of the other units, sorted."""
    units = snapshot.peers.remote_units if snapshot.peers else ()
    suffix = f"{snapshot.app}-endpoints.{snapshot.model}.svc.cluster.local"
    return tuple(sorted(f"{unit.replace('/', '-')}.{suffix}" for unit in units))


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the templates need beyond options and relations."""
    hosts = others(snapshot)

    def servers(socket: str, port: int) -> str:
        far = [ovsdb_cms.connection(hosts, port)] if hosts else []
        return ",".join([f"unix:/run/ovn/{socket}.sock", *far])

    makes = snapshot.is_leader and FIRST not in seen["facts"]
    return {
        "host": snapshot.addresses.unit_name,
        # Who makes the cluster joins nobody; who comes later joins all that are there.
        "members": () if makes else hosts,
        "northbound": servers("ovnnb", PORTS[0]),
        "southbound": servers("ovnsb", PORTS[2]),
    }


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Announce the cluster, and open it to clients."""
    yield Task(
        name=FIRST,
        argv=("echo", "{}"),
        message="making the cluster",
        facts=True,
    )
    config = snapshot.config
    yield Task(
        name="connections",
        argv=(
            *("sh", f"{SCRIPTS}/connect.sh"),
            str(1000 * int(config["inactivity-probe"])),
            str(1000 * int(config["election-timer"])),
            *map(str, PORTS),
        ),
        message="opening the databases",
        when="online",
    )


def is_reached_from_outside(snapshot: Snapshot) -> bool:
    """Tell whether a client is outside the cluster of Kubernetes."""
    return any(map(CLIENTS.is_external, CLIENTS.requests(snapshot)))


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell clients where this unit's servers are, once they answer and are open."""
    opened = seen["online"]
    yield CLIENTS.respond(
        snapshot,
        hostname=snapshot.addresses.unit_name if opened else "",
        address=snapshot.addresses.unit_ip if opened else "",
        load_balancer=snapshot.load_balancer,
    )
