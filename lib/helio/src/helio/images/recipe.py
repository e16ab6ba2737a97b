"""Image recipes as data, their digests and the references that follow from them. All pure.

Most recipes make an image for containers; some make a file out of one, such as a guest's disk.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import yaml

from helio.host import HelioError

_T = TypeVar("_T")


class RecipeError(HelioError):
    """A recipe that is missing or incomplete."""


@dataclasses.dataclass(frozen=True)
class Distro:
    """A distribution that images can be built from.

    Args:
        key: Our name for it, part of every tag: `debian12`.
        id: `ID` of its os-release.
        version: `VERSION_ID` of its os-release.
        suite: Code name of the release in its archive.
        python: Minor version of its Python, `3.11`.
        components: Parts of the archive that the recipes need.
        keyring: File with the archive's public keys, from the distribution's keyring package.
        archives: Folder on a mirror to the suites taken from it.
    """

    key: str
    id: str
    version: str
    suite: str
    python: str
    components: tuple[str, ...]
    keyring: Path
    archives: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one image is built.

    Args:
        name: Name of the image and of its folder.
        summary: One sentence for people, becomes the image's description.
        parent: Image that it stands on; None for one that is bootstrapped.
        file: Name of the file that the build leaves; None for an image for containers.
        inputs: Path within the folder to content: all that the build reads.
        packages: Distribution key to the packages in the image.
        build_packages: Distribution key to the packages of the builder stage only.
    """

    name: str
    summary: str
    parent: str | None
    file: str | None
    inputs: Mapping[str, bytes]
    packages: Mapping[str, tuple[str, ...]]
    build_packages: Mapping[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """All recipes of the release.

    Args:
        release: OpenStack's release, `2026.2`.
        registry: Registry and path in front of every image's name.
        distros: Distribution key to facts.
        recipes: Image name to recipe.
    """

    release: str
    registry: str
    distros: Mapping[str, Distro]
    recipes: Mapping[str, Recipe]

    def recipe(self, image: str) -> Recipe:
        """Return the recipe of an image.

        Raises:
            RecipeError: there is no such image.
        """
        return _look_up(self.recipes, image, "image")

    def distro(self, key: str) -> Distro:
        """Return the facts of a distribution.

        Raises:
            RecipeError: no image can be built from it.
        """
        return _look_up(self.distros, key, "distribution")

    def order(self, *images: str) -> tuple[str, ...]:
        """Return the images with all their ancestors, parents first; no argument means all.

        Raises:
            RecipeError: an image or a parent does not exist, or an image is its own ancestor.
        """
        ordered: dict[str, None] = {}
        for image in images or sorted(self.recipes):
            for name in reversed(self._lineage(image)):
                ordered.setdefault(name)
        return tuple(ordered)

    def digest(self, image: str, distro: str) -> str:
        """Return the sha256 of all that decides about an image's content, in hexadecimal.

        Mirror, certificate authority and host are left out: they do not change what is built.
        So are the versions in the distribution's archive: the image's bill of materials has them.
        """
        recipe, facts = self.recipe(image), self.distro(distro)
        content = {
            "release": self.release,
            "suite": f"{facts.id} {facts.version} {facts.suite}",
            "components": facts.components,
            "inputs": {
                path: hashlib.sha256(data).hexdigest() for path, data in recipe.inputs.items()
            },
            "packages": sorted(_look_up(recipe.packages, distro, f"package list of {image} for")),
            "build-packages": sorted(recipe.build_packages.get(distro, ())),
            "parent": self._parent_digest(recipe, distro),
        }
        if recipe.file:
            content["file"] = recipe.file
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _parent_digest(self, recipe: Recipe, distro: str) -> str | None:
        # The lineage is what notices an image that is its own ancestor.
        lineage = self._lineage(recipe.name)
        return self.digest(lineage[1], distro) if lineage[1:] else None

    def tag(self, image: str, distro: str) -> str:
        """Return release, distribution and the recipe's digest: what tells builds apart."""
        return f"{self.release}-{distro}-{self.digest(image, distro)[:12]}"

    def reference(self, image: str, distro: str) -> str:
        """Return the full name of an image: registry, name and tag."""
        return f"{self.registry}/{image}:{self.tag(image, distro)}"

    def references(self, distro: str) -> dict[str, str]:
        """Return the reference of every image for containers."""
        return {
            image: self.reference(image, distro)
            for image, recipe in sorted(self.recipes.items())
            if not recipe.file
        }

    def files(self, distro: str) -> dict[str, str]:
        """Return the name of every file that a recipe makes, with its tag before the suffixes."""
        return {
            image: f"{stem}-{self.tag(image, distro)}.{suffixes}"
            for image, recipe in sorted(self.recipes.items())
            if recipe.file
            for stem, _, suffixes in (recipe.file.partition("."),)
        }

    def _lineage(self, image: str) -> list[str]:
        """Return an image, its parent, its parent's parent and so on."""
        names = [image]
        while parent := self.recipe(names[-1]).parent:
            if parent in names:
                raise RecipeError(f"cannot order the images: {image} is its own ancestor")
            names.append(parent)
        return names


def find_root() -> Path:
    """Return the checkout with the recipes, found from this file's place in it.

    Raises:
        RecipeError: helio was installed without them.
    """
    for folder in Path(__file__).resolve().parents:
        if (folder / "images" / "catalogue.yaml").is_file():
            return folder
    raise RecipeError("cannot find the image recipes (images/catalogue.yaml): run from a checkout")


@functools.cache
def load(root: Path | None = None) -> Catalogue:
    """Read all recipes.

    Args:
        root: The checkout, with the recipes in `images`; this file's own without it.

    Raises:
        RecipeError: a file is missing or has not the needed keys.
    """
    root = (root or find_root()) / "images"
    facts = _read_yaml(root / "catalogue.yaml")
    folders = sorted(path.parent for path in root.glob("*/image.yaml"))
    distros = cast("dict[str, dict[str, object]]", facts["distros"])
    return Catalogue(
        release=str(facts["release"]),
        registry=str(facts["registry"]),
        distros={key: _parse_distro(key, entry) for key, entry in distros.items()},
        recipes={folder.name: _load_recipe(folder) for folder in folders},
    )


def parse_recipe(entry: Mapping[str, object], read: Callable[[str], bytes]) -> Recipe:
    """Make a recipe from the content of an image.yaml.

    Args:
        entry: The file's content.
        read: Returns an input's content by its path in the folder.

    Raises:
        RecipeError: a key is missing or unknown.
    """
    needed, optional = (
        {"name", "summary", "parent", "inputs", "packages"},
        {"build-packages", "file"},
    )
    for problem, keys in (
        ("lacks", needed - entry.keys()),
        ("has the unknown", entry.keys() - needed - optional),
    ):
        if keys:
            raise RecipeError(f"cannot read image.yaml: it {problem} key {sorted(keys)[0]}")
    parent, file = entry["parent"], entry.get("file")
    return Recipe(
        name=str(entry["name"]),
        summary=str(entry["summary"]),
        parent=None if parent is None else str(parent),
        file=None if file is None else str(file),
        inputs={path: read(path) for path in cast("list[str]", entry["inputs"])},
        packages=_lists(entry["packages"]),
        build_packages=_lists(entry.get("build-packages", {})),
    )


def _load_recipe(folder: Path) -> Recipe:
    try:
        recipe = parse_recipe(
            _read_yaml(folder / "image.yaml"), lambda path: (folder / path).read_bytes()
        )
    except FileNotFoundError as error:
        raise RecipeError(
            f"cannot read the recipe of {folder.name}: no {error.filename}"
        ) from None
    if recipe.name != folder.name:
        raise RecipeError(f"cannot use {folder}/image.yaml: it is named {recipe.name}")
    return recipe


def _parse_distro(key: str, entry: Mapping[str, object]) -> Distro:
    return Distro(
        key=key,
        id=str(entry["id"]),
        version=str(entry["version"]),
        suite=str(entry["suite"]),
        python=str(entry["python"]),
        components=tuple(cast("list[str]", entry["components"])),
        keyring=Path(str(entry["keyring"])),
        archives=_lists(entry["archives"]),
    )


def _read_yaml(path: Path) -> dict[str, object]:
    return cast("dict[str, object]", yaml.safe_load(path.read_text(encoding="utf-8")))


def _lists(entry: object) -> dict[str, tuple[str, ...]]:
    return {key: tuple(items) for key, items in cast("dict[str, list[str]]", entry).items()}


def _look_up(table: Mapping[str, _T], key: str, what: str) -> _T:
    try:
        return table[key]
    except KeyError:
        known = ", ".join(sorted(table))
        raise RecipeError(f"cannot find {what} {key}: known are {known}") from None
