"""The reference page of the command line, made from the commands themselves.

Run `python -m helio.cli.reference` to write `docs/reference/cli.md`; a test compares the two.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from helio.cli.main import helio
from helio.tree import Tree, find_tree

_HEAD = """\
# The helio command

Generated from the program by `python -m helio.cli.reference`; do not edit it here.

In a checkout the command is `./helio`; its first use sets up what it needs. Commands that start,
change or look into a cloud need root: run them with `sudo`. The environment variable `HELIO_HOME`
chooses the cloud's folder, `/var/lib/helio` without it. Every error ends in one line that says
what cannot be done and what to do next, and in the path of the log.

A command that changes a cloud has `--dry-run`: it looks, says what would be done, and changes
nothing. With `--format json` its result is a list with a mapping for each step: `step`, the title;
`state`, which is `done`, `skipped` where there was nothing to do, or `planned` in a dry run; and
`notes`, `warnings` and `results` where there are any. `launch` and `node add` print what they
made.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | it could not be done; the error says why |
| 2 | the command line is wrong |
| 130 | interrupted; the same command goes on where it stopped |
"""


def path(tree: Tree) -> Path:
    """Return where the page is kept."""
    return tree.root / "docs" / "reference" / "cli.md"


def render(group: click.Group = helio) -> str:
    """Return the page."""
    return "\n".join((_HEAD, *(_section(name, command) for name, command in commands(group))))


def commands(group: click.Group, above: str = "helio") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, in alphabetical order, groups left out."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def _section(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join((name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)))
    lines = [f"## {name}", "", f"    {usage}", "", inspect.cleandoc(command.help or ""), ""]
    # What an argument that takes anything means is in the text above.
    chosen = [(_name(p), _values(p)) for p in arguments if _choices(p)]
    lines += _table("argument", "values", chosen)
    lines += _table("option", "meaning", [(_option(p), _meaning(p)) for p in options])
    return "\n".join(lines)


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return [
        f"| {left} | {right} |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in cells), ""
    ]  # fmt: skip


def _argument(argument: click.Argument) -> str:
    name = _name(argument) if argument.required else f"[{_name(argument)}]"
    return f"{name}..." if argument.nargs == -1 else name


def _name(argument: click.Argument) -> str:
    return (argument.name or "").upper()


def _values(argument: click.Argument) -> str:
    default = "" if argument.required else f". Default: `{argument.default}`."
    return _choices(argument) + default


def _choices(parameter: click.Parameter) -> str:
    """Return the values that a parameter takes; empty if it takes any."""
    if not isinstance(parameter.type, click.Choice):
        return ""
    *most, last = (f"`{value}`" for value in parameter.type.choices)
    return " or ".join([*filter(None, [", ".join(most)]), last])


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    if option.is_flag:
        return names
    return f"{names} {_choices(option) or option.metavar or option.type.name.upper()}"


def _meaning(option: click.Option) -> str:
    default = f" Default: `{option.default}`." if option.show_default else ""
    return (option.help or "") + default


def main() -> None:
    """Write the page."""
    target = path(find_tree())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
