"""What one cloud on this machine is called and where its things are.

Everything is derived from the home folder and the few values in its `helio.yaml`, so that a second
cloud on the same machine needs only another home, another name and another subnet.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from helio.host import HelioError
from helio.manifest import Part

DEFAULT_HOME = Path("/var/lib/helio")
HOME_VARIABLE = "HELIO_HOME"

# Key in helio.yaml → field of the settings.
_KEYS = {
    key: key.replace("-", "_")
    for key in (
        "instance", "model", "machine-model", "store",
        "subnet", "tunnel-subnet", "external-subnet",
    )
}  # fmt: skip
SUBNETS = ("subnet", "tunnel-subnet", "external-subnet")

# Everything that may be in a home; a removal takes nothing else away.
OWN_NAMES = (
    "bin", "ca.pem", "cache", "clouds.yaml", "containers.conf", "demo-key", "demo-key.pub",
    "engine", "helio.log", "helio.yaml", "journal.json", "known-hosts",
    "known-hosts.old", "openrc",
    "overlay-joining.yaml", "overlay-machines.yaml", "overlay-pods.yaml", "storage",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """One cloud on this machine.

    Args:
        home: Folder of everything that belongs to the cloud.
        instance: Name of the engine's instance; part of the names of all that it makes.
        subnet: IPv4 network in CIDR form for units and services; nothing else may use it.
        tunnel_subnet: Network between the machines for what instances send to each other.
        external_subnet: Network of floating IPs; the host has its first address.
        model: Name of the Juju model of the control plane.
        machine_model: Name of the Juju model of the machines.
        store: Folder of the container images and containers; clouds may share it. What else is
            made once for all of them is in the folders `bin` and `cache` beside it.
    """

    home: Path = DEFAULT_HOME
    instance: str = "helio"
    subnet: str = "10.131.0.0/20"
    tunnel_subnet: str = "10.131.16.0/24"
    external_subnet: str = "172.24.4.0/24"
    model: str = "openstack"
    machine_model: str = "machines"
    store: Path = DEFAULT_HOME / "storage"

    @property
    def models(self) -> dict[Part, str]:
        """Return part of the cloud → name of its Juju model."""
        return {"pods": self.model, "machines": self.machine_model}

    @property
    def file(self) -> Path:
        """Return the file that holds these settings."""
        return self.home / "helio.yaml"

    @property
    def engine_home(self) -> Path:
        """Return the folder of the embedded engine's own state."""
        return self.home / "engine"

    @property
    def owns_store(self) -> bool:
        """Return whether the store, and what is beside it, goes when this cloud is purged."""
        return self.store.is_relative_to(self.home)

    @property
    def store_run(self) -> Path:
        """Return the folder of the container store's state; a reboot empties it.

        It follows from the store alone, because clouds that share a store must share it too.
        """
        if self.store.is_relative_to("/var/lib"):
            return Path("/run") / self.store.relative_to("/var/lib")
        return Path("/run/helio") / self.store.relative_to("/")

    @property
    def containers_conf(self) -> Path:
        """Return the file with Podman's settings for this cloud."""
        return self.home / "containers.conf"

    @property
    def pebble(self) -> Path:
        """Return the place of the Pebble program."""
        return self.store.parent / "bin" / "pebble"

    @property
    def journal(self) -> Path:
        """Return the file that records what was changed on the machine."""
        return self.home / "journal.json"

    @property
    def log(self) -> Path:
        """Return the file that records every command."""
        return self.home / "helio.log"

    @property
    def cache(self) -> Path:
        """Return the folder of what is expensive to make again."""
        return self.store.parent / "cache"

    def overlay(self, part: Part) -> Path:
        """Return the overlay of a part's bundle with this machine's charms and images."""
        return self.home / f"overlay-{part}.yaml"

    @property
    def joining_overlay(self) -> Path:
        """Return the overlay that names the remote applications of this cloud's models."""
        return self.home / "overlay-joining.yaml"

    @property
    def key(self) -> Path:
        """Return the private ssh key of the demo user."""
        return self.home / "demo-key"

    @property
    def known_hosts(self) -> Path:
        """Return the file with the host keys of instances."""
        return self.home / "known-hosts"

    @property
    def ca(self) -> Path:
        """Return the certificate of the authority that signs the cloud's certificates."""
        return self.home / "ca.pem"

    @property
    def openrc(self) -> Path:
        """Return the shell file with the administrator's credentials."""
        return self.home / "openrc"

    @property
    def clouds(self) -> Path:
        """Return the clouds.yaml with the administrator's credentials."""
        return self.home / "clouds.yaml"


def home(environ: Mapping[str, str]) -> Path:
    """Return the home of the cloud that the environment chooses."""
    return Path(environ.get(HOME_VARIABLE) or DEFAULT_HOME).resolve()


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings of the cloud that the environment chooses.

    Args:
        environ: The process environment; `HELIO_HOME` names the home.

    Raises:
        HelioError: `helio.yaml` has an unknown key or a value that cannot be used.
    """
    folder = home(environ)
    settings = Settings(home=folder, store=folder / "storage")
    if not settings.file.is_file():
        return settings
    try:
        text = settings.file.read_text(encoding="utf-8")
        values: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise HelioError(f"cannot read {settings.file}: {error}") from error
    except PermissionError as error:
        raise HelioError(f"cannot read {settings.file}: run this as root, or with sudo") from error
    return merge(settings, values)


def is_ours(folder: Path) -> bool:
    """Return whether a folder may become, or is, the home of a cloud: empty, or with our files."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    return not names or bool(names & set(OWN_NAMES))


def merge(settings: Settings, values: Any) -> Settings:
    """Return the settings with values from a file laid over them.

    Raises:
        HelioError: a key is unknown or a value cannot be used; names the key.
    """
    file = settings.file
    if not hasattr(values, "items"):
        raise HelioError(f"cannot use {file}: it must hold keys and values")
    texts = {str(key): str(value) for key, value in values.items()}
    for key in texts.keys() - _KEYS.keys():
        raise HelioError(
            f"cannot use {file}: unknown key {key}; known are {', '.join(sorted(_KEYS))}"
        )
    for key, length in (("instance", 20), ("model", 30), ("machine-model", 30)):
        if not re.fullmatch(rf"[a-z][a-z0-9-]{{0,{length - 1}}}", texts.get(key, "a")):
            raise HelioError(
                f"cannot use {file}: {key} must be lower-case letters, digits and hyphens, "
                f"{length} at most"
            )
    for key in SUBNETS:
        if key in texts:
            _check_subnet(file, key, texts[key])
    if "subnet" in texts and "tunnel-subnet" not in texts:
        texts["tunnel-subnet"] = _next_subnet(texts["subnet"])
    if "store" in texts and not texts["store"].startswith("/"):
        raise HelioError(f"cannot use {file}: store must be an absolute path")
    store = Path(texts.pop("store")) if "store" in texts else settings.store
    fields = {_KEYS[key]: text for key, text in texts.items()}
    return dataclasses.replace(settings, store=store, **fields)


def _next_subnet(text: str) -> str:
    """Return the first /24 after a network."""
    after = int(ipaddress.IPv4Network(text).broadcast_address) + 1
    return f"{ipaddress.IPv4Address(after)}/24"


def _check_subnet(file: Path, key: str, text: str) -> None:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise HelioError(f"cannot use {file}: {key}: {error}") from error
    if network.prefixlen > 24:
        raise HelioError(f"cannot use {file}: {key} {text} is too small; a /24 is the least")
