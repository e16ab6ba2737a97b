"""The committed bundle is what the charms' metadata and the manifest say, and Juju accepts it."""

import pathlib

import pytest
import yaml

from helio import bundle, bundlefile
from helio.packing import BASES, charm_names
from helio.tree import find_tree


@pytest.fixture(scope="module")
def tree():
    return find_tree()


@pytest.fixture(scope="module")
def committed(tree):
    return yaml.safe_load(bundlefile.path(tree).read_text())


def test_the_bundle_is_generated_from_what_is_there(tree):
    assert bundlefile.path(tree).read_text() == bundlefile.generate(tree), (
        "run `./helio bundle generate` and commit the result"
    )


def test_the_bundle_and_its_overlays_keep_every_rule(tree):
    assert bundlefile.problems(tree) == []


def test_every_charm_is_in_the_release(tree):
    manifest = bundlefile.read_manifest(tree)
    used = {application.charm for application in manifest.applications.values()}
    assert used == set(charm_names(tree))


def test_an_application_is_named_as_its_charm_without_the_substrate(tree):
    manifest = bundlefile.read_manifest(tree)
    names = {name: application.charm for name, application in manifest.applications.items()}
    assert names == {charm.removesuffix("-k8s"): charm for charm in names.values()}


def test_charms_are_named_by_a_path_relative_to_the_bundle(committed):
    for application in committed["applications"].values():
        path = pathlib.PurePosixPath(application["charm"])
        assert path.parts[:2] == ("..", "dist")


def test_every_required_integration_is_in_the_bundle(tree, committed):
    related = {end for pair in committed["relations"] for end in pair}
    manifest = bundlefile.read_manifest(tree)
    charms = bundlefile.read_charms(tree, manifest)
    required = {
        f"{name}:{endpoint}"
        for name, application in manifest.applications.items()
        for endpoint, definition in (charms[application.charm].get("requires") or {}).items()
        if not definition.get("optional")
    }
    assert required <= related


@pytest.mark.parametrize("base", sorted(BASES))
def test_the_bundle_with_the_overlay_of_a_distribution_keeps_every_rule(tree, committed, base):
    from helio import bundlecheck, images

    manifest = bundlefile.read_manifest(tree)
    charms = bundlefile.read_charms(tree, manifest)
    references = images.load(tree.root).references(base.replace("-", ""))
    files = {charm: f"/x/{charm}_{base}-{manifest.arch}.charm" for charm in charms}
    overlay = bundle.overlay(manifest, charms, references, files, base.replace("-", "@"))
    known = bundlecheck.Known(
        charms=charms,
        images=frozenset(references.values()),
        quorum=frozenset({"mariadb"}),
    )
    assert bundlecheck.check_overlay(overlay, known) == []
    assert bundlecheck.check(bundle.merge(committed, overlay), known, merged=True) == []
