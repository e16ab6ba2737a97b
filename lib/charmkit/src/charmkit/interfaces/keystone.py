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

from charmkit.interfaces import _accounts, _base, ingress
from charmkit.spec import (
    Bag,
    BagValue,
    Publication,
    RelationData,
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
class AddressBag:
    """What a provider tells about Keystone itself, here and in `keystone-credentials`.

    The groups of host, port and protocol say the same as the URLs, in parts: `auth` is the public
    endpoint.
    """

    api_version: str | None = None
    auth_host: str | None = None
    auth_port: str | None = None
    auth_protocol: str | None = None
    internal_host: str | None = None
    internal_port: str | None = None
    internal_protocol: str | None = None
    admin_role: str | None = None
    region: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag(AddressBag):
    """Application bag of the provider.

    `service_credentials` is the URI of a secret with `username` and `password`; `service` is the
    public endpoint once more.
    """

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
class Credentials:
    """An account in Keystone, and where to use it.

    Attributes:
        auth_url: Where services authenticate: the internal endpoint, with `/v3`.
        public_auth_url: Where users authenticate.
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
class Identity(Credentials):
    """Keystone as a client needs it, with our service account.

    Attributes:
        admin_auth_url: The admin endpoint.
    """

    admin_auth_url: str


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
        known = snapshot.addresses.service_name and snapshot.addresses.service_ip
        if snapshot.relation(self.endpoint) and not known:
            return Publication()
        entries = [self._entry(snapshot, api) for api in self.apis]
        wanted = RequirerBag(
            service_endpoints=_base.to_json([dataclasses.asdict(entry) for entry in entries]),
            region=str(snapshot.config.get(self.region_option) or DEFAULT_REGION),
        )
        return _base.ask(snapshot, self.endpoint, wanted)

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
        return _base.answer(ProviderBag, snapshot, self.endpoint)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(_accounts.Request):
    """What one client asks for.

    Attributes:
        region: Region in which its endpoints shall stand.
        entries: Its catalogue entries; may be empty.
    """

    region: str
    entries: tuple[CatalogueEntry, ...] = ()


Account = _accounts.Account[Request]


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
class Provider(_accounts.Provider[Request]):
    """Give catalogue entries and service accounts."""

    kind = "service account"

    endpoint: str = "identity-service"

    def respond(
        self,
        snapshot: Snapshot,
        accounts: Iterable[Account],
        *,
        cloud: Cloud,
        user_ids: Mapping[str, str],
    ) -> Publication:
        """Tell clients about Keystone and their accounts.

        Args:
            snapshot: What was seen.
            accounts: Accounts that exist in Keystone, with their catalogue entries, by the time
                this is published.
            cloud: What every client is told.
            user_ids: Name of an account → its id in Keystone, if that is known.
        """
        located = address_parts(internal_url=cloud.internal_url, public_url=cloud.public_url)
        everybody = ProviderBag(
            **located,
            **names_and_ids(
                admin_domain=cloud.admin_domain,
                admin_project=cloud.admin_project,
                admin_user=cloud.admin_user,
                service_domain=cloud.service_domain,
                service_project=cloud.service_project,
            ),
            service_protocol=located["auth_protocol"],
            service_host=located["auth_host"],
            service_port=located["auth_port"],
            internal_auth_url=cloud.internal_url,
            admin_auth_url=cloud.admin_url,
            public_auth_url=cloud.public_url,
            admin_role=cloud.admin_role,
            region=cloud.region,
        )

        def bag(account: Account) -> dict[str, BagValue]:
            told = dataclasses.replace(everybody, service_user_id=user_ids.get(account.username))
            return _base.dump(told) | {"service-credentials": self._uri(account)}

        return self._tell(snapshot, accounts, bag)

    def _username(self, request: Request, known: str) -> str:
        """Give a name by the application only: an account is found again with a new relation."""
        return known or "svc_" + request.app.replace("-", "_")

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


def address_parts(*, internal_url: str, public_url: str) -> dict[str, str]:
    """Give the fields of an `AddressBag` that say where Keystone is.

    A port is that of the protocol if a URL has none.
    """
    fields = {"api_version": "v3"}
    for which, url in (("auth", public_url), ("internal", internal_url)):
        parts = urllib.parse.urlsplit(url)
        fields[f"{which}_protocol"] = parts.scheme
        fields[f"{which}_host"] = parts.hostname or ""
        fields[f"{which}_port"] = str(parts.port or (443 if parts.scheme == "https" else 80))
    return fields


def names_and_ids(**things: Named) -> dict[str, str | None]:
    """Give the two fields of a bag, `_name` and `_id`, in which each of `things` is told."""
    names = {f"{field}_name": thing.name for field, thing in things.items()}
    return names | {f"{field}_id": thing.id or None for field, thing in things.items()}


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
