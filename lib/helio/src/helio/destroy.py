"""Take a cloud away: the list of steps, each of which does nothing when there is nothing."""

import dataclasses
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from helio import machine
from helio.embedded import Engine
from helio.host import NOT_FOUND, Command, CommandError, Host
from helio.images import Store
from helio.journal import Changes, Journal
from helio.report import Reporter
from helio.settings import OWN_NAMES, Settings
from helio.steps import Step
from helio.tree import Tree

# Chains of Podman's network program that it never takes away itself.
PODMAN_CHAINS = "NETAVARK"

# Somebody else's files may be in a folder that we use: only what is empty goes.
_REMOVE_EMPTY = ("rmdir", "--ignore-fail-on-non-empty")


def steps(settings: Settings, tree: Tree, purge: bool) -> list[Step]:
    """Return the way back.

    Args:
        settings: The cloud.
        tree: The checkout.
        purge: Whether images, caches and installed packages go as well.
    """
    overlays = (settings.overlay("pods"), settings.overlay("machines"), settings.joining_overlay)
    # ssh-keygen leaves the list of hosts from before.
    known = (settings.known_hosts, settings.known_hosts.with_suffix(".old"))
    demo = (settings.key, settings.key.with_suffix(".pub"), *known)
    cloud = (settings.openrc, settings.clouds, settings.ca, *overlays, *demo)
    caches = (settings.cache, settings.pebble.parent) if settings.owns_store else ()
    checkout = (tree.dist, tree.build / "cache", tree.build / "pack")
    plan: list[Step] = [
        RemoveEngine(settings),
        RemoveFiles("Remove client files", (*cloud, settings.engine_home)),
        UnmountStore(settings),
        RestoreFirewall(settings.journal),
        RestoreKernel(settings.journal),
    ]
    if purge:
        plan += [
            RemoveStore(settings),
            RemoveFiles("Remove caches", (*caches, *checkout)),
            RemovePackages(settings.journal),
            RemoveHome(settings),
        ]
    return plan


@dataclasses.dataclass(frozen=True)
class RemoveEngine:
    """Remove the engine with every pod, container, network, mount and process of it."""

    settings: Settings
    title: str = "Remove the applications and the engine"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether there is no engine."""
        return not Engine(self.settings).is_initialised(host)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove it and say what it consisted of."""
        engine = Engine(self.settings)
        reporter.progress({line: "" for line in engine.preview_removal(host).splitlines()})
        for line in engine.destroy(host).splitlines():
            reporter.tell(line)


@dataclasses.dataclass(frozen=True)
class RemoveFiles:
    """Remove files and folders."""

    title: str
    paths: tuple[Path, ...]
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether none of them is there."""
        return not any(host.exists(path) for path in self.paths)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove them and say which there were."""
        for path in self.paths:
            if host.exists(path):
                host.remove(path)
                reporter.tell(f"removed {path}")


@dataclasses.dataclass(frozen=True)
class UnmountStore:
    """Unmount what Podman keeps mounted in the image store, unless containers are left in it."""

    settings: Settings
    title: str = "Unmount the image store"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether nothing is mounted there, or another cloud uses the store."""
        if not self.settings.owns_store or not self._mounts(host):
            return True
        return is_store_in_use(host, self.settings)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Unmount, the innermost first."""
        for mount in self._mounts(host):
            host.run(Command(("umount", mount)))
            reporter.tell(f"unmounted {mount}")

    def _mounts(self, host: Host) -> list[str]:
        table = host.read(Path("/proc/mounts"))
        return mounts_below(table, (self.settings.store, self.settings.store_run))


@dataclasses.dataclass(frozen=True)
class RemoveStore:
    """Remove the images with all that Podman keeps, unless the store is that of another cloud."""

    settings: Settings
    title: str = "Remove the images"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether there is no store, or it belongs to another cloud."""
        return not self.settings.owns_store or not any(map(host.exists, self._paths))

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove the store and its run-time state."""
        for path in self._paths:
            if host.exists(path):
                host.remove(path)
                reporter.tell(f"removed {path}")

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.settings.store, self.settings.store_run)


@dataclasses.dataclass(frozen=True)
class RemoveHome:
    """Remove the home, unless somebody else's files are in it."""

    settings: Settings
    title: str = "Remove the home"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether nothing of ours is there."""
        return not any(host.exists(path) for path in self._paths)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove what is ours, then the folders that are empty now."""
        home = self.settings.home
        run = self.settings.store_run.parent
        for path in self._paths:
            if host.exists(path):
                host.remove(path)
        if host.exists(home):
            # What a write that was killed left behind; see `LocalHost.write`.
            halves = [word for name in OWN_NAMES for word in ("-o", "-name", f".{name}.????????")]
            found = ("find", str(home), "-maxdepth", "1", "-type", "f", "(", *halves[1:], ")")
            host.run(Command((*found, "-delete")))
            host.run(Command((*_REMOVE_EMPTY, str(home))))
        if host.exists(run):
            host.run(Command((*_REMOVE_EMPTY, "--parents", str(run))))
        fate = "kept, since other files are in it" if host.exists(home) else "removed"
        reporter.tell(f"{home}: {fate}")

    @property
    def _paths(self) -> tuple[Path, ...]:
        return tuple(self.settings.home / name for name in OWN_NAMES)


@dataclasses.dataclass(frozen=True)
class RestoreFirewall:
    """Remove the chains that Podman's network left, if they were not there before."""

    journal: Path
    title: str = "Restore the firewall"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether no chain and no table is left over."""
        return not self._chains(host) and not self._tables(host)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove the jumps, then the chains, then the tables that are empty now."""
        left = self._chains(host)
        for chain in left:
            table, name = chain.split()
            for rule in _rules(host, table):
                if rule[:2] == ["-A", name] or ["-j", name] == rule[-2:]:
                    _iptables(host, table, "-D", *rule[1:])
        for chain in left:
            table, name = chain.split()
            _iptables(host, table, "-X", name)
            reporter.tell(f"removed firewall chain {name} from table {table}")
        for table in self._tables(host):
            host.run(Command(("nft", "delete", "table", *table.split())))
            reporter.tell(f"removed firewall table {table}")

    def _chains(self, host: Host) -> list[str]:
        before = Journal(host, self.journal).read().chains
        return [] if before is None else leftover_chains(before, machine.firewall_chains(host))

    def _tables(self, host: Host) -> list[str]:
        """Return the tables that iptables made for Podman and that hold nothing any more."""
        before = Journal(host, self.journal).read().tables
        if before is None:
            return []
        candidates = {f"ip {table}": table for table in machine.FIREWALL_TABLES}
        return [
            name
            for name in machine.firewall_tables(host)
            if name not in before
            and name in candidates
            and is_empty(_listing(host, candidates[name]))
        ]


@dataclasses.dataclass(frozen=True)
class RestoreKernel:
    """Give kernel settings and system files their former values."""

    journal: Path
    title: str = "Restore kernel settings"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether nothing was journalled."""
        changes = Journal(host, self.journal).read()
        return changes == Changes(packages=changes.packages)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Write the former values and forget them."""
        journal = Journal(host, self.journal)
        changes = journal.read()
        shared = is_network_up(machine.firewall_chains(host))
        for name, value in changes.kernel.items():
            path = machine.kernel_path(name)
            if host.read(path).strip() == value:
                continue
            if shared:
                reporter.tell(f"kept {name}: other containers' networks need it")
                continue
            host.run(Command(("tee", str(path)), input=value))
            reporter.tell(f"set {name} back to {value}")
        for name, former in changes.files.items():
            if former is None:
                host.remove(Path(name))
                reporter.tell(f"removed {name}")
            else:
                host.write(Path(name), former)
                reporter.tell(f"restored {name}")
        journal.keep_only_packages()


@dataclasses.dataclass(frozen=True)
class RemovePackages:
    """Remove the Debian packages that helio installed and that nothing else needs."""

    journal: Path
    title: str = "Remove installed packages"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether none of them is there."""
        return not self._installed(host)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Remove them, except those that other packages depend on by now."""
        ours = self._installed(host)
        purge = ("apt-get", "--yes", "purge")
        plan = host.run(Command(("apt-get", "--simulate", "purge", *ours), reads=True))
        others = would_be_removed(plan) - set(ours)
        if others:
            reporter.tell(
                f"kept the packages {' '.join(ours)}: {' '.join(sorted(others))} needs them now"
            )
            return
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        host.run(Command((*purge, *ours), env=environment, on_line=reporter.note))
        reporter.tell(f"removed the packages {' '.join(ours)}")

    def _installed(self, host: Host) -> list[str]:
        packages = Journal(host, self.journal).read().packages
        return sorted(set(packages) & machine.installed_packages(host)) if packages else []


def is_store_in_use(host: Host, settings: Settings) -> bool:
    """Return whether there are containers in the image store."""
    store = Store(settings.store, settings.store_run)
    environment = {"CONTAINERS_CONF": str(settings.containers_conf)}
    argv = store.command("podman", "ps", "--all", "--quiet")
    try:
        return bool(host.run(Command(argv, reads=True, env=environment)).strip())
    except CommandError as error:
        if error.status == NOT_FOUND:
            return False
        raise


def mounts_below(table: str, folders: Iterable[Path]) -> list[str]:
    """Return the mount points at or below folders, the innermost first.

    Args:
        table: Text of `/proc/mounts`; blanks in paths stand there as octal escapes.
        folders: Where to look.
    """
    points = [line.split()[1].replace("\\040", " ") for line in table.splitlines()]
    roots = tuple(folders)
    found = {p for p in points if any(Path(p).is_relative_to(root) for root in roots)}
    return sorted(found, key=lambda point: (point.count("/"), point), reverse=True)


def leftover_chains(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Return Podman's chains that are new, unless a network of somebody else still uses them.

    Args:
        before: `table chain` at install time.
        now: `table chain` now.
    """
    if is_network_up(now):
        return []
    chains = {chain for chain in now if chain.split()[1].startswith(PODMAN_CHAINS)}
    return sorted(chains - set(before))


def is_network_up(chains: Iterable[str]) -> bool:
    """Return whether a Podman network is up: each has chains that end in a hash of its name."""
    network = re.compile(rf"\w+ {PODMAN_CHAINS}-[0-9A-F]+")
    return any(network.fullmatch(chain) for chain in chains)


def is_empty(listing: str) -> bool:
    """Return whether `iptables -S` shows nothing but built-in chains that accept."""
    return all(
        line.startswith("-P ") and line.endswith(" ACCEPT") for line in listing.splitlines()
    )


def would_be_removed(plan: str) -> set[str]:
    """Return what `apt-get --simulate purge` would remove: `Purg NAME [VERSION]`."""
    rows = (line.split() for line in plan.splitlines())
    return {row[1] for row in rows if row and row[0] in ("Remv", "Purg")}


def _listing(host: Host, table: str) -> str:
    return host.run(Command(("iptables", "-w", "-t", table, "-S"), reads=True))


def _rules(host: Host, table: str) -> list[list[str]]:
    rules = map(shlex.split, _listing(host, table).splitlines())
    return [rule for rule in rules if rule[0] == "-A"]


def _iptables(host: Host, table: str, *arguments: str) -> None:
    host.run(Command(("iptables", "-w", "-t", table, *arguments)))
