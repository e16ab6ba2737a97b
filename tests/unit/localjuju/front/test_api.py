"""The socket: who may use it, what it answers to nonsense, and clients that hang up."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localjuju import client
from localjuju.api import Server
from localjuju.api._server import is_allowed
from localjuju.client import AnswerError, Client, ClientError
from localjuju.settings import Settings


def connected(engine: Any) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(10)
    stream.connect(str(engine.settings.socket))
    return stream


def answer(stream: socket.socket, line: bytes) -> dict[str, Any]:
    stream.sendall(line + b"\n")
    return json.loads(stream.makefile("rb").readline())


def test_only_its_owner_can_reach_the_socket(engine: Any) -> None:
    mode = engine.settings.socket.stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(engine.settings.home.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b"[]", b'{"method": "nope"}', b'{"method": "models", "params": []}', b"{}"],
)
def test_nonsense_is_answered_and_the_connection_goes_on(engine: Any, line: bytes) -> None:
    with connected(engine) as stream:
        found = answer(stream, line)
        if line.endswith(b"[]}"):
            assert found == {"result": []}, "no parameters are no nonsense"
        else:
            assert found["error"]["kind"] == "RequestError"
        assert answer(stream, b'{"method": "models"}') == {"result": []}


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("add_model", {}, "name is None"),
        ("add_model", {"name": 3}, "name is 3"),
        ("scale", {"model": "m", "app": "x", "count": True}, "count is True"),
        ("run", {"model": "m", "action": "x", "units": ["a", 1]}, "units is 1"),
    ],
)
def test_parameters_of_the_wrong_type_are_told(
    engine: Any, method: str, params: dict[str, Any], words: str
) -> None:
    talk = Client(engine.settings.home)
    talk.call("add_model", name="m")
    with pytest.raises(AnswerError, match=words) as caught:
        talk.call(method, **params)
    assert caught.value.kind == "RequestError"
    talk.close()


class Crashing:
    """An engine that reads a request and ends, so many times; then it answers."""

    def __init__(self, settings: Settings, crashes: int, connections: int = 2) -> None:
        self._connections = connections
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(settings.socket))
        self._listener.listen()
        self._crashes = crashes
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for number in range(self._connections):
            stream, _ = self._listener.accept()
            with stream, stream.makefile("rb") as lines:
                lines.readline()
                if number == self._crashes:
                    stream.sendall(b'{"result": []}\n')
        self._listener.close()


def test_a_question_is_asked_again_when_the_engine_ends_under_it(settings: Settings) -> None:
    Crashing(settings, crashes=1)
    with contextlib.closing(Client(settings.home)) as talk:
        assert talk.call("models") == []


def test_an_engine_that_ends_again_and_again_is_told(settings: Settings) -> None:
    Crashing(settings, crashes=2)
    with pytest.raises(ClientError, match="lost the connection to the engine"):
        Client(settings.home).call("models")


def test_a_change_is_not_asked_for_twice(settings: Settings) -> None:
    Crashing(settings, crashes=1, connections=1)
    with pytest.raises(ClientError, match="whether the change was made"):
        Client(settings.home).call("scale", model="m", app="a", count=1)


def test_a_model_that_does_not_go_in_time_is_told(
    painted: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localjuju.api._models._PROGRESS", 0.05)
    forever = asyncio.Event()

    async def take_down(*_: Any, **__: Any) -> None:
        await forever.wait()

    monkeypatch.setattr(engine.engine, "destroy_model", take_down)
    talk = Client(engine.settings.home)
    with pytest.raises(AnswerError, match=r"timed out waiting for model .* it goes on"):
        talk.call("destroy_model", model="m", timeout=0.1)
    talk.close()


def test_a_client_that_hangs_up_ends_what_only_waits(painted: Any, engine: Any) -> None:
    request = {
        "method": "debug_log",
        "params": {"model": "m", "follow": True, "tail": 0},
    }
    followers = engine.engine.logs._followers["m"]
    stream = connected(engine)
    stream.sendall(json.dumps(request).encode() + b"\n")
    wait_for(lambda: len(followers) == 1)
    stream.close()
    wait_for(lambda: len(followers) == 0)


def test_a_client_that_hangs_up_does_not_stop_a_change(engine: Any) -> None:
    stream = connected(engine)
    stream.sendall(b'{"method": "add_model", "params": {"name": "m"}}\n')
    stream.close()
    wait_for(lambda: "m" in engine.engine.models)


def wait_for(holds: Any) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_new_lines_of_the_log_come_as_they_are_written(painted: Any, engine: Any) -> None:
    heard: list[str] = []

    def listen() -> None:
        talk = Client(engine.settings.home)
        try:
            talk.call(
                "debug_log",
                on_event=lambda event: heard.extend(line[4] for line in event["lines"]),
                model="m",
                follow=True,
                tail=1,
            )
        except ClientError:
            talk.close()  # the engine was stopped

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    wait_for(lambda: heard)
    painted.ok("exec", "-u", "paint/0", "juju-log hello")
    wait_for(lambda: "hello" in heard)
    assert heard.count("hello") == 1


def test_unused_charms_and_resources_are_swept_up(
    painted: Any, engine: Any, paint: Any, tmp_path: Path
) -> None:
    home = engine.settings.home
    (before,) = (home / "charms").iterdir()
    other = dataclasses.replace(paint, dispatch=paint.dispatch + "\n# newer\n")
    (tmp_path / "palette").write_text("one")
    painted.ok("attach-resource", "paint", f"palette={tmp_path}/palette")
    (tmp_path / "palette").write_text("two")
    painted.ok("attach-resource", "paint", f"palette={tmp_path}/palette")
    assert [path.read_text() for path in (home / "resources").iterdir()] == ["two"]
    painted.ok("refresh", "paint", "--path", str(other.packed(tmp_path / "newer.charm")))
    unit = engine.engine.models["m"].units["paint/0"]
    wait_for(lambda: unit.charm_url == "local:paint-k8s-1")  # nobody runs the old one any more
    painted.ok("attach-resource", "paint", "paint-image=x/other:2")
    assert before not in (home / "charms").iterdir()
    assert len(list((home / "charms").iterdir())) == 1


def test_root_and_the_engines_own_user_may_connect_and_nobody_else() -> None:
    assert is_allowed(0, 1000)
    assert is_allowed(1000, 1000)
    assert not is_allowed(1001, 1000)


def test_a_fault_of_the_engine_is_told_and_ends_nothing(settings: Settings) -> None:
    async def asked() -> list[dict[str, Any]]:
        server = Server(SimpleNamespace(settings=settings))  # an engine without models
        await server.start()
        reader, writer = await asyncio.open_unix_connection(settings.socket)
        answers: list[dict[str, Any]] = []
        for _ in range(2):
            writer.write(b'{"method": "models"}\n')
            answers.append(json.loads(await reader.readline()))
        writer.close()
        await writer.wait_closed()
        await server.stop()
        return answers

    first, second = asyncio.run(asked())
    assert first == second
    assert first["error"]["kind"] == "InternalError"
    assert "AttributeError" in first["error"]["message"]
    assert not settings.socket.exists()


def test_a_socket_path_that_is_too_long_is_told(settings: Settings) -> None:
    home = settings.home / ("x" * 100)
    server = Server(SimpleNamespace(settings=dataclasses.replace(settings, home=home)))
    with pytest.raises(OSError, match="longer than 107 bytes"):
        asyncio.run(server.start())


# --- The client ---


def test_a_home_without_settings_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="run `localjuju init`"):
        Client(tmp_path / "nowhere").call("models")


def test_an_engine_that_cannot_start_says_why(settings: Settings) -> None:
    settings.database.write_text("this is no database, and long enough to be looked at" * 9)
    with pytest.raises(ClientError, match=r"cannot start the engine: .*engine\.db"):
        Client(settings.home).call("models")


def test_an_engine_that_shall_not_be_started_is_not(settings: Settings) -> None:
    with pytest.raises(ClientError, match="does not run"):
        Client(settings.home, start=False).call("models")


SERVER = """
import json, os, pathlib, socket, sys
home = pathlib.Path(sys.argv[1])
with (home / "starts").open("a") as starts:
    starts.write("x")
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(home / "engine.sock"))
listening.listen()
for _ in range(int(sys.argv[2])):
    stream, _ = listening.accept()
    with stream, stream.makefile("rb") as lines:
        for line in lines:
            stream.sendall(json.dumps({"result": os.getsid(0) == os.getpid()}).encode() + b"\\n")
"""


def test_several_commands_at_once_start_one_engine_apart_from_them(
    settings: Settings, tmp_path: Path
) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    found: list[Any] = []

    def ask() -> None:
        stream = client.start_engine(settings, (sys.executable, str(script)), ("4",))
        with stream, stream.makefile("rb") as lines:
            stream.sendall(b"{}\n")
            found.append(json.loads(lines.readline())["result"])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [True] * 4, "each answer came from a process with a session of its own"
    assert (settings.home / "starts").read_text() == "x"


def test_status_is_cheap_to_ask_for(engine: Any) -> None:
    """The command imports little: heavy modules stay with the engine."""
    talk = Client(engine.settings.home)
    talk.call("add_model", name="m")
    talk.close()
    code = (
        "import sys; from localjuju.cli import main\n"
        "try: main.run(main.juju_group(), ['status','-m','m','--format','json'], 'juju')\n"
        "finally: print(sorted({'asyncio','yaml','localjuju.model','cryptography','jubilant'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
