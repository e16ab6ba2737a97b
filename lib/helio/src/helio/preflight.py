"""Look at the machine before anything is changed: what is missing, and what to do about it.

`read_facts` reads, `problems` judges; so every rule can be tested without a machine.
"""

import dataclasses
import ipaddress
import itertools
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from helio.host import HelioError, Host
from helio.packing import BASES
from helio.report import Reporter
from helio.settings import Settings

GIB = 1024**3
MACHINE = "x86_64"  # the release's images and charms are made for it
MINIMUM_CPUS = 2
MINIMUM_MEMORY = 8 * GIB  # the cloud takes about six, each instance what its flavor says
FREE_MEMORY = 8 * GIB  # with less to spare the machine may run out of it
MINIMUM_DISK = 24 * GIB  # images, their build, the databases and volumes

TUN = Path("/dev/net/tun")  # instances' and Open vSwitch's network devices come from it
KVM = Path("/dev/kvm")

# Linux capabilities that Podman and the engine need: a container without them cannot be a host.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known about the machine.

    Args:
        user: Effective user id.
        base: Distribution and version: `debian-12`.
        machine: The kernel's name of the architecture: `x86_64`.
        cpus: Processors that may be used.
        memory: All memory, bytes.
        free: Memory that could be used now, bytes.
        disk: Free space where the home will be, bytes.
        capabilities: The process's effective capabilities, as a bit set.
        filesystems: File systems that the kernel has now.
        routes: Networks that the machine has routes to, without the default route.
        devices: Device files that there are, of those that are looked for.
        subnets: The networks that the cloud wants: key in `helio.yaml` → network.
        is_set_up: Whether the cloud's engine is there already, so that the routes may be its own.
    """

    user: int
    base: str
    machine: str
    cpus: int
    memory: int
    free: int
    disk: int
    capabilities: int
    filesystems: frozenset[str]
    routes: tuple[str, ...]
    devices: frozenset[Path]
    subnets: Mapping[str, str]
    is_set_up: bool


def read_facts(host: Host, settings: Settings) -> Facts:
    """Read the facts that the rules judge."""
    status = host.read(Path("/proc/self/status"))
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return Facts(
        user=os.geteuid(),
        base=base_of(host.read(Path("/etc/os-release"))),
        machine=platform.machine(),
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        free=free_memory(host.read(Path("/proc/meminfo"))),
        disk=shutil.disk_usage(_existing(settings.home)).free,
        capabilities=int(effective.split()[1], 16),
        filesystems=frozenset(host.read(Path("/proc/filesystems")).split()),
        routes=routes_of(host.read(Path("/proc/net/route"))),
        devices=frozenset(path for path in (TUN, KVM) if host.exists(path)),
        subnets={
            "subnet": settings.subnet,
            "tunnel-subnet": settings.tunnel_subnet,
            "external-subnet": settings.external_subnet,
        },
        is_set_up=host.exists(settings.engine_home / "settings.json"),
    )


def problems(facts: Facts) -> list[str]:
    """Return what stands in the way, each with its remedy."""
    found: list[str] = []
    if facts.user != 0:
        found.append("helio needs root to start containers: run it with sudo")
    if facts.base not in BASES:
        found.append(f"{facts.base} is not supported: use {' or '.join(sorted(BASES))}")
    if facts.machine != MACHINE:
        found.append(f"architecture {facts.machine} is not supported: use {MACHINE}")
    if facts.cpus < MINIMUM_CPUS:
        found.append(f"{facts.cpus} processor: give the machine {MINIMUM_CPUS} or more")
    if facts.memory < MINIMUM_MEMORY * 0.95:  # firmware and kernel keep some for themselves
        found.append(
            f"{facts.memory / GIB:.1f} GiB of memory: give the machine "
            f"{MINIMUM_MEMORY // GIB} GiB or more"
        )
    if facts.disk < MINIMUM_DISK and not facts.is_set_up:
        found.append(
            f"{facts.disk / GIB:.1f} GiB of free disk space: make room for "
            f"{MINIMUM_DISK // GIB} GiB, or set HELIO_HOME to a folder on another disk"
        )
    for name, bit in CAPABILITIES.items():
        if facts.user == 0 and not facts.capabilities >> bit & 1:
            found.append(f"{name} is missing: if this is a container, start it privileged")
    if "overlay" not in facts.filesystems:
        found.append("the kernel has no overlay file system: run `modprobe overlay`")
    if TUN not in facts.devices:
        found.append(f"there is no {TUN}: run `modprobe tun`, or give the container the device")
    return found + _overlaps(facts)


def warnings(facts: Facts) -> list[str]:
    """Return what an operator should know, though it does not stand in the way."""
    found: list[str] = []
    if facts.free < FREE_MEMORY * 0.95 and not facts.is_set_up:
        found.append(
            f"{facts.free / GIB:.1f} GiB of memory are free; "
            f"the cloud with two small instances takes about {FREE_MEMORY // GIB} GiB"
        )
    if KVM not in facts.devices:
        found.append(f"there is no {KVM}: instances will run in software emulation, slowly")
    return found


def free_memory(meminfo: str) -> int:
    """Return the memory that can be used without swapping, bytes: from `/proc/meminfo`."""
    rows = (line.split() for line in meminfo.splitlines())
    return next((int(row[1]) * 1024 for row in rows if row[0] == "MemAvailable:"), 0)


def base_of(os_release: str) -> str:
    """Return distribution and version from the text of `/etc/os-release`: `debian-12`."""
    pairs = (line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    values = {key: value.strip().strip("\"'") for key, value in pairs}
    return f"{values.get('ID', 'unknown')}-{values.get('VERSION_ID', 'unknown')}"


def routes_of(table: str) -> tuple[str, ...]:
    """Return the networks in `/proc/net/route`, without the default route.

    Addresses and masks stand there as little-endian hexadecimal numbers.
    """
    found: list[str] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, mask = (
            ipaddress.IPv4Address(bytes.fromhex(fields[column])[::-1]) for column in (1, 7)
        )
        if int(mask):
            found.append(str(ipaddress.IPv4Network(f"{address}/{mask}", strict=False)))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Preflight:
    """Refuse a machine that cannot run a cloud, before anything on it is changed."""

    settings: Settings
    title: str = "Check the machine"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return False: the machine may have changed since the last look."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Judge the machine.

        Raises:
            HelioError: names everything that stands in the way, with the remedies.
        """
        facts = read_facts(host, self.settings)
        for warning in warnings(facts):
            reporter.warn(warning)
        found = problems(facts)
        if found:
            raise HelioError("cannot bootstrap on this machine: " + "; ".join(found))


def _overlaps(facts: Facts) -> list[str]:
    if facts.is_set_up:
        return []
    wanted = {key: ipaddress.IPv4Network(text) for key, text in facts.subnets.items()}
    routed = [
        f"{key} {network} overlaps the machine's route to {route}: put `{key}: <another network>` "
        "into helio.yaml in the home folder, and for a second cloud on this machine "
        "`instance: <another name>`, too"
        for key, network in wanted.items()
        for route in facts.routes
        if network.overlaps(ipaddress.IPv4Network(route))
    ]
    among = [
        f"{one} {wanted[one]} overlaps {other} {wanted[other]}: change one in helio.yaml"
        for one, other in itertools.combinations(wanted, 2)
        if wanted[one].overlaps(wanted[other])
    ]
    return routed + among


def _existing(path: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(place for place in (path, *path.parents) if place.exists())
