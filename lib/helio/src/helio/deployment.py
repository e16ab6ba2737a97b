"""The steps of a bootstrap that work on the model: from an engine to a cloud that answers."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

import jubilant
import yaml
from jubilant.statustypes import Status

from helio import bundle, clients, waiting
from helio.embedded import Engine, Juju
from helio.host import HelioError, Host
from helio.manifest import Part
from helio.plan import Plan
from helio.report import Reporter
from helio.settings import Settings


@dataclasses.dataclass(frozen=True)
class AddModel:
    """Add the model of a part."""

    plan: Plan
    juju: Juju
    part: Part = "pods"
    cloud: str | None = None
    outline: str | None = None

    @property
    def title(self) -> str:
        """Say which."""
        return f"Add the model {self._model}"

    def is_done(self, host: Host) -> bool:
        """Return whether there is such a model."""
        return model_status(self.plan.settings, self.juju, host) is not None

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Add it; `helio juju` works on that of the pods if nothing else is said."""
        self.juju.add_model(self._model, self.cloud)
        if self.part == "pods":
            self.juju.cli("switch", self._model, include_model=False)

    @property
    def _model(self) -> str:
        return self.plan.settings.models[self.part]


@dataclasses.dataclass(frozen=True)
class Deploy:
    """Deploy the bundle of a part; what is there already stays as it is."""

    plan: Plan
    juju: Juju
    part: Part = "pods"
    outline: str | None = None

    @property
    def title(self) -> str:
        """Say which."""
        return f"Deploy {self.plan.bundle_file(self.part).name}"

    def is_done(self, host: Host) -> bool:
        """Return whether every application and every relation is there."""
        status = model_status(self.plan.settings, self.juju, host)
        return status is not None and is_deployed(
            status, self._bundle(), self.plan.features(self.part)
        )

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Deploy what is missing.

        Raises:
            HelioError: Juju refuses.
        """
        overlays = [self.plan.settings.overlay(self.part)]
        deploy(self.juju, self.plan, self.part, overlays)

    def _bundle(self) -> bundle.Yaml:
        return bundle.load_documents(self.plan.bundle_file(self.part).read_text(encoding="utf-8"))


@dataclasses.dataclass(frozen=True)
class Join:
    """Relate the pods to what the machines offer."""

    plan: Plan
    juju: Juju
    title: str = "Join the models"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether every relation is there."""
        status = model_status(self.plan.settings, self.juju, host)
        wanted = yaml.safe_load(self.plan.joining_file.read_text(encoding="utf-8"))
        return status is not None and is_deployed(status, wanted)

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Deploy the bundle of the pods with the overlay that joins.

        Raises:
            HelioError: Juju refuses.
        """
        settings = self.plan.settings
        overlays = [settings.overlay("pods"), self.plan.joining_file, settings.joining_overlay]
        deploy(self.juju, self.plan, "pods", overlays)


@dataclasses.dataclass(frozen=True)
class Settle:
    """Wait until every application is ready."""

    plan: Plan
    models: Mapping[Part, waiting.StatusSource]
    title: str = "Wait for the applications"

    @property
    def outline(self) -> str | None:
        """Say for which."""
        names = [name for part in self.plan.parts for name in self.plan.applications(part)]
        return f"wait until {', '.join(names)} are active"

    def is_done(self, host: Host) -> bool:
        """Return False: one look is not enough to tell."""
        return False

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Wait."""
        watched = [
            waiting.Watched(
                self.models[part], self.plan.applications(part), self.plan.features(part)
            )
            for part in self.plan.parts
        ]
        waiting.settle(watched, reporter, self.plan.stall)


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
        kept = clients.kept_accounts(host, settings)
        clients.keep_accounts(host, settings, {**kept, clients.CLOUD: account})


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


def deploy(juju: Juju, plan: Plan, part: Part, overlays: Sequence[Path]) -> None:
    """Deploy a bundle with overlays.

    Raises:
        HelioError: Juju refuses.
    """
    file = plan.bundle_file(part)
    trust = any(each.trust for each in plan.release.manifest.part(part).values())
    try:
        juju.deploy(file, overlays=overlays, trust=trust)
    except jubilant.CLIError as error:
        raise HelioError(f"cannot deploy {file.name}: {waiting.last_line(error)}") from error


def is_deployed(status: Status, wanted: bundle.Yaml, features: Collection[str] = ()) -> bool:
    """Return whether all of a bundle is there; features that are not there do not count."""
    applications = cast(Mapping[str, object], wanted.get("applications") or {})
    missing = applications.keys() - status.apps.keys()
    relations = [
        pair
        for pair in cast(list[list[str]], wanted.get("relations") or [])
        if not {bundle.application_of(end) for end in pair} & missing
    ]
    return missing <= set(features) and all(is_related(status, *pair) for pair in relations)


def is_related(status: Status, provider: str, requirer: str) -> bool:
    """Return whether two endpoints (`app:endpoint`) are related."""
    application, _, endpoint = requirer.partition(":")
    if application not in status.apps:
        return False
    others = status.apps[application].relations.get(endpoint, [])
    return bundle.application_of(provider) in {other.related_app for other in others}
