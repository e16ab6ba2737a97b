"""The steps that prepare the machine itself: packages and kernel settings, all journalled."""

import dataclasses
from pathlib import Path

from helio.host import NOT_FOUND, Command, CommandError, Host
from helio.journal import Journal
from helio.report import Reporter

PACKAGE_LIST = Path(__file__).with_name("packages.txt")
KERNEL_FILE = Path("/etc/sysctl.d/60-helio.conf")

# Kernel setting → the least value. Every container and every Pebble watches files; the kernel's
# defaults end in "too many open files" with a few dozen of them.
KERNEL_MINIMUM = {
    "fs/inotify/max_user_instances": 1024,
    "fs/inotify/max_user_watches": 524288,
}

# Settings that Podman's network changes by itself; journalled so that they can go back.
KERNEL_TOUCHED = ("net/ipv4/ip_forward",)

# The firewall tables that Podman's network puts chains into.
FIREWALL_TABLES = ("filter", "nat")


def read_packages(text: str) -> tuple[str, ...]:
    """Return the package names of a package list; the rest of a line says why."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(words[0] for words in lines if words)


def missing_packages(host: Host) -> tuple[str, ...]:
    """Return the needed Debian packages that are not installed."""
    wanted = read_packages(PACKAGE_LIST.read_text(encoding="utf-8"))
    return tuple(sorted(set(wanted) - installed_packages(host)))


def installed_packages(host: Host) -> set[str]:
    """Return the names of all installed Debian packages."""
    show = Command(("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"), reads=True)
    rows = (line.split() for line in host.run(show).splitlines())
    return {row[1] for row in rows if len(row) == 2 and row[0] == "ii"}


def kernel_path(name: str) -> Path:
    """Return the file of a kernel setting."""
    return Path("/proc/sys") / name


def firewall_chains(host: Host) -> tuple[str, ...]:
    """Return all chains of the tables that Podman uses, as `table chain`."""
    found: list[str] = []
    for table in FIREWALL_TABLES:
        try:
            listing = host.run(Command(("iptables", "-w", "-t", table, "-S"), reads=True))
        except CommandError as error:
            if error.status == NOT_FOUND:  # a dry run, before iptables is installed
                return ()
            raise
        found += [
            f"{table} {words[1]}"
            for words in map(str.split, listing.splitlines())
            if words[0] in ("-P", "-N")
        ]
    return tuple(found)


def firewall_tables(host: Host) -> tuple[str, ...]:
    """Return all firewall tables, as `family name`."""
    try:
        listing = host.run(Command(("nft", "list", "tables"), reads=True))
    except CommandError as error:
        if error.status == NOT_FOUND:  # a dry run, before nftables is installed
            return ()
        raise
    return tuple(line.removeprefix("table ") for line in listing.splitlines())


@dataclasses.dataclass(frozen=True)
class InstallPackages:
    """Install the Debian packages that are missing."""

    journal: Path
    title: str = "Install Debian packages"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether all are there."""
        return not missing_packages(host)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Install what is missing, with what it depends on; journal exactly what is new."""
        journal = Journal(host, self.journal)
        missing = missing_packages(host)
        run = _Apt(host, reporter)
        run("dpkg", "--configure", "-a")  # an earlier run may have been interrupted
        run("apt-get", "update")
        install = ("install", "--yes", "--no-install-recommends", *missing)
        try:
            plan = host.run(Command(("apt-get", "--simulate", *install), reads=True))
            journal.add_packages(_to_be_installed(plan))
        except CommandError:
            # A dry run has not updated the lists, so apt may not know the packages yet.
            journal.add_packages(missing)
        run("apt-get", *install)


@dataclasses.dataclass(frozen=True)
class SetKernel:
    """Raise kernel limits that many containers run into."""

    journal: Path
    title: str = "Set kernel limits"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether the limits are high enough and what Podman changes is journalled."""
        noted = Journal(host, self.journal).read()
        is_noted = noted.chains is not None and set(KERNEL_TOUCHED) <= noted.kernel.keys()
        return is_noted and not _too_low(host)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Journal the present values, then raise them, now and for every later boot."""
        journal = Journal(host, self.journal)
        for name in KERNEL_TOUCHED:
            journal.add_kernel(name, host.read(kernel_path(name)).strip())
        journal.add_firewall(firewall_tables(host), firewall_chains(host))
        too_low = _too_low(host)
        if not too_low:
            return
        for name in too_low:
            journal.add_kernel(name, host.read(kernel_path(name)).strip())
        journal.add_file(KERNEL_FILE)
        # The file first, and with what an interrupted run has raised already: the values of now
        # alone tell whether this step is done.
        raised = [name for name in KERNEL_MINIMUM if name in journal.read().kernel]
        lines = (f"{name.replace('/', '.')} = {KERNEL_MINIMUM[name]}\n" for name in raised)
        host.write(KERNEL_FILE, "# Written by helio; helio destroy removes it.\n" + "".join(lines))
        for name in too_low:
            reporter.note(f"{name} = {KERNEL_MINIMUM[name]}")
            # Written in place and not by Host.write: /proc knows no renaming.
            value = str(KERNEL_MINIMUM[name])
            host.run(Command(("tee", str(kernel_path(name))), input=value))


def _too_low(host: Host) -> list[str]:
    return [
        name for name, least in KERNEL_MINIMUM.items() if int(host.read(kernel_path(name))) < least
    ]


def _to_be_installed(plan: str) -> set[str]:
    """Return what `apt-get --simulate` would install newly: `Inst NAME (VERSION …`."""
    rows = (line.split() for line in plan.splitlines() if line.startswith("Inst "))
    # An upgrade of an installed package shows the old version in brackets.
    return {row[1] for row in rows if not row[2].startswith("[")}


class _Apt:
    """Runs package commands without questions, showing their last line."""

    def __init__(self, host: Host, reporter: Reporter):
        self._host = host
        self._note = reporter.note

    def __call__(self, *argv: str) -> None:
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        self._host.run(Command(argv, env=environment, on_line=self._note))
