import zipfile
from pathlib import Path

import pytest

from helio import packing
from helio.host import HelioError
from helio.packing import BASES, Packer
from helio.tree import Tree

CHARMCRAFT = """\
name: toy-k8s
type: charm
title: Toy
summary: A toy.
description: To play with.
links: {contact: me@example.com, documentation: "https://example.com/docs"}
containers: {toy: {resource: toy-image}}
config: {options: {debug: {type: boolean, default: false}}}
base: ubuntu@24.04
platforms: {amd64: }
parts: {charm: {plugin: uv}}
"""


@pytest.fixture
def tree(tmp_path):
    charm = tmp_path / "charms" / "toy-k8s"
    (charm / "src" / "__pycache__").mkdir(parents=True)
    (charm / "charmcraft.yaml").write_text(CHARMCRAFT)
    (charm / "src" / "charm.py").write_text("import kit\n")
    (charm / "src" / ".charm.py.swp").write_text("editor")
    (charm / "src" / "__pycache__" / "charm.pyc").write_text("old")
    (charm / "secret.env").write_text("TOKEN=1")
    library = tmp_path / "lib" / "kit" / "src" / "kit"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("")
    (tmp_path / "LICENSE").write_text("free")
    return Tree(tmp_path)


@pytest.fixture
def packer(tree, host):
    """Packs with a uv that knows one wheel."""

    def install(command):
        venv = Path(command.argv[command.argv.index("--target") + 1])
        for name in ("bin/tool", "ops/__init__.py", "ops/tests/test_x.py", "ops.dist-info/RECORD",
                     "ops.dist-info/METADATA", ".lock"):  # fmt: skip
            path = venv / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        return ""

    host.answer("/bin/uv", "export", with_="-e ./lib/kit\n-e ./charms/toy-k8s\nops==1 --hash=x\n")
    host.answer("/bin/uv", "pip", with_=install)
    for version in ("3.11", "3.12"):
        host.answer(f"/usr/bin/python{version}")
    return Packer(tree, host, Path("/bin/uv"), BASES["ubuntu-24.04"])


def names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_a_charm_holds_its_files_its_libraries_and_its_wheels_and_no_more(packer):
    packed = packer.pack("toy-k8s")
    assert packed.path.name == "toy-k8s_ubuntu-24.04-amd64.charm"
    assert names(packed.path) == {
        "LICENSE", "config.yaml", "dispatch", "manifest.yaml", "metadata.yaml", "src/charm.py",
        "venv/kit/__init__.py", "venv/ops/__init__.py", "venv/ops.dist-info/METADATA",
    }  # fmt: skip


def test_only_dispatch_can_be_executed(packer):
    with zipfile.ZipFile(packer.pack("toy-k8s").path) as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert {name for name, mode in modes.items() if mode & 0o111} == {"dispatch"}


def test_packing_again_is_free_when_nothing_changed(packer, host):
    packer.pack("toy-k8s")
    before = len(host.changes)
    assert packer.is_current("toy-k8s")
    assert packer.pack("toy-k8s").is_new is False
    assert len(host.changes) == before


@pytest.mark.parametrize(
    "path", ["charms/toy-k8s/src/charm.py", "charms/toy-k8s/charmcraft.yaml",
             "lib/kit/src/kit/__init__.py", "LICENSE"],
)  # fmt: skip
def test_a_changed_input_makes_a_charm_old(packer, tree, path):
    packer.pack("toy-k8s")
    with (tree.root / path).open("a") as file:
        file.write("\n")
    assert not packer.is_current("toy-k8s")


def test_files_that_are_no_sources_do_not_make_a_charm_old(packer, tree):
    packer.pack("toy-k8s")
    (tree.charms / "toy-k8s" / "src" / "__pycache__" / "new.pyc").write_text("x")
    assert packer.is_current("toy-k8s")


def test_the_same_inputs_give_the_same_bytes(packer):
    first = packer.pack("toy-k8s").path
    content = first.read_bytes()
    first.unlink()
    assert packer.pack("toy-k8s").path.read_bytes() == content


def test_nothing_is_left_of_the_work(packer, tree):
    packer.pack("toy-k8s")
    assert list((tree.build / "pack").iterdir()) == []


def test_wheels_are_taken_for_the_bases_python(packer, host):
    packer.pack("toy-k8s")
    command = next(text for text in host.changes if " pip " in text)
    assert "--python-version 3.12 --python-platform x86_64-manylinux_2_39" in command
    assert "--require-hashes" in command


def test_an_unknown_charm_is_named_with_those_that_there_are(packer):
    with pytest.raises(HelioError, match="no such charm; there are: toy-k8s"):
        packer.pack("toi")


def test_a_charm_that_the_lock_does_not_know_is_explained(packer, host):
    host.fail("/bin/uv", "export", status=2, stderr="not found")
    with pytest.raises(HelioError, match="a new charm needs `uv lock` once"):
        packer.pack("toy-k8s")


def test_metadata_is_divided_as_juju_reads_it():
    import yaml

    files = packing.split(yaml.safe_load(CHARMCRAFT))
    assert files["metadata.yaml"] == {
        "name": "toy-k8s",
        "display-name": "Toy",
        "summary": "A toy.",
        "description": "To play with.",
        "maintainers": ["me@example.com"],
        "docs": "https://example.com/docs",
        "containers": {"toy": {"resource": "toy-image"}},
    }
    assert set(files) == {"metadata.yaml", "config.yaml"}
