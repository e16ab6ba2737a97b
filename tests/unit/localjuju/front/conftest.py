"""Charms to deploy, and an engine whose pods are plain folders and processes of this host."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import shutil
import stat
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from localjuju import charm as charms
from localjuju.api import Server
from localjuju.cli import main
from localjuju.engine import Engine
from localjuju.hooks import COMMAND_NAMES
from localjuju.hooks.build import ensure_client
from localjuju.model import Charm, Model
from localjuju.settings import Settings, Space, save
from localjuju.substrate.protocol import (
    Dispatch,
    DispatchResult,
    MachineSpec,
    MachineUnitSpec,
    PodEvent,
    PodSpec,
    ServiceSpec,
)

NOW = 1_800_000_000.0

METADATA: dict[str, Any] = {
    "name": "paint-k8s",
    "summary": "A charm for tests",
    "containers": {"paint": {"resource": "paint-image"}},
    "resources": {
        "paint-image": {"type": "oci-image", "description": "the image"},
        "palette": {"type": "file", "filename": "palette.txt"},
    },
    "provides": {"colour": {"interface": "colour"}, "shade": {"interface": "shade", "limit": 1}},
    "requires": {"wall": {"interface": "wall"}},
    "peers": {"painters": {"interface": "painters"}},
    "storage": {"cans": {"type": "filesystem"}},
}
CONFIG: dict[str, Any] = {
    "options": {
        "colour": {"type": "string", "default": "red", "description": "which"},
        "coats": {"type": "int", "default": 2},
        "thick": {"type": "float"},
        "glossy": {"type": "boolean", "default": False},
        "recipe": {"type": "secret"},
    }
}
ACTIONS: dict[str, Any] = {
    "mix": {
        "description": "Mix two colours",
        "params": {
            "with": {"type": "string"},
            "parts": {"type": "integer", "default": 1, "minimum": 1},
        },
        "required": ["with"],
        "additionalProperties": False,
    },
    "spill": {"description": "Fail on purpose"},
    "slow": {"description": "Take long"},
    "read": {"description": "Read the recipe"},
}
DISPATCH = """#!/bin/sh
set -e
case "$JUJU_DISPATCH_PATH" in
  hooks/config-changed) status-set active "painted $(config-get colour)" ;;
  hooks/colour-relation-created) relation-set "tone=$(config-get colour)" ;;
  hooks/start) open-port 80/tcp; application-version-set 1.5 ;;
  actions/mix) action-set "result=$(config-get colour)-$(action-get with)-$(action-get parts)"
    action-log "stirring" ;;
  actions/spill) action-set "left=nothing"; action-fail "all over the floor" ;;
  actions/slow) sleep 5 ;;
  actions/read) recipe="$(secret-get "$(config-get recipe)" --refresh)"
    action-set "recipe=$recipe" ;;
  hooks/secret-changed) status-set active "recipe changed" ;;
esac
if [ "$(config-get colour)" = broken ]; then exit 1; fi
"""


@dataclasses.dataclass(frozen=True)
class CharmSource:
    """The files of a charm, as a test wants them."""

    metadata: dict[str, Any]
    config: dict[str, Any] = dataclasses.field(default_factory=lambda: CONFIG)
    actions: dict[str, Any] = dataclasses.field(default_factory=lambda: ACTIONS)
    dispatch: str = DISPATCH
    python: str = ""

    def folder(self, path: Path) -> Path:
        path.mkdir(parents=True)
        (path / "metadata.yaml").write_text(yaml.safe_dump(self.metadata))
        (path / "config.yaml").write_text(yaml.safe_dump(self.config))
        (path / "actions.yaml").write_text(yaml.safe_dump(self.actions))
        manifest = {"bases": [{"name": "debian", "channel": "12", "architectures": ["amd64"]}]}
        (path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        if self.dispatch:
            (path / "dispatch").write_text(self.dispatch)
            (path / "dispatch").chmod(0o755)
        if self.python:
            (path / f"venv/lib/python{self.python}/site-packages").mkdir(parents=True)
            (path / f"venv/lib/python{self.python}/site-packages/x.py").write_text("")
        return path

    def packed(self, path: Path) -> Path:
        """Pack as charmcraft does: a zip with modes."""
        folder = self.folder(path.with_suffix(".src"))
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, file.relative_to(folder))
        return path


PAINT = CharmSource(METADATA)
WALL = CharmSource(
    {
        "name": "wall-k8s",
        "summary": "s",
        "requires": {"colour": {"interface": "colour"}, "shade": {"interface": "shade"}},
        "provides": {"wall": {"interface": "wall"}},
    },
    config={"options": {}},
    actions={},
    dispatch="#!/bin/sh\nstatus-set active ready\n",
)


@pytest.fixture
def paint() -> CharmSource:
    return PAINT


@pytest.fixture
def wall() -> CharmSource:
    return WALL


@pytest.fixture
def paint_charm(tmp_path: Path) -> Charm:
    return charms.read(PAINT.folder(tmp_path / "paint-folder"))


@pytest.fixture
def wall_charm(tmp_path: Path) -> Charm:
    return charms.read(WALL.folder(tmp_path / "wall-folder"))


@pytest.fixture
def model() -> Model:
    return Model(name="m", uuid="11111111-2222-3333-4444-555555555555", created=NOW)


BOX = CharmSource(
    {
        "name": "box",
        "summary": "A charm of machines",
        "extra-bindings": {"tunnel": None},
        "provides": {"give": {"interface": "thing"}},
        "requires": {"take": {"interface": "thing"}},
        "peers": {"boxes": {"interface": "boxes"}},
        "resources": {"tool": {"type": "file", "filename": "tool.bin"}},
    },
    config={"options": {}},
    actions={},
    dispatch='#!/bin/sh\nstatus-set active "on $JUJU_MACHINE_ID"\n',
)
LID = CharmSource(
    {
        "name": "lid",
        "summary": "A subordinate",
        "subordinate": True,
        "requires": {"beside": {"interface": "juju-info", "scope": "container"}},
    },
    config={"options": {}},
    actions={},
    dispatch='#!/bin/sh\nstatus-set active "beside $JUJU_PRINCIPAL_UNIT"\n',
)


@pytest.fixture
def machines_model() -> Model:
    uuid = "11111111-2222-3333-4444-555555abcdef"
    return Model(name="machines", uuid=uuid, type="iaas", created=NOW)


@pytest.fixture
def box_charms(tmp_path: Path) -> dict[str, Charm]:
    box = charms.read(BOX.folder(tmp_path / "box-folder"))
    lid = charms.read(LID.folder(tmp_path / "lid-folder"))
    return {"box": box, "lid": lid, "post": dataclasses.replace(box, name="post")}


# --- An engine on this host ------------------------------------------------------------------


class HostSubstrate:
    """Runs a unit's charm as a process of this host, in a folder of its own.

    Containers are folders as well: a program in one is started there.
    """

    def __init__(self, root: Path, client: Path, python: str | None) -> None:
        self._root = root
        self._python = python
        self._sockets: dict[tuple[str, str], Path] = {}
        self._queue: asyncio.Queue[PodEvent] = asyncio.Queue()
        self.services: list[ServiceSpec] = []
        tools = root / "tools"
        tools.mkdir(parents=True)
        for name in COMMAND_NAMES:
            (tools / name).hardlink_to(client)

    def _folder(self, model: str, unit: str) -> Path:
        return self._root / model / unit.replace("/", "-")

    async def prepare(self) -> None:
        self._queue = asyncio.Queue()

    async def charm_python(self, image: str = "") -> str | None:
        return self._python

    async def ensure_pod(self, spec: PodSpec, hook_socket: Path) -> None:
        folder = self._folder(spec.model, spec.unit)
        self._sockets[spec.model, spec.unit] = hook_socket
        shutil.rmtree(folder, ignore_errors=True)
        for container in ("charm", *(workload.name for workload in spec.workloads)):
            (folder / container).mkdir(parents=True)
        shutil.copytree(spec.charm_dir, folder / "charm", symlinks=True, dirs_exist_ok=True)
        boot = f"{spec.unit}-{spec.generation}"
        self._queue.put_nowait(PodEvent("charm-started", spec.model, spec.unit, boot_id=boot))
        for workload in spec.workloads:
            self._queue.put_nowait(
                PodEvent("pebble", spec.model, spec.unit, workload.name, boot_id=boot)
            )

    def hook_socket_path(self, model: str, unit: str) -> str:
        return str(self._sockets[model, unit])

    def charm_path(self, model: str, unit: str) -> str:
        return str(self._folder(model, unit) / "charm")

    def tools_path(self, model: str, unit: str) -> str:
        return str(self._root / "tools")

    def resources_path(self, model: str, unit: str, machine: str) -> Path | None:
        return None

    async def ensure_machine(self, spec: MachineSpec) -> None:
        (self._root / spec.model / spec.machine).mkdir(parents=True, exist_ok=True)

    async def restart_machine(self, model: str, machine: str) -> None:
        raise AssertionError("no charm here asks for it")

    async def remove_machine(self, model: str, machine: str) -> None:
        shutil.rmtree(self._root / model / machine)

    async def ensure_on_machine(self, spec: MachineUnitSpec, hook_socket: Path) -> None:
        self._sockets[spec.model, spec.unit] = hook_socket
        charm = self._folder(spec.model, spec.unit) / "charm"
        shutil.copytree(spec.charm_dir, charm, symlinks=True, dirs_exist_ok=True)
        self._queue.put_nowait(PodEvent("charm-started", spec.model, spec.unit, boot_id="1"))

    async def remove_from_machine(
        self, model: str, unit: str, *, force: bool = False, keep_storage: bool = True
    ) -> None:
        await self.remove_pod(model, unit, keep_storage=keep_storage)

    def machine_argv(
        self, model: str, machine: str, argv: Sequence[str], *, tty: bool = False
    ) -> list[str]:
        return ["env", "-C", str(self._root / model / machine), f"MACHINE={machine}", *argv]

    async def run_on_machine(
        self, model: str, machine: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            *self.machine_argv(model, machine, argv),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate()
        return process.returncode or 0, stdout, stderr

    async def remove_pod(self, model: str, unit: str, *, keep_storage: bool = True) -> None:
        shutil.rmtree(self._folder(model, unit), ignore_errors=True)

    async def dispatch(self, dispatch: Dispatch) -> DispatchResult:
        process = await asyncio.create_subprocess_exec(
            *dispatch.argv,
            cwd=self._folder(dispatch.model, dispatch.unit) / "charm",
            env=dict(dispatch.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        code = process.returncode
        lines = (tuple(text.decode().splitlines()) for text in (stdout, stderr))
        if code is None or code < 0:
            return DispatchResult(None, -(code or 0))
        return DispatchResult(code, 0, 0.0, *lines)

    async def running_dispatch(self, model: str, unit: str) -> bool:
        return False

    async def events(self) -> AsyncIterator[PodEvent]:
        while True:
            yield await self._queue.get()

    def watch(
        self, model: str, unit: str, containers: Sequence[str], after: Mapping[str, str]
    ) -> None:
        pass

    def unwatch(self, model: str, unit: str) -> None:
        pass

    async def set_services(self, services: Sequence[ServiceSpec]) -> None:
        self.services = list(services)

    async def exec(
        self, model: str, unit: str, container: str, argv: Sequence[str], stdin: bytes = b""
    ) -> tuple[int, bytes, bytes]:
        raise AssertionError("the interface only asks for the command line")

    def exec_argv(
        self, model: str, unit: str, container: str, argv: Sequence[str], *, tty: bool
    ) -> list[str]:
        folder = self._folder(model, unit) / container
        return ["env", "-C", str(folder), f"CONTAINER={container}", *argv]

    async def destroy_model(self, model: str) -> None:
        shutil.rmtree(self._root / model, ignore_errors=True)

    async def destroy(self) -> list[str]:
        raise AssertionError("nobody destroys the instance of a test")

    async def close(self) -> None:
        pass


class EngineThread:
    """A real engine with its socket, in a thread: whoever talks to it is another process."""

    def __init__(self, settings: Settings, root: Path, python: str | None = None) -> None:
        self.settings = settings
        self.root = root
        self.python = python
        self.engine: Engine
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        substrate = HostSubstrate(self.root / "pods", self.settings.hook_client, self.python)
        self.engine = Engine(
            self.settings,
            substrate,
            hook_socket=lambda model, unit, machine: (
                self.root / "h" / unit.replace("/", "-") / "s"
            ),
        )
        await self.engine.start()
        server = Server(self.engine)
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop()
        await self.engine.stop(grace=1.0)


@pytest.fixture(scope="session")
def hook_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_client(tmp_path_factory.getbasetemp().parent / "hook-client")


@pytest.fixture
def settings(tmp_path: Path, hook_client: Path) -> Settings:
    made = Settings(
        home=tmp_path / "e",
        instance="t",
        subnet="10.77.0.0/24",
        charm_base="base",
        pebble=Path("/bin/true"),
        hook_client=hook_client,
        store_root=tmp_path / "root",
        store_runroot=tmp_path / "runroot",
        machine_image="x/machine:1",
        spaces=(Space("fast", "10.78.0.0/24", gateway=True),),
    )
    save(made)
    return made


@pytest.fixture
def engine(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineThread]:
    """A running engine whose home the environment names."""
    monkeypatch.setenv("LOCALJUJU_HOME", str(settings.home))
    monkeypatch.delenv("JUJU_MODEL", raising=False)
    running = EngineThread(settings, tmp_path, python="3.11")
    running.start()
    yield running
    running.stop()


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a command ended."""

    stdout: str
    stderr: str
    code: int


class Juju:
    """Runs commands of `juju` in this process, as its entry point does."""

    def __call__(self, *words: str, stdin: str = "") -> Answer:
        return run_command(main.juju_group(), words, stdin)

    def ok(self, *words: str, stdin: str = "") -> str:
        """Run a command that must succeed; return its standard output."""
        answer = self(*words, stdin=stdin)
        assert answer.code == 0, f"{words}: {answer.stderr}"
        return answer.stdout

    def refused(self, *words: str, stdin: str = "") -> str:
        """Run a command that must fail with an error; return the error."""
        answer = self(*words, stdin=stdin)
        assert answer.code == 1, f"{words} ended with {answer.code}: {answer.stdout}"
        told, error, text = answer.stderr.rpartition("ERROR ")
        assert error, answer.stderr
        assert told == "" or told.endswith(("\n", "? ")), "an error has a line of its own"
        return text.rstrip("\n")


def run_command(group: Any, words: Sequence[str], stdin: str = "") -> Answer:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main.run(group, list(words), "juju")
            except SystemExit as ended:
                code = int(ended.code or 0)
    return Answer(out.getvalue(), err.getvalue(), code)


@pytest.fixture
def juju(engine: EngineThread) -> Juju:
    del engine
    return Juju()


@pytest.fixture
def localjuju() -> Callable[..., Answer]:
    return lambda *words: run_command(main.localjuju_group(), words)


@pytest.fixture
def paint_file(tmp_path: Path) -> str:
    path = PAINT.packed(tmp_path / "paint.charm")
    assert path.stat().st_mode & stat.S_IFREG
    return str(path)


@pytest.fixture
def box_file(tmp_path: Path) -> str:
    return str(BOX.packed(tmp_path / "box.charm"))


@pytest.fixture
def lid_file(tmp_path: Path) -> str:
    return str(LID.packed(tmp_path / "lid.charm"))


@pytest.fixture
def wall_file(tmp_path: Path) -> str:
    return str(WALL.packed(tmp_path / "wall.charm"))


IMAGE = "paint-image=localhost:32000/x/paint:1"


@pytest.fixture
def painted(juju: Juju, paint_file: str) -> Juju:
    """A model with the application `paint`, active."""
    juju.ok("add-model", "m")
    juju.ok("deploy", paint_file, "paint", "--resource", IMAGE)
    query = 'workload-status=="active" && agent-status=="idle"'
    juju.ok("wait-for", "unit", "paint/0", "--timeout", "20s", "--query", query)
    return juju
