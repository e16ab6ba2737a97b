"""What every step of a bootstrap needs to know, read once from the checkout and the machine."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from helio import bundle, bundlefile, images, preflight
from helio.host import HelioError, Host
from helio.packing import BASES, Base
from helio.report import Reporter
from helio.settings import Settings
from helio.tree import Tree

STALL = 900.0  # seconds


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every step needs to know.

    Args:
        settings: The cloud.
        tree: The checkout.
        base: The machine's distribution; images and charms are made for it.
        manifest: The release.
        charms: Charm → its metadata.
        catalogue: The images' recipes.
        stall: Seconds without any change after which waiting is given up.
    """

    settings: Settings
    tree: Tree
    base: Base
    manifest: bundle.Manifest
    charms: Mapping[str, bundle.Yaml]
    catalogue: images.Catalogue
    stall: float = STALL

    @property
    def distro(self) -> str:
        """Return the images' name of the distribution: `debian12`."""
        return self.base.name.replace("-", "")

    @property
    def references(self) -> Mapping[str, str]:
        """Return image → reference."""
        return self.catalogue.references(self.distro)

    @property
    def bundle_file(self) -> Path:
        """Return the bundle that is deployed."""
        return bundlefile.path(self.tree)

    @property
    def applications(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        return tuple(sorted(self.manifest.applications))


def read_plan(settings: Settings, tree: Tree, host: Host, stall: float = STALL) -> Plan:
    """Read what the steps need to know from the checkout and the machine.

    Raises:
        HelioError: the distribution is not supported, or a file of the checkout is wrong.
    """
    name = preflight.base_of(host.read(Path("/etc/os-release")))
    if name not in BASES:
        raise HelioError(
            f"cannot bootstrap on {name}: use {' or '.join(sorted(BASES))}, or a container of it"
        )
    manifest = bundlefile.read_manifest(tree)
    charms = bundlefile.read_charms(tree, manifest)
    return Plan(settings, tree, BASES[name], manifest, charms, images.load(tree.root), stall)


def image_builder(plan: Plan, host: Host, reporter: Reporter | None = None) -> images.Builder:
    """Return the builder for this cloud's store."""
    settings = plan.settings
    return images.Builder(
        plan.catalogue,
        plan.distro,
        host,
        store=images.Store(settings.store, settings.store_run),
        cache=settings.cache,
        on_line=reporter.note if reporter else lambda _line: None,
    )
