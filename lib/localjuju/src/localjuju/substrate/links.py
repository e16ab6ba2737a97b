"""The host's links: the one that holds service addresses, and the management bridge's ports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localjuju.substrate.protocol import SubstrateError
from localjuju.substrate.runner import Runner

_PORTS = "/sys/class/net/{bridge}/brif"


def address_batch(link: str, present: Iterable[str], wanted: Iterable[str]) -> str:
    """Return the lines for `ip -batch` that make a link hold exactly the wanted addresses."""
    old, new = set(present), set(wanted)
    lines = [f"address delete {address}/32 dev {link}" for address in sorted(old - new)]
    lines += [f"address add {address}/32 dev {link}" for address in sorted(new - old)]
    return "".join(f"{line}\n" for line in lines)


async def ensure_link(runner: Runner, link: str) -> None:
    """Make the link that holds service addresses, and bring it up.

    It is a bridge without ports: such a link needs no kernel module beyond what Podman's networks
    need, and unlike Podman's bridge it stays when the last container goes.
    """
    done = await runner.run(("ip", "link", "add", link, "type", "bridge"))
    if done.code != 0 and b"File exists" not in done.stderr:
        raise SubstrateError(f"cannot make the link {link}: {done.reason}")
    await runner.check(f"bring up the link {link}", ("ip", "link", "set", link, "up"))


async def set_addresses(runner: Runner, link: str, wanted: Iterable[str]) -> None:
    """Make a link hold exactly the wanted addresses, each as a /32."""
    show = ("ip", "-json", "-4", "address", "show", "dev", link)
    shown: list[dict[str, Any]] = json.loads(
        await runner.check(f"read the addresses of {link}", show) or b"[]"
    )
    present = [info["local"] for item in shown for info in item.get("addr_info", ())]
    batch = address_batch(link, present, wanted)
    if batch:
        command = ("ip", "-batch", "-")
        await runner.check(f"set the addresses of {link}", command, batch.encode())


async def remove_link(runner: Runner, link: str) -> bool:
    """Remove a link; return whether it was there."""
    return (await runner.run(("ip", "link", "delete", link))).code == 0


def allow_hairpin(bridge: str) -> None:
    """Let a pod reach itself through its own service address.

    Where the kernel shows bridged packets to the firewall, a packet that is sent back to the
    port it came from stays on the bridge, and a bridge does not send there unless it is told to.
    """
    for switch in Path(_PORTS.format(bridge=bridge)).glob("*/hairpin_mode"):
        switch.write_text("1")
