"""What a trace keeps of a hook command: never the content of a secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from localjuju.hooks.command import Command, CommandResult

REDACTED = "<redacted>"
TEXT_LIMIT = 4096
"""Longer texts are cut in a trace."""


@dataclasses.dataclass(frozen=True)
class CommandRecord:
    """One hook command of a dispatch.

    Attributes:
        stdin: Bytes that came on standard input; their content is not kept.
        seconds: Time in the engine.
    """

    command: str
    args: tuple[str, ...]
    stdin: int
    stdout: str
    stderr: str
    code: int
    seconds: float


def record(
    name: str,
    command: Command | None,
    args: Sequence[str],
    stdin: bytes | None,
    result: CommandResult,
    seconds: float,
) -> CommandRecord:
    """Return what may be kept of a call."""
    redact = command.redact if command is not None else frozenset({"args"})
    stdout = result.stdout.decode("utf-8", "replace")
    return CommandRecord(
        command=name,
        args=tuple(_argument(text, redact) for text in _messages(args, redact)),
        stdin=len(stdin or b""),
        stdout=REDACTED if stdout and "stdout" in redact else _cut(stdout),
        stderr=_cut(result.stderr.decode("utf-8", "replace")),
        code=result.code,
        seconds=seconds,
    )


def _messages(args: Sequence[str], redact: frozenset[str]) -> list[str]:
    if "message" not in redact:
        return list(args)
    return [text if text.startswith("-") else REDACTED for text in args]


def _argument(text: str, redact: frozenset[str]) -> str:
    if "args" in redact:
        key, equals, value = text.partition("=")
        # Flags and the names of files say nothing secret; every other value may.
        if equals and value and not key.startswith("-") and not key.endswith("#file"):
            return f"{key}={REDACTED}"
    return _cut(text)


def _cut(text: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"
