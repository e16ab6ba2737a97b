"""The server, and the compiled client against it."""

import asyncio
import hashlib
import os
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from localjuju.hooks import COMMAND_NAMES, HookServer
from localjuju.hooks.build import BuildError, client_path, ensure_client
from localjuju.model import Hook, HookKind


class Serving:
    """A server in a thread of its own, so that tests can simply run processes."""

    def __init__(self, socket: Path, tools: Path) -> None:
        self.socket, self.tools = socket, tools
        self.changes: list[int] = []
        self.loop = asyncio.new_event_loop()
        self.server = HookServer(lambda: self.changes.append(1))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.do(self.server.start(socket))

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def register(self, context):
        self.loop.call_soon_threadsafe(self.server.register, context)

    def unregister(self, context):
        self.loop.call_soon_threadsafe(self.server.unregister, context.context_id)

    def close(self):
        self.do(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, context, *argv, input=b"", **more):
        """Run a hook command as a charm does; return stdout, stderr and exit status."""
        environment = {"PATH": str(self.tools), **context.environment, **more.pop("env", {})}
        done = subprocess.run(
            [self.tools / argv[0], *argv[1:]],
            input=input,
            capture_output=True,
            env=environment,
            timeout=20,
            **more,
        )
        return done.stdout.decode(), done.stderr.decode(), done.returncode


@pytest.fixture
def serving(tmp_path, client):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in COMMAND_NAMES:
        os.link(client, tools / name)
    running = Serving(tmp_path / "hook.sock", tools)
    yield running
    running.close()


@pytest.fixture
def context(world, serving):
    made = world.context()
    serving.register(made)
    return made


def test_the_client_is_static_and_compiled_once(client, tmp_path):
    before = client.stat()
    again = ensure_client(client.parent)
    assert (again, again.stat().st_mtime_ns) == (client, before.st_mtime_ns)
    assert client_path(tmp_path) == tmp_path / client.name
    head = client.read_bytes()
    assert head[:4] == b"\x7fELF"
    assert b"/ld-linux" not in head
    assert before.st_mode & 0o111


def test_a_missing_compiler_is_told_with_its_remedy(tmp_path):
    with pytest.raises(BuildError, match="no no-such-cc found; install a C compiler"):
        ensure_client(tmp_path, "no-such-cc")


def test_a_failing_compiler_is_told(tmp_path):
    with pytest.raises(BuildError, match="cannot compile the hook client"):
        ensure_client(tmp_path, "false")
    assert list(tmp_path.iterdir()) == []


def test_answers_and_exit_status_come_through(serving, context):
    run = serving.run
    assert run(context, "is-leader", "--format=json") == ("true\n", "", 0)
    assert run(context, "relation-list", "-r", "9") == (
        "",
        'ERROR invalid value "9" for option -r: relation not found\n',
        2,
    )
    assert run(context, "network-get", "zz") == (
        "",
        'ERROR no network config found for binding "zz"\n',
        1,
    )
    assert len(serving.changes) == 3


def test_the_socket_is_private(serving):
    assert serving.socket.stat().st_mode & 0o777 == 0o600


def test_standard_input_is_read_only_when_asked(serving, context):
    tools = serving.tools
    script = f'"{tools}/juju-log" --file - hello; "{tools}/is-leader" >&2; cat'
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        input=b"rest",
        capture_output=True,
        env=context.environment,
        timeout=20,
    )
    assert done.stdout == b"rest"


@pytest.mark.parametrize("flags", [["--file", "-"], ["--file=-"], ["-file", "-"], ["-file=-"]])
def test_standard_input_is_read_when_asked(serving, context, flags):
    assert serving.run(context, "state-set", *flags, input=b'{"k": "v"}') == ("", "", 0)
    assert serving.run(context, "state-get", "k") == ("v\n", "", 0)


def test_files_are_read_where_the_charm_is(serving, context, tmp_path):
    (tmp_path / "value").write_bytes(b"hunter2")
    (tmp_path / "map.yaml").write_bytes(b"abc: x=y\n")
    where = {"cwd": tmp_path}
    uri = serving.run(context, "secret-add", "password#file=value", **where)[0].strip()
    assert serving.run(context, "secret-get", uri, "password") == ("hunter2\n", "", 0)
    assert serving.run(context, "secret-set", uri, "--file", "map.yaml", **where)[2] == 0
    assert serving.run(context, "secret-get", uri, "abc") == ("x=y\n", "", 0)
    assert serving.run(context, "relation-set", "-r", "4", "--file", "map.yaml", **where)[2] == 0
    assert serving.run(context, "relation-get", "-r", "4", "abc", "web/0")[0] == "x=y\n"


def test_a_file_that_cannot_be_read_is_named(serving, context, tmp_path):
    for argv in (
        ("secret-add", "abc#file=/no/such"),
        ("state-set", "--file", "/no/such"),
        ("state-set", "--file=/no/such"),
    ):
        assert serving.run(context, *argv) == (
            "",
            "ERROR open /no/such: No such file or directory\n",
            1,
        )
    big = tmp_path / "big"
    big.write_bytes(bytes(9 << 20))
    assert serving.run(context, "secret-add", f"abc#file={big}") == (
        "",
        f"ERROR open {big}: File too large\n",
        1,
    )


def test_text_that_looks_like_a_file_stays_text(serving, context, world):
    assert serving.run(context, "juju-log", "abc#file=/no/such", "--", "--file=x")[2] == 0
    assert serving.run(context, "relation-set", "-r", "4", "abc#file=/no/such") == ("", "", 0)
    assert world.logs[-1][2] == "abc#file=/no/such --file=x"


def test_the_longest_argument_comes_through(serving, context, world):
    text = "x" * (128 * 1024 - 1)
    assert serving.run(context, "juju-log", "--", text) == ("", "", 0)
    assert world.logs[-1][2] == text


def test_large_input_and_output_come_through(serving, context):
    text = "ünïcode\n" * 200_000
    assert (
        serving.run(
            context, "state-set", "--file", "-", input=f'"k": {text!r}'.replace("'", '"').encode()
        )[2]
        == 0
    )
    out = serving.run(context, "state-get", "k")[0]
    assert hashlib.sha256(out.encode()).digest() == hashlib.sha256(f"{text}\n".encode()).digest()


def test_output_can_go_to_a_file(serving, context, tmp_path):
    assert serving.run(context, "is-leader", "-o", "answer", cwd=tmp_path) == ("", "", 0)
    assert (tmp_path / "answer").read_text() == "True\n"
    out, error, code = serving.run(context, "is-leader", "-o", "/no/such/folder")
    assert (out, code) == ("", 1)
    assert "No such file or directory" in error


def test_commands_outside_a_hook_say_so(serving, context):
    for missing in ("JUJU_CONTEXT_ID", "JUJU_AGENT_SOCKET_ADDRESS"):
        assert serving.run(context, "is-leader", env={missing: ""}) == (
            "",
            f"ERROR is-leader: {missing} not set; hook commands work only inside a hook\n",
            1,
        )


def test_an_engine_that_is_away_is_told(serving, context):
    assert serving.run(
        context, "is-leader", env={"JUJU_AGENT_SOCKET_ADDRESS": "/no/such.sock"}
    ) == (
        "",
        "ERROR is-leader: cannot reach the agent at /no/such.sock: No such file or directory\n",
        1,
    )
    long = "/" + "x" * 120
    assert (
        "socket path too long"
        in serving.run(context, "is-leader", env={"JUJU_AGENT_SOCKET_ADDRESS": long})[1]
    )


def test_a_context_that_ended_is_refused(serving, context):
    assert serving.run(context, "is-leader")[2] == 0
    serving.unregister(context)
    assert serving.run(context, "is-leader") == (
        "",
        f'ERROR bad request: bad context: unknown context id "{context.context_id}"\n',
        1,
    )


def test_another_units_context_is_refused(serving, context, world, tmp_path):
    other = Serving(tmp_path / "other.sock", serving.tools)
    try:
        address = {"JUJU_AGENT_SOCKET_ADDRESS": str(other.socket)}
        out, error, code = serving.run(context, "is-leader", env=address)
    finally:
        other.close()
    assert (out, code) == ("", 1)
    assert error.startswith("ERROR bad request:")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"LJH1" + struct.pack(">cI", b"q", 0) + struct.pack(">cI", b"z", 0),
        b"LJH1" + struct.pack(">cI", b"z", 0),
        b"LJH1" + struct.pack(">cI", b"a", 1 << 30),
        b"LJH1" + struct.pack(">cI", b"x", 1) + b"x" + struct.pack(">cI", b"z", 0),
    ],
)
def test_what_is_no_request_is_refused(serving, context, data):
    async def ask():
        reader, writer = await asyncio.open_unix_connection(str(serving.socket))
        writer.write(data)
        answer = await reader.read()
        writer.close()
        return answer

    answer = serving.do(ask())
    assert answer[0] == 1
    assert b"ERROR bad request" in answer


def test_a_client_that_goes_away_hurts_nobody(serving, context):
    async def hang_up():
        _, writer = await asyncio.open_unix_connection(str(serving.socket))
        writer.write(b"LJH1" + struct.pack(">cI", b"c", 100) + b"half")
        writer.close()
        await writer.wait_closed()

    serving.do(hang_up())
    assert serving.run(context, "is-leader")[0] == "True\n"


def test_commands_of_one_hook_keep_their_order(serving, context, world):
    script = "".join(f'"{serving.tools}/juju-log" {n}\n' for n in range(50))
    subprocess.run(["/bin/sh", "-c", script], env=context.environment, check=True, timeout=20)
    assert [line[2] for line in world.logs] == [str(n) for n in range(50)]


def test_commands_started_at_once_are_all_served(serving, context, world):
    script = "".join(f'"{serving.tools}/juju-log" {n} &\n' for n in range(50)) + "wait\n"
    subprocess.run(["/bin/sh", "-c", script], env=context.environment, check=True, timeout=20)
    assert sorted(int(line[2]) for line in world.logs) == list(range(50))


def test_two_units_are_served_apart(serving, context, world, tmp_path):
    other = Serving(tmp_path / "other.sock", serving.tools)
    second = world.context(Hook(HookKind.UPDATE_STATUS), "web/1")
    try:
        other.register(second)
        address = {"JUJU_AGENT_SOCKET_ADDRESS": str(other.socket)}
        assert other.run(second, "is-leader", env=address)[0] == "False\n"
        assert serving.run(context, "is-leader")[0] == "True\n"
    finally:
        other.close()


def test_a_socket_that_an_engine_left_behind_is_replaced(serving, world, tmp_path):
    path = tmp_path / "left.sock"
    path.write_text("")
    other = Serving(path, serving.tools)
    other.close()


def test_a_call_is_cheap(serving, context):
    """Far from the aim of 1.5 ms, so that a busy machine passes; the benchmark measures."""
    loop = f'for i in $(seq 100); do "{serving.tools}/is-leader" >/dev/null; done'
    began = time.perf_counter()
    subprocess.run(["/bin/bash", "-c", loop], env=context.environment, check=True, timeout=60)
    assert (time.perf_counter() - began) / 100 < 0.02
