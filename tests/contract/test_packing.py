"""Packed charms: what charmcraft would have made, complete, and the same every time."""

import pathlib
import re
import subprocess
import sys
import time
import zipfile

import pytest
import yaml
from charmcraft.models.manifest import Manifest
from charmcraft.models.metadata import CharmMetadata
from charmcraft.models.project import PlatformCharm

from helio.embedded import program
from helio.host import LocalHost
from helio.packing import BASES, Packer, charm_names, read_charmcraft, split
from helio.tree import find_tree

TREE = find_tree()
CHARMS = charm_names(TREE)
OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def pack(charm: str, base: str) -> pathlib.Path:
    return Packer(TREE, LocalHost(), program("uv"), BASES[base]).pack(charm).path


@pytest.fixture(scope="module", params=sorted(BASES))
def base(request):
    return BASES[request.param]


@pytest.fixture(scope="module", params=CHARMS)
def charm(request):
    return request.param


@pytest.fixture(scope="module")
def packed(charm, base):
    return pack(charm, base.name)


@pytest.fixture(scope="module")
def unpacked(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("charm")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", packed, folder], check=True)
    return folder


def content(path: pathlib.Path, name: str) -> dict:
    with zipfile.ZipFile(path) as archive:
        return yaml.safe_load(archive.read(name))


# charmcraft reads its own deprecated field.
@pytest.mark.filterwarnings("ignore:The 'charmhub' field is deprecated:DeprecationWarning")
def test_the_metadata_is_what_charmcraft_makes_of_it(charm):
    project = PlatformCharm.unmarshal(dict(read_charmcraft(TREE, charm)))
    theirs = CharmMetadata.from_charm(project).marshal()
    ours = split(read_charmcraft(TREE, charm))
    assert CharmMetadata.model_validate(ours["metadata.yaml"]).marshal() == theirs
    marshalled = project.marshal()
    for key in ("config", "actions"):
        assert (f"{key}.yaml" in ours) == bool(marshalled.get(key))
        if marshalled.get(key):
            assert set(ours[f"{key}.yaml"]) <= set(marshalled[key])


def test_the_packed_metadata_is_accepted_by_charmcraft(packed, charm):
    metadata = CharmMetadata.model_validate(content(packed, "metadata.yaml"))
    assert metadata.name == charm


def test_the_manifest_names_the_base_that_the_wheels_are_for(packed, base):
    manifest = Manifest.model_validate(content(packed, "manifest.yaml"))
    assert manifest.bases is not None
    (named,) = manifest.bases
    assert (named.name, named.channel) == (base.distribution, base.channel)
    tags = {
        match[1]
        for name in zipfile.ZipFile(packed).namelist()
        if (match := re.search(r"\.cpython-(\d+)-", name))
    }
    assert tags <= {base.python.replace(".", "")}


def test_every_packed_source_is_known_to_git(packed, charm):
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "."],
        cwd=TREE.charms / charm,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    names = set(zipfile.ZipFile(packed).namelist())
    sources = {name for name in names if name.startswith(("src/", "lib/", "README"))}
    byte_code = {name for name in sources if "__pycache__" in name}
    assert sources - byte_code == {
        name for name in listed if name.startswith(("src/", "lib/", "README"))
    }


def test_the_licence_is_in_it(packed):
    assert zipfile.ZipFile(packed).read("LICENSE") == (TREE.root / "LICENSE").read_bytes()


def test_nothing_in_it_is_needless(packed):
    names = zipfile.ZipFile(packed).namelist()
    needless = re.compile(r"(^|/)(tests?|bin)/|/RECORD$|\.lock$|/\.")
    assert [name for name in names if needless.search(name)] == []
    assert packed.stat().st_size < 12_000_000


def test_the_same_sources_give_the_same_bytes(charm, base, packed):
    before = packed.read_bytes()
    packed.unlink()
    started = time.monotonic()
    assert pack(charm, base.name).read_bytes() == before
    assert time.monotonic() - started < 30


def test_packing_again_does_nothing(charm, base, packed):
    result = Packer(TREE, LocalHost(), program("uv"), BASES[base.name]).pack(charm)
    assert not result.is_new


def own_base() -> str:
    return next(name for name, base in BASES.items() if base.python == OWN_PYTHON)


def test_every_module_of_a_charm_is_found_in_what_was_packed(charm, tmp_path):
    """With an empty environment, and the interpreter without its own packages."""
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", pack(charm, own_base()), tmp_path], check=True
    )
    code = "import runpy; runpy.run_path('src/charm.py', run_name='charm')"
    done = subprocess.run(
        ["/usr/bin/python3", "-W", "error", "-S", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": "src:lib:venv"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_byte_code_is_used_although_unpacking_changed_the_times(charm, tmp_path):
    path = pack(charm, own_base())
    subprocess.run([sys.executable, "-m", "zipfile", "-e", path, tmp_path], check=True)
    done = subprocess.run(
        ["/usr/bin/python3", "-S", "-v", "-c", "import jinja2.environment"],
        cwd=tmp_path,
        env={"PYTHONPATH": "src:lib:venv"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"matches .*jinja2/environment\.py", done.stderr)
    assert "code object from" in done.stderr
    assert not re.search(r"wrote .*venv/jinja2", done.stderr)


def test_a_dispatch_starts_the_charm_with_the_containers_python(unpacked):
    text = (unpacked / "dispatch").read_text()
    assert text.startswith("#!/bin/sh\n")
    assert text.rstrip().endswith("exec python3 src/charm.py")
    subprocess.run(["sh", "-n", unpacked / "dispatch"], check=True)
