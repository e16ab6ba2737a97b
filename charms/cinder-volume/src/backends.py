"""The backends of a volume service: read from the option, held against the drivers. Pure."""

import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping, Sequence

import drivers
from charmkit.interfaces import cinder_ceph_key
from charmkit.interfaces.ceph_client import Ceph
from charmkit.spec import SecretContent

FOLDER = "/etc/cinder/backends"
"""What a backend needs beside its options: shares, and Ceph's files."""

CEPH_CONF = "/etc/cinder/ceph/ceph.conf"
CEPH_KEYRING = "/etc/cinder/ceph/ceph.keyring"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_KINDS: Mapping[drivers.Kind, str] = {
    "text": "a text",
    "integer": "a number",
    "boolean": "true or false",
    "list": "a list",
}
# Sections of the configuration that a backend's name would collide with.
_TAKEN = frozenset(
    {
        "backend",
        "backend_defaults",
        "coordination",
        "database",
        "glance",
        "key_manager",
        "keystone_authtoken",
        "nova",
        "oslo_concurrency",
        "oslo_messaging_rabbit",
        "service_user",
    }
)


class BackendError(Exception):
    """What operators said about backends cannot be used; the text begins with `backends: `."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backend:
    """A backend as operators want it.

    Attributes:
        name: Its name, also its `volume_backend_name`.
        driver: Its driver; for `other` with the class that operators named.
        values: What was said, by the names of settings; for `other` by those of options.
        secret: URI of the secret with the settings that are secret, or "".
    """

    name: str
    driver: drivers.Driver
    values: Mapping[str, object]
    secret: str = ""


def parse(text: str) -> tuple[Backend, ...]:
    """Read the option `backends`.

    Raises:
        BackendError: It cannot be used.
    """
    import yaml

    try:
        found: object = yaml.safe_load(text or "")
    except yaml.YAMLError as error:
        raise BackendError(f"backends: cannot be read as YAML: {_one_line(error)}") from None
    if found is None:
        return ()
    if not isinstance(found, dict):
        raise BackendError("backends: must map names to backends, `fast: {driver: lvm, …}`")
    entries = typing.cast("Mapping[object, object]", found)
    return tuple(_backend(str(name), entries[name]) for name in sorted(entries, key=str))


def secret_uris(text: str) -> list[str]:
    """Name the secrets in the option; none while it cannot be used."""
    try:
        return [each.secret for each in parse(text) if each.secret]
    except BackendError:
        return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _backend(name: str, entry: object) -> Backend:
    if not _NAME.fullmatch(name) or name in _TAKEN or name.isupper():
        raise BackendError(f"backends: no backend can be called {name!r}")
    if not isinstance(entry, dict):
        raise BackendError(f"backends: {name}: must have settings, `driver: lvm` among them")
    said = {str(key): value for key, value in typing.cast("dict[object, object]", entry).items()}
    driver = drivers.DRIVERS.get(str(said.pop("driver", "")))
    if driver is None:
        known = ", ".join(sorted(drivers.DRIVERS))
        raise BackendError(f"backends: {name}: driver must be one of {known}")
    secret = str(said.pop("secret", "") or "")
    if driver is drivers.OTHER:
        return _other(name, said, secret)
    settings = {each.name: each for each in driver.settings}
    for key, value in said.items():
        if key not in settings:
            known = ", ".join(sorted(settings))
            raise BackendError(f"backends: {name}: {driver.name} has no {key}; it has {known}")
        if settings[key].is_secret:
            raise BackendError(f"backends: {name}: put {key} into a secret, `secret: secret:…`")
        _check_kind(name, settings[key], value)
    for setting in driver.settings:
        if setting.required and not setting.is_secret and setting.name not in said:
            raise BackendError(f"backends: {name}: {setting.name} is missing")
    if any(each.is_secret and each.required for each in driver.settings) and not secret:
        keys = ", ".join(each.name for each in driver.settings if each.is_secret)
        raise BackendError(f"backends: {name}: name a secret with {keys}, `secret: secret:…`")
    return Backend(name=name, driver=driver, values=said, secret=secret)


def _other(name: str, said: dict[str, object], secret: str) -> Backend:
    path = str(said.pop("class", ""))
    if not re.fullmatch(r"[A-Za-z_][\w.]*\.\w+", path):
        raise BackendError(f"backends: {name}: class must name a driver's class")
    driver = dataclasses.replace(drivers.OTHER, path=path)
    return Backend(name=name, driver=driver, values=said, secret=secret)


def _check_kind(name: str, setting: drivers.Setting, value: object) -> None:
    right = {
        "text": isinstance(value, str | int | float) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "list": isinstance(value, list) and bool(typing.cast("list[object]", value)),
    }
    if not right[setting.kind]:
        raise BackendError(f"backends: {name}: {setting.name} must be {_KINDS[setting.kind]}")


# --- what keeps a backend from working ---------------------------------------------------------


def hindrance(
    backends: Iterable[Backend],
    secrets: Mapping[str, SecretContent],
    lacks: Sequence[str],
) -> str | None:
    """Tell why a backend cannot work here, by name, or None.

    Args:
        backends: The backends.
        secrets: Content of the secrets that could be read.
        lacks: Modules, of the kernel and of Python, that this machine does not have.
    """
    for backend in backends:
        for module in backend.driver.kernel:
            if module in lacks:
                return (
                    f"backends: {backend.name}: this machine's kernel has no {module},"
                    f" which {backend.driver.name} needs"
                )
        for module in backend.driver.modules:
            if module in lacks:
                return f"backends: {backend.name}: the runtime has no Python module {module}"
        if backend.secret and backend.secret not in secrets:
            return (
                f"backends: {backend.name}: cannot read {backend.secret};"
                " grant it with juju grant-secret"
            )
        content = secrets.get(backend.secret, {})
        for setting in backend.driver.settings:
            if setting.is_secret and setting.required and not content.get(setting.name):
                return f"backends: {backend.name}: its secret has no {setting.name}"
    return None


# --- what Cinder reads -------------------------------------------------------------------------

Section = Mapping[str, str]


def section(backend: Backend, secrets: Mapping[str, SecretContent]) -> Section:
    """Give the options of a backend's section, sorted but for the first two."""
    driver = backend.driver
    options = dict(driver.fixed)
    told = {**backend.values, **secrets.get(backend.secret, {})}
    if driver.name == drivers.OTHER.name:
        # Keys of secrets cannot have an underline, and options of Cinder have no hyphen.
        options |= {key.replace("-", "_"): _text(value) for key, value in told.items()}
    for setting in driver.settings:
        if setting.option and setting.name in told:
            options[setting.option] = _text(told[setting.name])
    if driver.name == "nfs":
        options["nfs_shares_config"] = f"{FOLDER}/{backend.name}.shares"
        options["nfs_mount_point_base"] = f"/var/lib/cinder/mnt/{backend.name}"
    return _in_order(backend.name, driver.path, options)


def ceph_section(name: str, ceph: Ceph) -> Section:
    """Give the options of the backend in Ceph."""
    options = {
        "rbd_pool": ceph.pools[0],
        "rbd_user": ceph.user,
        "rbd_ceph_conf": CEPH_CONF,
        "rbd_secret_uuid": libvirt_uuid(ceph),
        "rbd_exclusive_cinder_pool": "true",
        # Without it a cluster that is gone keeps the service from telling that.
        "rados_connect_timeout": "15",
        # Space that a guest gives back is free again.
        "report_discard_supported": "true",
    }
    return _in_order(name, drivers.CEPH.path, options)


def libvirt_uuid(ceph: Ceph) -> str:
    """Give the UUID under which hypervisors keep the key."""
    return cinder_ceph_key.libvirt_uuid(ceph.fsid or ",".join(ceph.monitors), ceph.user)


def _in_order(name: str, path: str, options: Mapping[str, str]) -> Section:
    first = {"volume_backend_name": name, "volume_driver": path}
    return first | {key: options[key] for key in sorted(options)}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(str(each) for each in typing.cast("list[object]", value))
    return str(value)


def shares(backends: Iterable[Backend]) -> dict[str, str]:
    """Give the files with shares: name → text."""
    return {
        f"{each.name}.shares": "".join(
            f"{share}\n" for share in typing.cast("list[object]", each.values["shares"])
        )
        for each in backends
        if each.driver.name == "nfs"
    }
