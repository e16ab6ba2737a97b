"""Hold the image recipes against their promises: complete, explained, locked for all Pythons."""

import re
from pathlib import Path

import pytest
import yaml

from helio.images import find_root, load
from helio.images.lock import normalise, parse_constraints, parse_lock

CATALOGUE = load()
FOLDERS = sorted(path.parent for path in (find_root() / "images").glob("*/image.yaml"))
# Of the image of machines: what makes it a machine; all else is there because a charm wants it.
SYSTEM = {
    "dbus", "ethtool", "kmod", "openssh-server", "sudo", "systemd", "systemd-sysv", "udev",
}  # fmt: skip
SERVICES = {
    "keystone", "placement", "glance", "nova", "neutron", "cinder", "heat", "horizon",
}  # fmt: skip

each_image = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_distro = pytest.mark.parametrize("distro", sorted(CATALOGUE.distros))


LOCKED = [folder for folder in FOLDERS if (folder / "requirements.in").is_file()]
each_locked = pytest.mark.parametrize("folder", LOCKED, ids=lambda folder: folder.name)


def lock_entries(folder: Path) -> dict[str, list[str]]:
    """Return each locked package to its entries, hashes included."""
    entries: dict[str, list[str]] = {}
    text = (folder / "requirements.lock").read_text(encoding="utf-8")
    for entry in re.findall(r"^[a-z0-9-]+==(?:.*\\\n)*.*$", text, re.MULTILINE):
        entries.setdefault(entry.partition("==")[0], []).append(entry)
    return entries


def requirements(folder: Path) -> dict[str, str | None]:
    """Return the names in requirements.in to their pinned versions, None without a pin."""
    lines = (folder / "requirements.in").read_text(encoding="utf-8").splitlines()
    wanted = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalise(name): version[0] if version else None for name, *version in wanted}


@each_image
@each_distro
def test_every_image_has_a_package_list_for_every_distribution(folder, distro):
    recipe = CATALOGUE.recipe(folder.name)

    assert distro in recipe.packages
    assert set(recipe.build_packages) in (set(), set(CATALOGUE.distros))


@each_image
@each_distro
def test_every_image_has_a_reference_for_every_distribution(folder, distro):
    found = {**CATALOGUE.references(distro), **CATALOGUE.files(distro)}[folder.name]

    assert re.fullmatch(
        rf"(localhost:32000/helio/{folder.name}:|{folder.name}-)"
        rf"2026\.2-{re.escape(distro)}-[0-9a-f]{{12}}(\.[a-z0-9.]+)?",
        found,
    )


@each_image
def test_every_file_of_an_image_is_an_input_or_explains_one(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    inputs = set(CATALOGUE.recipe(folder.name).inputs)
    files = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    unexplained = {path for path in files - inputs if Path(path).name not in text}
    assert unexplained - {"README.md", "image.yaml"} == set()


@each_image
def test_every_image_explains_itself(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")

    assert text.startswith(f"# {folder.name}\n")
    assert len(text.split()) > 40


@each_image
def test_a_containerfile_takes_its_parent_and_packages_from_the_recipe(folder):
    recipe = CATALOGUE.recipe(folder.name)
    text = recipe.inputs["Containerfile"].decode()

    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    if recipe.file:
        assert stages == ["${PARENT}", "scratch"]
    else:
        assert set(stages) == ({"${PARENT}"} if recipe.parent else {"scratch"})
    assert not re.search(r"apt-get install (?!\$\{(BUILD_)?PACKAGES\})", text)


@each_image
def test_a_containerfile_mounts_nothing_over_the_image(folder):
    # Buildah removes the place of a mount when the step ends: a file there would be lost.
    text = CATALOGUE.recipe(folder.name).inputs["Containerfile"].decode()

    targets = re.findall(r"type=secret,[^\s]*target=([^,\s]+)", text)
    assert all(target.startswith("/run/build/") for target in targets)


@each_distro
def test_a_machine_has_just_the_packages_that_its_charms_install(distro, machine_charms):
    base, machine = (set(CATALOGUE.recipe(name).packages[distro]) for name in ("base", "machine"))
    wanted = {each for charm in machine_charms for each in charm.service.packages}

    assert wanted - base - machine == set()
    assert machine - wanted - SYSTEM == set()


def test_only_a_login_starts_by_itself_on_a_machine():
    preset = CATALOGUE.recipe("machine").inputs[
        "files/etc/systemd/system-preset/00-machine.preset"
    ]
    lines = [line for line in preset.decode().splitlines() if not line.startswith("#")]

    assert lines == ["enable ssh.service", "disable *"]


def test_every_image_stands_on_base():
    assert all(CATALOGUE.order(folder.name)[0] == "base" for folder in FOLDERS)


def test_an_image_that_no_charm_configured_is_not_ready():
    path = "files/var/lib/pebble/default/layers/001-image.yaml"
    layer = yaml.safe_load(CATALOGUE.recipe("base").inputs[path])

    assert layer["checks"] == {
        "online": {
            "override": "replace",
            "level": "ready",
            "startup": "enabled",
            "period": "1s",
            "threshold": 1,
            "exec": {"command": "/bin/false"},
        }
    }


def test_every_service_has_a_user_of_its_own():
    lines = CATALOGUE.recipe("openstack").inputs["users.txt"].decode().splitlines()
    users = {name: int(number) for name, number in (line.split() for line in lines)}

    assert users.keys() == SERVICES
    assert sorted(users.values()) == list(range(42001, 42001 + len(SERVICES)))


@each_locked
def test_the_lock_has_everything_that_is_required(folder):
    locked = parse_lock((folder / "requirements.lock").read_text(encoding="utf-8"))

    for name, version in requirements(folder).items():
        assert name in locked
        if version:
            assert locked[name] == (version,)


@each_locked
def test_the_lock_follows_every_constraint_that_is_not_lifted(folder):
    locked = parse_lock((folder / "requirements.lock").read_text(encoding="utf-8"))
    text = (folder.parent / "upper-constraints.txt").read_text(encoding="utf-8")
    allowed = {
        name: {re.split("===|;", line)[1] for line in lines}
        for name, lines in parse_constraints(text).items()
    }
    entries = yaml.safe_load((folder / "lifted.yaml").read_text(encoding="utf-8"))

    off = {n for n, versions in locked.items() if not set(versions) <= allowed.get(n, {*versions})}
    assert off == {entry["name"] for entry in entries}


@each_locked
def test_every_lifted_constraint_has_a_reason_and_the_locked_version(folder):
    locked = parse_lock((folder / "requirements.lock").read_text(encoding="utf-8"))

    for entry in yaml.safe_load((folder / "lifted.yaml").read_text(encoding="utf-8")):
        assert entry["reason"]
        assert entry["locked"] == ", ".join(locked[entry["name"]])
        assert entry["locked"] != entry["constraint"]


@each_locked
def test_every_locked_file_is_pinned_by_its_hash(folder):
    assert all(
        "--hash=sha256:" in entry for entries in lock_entries(folder).values() for entry in entries
    )


@each_locked
@pytest.mark.parametrize("minor", [11, 12])
def test_the_lock_names_each_package_once_for_every_python(folder, minor):
    assert {distro.python for distro in CATALOGUE.distros.values()} == {"3.11", "3.12"}

    for name, entries in lock_entries(folder).items():
        heads = [entry.partition("\\")[0] for entry in entries]
        fitting = [head for head in heads if applies(head, minor)]
        assert len(fitting) <= 1, f"{name} twice for Python 3.{minor}"
        if ";" not in "".join(heads):
            assert fitting, f"{name} missing for Python 3.{minor}"


def applies(head: str, minor: int) -> bool:
    """Return whether the Python part of a lock line's marker holds; other parts count as true."""
    compare = {
        "<": minor.__lt__, ">=": minor.__ge__, "==": minor.__eq__,
        "<=": minor.__le__, ">": minor.__gt__, "!=": minor.__ne__,
    }  # fmt: skip
    found = re.findall(r"python(?:_full)?_version (<=|>=|==|!=|<|>) '3\.(\d+)[^']*'", head)
    return all(compare[operator](int(other)) for operator, other in found)
