"""The OCI images of a cloud: recipes, their digests and references, and how they are built."""

from helio.images.builder import Builder
from helio.images.recipe import Catalogue, Distro, Recipe, RecipeError, find_root, load
from helio.images.storage import Facts, Store, containers_conf, read_facts

__all__ = [
    "Builder",
    "Catalogue",
    "Distro",
    "Facts",
    "Recipe",
    "RecipeError",
    "Store",
    "containers_conf",
    "find_root",
    "load",
    "read_facts",
]
