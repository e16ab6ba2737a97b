"""Put an application's resources where resource-get says they are."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

from localjuju.hooks.command import CommandError
from localjuju.hooks.formats import render
from localjuju.hooks.session import Session
from localjuju.model import Resource

IMAGE_FILE = "content.yaml"


def place(session: Session, name: str) -> str:
    """Make a resource's file up to date and return its path in the charm container.

    Raises:
        CommandError: The application has no such resource, or it cannot be read.
    """
    declared = session.charm.resources.get(name)
    resource = session.app.resources.get(name)
    if declared is None or resource is None:
        raise CommandError(f'could not download resource: resource "{name}" not found')
    image = resource.kind == "oci-image"
    filename = IMAGE_FILE if image else str(declared.get("filename") or Path(resource.value).name)
    filename = Path(filename).name
    folder = session.paths.resources_host / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if image:
            _write(folder / filename, _image_text(resource))
        else:
            _copy(Path(resource.value), folder / filename)
    except OSError as error:
        raise CommandError(
            f'could not download resource: cannot place resource "{name}": {error}'
        ) from error
    return f"{session.paths.resources}/{name}/{filename}"


def _image_text(resource: Resource) -> bytes:
    content = {"registrypath": resource.value}
    if resource.username or resource.password_file:
        password = Path(resource.password_file).read_text() if resource.password_file else ""
        content.update(username=resource.username, password=password.rstrip("\n"))
    return render(content, "yaml").encode()


def _write(path: Path, content: bytes) -> None:
    """Write a private file in one step, unless it is there already."""
    if path.is_file() and path.read_bytes() == content:
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)


def _copy(source: Path, path: Path) -> None:
    """Make `path` the stored file: the same one where that can be, since it may be large."""
    if path.is_file() and (path.samefile(source) or filecmp.cmp(source, path, shallow=True)):
        return
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, fresh)
    fresh.replace(path)
