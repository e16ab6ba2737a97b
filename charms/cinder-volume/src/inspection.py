"""What drivers of storage find on a machine: modules of the kernel and of Python, and packages."""

import backends
from charmkit import api
from charmkit.service import Sight
from charmkit.spec import Snapshot, Values
from charmkit.target import CommandError


def look(snapshot: Snapshot, sight: Sight) -> Values:
    """Look for what drivers need: modules of the kernel and of Python, and packages."""
    try:
        wanted = backends.parse(str(snapshot.config.get("backends", "")))
    except backends.BackendError:
        return {"lacks": (), "packages": ()}
    kernel = {module for each in wanted for module in each.driver.kernel}
    modules = {module for each in wanted for module in each.driver.modules}
    packages = {package for each in wanted for package in each.driver.packages}
    lacks = [each for each in sorted(kernel) if not _loads(sight, each)]
    lacks += [each for each in sorted(modules) if not _imports(sight, each)]
    return {
        "lacks": tuple(lacks),
        "packages": tuple(each for each in sorted(packages) if not _is_there(sight, each)),
    }


def _runs(sight: Sight, *argv: str) -> bool:
    try:
        sight.run(argv, timeout=20)
    except CommandError:
        return False
    return True


def _loads(sight: Sight, module: str) -> bool:
    """Tell whether the kernel has a module, built in, loaded or to be loaded."""
    names = {"dm_mod": ("/proc/misc", "device-mapper"), "nfs": ("/proc/filesystems", "nfs")}
    path, word = names[module]
    if word in (sight.read(path) or "").split():
        return True
    return _runs(sight, "modprobe", "--dry-run", "--quiet", module)


def _imports(sight: Sight, module: str) -> bool:
    return _runs(sight, f"{api.BIN}/python3", "-c", f"import {module}")


def _is_there(sight: Sight, package: str) -> bool:
    return _runs(sight, "dpkg-query", "--status", package)
