"""The bundles in the tree: read what they are made from, write them, check them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from helio import bundle, bundlecheck, images, manifest, packing
from helio.manifest import Part
from helio.packing import BASES
from helio.tree import Tree


def path(tree: Tree, file: str = bundle.PODS_FILE) -> Path:
    """Return the place of a committed bundle."""
    return tree.bundles / file


def read_manifest(tree: Tree) -> manifest.Manifest:
    """Return the release."""
    return manifest.parse_manifest(_read(tree, "manifest.yaml"))


def read_charms(tree: Tree, release: manifest.Manifest) -> dict[str, bundle.Yaml]:
    """Return the metadata of every charm of the release."""
    names = {application.charm for application in release.applications.values()}
    return {
        name: packing.read_charmcraft(tree, name)
        for name in sorted(names | set(release.extensions))
    }


def read_release(tree: Tree) -> bundle.Release:
    """Return everything that the bundles are made from."""
    found = read_manifest(tree)
    wiring = manifest.parse_wiring(_read(tree, "wiring.yaml"))
    return bundle.Release(found, wiring, read_charms(tree, found))


def generate(tree: Tree) -> dict[str, str]:
    """Return the bundles as they ought to be: file below `bundles` → its text."""
    release = read_release(tree)
    catalogue, distro = images.load(tree.root), _distro(release.manifest)
    files = {name: f"../dist/{file}" for name, file in catalogue.files(distro).items()}
    references = {**catalogue.references(distro), **files}
    made = bundle.generate(release, references) | bundle.feature_overlays(release, references)
    return {file: bundle.render(file, documents) for file, documents in made.items()}


def overlays(tree: Tree) -> Mapping[str, Any]:
    """Return the committed overlays: file name → content."""
    files = sorted((tree.bundles / "overlays").glob("*.yaml"))
    return {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def known(tree: Tree, release: bundle.Release) -> bundlecheck.Known:
    """Return what the bundles are held against."""
    catalogue = images.load(tree.root)
    found = release.manifest
    return bundlecheck.Known(
        charms=release.charms,
        images=frozenset(
            reference
            for base in BASES
            for reference in catalogue.references(base.replace("-", "")).values()
        ),
        quorum=frozenset(name for name, each in found.applications.items() if each.quorum),
        trusted=frozenset(name for name, each in found.applications.items() if each.trust),
        offers=_offers(release),
        spaces=frozenset(found.spaces),
        juju=found.versions["juju-minimum"],
    )


def problems(tree: Tree) -> list[str]:
    """Return what is wrong with the committed bundles and the overlays."""
    found: list[str] = []
    for file, text in generate(tree).items():
        if not path(tree, file).is_file():
            found.append(f"{file} is missing: run `helio bundle generate`")
        elif path(tree, file).read_text(encoding="utf-8") != text:
            found.append(f"{file} is old: run `helio bundle generate`")
    if any("missing" in problem for problem in found):
        return found
    checked = known(tree, read_release(tree))
    contents = {
        file: bundle.load_documents(path(tree, file).read_text(encoding="utf-8"))
        for file in (bundle.PODS_FILE, bundle.MACHINES_FILE)
        if path(tree, file).is_file()
    }
    for file, content in contents.items():
        found += [
            f"{file}: {problem}" for problem in bundlecheck.check(content, checked, merged=True)
        ]
    for name, overlay in overlays(tree).items():
        merged = bundle.merge(contents[bundle.PODS_FILE], overlay)
        found += [f"{name}: {problem}" for problem in bundlecheck.check_overlay(overlay, checked)]
        found += [
            f"{name}: {problem}" for problem in bundlecheck.check(merged, checked, merged=True)
        ]
    return found


def _offers(release: bundle.Release) -> dict[str, bundlecheck.Yaml]:
    """Return what the bundles offer: URL → endpoint → its definition in the metadata."""
    parts: tuple[Part, ...] = ("pods", "machines")
    return {
        f"admin/{release.manifest.models[part]}.{name}": {
            endpoint: release.charm(name)["provides"][endpoint] for endpoint in endpoints
        }
        for part in parts
        for name, endpoints in bundle.offers(release, part).items()
    }


def _read(tree: Tree, name: str) -> str:
    return (tree.bundles / name).read_text(encoding="utf-8")


def _distro(found: manifest.Manifest) -> str:
    return found.base.replace("@", "")
