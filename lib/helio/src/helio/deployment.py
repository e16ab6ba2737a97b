"""The steps of a bootstrap that work on the model: from an engine to a cloud that answers."""

import dataclasses

import jubilant
import yaml
from jubilant.statustypes import Status

from helio import clients, waiting
from helio.embedded import Engine, Juju
from helio.host import HelioError, Host
from helio.plan import Plan
from helio.report import Reporter
from helio.settings import Settings


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
        """Add it, and make it the one that `helio juju` works on."""
        model = self.plan.settings.model
        self.juju.add_model(model)
        self.juju.cli("switch", model, include_model=False)


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
