"""Bring charms into the engine's own folder: unpack an archive, or copy a folder, safely.

A charm is kept once, in a folder named after the digest of what was given. An archive is not
trusted: no entry may leave the folder, links are made last, sizes are bounded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_BYTES = 2 << 30
"""A charm with its Python environment is some 10 MiB; this only stops a bomb."""
MAX_ENTRIES = 200_000
_SKIPPED = frozenset({".git", ".hg", ".svn", ".bzr", ".tox", ".ruff_cache", ".pytest_cache"})
_CHUNK = 1 << 20


class ArchiveError(Exception):
    """The archive or folder cannot be taken in; the text names it and the cause."""


def take_in(source: Path, into: Path) -> tuple[Path, str]:
    """Unpack an archive or copy a folder to `into/<digest>`; nothing happens if it is there.

    Returns:
        The folder, and the SHA-256 of what was given.

    Raises:
        ArchiveError: `source` is missing, is not a zip archive, or holds something unsafe.
    """
    try:
        digest = _folder_digest(source) if source.is_dir() else _file_digest(source)
        target = into / digest
        if target.is_dir():
            return target, digest
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = Path(tempfile.mkdtemp(dir=into, prefix=".incoming-"))
        try:
            (_copy if source.is_dir() else _unpack)(source, scratch)
            scratch.chmod(0o755)
            with contextlib.suppress(FileExistsError):  # someone else was faster
                scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ArchiveError(f"cannot read charm {source}: {error.strerror or error}") from error
    return target, digest


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder_digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in _walk(folder):
        mode = path.lstat().st_mode
        content = ""
        if stat.S_ISLNK(mode):
            content = str(path.readlink())
        elif stat.S_ISREG(mode):
            content = _file_digest(path)
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name}\0{mode:o}\0{content}\n".encode())
    return whole.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder, sorted, without what version control and tools leave."""
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED:
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _copy(source: Path, target: Path) -> None:
    for path in _walk(source):
        fresh = target / path.relative_to(source)
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            _check_link(source.name, path.relative_to(source).as_posix(), str(path.readlink()))
            fresh.symlink_to(path.readlink())
        elif stat.S_ISDIR(mode):
            fresh.mkdir()
        elif stat.S_ISREG(mode):
            shutil.copy2(path, fresh)
        else:
            raise ArchiveError(f"cannot read charm {source}: {path} is not a file or a folder")


def _unpack(source: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            _unpack_entries(source.name, archive, target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ArchiveError(f"cannot read charm {source}: {error}") from error


def _unpack_entries(charm: str, archive: zipfile.ZipFile, target: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ArchiveError(f"cannot unpack charm {charm}: it has more than {MAX_ENTRIES} entries")
    left = MAX_BYTES
    links: list[tuple[Path, str]] = []
    seen: set[str] = set()
    for entry in entries:
        name = _checked_name(charm, entry.filename)
        if name in seen:
            raise ArchiveError(f"cannot unpack charm {charm}: {name} is in it twice")
        seen.add(name)
        path = target / name
        mode = entry.external_attr >> 16
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            goal = archive.read(entry).decode() if entry.file_size <= 4096 else "/"
            _check_link(charm, name, goal, archived=True)
            links.append((path, goal))
        elif stat.S_IFMT(mode) in {0, stat.S_IFREG}:
            left = _unpack_file(charm, archive, entry, path, left)
            path.chmod((mode & 0o755) or 0o644)
        else:
            raise ArchiveError(f"cannot unpack charm {charm}: {name} is a special file")
    for path, goal in links:  # last, so that no entry is ever written through one
        if path.exists():
            raise ArchiveError(f"cannot unpack charm {charm}: {path.name} is a link and a folder")
        path.symlink_to(goal)


def _unpack_file(
    charm: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, left: int
) -> int:
    with archive.open(entry) as stream, path.open("xb") as out:
        while chunk := stream.read(_CHUNK):
            left -= len(chunk)  # counted, since the size in the entry is only a claim
            if left < 0:
                raise ArchiveError(
                    f"cannot unpack charm {charm}: it is larger than {MAX_BYTES} bytes"
                )
            out.write(chunk)
    return left


def _checked_name(charm: str, name: str) -> str:
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if bad or not path.parts:
        raise ArchiveError(f"cannot unpack charm {charm}: {name!r} leads out of it")
    return path.as_posix()


def _check_link(charm: str, name: str, goal: str, *, archived: bool = False) -> None:
    """Refuse a link that leads out of the charm.

    An absolute link in a folder (`venv/bin/python` of a virtual environment) names a path of
    the charm's container: it is kept as text and followed by nobody here.
    """
    if os.path.isabs(goal) and not archived:
        return
    inside = os.path.normpath(os.path.join("/charm", os.path.dirname(name), goal))
    if os.path.isabs(goal) or not (inside == "/charm" or inside.startswith("/charm/")):
        raise ArchiveError(f"cannot unpack charm {charm}: the link {name} leads out of it")
