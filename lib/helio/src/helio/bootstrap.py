"""From a bare machine to a cloud: the list of steps, and those that work on the machine."""

import dataclasses

import yaml

from helio import bundle, clients, images, packing, pebble, preflight
from helio.deployment import AddModel, Deploy, GetToken, Settle, WriteClientFiles
from helio.embedded import Engine, Juju, program
from helio.host import NOT_FOUND, CommandError, Host
from helio.machine import InstallPackages, SetKernel
from helio.packing import Packer
from helio.plan import Plan, image_builder
from helio.report import Reporter
from helio.steps import Step

BASE_IMAGE = "base"  # what charm containers run; it has the Python that charms are packed for


def steps(plan: Plan, juju: Juju, actions: clients.Actions) -> list[Step]:
    """Return the way to a cloud on the embedded engine.

    Args:
        plan: What to do it with.
        juju: Drives the model.
        actions: Runs actions in the model.
    """
    settings = plan.settings
    return [
        preflight.Preflight(settings),
        InstallPackages(settings.journal),
        SetKernel(settings.journal),
        ConfigurePodman(plan),
        GetPebble(plan),
        BuildImages(plan),
        PackCharms(plan),
        SetUpEngine(plan),
        AddModel(plan, juju),
        Deploy(plan, juju),
        Settle(plan, juju),
        WriteClientFiles(plan, actions),
        GetToken(plan, actions),
    ]


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
    """Build the images that are not in the store yet."""

    plan: Plan
    title: str = "Build images"

    @property
    def outline(self) -> str | None:
        """Say which images there will be."""
        return f"build {', '.join(self.plan.references.values())}"

    def is_done(self, host: Host) -> bool:
        """Return whether all are in the store; asking for it would make it."""
        if not host.exists(self.plan.settings.store):
            return False
        builder = image_builder(self.plan, host)
        try:
            return all(builder.is_built(image) for image in self.plan.references)
        except CommandError as error:
            if error.status == NOT_FOUND:  # a dry run, before buildah is installed
                return False
            raise

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Build them, parents first."""
        image_builder(self.plan, host, reporter).build()


@dataclasses.dataclass(frozen=True)
class PackCharms:
    """Pack the charms for this machine's distribution."""

    plan: Plan
    title: str = "Pack charms"

    @property
    def outline(self) -> str | None:
        """Say which charms."""
        return f"pack {', '.join(sorted(self.plan.charms))} for {self.plan.base.name}"

    def is_done(self, host: Host) -> bool:
        """Return whether all files are there and current."""
        return all(self._packer(host).is_current(charm) for charm in self.plan.charms)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Pack what is not current."""
        for charm in sorted(self.plan.charms):
            reporter.note(charm)
            self._packer(host).pack(charm)

    def _packer(self, host: Host) -> Packer:
        return Packer(self.plan.tree, host, program("uv"), self.plan.base)


@dataclasses.dataclass(frozen=True)
class SetUpEngine:
    """Write the engine's settings and the overlay with this machine's charms and images."""

    plan: Plan
    title: str = "Set up the engine"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return False: setting up again is cheap and changes only what differs."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Write both."""
        plan = self.plan
        Engine(plan.settings).init(host, plan.references[BASE_IMAGE])
        files = {
            name: str(packing.charm_file(plan.tree, name, plan.base, plan.manifest.arch))
            for name in plan.charms
        }
        base = f"{plan.base.distribution}@{plan.base.channel}"
        overlay = bundle.overlay(plan.manifest, plan.charms, plan.references, files, base)
        host.write(plan.settings.overlay, yaml.safe_dump(overlay, sort_keys=False))
