"""Everything that helio does to a machine goes through one small interface, `Host`.

`LocalHost` does it, `DryRunHost` does only the reading part and records the rest; tests bring a
third implementation that keeps files in a dict. Because all three run the same steps, a dry run
tells the truth.
"""

import contextlib
import dataclasses
import os
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Protocol, TextIO

# What a parent process may have set for itself and a child must not inherit: a snap's or a virtual
# environment's variables lead system programs to the wrong libraries.
_FOREIGN = ("LD_LIBRARY_PATH", "PYTHON", "SNAP", "VIRTUAL_ENV", "UV_", "PIP_")


NOT_FOUND = 127  # the exit status of a command whose program does not exist


class HelioError(Exception):
    """Say in one line what cannot be done and what to do next; the CLI prints it as it is."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A program to start, and what is known about it.

    Args:
        argv: Program and arguments; never a secret, other users can read it.
        reads: Whether it changes nothing, so that a dry run may execute it.
        env: Variables added to the cleaned environment.
        cwd: Working directory; helio's own without it.
        input: Text for standard input. Never logged.
        on_line: Called with each line of standard output and standard error as it comes.
        private: Whether its output may hold secrets: then the log holds only that it ran.
    """

    argv: tuple[str, ...]
    reads: bool = False
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    input: str | None = None
    on_line: Callable[[str], None] | None = None
    private: bool = False

    def __str__(self) -> str:
        """Return the command as a person would type it."""
        return shlex.join(self.argv)


class CommandError(HelioError):
    """A command that ended with another status than 0.

    Attributes:
        argv: What was started.
        status: Exit status; 127 when the program does not exist, negative for a signal.
        stdout: All standard output.
        stderr: All standard error.
    """

    def __init__(self, argv: tuple[str, ...], status: int, stdout: str, stderr: str):
        lines = (stderr.strip() or stdout.strip()).splitlines()
        detail = f": {lines[-1].strip()}" if lines else ""
        super().__init__(f"cannot run {shlex.join(argv)}: exit status {status}{detail}")
        self.argv = argv
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class Host(Protocol):
    """The machine, as the steps see it."""

    def run(self, command: Command) -> str:
        """Run a command to its end and return its standard output.

        Raises:
            CommandError: the command failed or does not exist.
        """
        ...

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> None:
        """Write a whole file atomically with these permissions, making its folders."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all that is in it; not there is fine."""
        ...

    def exists(self, path: Path) -> bool:
        """Return whether a file or folder is there."""
        ...

    def read(self, path: Path) -> str:
        """Return a file's text.

        Raises:
            FileNotFoundError: it is not there.
        """
        ...


def clean_environment(
    environ: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment for a child: without foreign settings, in plain English."""
    kept = {key: value for key, value in environ.items() if not key.startswith(_FOREIGN)}
    return kept | {"LC_ALL": "C.UTF-8"} | dict(extra or {})


class LocalHost:
    """This machine.

    Args:
        log: File that gets a line for all that is done; None keeps no log.
    """

    def __init__(self, log: Path | None = None):
        self._log = log
        self._lock = threading.Lock()

    def run(self, command: Command) -> str:
        """Run a command; see `Host.run`."""
        started = time.monotonic()
        self._note(f"$ {command}")
        try:
            process = subprocess.Popen(
                command.argv,
                env=clean_environment(os.environ, command.env),
                cwd=command.cwd,
                stdin=subprocess.PIPE if command.input is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            self._note(f"  {error}")
            status = NOT_FOUND if isinstance(error, FileNotFoundError) else 126
            raise CommandError(command.argv, status, "", str(error)) from error
        stdout, stderr = self._communicate(process, command)
        self._note(f"  exit status {process.returncode}, {time.monotonic() - started:.2f} s")
        if process.returncode:
            error = CommandError(command.argv, process.returncode, stdout, stderr)
            if not command.private:
                self._note(f"  {error}")
            raise error
        return stdout

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file; see `Host.write`."""
        self._note(f"write {path} mode {mode:o}")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with contextlib.ExitStack() as unless_done:
            unless_done.callback(os.unlink, temporary)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, path)
            unless_done.pop_all()

    def remove(self, path: Path) -> None:
        """Remove a file or folder; see `Host.remove`."""
        if path.is_dir() and not path.is_symlink():
            # rm and not shutil.rmtree: it is faster on image stores and copes with odd modes.
            self.run(Command(("rm", "-rf", "--one-file-system", "--", str(path))))
            return
        self._note(f"remove {path}")
        path.unlink(missing_ok=True)

    def exists(self, path: Path) -> bool:
        """Return whether it is there; see `Host.exists`."""
        return path.exists() or path.is_symlink()

    def read(self, path: Path) -> str:
        """Return a file's text; see `Host.read`."""
        return path.read_text(encoding="utf-8")

    def _communicate(self, process: subprocess.Popen[str], command: Command) -> tuple[str, str]:
        """Feed the process and collect what it says, line by line.

        A thread per pipe: with one reader, a process that fills the other pipe would hang.
        """
        out: list[str] = []
        err: list[str] = []
        with process:
            readers = [
                threading.Thread(target=self._read, args=(stream, lines, command), daemon=True)
                for stream, lines in ((process.stdout, out), (process.stderr, err))
            ]
            for reader in readers:
                reader.start()
            try:
                _feed(process.stdin, command.input)
                for reader in readers:
                    reader.join()
                process.wait()
            finally:
                if process.poll() is None:  # ctrl-C: do not leave the child behind
                    process.terminate()
        return "".join(out), "".join(err)

    def _read(self, stream: IO[str], lines: list[str], command: Command) -> None:
        for line in stream:
            lines.append(line)
            # What is merely read would drown what is done.
            if not command.private and not command.reads:
                self._note(f"  {line.rstrip()}")
            if command.on_line:
                command.on_line(line.rstrip())

    def _note(self, text: str) -> None:
        if not self._log:
            return
        with self._lock, _open_log(self._log) as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")


def _feed(stream: TextIO | IO[str] | None, text: str | None) -> None:
    """Give a process its whole input; one that does not read it all is not an error."""
    if stream is None or text is None:
        return
    with contextlib.suppress(BrokenPipeError):
        stream.write(text)
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def _open_log(path: Path) -> IO[str]:
    """Open the log for appending; only its owner may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "a", encoding="utf-8")


class DryRunHost:
    """A host that reads the real one and records what would be done to it.

    What was "written" or "removed" is seen by later reads, so that a step that looks for the file
    of an earlier step behaves as in a real run.

    Args:
        inner: The host that reads are passed to.
        record: Called with one line for each thing that would be done.
    """

    def __init__(self, inner: Host, record: Callable[[str], None]):
        self._inner = inner
        self._record = record
        self._files: dict[Path, str | None] = {}

    def run(self, command: Command) -> str:
        """Run a reading command; record any other and return nothing for it."""
        if command.reads:
            return self._inner.run(command)
        self._record(f"run {command}")
        return ""

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> None:
        """Record the write; writing the same file again is not worth a second line."""
        if self._files.get(path) is None:
            self._record(f"write {path} (mode {mode:04o})")
        self._files[path] = content if isinstance(content, str) else ""

    def remove(self, path: Path) -> None:
        """Record the removal, if there is something to remove."""
        if self.exists(path):
            self._record(f"remove {path}")
        self._files[path] = None

    def exists(self, path: Path) -> bool:
        """Return whether it would be there."""
        if self._is_removed(path):
            return False
        return self._files.get(path) is not None or self._inner.exists(path)

    def read(self, path: Path) -> str:
        """Return the text that would be there."""
        if self._is_removed(path):
            raise FileNotFoundError(path)
        text = self._files.get(path)
        return self._inner.read(path) if text is None else text

    def _is_removed(self, path: Path) -> bool:
        nearest = next((place for place in (path, *path.parents) if place in self._files), None)
        return nearest is not None and self._files[nearest] is None
