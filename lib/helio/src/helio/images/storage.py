"""Where images and containers are kept, and Podman's settings for this host."""

import dataclasses
import resource
from pathlib import Path

# What services of a cloud want at most; a host that allows less gives what it has.
WANTED_LIMITS = {"nofile": 1048576, "nproc": 1048576}


@dataclasses.dataclass(frozen=True)
class Store:
    """An image and container store of our own, apart from the user's.

    Args:
        root: Folder of the images and containers.
        runroot: Folder of their run-time state; on a file system that a reboot empties.
    """

    root: Path = Path("/var/lib/helio/storage")
    runroot: Path = Path("/run/helio/storage")

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Return the argv of `podman` or `buildah` on this store.

        Podman notes in its database where the first caller wants its temporary files; later
        ones are led there or refused. So every caller names the place that the engine names.
        Buildah has no such files.
        """
        places = ["--root", str(self.root), "--runroot", str(self.runroot)]
        if program == "podman":
            places += ["--tmpdir", str(self.runroot / "libpod")]
        return (program, *places, *arguments)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What decides about Podman's settings.

    Args:
        has_systemd: Whether systemd runs the host.
        has_cgroup2: Whether /sys/fs/cgroup is the unified hierarchy.
        can_raise_limits: Whether root may raise hard limits (CAP_SYS_RESOURCE).
        hard_limits: Hard limit by name (`nofile`, `nproc`); -1 is unlimited.
    """

    has_systemd: bool
    has_cgroup2: bool
    can_raise_limits: bool
    hard_limits: dict[str, int]


_CAP_SYS_RESOURCE = 24


def read_facts() -> Facts:
    """Read the facts of this host."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return Facts(
        has_systemd=Path("/run/systemd/system").is_dir(),
        has_cgroup2=Path("/sys/fs/cgroup/cgroup.controllers").is_file(),
        can_raise_limits=bool(int(effective.split()[1], 16) >> _CAP_SYS_RESOURCE & 1),
        hard_limits={
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            # Podman lowers its own limit to the highest process number, and cannot go back.
            "nproc": _at_most(
                resource.getrlimit(resource.RLIMIT_NPROC)[1],
                int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")),
            ),
        },
    )


def containers_conf(facts: Facts) -> str:
    """Return the containers.conf that Podman needs on a host, for CONTAINERS_CONF.

    Without systemd or on cgroup v1 the defaults (crun, systemd's cgroups) do not start anything.
    A container's limits above a hard limit that root cannot raise end every start with "rlimit".
    """
    containers = ['log_driver = "k8s-file"']
    engine: list[str] = ['events_logger = "file"']
    if not (facts.has_systemd and facts.has_cgroup2):
        engine += ['cgroup_manager = "cgroupfs"', 'runtime = "runc"']
    if not facts.can_raise_limits:
        limits = ", ".join(
            f'"{name}={limit}:{limit}"'
            for name, wanted in WANTED_LIMITS.items()
            for limit in (_at_most(facts.hard_limits[name], wanted),)
        )
        containers.append(f"default_ulimits = [{limits}]")
    sections = {
        "containers": containers,
        "engine": engine,
        "network": ['network_backend = "netavark"'],
    }
    return "\n".join(
        "\n".join((f"[{name}]", *lines)) + "\n" for name, lines in sections.items() if lines
    )


def _at_most(hard: int, wanted: int) -> int:
    return wanted if hard < 0 else min(hard, wanted)
