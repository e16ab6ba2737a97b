"""The unit agent: runs dispatches on the engine's word.

It is the first process of a charm container, or a service of a machine. This file is run there by
the Python that is there, so it uses nothing but the standard library. It listens on a unix socket
in a folder that the engine shares with it. Each connection sends one JSON line and gets JSON
lines:

    {"op": "run", "argv": […], "env": {…}, "cwd": "…", "warm": true}
        → {"out": "a line"}, {"err": "a line"}, … then {"exit": 0, "signal": 0, "cpu": 0.21}
    {"op": "watch"}  → {"id": "…", "boot": "…", "python": "3.11"}; stays open as long as the agent
        lives; `id` tells one agent from the next, `boot` one start of its container or machine
    {"op": "end"}    → {"ended": true} once the running dispatch, if any, is gone

A dispatch ends with its connection: the engine that waited for it is gone or has cancelled it.
Its process group gets SIGTERM, and SIGKILL five seconds later.

A warm dispatch is forked from an interpreter that has the charm's modules loaded already. How
the charm's interpreter is started (program, script, search path) is read off the first dispatch
that runs the ordinary way, from /proc; nothing is guessed about `dispatch`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import types
from typing import Any

KILL_AFTER = 5.0  # seconds between SIGTERM and SIGKILL
DRAIN = 0.2  # seconds to wait for output that a process left behind in its pipes
PIPE_ROOM = 1 << 15  # bytes that a pipe takes without a reader
LONGEST_LINE = 1 << 20  # bytes; a longer line is cut into several
_CHANGED_SIGNALS = (  # by this program or by Python itself; a new program gets the defaults
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD,
)  # fmt: skip
LOOKS = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds after its start to look how a dispatch runs


def boot_id() -> str:
    """Return what tells one start of this container or machine from the others."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        host = file.read().strip()
    with open("/proc/1/stat") as file:
        # The name stands in parentheses and may hold anything.
        started = file.read().rpartition(")")[2].split()[19]
    return f"{host}-{started}"


class Recipe:
    """How the charm's interpreter is started.

    Attributes:
        program: The interpreter.
        script: The charm's main file as the interpreter was given it.
        extra: Variables that `dispatch` adds to the environment that it gets.
    """

    def __init__(self, program: str, script: str, extra: dict[str, str]) -> None:
        self.program = program
        self.script = script
        self.extra = extra


def learn(pid: int, env: dict[str, str], cwd: str) -> Recipe | None:
    """Read off a running dispatch how it started its interpreter; None if it did not yet."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = [os.fsdecode(part) for part in file.read().split(b"\0")[:-1]]
        with open(f"/proc/{pid}/environ", "rb") as file:
            present = dict(
                os.fsdecode(part).split("=", 1)
                for part in file.read().split(b"\0")
                if b"=" in part
            )
    except OSError:
        return None
    is_python = len(argv) == 2 and os.path.basename(argv[0]).startswith("python")
    if not is_python or not argv[1].endswith(".py"):
        return None
    program = argv[0]
    if "/" not in program:
        folders = present.get("PATH", os.defpath).split(":")
        found = [os.path.join(folder, program) for folder in folders]
        program = next((path for path in found if os.access(path, os.X_OK)), "")
    if not program:
        return None
    extra = {key: value for key, value in present.items() if env.get(key) != value}
    return Recipe(os.path.join(cwd, program), argv[1], extra)


class Warm:
    """A preloaded interpreter, seen from the agent."""

    def __init__(self, recipe: Recipe, cwd: str, path: str) -> None:
        self.recipe = recipe
        ours, theirs = socket.socketpair()
        self.socket = ours
        argv = [recipe.program, __file__, "--preload", str(theirs.fileno()), recipe.script]
        os.set_inheritable(theirs.fileno(), True)
        env = {"PATH": path, "LANG": "C.UTF-8", **recipe.extra}
        self.pid = spawn(argv, env, cwd)
        theirs.close()
        self.received = b""

    def start(self, argv: list[str], env: dict[str, str], cwd: str, out: int, err: int) -> None:
        """Ask for a fork; its process id and its end come back on the socket."""
        script = [self.recipe.script, *argv[1:]]
        request = {"argv": script, "env": {**env, **self.recipe.extra}, "cwd": cwd}
        data = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(self.socket, [data], [out, err])
        self.socket.sendall(data[sent:])

    def messages(self) -> list[dict[str, Any]] | None:
        """Return what has come in; None when the interpreter is gone."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            return None
        if not data:
            return None
        *lines, self.received = (self.received + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Run:
    """One dispatch under way."""

    def __init__(self, client: Client, request: dict[str, Any]) -> None:
        self.client = client
        self.argv: list[str] = request["argv"]
        self.env: dict[str, str] = request["env"]
        self.cwd: str = request["cwd"]
        self.wants_warm = bool(request.get("warm"))
        self.started = time.monotonic()
        self.looks = list(LOOKS) if self.wants_warm and self.argv[0].endswith("/dispatch") else []
        self.recipe: Recipe | None = None
        self.pid = 0
        self.is_warm = False
        self.kill_at = 0.0  # when SIGKILL is due; 0 while nothing was asked
        self.ended_at = 0.0
        self.result: dict[str, Any] = {}
        self.pipes: dict[int, str] = {}  # open read ends → "out" or "err"
        self.lines: dict[int, bytes] = {}

    def terminate(self) -> None:
        """Ask the process group to end."""
        if not self.kill_at:
            self.kill_at = time.monotonic() + KILL_AFTER
            self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group."""
        if not self.pid or self.ended_at:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # a fork that has not yet become a group's leader
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, status: int, cpu: float) -> None:
        """Note how the process ended."""
        self.ended_at = time.monotonic()
        code = os.waitstatus_to_exitcode(status)
        self.result = {
            "exit": code if code >= 0 else None,
            "signal": -code if code < 0 else 0,
            "cpu": round(cpu, 4),
        }


class Client:
    """One connection of the engine."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = b""
        self.unsent = b""
        self.last = False  # close once everything is sent

    def send(self, message: dict[str, Any], *, last: bool = False) -> None:
        """Queue a message; dropped when the connection is gone."""
        if self.socket.fileno() < 0:
            return
        self.unsent += json.dumps(message).encode() + b"\n"
        self.last = self.last or last


def spawn(
    argv: list[str], env: dict[str, str], cwd: str, out: int | None = None, err: int | None = None
) -> int:
    """Start a program in a session of its own, without standard input.

    Raises:
        OSError: It cannot be started.
    """
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            for number in _CHANGED_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            become(cwd, out, err)
            os.execvpe(argv[0], argv, env)  # noqa: S606 - the engine says what to run
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(tell)
    with os.fdopen(told, "rb") as file:
        failed = file.read()
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)), argv[0])
    return pid


def become(cwd: str, out: int | None, err: int | None) -> None:
    """Make the calling process the leader of a session with the given outputs."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    if out is not None:
        os.dup2(out, 1)
    if err is not None:
        os.dup2(err, 2)
    os.chdir(cwd)


class Agent:
    """The loop that serves connections, reads outputs and reaps processes."""

    def __init__(self, path: str) -> None:
        self.id = os.urandom(8).hex()
        self.selector = selectors.DefaultSelector()
        self.clients: dict[int, Client] = {}
        self.waiting: list[Client] = []  # for the end of the running dispatch
        self.run: Run | None = None
        self.recipe: Recipe | None = None
        self.warm: Warm | None = None
        self.warm_failed = False
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        os.umask(0o077)
        self.listener.bind(path)
        os.umask(0o022)
        self.listener.listen(16)
        self.wake, wake_end = socket.socketpair()
        self.wake_end = wake_end
        for end in (self.wake, wake_end, self.listener):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        for end in (self.wake, self.listener):
            self.selector.register(end, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the process is told to end."""
        while True:
            for key, mask in self.selector.select(self._timeout()):
                self._handle(key.fd, mask)
            self._tick()

    def _handle(self, fd: int, mask: int) -> None:
        if fd == self.listener.fileno():
            self._accept()
        elif fd == self.wake.fileno():
            self.wake.recv(4096)
            self._reap()
        elif self.warm and fd == self.warm.socket.fileno():
            self._hear_warm(self.warm)
        elif self.run and fd in self.run.pipes:
            self._read_pipe(self.run, fd)
        elif fd in self.clients:
            self._serve_client(self.clients[fd], mask)

    # Connections

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        self.clients[connection.fileno()] = Client(connection)
        self.selector.register(connection, selectors.EVENT_READ)

    def _serve_client(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(client)
        if not mask & selectors.EVENT_READ or client.socket.fileno() < 0:
            return
        try:
            data = client.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(client)
            return
        *lines, client.received = (client.received + data).split(b"\n")
        for line in lines:
            self._obey(client, json.loads(line))

    def _obey(self, client: Client, request: dict[str, Any]) -> None:
        operation = request["op"]
        if operation == "watch":
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            client.send({"id": self.id, "boot": boot_id(), "python": python})
        elif operation == "run" and self.run:
            client.send({"error": "a dispatch runs already"}, last=True)
        elif operation == "run":
            self._start(client, request)
        elif operation == "cancel" and self.run and self.run.client is client:
            self.run.terminate()
        elif operation == "end" and self.run:
            self.run.terminate()
            self.waiting.append(client)
        elif operation == "end":
            client.send({"ended": False}, last=True)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        if client.socket.fileno() < 0:
            return
        try:
            sent = client.socket.send(client.unsent) if client.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._forget(client)
            return
        client.unsent = client.unsent[sent:]
        if client.last and not client.unsent:
            self._forget(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        self.selector.modify(client.socket, events)

    def _forget(self, client: Client) -> None:
        """Close a connection; a dispatch that it waited for ends with it."""
        del self.clients[client.socket.fileno()]
        self.selector.unregister(client.socket)
        client.socket.close()
        if client in self.waiting:
            self.waiting.remove(client)
        if self.run and self.run.client is client and not self.run.ended_at:
            self.run.terminate()

    # The dispatch

    def _start(self, client: Client, request: dict[str, Any]) -> None:
        run = Run(client, request)
        pipes = {"out": os.pipe(), "err": os.pipe()}
        for name, (read_end, _) in pipes.items():
            run.pipes[read_end] = name
            run.lines[read_end] = b""
            self.selector.register(read_end, selectors.EVENT_READ)
        out, err = pipes["out"][1], pipes["err"][1]
        self.run = run
        try:
            if self.warm and run.wants_warm and run.argv[0].endswith("/dispatch"):
                run.is_warm = True
                self.warm.start(run.argv, run.env, run.cwd, out, err)
            else:
                run.pid = spawn(run.argv, run.env, run.cwd, out, err)
        except OSError as error:
            client.send({"error": f"cannot start {run.argv[0]}: {error.strerror}"})
            self._finish(run)
        finally:
            os.close(out)
            os.close(err)

    def _read_pipe(self, run: Run, fd: int) -> None:
        data = os.read(fd, 65536)
        text = run.lines[fd] + data
        *lines, rest = text.split(b"\n")
        if len(rest) >= LONGEST_LINE or (rest and not data):
            lines, rest = [*lines, rest], b""
        run.lines[fd] = rest
        for line in lines:
            run.client.send({run.pipes[fd]: line.decode(errors="replace")})
        if not data:
            self._close_pipe(run, fd)
        self._flush(run.client)

    def _close_pipe(self, run: Run, fd: int) -> None:
        self.selector.unregister(fd)
        os.close(fd)
        del run.pipes[fd]

    def _hear_warm(self, warm: Warm) -> None:
        messages = warm.messages()
        if messages is None:
            self.selector.unregister(warm.socket)
            warm.socket.close()
            self.warm, self.warm_failed = None, True
            if self.run and self.run.is_warm and not self.run.ended_at:
                self.run.signal(signal.SIGKILL)
                self.run.ended(signal.SIGKILL, 0.0)
            return
        for message in messages:
            if self.run and "pid" in message:
                self.run.pid = message["pid"]
                if self.run.kill_at:
                    self.run.signal(signal.SIGTERM)
            elif self.run:
                self.run.ended(message["status"], message["cpu"])

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.run and pid == self.run.pid and not self.run.is_warm:
                self.run.ended(status, usage.ru_utime + usage.ru_stime)

    def _timeout(self) -> float | None:
        run = self.run
        if not run:
            return None
        now = time.monotonic()
        due: list[float] = []
        if run.ended_at:
            due.append(run.ended_at + DRAIN)
        elif run.kill_at:
            due.append(run.kill_at)
        if run.looks and not run.ended_at:
            due.append(run.started + run.looks[0])
        return max(0.0, min(due) - now) if due else None

    def _tick(self) -> None:
        run = self.run
        if not run:
            return
        now = time.monotonic()
        if run.looks and not run.ended_at and now >= run.started + run.looks[0]:
            run.looks.pop(0)
            run.recipe = learn(run.pid, run.env, run.cwd) if not run.is_warm else None
            if run.recipe:
                run.looks = []
        if run.kill_at and not run.ended_at and now >= run.kill_at:
            run.signal(signal.SIGKILL)
            run.kill_at = now + KILL_AFTER
        if run.ended_at and (not run.pipes or now >= run.ended_at + DRAIN):
            self._finish(run)

    def _finish(self, run: Run) -> None:
        for fd in list(run.pipes):
            if run.lines[fd]:
                run.client.send({run.pipes[fd]: run.lines[fd].decode(errors="replace")})
            self._close_pipe(run, fd)
        if run.result:
            run.client.send({**run.result, "warm": run.is_warm})
        run.client.last = True
        self.run = None
        self._flush(run.client)
        for client in self.waiting[:]:
            self.waiting.remove(client)
            client.send({"ended": True}, last=True)
            self._flush(client)
        if run.recipe and run.wants_warm and not self.warm and not self.warm_failed:
            try:
                self.warm = Warm(run.recipe, run.cwd, run.env.get("PATH", os.defpath))
            except OSError:
                self.warm_failed = True
                return
            self.selector.register(self.warm.socket, selectors.EVENT_READ)


def _noted(_number: int, _frame: types.FrameType | None) -> None:
    """Let the wake-up descriptor speak: the loop reaps."""


def _leave(_number: int, _frame: types.FrameType | None) -> None:
    """End at once: the kernel ends all else in the container with its first process."""
    os._exit(0)


def preload(script: str) -> Any:
    """Import what a charm's main file imports, and return the file's compiled code."""
    import ast

    path = os.path.abspath(script)
    sys.path[0] = os.path.dirname(path)
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module = importlib.import_module(node.module)
            for alias in node.names:
                if alias.name != "*" and not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
    share()
    return compile(tree, path, "exec")


def share() -> None:
    """Let what is loaded stay shared between the forks: the collector leaves it alone."""
    gc.collect()
    gc.freeze()


def tell_imports(pipe: int, known: set[str]) -> None:
    """Write the names of the modules that this process has loaded besides the known ones."""
    names = " ".join(name for name in sys.modules if name not in known)
    os.write(pipe, names.encode()[:PIPE_ROOM])


def load_told(pipe: int) -> None:
    """Load what a fork has loaded late, in functions: the next one finds it there."""
    os.set_blocking(pipe, False)  # a process that the fork left behind may hold the other end
    with contextlib.suppress(BlockingIOError):  # it has told nothing
        names = os.read(pipe, PIPE_ROOM).decode().split(" ")
        for name in filter(None, names):
            # Only time is lost: the charm imports it itself, and says what is wrong.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if names:
            share()


def fork_per_request(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """Fork for each request that comes in.

    Returns:
        In the fork: the request, and the pipe for the names of what it loads. Else never.
    """
    while True:
        data, fds, _, _ = socket.recv_fds(connection, 65536, 2)
        while data and not data.endswith(b"\n"):
            data += connection.recv(65536)
        if not data:
            os._exit(0)
        request: dict[str, Any] = json.loads(data)
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            connection.close()
            os.close(told)
            become(request["cwd"], *fds)
            for fd in fds:
                os.close(fd)
            return request, tell
        for fd in (*fds, tell):
            os.close(fd)
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        _, status, usage = os.wait4(pid, 0)
        ended = {"status": status, "cpu": usage.ru_utime + usage.ru_stime}
        connection.sendall(json.dumps(ended).encode() + b"\n")
        load_told(told)
        os.close(told)


def main_preloaded(fd: int, script: str) -> None:
    """Be the preloaded interpreter; in each fork, be the charm's main program."""
    code = preload(script)
    request, tell = fork_per_request(socket.socket(fileno=fd))
    atexit.register(tell_imports, tell, set(sys.modules))
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = list(request["argv"])
    module = types.ModuleType("__main__")
    module.__file__ = os.path.abspath(script)
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 - the charm's own main file


if __name__ == "__main__":
    if sys.argv[1] == "--preload":
        main_preloaded(int(sys.argv[2]), sys.argv[3])
    else:
        Agent(sys.argv[1]).serve()
