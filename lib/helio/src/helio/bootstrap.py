"""From a bare machine to a cloud: the list of steps."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jubilant
import yaml
from jubilant.statustypes import Status

from helio import bundle, clients, images, packing, pebble, preflight, waiting
from helio.embedded import Engine, Juju, program
from helio.host import HelioError, Host
from helio.machine import InstallPackages, SetKernel
from helio.packing import BASES, Base, Packer
from helio.report import Reporter
from helio.settings import Settings
from helio.steps import Step
from helio.tree import Tree

BASE_IMAGE = "base"  # what charm containers run; it has the Python that charms are packed for
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
        return self.tree.bundles / "openstack.yaml"

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
    manifest = bundle.parse_manifest((tree.bundles / "manifest.yaml").read_text(encoding="utf-8"))
    charms = {
        application.charm: packing.read_charmcraft(tree, application.charm)
        for application in manifest.applications.values()
    }
    return Plan(settings, tree, BASES[name], manifest, charms, images.load(tree.root), stall)


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
        return all(builder.is_built(image) for image in self.plan.references)

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


@dataclasses.dataclass(frozen=True)
class AddModel:
    """Add the model of the control plane."""

    plan: Plan
    juju: Juju
    title: str = "Add the model"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether there is such a model."""
        return model_status(self.plan.settings, self.juju, host) is not None

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Add it."""
        self.juju.add_model(self.plan.settings.model)


@dataclasses.dataclass(frozen=True)
class Deploy:
    """Deploy the bundle; what is there already stays as it is."""

    plan: Plan
    juju: Juju
    title: str = "Deploy the bundle"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether every application and every relation is there."""
        status = model_status(self.plan.settings, self.juju, host)
        if status is None or not set(self.plan.applications) <= status.apps.keys():
            return False
        wanted = yaml.safe_load(self.plan.bundle_file.read_text(encoding="utf-8"))["relations"]
        return all(is_related(status, *pair) for pair in wanted)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Deploy what is missing.

        Raises:
            HelioError: Juju refuses.
        """
        try:
            self.juju.deploy(self.plan.bundle_file, overlays=[self.plan.settings.overlay])
        except jubilant.CLIError as error:
            raise HelioError(f"cannot deploy the bundle: {waiting.last_line(error)}") from error


@dataclasses.dataclass(frozen=True)
class Settle:
    """Wait until every application is ready."""

    plan: Plan
    juju: waiting.StatusSource
    title: str = "Wait for the applications"

    @property
    def outline(self) -> str | None:
        """Say for which."""
        return f"wait until {', '.join(self.plan.applications)} are active"

    def is_done(self, host: Host) -> bool:
        """Return False: one look is not enough to tell."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Wait."""
        waiting.settle(self.juju, self.plan.applications, reporter, self.plan.stall)


@dataclasses.dataclass(frozen=True)
class WriteClientFiles:
    """Write the files that clients read."""

    plan: Plan
    actions: clients.Actions
    title: str = "Write client files"

    @property
    def outline(self) -> str | None:
        """Say which."""
        settings = self.plan.settings
        return f"write {settings.ca}, {settings.openrc} and {settings.clouds}"

    def is_done(self, host: Host) -> bool:
        """Return False: the password may have been rotated."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Ask the cloud and write them."""
        settings = self.plan.settings
        account = clients.read_account(self.actions)
        host.write(settings.ca, clients.read_ca(self.actions))
        host.write(settings.openrc, clients.openrc(account, settings.ca), 0o600)
        host.write(settings.clouds, clients.clouds_yaml(account, settings.ca), 0o600)


@dataclasses.dataclass(frozen=True)
class GetToken:
    """Get a token as a client would: over verified TLS, by the public address."""

    plan: Plan
    actions: clients.Actions
    title: str = "Get a token"

    @property
    def outline(self) -> str | None:
        """Say from whom."""
        return "get a token from Keystone over verified TLS"

    def is_done(self, host: Host) -> bool:
        """Return False: it is a check."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Get it.

        Raises:
            HelioError: Keystone cannot be reached or refuses.
        """
        account = clients.read_account(self.actions)
        try:
            services = clients.issue_token(account, host.read(self.plan.settings.ca))
        except OSError as error:
            raise HelioError(f"cannot get a token from {account.auth_url}: {error}") from error
        reporter.note(f"catalogue: {', '.join(services)}")


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


def model_status(settings: Settings, juju: waiting.StatusSource, host: Host) -> Status | None:
    """Return the model's status, or None where there is no such model.

    The engine is not asked before it is set up: that would start it.

    Raises:
        HelioError: the engine cannot tell.
    """
    if not Engine(settings).is_initialised(host):
        return None
    try:
        return juju.status()
    except jubilant.CLIError as error:
        if "not found" in (error.stderr or ""):
            return None
        raise HelioError(f"cannot read the status: {waiting.last_line(error)}") from error


def is_related(status: Status, provider: str, requirer: str) -> bool:
    """Return whether two endpoints (`app:endpoint`) are related."""
    application, endpoint = requirer.split(":")
    others = status.apps[application].relations.get(endpoint, [])
    return provider.split(":")[0] in {other.related_app for other in others}
