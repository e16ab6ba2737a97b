"""The demo user: the project, what it may use, the credentials, and the ssh key."""

import dataclasses
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from helio import clients
from helio.clients import CLOUD, DEMO
from helio.host import Command, HelioError, Host
from helio.report import Reporter
from helio.sdk import Clouds, Connection
from helio.settings import Settings
from helio.steps import Ensure, Step

UNLIMITED = -1

# What the project may use at least.
QUOTAS: Mapping[str, Mapping[str, int]] = {
    "compute": {"instances": 20, "cores": 40, "ram": 65536},
    "network": {"floating_ips": 50, "security_groups": 20, "ports": 200},
    "block_storage": {"volumes": 40, "snapshots": 40, "gigabytes": 400},
}


@dataclasses.dataclass(frozen=True)
class MakeKey:
    """Make the demo user's ssh key on this machine."""

    settings: Settings
    title: str = "Make an ssh key"
    outline: str | None = None

    def is_done(self, host: Host) -> bool:
        """Return whether both halves are there."""
        return host.exists(self.settings.key) and host.exists(public_key(self.settings))

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Make it; ssh-keygen lets only the owner read the private half."""
        host.remove(self.settings.key)
        kind = ("-q", "-t", "ed25519", "-N", "", "-C", "helio")
        host.run(Command(("ssh-keygen", *kind, "-f", str(self.settings.key))))


class Project:
    """Has the steps to the demo user, the project, and what it may use.

    Args:
        clouds: Connections; gets the demo user's account.
        settings: The cloud.
        host: Keeps the demo user's credentials.
    """

    def __init__(self, clouds: Clouds, settings: Settings, host: Host):
        self._clouds = clouds
        self._settings = settings
        self._host = host

    def steps(self) -> Iterator[Step]:
        """Yield the steps."""
        yield Ensure(
            "Make the demo user", f"make the project and the user {DEMO}", self._has_user,
            self._make_user,
        )  # fmt: skip
        for service, limits in QUOTAS.items():
            yield Ensure(
                f"Set the quota of {service.replace('_', ' ')}",
                f"allow {_words(limits)} to the project {DEMO}, where it has less",
                lambda service=service, limits=limits: self._has_quota(service, limits),
                lambda _reporter, service=service, limits=limits: self._set_quota(service, limits),
            )

    def _has_user(self) -> bool:
        account = self._clouds.accounts.get(DEMO)
        if account is None or not project_of(self._admin):
            return False
        try:
            clients.issue_token(account, self._host.read(self._settings.ca))
        except HelioError:  # the password is another one, or the user is not in the project
            return False
        return True

    def _make_user(self, _reporter: Reporter) -> None:
        identity, admin = self._admin.identity, self._clouds.accounts[CLOUD]
        domain = identity.find_domain(admin.project_domain, ignore_missing=False).id
        password = secrets.token_urlsafe(24)
        project = project_of(self._admin) or identity.create_project(
            name=DEMO, domain_id=domain, description="For first steps; made by helio configure"
        )
        user = identity.find_user(DEMO, domain_id=domain)
        if user:
            identity.update_user(user, password=password, is_enabled=True)
        else:
            user = identity.create_user(name=DEMO, domain_id=domain, password=password)
        role = identity.find_role("member", ignore_missing=False)
        identity.assign_project_role_to_user(project, user, role)
        demo = dataclasses.replace(
            admin, username=DEMO, password=password, project=DEMO,
            user_domain=admin.project_domain,
        )  # fmt: skip
        self._clouds.accounts[DEMO] = demo
        clients.keep_accounts(self._host, self._settings, self._clouds.accounts)

    def _has_quota(self, service: str, limits: Mapping[str, int]) -> bool:
        project = project_of(self._admin)
        if not project:
            return False
        return not self._lower(service, project, limits)

    def _lower(self, service: str, project: Any, limits: Mapping[str, int]) -> Mapping[str, int]:
        """Return the limits that the project does not have yet; more is an operator's will."""
        present = self._quota(service, project)
        return {name: value for name, value in limits.items() if UNLIMITED < present[name] < value}

    def _quota(self, service: str, project: Any) -> Any:
        proxy = getattr(self._admin, service)
        if service == "network":
            return proxy.get_quota(project.id)
        return proxy.get_quota_set(project.id)

    def _set_quota(self, service: str, limits: Mapping[str, int]) -> None:
        project, proxy = project_of(self._admin), getattr(self._admin, service)
        limits = self._lower(service, project, limits)
        if service == "network":
            proxy.update_quota(project.id, **limits)
        else:
            proxy.update_quota_set(project.id, **limits)

    @property
    def _admin(self) -> Connection:
        return self._clouds.connect(CLOUD)


def import_key(clouds: Clouds, settings: Settings, host: Host) -> Ensure:
    """Return the step that gives the public key to the cloud."""
    path = public_key(settings)

    def find() -> bool:
        if DEMO not in clouds.accounts or not host.exists(path):
            return False
        present = clouds.connect(DEMO).compute.find_keypair(DEMO)
        # What follows the key itself is a comment.
        return present is not None and present.public_key.split()[1] == host.read(path).split()[1]

    def make(_reporter: Reporter) -> None:
        compute = clouds.connect(DEMO).compute
        compute.delete_keypair(DEMO)  # of an earlier home; no keypair can be changed
        compute.create_keypair(name=DEMO, public_key=host.read(path).strip())

    return Ensure("Import the ssh key", f"import {path} as the key {DEMO}", find, make)


def public_key(settings: Settings) -> Path:
    """Return the file of the public half of the demo user's key."""
    return settings.key.with_suffix(".pub")


def project_of(admin: Connection) -> Any:
    """Return the demo user's project, or None."""
    return admin.identity.find_project(DEMO)


def _words(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items())
