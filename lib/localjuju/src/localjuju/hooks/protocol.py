"""The frames between the hook client and the engine.

All numbers are big-endian and unsigned. A request is `LJH1`, then fields: one byte of kind, four
bytes of length, the bytes; kind `z` with length 0 ends it. Kinds, in this order:

- `c` context id, `n` command, `a` one argument (repeated),
- `i` standard input, only if the arguments ask for it,
- `p` name of a file as the arguments have it, followed by `f` its content or `x` the number of
  the error that opening it gave, as decimal text.

The answer is one byte of exit status, three lengths of four bytes, and as many bytes: standard
output, standard error, and the name of a file that gets the standard output instead.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from collections.abc import Mapping

from localjuju.hooks.command import CommandResult

MAGIC = b"LJH1"
FIELD_LIMIT = 8 << 20
"""Longest single field: standard input or a file."""
REQUEST_LIMIT = 64 << 20
HEADER = struct.Struct(">cI")
_ANSWER = struct.Struct(">BIII")


class ProtocolError(Exception):
    """What came is not a request of the hook client."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One call of a hook command, as the client sends it."""

    context_id: str
    command: str
    args: tuple[str, ...]
    stdin: bytes | None
    files: Mapping[str, bytes | OSError]


def decode(fields: list[tuple[bytes, bytes]]) -> Request:
    """Return the request that the fields make.

    Raises:
        ProtocolError: A field is out of place or unknown.
    """
    texts: dict[bytes, str] = {}
    args: list[str] = []
    stdin: bytes | None = None
    files: dict[str, bytes | OSError] = {}
    path: str | None = None
    for kind, content in fields:
        if kind in {b"c", b"n"}:
            texts[kind] = content.decode("utf-8", "replace")
        elif kind == b"a":
            args.append(content.decode("utf-8", "replace"))
        elif kind == b"i":
            stdin = content
        elif kind == b"p":
            path = content.decode("utf-8", "replace")
        elif kind in {b"f", b"x"} and path is not None:
            files[path] = content if kind == b"f" else _os_error(content)
            path = None
        else:
            raise ProtocolError(f"unexpected field {kind!r}")
    if b"c" not in texts or b"n" not in texts:
        raise ProtocolError("no context id or command")
    return Request(texts[b"c"], texts[b"n"], tuple(args), stdin, files)


def encode(result: CommandResult) -> bytes:
    """Return the answer's frame."""
    path = result.output.encode("utf-8", "surrogateescape")
    head = _ANSWER.pack(result.code & 255, len(result.stdout), len(result.stderr), len(path))
    return b"".join((head, result.stdout, result.stderr, path))


def _os_error(content: bytes) -> OSError:
    if not content.isdigit():
        raise ProtocolError("error number expected")
    number = int(content)
    return OSError(number, os.strerror(number))
