"""Make `dist/<charm>_<distribution>-<arch>.charm` from a charm's folder and the workspace's lock.

A packed charm is a zip file: `dispatch`, the metadata files that Juju reads, `src`, and in `venv`
every Python package that the charm needs, as wheels for the Python of its base. The same inputs
give the same bytes. The digest of the inputs stands in the file itself, so that packing again is
free when nothing changed.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from helio.host import Command, CommandError, HelioError, Host
from helio.tree import Tree

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # Debian's name → the wheels' name

# Entries of a charm's folder that go into the packed charm as they are.
SOURCES = ("src", "lib", "README.md", "icon.svg")

# Leftovers of editors and interpreters; never part of a charm.
_IGNORED_SUFFIXES = (".pyc", ".swp", ".orig", ".rej", "~")

# What an installer writes beside a package and nobody reads at run time. The other metadata
# stays: opentelemetry, which ops imports, finds its parts through entry points.
_JUNK_FILES = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", ".lock"}
_JUNK_FOLDERS = {"bin", "test", "tests", "__pycache__"}

_METADATA_KEYS = (
    "name", "summary", "description", "assumes", "charm-user", "containers", "devices",
    "extra-bindings", "peers", "provides", "requires", "resources", "storage", "subordinate",
    "terms",
)  # fmt: skip
_LINKS = {"documentation": "docs", "issues": "issues", "source": "source", "website": "website"}

DISPATCH = """\
#!/bin/sh
# Runs the charm; started in the charm's folder for every hook and action. The interpreter is
# the charm container's: it has the minor version that this file was packed for.
JUJU_DISPATCH_PATH="${JUJU_DISPATCH_PATH:-$0}" PYTHONPATH=src:lib:venv exec python3 src/charm.py
"""


@dataclasses.dataclass(frozen=True)
class Base:
    """An operating system that charms are packed for.

    Args:
        name: As in file names: `ubuntu-24.04`.
        python: Minor version of its own Python.
        glibc: Its C library, as wheels' platform tags spell it.
    """

    name: str
    python: str
    glibc: str

    @property
    def distribution(self) -> str:
        """Return the distribution: `ubuntu`."""
        return self.name.split("-")[0]

    @property
    def channel(self) -> str:
        """Return the distribution's version: `24.04`."""
        return self.name.split("-")[1]


BASES = {
    base.name: base
    for base in (
        Base("ubuntu-24.04", python="3.12", glibc="2_39"),
        Base("debian-12", python="3.11", glibc="2_36"),
    )
}


@dataclasses.dataclass(frozen=True)
class Packed:
    """A charm file that is there and current.

    Args:
        charm: Name of the charm.
        path: The file.
        is_new: Whether it was made now; otherwise it was current already.
    """

    charm: str
    path: Path
    is_new: bool


def charm_names(tree: Tree) -> list[str]:
    """Return the names of all charms of the tree, sorted."""
    return sorted(path.parent.name for path in tree.charms.glob("*/charmcraft.yaml"))


def charm_file(tree: Tree, charm: str, base: Base, arch: str) -> Path:
    """Return where the packed charm is, or will be."""
    return tree.dist / f"{charm}_{base.name}-{arch}.charm"


def read_charmcraft(tree: Tree, charm: str) -> Mapping[str, Any]:
    """Return a charm's `charmcraft.yaml`.

    Raises:
        HelioError: there is no such charm or the file is not YAML.
    """
    path = tree.charms / charm / "charmcraft.yaml"
    try:
        return cast(Mapping[str, Any], yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(charm_names(tree)) or "none"
        raise HelioError(f"cannot pack {charm}: no such charm; there are: {known}") from None
    except yaml.YAMLError as error:
        raise HelioError(f"cannot pack {charm}: {path}: {error}") from error


def split(charmcraft: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Divide a `charmcraft.yaml` into the files that Juju reads, as charmcraft does.

    Returns:
        File name → content; `config.yaml` and `actions.yaml` only where there is something.
    """
    metadata = {key: charmcraft[key] for key in _METADATA_KEYS if key in charmcraft}
    if "title" in charmcraft:
        metadata["display-name"] = charmcraft["title"]
    links = cast(Mapping[str, Any], charmcraft.get("links") or {})
    metadata |= {ours: links[theirs] for theirs, ours in _LINKS.items() if theirs in links}
    contact = links.get("contact")
    if contact:
        metadata["maintainers"] = [contact] if isinstance(contact, str) else contact
    files: dict[str, Mapping[str, Any]] = {"metadata.yaml": metadata}
    for key in ("config", "actions"):
        if charmcraft.get(key):
            files[f"{key}.yaml"] = charmcraft[key]
    return files


def manifest(base: Base, arch: str) -> Mapping[str, Any]:
    """Return `manifest.yaml`: the base and architecture that the file is for.

    The time is fixed: a packed charm is a function of its inputs.
    """
    return {
        "analysis": {
            "attributes": [
                {"name": "language", "result": "python"},
                {"name": "framework", "result": "operator"},
            ]
        },
        "bases": [
            {"architectures": [arch], "channel": base.channel, "name": base.distribution},
        ],
        "charmcraft-started-at": "1980-01-01T00:00:00Z",
        "charmcraft-version": "helio",
    }


@dataclasses.dataclass(frozen=True)
class Packer:
    """Packs charms of one tree for one base.

    Args:
        tree: Where the charms, the libraries and the lock are.
        host: Runs uv.
        uv: The uv program.
        base: What to pack for.
        arch: Debian's name of the architecture.
    """

    tree: Tree
    host: Host
    uv: Path
    base: Base
    arch: str = "amd64"

    def pack(self, charm: str) -> Packed:
        """Make sure that the charm's file is there and current.

        Raises:
            HelioError: the charm is unknown, is not in the lock, or a wheel cannot be had.
        """
        charmcraft = read_charmcraft(self.tree, charm)
        requirements, libraries = self._requirements(charm)
        target = charm_file(self.tree, charm, self.base, self.arch)
        inputs = self._inputs(charm, requirements, libraries)
        if _digest_of(target) == inputs:
            return Packed(charm, target, is_new=False)
        work = self.tree.build / "pack"
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work, prefix=f"{charm}-") as folder:
            stage = Path(folder) / "charm"
            self._stage(stage, charm, charmcraft, libraries)
            self._install(stage / "venv", requirements, Path(folder) / "requirements.txt")
            self._compile(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = Path(folder) / target.name
            write_zip(part, stage, comment=inputs)
            os.replace(part, target)
        self._give_to_owner(target.parent, target, self.tree.build, work)
        return Packed(charm, target, is_new=True)

    def _give_to_owner(self, *paths: Path) -> None:
        """Through sudo: what is made in somebody's checkout belongs to them."""
        owner = self.tree.root.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            for path in paths:
                os.chown(path, owner.st_uid, owner.st_gid)

    def is_current(self, charm: str) -> bool:
        """Return whether the charm's file is there and current."""
        requirements, libraries = self._requirements(charm)
        target = charm_file(self.tree, charm, self.base, self.arch)
        return _digest_of(target) == self._inputs(charm, requirements, libraries)

    def _requirements(self, charm: str) -> tuple[str, list[Path]]:
        """Ask the lock what the charm needs.

        Returns:
            The pinned third-party packages with their hashes, and the workspace's own libraries.
        """
        argv = (
            str(self.uv), "export", "--project", str(self.tree.root), "--package", charm,
            "--frozen", "--no-header", "--no-annotate", "--quiet", "--no-cache",
        )  # fmt: skip
        try:
            lines = self.host.run(Command(argv, reads=True)).splitlines()
        except CommandError as error:
            raise HelioError(
                f"cannot pack {charm}: uv cannot read its packages from uv.lock "
                f"(a new charm needs `uv lock` once): {error}"
            ) from error
        # Members of the workspace stand there as editable paths: `-e ./lib/charmkit`.
        libraries = [line.removeprefix("-e ./") for line in lines if line.startswith("-e ./")]
        others = [line for line in lines if not line.startswith("-e ./")]
        folders = [self.tree.root / library for library in libraries]
        return "\n".join(others) + "\n", [
            folder for folder in folders if folder.parent != self.tree.charms
        ]

    def _inputs(self, charm: str, requirements: str, libraries: Iterable[Path]) -> str:
        """Return the digest of everything that decides the bytes of the packed charm."""
        digest = hashlib.sha256()
        is_compiled = self._interpreter() is not None
        facts = (requirements, self.base, self.arch, is_compiled, Path(__file__))
        for fact in facts:
            text = fact.read_bytes() if isinstance(fact, Path) else str(fact).encode()
            digest.update(hashlib.sha256(text).digest())
        folder = self.tree.charms / charm
        roots = [folder / "charmcraft.yaml", self.tree.root / "LICENSE"]
        roots += [folder / entry for entry in SOURCES]
        roots += [library / "src" for library in libraries]
        for root in roots:
            for path in source_files(root):
                name = path.relative_to(self.tree.root).as_posix()
                digest.update(f"{name}\0{_mode(path):o}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _stage(
        self,
        stage: Path,
        charm: str,
        charmcraft: Mapping[str, Any],
        libraries: Iterable[Path],
    ) -> None:
        """Lay out the charm's own files."""
        folder = self.tree.charms / charm
        for entry in SOURCES:
            _copy(folder / entry, stage / entry)
        _copy(self.tree.root / "LICENSE", stage / "LICENSE")
        for library in libraries:
            _copy(library / "src", stage / "venv")
        for name, content in split(charmcraft).items():
            _write_yaml(stage / name, content)
        _write_yaml(stage / "manifest.yaml", manifest(self.base, self.arch))
        (stage / "dispatch").write_text(DISPATCH, encoding="utf-8")
        (stage / "dispatch").chmod(0o755)

    def _install(self, venv: Path, requirements: str, file: Path) -> None:
        """Put the wheels of the base's Python into a folder."""
        venv.mkdir(exist_ok=True)
        if not requirements.strip():
            return
        file.write_text(requirements, encoding="utf-8")
        platform = f"{ARCHITECTURES[self.arch]}-manylinux_{self.base.glibc}"
        argv = (
            str(self.uv), "pip", "install", "--target", str(venv), "--python", "/usr/bin/python3",
            "--python-version", self.base.python, "--python-platform", platform,
            "--only-binary", ":all:", "--no-deps", "--require-hashes", "--no-config",
            "--system-certs", "--no-progress", "--quiet", "--requirements", str(file),
        )  # fmt: skip
        # The cache lies beside the work, so that wheels are linked and not copied.
        cache = {"UV_CACHE_DIR": str(self.tree.build / "cache" / "uv")}
        self.host.run(Command(argv, env=cache))
        for path in sorted(venv.rglob("*"), reverse=True):
            if path.is_dir() and path.name in _JUNK_FOLDERS:
                shutil.rmtree(path)
            elif path.name in _JUNK_FILES:
                path.unlink()

    def _interpreter(self) -> Path | None:
        """Return the Python that can compile for the base, if this machine has it."""
        path = Path(f"/usr/bin/python{self.base.python}")
        return path if path.exists() else None

    def _compile(self, stage: Path) -> None:
        """Add byte code, which makes a dispatch about twice as fast.

        It is bound to the content and not to times: unpacking a zip file changes those.
        """
        interpreter = self._interpreter()
        if not interpreter:
            return
        argv = (
            str(interpreter), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
            "-s", str(stage), str(stage),
        )  # fmt: skip
        self.host.run(Command(argv, env={"PYTHONHASHSEED": "0"}))


def source_files(root: Path) -> Iterator[Path]:
    """Yield the files at or below a path that belong to a charm, in a fixed order."""
    if root.is_file():
        yield root
        return
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        is_ignored = path.name.endswith(_IGNORED_SUFFIXES) or any(
            part.startswith(".") or part == "__pycache__" for part in parts
        )
        if path.is_file() and not is_ignored:
            yield path


def write_zip(target: Path, folder: Path, comment: str) -> None:
    """Write a folder as a zip file whose bytes depend on names, modes and contents only."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.comment = comment.encode()
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            name = path.relative_to(folder).as_posix()
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix: the mode below counts
            info.external_attr = (0o100000 | _mode(path)) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())


def _mode(path: Path) -> int:
    """Return one of two modes, so that a file is packed alike under every umask."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _digest_of(target: Path) -> str | None:
    """Return the digest of the inputs that a packed charm was made from."""
    try:
        with zipfile.ZipFile(target) as archive:
            return archive.comment.decode()
    except (FileNotFoundError, zipfile.BadZipFile):
        return None


def _copy(source: Path, target: Path) -> None:
    for path in source_files(source):
        place = target / path.relative_to(source) if source.is_dir() else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(_mode(path))


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=True, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
