import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from helio.host import Command, CommandError
from helio.images import Builder, Catalogue, Distro, Recipe, RecipeError, Store

BOOKWORM = Distro(
    key="debian12",
    id="debian",
    version="12",
    suite="bookworm",
    python="3.11",
    components=("main",),
    keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    archives={"debian": ("bookworm",)},
)
SECRET = "s3cret"


def recipe(name: str, parent: str | None = None, file: str | None = None) -> Recipe:
    containerfile = b"FROM scratch\nADD rootfs.tar /\n"
    if parent:
        containerfile = (
            b"ARG PARENT\nFROM ${PARENT}\nARG PACKAGES\nRUN apt-get install $PACKAGES\n"
        )
    return Recipe(
        name=name,
        summary=f"The {name}.",
        parent=parent,
        file=file,
        inputs={"Containerfile": containerfile, "run": b"#!/bin/sh\n"},
        packages={"debian12": (f"{name}-package", "python3")},
        build_packages={},
    )


class Machine:
    """A host with a small Buildah: it keeps images and working containers."""

    def __init__(self, root: Path):
        self.root = root
        self.files: dict[Path, tuple[str, int]] = {}
        self.images: set[str] = set()
        self.containers = 0
        self.nameless = 0
        self.running = 0  # of the nameless images, those that a container uses
        self.commands: list[tuple[str, ...]] = []
        self.secrets: dict[str, str] = {}
        self.failing: str | None = None
        (root / "var/lib/dpkg").mkdir(parents=True)
        (root / "var/lib/dpkg/status").write_text("")

    def run(self, command: Command) -> str:
        self.commands.append(command.argv)
        if command.argv[0] == "apt-config":
            return ""
        if command.argv[0] == "mmdebstrap":
            return ""
        if command.argv[0] == "install":
            return ""
        if command.argv[0] == "mv":
            source, target = map(Path, command.argv[1:])
            self.files[target] = self.files.pop(source)
            return ""
        if command.argv[0] == "find":
            self.remove_below(Path(command.argv[1]), kept="buildah-cache")
            return ""
        if command.argv[0] == "podman":
            assert command.argv[-3:] == ("image", "prune", "--force")
            self.nameless = self.running
            return ""
        assert command.argv[:5] == ("buildah", "--root", "/store", "--runroot", "/run-store")
        verb, *arguments = command.argv[5:]
        return getattr(self, f"buildah_{verb}")(arguments)

    def buildah_images(self, arguments: list[str]) -> str:
        assert arguments == ["--json"]
        named = [{"names": [name]} for name in sorted(self.images)]
        return json.dumps([*named, {"names": None}])

    def buildah_build(self, arguments: list[str]) -> str:
        self.containers += 1
        options = dict(item.removeprefix("--").partition("=")[::2] for item in arguments)
        for item in arguments:
            if item.startswith("--secret="):
                source = Path(item.partition("src=")[2])
                self.secrets[source.name] = self.files.get(source, ("", 0))[0]
        if self.failing and self.failing in options.get("tag", ""):
            raise CommandError(("buildah", "build"), 1, "", "Error: building")
        if "output" in options:
            self.leave(Path(options["output"].removeprefix("type=local,dest=")))
            self.nameless += 1
        else:
            self.images.add(options["tag"])
        self.containers -= 1
        return ""

    def leave(self, folder: Path) -> None:
        """Leave a file and the list of what is in it, as the last stage of its recipe does."""
        (folder / "var/lib/dpkg").mkdir(parents=True)
        (folder / "var/lib/dpkg/status").write_text(
            "Package: kernel\nVersion: 6.1\nArchitecture: amd64\nStatus: install ok installed\n"
        )
        self.files[folder / "guest.tar.zst"] = ("disk", 0o644)

    def buildah_from(self, arguments: list[str]) -> str:
        assert arguments[-1] in self.images
        self.containers += 1
        return "working\n"

    def buildah_mount(self, arguments: list[str]) -> str:
        return f"{self.root}\n"

    def buildah_rm(self, arguments: list[str]) -> str:
        assert arguments == ["--all"]
        self.containers = 0
        return ""

    def buildah_rmi(self, arguments: list[str]) -> str:
        self.images.difference_update(arguments)
        return ""

    def write(self, path: Path, content: str | bytes, mode: int = 0o644) -> None:
        self.files[path] = (content if isinstance(content, str) else content.decode(), mode)

    def remove(self, path: Path) -> None:
        self.files = {
            file: kept for file, kept in self.files.items() if not file.is_relative_to(path)
        }

    def remove_below(self, folder: Path, kept: str) -> None:
        for path in [*self.files]:
            if path.is_relative_to(folder) and kept not in path.parts:
                del self.files[path]

    def exists(self, path: Path) -> bool:
        return path in self.files

    def argv(self, program: str) -> tuple[str, ...]:
        return next(argv for argv in self.commands if argv[0] == program)

    def count(self, verb: str) -> int:
        return sum(argv[5:6] == (verb,) for argv in self.commands)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


@pytest.fixture
def builder(machine, tmp_path):
    return make_builder(machine, tmp_path, recipe("base"), recipe("mariadb", "base"))


@pytest.fixture
def file_builder(machine, tmp_path):
    guest = recipe("guest", "base", "guest.tar.zst")
    return make_builder(machine, tmp_path, recipe("base"), guest)


def make_builder(machine: Machine, tmp_path: Path, *recipes: Recipe) -> Builder:
    catalogue = Catalogue(
        release="2026.2",
        registry="registry.example/helio",
        distros={"debian12": BOOKWORM},
        recipes={item.name: item for item in recipes},
    )
    return Builder(
        catalogue,
        "debian12",
        machine,
        store=Store(Path("/store"), Path("/run-store")),
        cache=tmp_path / "cache",
        mirror="http://near.example",
    )


def test_all_images_are_built_parents_first(builder, machine):
    built = builder.build()

    assert list(built) == ["base", "mariadb"]
    assert machine.images == set(built.values())
    assert builder.is_built("base")
    assert builder.is_built("mariadb")


def test_an_image_that_is_there_is_not_built_again(builder, machine):
    builder.build()
    builder.build()

    assert machine.count("build") == 2


def test_each_build_says_how_long_it_took(builder):
    lines: list[str] = []

    dataclasses.replace(builder, on_line=lines.append).build()

    assert lines == ["base: built in 0 s", "mariadb: built in 0 s"]


def test_only_the_named_image_and_its_parents_are_built(builder, machine):
    builder.build("base")

    assert machine.images == {builder.reference("base")}


def test_an_image_without_its_bill_of_materials_is_not_built(builder, machine):
    builder.build()
    machine.remove(builder.sbom_path("base"))

    assert not builder.is_built("base")


def test_the_root_file_system_has_the_packages_of_the_recipe(builder, machine):
    builder.build("base")
    argv = machine.argv("mmdebstrap")

    assert "--include=base-package,python3" in argv
    assert "bookworm" in argv


def test_a_child_gets_its_parents_reference_and_its_packages(builder, machine):
    builder.build()
    argv = [argv for argv in machine.commands if "build" in argv][1]

    assert f"--build-arg=PARENT={builder.reference('base')}" in argv
    assert "--build-arg=PACKAGES=mariadb-package python3" in argv


def test_an_argument_that_a_recipe_does_not_use_is_not_given(builder, machine):
    builder.build()

    assert not any("BUILD_PACKAGES" in part for argv in machine.commands for part in argv)


def test_a_failed_build_leaves_neither_container_nor_files(builder, machine):
    machine.failing = "mariadb"

    with pytest.raises(CommandError, match="building"):
        builder.build()
    assert machine.containers == 0
    assert builder.is_built("base")
    assert not builder.is_built("mariadb")
    assert [path for path in machine.files if "build" in path.parts] == []


def test_a_failed_build_is_taken_up_where_it_stopped(builder, machine):
    machine.failing = "mariadb"
    with pytest.raises(CommandError):
        builder.build()
    machine.failing = None

    builder.build()

    assert builder.is_built("mariadb")
    assert sum("mmdebstrap" in argv for argv in machine.commands) == 1


def test_the_hosts_settings_reach_a_build_only_as_private_files(builder, machine, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"https://user:{SECRET}@index.example/simple")
    modes = []
    write = machine.write
    monkeypatch.setattr(
        machine,
        "write",
        lambda path, content, mode=0o644: (
            modes.append(mode) if SECRET in str(content) else None,
            write(path, content, mode),
        ),
    )

    builder.build("base")

    assert SECRET in machine.secrets["pip"]
    assert set(modes) == {0o600}
    assert not any(SECRET in part for argv in machine.commands for part in argv)
    assert not any(SECRET in content for content, _ in machine.files.values())


def test_a_mirror_is_used_for_the_build_and_not_left_in_the_image(builder, machine):
    builder.build("base")
    argv = machine.argv("mmdebstrap")

    assert "URIs: http://near.example/debian" in machine.secrets["apt-sources"]
    assert argv[-1].endswith("bootstrap.sources")
    assert any("customize-hook" in part and "sources.list.d" in part for part in argv)


def test_without_a_mirror_a_foreign_distribution_comes_from_the_public_archive(builder, machine):
    foreign = dataclasses.replace(BOOKWORM, id="other")
    catalogue = dataclasses.replace(builder.catalogue, distros={"debian12": foreign})

    dataclasses.replace(builder, catalogue=catalogue, mirror=None).build("base")
    argv = machine.argv("mmdebstrap")

    assert argv[-2:] == ("bookworm", argv[-1])
    assert argv[-1].endswith("rootfs.tar")
    assert not any("sources.list.d" in part for part in argv)
    assert "SourceList" not in machine.secrets["apt-options"]


def test_programs_among_the_inputs_stay_programs(builder, machine):
    modes = {}
    write = machine.write
    machine.write = lambda path, content, mode=0o644: (
        modes.__setitem__(path.name, mode),
        write(path, content, mode),
    )

    builder.build("base")

    assert (modes["run"], modes["Containerfile"]) == (0o755, 0o644)


def test_remove_all_leaves_images_of_others(builder, machine):
    machine.images.add("registry.example/other:1")
    builder.build()

    builder.remove_all()

    assert machine.images == {"registry.example/other:1"}
    assert not builder.is_built("base")


def test_a_recipe_of_a_file_leaves_the_file_and_no_image(file_builder, machine):
    built = file_builder.build("guest")
    path = file_builder.path("guest")

    assert built == {"base": file_builder.reference("base"), "guest": str(path)}
    assert machine.files[path] == ("disk", 0o644)
    assert machine.images == {file_builder.reference("base")}
    assert file_builder.is_built("guest")
    assert machine.count("build") == 2
    assert machine.nameless == 0


def test_a_file_is_named_after_its_recipe(file_builder):
    tag = file_builder.catalogue.tag("guest", "debian12")

    assert file_builder.path("guest").name == f"guest-{tag}.tar.zst"
    assert file_builder.catalogue.references("debian12").keys() == {"base"}


def test_a_file_has_a_bill_of_materials(file_builder, machine):
    file_builder.build("guest")

    bill, _ = machine.files[file_builder.sbom_path("guest")]
    assert "pkg:deb/debian/kernel@6.1" in bill


def test_a_file_that_is_gone_is_built_again(file_builder, machine):
    file_builder.build("guest")
    machine.remove(file_builder.path("guest"))
    assert not file_builder.is_built("guest")

    shutil.rmtree(file_builder.cache / "build" / "result")
    file_builder.build("guest")

    assert file_builder.is_built("guest")


def test_an_image_is_no_file(file_builder):
    with pytest.raises(RecipeError, match="cannot find the file base: known are guest"):
        file_builder.path("base")


def test_remove_all_removes_files(file_builder, machine):
    file_builder.build("guest")

    file_builder.remove_all()

    assert not machine.files.keys() & {file_builder.path("guest")}


def test_prune_keeps_the_images(builder, machine):
    builder.build()
    machine.containers, machine.nameless, machine.running = 1, 2, 1

    builder.prune()

    assert (machine.containers, machine.nameless) == (0, 1)
    assert builder.is_built("mariadb")
