"""Where one engine instance lives and what it uses: `settings.json` in its home."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

HOME_VARIABLE = "LOCALJUJU_HOME"
DEFAULT_HOME = Path("/var/lib/localjuju")

_PATHS = frozenset({"home", "pebble", "hook_client", "store_root", "store_runroot"})


class SettingsError(Exception):
    """The home of the engine has no usable settings."""


@dataclasses.dataclass(frozen=True)
class Space:
    """A network of machines besides the management network.

    Attributes:
        name: The space.
        subnet: IPv4 CIDR.
        gateway: Whether this host has the network's first address and leads outwards from it;
            else the network is between machines only.
        first: The first address for machines; empty: the tenth of the network.
        last: The last one; empty: the network's last.
    """

    name: str
    subnet: str
    gateway: bool = False
    first: str = ""
    last: str = ""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one engine instance.

    Attributes:
        home: Folder of the database, sockets, charms, storage and logs.
        instance: Prefix and label of every pod, container, network and firewall table.
        subnet: Management network of pods and services, IPv4 CIDR; /20 or wider is best.
        charm_base: Image of charm containers: has the Python that charms were packed for.
        pebble: The Pebble binary on this host.
        hook_client: The static program that serves as every hook command.
        store_root: Podman's `--root`.
        store_runroot: Podman's `--runroot`.
        containers_conf: File given to Podman as CONTAINERS_CONF, or empty.
        warm: Whether unit agents fork charms from a preloaded interpreter.
        machine_image: Image of machines that no constraint gives another one; empty: none.
        spaces: Networks of machines besides the management network.
        generation: Part of Podman's names of the networks, another one at each `init`: what
            containers of an earlier instance left taken there does not concern this one.
    """

    home: Path
    instance: str
    subnet: str
    charm_base: str
    pebble: Path
    hook_client: Path
    store_root: Path
    store_runroot: Path
    containers_conf: str = ""
    warm: bool = False
    machine_image: str = ""
    spaces: tuple[Space, ...] = ()
    generation: str = ""

    @property
    def subnets(self) -> dict[str, str]:
        """Every space → its network, CIDR; the management network's first."""
        return {"alpha": self.subnet, **{space.name: space.subnet for space in self.spaces}}

    @property
    def socket(self) -> Path:
        """The engine's own socket, on which `juju` talks to it."""
        return self.home / "engine.sock"

    @property
    def database(self) -> Path:
        """The SQLite file that holds every model."""
        return self.home / "engine.db"


def home_from_environment() -> Path:
    """Return the engine's home as the environment names it."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)


def load(home: Path) -> Settings:
    """Read the settings of the instance that lives in `home`.

    Raises:
        SettingsError: The file is missing or not readable as settings.
    """
    path = home / "settings.json"
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(
            f"no engine in {home}: run `localjuju init`, or set {HOME_VARIABLE}"
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise SettingsError(f"cannot read {path}: unknown setting {unknown[0]}")
    values: dict[str, Any] = {k: Path(v) if k in _PATHS else v for k, v in raw.items()}
    try:
        values["spaces"] = tuple(Space(**space) for space in values.get("spaces", ()))
        return Settings(**values)
    except TypeError as error:
        raise SettingsError(f"cannot read {path}: {error}") from error


def save(settings: Settings) -> None:
    """Write the settings; readable by the owner only, replaced in one step."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    raw = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(settings).items()
    }
    path = settings.home / "settings.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(raw, indent=1) + "\n")
    fresh.chmod(0o600)
    fresh.replace(path)
