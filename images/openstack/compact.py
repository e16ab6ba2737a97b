"""Make a Python environment as small as its services allow, and compile it.

    compact.py ENVIRONMENT

Runs in the builder stage of the image with the distribution's Python; standard library only.
"""

import compileall
import contextlib
import io
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

# Folders that no service reads at run time.
DEAD_FOLDERS = {"__pycache__", "functionaltests", "heat_integrationtests", "tests"}
# Type stubs, sources of compiled modules, sources of translations (the .mo files stay).
DEAD_SUFFIXES = {".pyi", ".pyx", ".pxd", ".c", ".h", ".cpp", ".po", ".pot"}


def remove_dead(site: Path) -> None:
    """Remove what only developers of the packages need."""
    for folder, names, files in os.walk(site):
        for name in DEAD_FOLDERS.intersection(names):
            shutil.rmtree(Path(folder, name))
            names.remove(name)
        for name in files:
            if Path(name).suffix in DEAD_SUFFIXES:
                Path(folder, name).unlink()


def strip(site: Path) -> None:
    """Remove debugging data from extension modules.

    Libraries bundled into wheels (`*.libs`) are left alone: they were edited after linking, and
    some do not survive a second tool.
    """
    modules = [
        str(path)
        for path in site.rglob("*.so")
        if not any(part.endswith(".libs") for part in path.parts)
    ]
    subprocess.run(["strip", "--strip-debug", *modules], check=True)


def compile_all(site: Path) -> None:
    """Compile every module; Python never looks at the sources' times again.

    Files that are templates and no valid Python are no modules: they just stay uncompiled.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        compileall.compile_dir(
            site,
            quiet=2,
            workers=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def main(environment: Path) -> None:
    """Compact the environment and print its size before and after."""
    (site,) = environment.glob("lib/python3.*/site-packages")
    before = size(environment)
    remove_dead(site)
    strip(site)
    for folder in ("include", "share/doc", "share/man"):
        shutil.rmtree(environment / folder, ignore_errors=True)
    (environment / ".lock").unlink(missing_ok=True)
    bare = size(environment)
    compile_all(site)
    print(f"compacted from {before} MB to {bare} MB, {size(environment)} MB with bytecode")


def size(folder: Path) -> int:
    """Return the size of a folder's files in megabytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) // 1_000_000


if __name__ == "__main__":
    main(Path(sys.argv[1]))
