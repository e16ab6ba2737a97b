"""The way out, the project's own network, and who may come in."""

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helio.clients import CLOUD, DEMO
from helio.demo.account import project_of
from helio.sdk import Clouds, Connection
from helio.steps import Ensure, Step

EXTERNAL = "external"
NETWORK, SUBNET, ROUTER = f"{DEMO}-network", f"{DEMO}-subnet", f"{DEMO}-router"
TENANT_SUBNET = "192.168.222.0/24"
PHYSICAL_NETWORK = "physnet1"
RESOLV_CONF = Path("/etc/resolv.conf")

# Who may come in from outside: ssh, and ping.
RULES: tuple[Mapping[str, Any], ...] = (
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
    {"protocol": "icmp", "port_range_min": None, "port_range_max": None},
)


def pool_of(subnet: str) -> tuple[str, str, str]:
    """Return gateway, first and last floating IP of the external network.

    The last addresses are the machines' own.
    """
    network = ipaddress.IPv4Network(subnet)
    return str(network[1]), str(network[10]), str(network[-57])


def resolvers_of(resolv_conf: str) -> tuple[str, ...]:
    """Return the name servers of a resolv.conf that instances can reach, too."""
    rows = (line.split() for line in resolv_conf.splitlines())
    found = (ipaddress.ip_address(row[1]) for row in rows if row[:1] == ["nameserver"])
    return tuple(str(each) for each in found if each.version == 4 and not each.is_loopback)


class Networks:
    """Has the steps to networks, and to who may come in.

    Args:
        clouds: Connections.
        external: The network of floating IPs, `172.24.4.0/24`.
        resolvers: Name servers for instances.
    """

    def __init__(self, clouds: Clouds, external: str, resolvers: tuple[str, ...]):
        self._clouds = clouds
        self._external = external
        self._resolvers = resolvers

    def steps(self) -> Iterator[Step]:
        """Yield the steps."""
        for title, outline, find, make in (
            (
                "Make the external network",
                f"make the flat network {EXTERNAL} on {PHYSICAL_NETWORK}",
                lambda: self._one("networks", name=EXTERNAL, is_router_external=True) is not None,
                self._make_external,
            ),
            (
                "Make the external subnet",
                f"make the subnet {EXTERNAL}: {self._external}",
                lambda: self._one("subnets", name=EXTERNAL) is not None,
                self._make_external_subnet,
            ),
            (
                "Make the demo network",
                f"make the network {NETWORK}",
                lambda: self._own("networks", NETWORK) is not None,
                lambda: self._demo.network.create_network(name=NETWORK),
            ),
            (
                "Make the demo subnet",
                f"make the subnet {SUBNET}: {TENANT_SUBNET}",
                lambda: self._own("subnets", SUBNET) is not None,
                self._make_subnet,
            ),
            (
                "Make the demo router",
                f"make the router {ROUTER} between {NETWORK} and {EXTERNAL}",
                self._has_router,
                self._make_router,
            ),
            (
                "Make the security group",
                f"make the security group {DEMO}, which lets ssh and ping in",
                lambda: not self._missing_rules(),
                self._make_group,
            ),
        ):
            yield Ensure(title, outline, find, lambda _reporter, make=make: make())

    def _make_external(self) -> None:
        self._admin.network.create_network(
            name=EXTERNAL,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=PHYSICAL_NETWORK,
        )

    def _make_external_subnet(self) -> None:
        gateway, first, last = pool_of(self._external)
        self._admin.network.create_subnet(
            name=EXTERNAL,
            network_id=self._one("networks", name=EXTERNAL, is_router_external=True).id,
            ip_version=4,
            cidr=self._external,
            gateway_ip=gateway,
            is_dhcp_enabled=False,
            allocation_pools=[{"start": first, "end": last}],
        )

    def _make_subnet(self) -> None:
        self._demo.network.create_subnet(
            name=SUBNET,
            network_id=self._own("networks", NETWORK).id,
            ip_version=4,
            cidr=TENANT_SUBNET,
            dns_nameservers=list(self._resolvers),
        )

    def _has_router(self) -> bool:
        router = self._own("routers", ROUTER)
        subnet = self._own("subnets", SUBNET)
        return router is not None and subnet is not None and self._is_joined(router, subnet)

    def _make_router(self) -> None:
        external = self._one("networks", name=EXTERNAL, is_router_external=True)
        router = self._own("routers", ROUTER) or self._demo.network.create_router(
            name=ROUTER, external_gateway_info={"network_id": external.id}
        )
        subnet = self._own("subnets", SUBNET)
        if not self._is_joined(router, subnet):
            self._demo.network.add_interface_to_router(router, subnet_id=subnet.id)

    def _is_joined(self, router: Any, subnet: Any) -> bool:
        ports = self._admin.network.ports(device_id=router.id)
        return any(
            address["subnet_id"] == subnet.id for port in ports for address in port.fixed_ips
        )

    def _missing_rules(self) -> list[Mapping[str, Any]]:
        group = self._own("security_groups", DEMO)
        if group is None:
            return list(RULES)
        present = list(
            self._admin.network.security_group_rules(
                security_group_id=group.id, direction="ingress"
            )
        )
        return [
            rule
            for rule in RULES
            if not any(all(each[key] == value for key, value in rule.items()) for each in present)
        ]

    def _make_group(self) -> None:
        group = self._own("security_groups", DEMO)
        group = group or self._demo.network.create_security_group(
            name=DEMO, description="ssh and ping from everywhere"
        )
        for rule in self._missing_rules():
            self._demo.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ether_type="IPv4", **rule
            )

    def _one(self, kind: str, **query: Any) -> Any:
        """Return the first thing of a kind that the network service knows, or None."""
        return next(iter(getattr(self._admin.network, kind)(**query)), None)

    def _own(self, kind: str, name: str) -> Any:
        """Return a thing of the project, or None."""
        project = project_of(self._admin)
        return self._one(kind, name=name, project_id=project.id) if project else None

    @property
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)

    @property
    def _demo(self) -> Connection:
        return self._clouds.connect(DEMO)
