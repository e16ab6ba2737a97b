"""Reading charms: packed, in a folder, and those that cannot be used."""

from __future__ import annotations

import dataclasses
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from localjuju import archives, charm
from localjuju.charm import CharmError
from localjuju.model import Container, Endpoint, StorageSpec


def changed(source: Any, **metadata: Any) -> Any:
    return dataclasses.replace(source, metadata={**source.metadata, **metadata})


def test_a_packed_charm_tells_all_that_it_declares(paint: Any, tmp_path: Path) -> None:
    source = dataclasses.replace(paint, python="3.11")
    found = charm.take_in(source.packed(tmp_path / "x.charm"), tmp_path / "store")
    assert (found.name, found.url, found.python) == ("paint-k8s", "", "3.11")
    assert found.endpoints["colour"] == Endpoint("colour", "colour", "provider")
    assert found.endpoints["shade"].limit == 1
    assert found.endpoints["painters"].role == "peer"
    assert found.containers == {"paint": Container("paint", "paint-image")}
    assert found.storage == {"cans": StorageSpec("cans")}
    assert found.config["coats"]["default"] == 2
    assert found.actions["mix"]["properties"]["parts"]["minimum"] == 1
    assert found.manifest["bases"][0]["name"] == "debian"
    assert Path(found.path).parent == tmp_path / "store"
    assert Path(found.path).name == found.sha256


def test_an_archive_and_its_folder_are_the_same_charm(paint: Any, tmp_path: Path) -> None:
    packed = charm.take_in(paint.packed(tmp_path / "x.charm"), tmp_path / "store")
    folder = charm.take_in(tmp_path / "x.src", tmp_path / "store")
    assert dataclasses.replace(packed, path="", sha256="") == dataclasses.replace(
        folder, path="", sha256=""
    )


def test_modes_are_kept_and_dispatch_is_made_executable(paint: Any, tmp_path: Path) -> None:
    folder = paint.folder(tmp_path / "x")
    (folder / "dispatch").chmod(0o644)
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    found = Path(charm.take_in(folder, tmp_path / "store").path)
    assert (found / "dispatch").stat().st_mode & 0o777 == 0o755
    assert (found / "tool").stat().st_mode & 0o777 == 0o755
    assert (found / "metadata.yaml").stat().st_mode & 0o111 == 0


def test_a_folder_may_have_a_unified_charmcraft_yaml(tmp_path: Path, paint: Any) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    unified = {**paint.metadata, "type": "charm", "config": paint.config}
    unified["actions"] = paint.actions
    (folder / "charmcraft.yaml").write_text(yaml.safe_dump(unified))
    (folder / "hooks").mkdir()
    found = charm.read(folder)
    assert set(found.config) == {"colour", "coats", "thick", "glossy", "recipe"}
    assert set(found.actions) == {"mix", "spill", "slow", "read"}


def test_taking_in_twice_makes_one_folder(paint: Any, tmp_path: Path) -> None:
    packed = paint.packed(tmp_path / "x.charm")
    first = charm.take_in(packed, tmp_path / "store")
    second = charm.take_in(packed, tmp_path / "store")
    assert first == second
    assert len(list((tmp_path / "store").iterdir())) == 1


def test_storage_counts_are_read_in_every_form(paint: Any, tmp_path: Path) -> None:
    ranges = {"a": "0-", "b": "2+", "c": "1-3", "d": "4"}
    storage = {n: {"type": "filesystem", "multiple": {"range": r}} for n, r in ranges.items()}
    storage["e"] = {"type": "filesystem", "multiple": {"range": 2}}
    found = charm.read(changed(paint, storage=storage).folder(tmp_path / "x")).storage
    counts = {name: (spec.minimum, spec.maximum) for name, spec in found.items()}
    assert counts == {"a": (0, None), "b": (2, None), "c": (1, 3), "d": (4, 4), "e": (2, 2)}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"name": "Bad_Name"}, "no valid name"),
        ({"provides": {"colour": {"limit": 1}}}, "names no interface"),
        ({"requires": {"colour": {"interface": "x"}}}, "declared twice"),
        ({"requires": {"w": {"interface": "x", "scope": "galaxy"}}}, "unknown scope"),
        ({"requires": {"w": {"interface": "x", "limit": 0}}}, "limit 0"),
        ({"containers": {"c": {"resource": "nope"}}}, "names resource 'nope'"),
        ({"containers": {"c": {"mounts": [{"storage": "nope"}]}}}, "mounts storage 'nope'"),
        ({"storage": {"cans": {"type": "tape"}}}, "type 'tape'"),
        ({"storage": {"c": {"type": "filesystem", "multiple": {"range": "1+2"}}}}, "range"),
        ({"containers": {}, "resources": {"r": {"type": "blob"}}}, "type 'blob'"),
        ({"containers": {}, "resources": {"r": {"type": "file"}}}, "without filename"),
        ({"provides": ["colour"]}, "provides is not a mapping"),
    ],
)
def test_metadata_that_cannot_be_is_refused_by_name(
    paint: Any, tmp_path: Path, metadata: dict[str, Any], words: str
) -> None:
    folder = changed(paint, **metadata).folder(tmp_path / "x")
    with pytest.raises(CharmError, match=words):
        charm.read(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"o": {"type": "number"}}, "unknown type 'number'"),
        ({"o": {"type": "int", "default": "many"}}, 'option "o" expected int, got "many"'),
        ({"o": {"type": "boolean", "default": 1}}, 'option "o" expected boolean, got 1'),
    ],
)
def test_options_that_cannot_be_are_refused(
    paint: Any, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    source = dataclasses.replace(paint, config={"options": options})
    with pytest.raises(CharmError, match=words):
        charm.read(source.folder(tmp_path / "x"))


@pytest.mark.parametrize("name", ["juju-run", "Bad", "9x"])
def test_actions_with_impossible_names_are_refused(paint: Any, tmp_path: Path, name: str) -> None:
    source = dataclasses.replace(paint, actions={name: {}})
    with pytest.raises(CharmError, match=name):
        charm.read(source.folder(tmp_path / "x"))


def test_a_charm_without_anything_to_run_is_refused(paint: Any, tmp_path: Path) -> None:
    source = dataclasses.replace(paint, dispatch="")
    with pytest.raises(CharmError, match="neither dispatch nor hooks"):
        charm.read(source.folder(tmp_path / "x"))


def test_broken_yaml_is_told_with_its_file(paint: Any, tmp_path: Path) -> None:
    folder = paint.folder(tmp_path / "x")
    (folder / "config.yaml").write_text("options: [")
    with pytest.raises(CharmError, match=r"cannot read config\.yaml"):
        charm.read(folder)


def test_metadata_is_never_read_through_a_link(paint: Any, tmp_path: Path) -> None:
    folder = paint.folder(tmp_path / "x")
    (folder / "metadata.yaml").rename(tmp_path / "elsewhere.yaml")
    (folder / "metadata.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(CharmError, match="neither metadata"):
        charm.read(folder)


def test_a_charm_for_another_python_is_refused_with_both_versions(
    paint: Any, tmp_path: Path
) -> None:
    source = dataclasses.replace(paint, python="3.12")
    found = charm.read(source.folder(tmp_path / "x"))
    with pytest.raises(CharmError, match=r"packed for Python 3\.12.*run with Python 3\.11"):
        charm.refuse_python(found, "3.11")
    charm.refuse_python(found, "3.12")
    charm.refuse_python(found, None)


def test_the_python_of_a_plain_folder_of_modules_is_told_by_what_was_compiled(
    paint: Any, tmp_path: Path
) -> None:
    folder = paint.folder(tmp_path / "x")
    assert charm.read(folder).python is None
    (folder / "venv/ops/__pycache__").mkdir(parents=True)
    (folder / "venv/ops/__pycache__/main.cpython-312.opt-1.pyc").touch()
    assert charm.read(folder).python == "3.12"
    (folder / "venv/yaml").mkdir()
    (folder / "venv/yaml/_yaml.cpython-311-x86_64-linux-gnu.so").touch()
    (folder / "venv/yaml/stable.abi3.so").touch()
    assert charm.read(folder).python == "3.11", "an extension tells more than byte code"


def test_modules_for_two_pythons_are_refused(paint: Any, tmp_path: Path) -> None:
    folder = dataclasses.replace(paint, python="3.12").folder(tmp_path / "x")
    (folder / "venv/lib/python3.11/site-packages").mkdir(parents=True)
    with pytest.raises(CharmError, match=r"modules for 3\.11, 3\.12"):
        charm.read(folder)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CharmError, match="no charm was found"):
        charm.take_in(tmp_path / "nope.charm", tmp_path / "store")


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.charm").write_text("not a zip")
    with pytest.raises(CharmError, match="not a zip"):
        charm.take_in(tmp_path / "x.charm", tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([(entry("../evil"), "x")], "leads out of it"),
        ([(entry("/etc/evil"), "x")], "leads out of it"),
        ([(entry("a/../../evil"), "x")], "leads out of it"),
        ([(entry("l", stat.S_IFLNK | 0o777), "/etc")], "the link l leads out"),
        ([(entry("d/l", stat.S_IFLNK | 0o777), "../../etc")], "the link d/l leads out"),
        ([(entry("d/f"), "x"), (entry("d", stat.S_IFLNK | 0o777), "e")], "a link and a folder"),
        ([(entry("pipe", stat.S_IFIFO | 0o644), "")], "special file"),
    ],
)
def test_an_archive_cannot_write_outside_its_folder(
    tmp_path: Path, entries: list[tuple[zipfile.ZipInfo, str]], words: str
) -> None:
    with zipfile.ZipFile(tmp_path / "x.charm", "w") as archive:
        for info, content in entries:
            archive.writestr(info, content)
    with pytest.raises(archives.ArchiveError, match=words):
        archives.take_in(tmp_path / "x.charm", tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_link_inside_the_charm_is_kept(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.charm", "w") as archive:
        archive.writestr(entry("hooks/start"), "#!/bin/sh\n")
        archive.writestr(entry("hooks/stop", stat.S_IFLNK | 0o777), "start")
    folder, _ = archives.take_in(tmp_path / "x.charm", tmp_path / "store")
    assert (folder / "hooks/stop").readlink() == Path("start")


def test_a_bomb_is_stopped_by_its_real_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.charm", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry("zeros"), b"\0" * 5000)
    with pytest.raises(archives.ArchiveError, match="larger than 1000"):
        archives.take_in(tmp_path / "x.charm", tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_folder_changes_its_digest_with_content_and_mode(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "f").write_text("1")
    digests = [archives.take_in(folder, tmp_path / "store")[1]]
    (folder / "f").write_text("2")
    digests.append(archives.take_in(folder, tmp_path / "store")[1])
    (folder / "f").chmod(0o755)
    digests.append(archives.take_in(folder, tmp_path / "store")[1])
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    digests.append(archives.take_in(folder, tmp_path / "store")[1])
    assert len(set(digests)) == 3
    assert digests[2] == digests[3]
