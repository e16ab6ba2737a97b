"""Hold an operator's overrides against the option lists of the service in this environment.

Reads JSON from standard input: `namespaces`, `dynamic_groups` and `overrides`, a list of objects
with `source`, `group`, `option`, `values`. Prints a JSON list of what is wrong, one text each.
Runs in the workload container, where the service and its options are.
"""

import importlib.metadata
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any


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
    known: dict[tuple[str, str], Any] = {}
    for namespace in namespaces:
        for group, options in entries[namespace].load()():
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
