"""Talk to the engine of a home; start it when it does not answer.

Imported by every command: nothing heavy may be imported here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from localjuju.settings import Settings, SettingsError, load

Event = Callable[[dict[str, Any]], None]

ENGINE = (sys.executable, "-m", "localjuju.daemon")
START_SECONDS = 60.0
LOOKS = frozenset(("info", "models", "show_model", "status", "wait"))
"""Methods that change nothing: when the engine ends under them, the next one is asked."""
_PAUSE = 0.05


class ClientError(Exception):
    """The engine cannot be reached or started; the text says what to do."""


class AnswerError(Exception):
    """The engine refused a request.

    Args:
        message: The text for the operator.
        kind: Name of the engine's exception.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Client:
    """A connection to the engine of a home.

    Args:
        home: The engine's home.
        start: Whether to start the engine when it does not answer.
    """

    def __init__(self, home: Path, *, start: bool = True) -> None:
        self._home = home
        self._start = start
        self._stream: socket.socket | None = None
        self._buffer = b""

    def call(self, method: str, *, on_event: Event | None = None, **params: Any) -> Any:
        """Make a request, and return its result.

        Args:
            method: Name of the method.
            on_event: Gets each event of a method that reports while it works.
            params: Parameters; those that are None are left out.

        Raises:
            ClientError: The engine does not answer.
            AnswerError: It refused the request.
        """
        given = {key: value for key, value in params.items() if value is not None}
        request = json.dumps({"method": method, "params": given}).encode() + b"\n"
        left = 2 if method in LOOKS else 1
        while True:
            left -= 1
            try:
                return self._ask(request, on_event)
            except ConnectionError as error:
                self.close()
                if not left:
                    raise ClientError(
                        f"lost the connection to the engine; see {self._home}/engine.log, "
                        "and whether the change was made, before you try again"
                    ) from error

    def _ask(self, request: bytes, on_event: Event | None) -> Any:
        stream = self._connected()
        stream.sendall(request)
        for line in self._lines(stream):
            answer = json.loads(line)
            if "event" in answer:
                if on_event is not None:
                    on_event(answer["event"])
            elif "error" in answer:
                raise AnswerError(answer["error"]["message"], answer["error"]["kind"])
            else:
                return answer["result"]
        raise ConnectionResetError("no answer")

    def close(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._buffer = b""

    def _connected(self) -> socket.socket:
        if self._stream is None:
            settings = settings_of(self._home)
            self._stream = connect(settings)
            if self._stream is None and self._start:
                self._stream = start_engine(settings)
            if self._stream is None:
                raise ClientError(f"the engine in {self._home} does not run")
        return self._stream

    def _lines(self, stream: socket.socket) -> Iterator[bytes]:
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                yield line
                continue
            try:
                chunk = stream.recv(1 << 16)
            except ConnectionError:
                chunk = b""
            if not chunk:
                return
            self._buffer += chunk


def settings_of(home: Path) -> Settings:
    """Return the settings of a home.

    Raises:
        ClientError: There are none, or they cannot be read.
    """
    try:
        return load(home)
    except SettingsError as error:
        raise ClientError(str(error)) from error


def connect(settings: Settings) -> socket.socket | None:
    """Return a connection to the engine, or None when nobody listens.

    Raises:
        ClientError: The socket may not be used by this user.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(settings.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        stream.close()
        return None
    except OSError as error:
        stream.close()
        raise ClientError(
            f"cannot connect to {settings.socket}: {error.strerror or error}; "
            "run the command as root"
        ) from error
    return stream


def start_engine(
    settings: Settings, program: Sequence[str] = ENGINE, more: Sequence[str] = ()
) -> socket.socket:
    """Start the engine in the background, and return a connection to it.

    Several commands may do so at once: one starts it, the others wait.

    Args:
        settings: The settings of the instance.
        program: What to start; it gets the home as its argument.
        more: Further arguments.

    Raises:
        ClientError: It ended or did not answer; the text has its last words.
    """
    log = settings.home / "engine.stderr"
    try:
        with _start_lock(settings.home):
            running = connect(settings)
            if running is not None:
                return running
            pid = _spawn([*program, str(settings.home), *more], log)
            return _await_engine(settings, pid, log)
    except PermissionError as error:
        raise ClientError(f"cannot start the engine in {settings.home}: run it as root") from error


def _spawn(argv: list[str], log: Path) -> int:
    """Start a process in a session of its own, with nothing of ours but the environment."""
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        return os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)


def _await_engine(settings: Settings, pid: int, log: Path) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        stream = connect(settings)
        if stream is not None:
            return stream
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise ClientError(f"cannot start the engine: {_last_words(log)}")
        time.sleep(_PAUSE)
    raise ClientError(
        f"the engine does not answer after {START_SECONDS:.0f} seconds; "
        f"see {settings.home}/engine.log"
    )


@contextlib.contextmanager
def _start_lock(home: Path) -> Generator[None, None, None]:
    with (home / "start.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else f"it ended at once; see {log}"
