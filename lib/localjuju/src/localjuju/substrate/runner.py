"""Start programs of this host: Podman, nft, ip."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Mapping, Sequence

from localjuju.substrate.protocol import SubstrateError

# Podman takes locks of its own; more calls at once only wait inside it.
_AT_ONCE = 2
_ERROR = "Error: "


@dataclasses.dataclass(frozen=True)
class Done:
    """How a program ended.

    Attributes:
        code: Exit status; negative: the signal that ended it.
    """

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def reason(self) -> str:
        """What it wrote of errors, else its last line, else its exit status.

        Podman writes a line for each container of a pod; which one tells the cause is open.
        """
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
        return "; ".join(errors) or (lines[-1] if lines else f"exit status {self.code}")


class Runner:
    """Starts programs and waits for them, two at a time.

    Args:
        containers_conf: File given to Podman as CONTAINERS_CONF, or empty.
    """

    def __init__(self, containers_conf: str) -> None:
        self.extra = {"CONTAINERS_CONF": containers_conf} if containers_conf else {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    def environment(self) -> Mapping[str, str]:
        """Return the environment that the programs get."""
        return {**os.environ, **self.extra}

    async def run(self, argv: Sequence[str], stdin: bytes = b"", *, waits: bool = True) -> Done:
        """Run a program to its end, whatever its exit status.

        Args:
            argv: Program and arguments.
            stdin: What it reads.
            waits: Whether it takes one of the few places; a program that runs long must not.

        Raises:
            SubstrateError: It is not installed.
        """
        if not waits:
            return await self._run(argv, stdin)
        async with self._places:
            return await self._run(argv, stdin)

    async def _run(self, argv: Sequence[str], stdin: bytes) -> Done:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=self.environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C at a terminal is not meant for it
            )
        except FileNotFoundError:
            raise SubstrateError(f"cannot find the program {argv[0]}: install it") from None
        stdout, stderr = await process.communicate(stdin)
        return Done(process.returncode or 0, stdout, stderr)

    async def check(self, what: str, argv: Sequence[str], stdin: bytes = b"") -> bytes:
        """Run a program that must succeed; return its output.

        Args:
            what: What it is for, after "cannot": `make the pod of web/0`.
            argv: Program and arguments.
            stdin: What it reads.

        Raises:
            SubstrateError: It failed; the text says at what and why.
        """
        done = await self.run(argv, stdin)
        if done.code != 0:
            raise SubstrateError(f"cannot {what}: {done.reason}")
        return done.stdout
