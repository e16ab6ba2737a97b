"""What an instance leaves on the host besides its containers, and how that is removed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from localjuju.settings import Settings
from localjuju.substrate import commands, firewall, host_state, links, names, resolver
from localjuju.substrate.runner import Runner

_CGROUPS = Path("/sys/fs/cgroup")
_ATTEMPTS = 20  # monitors end a moment after their containers
_PAUSE = 0.1


def cgroup_folders(root: Path, parent: str) -> list[Path]:
    """Return the folders of a cgroup in every hierarchy, deepest first."""
    name = parent.lstrip("/")
    tops = [path for path in (root / name, *root.glob(f"*/{name}")) if path.is_dir()]
    below = [path for top in tops for path in top.rglob("*") if path.is_dir()]
    return sorted((*tops, *below), key=lambda path: len(path.parts), reverse=True)


async def remove(runner: Runner, settings: Settings) -> list[str]:
    """Remove network, firewall table, links, cgroups and folders; return what was there."""
    instance = settings.instance
    removed: list[str] = []
    networks = [names.network(settings)]
    networks += [names.space_network(settings, space.name) for space in settings.spaces]
    for network in networks:
        definition = commands.networks_dir(settings) / f"{network}.json"
        if definition.exists():
            definition.unlink()
            removed.append(f"network {network}")
    # After the containers: Podman takes their lines out itself, and the resolver's end with them.
    known = await asyncio.to_thread(resolver.forget, instance)
    removed += [f"names of network {network}" for network in known]
    table = names.table(instance)
    if (await runner.run(("nft", "list", "table", "ip", table))).code == 0:
        rules = firewall.remove(table).encode()
        await runner.check(f"remove the firewall table {table}", ("nft", "-f", "-"), rules)
        removed.append(f"firewall table {table}")
    if shutil.which("iptables-save"):
        saved = (await runner.run(("iptables-save",))).stdout.decode()
        for subnet in settings.subnets.values():
            for command in firewall.stale(saved, subnet):
                removed.append(f"firewall rule {' '.join(command[1:])}")
                await runner.check("remove a firewall rule", command)
    bridges = [names.space_bridge(instance, space.name) for space in settings.spaces]
    removed += [
        f"link {link}"
        for link in (names.service_link(instance), names.bridge(instance), *bridges)
        if await links.remove_link(runner, link)
    ]
    if await remove_cgroups(names.cgroup(instance, "cgroupfs")):
        removed.append(f"cgroup {names.cgroup(instance, 'cgroupfs')}")
    removed += await host_state.restore(runner, settings)
    folders = [
        settings.home / "models",
        commands.tools_dir(settings),
        names.runtime_dir(settings),
    ]
    for folder in folders:
        if await asyncio.to_thread(remove_tree, folder):
            removed.append(f"folder {folder}")
    # Podman makes this one anew at each call, so it is no sign of anything left.
    await asyncio.to_thread(remove_tree, commands.networks_dir(settings))
    for program in (commands.agent_program(settings), settings.home / "hook-client"):
        program.unlink(missing_ok=True)
    shared = names.runtime_dir(settings).parent
    if shared.is_dir() and not any(shared.iterdir()):
        shared.rmdir()
    return removed


def remove_tree(folder: Path) -> bool:
    """Remove a folder with all that is in it; return whether it was there."""
    if not folder.exists():
        return False
    shutil.rmtree(folder)
    return True


async def remove_cgroups(parent: str, container: str = "") -> bool:
    """Remove the empty folders that a cgroup leaves; return whether there were any.

    Args:
        parent: The parent of the instance's cgroups.
        container: Only those of the container with this id.
    """
    found = False
    for _ in range(_ATTEMPTS):
        folders = [f for f in cgroup_folders(_CGROUPS, parent) if container in str(f)]
        if not folders:
            return found
        found = True
        for folder in folders:
            try:
                folder.rmdir()
            except OSError:  # somebody is still in it
                break
        else:
            continue
        await asyncio.sleep(_PAUSE)
    return found
