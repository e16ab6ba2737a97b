"""Find modules that the services import and the environment does not have.

    check.py ENVIRONMENT OPTIONAL PATTERN...

Runs in the builder stage with the environment's own Python; standard library only. A package may
import what it does not require, so installing without an error proves little. All sources of the
packages that match a pattern are read and no module is started: an import at the top of a module,
outside of any `try` or `if`, must find its module. OPTIONAL names the file with the modules that
may be missing, one a line: they belong to parts that this image does not offer.
"""

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path


def imports(source: str) -> Iterator[str]:
    """Yield the absolute names of the modules that a module cannot be loaded without."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@functools.cache
def exists(site: Path, module: str) -> bool:
    """Return whether a module is in the environment or in the standard library.

    Only files are looked at. What lies below a compiled or built-in module is taken as there.
    """
    first, *rest = module.split(".")
    if first in sys.stdlib_module_names:
        return True
    place = site / first
    for name in rest:
        if not place.is_dir():
            break
        place = place / name
    # `a/b.py`, `a/b/`, `a/b.abi3.so`; a module that is a file has what it makes at run time.
    return place.is_dir() or any(place.parent.glob(f"{place.name}.*"))


def main(environment: Path, optional: Path, patterns: list[str]) -> None:
    """Check the packages; end with the modules that are missing and who wants them."""
    (site,) = environment.glob("lib/python3.*/site-packages")
    known = {
        line.partition("#")[0].strip()
        for line in optional.read_text(encoding="utf-8").splitlines()
    }
    packages = [path.name for pattern in patterns for path in sorted(site.glob(pattern))]
    missing: dict[str, Path] = {}
    for package in packages:
        for path in sorted((site / package).rglob("*.py")):
            try:
                names = list(imports(path.read_text(encoding="utf-8")))
            except SyntaxError:
                continue  # a template for Python source, which nobody imports
            for name in names:
                if not exists(site, name) and not is_known(name, known):
                    missing.setdefault(name, path.relative_to(site))
    if missing:
        lines = (f"{name} (for {path})" for name, path in sorted(missing.items()))
        sys.exit("cannot use this environment, modules are missing:\n" + "\n".join(lines))
    print(f"{len(packages)} folders find all modules that they import")


def is_known(module: str, optional: set[str]) -> bool:
    """Return whether a module or one of its parents may be missing."""
    parts = module.split(".")
    return any(".".join(parts[: end + 1]) in optional for end in range(len(parts)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
