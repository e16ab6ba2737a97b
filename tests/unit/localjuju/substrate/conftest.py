"""An instance on paper, a unit agent that runs here, a Pebble that is a few lines of Python."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localjuju.settings import Settings
from localjuju.substrate import agent
from localjuju.substrate.protocol import Mount, PodSpec, WorkloadSpec


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        instance="here",
        subnet="10.70.0.0/20",
        charm_base="localhost/base:1",
        pebble=Path("/opt/pebble"),
        hook_client=Path("/opt/hook-client"),
        store_root=Path("/var/lib/store"),
        store_runroot=Path("/run/store"),
    )


@pytest.fixture
def spec(tmp_path: Path) -> PodSpec:
    """The pod of `web/0` in the model `shop`."""
    data = Mount(tmp_path / "home" / "storage" / "data-0", "/srv/data")
    return PodSpec(
        model="shop",
        unit="web/0",
        app="web",
        ordinal=0,
        address="10.70.0.10",
        generation=1,
        charm_dir=tmp_path / "charm",
        workloads=(
            WorkloadSpec("web", "localhost/web:1", mounts=(data,)),
            WorkloadSpec("cache", "localhost/cache:1", uid=170, gid=171, index=1),
        ),
        mounts=(Mount(data.source, "/var/lib/juju/storage/data/0"),),
        python="3.11",
    )


@dataclasses.dataclass
class RunningAgent:
    """A unit agent as a process of this host, and a charm folder for it."""

    socket: Path
    charm: Path
    process: subprocess.Popen[bytes]

    @property
    def dispatch(self) -> list[str]:
        return [str(self.charm / "dispatch")]

    @property
    def environment(self) -> dict[str, str]:
        """What Juju would give: the PATH is that of the tests, for their own Python."""
        folder = os.path.dirname(sys.executable)
        return {"PATH": f"{folder}:{os.environ['PATH']}", "LANG": "C.UTF-8"}

    def write(self, source: str, dispatch: str | None = None) -> None:
        """Write the charm's main file, and a dispatch as packed charms have it."""
        (self.charm / "src").mkdir(exist_ok=True)
        (self.charm / "src" / "charm.py").write_text(source)
        text = dispatch or "#!/bin/sh\nPYTHONPATH=lib:venv exec python3 src/charm.py\n"
        (self.charm / "dispatch").write_text(text)
        (self.charm / "dispatch").chmod(0o755)


@pytest.fixture
def unit_agent(tmp_path: Path) -> Iterator[RunningAgent]:
    path = tmp_path / "a.sock"
    charm = tmp_path / "charm"
    charm.mkdir()
    process = subprocess.Popen([sys.executable, "-I", agent.__file__, str(path)])
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline, "the agent did not start"
            time.sleep(0.01)
        yield RunningAgent(path, charm, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class FakePebble:
    """Answers like Pebble on a unix socket; what it answers is a table that tests change.

    Attributes:
        answers: Path without query → status and result.
        asked: Every request's target, in order.
        waits: Notices are answered only when this is set, as in a long poll.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, tuple[int, Any]] = {
            "/v1/system-info": (200, {"boot-id": "boot-1", "version": "v1"}),
            "/v1/health": (200, {"healthy": True}),
            "/v1/checks": (200, []),
        }
        self.notices: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.waits = threading.Event()
        self.chunked = False
        self._connections: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """End as a killed process does: every connection breaks."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            self.path.unlink()
        self.waits.set()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # its client closed it already
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()
        self.waits = threading.Event()

    def notify(self, *notices: dict[str, Any]) -> None:
        self.notices += notices
        self.waits.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                target = line.split()[1].decode()
                while lines.readline() not in (b"\r\n", b""):
                    pass
                self.asked.append(target)
                try:
                    connection.sendall(self._answer(target))
                except OSError:
                    return

    def _answer(self, target: str) -> bytes:
        path = target.partition("?")[0]
        if path == "/v1/notices":
            self.waits.wait(5)
            self.waits.clear()
            status, result = 200, self.notices[:]
            self.notices.clear()
        else:
            status, result = self.answers.get(path, (404, {"message": "not found"}))
        body = json.dumps({"type": "sync", "status-code": status, "result": result}).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n".encode()
        if self.chunked:
            half = len(body) // 2
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:half], body[half:]))
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def pebble(tmp_path: Path) -> Iterator[FakePebble]:
    fake = FakePebble(tmp_path / "p.sock")
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


@pytest.fixture
def custom_notice() -> Callable[[str], dict[str, Any]]:
    """Return a maker of custom notices as Pebble writes them, told apart by their number."""

    def make(number: str) -> dict[str, Any]:
        time = f"2026-01-01T00:00:0{number}Z"
        return {
            "id": number,
            "user-id": None,
            "type": "custom",
            "key": "example.com/a",
            "first-occurred": time,
            "last-occurred": time,
            "last-repeated": time,
            "occurrences": 1,
            "last-data": {"n": number},
            "expire-after": "168h0m0s",
        }

    return make
