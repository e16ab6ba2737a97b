"""Operators' overrides of oslo.config options: read, layer, merge. Pure.

Layers, the later wins: all services → this service → one process → one unit. Each is one charm
option that holds INI text:

- `config-overrides-all`: meant to be the same on every charm;
- `config-overrides`: for this service;
- `config-overrides-process`: sections are `[<process>: <group>]`;
- `config-overrides-unit`: sections are `[<unit>: <group>]`, `[keystone/1: DEFAULT]`.

An option that stands in several layers has the value of the last; one that is repeated within a
layer has several values, as oslo.config's multi-valued options need.
"""

import dataclasses
import re
from collections.abc import Mapping

from charmkit.spec import ConfigValue

OPTIONS = (
    "config-overrides-all",
    "config-overrides",
    "config-overrides-process",
    "config-overrides-unit",
)

Ini = dict[str, dict[str, tuple[str, ...]]]
"""Group → option → values, in the order of the text."""


class OverrideError(ValueError):
    """Overrides that cannot be used; the text names the charm option and the place."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Override:
    """One option that an operator set.

    Attributes:
        source: The charm option in which it stands.
        group: oslo.config group.
        option: Its name.
        values: One value, or several for a multi-valued option.
    """

    source: str
    group: str
    option: str
    values: tuple[str, ...]


def parse(text: str) -> Ini:
    """Read INI text as oslo.config does.

    Raises:
        OverrideError: A line is none of section, `option = value`, continuation, comment.
    """
    found: Ini = {}
    group: str | None = None
    option = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            option = "" if not stripped else option
            continue
        if line[0].isspace() and group is not None and option:
            *rest, last = found[group][option]
            found[group][option] = (*rest, f"{last}\n{stripped}")
            continue
        if stripped[0] == "[":
            if not stripped.endswith("]") or not stripped[1:-1].strip():
                raise OverrideError(f"line {number} is no section: {stripped}")
            group, option = stripped[1:-1].strip(), ""
            found.setdefault(group, {})
            continue
        match = re.match(r"([^=:\s]+)\s*[=:]\s*(.*)$", stripped)
        if not match:
            raise OverrideError(f"line {number} is no 'option = value': {stripped}")
        if group is None:
            raise OverrideError(f"line {number} stands before the first [section]: {stripped}")
        option = match[1]
        value = match[2]
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[group][option] = (*found[group].get(option, ()), value)
    return found


def render(ini: Ini, comment: str = "") -> str:
    """Give INI text; `comment` becomes its first line."""
    lines = [f"# {comment}", ""] if comment else []
    for group, options in ini.items():
        lines.append(f"[{group}]")
        for option, values in options.items():
            lines += [f"{option} = {value}".replace("\n", "\n    ") for value in values]
        lines.append("")
    return "\n".join(lines)


def merge(base: Ini, overrides: tuple[Override, ...]) -> Ini:
    """Give the base with every override in its place; the later override wins."""
    merged = {group: dict(options) for group, options in base.items()}
    for override in overrides:
        options = merged.setdefault(override.group, {})
        # Options are the same with - and with _, so the one must replace the other.
        for present in [name for name in options if _same(name, override.option)]:
            del options[present]
        options[override.option] = override.values
    return merged


def _same(one: str, other: str) -> bool:
    return one.replace("-", "_") == other.replace("-", "_")


def layers(
    config: Mapping[str, ConfigValue], process: str, processes: tuple[str, ...], unit: str
) -> tuple[Override, ...]:
    """Give the overrides that count for one process of one unit, the strongest last.

    Args:
        config: The charm's options.
        process: The process whose file is made.
        processes: All processes of the service, to tell a wrong name.
        unit: This unit, `keystone/0`.

    Raises:
        OverrideError: The text of an option is no INI, or names a process or unit wrongly.
    """
    return tuple(
        override
        for source in OPTIONS
        for override in _layer(source, str(config.get(source, "")), process, processes, unit)
    )


def _layer(
    source: str, text: str, process: str, processes: tuple[str, ...], unit: str
) -> list[Override]:
    try:
        ini = parse(text)
    except OverrideError as error:
        raise OverrideError(f"{source}: {error}") from error
    selector = {"config-overrides-process": process, "config-overrides-unit": unit}.get(source)
    found: list[Override] = []
    for section, options in ini.items():
        group = section
        if selector is not None:
            chosen, colon, group = (part.strip() for part in section.partition(":"))
            _check_selector(source, section, chosen, bool(colon and group), processes, unit)
            if chosen != selector:
                continue
        found += [
            Override(source=source, group=group, option=option, values=values)
            for option, values in options.items()
        ]
    return found


def _check_selector(
    source: str, section: str, chosen: str, complete: bool, processes: tuple[str, ...], unit: str
) -> None:
    if source == "config-overrides-process":
        if not complete or chosen not in processes:
            raise OverrideError(
                f"{source}: [{section}] must be [<process>: <group>]"
                f" with one of the processes {', '.join(processes)}"
            )
    elif not complete or not re.fullmatch(rf"{re.escape(unit.split('/')[0])}/\d+", chosen):
        raise OverrideError(f"{source}: [{section}] must be [<unit>: <group>], [{unit}: DEFAULT]")
