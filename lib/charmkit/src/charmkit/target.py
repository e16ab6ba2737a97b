"""Where a workload runs, as `workload` sees it: a container under Pebble, or a machine."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

from charmkit.layout import Content, DirectoryContent, Workload


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What is known of a file without reading it."""

    mode: int
    user: str
    group: str


class CommandError(Exception):
    """A command that failed.

    Its text names the program, its exit status and its last line of output, and nothing more: the
    whole output may quote what the command was given.
    """

    def __init__(self, argv: Sequence[str], status: int, output: str):
        lines = output.strip().splitlines()
        super().__init__(f"{argv[0]} exited {status}: {lines[-1] if lines else 'no output'}")


class Target(typing.Protocol):
    """What applying a workload needs of the place where it runs."""

    @property
    def folder(self) -> str:
        """Folder of charmkit's own files. It goes when what was done there goes."""
        ...

    def info(self, path: str) -> FileInfo | None:
        """Tell mode and owner of a file or folder, or None if there is none."""
        ...

    def read(self, path: str) -> str | None:
        """Give the text of a file, or None if there is none."""
        ...

    def write(self, content: Content) -> None:
        """Write a file, and the folders above it."""
        ...

    def make_folder(self, directory: DirectoryContent) -> None:
        """Make a folder, and those above it; without files."""
        ...

    def list(self, path: str) -> Sequence[str]:
        """Give the paths of what is in a folder."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        user: str | None = None,
        group: str | None = None,
        timeout: float = 120,
    ) -> str:
        """Run a command and give what it printed.

        Raises:
            CommandError: It failed, or took longer than the timeout.
        """
        ...

    def is_as_wanted(self, workload: Workload) -> bool:
        """Tell whether every process runs, and was started with its present definition."""
        ...

    def is_running(self, workload: Workload) -> bool:
        """Tell whether any of the processes runs."""
        ...

    def start(self, workload: Workload) -> None:
        """Define the processes, and start or restart those that are not as wanted."""
        ...

    def drain(self) -> None:
        """Keep clients away, and give who forwards them the time to notice."""
        ...

    def has_checks(self, workload: Workload) -> bool:
        """Tell whether the checks are installed as they shall be."""
        ...

    def install_checks(self, workload: Workload) -> None:
        """Install the checks."""
        ...

    def silent(self, workload: Workload) -> Sequence[str]:
        """Name the processes that do not run or answer at present."""
        ...

    def stop(self, names: Sequence[str]) -> None:
        """Take the unit out of service and let these processes finish what they are doing."""
        ...
