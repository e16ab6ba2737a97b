"""Read what a charm says about itself: a packed `.charm`, or a folder with a charm in it.

What a charm declares is checked here once, so that everything behind can rely on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from localjuju import archives
from localjuju.model import Charm, Container, Endpoint, StorageSpec
from localjuju.values import ValueTypeError, check_default

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_ENDPOINT = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", re.IGNORECASE)
_ACTION = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_TAG = re.compile(r"\.cpython-3(?P<minor>[0-9]+)[-.]")
_RANGE = re.compile(r"(?P<low>[0-9]+)(?:(?P<more>[-+])(?P<high>[0-9]*))?")
_ROLES = (("provides", "provider"), ("requires", "requirer"), ("peers", "peer"))
_OPTION_TYPES = ("string", "int", "float", "boolean", "secret")
_SCHEMA_KEYS = ("title", "required", "additionalProperties", "$defs", "definitions")

Mapped = dict[str, Any]


class CharmError(Exception):
    """A charm cannot be used; the text names the charm, the cause and the next step."""


def take_in(source: Path, into: Path) -> Charm:
    """Bring a packed charm or a charm folder into the engine's store, and read it.

    Args:
        source: A `.charm` file, or a folder with `metadata.yaml` or `charmcraft.yaml`.
        into: The engine's folder of unpacked charms.

    Returns:
        The charm without URL and revision, which a model gives it.

    Raises:
        CharmError: It is missing, unsafe to unpack, or not a charm.
    """
    if not source.exists():
        raise CharmError(f'no charm was found at "{source}"')
    try:
        folder, digest = archives.take_in(source, into)
    except archives.ArchiveError as error:
        raise CharmError(str(error)) from error
    charm = read(folder, digest)
    dispatch = folder / "dispatch"
    if dispatch.is_file() and not dispatch.is_symlink():
        dispatch.chmod(dispatch.stat().st_mode | 0o111)  # Juju's agent does so, too
    return charm


def read(folder: Path, digest: str = "") -> Charm:
    """Read an unpacked charm.

    Raises:
        CharmError: A file is missing or says something that cannot be.
    """
    metadata = _metadata(folder)
    name = metadata.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CharmError(f"cannot read charm in {folder}: metadata has no valid name: {name!r}")
    try:
        charm = Charm(
            url="",
            name=name,
            revision=-1,
            sha256=digest,
            path=str(folder),
            metadata=metadata,
            config=_options(_section(folder, metadata, "config.yaml", "config")),
            actions=_actions(_section(folder, metadata, "actions.yaml", "actions")),
            manifest=_load(folder / "manifest.yaml") or {},
            endpoints=_endpoints(metadata),
            containers=_containers(metadata),
            storage=_storage(metadata),
            resources=_resources(metadata),
            extra_bindings=tuple(metadata.get("extra-bindings") or ()),
            subordinate=metadata.get("subordinate") is True,
            python=python_version(folder),
        )
    except _Invalid as error:
        raise CharmError(f'cannot use charm "{name}": {error}') from error
    if not (folder / "dispatch").exists() and not (folder / "hooks").is_dir():
        raise CharmError(
            f'cannot use charm "{name}": it has neither dispatch nor hooks; '
            "give the packed .charm file, not its source"
        )
    return charm


def refuse_python(charm: Charm, have: str | None) -> None:
    """Check that a charm was packed for the Python that charm containers have.

    Args:
        charm: The charm.
        have: Minor version in the containers (`3.11`), or None when it is not known.

    Raises:
        CharmError: The charm brings modules for another minor version.
    """
    if have is None or charm.python is None or charm.python == have:
        return
    raise CharmError(
        f'cannot deploy charm "{charm.name}": it was packed for Python {charm.python}, '
        f"but charms run with Python {have} here; use the file packed for Python {have}"
    )


def python_version(folder: Path) -> str | None:
    """Return the minor version of Python that the charm's modules were installed for.

    A virtual environment names it in its folders; modules that were installed into a plain
    folder tell it by what was compiled: extensions, or else byte code.

    Raises:
        CharmError: There are modules for several.
    """
    for found in (_environments(folder), _tags(folder, "*.so"), _tags(folder, "*.pyc")):
        if len(found) > 1:
            versions = ", ".join(sorted(found))
            raise CharmError(f"cannot use charm in {folder}: it holds modules for {versions}")
        if found:
            return found.pop()
    return None


def _environments(folder: Path) -> set[str]:
    return {
        path.parent.name.removeprefix("python")
        for root in ("venv/lib", "lib")
        for path in (folder / root).glob("python3.*/site-packages")
    }


def _tags(folder: Path, pattern: str) -> set[str]:
    """Return the versions in names such as `_yaml.cpython-311-x86_64-linux-gnu.so`."""
    matches = (_TAG.search(path.name) for path in (folder / "venv").rglob(pattern))
    return {f"3.{match['minor']}" for match in matches if match is not None}


class _Invalid(Exception):  # noqa: N818 - never leaves this module
    """A part of a charm's metadata cannot be."""


def _metadata(folder: Path) -> Mapped:
    for name in ("metadata.yaml", "charmcraft.yaml"):
        found = _load(folder / name)
        if found is not None:
            return found
    raise CharmError(
        f"cannot read charm in {folder}: neither metadata.yaml nor charmcraft.yaml is there"
    )


def _section(folder: Path, metadata: Mapped, file: str, key: str) -> Mapped:
    """Return a file of a packed charm, or the part of charmcraft.yaml that it is made from."""
    own = _load(folder / file)
    if own is not None:
        return own
    part = metadata.get(key) if not (folder / "metadata.yaml").exists() else None
    return _mapping(part, key)


def _load(path: Path) -> Mapped | None:
    # A link could name any file of this host: only what the charm itself holds is read.
    if path.is_symlink() or not path.is_file():
        return None
    try:
        found = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise CharmError(f"cannot read {path.name} of the charm: {text}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CharmError(f"cannot read {path.name} of the charm: it is not a mapping")
    return cast(Mapped, found)


def _mapping(value: Any, where: str) -> Mapped:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Invalid(f"{where} is not a mapping")
    return cast(Mapped, value)


def _named(parent: Mapped, key: str) -> Iterable[tuple[str, Mapped]]:
    for name, body in _mapping(parent.get(key), key).items():
        yield name, _mapping(body, f"{key}.{name}")


def _endpoints(metadata: Mapped) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    for key, role in _ROLES:
        for name, raw in _mapping(metadata.get(key), key).items():
            body = {"interface": raw} if isinstance(raw, str) else _mapping(raw, f"{key}.{name}")
            interface = body.get("interface")
            scope = body.get("scope") or "global"
            limit = body.get("limit")
            if not _ENDPOINT.fullmatch(name):
                raise _Invalid(f"{key}.{name} is not a valid endpoint name")
            if name in found:
                raise _Invalid(f"endpoint {name} is declared twice")
            if not isinstance(interface, str) or not interface:
                raise _Invalid(f"{key}.{name} names no interface")
            if scope not in {"global", "container"}:
                raise _Invalid(f"{key}.{name} has unknown scope {scope!r}")
            if limit is not None and (not isinstance(limit, int) or limit < 1):
                raise _Invalid(f"{key}.{name} has limit {limit!r}, not a positive number")
            found[name] = Endpoint(
                name, interface, role, scope, body.get("optional") is not False, limit
            )
    return found


def _containers(metadata: Mapped) -> dict[str, Container]:
    resources = _mapping(metadata.get("resources"), "resources")
    storage = _mapping(metadata.get("storage"), "storage")
    found: dict[str, Container] = {}
    for name, body in _named(metadata, "containers"):
        resource = body.get("resource")
        if resource is not None and resource not in resources:
            raise _Invalid(f"container {name} names resource {resource!r}, which is not declared")
        mounts: list[tuple[str, str]] = []
        for mount in body.get("mounts") or ():
            entry = _mapping(mount, f"containers.{name}.mounts")
            if entry.get("storage") not in storage:
                raise _Invalid(
                    f"container {name} mounts storage {entry.get('storage')!r}, "
                    "which is not declared"
                )
            mounts.append((entry["storage"], str(entry.get("location") or "")))
        found[name] = Container(
            name, resource, tuple(mounts), uid=body.get("uid"), gid=body.get("gid")
        )
    return found


def _storage(metadata: Mapped) -> dict[str, StorageSpec]:
    found: dict[str, StorageSpec] = {}
    for name, body in _named(metadata, "storage"):
        kind = body.get("type")
        if kind not in {"filesystem", "block"}:
            raise _Invalid(f"storage {name} has type {kind!r}, not filesystem or block")
        low, high = 1, 1
        if body.get("multiple") is not None:
            low, high = _range(name, _mapping(body["multiple"], f"storage.{name}.multiple"))
        found[name] = StorageSpec(name, kind, low, high, body.get("location"))
    return found


def _range(name: str, multiple: Mapped) -> tuple[int, int | None]:
    """Read `2`, `1-3`, `0-` or `2+`."""
    text = str(multiple.get("range"))
    match = _RANGE.fullmatch(text)
    if match is None or (match["more"] == "+" and match["high"]):
        raise _Invalid(f"storage {name} has range {text!r}, not like 0-, 2+ or 1-3")
    low = int(match["low"])
    if not match["more"]:
        return low, low
    return low, int(match["high"]) if match["high"] else None


def _resources(metadata: Mapped) -> dict[str, Mapped]:
    found: dict[str, Mapped] = {}
    for name, body in _named(metadata, "resources"):
        if body.get("type") not in {"oci-image", "file"}:
            raise _Invalid(f"resource {name} has type {body.get('type')!r}, not oci-image or file")
        if body["type"] == "file" and not body.get("filename"):
            raise _Invalid(f"resource {name} is a file without filename")
        found[name] = dict(body)
    return found


def _options(config: Mapped) -> dict[str, Mapped]:
    found: dict[str, Mapped] = {}
    for name, body in _named(config, "options"):
        kind = body.get("type")
        if kind not in _OPTION_TYPES:
            raise _Invalid(f"option {name} has unknown type {kind!r}")
        option: Mapped = {"type": kind, "description": body.get("description") or ""}
        if body.get("default") is not None:
            try:
                option["default"] = check_default(name, kind, body["default"])
            except ValueTypeError as error:
                raise _Invalid(f"invalid default: {error}") from error
        found[name] = option
    return found


def _actions(raw: Mapped) -> dict[str, Mapped]:
    found: dict[str, Mapped] = {}
    for name, value in raw.items():
        if not _ACTION.fullmatch(name):
            raise _Invalid(f"bad action name {name}")
        if name == "juju" or name.startswith("juju-"):
            raise _Invalid(f"cannot use action name {name}: juju is a reserved prefix")
        body = _mapping(value, f"action {name}")
        schema: Mapped = {
            "description": body.get("description") or "No description",
            "type": "object",
            "title": name,
            "properties": _mapping(body.get("params"), f"params of action {name}"),
        }
        schema.update({key: body[key] for key in _SCHEMA_KEYS if key in body})
        found[name] = schema
    return found


def endpoints_of(charm: Charm, role: str) -> Mapping[str, Endpoint]:
    """Return the endpoints of one role: `provider`, `requirer` or `peer`."""
    return {name: e for name, e in charm.endpoints.items() if e.role == role}
