"""The addresses that charms see: network-get and unit-get."""

from __future__ import annotations

import ipaddress
from typing import Any

from localjuju.model import Charm, Model


def ingress_address(model: Model, unit: str) -> str:
    """Return where others reach the unit's application: the service, else the pod."""
    record = model.units[unit]
    return model.applications[record.app].service_address or record.address


def bindings(charm: Charm) -> set[str]:
    """Return the names that network-get knows: endpoints and extra bindings."""
    return {*charm.endpoints, *charm.extra_bindings}


def network_info(model: Model, unit: str, hostname: str, subnet: str) -> dict[str, Any]:
    """Return network-get's answer.

    Args:
        model: The model.
        unit: The unit that asks.
        hostname: The pod's host name.
        subnet: Network of the pods, CIDR; empty = only the pod's own address.
    """
    pod = model.units[unit].address
    ingress = ingress_address(model, unit)
    cidr = str(ipaddress.ip_network(subnet, strict=False)) if subnet else _host_network(pod)
    return {
        "bind-addresses": [
            {
                "interface-name": "eth0",
                "addresses": [{"hostname": hostname, "value": pod, "cidr": cidr}],
            }
        ],
        "egress-subnets": [_host_network(ingress)] if ingress else [],
        "ingress-addresses": [ingress] if ingress else [],
    }


def _host_network(address: str) -> str:
    return str(ipaddress.ip_network(address)) if address else ""
