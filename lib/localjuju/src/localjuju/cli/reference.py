"""The reference page of `juju` and `localjuju`, made from the commands themselves.

Run `python -m localjuju.cli.reference docs/reference/juju.md` to write it; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from localjuju import identity
from localjuju.cli.main import SECOND_NAMES, LazyGroup, juju_group, localjuju_group

_HEAD = f"""\
# The juju and localjuju commands

Generated from the programs by `python -m localjuju.cli.reference`; do not edit it here.

On the embedded substrate `helio juju` runs the engine's own `juju`. It speaks as Juju
{identity.JUJU_VERSION} does, with the same arguments, answers and formats; whatever is not in this
list is not there. `--help` of a command shows its options. Errors are one line after `ERROR`, with
exit status 1; wrong usage has exit status 2.
"""
_ENGINE = """\
## localjuju

Sets the engine up and looks after it; `helio` does so for its clouds. `LOCALJUJU_HOME` names the
engine's folder.
"""


def render() -> str:
    """Return the page."""
    second = {name: also for also, name in sorted(SECOND_NAMES.items())}
    lines = [_HEAD, *_table(juju_group(), second), "", _ENGINE, *_table(localjuju_group(), {})]
    return "\n".join(lines) + "\n"


def _table(group: LazyGroup, second: dict[str, str]) -> Iterator[str]:
    context = click.Context(group)
    yield "| command | what it does |"
    yield "| --- | --- |"
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            also = f", `{second[name]}`" if name in second else ""
            yield f"| `{name}`{also} | {command.get_short_help_str(limit=200)} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
