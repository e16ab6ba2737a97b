"""`keystone-credentials`: an account without a place in the catalogue.

The wire format is that of the published `identity_credentials` library, version 0 (endpoint
`identity-credentials`): the requirer names a user, the provider answers with addresses and names
in its application bag; user name and password are in a Juju secret granted to the requirer.

Source: sunbeam-charms, `keystone_k8s/v0/identity_credentials`.
"""

import dataclasses
from collections.abc import Iterable

from charmkit.interfaces import _base
from charmkit.interfaces.keystone import DEFAULT_REGION, Named, url_parts
from charmkit.spec import (
    Bag,
    BagValue,
    OwnedSecret,
    Publication,
    Publish,
    RelationData,
    SecretRef,
    Snapshot,
)

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer."""

    username: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    `credentials` is the URI of a secret with `username` and `password`.
    """

    api_version: str | None = None
    auth_host: str | None = None
    auth_port: str | None = None
    auth_protocol: str | None = None
    internal_host: str | None = None
    internal_port: str | None = None
    internal_protocol: str | None = None
    credentials: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    user_domain_name: str | None = None
    user_domain_id: str | None = None
    project_domain_name: str | None = None
    project_domain_id: str | None = None
    region: str | None = None
    internal_endpoint: str | None = None
    public_endpoint: str | None = None
    admin_role: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Credentials:
    """An account in Keystone, and where to use it.

    Attributes:
        auth_url: The internal endpoint, with `/v3`.
        public_auth_url: The public endpoint.
        region: Keystone's region.
        username: The account.
        password: Its password.
        project: Project of the account.
        project_domain: Domain of that project.
        user_domain: Domain of the account.
        admin_role: The role that may do everything.
    """

    auth_url: str
    public_auth_url: str
    region: str
    username: str
    password: str = dataclasses.field(repr=False)
    project: str
    project_domain: str
    user_domain: str
    admin_role: str


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
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        bag = _base.dump(RequirerBag(username=snapshot.app))
        return Publication(bags=(Publish(relation_id=relation.id, app=bag),))

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
            region=answer.region or DEFAULT_REGION,
            username=username,
            password=password,
            project=project,
            project_domain=project_domain,
            user_domain=user_domain,
            admin_role=answer.admin_role or "admin",
        )

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        relation = snapshot.relation(self.endpoint)
        return _base.parse(ProviderBag, relation.remote_app if relation else {})


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for.

    Attributes:
        relation_id: The client's relation; one account each.
        app: The client's application.
        username: The name that it wishes.
    """

    relation_id: int
    app: str
    username: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """The account that the provider makes for one request."""

    request: Request
    username: str
    password: str = dataclasses.field(repr=False)


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
    user_domain: Named
    project: Named
    project_domain: Named
    admin_role: str = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give accounts.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "identity-credentials"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret of each client's account."""
        return [self._label(relation.id) for relation in snapshot.related(self.endpoint)]

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give the complete requests, sorted by relation."""
        found = (self._request(relation) for relation in snapshot.related(self.endpoint))
        return tuple(request for request in found if request is not None)

    def account(self, snapshot: Snapshot, request: Request) -> Account:
        """Give the account of a request: the one we own already, or a new one.

        The wish of the client is prefixed, so that no client can name, and so take over, an
        account that is not its own.

        Args:
            snapshot: What was seen; gives the password that was made before, or a random one.
            request: One of `requests`.
        """
        label = self._label(request.relation_id)
        known = snapshot.own_secrets.get(label, {})
        return Account(
            request=request,
            username=known.get("username") or "cred_" + request.username.replace("-", "_"),
            password=known.get("password") or snapshot.random_text(label),
        )

    def respond(
        self, snapshot: Snapshot, accounts: Iterable[Account], *, cloud: Cloud
    ) -> Publication:
        """Tell clients about Keystone and their accounts.

        Args:
            snapshot: What was seen.
            accounts: Accounts that exist in Keystone by the time this is published.
            cloud: What every client is told.
        """
        living = {relation.id for relation in snapshot.related(self.endpoint)}
        known = [account for account in accounts if account.request.relation_id in living]
        return Publication(
            bags=tuple(self._answer(account, cloud) for account in known),
            secrets=tuple(
                OwnedSecret(
                    label=self._label(account.request.relation_id),
                    content={"username": account.username, "password": account.password},
                    grants=(account.request.relation_id,),
                    description=f"account of {account.request.app}",
                )
                for account in known
            ),
        )

    def _answer(self, account: Account, cloud: Cloud) -> Publish:
        public, internal = url_parts(cloud.public_url), url_parts(cloud.internal_url)
        told = ProviderBag(
            api_version="v3",
            auth_protocol=public[0],
            auth_host=public[1],
            auth_port=public[2],
            internal_protocol=internal[0],
            internal_host=internal[1],
            internal_port=internal[2],
            project_name=cloud.project.name,
            project_id=cloud.project.id or None,
            user_domain_name=cloud.user_domain.name,
            user_domain_id=cloud.user_domain.id or None,
            project_domain_name=cloud.project_domain.name,
            project_domain_id=cloud.project_domain.id or None,
            region=cloud.region,
            internal_endpoint=cloud.internal_url,
            public_endpoint=cloud.public_url,
            admin_role=cloud.admin_role,
        )
        bag: dict[str, BagValue] = _base.dump(told)
        bag["credentials"] = SecretRef(self._label(account.request.relation_id))
        return Publish(relation_id=account.request.relation_id, app=bag)

    def _label(self, relation_id: int) -> str:
        return f"{self.endpoint}:{relation_id}"

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
            "region": DEFAULT_REGION,
            "user-domain-name": "service_domain",
        },
        secrets={uri: {"username": username, "password": "s3cret-credentials"}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    return _base.RemoteSide(app_bag={"username": "openstack-hypervisor"})
