"""What the engine's traces tell about the hooks of a cloud."""

import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODELS = ("openstack", "machines")


def folders(cloud: Any) -> Iterator[Path]:
    """Yield the folders of traces of all units; `nova-0` is that of `nova/0`."""
    for model in MODELS:
        yield from sorted((cloud.home / "engine" / "traces" / model).iterdir())


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the traces of a unit's hooks in order; actions are none."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [each for each in found if each["environment"]["JUJU_DISPATCH_PATH"][:6] == "hooks/"]


def count_hooks(cloud: Any) -> collections.Counter[str]:
    """Return how many hooks each unit has run, by its folder's name; `update-status` is none."""
    return collections.Counter(
        {
            folder.name: len([each for each in read(folder) if each["hook"] != "update-status"])
            for folder in folders(cloud)
        }
    )


def starts(cloud: Any) -> dict[str, list[str]]:
    """Return what each unit has said when it started processes, by its folder's name."""
    return {
        folder.name: [
            command["args"][-1]
            for trace in read(folder)
            for command in trace["commands"]
            if command["command"] == "status-set" and command["args"][-1].startswith("starting ")
        ]
        for folder in folders(cloud)
    }
