"""Parse the arguments of hook commands as Juju does.

Flags may stand anywhere, with one or two dashes, as `--f v` or `--f=v`; `--` ends them; a bare
`-` is an argument. One-letter flags may carry their value at once (`-r7`). A boolean takes its
value only after `=`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class UsageError(Exception):
    """The command was called wrongly: exit status 2."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """One option of a command.

    Attributes:
        name: Long name without dashes; results are kept under it.
        aliases: Other names, usually one letter.
        is_bool: Whether it takes no value of its own.
        help: Half a line for `--help`.
    """

    name: str
    aliases: tuple[str, ...] = ()
    is_bool: bool = False
    help: str = ""


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What was given: texts and booleans by flag name, and the positional arguments."""

    texts: Mapping[str, str]
    switches: Mapping[str, bool]
    positional: tuple[str, ...]

    def text(self, name: str) -> str | None:
        """Return the value of a flag, None if it was not given."""
        return self.texts.get(name)

    def switch(self, name: str) -> bool:
        """Return a boolean flag, False if it was not given."""
        return self.switches.get(name, False)


def parse(flags: Sequence[Flag], args: Sequence[str]) -> Parsed:
    """Split arguments into flags and positional arguments.

    Raises:
        UsageError: Unknown flag, missing value, or a boolean that is none.
    """
    known = {name: flag for flag in flags for name in (flag.name, *flag.aliases)}
    texts: dict[str, str] = {}
    switches: dict[str, bool] = {}
    positional: list[str] = []
    queue = list(args)
    while queue:
        argument = queue.pop(0)
        if argument == "--":
            positional += queue
            break
        if argument == "-" or not argument.startswith("-"):
            positional.append(argument)
            continue
        dashes = 2 if argument.startswith("--") else 1
        name, equals, value = argument[dashes:].partition("=")
        shown = "-" * dashes + name
        flag = known.get(name)
        if flag is None and dashes == 1:
            flag = known.get(name[:1])
            if flag is not None and flag.is_bool and known.get(name[1:2]) is not None:
                switches[flag.name] = True  # -ab: two one-letter flags
                queue.insert(0, "-" + argument[2:])
                continue
            value, equals, shown = argument[2:].removeprefix("="), "=", "-" + name[:1]
        if flag is None:
            raise UsageError(f"option provided but not defined: {shown}")
        if flag.is_bool:
            switches[flag.name] = _boolean(value, shown) if equals else True
        elif equals:
            texts[flag.name] = value
        elif queue:
            texts[flag.name] = queue.pop(0)
        else:
            raise UsageError(f"option needs an argument: {shown}")
    return Parsed(texts, switches, tuple(positional))


def _boolean(text: str, shown: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UsageError(
        f'invalid value "{text}" for option {shown}: strconv.ParseBool: parsing "{text}": '
        "invalid syntax"
    )
