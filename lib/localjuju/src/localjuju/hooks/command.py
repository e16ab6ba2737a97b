"""What a hook command is: data about its flags, and a handler over a session."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from localjuju.hooks.flags import Flag, Parsed, UsageError
from localjuju.hooks.session import Session

__all__ = ["FORMAT_FLAGS", "NOTHING", "Call", "Command", "CommandError", "CommandResult"]


class CommandError(Exception):
    """The command could not be done: exit status 1, the text on stderr after `ERROR`."""


class _Nothing:
    """The type of NOTHING."""


NOTHING: Final = _Nothing()
"""What a handler returns when there is nothing to print, not even an empty value."""


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What the caller of a hook command sees.

    Attributes:
        output: File (on the charm's side) to write `stdout` to instead: the flag `--output`.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0
    output: str = ""


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a command, parsed.

    Attributes:
        name: The command's name.
        args: Flags and positional arguments.
        stdin: What came on standard input, None when it was not asked for.
        files: Contents of the files that the arguments name, by the name as given; an
            exception stands for a file that could not be read.
    """

    name: str
    args: Parsed
    stdin: bytes | None
    files: Mapping[str, bytes | OSError]

    def file(self, name: str) -> bytes:
        """Return the content of a file argument; `-` is standard input.

        Raises:
            CommandError: The file could not be read.
        """
        if name == "-":
            return self.stdin or b""
        content = self.files.get(name)
        if isinstance(content, bytes):
            return content
        cause = content.strerror if content is not None else "not sent"
        raise CommandError(f"open {name}: {cause}")

    def at_most(self, count: int) -> tuple[str, ...]:
        """Return the positional arguments, at most `count`.

        Raises:
            UsageError: There are more.
        """
        extra = self.args.positional[count:]
        if extra:
            quoted = " ".join(f'"{text}"' for text in extra)
            raise UsageError(f"unrecognized args: [{quoted}]")
        return self.args.positional


Handler = Callable[[Session, Call], Any]

FORMAT_FLAGS = (
    Flag("format", help="json, smart or yaml"),
    Flag("output", ("o",), help="write to this file"),
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A hook command.

    Attributes:
        run: Does it; returns what to print, or NOTHING.
        usage: The arguments, for `--help`.
        flags: Its options, without those of the output.
        prints: Whether it has the options `--format` and `--output`.
        raw: Whether its arguments are taken as they are, unknown options too.
        redact: Tells which of its data must never be recorded: `args` (values of `k=v`),
            `message` (all positional arguments), `stdout`.
    """

    run: Handler
    usage: str = ""
    flags: tuple[Flag, ...] = ()
    prints: bool = False
    raw: bool = False
    redact: frozenset[str] = frozenset()

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        """All options, those of the output included."""
        return (*self.flags, *FORMAT_FLAGS) if self.prints else self.flags
