"""The cloud that the benchmarks measure, and the table that they fill."""

import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudtest import Cloud, bootstrapped, run

from helio.images import Store


@dataclasses.dataclass(frozen=True)
class Measured:
    """A cloud that was bootstrapped with everything cached, and when and how long."""

    cloud: Cloud
    bootstrap_began: float
    bootstrap_seconds: float


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
def measured() -> Iterator[Measured]:
    """Bootstrap, take the cloud away, and bootstrap again: now everything is cached."""
    with bootstrapped() as cloud:
        cloud.helio("destroy", "--yes")
        began, started = time.time(), time.monotonic()
        cloud.helio("bootstrap", "--yes")
        yield Measured(cloud, began, time.monotonic() - started)


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
    store = measured.cloud.home / "storage"
    runroot = Path("/run") / store.relative_to("/var/lib")
    podman = " ".join(Store(store, runroot).command("podman"))
    images = run([*podman.split(), "images", "--format", "{{.Repository}}:{{.Tag}}"]).split()
    newest = {
        name: next(image for image in images if f"/{name}:" in image)
        for name in ("mariadb", "openstack")
    }
    environment = {
        **os.environ,
        "PODMAN": podman,
        "CONTAINERS_CONF": str(measured.cloud.home / "containers.conf"),
        "MARIADB": newest["mariadb"],
        "OPENSTACK": newest["openstack"],
    }
    printed = run([str(Path(__file__).with_name("bare.sh"))], environment)
    return float(printed.split()[-1])
