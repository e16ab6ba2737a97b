"""The way in: the accounts of the administrator and the demo user, and files for clients."""

import dataclasses
import http.client
import json
import shlex
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import jubilant
import tenacity
import yaml

from helio.host import HelioError, Host
from helio.settings import Settings
from helio.waiting import last_line

IDENTITY = "keystone"
AUTHORITY = "self-signed-certificates"
CLOUD = "helio"  # the administrator's name in clouds.yaml: `openstack --os-cloud helio`
DASHBOARD = "horizon"
DEMO = "demo"  # the name of the user that `helio configure` makes


class Actions(Protocol):
    """Runs actions; `jubilant.Juju` is one."""

    def run(
        self,
        unit: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        wait: float | None = None,
    ) -> jubilant.Task:
        """Run an action and return its finished task."""
        ...

    def show_secret(self, identifier: str, *, reveal: Literal[True]) -> jubilant.RevealedSecret:
        """Return a secret with its content."""
        ...


class Model(Actions, Protocol):
    """Knows its applications too."""

    def status(self) -> jubilant.Status:
        """Return the status of the model."""
        ...


@dataclasses.dataclass(frozen=True)
class Account:
    """The administrator's account, or another one.

    Args:
        auth_url: Keystone's public address, with `/v3`.
        username: User name.
        password: Password.
        project: Project name.
        user_domain: Domain of the user.
        project_domain: Domain of the project.
        region: Region of the catalogue.
    """

    auth_url: str
    username: str
    password: str = dataclasses.field(repr=False)
    project: str
    user_domain: str
    project_domain: str
    region: str


def read_account(juju: Actions) -> Account:
    """Ask Keystone's charm for the administrator's account.

    The action names the secret with the password: what an action returns is kept in the model.

    Raises:
        HelioError: the action failed or its result is not complete.
    """
    results = act(juju, IDENTITY, "get-admin-account")
    try:
        secret = juju.show_secret(results["secret"], reveal=True)
        return Account(
            auth_url=results["auth-url"],
            username=results["username"],
            password=secret.content["password"],
            project=results["project"],
            user_domain=results["user-domain"],
            project_domain=results["project-domain"],
            region=results["region"],
        )
    except KeyError as error:
        raise HelioError(
            f"cannot read the administrator's account: {IDENTITY} did not return {error}"
        ) from error


def read_ca(juju: Actions) -> str:
    """Ask the certificates' charm for the authority's certificate, PEM.

    Raises:
        HelioError: the action failed or returned nothing.
    """
    certificate = act(juju, AUTHORITY, "get-ca-certificate").get("ca-certificate", "")
    if not certificate:
        raise HelioError(f"cannot read the CA: {AUTHORITY} returned no certificate")
    return certificate.strip() + "\n"


def openrc(account: Account, ca: Path) -> str:
    """Return a shell file that sets the client's variables."""
    values = {
        "OS_AUTH_URL": account.auth_url,
        "OS_USERNAME": account.username,
        "OS_PASSWORD": account.password,
        "OS_PROJECT_NAME": account.project,
        "OS_USER_DOMAIN_NAME": account.user_domain,
        "OS_PROJECT_DOMAIN_NAME": account.project_domain,
        "OS_REGION_NAME": account.region,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_CACERT": str(ca),
    }
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in values.items())


def clouds_yaml(accounts: Mapping[str, Account], ca: Path) -> str:
    """Return a clouds.yaml: name of the cloud in it → account."""
    clouds = {name: _cloud(account, ca) for name, account in accounts.items()}
    return yaml.safe_dump({"clouds": clouds}, sort_keys=False)


def read_accounts(text: str) -> dict[str, Account]:
    """Return the accounts of a clouds.yaml that was written here."""
    clouds = cast(dict[str, dict[str, Any]], yaml.safe_load(text)["clouds"])
    return {
        name: Account(
            auth_url=cloud["auth"]["auth_url"],
            username=cloud["auth"]["username"],
            password=cloud["auth"]["password"],
            project=cloud["auth"]["project_name"],
            user_domain=cloud["auth"]["user_domain_name"],
            project_domain=cloud["auth"]["project_domain_name"],
            region=cloud["region_name"],
        )
        for name, cloud in clouds.items()
    }


def kept_accounts(host: Host, settings: Settings) -> dict[str, Account]:
    """Return the accounts that this machine keeps: those in the clouds.yaml of the home."""
    if not host.exists(settings.clouds):
        return {}
    return read_accounts(host.read(settings.clouds))


def accounts(juju: Actions, host: Host, settings: Settings) -> dict[str, Account]:
    """Return the administrator's account as the cloud has it now, and those that are kept.

    All of them are at the address that the cloud has now. The authority's certificate is written
    as well if it is another one, so that they can be used.

    Raises:
        HelioError: the cloud does not answer.
    """
    ca = read_ca(juju)
    if not host.exists(settings.ca) or host.read(settings.ca) != ca:
        host.write(settings.ca, ca)
    admin = {CLOUD: read_account(juju)}  # its password may have been rotated
    return _current({**admin, **kept_accounts(host, settings), **admin})


def choose(accounts: Mapping[str, Account], user: str) -> Account:
    """Return the account of a user: `admin` or `demo`.

    Raises:
        HelioError: the cloud was not configured.
    """
    name = name_of(user)
    if name not in accounts:
        raise HelioError(f"cannot find the {user} user: there is none yet; run: helio configure")
    return accounts[name]


def name_of(user: str) -> str:
    """Return the name of a user's cloud in clouds.yaml."""
    return CLOUD if user == "admin" else user


def keep_accounts(host: Host, settings: Settings, accounts: Mapping[str, Account]) -> None:
    """Write the clouds.yaml and the openrc of the home.

    All accounts get the address and the region of the administrator's: they may have changed.
    """
    host.write(settings.clouds, clouds_yaml(_current(accounts), settings.ca), 0o600)
    host.write(settings.openrc, openrc(accounts[CLOUD], settings.ca), 0o600)


def _current(accounts: Mapping[str, Account]) -> dict[str, Account]:
    """Return accounts with the address and the region of the administrator's."""
    admin = accounts[CLOUD]
    return {
        name: dataclasses.replace(account, auth_url=admin.auth_url, region=admin.region)
        for name, account in accounts.items()
    }


def _cloud(account: Account, ca: Path) -> dict[str, Any]:
    return {
        "auth": {
            "auth_url": account.auth_url,
            "username": account.username,
            "password": account.password,
            "project_name": account.project,
            "user_domain_name": account.user_domain,
            "project_domain_name": account.project_domain,
        },
        "region_name": account.region,
        "identity_api_version": 3,
        "cacert": str(ca),
    }


@tenacity.retry(
    # The service address forwards to a unit a moment after its health check turned good.
    retry=tenacity.retry_if_exception_type(OSError),
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_fixed(1),
    reraise=True,
)
def issue_token(account: Account, ca: str) -> tuple[str, ...]:
    """Get a token over verified TLS, as a client does.

    Args:
        account: Whose token.
        ca: The authority's certificate, PEM; nothing else is trusted.

    Returns:
        The types of the services in the catalogue, sorted. The token itself is thrown away.

    Raises:
        HelioError: Keystone refuses.
        OSError: it cannot be reached, or its certificate is not the authority's.
    """
    url = urllib.parse.urlsplit(account.auth_url)
    connection = http.client.HTTPSConnection(
        url.hostname or "", url.port, timeout=10, context=ssl.create_default_context(cadata=ca)
    )
    path = url.path.rstrip("/") + "/auth/tokens"
    try:
        connection.request(
            "POST", path, json.dumps(_login(account)), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:  # half an answer: a server that restarts
        raise ConnectionError(f"{account.auth_url} answered with {error!r}") from error
    finally:
        connection.close()
    if response.status in (502, 503, 504):
        raise ConnectionError(f"{account.auth_url} answered {response.status}")
    if response.status != 201:
        raise HelioError(f"cannot get a token: {account.auth_url} answered {response.status}")
    catalogue = cast(list[dict[str, Any]], json.loads(body)["token"]["catalog"])
    return tuple(sorted(str(service["type"]) for service in catalogue))


def _login(account: Account) -> dict[str, Any]:
    user = {
        "name": account.username,
        "password": account.password,
        "domain": {"name": account.user_domain},
    }
    scope = {"project": {"name": account.project, "domain": {"name": account.project_domain}}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": scope}}


def dashboard_url(juju: Model) -> str | None:
    """Ask for the dashboard's address; None if the cloud has none.

    Raises:
        HelioError: the dashboard cannot tell.
    """
    if DASHBOARD not in juju.status().apps:
        return None
    return act(juju, DASHBOARD, "get-dashboard-url").get("url", "")


def act(
    juju: Actions,
    application: str,
    action: str,
    params: Mapping[str, Any] | None = None,
    wait: float | None = None,
) -> Mapping[str, str]:
    """Run an action on the leader of an application and return its results.

    Raises:
        HelioError: it failed, or cannot be run.
    """
    try:
        return juju.run(f"{application}/leader", action, params, wait=wait).results
    except jubilant.TaskError as error:
        raise HelioError(f"cannot run {action} on {application}: {error.task.message}") from error
    except (jubilant.CLIError, ValueError, TimeoutError) as error:
        reason = last_line(error) if isinstance(error, jubilant.CLIError) else str(error)
        raise HelioError(
            f"cannot run {action} on {application}: {reason}; is the cloud up? See: helio status"
        ) from error
