"""What a trace keeps of a hook command: never the content of a secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from localjuju.hooks.command import Command, CommandResult

REDACTED = "<redacted>"
USAGE = 2
"""Exit status of a command that was called wrongly."""
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
    stderr = result.stderr.decode("utf-8", "replace")
    if result.code == USAGE and redact & {"args", "message"}:
        stderr = f"ERROR {REDACTED}\n"  # it may quote the arguments
    return CommandRecord(
        command=name,
        args=tuple(_argument(text, redact) for text in _messages(args, redact)),
        stdin=len(stdin or b""),
        stdout=REDACTED if stdout and "stdout" in redact else _cut(stdout),
        stderr=_cut(stderr),
        code=result.code,
        seconds=seconds,
    )


def _messages(args: Sequence[str], redact: frozenset[str]) -> list[str]:
    if "message" not in redact:
        return list(args)
    return [text if text.startswith("-") else REDACTED for text in args]


def _argument(text: str, redact: frozenset[str]) -> str:
    if "args" not in redact or text.startswith("-"):
        return _cut(text)
    key, equals, value = text.partition("=")
    # The names of files say nothing secret; every other value may.
    if not equals or not value or key.endswith("#file"):
        return _cut(text)
    return f"{key}={REDACTED}"


def _cut(text: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"
