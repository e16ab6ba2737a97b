"""`keystone`: a place in the catalogue and a service account (endpoint `identity-service`).

The wire format is that of the published `identity_service` library, version 1: the requirer sends
its catalogue entries as JSON, the provider answers with addresses, names and ids in its
application bag; user name and password are in a Juju secret that is granted to the requirer.

Source: sunbeam-charms, `keystone_k8s/v1/identity_service`.
"""

import dataclasses
import typing
import urllib.parse
from collections.abc import Iterable, Mapping

from charmkit.interfaces import _base, ingress
from charmkit.spec import (
    Bag,
    BagValue,
    OwnedSecret,
    Publication,
    Publish,
    RelationData,
    SecretRef,
    Snapshot,
    in_url,
)

DEFAULT_REGION = "RegionOne"


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer; `service_endpoints`: JSON list, see `CatalogueEntry`."""

    service_endpoints: str | None = None
    region: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    `service_credentials` is the URI of a secret with `username` and `password`. The three groups
    of host, port and protocol say the same as the three URLs, in parts.
    """

    api_version: str | None = None
    auth_host: str | None = None
    auth_port: str | None = None
    auth_protocol: str | None = None
    internal_host: str | None = None
    internal_port: str | None = None
    internal_protocol: str | None = None
    service_host: str | None = None
    service_port: str | None = None
    service_protocol: str | None = None
    admin_domain_name: str | None = None
    admin_domain_id: str | None = None
    admin_project_name: str | None = None
    admin_project_id: str | None = None
    admin_user_name: str | None = None
    admin_user_id: str | None = None
    service_domain_name: str | None = None
    service_domain_id: str | None = None
    service_project_name: str | None = None
    service_project_id: str | None = None
    service_user_id: str | None = None
    internal_auth_url: str | None = None
    admin_auth_url: str | None = None
    public_auth_url: str | None = None
    service_credentials: str | None = None
    admin_role: str | None = None
    region: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One service in the catalogue, with its three URLs. The field names are the wire's."""

    service_name: str
    type: str
    description: str
    internal_url: str
    public_url: str
    admin_url: str


def _entries(text: str | None) -> tuple[CatalogueEntry, ...]:
    """Give the complete catalogue entries of a JSON list; what is not one is left out."""
    value = _base.from_json(text)
    items = typing.cast("list[object]", value) if isinstance(value, list) else []
    names = [field.name for field in dataclasses.fields(CatalogueEntry)]
    found: list[CatalogueEntry] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        facts = typing.cast("Mapping[str, object]", item)
        texts = {name: str(facts.get(name) or "") for name in names}
        if all(text for name, text in texts.items() if name != "description"):
            found.append(CatalogueEntry(**texts))
    return tuple(found)


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Api:
    """A service that wants a place in the catalogue.

    Attributes:
        name: The service's name, `placement`.
        type: Its type in the catalogue, `placement`, `compute` …
        description: One line for people.
        port: Port of its API.
        path: What follows the port, `/v2.1` for example; may hold `$(project_id)s`.
    """

    name: str
    type: str
    description: str
    port: int
    path: str = ""

    def entry(self, *, internal: str, public: str) -> CatalogueEntry:
        """Give the catalogue entry.

        Args:
            internal: URL before the path for the other services, and for administrators.
            public: Likewise for the world.
        """
        return CatalogueEntry(
            service_name=self.name,
            type=self.type,
            description=self.description,
            internal_url=internal + self.path,
            public_url=public + self.path,
            admin_url=internal + self.path,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Keystone as a client needs it, with our service account.

    Attributes:
        auth_url: Where services authenticate: the internal endpoint, with `/v3`.
        public_auth_url: Where users authenticate.
        admin_auth_url: The admin endpoint.
        region: Keystone's region.
        username: Our service account.
        password: Its password.
        project: Project of the service account.
        project_domain: Domain of that project.
        user_domain: Domain of the service account.
        admin_role: The role that may do everything.
    """

    auth_url: str
    public_auth_url: str
    admin_auth_url: str
    region: str
    username: str
    password: str = dataclasses.field(repr=False)
    project: str
    project_domain: str
    user_domain: str
    admin_role: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for catalogue entries and a service account.

    Attributes:
        apis: What we serve; empty for a service without an API.
        endpoint: Our endpoint.
        certificates: The endpoint by which we get certificates: our URLs say `https` if it is
            integrated.
        region_option: The option that names our region; without a value it is `RegionOne`.
        ingresses: Our ends of `ingress`. A URL that one was told stands in the catalogue in place
            of the address of our service, for the APIs on its port.
    """

    apis: tuple[Api, ...] = ()
    endpoint: str = "identity-service"
    certificates: str = "certificates"
    region_option: str = "region"
    ingresses: tuple[ingress.Requirer, ...] = ()

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with our service account."""
        return filter(None, [self._answer(snapshot).service_credentials])

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for our entries, once we know our own addresses."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        if not (snapshot.addresses.service_name and snapshot.addresses.service_ip):
            return Publication()
        entries = [self._entry(snapshot, api) for api in self.apis]
        wanted = RequirerBag(
            service_endpoints=_base.to_json([dataclasses.asdict(entry) for entry in entries]),
            region=str(snapshot.config.get(self.region_option) or DEFAULT_REGION),
        )
        return Publication(bags=(Publish(relation_id=relation.id, app=_base.dump(wanted)),))

    def read(self, snapshot: Snapshot) -> Identity | None:
        """Give Keystone once its addresses and our account are there."""
        answer = self._answer(snapshot)
        account = snapshot.secrets.get(answer.service_credentials or "", {})
        username, password = account.get("username"), account.get("password")
        domain, project = answer.service_domain_name, answer.service_project_name
        if not (username and password and domain and project and answer.internal_auth_url):
            return None
        return Identity(
            auth_url=answer.internal_auth_url,
            public_auth_url=answer.public_auth_url or answer.internal_auth_url,
            admin_auth_url=answer.admin_auth_url or answer.internal_auth_url,
            region=answer.region or DEFAULT_REGION,
            username=username,
            password=password,
            project=project,
            project_domain=domain,
            user_domain=domain,
            admin_role=answer.admin_role or "admin",
        )

    def _entry(self, snapshot: Snapshot, api: Api) -> CatalogueEntry:
        scheme = "https" if snapshot.relation(self.certificates) else "http"
        where = snapshot.addresses
        own = {ingress.INTERNAL: where.service_name, ingress.PUBLIC: where.service_ip}
        urls = {name: f"{scheme}://{in_url(host)}:{api.port}" for name, host in own.items()}
        told = {
            each.endpoint: each.url(snapshot) for each in self.ingresses if each.port == api.port
        }
        urls |= {name: url for name, url in told.items() if url}
        return api.entry(internal=urls[ingress.INTERNAL], public=urls[ingress.PUBLIC])

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        relation = snapshot.relation(self.endpoint)
        return _base.parse(ProviderBag, relation.remote_app if relation else {})


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for.

    Attributes:
        relation_id: The client's relation.
        app: The client's application.
        region: Region in which its endpoints shall stand.
        entries: Its catalogue entries; may be empty.
    """

    relation_id: int
    app: str
    region: str
    entries: tuple[CatalogueEntry, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """The service account that the provider makes for one request.

    Attributes:
        request: The request.
        username: Name in Keystone.
        password: Its password.
        user_id: Its id in Keystone, "" if not known.
    """

    request: Request
    username: str
    password: str = dataclasses.field(repr=False)
    user_id: str = ""


@dataclasses.dataclass(frozen=True)
class Named:
    """A domain, project or user: its name, and its id in Keystone if that is known."""

    name: str
    id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """What Keystone tells every client about itself.

    Attributes:
        internal_url: Internal endpoint, with `/v3`; public and admin likewise.
        region: Keystone's own region.
        service_domain: Domain of the service accounts and of their project.
        service_project: Project of the service accounts.
        admin_domain: Domain of the cloud's administrator.
        admin_project: Project of the cloud's administrator.
        admin_user: The cloud's administrator.
        admin_role: The role that may do everything.
    """

    internal_url: str
    public_url: str
    admin_url: str
    region: str
    service_domain: Named
    service_project: Named
    admin_domain: Named
    admin_project: Named
    admin_user: Named
    admin_role: str = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give catalogue entries and service accounts.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "identity-service"

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

        The name depends on the client's application only, so an account is found again when a
        relation comes back.

        Args:
            snapshot: What was seen; gives the password that was made before, or a random one.
            request: One of `requests`.
        """
        label = self._label(request.relation_id)
        known = snapshot.own_secrets.get(label, {})
        return Account(
            request=request,
            username=known.get("username") or "svc_" + request.app.replace("-", "_"),
            password=known.get("password") or snapshot.random_text(label),
        )

    def respond(
        self, snapshot: Snapshot, accounts: Iterable[Account], *, cloud: Cloud
    ) -> Publication:
        """Tell clients about Keystone and their accounts.

        Args:
            snapshot: What was seen.
            accounts: Accounts that exist in Keystone, with their catalogue entries, by the time
                this is published.
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
                    description=f"service account of {account.request.app}",
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
            service_protocol=public[0],
            service_host=public[1],
            service_port=public[2],
            admin_domain_name=cloud.admin_domain.name,
            admin_domain_id=cloud.admin_domain.id or None,
            admin_project_name=cloud.admin_project.name,
            admin_project_id=cloud.admin_project.id or None,
            admin_user_name=cloud.admin_user.name,
            admin_user_id=cloud.admin_user.id or None,
            service_domain_name=cloud.service_domain.name,
            service_domain_id=cloud.service_domain.id or None,
            service_project_name=cloud.service_project.name,
            service_project_id=cloud.service_project.id or None,
            service_user_id=account.user_id or None,
            internal_auth_url=cloud.internal_url,
            admin_auth_url=cloud.admin_url,
            public_auth_url=cloud.public_url,
            admin_role=cloud.admin_role,
            region=cloud.region,
        )
        bag: dict[str, BagValue] = _base.dump(told)
        bag["service-credentials"] = SecretRef(self._label(account.request.relation_id))
        return Publish(relation_id=account.request.relation_id, app=bag)

    def _label(self, relation_id: int) -> str:
        return f"{self.endpoint}:{relation_id}"

    def _request(self, relation: RelationData) -> Request | None:
        bag = _base.parse(RequirerBag, relation.remote_app)
        if not (bag.service_endpoints and bag.region):
            return None
        return Request(
            relation_id=relation.id,
            app=relation.app,
            region=bag.region,
            entries=_entries(bag.service_endpoints),
        )


def url_parts(url: str) -> tuple[str, str, str]:
    """Give protocol, host and port of a URL; the port by the protocol if the URL has none."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", str(port)


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what Keystone publishes once it has seen our bags; nothing before we asked."""
    if not _base.parse(RequirerBag, local_app).service_endpoints:
        return _base.RemoteSide()
    host, uri = "keystone.test.svc.cluster.local", "secret:keystoneaccount000000"
    return _base.RemoteSide(
        app_bag={
            "admin-auth-url": f"https://{host}:5000/v3",
            "admin-domain-name": "admin_domain",
            "admin-project-name": "admin",
            "admin-role": "admin",
            "admin-user-name": "admin",
            "api-version": "v3",
            "auth-host": "10.8.0.5",
            "auth-port": "5000",
            "auth-protocol": "https",
            "internal-auth-url": f"https://{host}:5000/v3",
            "internal-host": host,
            "internal-port": "5000",
            "internal-protocol": "https",
            "public-auth-url": "https://10.8.0.5:5000/v3",
            "region": DEFAULT_REGION,
            "service-credentials": uri,
            "service-domain-name": "service_domain",
            "service-host": "10.8.0.5",
            "service-port": "5000",
            "service-project-name": "services",
            "service-protocol": "https",
        },
        secrets={uri: {"username": "svc_placement", "password": "s3cret-keystone"}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    api = Api(name="placement", type="placement", description="Placement", port=8778)
    entry = api.entry(
        internal="https://placement.test.svc.cluster.local:8778", public="https://10.8.0.6:8778"
    )
    return _base.RemoteSide(
        app_bag={
            "region": DEFAULT_REGION,
            "service-endpoints": _base.to_json([dataclasses.asdict(entry)]),
        }
    )
