"""The one place where helio meets the embedded engine, localjuju.

The engine is reached through its two programs, `localjuju` and its `juju`, which are installed
beside helio. Nothing else in helio knows that there is an engine: above this line it is Juju.
"""

import dataclasses
import ipaddress
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import jubilant
from jubilant.statustypes import Status

from helio.host import Command, Host
from helio.manifest import Part
from helio.settings import Settings

HOME_VARIABLE = "LOCALJUJU_HOME"
MACHINE_CLOUD = "localhost"  # the cloud whose models have machines


class Juju(Protocol):
    """What the steps ask of Juju; `jubilant.Juju` has it all."""

    def add_model(self, model: str, cloud: str | None = None) -> None:
        """Add a model; without a cloud it is one of pods."""
        ...

    def cli(self, *args: str, include_model: bool = True) -> str:
        """Run a juju command and return what it prints."""
        ...

    def deploy(
        self, charm: str | Path, *, overlays: Iterable[str | Path] = (), trust: bool = False
    ) -> None:
        """Deploy a bundle."""
        ...

    def status(self) -> Status:
        """Return the model's status."""
        ...


class DryRunJuju:
    """Juju for a dry run: it answers, and changes nothing.

    Args:
        inner: Asked for what only reads.
        host: Records what would be done.
    """

    def __init__(self, inner: Juju, host: Host):
        self._inner = inner
        self._host = host

    def add_model(self, model: str, cloud: str | None = None) -> None:
        """Record the command."""
        self._host.run(Command(("juju", "add-model", model, *([cloud] if cloud else []))))

    def cli(self, *args: str, include_model: bool = True) -> str:
        """Record the command."""
        return self._host.run(Command(("juju", *args)))

    def deploy(
        self, charm: str | Path, *, overlays: Iterable[str | Path] = (), trust: bool = False
    ) -> None:
        """Record the command."""
        extra = [text for overlay in overlays for text in ("--overlay", str(overlay))]
        extra += ["--trust"] if trust else []
        self._host.run(Command(("juju", "deploy", str(charm), *extra)))

    def status(self) -> Status:
        """Return the real status."""
        return self._inner.status()


@dataclasses.dataclass(frozen=True)
class Engine:
    """The engine of one cloud.

    Args:
        settings: Which cloud.
    """

    settings: Settings

    def is_initialised(self, host: Host) -> bool:
        """Return whether the engine has been set up."""
        return host.exists(self.settings.engine_home / "settings.json")

    @property
    def environment(self) -> dict[str, str]:
        """Return what a program needs in its environment to talk to this engine."""
        return {HOME_VARIABLE: str(self.settings.engine_home)}

    def init(self, host: Host, charm_base: str, machine_image: str) -> None:
        """Write the engine's settings; doing it again changes what differs.

        Args:
            host: Where the engine runs.
            charm_base: Image of the charm containers.
            machine_image: Image of machines.
        """
        settings = self.settings
        options = {
            "--home": settings.engine_home,
            "--instance": settings.instance,
            "--subnet": settings.subnet,
            "--charm-base": charm_base,
            "--pebble": settings.pebble,
            "--store-root": settings.store,
            "--store-runroot": settings.store_run,
            "--containers-conf": settings.containers_conf,
        }
        words = [str(word) for option in options.items() for word in option]
        words += ["--machine-image", machine_image, *self._spaces()]
        # Warm dispatch: ten times less work for each hook, which a small machine feels.
        host.run(Command((str(program("localjuju")), "init", "--warm", *words)))

    def preview_removal(self, host: Host) -> str:
        """Return what `destroy` would remove, a line each."""
        return host.run(Command((*self._destroy, "--dry-run"), reads=True, env=self.environment))

    def destroy(self, host: Host) -> str:
        """Remove every pod, container, network, mount, process and file of the engine.

        Returns:
            What was removed, a line each.
        """
        return host.run(Command(self._destroy, env=self.environment))

    def connect(self, part: Part = "pods") -> jubilant.Juju:
        """Return jubilant on one of the cloud's models, driving the engine's `juju`.

        jubilant hands its own environment to the command, so the engine's home is put there.
        """
        os.environ.update(self.environment)
        return jubilant.Juju(model=self.settings.models[part], cli_binary=program("juju"))

    def connect_all(self) -> dict[Part, jubilant.Juju]:
        """Return jubilant on each of the cloud's models."""
        return {part: self.connect(part) for part in self.settings.models}

    def _spaces(self) -> list[str]:
        """Return the options for the networks that machines have beside the management network.

        Instances talk to each other through `tunnel`, which leads nowhere else. `provider` has
        floating IPs: the host is its gateway, and machines have addresses at its upper end.
        """
        external = ipaddress.IPv4Network(self.settings.external_subnet)
        first, last = external.broadcast_address - 15, external.broadcast_address - 1
        provider = f"provider={external},gateway,addresses={first}-{last}"
        return ["--space", f"tunnel={self.settings.tunnel_subnet}", "--space", provider]

    @property
    def _destroy(self) -> tuple[str, ...]:
        return (str(program("localjuju")), "destroy", "--home", str(self.settings.engine_home))


def program(name: str) -> Path:
    """Return a program that is installed beside the running Python."""
    return Path(sys.executable).parent / name
