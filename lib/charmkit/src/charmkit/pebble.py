"""A workload container: the target whose processes Pebble runs."""

import time
import typing
from collections.abc import Mapping, Sequence

import ops

from charmkit.layout import Content, DirectoryContent, Workload
from charmkit.records import ONLINE
from charmkit.target import CommandError, FileInfo

LAYER = "charmkit"

_CLOSED: "ops.pebble.LayerDict" = {
    "checks": {
        ONLINE: {
            "override": "replace",
            "level": "ready",
            "startup": "enabled",
            "period": "1s",
            "threshold": 1,
            "exec": {"command": "/bin/false"},
        }
    }
}
"""Keeps clients away from the unit: a check that never succeeds."""

# `except` cannot name the type argument, and without it the output has no type.
_ExecError: typing.TypeAlias = "ops.pebble.ExecError[str]"

_DRAIN = 3  # seconds; the check fails after one, and what watches it looks as often
_CHANGE = 180  # seconds; more than any process gets to end, on a busy machine


class Container:
    """A workload container.

    Args:
        container: The container; its Pebble answers.
    """

    folder = "/var/lib/charmkit"

    def __init__(self, container: ops.Container):
        self._container = container

    # --- files ---------------------------------------------------------------------------------

    def info(self, path: str) -> FileInfo | None:
        """Tell mode and owner of a file or folder."""
        try:
            (found,) = self._container.list_files(path, itself=True)
        except ops.pebble.APIError as error:
            if error.code != 404:
                raise
            return None
        return FileInfo(mode=found.permissions, user=found.user or "", group=found.group or "")

    def read(self, path: str) -> str | None:
        """Give the text of a file."""
        try:
            with self._container.pull(path) as file:
                return file.read()
        except ops.pebble.PathError as error:
            if error.kind != "not-found":
                raise
            return None

    def write(self, content: Content) -> None:
        """Write a file."""
        self._container.push(
            content.path,
            content.text,
            make_dirs=True,
            permissions=content.mode,
            user=content.user,
            group=content.group,
        )

    def make_folder(self, directory: DirectoryContent) -> None:
        """Make a folder."""
        self._container.make_dir(
            directory.path,
            make_parents=True,
            permissions=directory.mode,
            user=directory.user,
            group=directory.group,
        )

    def list(self, path: str) -> Sequence[str]:
        """Give the paths of what is in a folder."""
        return [info.path for info in self._container.list_files(path)]

    def remove(self, path: str) -> None:
        """Remove a file or folder."""
        self._container.remove_path(path, recursive=True)

    # --- commands ------------------------------------------------------------------------------

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
        """Run a command in the container."""
        try:
            process = self._container.exec(
                list(argv),
                environment=dict(environment or {}),
                stdin=stdin,
                user=user,
                group=group,
                timeout=timeout,
            )
            output, _ = process.wait_output()
        # Caught without its parameter, which only the cast below can name.
        except ops.pebble.ExecError as error:  # pyright: ignore[reportUnknownVariableType]
            # Without the cause: its text carries the whole output.
            known = typing.cast(_ExecError, error)
            output = known.stderr or known.stdout or ""
            raise CommandError(argv, known.exit_code, output) from None
        except (ops.pebble.ChangeError, ops.pebble.TimeoutError) as error:
            raise CommandError(argv, -1, str(error)) from None
        return output

    # --- processes -----------------------------------------------------------------------------

    def is_as_wanted(self, workload: Workload) -> bool:
        """Tell whether the plan has the services as they shall be, and all of them run."""
        plan = self._container.get_plan()
        services = {name: plan.services[name].to_dict() for name in plan.services}
        if any(services.get(name) != each for name, each in workload.services.items()):
            return False
        running = self._running(tuple(workload.services))
        return all(running.get(name) for name in workload.services)

    def is_running(self, workload: Workload) -> bool:
        """Tell whether any of the services runs."""
        return any(self._running(tuple(workload.services)).values())

    def start(self, workload: Workload) -> None:
        """Write the layer and let `replan` decide what restarts."""
        services = typing.cast("ops.pebble.LayerDict", {"services": workload.services})
        self._container.add_layer(LAYER, services, combine=True)
        # A restart waits until the process has ended, for which it gets its own time.
        self._container.pebble.replan_services(timeout=_CHANGE)

    def drain(self) -> None:
        """Make the unit unready."""
        self._container.add_layer(LAYER, _CLOSED, combine=True)
        time.sleep(_DRAIN)

    def has_checks(self, workload: Workload) -> bool:
        """Tell whether the plan has the checks as they shall be."""
        plan = self._container.get_plan()
        checks = {name: plan.checks[name].to_dict() for name in plan.checks}
        return all(checks.get(name) == each for name, each in workload.checks.items())

    def install_checks(self, workload: Workload) -> None:
        """Write the layer with the checks."""
        checks = typing.cast("ops.pebble.LayerDict", {"checks": workload.checks})
        self._container.add_layer(LAYER, checks, combine=True)

    def silent(self, workload: Workload) -> Sequence[str]:
        """Name the processes whose check is not up."""
        if not workload.checks:
            return ()
        states = self._container.get_checks(*workload.checks)
        up = {name for name in states if states[name].status is ops.pebble.CheckStatus.UP}
        return [probe.process for probe in workload.probes if probe.check not in up]

    def stop(self, names: Sequence[str]) -> None:
        """Drain and stop."""
        known = self._container.get_services(*names)
        running = [name for name, info in known.items() if info.is_running()]
        if running:
            self.drain()
            self._container.pebble.stop_services(running, timeout=_CHANGE)

    def _running(self, names: Sequence[str]) -> dict[str, bool]:
        return {
            name: info.current is not ops.pebble.ServiceStatus.INACTIVE
            for name, info in self._container.get_services(*names).items()
        }
