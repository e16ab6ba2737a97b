"""What comes in from the host's file system: charms and resources."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import yaml

from localjuju import charm as charms
from localjuju.api._calls import Call, EngineLike
from localjuju.changes import IMAGE, ChangeError, constraint
from localjuju.model import Charm, Model, Resource

_IMAGE_FILES = (".yaml", ".yml", ".json")


@runtime_checkable
class _TellsPython(Protocol):
    """A substrate that knows which Python its charm containers have."""

    async def charm_python(self, image: str = "") -> str | None: ...


async def take_in_charm(call: Call, path: str, constraints: str = "") -> Charm:
    """Bring a charm into the engine's store, and check that it can run here.

    Args:
        call: The request, about the model that gets the charm.
        path: A packed charm, or a folder.
        constraints: Those of the application: they may name the image of its machines.

    Raises:
        CharmError: It is no charm, or was packed for another Python.
    """
    folder = call.engine.settings.home / "charms"
    charm = await asyncio.to_thread(charms.take_in, Path(path), folder)
    substrate: object = call.engine.substrate
    image = ""
    if call.model.has_machines:
        default = call.engine.settings.machine_image
        image = constraint(constraints, IMAGE) or default
    if isinstance(substrate, _TellsPython) and (image or not call.model.has_machines):
        charms.refuse_python(charm, await substrate.charm_python(image))
    return charm


async def take_in_resources(
    call: Call, charm: Charm, given: Mapping[str, str]
) -> dict[str, Resource]:
    """Make resources of what the operator named: images, files that describe one, files.

    Raises:
        ChangeError: The charm has no such resource, or a file cannot be read.
    """
    home = call.engine.settings.home
    return {
        name: await asyncio.to_thread(_resource, home, charm, name, value)
        for name, value in given.items()
    }


def _resource(home: Path, charm: Charm, name: str, value: str) -> Resource:
    declared = charm.resources.get(name)
    if declared is None:
        raise ChangeError(f'unrecognized resource "{name}" of charm "{charm.name}"')
    try:
        if declared["type"] == "file":
            return _stored_file(home, name, Path(value))
        path = Path(value)
        if value.endswith(_IMAGE_FILES) and path.is_file():
            return _described_image(home, name, path)
    except (OSError, subprocess.SubprocessError, yaml.YAMLError) as error:
        raise ChangeError(f'cannot read resource "{name}" from {value}: {error}') from error
    if value.startswith((".", "/")) or not value:
        raise ChangeError(
            f'resource "{name}" is an image: give its reference, or a YAML file with registrypath'
        )
    return Resource(name, "oci-image", value)


def _described_image(home: Path, name: str, path: Path) -> Resource:
    found: Any = yaml.safe_load(path.read_bytes())
    described = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    image = described.get("registrypath") or described.get("ImageName")
    if not isinstance(image, str):
        raise ChangeError(f'cannot read resource "{name}" from {path}: it has no registrypath')
    resource = Resource(name, "oci-image", image, username=str(described.get("username") or ""))
    password = described.get("password")
    if password:
        secret = str(password).encode()
        target = home / "resources" / hashlib.sha256(image.encode() + secret).hexdigest()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(target, secret)
        resource.password_file = str(target)
    return resource


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)


def _stored_file(home: Path, name: str, path: Path) -> Resource:
    """Copy a file under the digest of its content, so that the same one is kept once."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = home / "resources" / digest
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = target.with_suffix(".incoming")
        # Blocks are shared where the file system can do that; a link would follow its owner's
        # changes.
        subprocess.run(("cp", "--reflink=auto", "--", str(path), str(fresh)), check=True)
        fresh.chmod(0o644)
        fresh.rename(target)
    return Resource(name, "file", str(target))


def sweep(engine: EngineLike) -> None:
    """Remove unpacked charms and stored resources that no model knows any more."""
    home = engine.settings.home
    models = list(engine.models.values())
    _sweep(home / "charms", {charm.sha256 for model in models for charm in model.charms.values()})
    _sweep(home / "resources", set(_stored(models)))


def _stored(models: Iterable[Model]) -> Iterable[str]:
    for model in models:
        for app in model.applications.values():
            for resource in app.resources.values():
                yield Path(resource.password_file or resource.value).name


def _sweep(folder: Path, used: set[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in used:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
