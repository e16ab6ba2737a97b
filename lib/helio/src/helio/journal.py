"""What was changed on the machine outside the home, with the former values.

Written before each change, so that `helio destroy` can undo without guessing, even after a crash.
Of each thing only the first former value is kept: a second bootstrap must not take the state that
the first one made for the original.
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from helio.host import Host


@dataclasses.dataclass(frozen=True)
class Changes:
    """What the journal holds.

    Args:
        packages: Debian packages that were not there before.
        kernel: Kernel setting (`net/ipv4/ip_forward`) → former value.
        chains: Firewall chains that were there before, as `table chain`; None: never looked.
        tables: Firewall tables that were there before, as `family name`; None: never looked.
        files: Path → former text, None where there was no file.
    """

    packages: tuple[str, ...] = ()
    kernel: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    chains: tuple[str, ...] | None = None
    tables: tuple[str, ...] | None = None
    files: dict[str, str | None] = dataclasses.field(default_factory=dict[str, str | None])


class Journal:
    """The journal's file.

    Args:
        host: Reads and writes it.
        path: Where it is.
    """

    def __init__(self, host: Host, path: Path):
        self._host = host
        self._path = path

    def read(self) -> Changes:
        """Return all that was recorded; nothing when there is no journal."""
        if not self._host.exists(self._path):
            return Changes()
        values = cast(dict[str, Any], json.loads(self._host.read(self._path)))
        chains, tables = values.get("chains"), values.get("tables")
        return Changes(
            packages=tuple(values.get("packages", ())),
            kernel=values.get("kernel", {}),
            chains=None if chains is None else tuple(chains),
            tables=None if tables is None else tuple(tables),
            files=values.get("files", {}),
        )

    def add_packages(self, names: Iterable[str]) -> None:
        """Record packages that are about to be installed."""
        changes = self.read()
        packages = tuple(sorted({*changes.packages, *names}))
        self._write(dataclasses.replace(changes, packages=packages))

    def add_kernel(self, name: str, value: str) -> None:
        """Record the value of a kernel setting that is about to be changed."""
        changes = self.read()
        self._write(dataclasses.replace(changes, kernel={name: value, **changes.kernel}))

    def add_firewall(self, tables: Iterable[str], chains: Iterable[str]) -> None:
        """Record the firewall that is there before Podman makes its own part of it."""
        changes = self.read()
        if changes.chains is None:
            self._write(
                dataclasses.replace(
                    changes, tables=tuple(sorted(tables)), chains=tuple(sorted(chains))
                )
            )

    def add_file(self, path: Path) -> None:
        """Record the text of a file that is about to be written, or that there was none."""
        changes = self.read()
        former = self._host.read(path) if self._host.exists(path) else None
        self._write(dataclasses.replace(changes, files={str(path): former, **changes.files}))

    def keep_only_packages(self) -> None:
        """Forget what has been undone; the packages stay until they are purged."""
        self._write(Changes(packages=self.read().packages))

    def _write(self, changes: Changes) -> None:
        if changes == self.read():
            return
        text = json.dumps(dataclasses.asdict(changes), indent=2, sort_keys=True) + "\n"
        # Former files may hold anything: only their owner may read them.
        self._host.write(self._path, text, 0o600)
