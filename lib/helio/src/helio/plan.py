"""What every step of a bootstrap needs to know, read once from the checkout and the machine."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from helio import bundle, bundlefile, images, packing, preflight
from helio.host import HelioError, Host
from helio.manifest import Part
from helio.packing import BASES, Base
from helio.report import Reporter
from helio.settings import Settings
from helio.tree import Tree

STALL = 900.0  # seconds

FILES: Mapping[Part, str] = {"pods": bundle.PODS_FILE, "machines": bundle.MACHINES_FILE}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every step needs to know.

    Args:
        settings: The cloud.
        tree: The checkout.
        base: The machine's distribution; images and charms are made for it.
        release: The release: manifest, wiring, and its charms' metadata.
        catalogue: The images' recipes.
        stall: Seconds without any change after which waiting is given up.
    """

    settings: Settings
    tree: Tree
    base: Base
    release: bundle.Release
    catalogue: images.Catalogue
    stall: float = STALL

    @property
    def distro(self) -> str:
        """Return the images' name of the distribution: `debian12`."""
        return distro_of(self.base)

    @property
    def references(self) -> Mapping[str, str]:
        """Return image → reference, or path of the file where a recipe makes one."""
        folder = self.settings.cache / "files"
        files = self.catalogue.files(self.distro).items()
        made = {name: str(folder / file) for name, file in files}
        return {**self.catalogue.references(self.distro), **made}

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts that the release has, in the order in which they are deployed."""
        return ("pods", "machines") if self.release.manifest.machines else ("pods",)

    @property
    def deployed(self) -> tuple[str, ...]:
        """Return the names of the applications that the bundles deploy."""
        return tuple(name for part in self.parts for name in self.applications(part))

    @property
    def files(self) -> dict[str, str]:
        """Return charm → path of its packed file."""
        arch = self.release.manifest.arch
        return {
            name: str(packing.charm_file(self.tree, name, self.base, arch))
            for name in self.release.charms
        }

    def charms(self, applications: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the charms of applications."""
        all_of_them = self.release.manifest.applications
        return tuple(sorted({all_of_them[name].charm for name in applications}))

    def images(self, applications: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the images that applications need, besides what all need."""
        manifest = self.release.manifest
        table = {**manifest.images, **manifest.files}
        resources = {
            resource
            for name in applications
            for resource in bundle.section(self.release.charm(name), "resources")
        }
        return tuple(sorted({table[resource] for resource in resources}))

    def bundle_file(self, part: Part) -> Path:
        """Return the bundle that is deployed."""
        return bundlefile.path(self.tree, FILES[part])

    @property
    def joining_file(self) -> Path:
        """Return the overlay by which the pods find what the machines offer."""
        return bundlefile.path(self.tree, bundle.JOINING_FILE)

    def applications(self, part: Part) -> tuple[str, ...]:
        """Return the names of the applications of a part."""
        return tuple(self.release.manifest.part(part))

    def features(self, part: Part) -> tuple[str, ...]:
        """Return the applications of a part that the cloud can do without."""
        found = self.release.manifest.part(part).items()
        return tuple(name for name, application in found if application.feature)

    def overlay(self, part: Part) -> dict[str, object]:
        """Return the overlay with this machine's charms and images, and this cloud's models."""
        base = f"{self.base.distribution}@{self.base.channel}"
        made = bundle.overlay(self.release, part, self.references, self.files, base)
        if part == "machines":
            made |= bundle.remote(self.release, part, self.settings.models)
        return made


def read_plan(settings: Settings, tree: Tree, host: Host, stall: float = STALL) -> Plan:
    """Read what the steps need to know from the checkout and the machine.

    Raises:
        HelioError: the distribution is not supported, or a file of the checkout is wrong.
    """
    base = read_base(host)
    release = bundlefile.read_release(tree)
    return Plan(settings, tree, base, release, images.load(tree.root), stall)


def read_base(host: Host) -> Base:
    """Return the machine's distribution.

    Raises:
        HelioError: it is not supported.
    """
    name = preflight.base_of(host.read(Path("/etc/os-release")))
    if name not in BASES:
        raise HelioError(
            f"cannot bootstrap on {name}: use {' or '.join(sorted(BASES))}, or a container of it"
        )
    return BASES[name]


def distro_of(base: Base) -> str:
    """Return the images' name of a distribution: `debian12`."""
    return base.name.replace("-", "")


def image_builder(
    settings: Settings,
    catalogue: images.Catalogue,
    base: Base,
    host: Host,
    reporter: Reporter | None = None,
) -> images.Builder:
    """Return the builder for this cloud's store."""
    return images.Builder(
        catalogue,
        distro_of(base),
        host,
        store=images.Store(settings.store, settings.store_run),
        cache=settings.cache,
        on_line=reporter.note if reporter else lambda _line: None,
    )
