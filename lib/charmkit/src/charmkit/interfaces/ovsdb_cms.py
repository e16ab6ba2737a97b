"""`ovsdb-cms`: the northbound and southbound databases of OVN.

The wire format is that of the published `ovsdb` library, version 0: each unit of the provider
writes the name and the address of its servers into its own bag, the application writes the address
of its load balancer for requirers outside the cluster. Ports are agreed. There is no secret in
this interface: who connects shows a certificate of the authority that both ends trust.

The southbound database listens twice. On the port of hypervisors a client may change what belongs
to the chassis that its certificate names, and nothing else: that is for `ovn-controller`. The
other port is for clients which change more, such as Neutron and its metadata agents.

Source: sunbeam-charms, `ovn_central_k8s/v0/ovsdb`; ports as in charm-ovn-central.
"""

import dataclasses
from collections.abc import Iterable

from charmkit.interfaces import _base
from charmkit.spec import Bag, Publication, Publish, RelationData, Snapshot, in_url

NORTHBOUND_PORT = 6641
SOUTHBOUND_PORT = 6642
SOUTHBOUND_ADMIN_PORT = 16642


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer; `external_connectivity` is a JSON boolean."""

    external_connectivity: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitBag:
    """Bag of each unit of the provider."""

    bound_hostname: str | None = None
    bound_address: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    A provider that only passes on what it was told says `true` in `proxy_relation`, and gives the
    connection strings themselves.
    """

    loadbalancer_address: str | None = None
    proxy_relation: str | None = None
    northbound: str | None = _base.key("db_nb_connection_strs")
    southbound: str | None = _base.key("db_sb_connection_strs")


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Databases:
    """Where the databases are: connection strings of OVS, `ssl:HOST:PORT[,ssl:HOST:PORT …]`.

    Attributes:
        northbound: What the cloud wants; "" if it cannot be reached from where we are.
        southbound: For `ovn-controller`.
        southbound_admin: For clients with more rights.
    """

    northbound: str
    southbound: str
    southbound_admin: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Use the databases.

    Attributes:
        external: Whether we are on a machine outside the cluster, and need an address that can be
            reached from there.
        endpoint: Our endpoint.
    """

    external: bool = False
    endpoint: str = "ovsdb-cms"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Tell whether we are outside the cluster."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        wanted = RequirerBag(external_connectivity=_base.to_json(self.external))
        return Publication(bags=(Publish(relation_id=relation.id, app=_base.dump(wanted)),))

    def read(self, snapshot: Snapshot) -> Databases | None:
        """Give the databases once an address is known that we can reach."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        told = _base.parse(ProviderBag, relation.remote_app)
        if told.proxy_relation == "true":
            north, south = told.northbound, told.southbound
            if not (north and south):
                return None
            return Databases(northbound=north, southbound=south, southbound_admin=south)
        if self.external:
            hosts = [told.loadbalancer_address] if told.loadbalancer_address else []
        else:
            bags = [_base.parse(UnitBag, bag) for bag in relation.remote_units.values()]
            # Addresses first: the clients of OVS resolve names only with a library of their own,
            # and read the file of hosts once.
            hosts = sorted(filter(None, (bag.bound_address or bag.bound_hostname for bag in bags)))
        if not hosts:
            return None
        return Databases(
            northbound="" if self.external else connection(hosts, NORTHBOUND_PORT),
            southbound=connection(hosts, SOUTHBOUND_PORT),
            southbound_admin=connection(hosts, SOUTHBOUND_ADMIN_PORT),
        )


def connection(hosts: Iterable[str], port: int) -> str:
    """Give the connection string of a database that each of these hosts serves."""
    return ",".join(f"ssl:{in_url(host)}:{port}" for host in hosts)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Tell clients where the databases are.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "ovsdb-cms"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: there are no secrets in this interface."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[RelationData, ...]:
        """Give the relations; each of them is a request."""
        return snapshot.related(self.endpoint)

    def is_external(self, relation: RelationData) -> bool:
        """Tell whether a client is outside the cluster."""
        bag = _base.parse(RequirerBag, relation.remote_app)
        return _base.from_json(bag.external_connectivity) is True

    def respond(
        self, snapshot: Snapshot, *, hostname: str, address: str, load_balancer: str
    ) -> Publication:
        """Tell every client where this unit's servers are.

        Args:
            snapshot: What was seen.
            hostname: Name of this unit; "" while its servers do not answer.
            address: Its address, likewise.
            load_balancer: Address that is reached from outside the cluster, or "".
        """
        unit = _base.dump(UnitBag(bound_hostname=hostname or None, bound_address=address or None))
        return Publication(
            bags=tuple(
                Publish(
                    relation_id=relation.id,
                    unit=unit,
                    app={"loadbalancer-address": load_balancer or None},
                )
                for relation in snapshot.related(self.endpoint)
            )
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a unit with a load balancer publishes, whatever our bags hold."""
    return _base.RemoteSide(
        app_bag={"loadbalancer-address": "10.20.0.9"},
        unit_bag={
            "bound-hostname": "ovn-central-0.ovn-central-endpoints.test.svc.cluster.local",
            "bound-address": "10.1.0.7",
        },
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client in the cluster publishes."""
    return _base.RemoteSide(app_bag={"external-connectivity": "false"})
