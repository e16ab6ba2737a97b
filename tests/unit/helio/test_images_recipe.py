import dataclasses
from pathlib import Path

import pytest

from helio.images import Catalogue, Distro, Recipe, RecipeError, load
from helio.images.recipe import parse_recipe

NOBLE = Distro(
    key="ubuntu24.04",
    id="ubuntu",
    version="24.04",
    suite="noble",
    python="3.12",
    components=("main", "universe"),
    keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    archives={"ubuntu": ("noble",)},
)
BOOKWORM = dataclasses.replace(
    NOBLE, key="debian12", id="debian", version="12", suite="bookworm", components=("main",)
)
ENTRY = {
    "name": "base",
    "summary": "The base.",
    "parent": None,
    "inputs": ["Containerfile"],
    "packages": {"debian12": ["python3"]},
}


def recipe(name: str, parent: str | None = None) -> Recipe:
    return Recipe(
        name=name,
        summary=f"The {name}.",
        parent=parent,
        file=None,
        inputs={"Containerfile": b"FROM scratch\n", "lock": b"a==1\n"},
        packages={"debian12": ("python3",), "ubuntu24.04": ("python3",)},
        build_packages={"debian12": ("gcc",)},
    )


@pytest.fixture
def catalogue() -> Catalogue:
    recipes = (recipe("base"), recipe("mariadb", "base"), recipe("galera", "mariadb"))
    return Catalogue(
        release="2026.2",
        registry="registry.example/helio",
        distros={"debian12": BOOKWORM, "ubuntu24.04": NOBLE},
        recipes={item.name: item for item in recipes},
    )


def with_recipe(catalogue: Catalogue, changed: Recipe) -> Catalogue:
    return dataclasses.replace(catalogue, recipes={**catalogue.recipes, changed.name: changed})


def with_distro(catalogue: Catalogue, changed: Distro) -> Catalogue:
    return dataclasses.replace(catalogue, distros={**catalogue.distros, changed.key: changed})


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"Containerfile": b"FROM scratch\n", "lock": b"a==2\n"}},
        {"inputs": {"Containerfile": b"FROM scratch\n", "LOCK": b"a==1\n"}},
        {"inputs": {"Containerfile": b"FROM scratch\n"}},
        {"packages": {"debian12": ("python3", "curl")}},
        {"build_packages": {"debian12": ("gcc", "make")}},
    ],
)
def test_a_digest_changes_when_an_input_changes(catalogue, change):
    changed = with_recipe(catalogue, dataclasses.replace(catalogue.recipe("base"), **change))

    assert changed.digest("base", "debian12") != catalogue.digest("base", "debian12")


@pytest.mark.parametrize(
    "change",
    [{"summary": "Other words."}, {"packages": {"debian12": ("python3",), "ubuntu24.04": ()}}],
)
def test_a_digest_stays_when_something_else_changes(catalogue, change):
    changed = with_recipe(catalogue, dataclasses.replace(catalogue.recipe("base"), **change))

    assert changed.digest("base", "debian12") == catalogue.digest("base", "debian12")


def test_a_digest_does_not_depend_on_the_order_of_packages(catalogue):
    one, other = (
        with_recipe(
            catalogue, dataclasses.replace(catalogue.recipe("base"), packages={"debian12": names})
        )
        for names in (("a", "b"), ("b", "a"))
    )

    assert one.digest("base", "debian12") == other.digest("base", "debian12")


@pytest.mark.parametrize(
    "change", [{"archives": {"elsewhere": ("noble",)}}, {"keyring": Path("/other.gpg")}]
)
def test_a_digest_leaves_out_how_the_archive_is_reached(catalogue, change):
    changed = with_distro(catalogue, dataclasses.replace(NOBLE, **change))

    assert changed.digest("base", "ubuntu24.04") == catalogue.digest("base", "ubuntu24.04")


def test_a_digest_changes_with_the_suite_of_the_distribution(catalogue):
    changed = with_distro(catalogue, dataclasses.replace(NOBLE, suite="plucky"))

    assert changed.digest("base", "ubuntu24.04") != catalogue.digest("base", "ubuntu24.04")


def test_a_grandparents_change_changes_the_digest(catalogue):
    base = dataclasses.replace(catalogue.recipe("base"), inputs={"Containerfile": b"FROM x\n"})
    changed = with_recipe(catalogue, base)

    assert changed.digest("galera", "debian12") != catalogue.digest("galera", "debian12")


def test_distributions_have_different_digests(catalogue):
    assert catalogue.digest("base", "debian12") != catalogue.digest("base", "ubuntu24.04")


def test_a_reference_names_registry_image_release_distribution_and_digest(catalogue):
    digest = catalogue.digest("mariadb", "ubuntu24.04")

    assert (
        catalogue.reference("mariadb", "ubuntu24.04")
        == f"registry.example/helio/mariadb:2026.2-ubuntu24.04-{digest[:12]}"
    )


def test_references_hold_every_image(catalogue):
    references = catalogue.references("debian12")

    assert list(references) == ["base", "galera", "mariadb"]
    assert references["galera"] == catalogue.reference("galera", "debian12")


def test_parents_come_before_their_children(catalogue):
    assert catalogue.order() == ("base", "mariadb", "galera")
    assert catalogue.order("mariadb") == ("base", "mariadb")
    assert catalogue.order("galera", "base") == ("base", "mariadb", "galera")


def test_an_unknown_image_is_named_with_the_known_ones(catalogue):
    with pytest.raises(RecipeError, match="cannot find image nginx: known are base, galera, mar"):
        catalogue.order("nginx")


def test_an_unknown_distribution_is_named_with_the_known_ones(catalogue):
    with pytest.raises(RecipeError, match=r"distribution fedora: known are debian12, ubuntu24.04"):
        catalogue.reference("base", "fedora")


def test_an_image_without_packages_for_a_distribution_is_named(catalogue):
    changed = dataclasses.replace(catalogue.recipe("base"), packages={"debian12": ()})

    with pytest.raises(RecipeError, match=r"package list of base for ubuntu24.04"):
        with_recipe(catalogue, changed).digest("base", "ubuntu24.04")


def test_an_image_that_is_its_own_ancestor_is_refused(catalogue):
    ring = with_recipe(catalogue, recipe("base", "galera"))

    with pytest.raises(RecipeError, match="its own ancestor"):
        ring.order()
    with pytest.raises(RecipeError, match="its own ancestor"):
        ring.digest("base", "debian12")


def test_a_recipe_reads_its_inputs():
    parsed = parse_recipe(ENTRY, {"Containerfile": b"FROM scratch\n"}.__getitem__)

    assert parsed.inputs == {"Containerfile": b"FROM scratch\n"}
    assert parsed.packages == {"debian12": ("python3",)}
    assert parsed.build_packages == {}


@pytest.mark.parametrize("key", ENTRY)
def test_a_recipe_without_a_needed_key_is_refused(key):
    entry = {name: value for name, value in ENTRY.items() if name != key}

    with pytest.raises(RecipeError, match=f"lacks key {key}"):
        parse_recipe(entry, lambda _: b"")


def test_a_recipe_with_a_misspelt_key_is_refused():
    with pytest.raises(RecipeError, match="has the unknown key build_packages"):
        parse_recipe({**ENTRY, "build_packages": {}}, lambda _: b"")


def test_a_missing_input_file_is_named(tmp_path):
    folder = tmp_path / "images" / "base"
    folder.mkdir(parents=True)
    (tmp_path / "images" / "catalogue.yaml").write_text("{release: x, registry: y, distros: {}}")
    (folder / "image.yaml").write_text(
        "{name: base, summary: s, parent: null, inputs: [Containerfile], packages: {}}"
    )

    with pytest.raises(RecipeError, match=r"recipe of base: no .*/base/Containerfile"):
        load(tmp_path)


def test_a_recipe_must_bear_the_name_of_its_folder(tmp_path):
    folder = tmp_path / "images" / "base"
    folder.mkdir(parents=True)
    (tmp_path / "images" / "catalogue.yaml").write_text("{release: x, registry: y, distros: {}}")
    (folder / "image.yaml").write_text(
        "{name: bass, summary: s, parent: null, inputs: [], packages: {}}"
    )

    with pytest.raises(RecipeError, match="it is named bass"):
        load(tmp_path)


def test_a_recipe_that_makes_a_file_says_its_name():
    made = parse_recipe({**ENTRY, "file": "guest.qcow2"}, lambda path: b"")

    assert (made.file, parse_recipe(ENTRY, lambda path: b"").file) == ("guest.qcow2", None)


def test_another_file_name_is_another_digest(catalogue):
    before = catalogue.digest("mariadb", "debian12")
    changed = dataclasses.replace(catalogue.recipe("mariadb"), file="disk.qcow2")

    assert with_recipe(catalogue, changed).digest("mariadb", "debian12") != before
