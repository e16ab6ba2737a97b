"""The bundle in the tree: read what it is made from, write it, check it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from helio import bundle, bundlecheck, images, packing
from helio.packing import BASES
from helio.tree import Tree


def path(tree: Tree) -> Path:
    """Return the committed bundle's file."""
    return tree.bundles / "openstack.yaml"


def read_manifest(tree: Tree) -> bundle.Manifest:
    """Return the release."""
    return bundle.parse_manifest((tree.bundles / "manifest.yaml").read_text(encoding="utf-8"))


def read_charms(tree: Tree, manifest: bundle.Manifest) -> dict[str, bundle.Yaml]:
    """Return the metadata of every charm of the release."""
    names = sorted({application.charm for application in manifest.applications.values()})
    return {name: packing.read_charmcraft(tree, name) for name in names}


def generate(tree: Tree) -> str:
    """Return the text of the bundle as it ought to be."""
    manifest = read_manifest(tree)
    wiring = bundle.parse_wiring((tree.bundles / "wiring.yaml").read_text(encoding="utf-8"))
    references = images.load(tree.root).references(_distro(manifest))
    return bundle.render(
        bundle.generate(manifest, wiring, read_charms(tree, manifest), references)
    )


def overlays(tree: Tree) -> Mapping[str, Any]:
    """Return the committed overlays: file name → content."""
    files = sorted((tree.bundles / "overlays").glob("*.yaml"))
    return {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def problems(tree: Tree) -> list[str]:
    """Return what is wrong with the committed bundle and its overlays."""
    file = path(tree)
    if not file.is_file():
        return [f"{file.name} is missing: run `helio bundle generate`"]
    text = file.read_text(encoding="utf-8")
    found = [] if text == generate(tree) else [f"{file.name} is old: run `helio bundle generate`"]
    manifest = read_manifest(tree)
    catalogue = images.load(tree.root)
    known = bundlecheck.Known(
        charms=read_charms(tree, manifest),
        images=frozenset(
            reference
            for base in BASES
            for reference in catalogue.references(base.replace("-", "")).values()
        ),
        quorum=frozenset(
            name for name, application in manifest.applications.items() if application.quorum
        ),
        trusted=frozenset(
            name for name, application in manifest.applications.items() if application.trust
        ),
        juju=manifest.versions["juju-minimum"],
    )
    content = yaml.safe_load(text)
    found += bundlecheck.check(content, known)
    for name, overlay in overlays(tree).items():
        merged = bundle.merge(content, overlay)
        found += [f"{name}: {problem}" for problem in bundlecheck.check_overlay(overlay, known)]
        found += [
            f"{name}: {problem}" for problem in bundlecheck.check(merged, known, merged=True)
        ]
    return found


def _distro(manifest: bundle.Manifest) -> str:
    return manifest.base.replace("@", "")
