"""The committed bundles follow from the charms' metadata and the manifest; Juju accepts them."""

import graphlib
import pathlib

import pytest

from helio import bundle, bundlecheck, bundlefile, images
from helio.packing import BASES, charm_names
from helio.tree import find_tree

PARTS = {"pods": bundle.PODS_FILE, "machines": bundle.MACHINES_FILE}


@pytest.fixture(scope="module")
def tree():
    return find_tree()


@pytest.fixture(scope="module")
def release(tree):
    return bundlefile.read_release(tree)


@pytest.fixture(scope="module")
def committed(tree):
    """The bundles with their offers: part → content."""
    return {
        part: bundle.load_documents(bundlefile.path(tree, file).read_text())
        for part, file in PARTS.items()
    }


def test_the_bundles_are_generated_from_what_is_there(tree):
    for file, text in bundlefile.generate(tree).items():
        assert bundlefile.path(tree, file).read_text() == text, (
            "run `./helio bundle generate` and commit the result"
        )


def test_the_bundles_and_their_overlays_keep_every_rule(tree):
    assert bundlefile.problems(tree) == []


def test_every_charm_is_in_the_release(tree, release):
    used = {application.charm for application in release.manifest.applications.values()}
    assert used | set(release.manifest.extensions) == set(charm_names(tree))
    assert not used & set(release.manifest.extensions)


def test_an_application_is_named_as_its_charm_without_the_substrate(release):
    applications = release.manifest.applications.items()
    names = {name: application.charm for name, application in applications}
    assert names == {charm.removesuffix("-k8s"): charm for charm in names.values()}


def test_the_only_application_that_may_have_an_administrator_is_tempest(release):
    options = release.charm("keystone")["config"]["options"]
    named = options["admin-applications"]["default"].split(",")
    applications = release.manifest.applications.items()
    assert named == [name for name, each in applications if each.charm == "tempest-k8s"]


def test_what_needs_kubernetes_stands_in_pods_and_what_is_for_machines_on_them(release):
    for name, application in release.manifest.applications.items():
        charm = release.charm(name)
        needs_kubernetes = "k8s-api" in (charm.get("assumes") or []) or "containers" in charm
        assert not (needs_kubernetes and application.to), name
        assert needs_kubernetes or application.to or name == "self-signed-certificates", name


def test_exactly_those_are_trusted_whose_charms_make_a_load_balancer(charm, tree):
    applications = bundlefile.read_manifest(tree).applications.values()
    needs = charm.service.load_balancer is not None
    trusted = [each.trust for each in applications if each.charm == charm.name]
    assert set(trusted) <= {needs}, charm.name


def test_charms_are_named_by_a_path_relative_to_the_bundle(committed):
    for content in committed.values():
        for application in content["applications"].values():
            path = pathlib.PurePosixPath(application["charm"])
            assert path.parts[:2] == ("..", "dist")


def test_every_required_integration_is_in_the_bundles(tree, release, committed):
    related = {
        end
        for content in (*committed.values(), *bundlefile.overlays(tree).values())
        for pair in content.get("relations", ())
        for end in pair
    }
    required = {
        f"{name}:{endpoint}"
        for name in release.manifest.applications
        for endpoint, definition in (release.charm(name).get("requires") or {}).items()
        if not definition.get("optional")
    }
    assert required <= related


def test_no_application_waits_for_itself_whichever_integration_it_waits_for(tree, committed):
    """Any requirer may wait for its provider's data, so the applications have an order."""
    required: dict[str, set[str]] = {}
    for content in (*committed.values(), *bundlefile.overlays(tree).values()):
        for provider, requirer in content.get("relations", ()):
            names = [end.partition(":")[0] for end in (requirer, provider)]
            required.setdefault(names[0], set()).add(names[1])
    order = list(graphlib.TopologicalSorter(required).static_order())
    assert order.index("ingress") < order.index("keystone")


def test_every_resource_of_an_extension_can_be_filled(tree, release):
    references = images.load(tree.root).references("debian12")
    for name in release.manifest.extensions:
        assert bundle.resources(release.manifest, release.charms[name], references)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("base", sorted(BASES))
def test_a_bundle_with_the_overlay_of_a_distribution_keeps_every_rule(
    tree, release, committed, base, part
):
    catalogue, distro = images.load(tree.root), base.replace("-", "")
    files = {charm: f"/x/{charm}_{base}-amd64.charm" for charm in release.charms}
    made = {name: f"/x/{file}" for name, file in catalogue.files(distro).items()}
    references = {**catalogue.references(distro), **made}
    overlay = bundle.overlay(release, part, references, files, base.replace("-", "@"))
    known = bundlefile.known(tree, release)
    assert bundlecheck.check_overlay(overlay, known) == []
    assert bundlecheck.check(bundle.merge(committed[part], overlay), known, merged=True) == []
