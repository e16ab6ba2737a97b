"""The administrator's way in: credentials from the cloud, and the files that clients read."""

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

from helio.host import HelioError
from helio.waiting import last_line

IDENTITY = "keystone"
AUTHORITY = "self-signed-certificates"
CLOUD = "helio"  # the name in clouds.yaml: `openstack --os-cloud helio`


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


@dataclasses.dataclass(frozen=True)
class Account:
    """The administrator's account.

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
    results = _act(juju, IDENTITY, "get-admin-account")
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
    certificate = _act(juju, AUTHORITY, "get-ca-certificate").get("ca-certificate", "")
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


def clouds_yaml(account: Account, ca: Path) -> str:
    """Return a clouds.yaml with one cloud."""
    cloud = {
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
    return yaml.safe_dump({"clouds": {CLOUD: cloud}}, sort_keys=False)


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


def _act(juju: Actions, application: str, action: str) -> Mapping[str, str]:
    try:
        return juju.run(f"{application}/leader", action).results
    except jubilant.TaskError as error:
        raise HelioError(f"cannot run {action} on {application}: {error.task.message}") from error
    except (jubilant.CLIError, ValueError, TimeoutError) as error:
        reason = last_line(error) if isinstance(error, jubilant.CLIError) else str(error)
        raise HelioError(
            f"cannot run {action} on {application}: {reason}; is the cloud up? See: helio status"
        ) from error
