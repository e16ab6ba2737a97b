"""The reference page of the charms, made from their metadata.

Run `python -m helio.charmdocs` to write `docs/reference/charms.md`; a test compares the two.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from helio import packing
from helio.bundle import section
from helio.tree import Tree, find_tree

Yaml = Mapping[str, Any]

_HEAD = """\
# The charms

Generated from the charms' metadata by `python -m helio.charmdocs`; do not edit it here.

An application is called as its charm, without `-k8s`. Options are shown and set by
`helio juju config`, actions are run by `helio juju run`. Options with the name `config-overrides…`
take any option of oslo.config: see [configure services](../how-to/configure.md).
"""
_ROLES = {"requires": "requires", "provides": "provides", "peers": "peers"}


def path(tree: Tree) -> Path:
    """Return where the page is kept."""
    return tree.root / "docs" / "reference" / "charms.md"


def render(charms: Mapping[str, Yaml]) -> str:
    """Return the page.

    Args:
        charms: Charm → its metadata (`charmcraft.yaml`).
    """
    index = [f"- [{name}](#{name}): {charm['summary']}" for name, charm in sorted(charms.items())]
    sections = (_section(name, charm) for name, charm in sorted(charms.items()))
    return "\n".join((_HEAD, *index, "", *sections)).rstrip() + "\n"


def read(tree: Tree) -> dict[str, Yaml]:
    """Return the metadata of all charms of the tree."""
    return {name: packing.read_charmcraft(tree, name) for name in packing.charm_names(tree)}


def _section(name: str, charm: Yaml) -> str:
    where = "on machines"
    if "k8s-api" in (charm.get("assumes") or []):
        where = "in pods"
    elif not any(section(charm, key) for key in ("containers", "extra-bindings", "resources")):
        where = "in pods or on machines"
    lines = [
        f"## {name}",
        "",
        " ".join(str(charm.get("description", charm["summary"])).split()),
        "",
        f"Runs {where}. More in its [README](../../charms/{name}/README.md).",
        "",
        *_table(("relation", "role", "interface", "meaning"), _relations(charm)),
        *_table(("option", "type", "default", "meaning"), _options(charm)),
        *_table(("action", "parameters", "meaning"), _actions(charm)),
        *_table(("resource or storage", "kind", "meaning"), _supplies(charm)),
    ]
    return "\n".join(lines)


def _relations(charm: Yaml) -> Iterator[tuple[str, ...]]:
    for kind, role in _ROLES.items():
        for endpoint, definition in sorted(section(charm, kind).items()):
            is_needed = kind == "requires" and not definition.get("optional")
            yield (
                f"`{endpoint}`",
                f"{role}, needed" if is_needed else role,
                f"`{definition['interface']}`",
                _text(definition),
            )


def _options(charm: Yaml) -> Iterator[tuple[str, ...]]:
    options = section(cast(Yaml, charm.get("config") or {}), "options")
    for name, option in sorted(options.items()):
        default = option.get("default")
        shown = "" if default in (None, "") else f"`{str(default).lower()}`"
        if isinstance(default, str) and default:
            shown = f"`{default}`"
        yield f"`{name}`", str(option["type"]), shown, _text(option)


def _actions(charm: Yaml) -> Iterator[tuple[str, ...]]:
    for name, action in sorted(section(charm, "actions").items()):
        params = ", ".join(
            f"`{key}`{'' if key in (action.get('required') or []) else ' (optional)'}"
            for key in sorted(section(action, "params"))
        )
        yield f"`{name}`", params, _text(action)


def _supplies(charm: Yaml) -> Iterator[tuple[str, ...]]:
    for kind in ("resources", "storage"):
        for name, definition in sorted(section(charm, kind).items()):
            yield f"`{name}`", str(definition["type"]), _text(definition)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a table with an empty line after it; nothing where there are no rows."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return []
    head = [" | ".join(columns), " | ".join("---" for _ in columns)]
    return [*(f"| {line} |" for line in (*head, *lines)), ""]


def _text(definition: Yaml) -> str:
    text = " ".join(str(definition.get("description", "")).split())
    return text.replace("<", "&lt;")


def main() -> None:
    """Write the page."""
    tree = find_tree()
    path(tree).write_text(render(read(tree)), encoding="utf-8")


if __name__ == "__main__":
    main()
