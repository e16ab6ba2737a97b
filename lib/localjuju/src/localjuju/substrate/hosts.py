"""The hosts files of pods: names of units and services, rewritten while processes run.

A service's address belongs to no container, so a DNS server that Podman feeds cannot know its
name. A hosts file can, needs no process that might be away, and programs read it anew for each
look-up. Pebbles and charms see a change at once, because the file is rewritten in place: a bind
mount holds on to the inode.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from localjuju.substrate import names

HEAD = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


@dataclasses.dataclass(frozen=True)
class Entry:
    """The address of a unit (`app/0`) or of an application's service (`app`) of a model."""

    model: str
    name: str
    address: str


def render(own: Entry, units: Iterable[Entry], services: Iterable[Entry]) -> str:
    """Return the hosts file of one pod.

    Args:
        own: The pod's unit. Its line comes first and its long name is the first one there, so
            that the long name is what `getfqdn()` answers.
        units: All units of the instance, the pod's own may be among them.
        services: All services of the instance.
    """
    others = sorted({unit for unit in units if unit != own}, key=_order)
    lines = [_line(own.address, *_unit_names(own, own.model), names.unit_tag(own.name))]
    lines += [_line(unit.address, *_unit_names(unit, own.model)) for unit in others]
    lines += [
        _line(entry.address, *names.every_name(entry.model, names.service(entry.name), own.model))
        for entry in sorted(set(services), key=_order)
    ]
    return HEAD + "".join(lines)


def _order(entry: Entry) -> tuple[str, str, int]:
    app, _, number = entry.name.partition("/")
    return (entry.model, app, int(number or 0))


def _line(address: str, *aliases: str) -> str:
    return f"{address} {' '.join(aliases)}\n"


def _unit_names(unit: Entry, seen_from: str) -> Sequence[str]:
    own, common = names.unit_host(unit.name), names.endpoints(names.app_of(unit.name))
    return (
        *names.every_name(unit.model, own, seen_from),
        *names.every_name(unit.model, common, seen_from),
    )


def write(path: Path, text: str) -> bool:
    """Make a hosts file say `text`, in place; return whether it changed.

    One write puts the whole new text, filled up with newlines to the old length: a reader never
    meets half a name. Only then is the file cut.
    """
    content = text.encode()
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        present = None
    if present == content:
        return False
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(file, content.ljust(len(present or b""), b"\n"), 0)
        os.ftruncate(file, len(content))
        os.fchmod(file, 0o644)
    finally:
        os.close(file)
    return True
