"""`keystone-credentials`: an account without a place in the catalogue.

The wire format is that of the published `identity_credentials` library, version 0 (endpoint
`identity-credentials`): the requirer names a user, the provider answers with addresses and names
in its application bag; user name and password are in a Juju secret granted to the requirer.

Source: sunbeam-charms, `keystone_k8s/v0/identity_credentials`.
"""

import dataclasses
from collections.abc import Iterable

from charmkit.interfaces import _accounts, _base, keystone
from charmkit.spec import (
    Bag,
    BagValue,
    Publication,
    RelationData,
    Snapshot,
)

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer."""

    username: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag(keystone.AddressBag):
    """Application bag of the provider.

    `credentials` is the URI of a secret with `username` and `password`.
    """

    credentials: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    user_domain_name: str | None = None
    user_domain_id: str | None = None
    project_domain_name: str | None = None
    project_domain_id: str | None = None
    internal_endpoint: str | None = None
    public_endpoint: str | None = None


# --- requirer ----------------------------------------------------------------------------------


Credentials = keystone.Credentials


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for an account named like our application.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "identity-credentials"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with our account."""
        return filter(None, [self._answer(snapshot).credentials])

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the account."""
        return _base.ask(snapshot, self.endpoint, RequirerBag(username=snapshot.app))

    def read(self, snapshot: Snapshot) -> Credentials | None:
        """Give the account once it is complete."""
        answer = self._answer(snapshot)
        account = snapshot.secrets.get(answer.credentials or "", {})
        username, password = account.get("username"), account.get("password")
        project, project_domain = answer.project_name, answer.project_domain_name
        url, user_domain = answer.internal_endpoint, answer.user_domain_name
        if not (username and password and project and project_domain and user_domain and url):
            return None
        return Credentials(
            auth_url=url,
            public_auth_url=answer.public_endpoint or url,
            region=answer.region or keystone.DEFAULT_REGION,
            username=username,
            password=password,
            project=project,
            project_domain=project_domain,
            user_domain=user_domain,
            admin_role=answer.admin_role or "admin",
        )

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        return _base.answer(ProviderBag, snapshot, self.endpoint)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(_accounts.Request):
    """What one client asks for.

    Attributes:
        username: The name that it wishes.
    """

    username: str


Account = _accounts.Account[Request]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """What Keystone tells every client about itself.

    Attributes:
        internal_url: Internal endpoint, with `/v3`.
        public_url: Public endpoint, with `/v3`.
        region: Keystone's own region.
        user_domain: Domain of the accounts.
        project: Project of the accounts.
        project_domain: Domain of that project.
        admin_role: The role that may do everything.
    """

    internal_url: str
    public_url: str
    region: str
    user_domain: keystone.Named
    project: keystone.Named
    project_domain: keystone.Named
    admin_role: str = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider(_accounts.Provider[Request]):
    """Give accounts."""

    kind = "account"

    endpoint: str = "identity-credentials"

    def respond(
        self, snapshot: Snapshot, accounts: Iterable[Account], *, cloud: Cloud
    ) -> Publication:
        """Tell clients about Keystone and their accounts.

        Args:
            snapshot: What was seen.
            accounts: Accounts that exist in Keystone by the time this is published.
            cloud: What every client is told.
        """
        everybody = ProviderBag(
            **keystone.address_parts(internal_url=cloud.internal_url, public_url=cloud.public_url),
            **keystone.names_and_ids(
                project=cloud.project,
                user_domain=cloud.user_domain,
                project_domain=cloud.project_domain,
            ),
            region=cloud.region,
            internal_endpoint=cloud.internal_url,
            public_endpoint=cloud.public_url,
            admin_role=cloud.admin_role,
        )

        def bag(account: Account) -> dict[str, BagValue]:
            return _base.dump(everybody) | {"credentials": self._uri(account)}

        return self._tell(snapshot, accounts, bag)

    def _username(self, request: Request, known: str) -> str:
        """Give the wish of the client, prefixed.

        So no client can name, and take over, an account that is not its own.
        """
        return known or "cred_" + request.username.replace("-", "_")

    def _request(self, relation: RelationData) -> Request | None:
        username = _base.parse(RequirerBag, relation.remote_app).username
        if not username:
            return None
        return Request(relation_id=relation.id, app=relation.app, username=username)


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what Keystone publishes once it has seen our bags; nothing before we asked."""
    username = _base.parse(RequirerBag, local_app).username
    if not username:
        return _base.RemoteSide()
    host, uri = "keystone.test.svc.cluster.local", "secret:keystonecredentials00"
    return _base.RemoteSide(
        app_bag={
            "admin-role": "admin",
            "api-version": "v3",
            "auth-host": "10.8.0.5",
            "auth-port": "5000",
            "auth-protocol": "https",
            "credentials": uri,
            "internal-endpoint": f"https://{host}:5000/v3",
            "internal-host": host,
            "internal-port": "5000",
            "internal-protocol": "https",
            "project-domain-name": "service_domain",
            "project-name": "services",
            "public-endpoint": "https://10.8.0.5:5000/v3",
            "region": keystone.DEFAULT_REGION,
            "user-domain-name": "service_domain",
        },
        secrets={uri: {"username": username, "password": "s3cret-credentials"}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    return _base.RemoteSide(app_bag={"username": "openstack-hypervisor"})
