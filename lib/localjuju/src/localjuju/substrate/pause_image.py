"""The image that holds a pod's namespaces: one static program, compiled here."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

from localjuju.settings import Settings
from localjuju.substrate.commands import PAUSE_REPOSITORY, podman
from localjuju.substrate.protocol import SubstrateError
from localjuju.substrate.runner import Runner

SOURCE = Path(__file__).with_name("pause") / "pause.c"
_FLAGS = ("-std=gnu11", "-Os", "-s", "-static", "-Wall", "-Wextra", "-Werror")


def reference() -> str:
    """Return the image's name; its tag follows from the source."""
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()
    return f"{PAUSE_REPOSITORY}:{digest[:12]}"


def archive(program: bytes) -> bytes:
    """Return the image's root file system as a tar file: equal programs give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


async def ensure(runner: Runner, settings: Settings) -> str:
    """Return the reference of the image, making it unless the store has it.

    Raises:
        SubstrateError: There is no C compiler, or it or Podman failed.
    """
    name = reference()
    if (await runner.run(podman(settings, "image", "exists", name))).code == 0:
        return name
    if shutil.which("cc") is None:
        raise SubstrateError(
            "cannot compile the pods' first process: no cc found; install a C compiler with "
            "its static C library (Debian and Ubuntu: gcc and libc6-dev)"
        )
    program = settings.home / "pause"
    compile_it = ("cc", *_FLAGS, "-o", str(program), str(SOURCE))
    await runner.check("compile the pods' first process", compile_it)
    content = archive(program.read_bytes())
    program.unlink()
    import_it = podman(settings, "import", "--quiet", "--change", "CMD /pause", "-", name)
    await runner.check("store the image of the pods' first process", import_it, content)
    return name
