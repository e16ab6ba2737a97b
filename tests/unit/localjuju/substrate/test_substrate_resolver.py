"""What Podman's resolver keeps of networks that are gone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localjuju.substrate import resolver

# A handler of its own: whoever runs the tests may have the signal ignored.
PROGRAM = """
import signal, time
signal.signal(signal.SIGHUP, lambda *_: exit(3))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A resolver's folder with networks of three instances."""
    names = ("mine-management", "mine-management-0a1b2c", "mine-too-management-0a1b2c", "podman")
    for name in names:
        (tmp_path / name).write_text("10.70.0.1\n")
    return tmp_path


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the resolver's name that ends with 3 when it is to read its files again."""
    path = tmp_path_factory.mktemp("bin") / "aardvark-dns"
    path.write_text(f"#!{sys.executable}\n{PROGRAM}")
    path.chmod(0o755)
    with subprocess.Popen([str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_networks_of_the_instance_go_and_others_stay(folder: Path):
    assert resolver.forget("mine", folder=folder) == ["mine-management", "mine-management-0a1b2c"]
    assert left(folder) == {"mine-too-management-0a1b2c", "podman"}


def test_the_network_in_use_stays(folder: Path):
    found = resolver.forget("mine", keep="mine-management-0a1b2c", folder=folder)
    assert found == ["mine-management"]
    assert "mine-management-0a1b2c" in left(folder)


def test_the_resolver_reads_again_when_something_went(
    folder: Path, program: subprocess.Popen[bytes]
):
    (folder / "aardvark.pid").write_text(f"{program.pid}")
    resolver.forget("mine", folder=folder)
    assert program.wait(10) == 3


def test_a_resolver_with_nothing_to_forget_is_left_alone(
    folder: Path, program: subprocess.Popen[bytes]
):
    (folder / "aardvark.pid").write_text(f"{program.pid}")
    assert resolver.forget("other", folder=folder) == []
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.3)


@pytest.mark.parametrize("written", [str(os.getpid()), "4194999", "", "x"])
def test_a_number_that_is_no_resolvers_gets_no_signal(folder: Path, written: str):
    (folder / "aardvark.pid").write_text(written)
    assert resolver.forget("mine", folder=folder)


def test_a_machine_without_a_resolver_has_nothing_to_forget(tmp_path: Path):
    assert resolver.forget("mine", folder=tmp_path / "none") == []
