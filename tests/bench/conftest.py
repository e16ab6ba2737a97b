"""The cloud that the benchmarks measure, and the table that they fill."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cloudtest import CACHES, Cloud, bootstrapped, run
from hooktraces import count_hooks

from helio.images import Store, containers_conf, read_facts

BARE_SECONDS = 1200


@dataclasses.dataclass(frozen=True)
class Measured:
    """A cloud that was bootstrapped with everything cached, and when and how long.

    Attributes:
        cloud: The cloud.
        environment: What the bare scripts are told.
        bare_vm: What came of making the like of it by hand, before.
        bootstrap_began: When the bootstrap was begun.
        bootstrap_seconds: How long it took.
        hooks: How many hooks each unit had run by then, by its folder's name.
    """

    cloud: Cloud
    environment: Mapping[str, str]
    bare_vm: subprocess.CompletedProcess[str]
    bootstrap_began: float
    bootstrap_seconds: float
    hooks: Mapping[str, int]


@dataclasses.dataclass
class Table:
    """Rows of results: what, measured, aim."""

    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)

    def add(self, what: str, measured: str, aim: str = "") -> None:
        """Add a row."""
        self.rows.append((what, measured, aim))

    def __str__(self) -> str:
        """Return the table in Markdown."""
        rows = [("what", "measured", "aim"), ("---", "---", "---"), *self.rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """Bootstrap, take the cloud away, and bootstrap again: now everything is cached.

    In between the same is done by hand: both have the machine for themselves.
    """
    settings = tmp_path_factory.mktemp("bare") / "containers.conf"
    settings.write_text(containers_conf(read_facts()))
    with bootstrapped() as cloud:
        environment = bare_environment(cloud, settings)
        cloud.helio("destroy", "--yes")
        bare_vm = run_bare_vm(environment)
        began, started = time.time(), time.monotonic()
        cloud.helio("bootstrap", "--yes")
        seconds = time.monotonic() - started
        yield Measured(cloud, environment, bare_vm, began, seconds, count_hooks(cloud))


def bare_environment(cloud: Cloud, settings: Path) -> dict[str, str]:
    """Return what the bare scripts are told: Podman, the images, what the machine can."""
    images = json.loads(cloud.helio("images", "list", "--format", "json"))
    can = cloud.machines.run("openstack-hypervisor/0", "show-virtualization").results
    return {
        **os.environ,
        # MARIADB, OPENSTACK_RUNTIME …
        **{name.upper().replace("-", "_"): each["reference"] for name, each in images.items()},
        "PODMAN": " ".join(Store(CACHES / "storage").command("podman")),
        "CONTAINERS_CONF": str(settings),
        "VIRTUALIZATION": can["virtualization"],
        "DATAPATH": can["datapath"],
    }


def run_bare_vm(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Make a cloud and an instance by hand; who needs the figures looks whether it worked."""
    command = ("timeout", "--signal=INT", "--kill-after=120", str(BARE_SECONDS))
    program = Path(__file__).with_name("bare_vm.py")
    return subprocess.run(
        [*command, sys.executable, str(program)],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


TABLE = Table()


@pytest.fixture(scope="session")
def table() -> Table:
    """The table to fill; it is printed when all tests have run."""
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table above pytest's last line."""
    if TABLE.rows:
        terminalreporter.section("measured in this run")
        terminalreporter.write_line(str(TABLE))


@pytest.fixture(scope="session")
def bare_seconds(measured: Measured) -> float:
    """Start the same services by hand; return the seconds to the first token."""
    printed = run([str(Path(__file__).with_name("bare.sh"))], dict(measured.environment))
    return float(printed.split()[-1])


@pytest.fixture(scope="session")
def bare_milestones(measured: Measured) -> dict[str, float]:
    """What was made by hand up to the first instance: milestone → seconds since the start."""
    done = measured.bare_vm
    assert done.returncode == 0, f"bare_vm.py: {done.returncode}\n{done.stdout}\n{done.stderr}"
    rows = (line.split() for line in done.stdout.splitlines())
    return {milestone: float(seconds) for milestone, seconds in rows}
