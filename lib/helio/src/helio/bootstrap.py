"""From a bare machine to a cloud: the list of steps, and those that work on the machine."""

import dataclasses
from collections.abc import Iterable, Mapping

import yaml

from helio import bundle, clients, images, pebble, preflight
from helio.deployment import AddModel, Deploy, GetToken, Join, Settle, WriteClientFiles
from helio.embedded import MACHINE_CLOUD, Engine, Juju, program
from helio.host import NOT_FOUND, CommandError, Host
from helio.machine import InstallPackages, SetKernel
from helio.manifest import Part
from helio.packing import Packer
from helio.plan import Plan, image_builder
from helio.report import Reporter
from helio.steps import Step

BASE_IMAGE = "base"  # what charm containers run; it has the Python that charms are packed for
MACHINE_IMAGE = "machine"  # what machines boot
GUEST_IMAGE = "guest"  # a disk for instances, which `helio configure` uploads
COMMON_IMAGES = (BASE_IMAGE, MACHINE_IMAGE, GUEST_IMAGE)


def steps(plan: Plan, models: Mapping[Part, Juju], actions: clients.Actions) -> list[Step]:
    """Return the way to a cloud on the embedded engine.

    Args:
        plan: What to do it with.
        models: Part → what drives its model.
        actions: Runs actions in the model of the control plane.
    """
    settings = plan.settings
    clouds: Mapping[Part, str | None] = {"pods": None, "machines": MACHINE_CLOUD}
    # Nothing waits in between: the charms wait for each other.
    model = [
        step
        for part in plan.parts
        for step in (
            AddModel(plan, models[part], part, clouds[part]),
            Deploy(plan, models[part], part),
        )
    ]
    joining = [Join(plan, models["pods"])] if plan.joining_file.is_file() else []
    return [
        preflight.Preflight(settings),
        InstallPackages(settings.journal),
        SetKernel(settings.journal),
        ConfigurePodman(plan),
        GetPebble(plan),
        *provide(plan, plan.deployed, COMMON_IMAGES),
        SetUpEngine(plan),
        *model,
        *joining,
        Settle(plan, models),
        WriteClientFiles(plan, actions),
        GetToken(plan, actions),
    ]


def provide(plan: Plan, applications: Iterable[str], others: Iterable[str] = ()) -> list[Step]:
    """Return the steps that make what applications are deployed from.

    Args:
        plan: The release.
        applications: Their names.
        others: Names of further images.
    """
    needed = sorted({*others, *plan.images(applications)})
    return [BuildImages(plan, tuple(needed)), PackCharms(plan, plan.charms(applications))]


@dataclasses.dataclass(frozen=True)
class ConfigurePodman:
    """Write Podman's settings for this machine."""

    plan: Plan
    title: str = "Configure Podman"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether the file says what this machine needs."""
        path = self.plan.settings.containers_conf
        return host.exists(path) and host.read(path) == self._text()

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Write it."""
        host.write(self.plan.settings.containers_conf, self._text())

    def _text(self) -> str:
        return images.containers_conf(images.read_facts())


@dataclasses.dataclass(frozen=True)
class GetPebble:
    """Get the program that supervises services in every workload container."""

    plan: Plan
    title: str = "Get Pebble"

    @property
    def outline(self) -> str | None:
        """Say which, and where it goes."""
        return f"get Pebble {pebble.VERSION} into {self.plan.settings.pebble}"

    def is_done(self, host: Host) -> bool:
        """Return whether the wanted version is there."""
        return pebble.is_wanted(host, self.plan.settings.pebble)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Find or build it."""
        settings = self.plan.settings
        pebble.ensure_pebble(host, settings.pebble, settings.cache / "pebble-build")


@dataclasses.dataclass(frozen=True)
class BuildImages:
    """Build the images that are not in the store yet.

    Args:
        plan: The release.
        names: Names of those that are needed.
    """

    plan: Plan
    names: tuple[str, ...]
    title: str = "Build images"

    @property
    def outline(self) -> str | None:
        """Say which images there will be."""
        return f"build {', '.join(self.plan.references[image] for image in self.names)}"

    def is_done(self, host: Host) -> bool:
        """Return whether all are in the store; asking for it would make it."""
        if not host.exists(self.plan.settings.store):
            return False
        builder = self._builder(host)
        try:
            return all(builder.is_built(image) for image in self.names)
        except CommandError as error:
            if error.status == NOT_FOUND:  # a dry run, before buildah is installed
                return False
            raise

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Build them, parents first."""
        self._builder(host, reporter).build(*self.names)

    def _builder(self, host: Host, reporter: Reporter | None = None) -> images.Builder:
        plan = self.plan
        return image_builder(plan.settings, plan.catalogue, plan.base, host, reporter)


@dataclasses.dataclass(frozen=True)
class PackCharms:
    """Pack charms for this machine's distribution.

    Args:
        plan: The release.
        names: Names of those that are needed.
    """

    plan: Plan
    names: tuple[str, ...]
    title: str = "Pack charms"

    @property
    def outline(self) -> str | None:
        """Say which charms."""
        return f"pack {', '.join(self.names)} for {self.plan.base.name}"

    def is_done(self, host: Host) -> bool:
        """Return whether all files are there and current."""
        return all(self._packer(host).is_current(charm) for charm in self.names)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Pack what is not current."""
        for charm in self.names:
            reporter.note(charm)
            self._packer(host).pack(charm)

    def _packer(self, host: Host) -> Packer:
        return Packer(self.plan.tree, host, program("uv"), self.plan.base)


@dataclasses.dataclass(frozen=True)
class SetUpEngine:
    """Write the engine's settings and the overlays with this machine's charms and images."""

    plan: Plan
    title: str = "Set up the engine"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return False: setting up again is cheap and changes only what differs."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Write them."""
        plan, settings = self.plan, self.plan.settings
        made = plan.references
        Engine(settings).init(host, made[BASE_IMAGE], made[MACHINE_IMAGE])
        joining = bundle.remote(plan.release, "pods", settings.models)
        overlays = {settings.overlay(part): plan.overlay(part) for part in plan.parts}
        for path, content in {**overlays, settings.joining_overlay: joining}.items():
            host.write(path, yaml.safe_dump(content, sort_keys=False))
