"""Hold an operator's overrides against the option lists of the service in this environment.

Reads JSON from standard input: `namespaces`, `dynamic_groups` and `overrides`, a list of objects
with `source`, `group`, `option`, `values`. Prints a JSON list of what is wrong, one text each.
Runs in the workload container, where the service and its options are.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any


class _Anything(type):
    """A class that has every attribute, may be the base of another one, and decorates."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})

    def __call__(cls, *arguments: Any, **_: Any) -> Any:
        return arguments[0] if arguments and callable(arguments[0]) else cls


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives modules that are not there, empty.

    A service's option lists are those of all its drivers, and a few of them import at once what
    only a user of the driver installs.
    """

    def __init__(self):
        self.packages: set[str] = set()

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self.packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        # PEP 562: a module may have it, but its type does not know.
        module.__getattr__ = lambda name: getattr(_Anything("module", (), {}), name)  # pyright: ignore[reportAttributeAccessIssue]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass

    def load(self, entry: importlib.metadata.EntryPoint) -> Any:
        """Load an entry point, with stand-ins for what it lacks."""
        sys.meta_path.append(self)
        try:
            while True:
                try:
                    return entry.load()
                except ModuleNotFoundError as error:
                    package = (error.name or "").partition(".")[0]
                    if not package or package in self.packages:
                        raise
                    self.packages.add(package)
        finally:
            sys.meta_path.remove(self)


def known_options(namespaces: Iterable[str]) -> dict[tuple[str, str], Any]:
    """Give (group, option) → option object for everything that the namespaces declare.

    A group or option that has other names, or older ones, is there under each of them.
    """
    entries = {
        entry.name: entry for entry in importlib.metadata.entry_points(group="oslo.config.opts")
    }
    missing = sorted(set(namespaces) - set(entries))
    if missing:
        raise SystemExit("no option lists of " + ", ".join(missing) + " in this environment")
    stand_ins = _StandIns()
    known: dict[tuple[str, str], Any] = {}
    for namespace in namespaces:
        for group, options in stand_ins.load(entries[namespace])():
            group_name = getattr(group, "name", group) or "DEFAULT"
            for option in options:
                known[group_name, option.dest] = option
                for old in option.deprecated_opts:
                    name = (old.name or option.name).replace("-", "_")
                    known.setdefault((old.group or group_name, name), option)
    return known


def problem(
    known: Mapping[tuple[str, str], Any], dynamic: Iterable[str], override: Mapping[str, Any]
) -> str | None:
    """Tell what is wrong with one override, or None."""
    source, group, option = override["source"], override["group"], override["option"]
    found = known.get((group, option.replace("-", "_")))
    if found is None:
        return None if group in dynamic else f"{source}: unknown option [{group}] {option}"
    if len(override["values"]) > 1 and not found.multi:
        return f"{source}: [{group}] {option} can have one value only"
    for value in override["values"]:
        if "$" in value:
            continue  # refers to other options, so its value is known only to the service
        try:
            found.type(value)
        except ValueError as error:
            return f"{source}: [{group}] {option}: {error}"
    return None


def main() -> None:
    """Check what standard input says."""
    request = json.load(sys.stdin)
    known = known_options(request["namespaces"])
    problems = [
        problem(known, request["dynamic_groups"], override) for override in request["overrides"]
    ]
    json.dump([each for each in problems if each], sys.stdout)


if __name__ == "__main__":
    main()
