"""The addresses that charms see: network-get and unit-get."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from localjuju.facts import ingress_address, interface_of
from localjuju.model import Charm, Model


def bindings(charm: Charm) -> set[str]:
    """Return the names that network-get knows: endpoints and extra bindings."""
    return {*charm.endpoints, *charm.extra_bindings}


def network_info(
    model: Model, unit: str, binding: str, hostname: str, subnets: Mapping[str, str]
) -> dict[str, Any]:
    """Return network-get's answer.

    Args:
        model: The model.
        unit: The unit that asks.
        binding: The endpoint or extra binding that it asks for.
        hostname: The host name of its pod or machine.
        subnets: Space → network, CIDR; without one, the unit's own address stands for it.
    """
    record = model.units[unit]
    space, interface = interface_of(record, model, binding)
    ingress = ingress_address(record, model, binding)
    subnet, own = subnets.get(space, ""), interface.address
    return {
        "bind-addresses": [
            {
                "interface-name": interface.name,
                "addresses": [
                    {"hostname": hostname, "value": own, "cidr": _network(subnet or own)}
                ],
            }
        ],
        "egress-subnets": [_network(ingress)] if ingress else [],
        "ingress-addresses": [ingress] if ingress else [],
    }


def _network(address: str) -> str:
    return str(ipaddress.ip_network(address, strict=False)) if address else ""
