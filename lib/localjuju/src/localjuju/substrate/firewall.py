"""The nftables ruleset that forwards service addresses. All pure.

A service address belongs to this host (a link of our own holds it) and is forwarded only on the
ports that the charm opened, only to backends that are healthy. Everything else that is sent to
it is refused at once, so a client tries again instead of waiting for a timeout.

The ruleset is loaded in one transaction. Connections that exist are known to the kernel's
connection tracking and go on as they are: a backend that leaves drains gracefully.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from localjuju.substrate.protocol import ServiceSpec

_CHAIN_PREFIX = "NETAVARK-"  # a chain of one network
_PROTOCOLS = ("tcp", "udp")


@dataclasses.dataclass(frozen=True)
class Forward:
    """One open port of one service address, and the backends that get its traffic now."""

    address: str
    protocol: str
    port: int
    backends: tuple[str, ...]


def forwards(services: Iterable[ServiceSpec], ready: AbstractSet[str]) -> tuple[Forward, ...]:
    """Return what is to be forwarded.

    Args:
        services: Every service of the instance.
        ready: Addresses of the units that are healthy.
    """
    found: list[Forward] = []
    for service in services:
        backends = tuple(address for address in service.backends if address in ready)
        for text in service.ports:
            port, _, protocol = text.partition("/")
            if protocol in _PROTOCOLS:
                found.append(Forward(service.address, protocol, int(port), backends))
    return tuple(sorted(found, key=lambda forward: dataclasses.astuple(forward)))


@dataclasses.dataclass(frozen=True)
class Inside:
    """A TCP port of this host that only what is on a bridge may use."""

    address: str
    port: int
    bridge: str


def render(
    table: str,
    subnet: str,
    addresses: Iterable[str],
    wanted: Sequence[Forward],
    inside: Inside | None = None,
) -> str:
    """Return the ruleset for `nft -f`: replaces the whole table in one transaction.

    Args:
        table: Name of the instance's table.
        subnet: The management network, CIDR.
        addresses: Every service address, also of services without an open port.
        wanted: What to forward; entries without a backend are refused.
        inside: A port that is refused to all but the network's own members.
    """
    rules = [_forward(forward) for forward in wanted if forward.backends]
    # A backend that is its own client, or its client's neighbour on the bridge, would answer
    # directly, from an address that the client does not know: answers come back through here.
    masquerade = f"ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade"
    chains: Mapping[str, Sequence[str]] = {
        "prerouting": (
            "type nat hook prerouting priority dstnat; policy accept;",
            "jump services",
        ),
        "output": ("type nat hook output priority -100; policy accept;", "jump services"),
        "postrouting": (
            "type nat hook postrouting priority srcnat; policy accept;",
            masquerade,
        ),
        "input": (
            "type filter hook input priority filter; policy accept;",
            "ct state established,related accept",
            *_inside(inside),
            *_refusals(sorted(set(addresses))),
        ),
    }
    body = "".join(_chain(name, lines) for name, lines in {"services": rules, **chains}.items())
    return f"table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n{body}}}\n"


def remove(table: str) -> str:
    """Return the ruleset that removes the table, whether or not it is there."""
    return f"table ip {table}\ndelete table ip {table}\n"


def stale(saved: str, subnet: str) -> list[tuple[str, ...]]:
    """Return the commands that remove what Podman left of a network in its own chains.

    Podman takes its rules away with the last container, unless that one's end was not clean.

    Args:
        saved: What `iptables-save` prints.
        subnet: The network, CIDR.
    """
    rules: list[tuple[str, ...]] = []
    chains: list[tuple[str, ...]] = []
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        words = shlex.split(line) if line.startswith("-A ") else []
        if subnet not in words:
            continue
        rules.append(("iptables", "-t", table, "-D", *words[1:]))
        target = words[-1]
        if words[1] == "POSTROUTING" and target.startswith(_CHAIN_PREFIX):
            chains += [("iptables", "-t", table, option, target) for option in ("-F", "-X")]
    return rules + chains


def _chain(name: str, lines: Sequence[str]) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _forward(forward: Forward) -> str:
    match = f"ip daddr {forward.address} {forward.protocol} dport {forward.port}"
    if len(forward.backends) == 1:
        return f"{match} dnat to {forward.backends[0]}"
    table = ", ".join(f"{number} : {address}" for number, address in enumerate(forward.backends))
    return f"{match} dnat to numgen random mod {len(forward.backends)} map {{ {table} }}"


def _inside(inside: Inside | None) -> Sequence[str]:
    if inside is None:
        return ()
    match = f'iifname != "{inside.bridge}" ip daddr {inside.address} tcp dport {inside.port}'
    return (f"{match} reject with tcp reset",)


def _refusals(addresses: Sequence[str]) -> Sequence[str]:
    if not addresses:
        return ()
    match = f"ip daddr {{ {', '.join(addresses)} }}"
    return (
        f"{match} icmp type echo-request accept",
        f"{match} meta l4proto tcp reject with tcp reset",
        f"{match} reject",
    )
