"""`mysql_client`: a schema and an account on a MySQL-compatible server.

The wire format is that of the published `data_interfaces` library, version 0: the requirer names
a schema, the provider answers with addresses in its application bag and with credentials in a
Juju secret that is granted to the requirer.

Source: interface `mysql_client` v0 of charm-relation-interfaces; data_interfaces, secret groups
`user` and `tls`.
"""

import dataclasses
import urllib.parse
from collections.abc import Iterable

from charmkit.interfaces import _accounts, _base
from charmkit.spec import (
    Bag,
    BagValue,
    OwnedSecret,
    Publication,
    RelationData,
    SecretContent,
    SecretRef,
    Snapshot,
)

_SECRETS = ("username", "password", "tls", "tls-ca", "uris")
_TRUE = frozenset({"true", "enabled", "yes", "1"})


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer.

    `external_node_connectivity` is `true` if the requirer is outside the provider's cluster;
    `requested_secrets` is a JSON list of field names.
    """

    database: str | None = None
    external_node_connectivity: str | None = None
    extra_user_roles: str | None = None
    requested_secrets: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    `secret_user` and `secret_tls` are secret URIs with the contents `username`, `password` and
    `tls`, `tls-ca`. A requirer that did not ask for `tls` as a secret finds it in the bag itself.
    """

    database: str | None = None
    endpoints: str | None = None
    read_only_endpoints: str | None = None
    version: str | None = None
    secret_user: str | None = None
    secret_tls: str | None = None
    tls: str | None = None
    tls_ca: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Database:
    """A schema that is there, with the account that owns it.

    Attributes:
        address: `host:port` of the server that takes reads and writes.
        name: The schema, as the provider named it.
        username: The account.
        password: Its password.
        tls: Whether the server offers TLS.
        tls_ca: CA certificates (PEM) which sign the server's certificate, "" if not told.
        version: What the server calls itself, "" if not told.
    """

    address: str
    name: str
    username: str
    password: str = dataclasses.field(repr=False)
    tls: bool = False
    tls_ca: str = ""
    version: str = ""

    def url(self, ca_file: str = "", charset: str = "utf8mb3") -> str:
        """Give the SQLAlchemy URL for PyMySQL.

        Args:
            ca_file: Where the process finds `tls_ca`; used, and the server's name verified, only
                if the server offers TLS. "" connects without TLS.
            charset: Character set of the connection. OpenStack's schemas are made for utf8mb3.
        """
        account = (
            f"{urllib.parse.quote_plus(self.username)}:{urllib.parse.quote_plus(self.password)}"
        )
        query = {"charset": charset} | ({"ssl_ca": ca_file} if self.tls and ca_file else {})
        parameters = urllib.parse.urlencode(query, safe="/")
        return f"mysql+pymysql://{account}@{self.address}/{self.name}?{parameters}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for one schema.

    Attributes:
        database: Name of the schema wanted.
        external: Whether we are on a machine outside the cluster, and need an address that can be
            reached from there.
        endpoint: Our endpoint.
    """

    database: str
    external: bool = False
    endpoint: str = "database"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets in the provider's answer."""
        answer = self._answer(snapshot)
        return [uri for uri in (answer.secret_user, answer.secret_tls) if uri]

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the schema, and for everything sensitive as secrets."""
        wanted = RequirerBag(
            database=self.database,
            external_node_connectivity="true" if self.external else None,
            requested_secrets=_base.to_json(_SECRETS),
        )
        return _base.ask(snapshot, self.endpoint, wanted)

    def read(self, snapshot: Snapshot) -> Database | None:
        """Give the schema once address and credentials are there."""
        answer = self._answer(snapshot)
        user = snapshot.secrets.get(answer.secret_user or "", {})
        username, password = user.get("username"), user.get("password")
        address = (answer.endpoints or "").split(",")[0].strip()
        if not (address and username and password):
            return None
        told: SecretContent = {"tls": answer.tls or "", "tls-ca": answer.tls_ca or ""}
        if answer.secret_tls:
            if answer.secret_tls not in snapshot.secrets:
                return None
            told = snapshot.secrets[answer.secret_tls]
        return Database(
            address=address,
            name=answer.database or self.database,
            username=username,
            password=password,
            tls=told.get("tls", "").lower() in _TRUE,
            tls_ca=told.get("tls-ca", ""),
            version=answer.version or "",
        )

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        return _base.answer(ProviderBag, snapshot, self.endpoint)


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(_accounts.Request):
    """What one client asks for.

    Attributes:
        database: Name of the schema wanted.
        roles: Extra roles wanted for the account, sorted.
        secrets: Fields that the client wants as secrets.
        external: Whether the client is outside the cluster.
    """

    database: str
    roles: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()
    external: bool = False


Account = _accounts.Account[Request]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider(_accounts.Provider[Request]):
    """Give schemas and accounts."""

    kind = "database account"

    endpoint: str = "database"

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets of each client: its account, and what it is told about TLS."""
        labels = list(super().secret_labels(snapshot))
        return [*labels, *map(_tls_label, labels)]

    def respond(
        self,
        snapshot: Snapshot,
        accounts: Iterable[Account],
        *,
        address: str,
        external_address: str = "",
        version: str = "",
        tls_ca: str = "",
    ) -> Publication:
        """Tell clients about their accounts.

        Args:
            snapshot: What was seen.
            accounts: The accounts that exist on the server by the time this is published.
            address: `host:port` for reads and writes.
            external_address: The same for clients outside the cluster; "" while it is not known.
                They are not answered then, but their password is kept for when it is.
            version: What the server calls itself.
            tls_ca: CA certificates (PEM) that sign the server's certificate; "" = no TLS.
        """
        facts = {"tls": "True", "tls-ca": tls_ca} if tls_ca else {"tls": "False"}

        def where(account: Account) -> str:
            return external_address if account.request.external else address

        def bag(account: Account) -> dict[str, BagValue]:
            if not where(account):
                return {}
            request, uri = account.request, self._uri(account)
            told = ProviderBag(
                database=request.database, endpoints=where(account), version=version or None
            )
            as_secret = {"secret-tls": SecretRef(_tls_label(uri.label))}
            tls = as_secret if "tls" in request.secrets else facts
            return _base.dump(told) | {"secret-user": uri} | tls

        def secrets(account: Account) -> Iterable[OwnedSecret]:
            request = account.request
            login = f"{account.username}:{urllib.parse.quote(account.password, safe='')}"
            url = f"mysql://{login}@{where(account)}/{request.database}"
            own = self._secret(account, {"uris": url} if "uris" in request.secrets else None)
            yield own
            if "tls" in request.secrets:
                yield dataclasses.replace(
                    own,
                    label=_tls_label(own.label),
                    content=facts,
                    description=f"TLS facts of the database for {request.app}",
                )

        return self._tell(snapshot, accounts, bag, secrets)

    def _username(self, request: Request, known: str) -> str:
        return known or f"relation-{request.relation_id}"

    def _request(self, relation: RelationData) -> Request | None:
        bag = _base.parse(RequirerBag, relation.remote_app)
        if not bag.database:
            return None
        roles = {role.strip() for role in (bag.extra_user_roles or "").split(",")}
        return Request(
            relation_id=relation.id,
            app=relation.app,
            database=bag.database,
            roles=tuple(sorted(roles - {""})),
            secrets=_base.texts(bag.requested_secrets),
            external=(bag.external_node_connectivity or "").lower() in _TRUE,
        )


def _tls_label(label: str) -> str:
    """Give the label of the secret with the TLS facts, beside that of an account."""
    return f"{label}:tls"


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a server publishes once it has seen our bags; nothing before we named a schema."""
    asked = _base.parse(RequirerBag, local_app)
    if not asked.database:
        return _base.RemoteSide()
    user, tls = "secret:databaseuser00000000", "secret:databasetls000000000"
    return _base.RemoteSide(
        app_bag={
            "database": asked.database,
            "endpoints": "mariadb.test.svc.cluster.local:3306",
            "secret-tls": tls,
            "secret-user": user,
            "version": "10.11.13-MariaDB",
        },
        secrets={
            user: {"username": "relation-1", "password": "s3cret/database"},
            tls: {"tls": "False"},
        },
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    return _base.RemoteSide(
        app_bag={"database": "placement", "requested-secrets": _base.to_json(_SECRETS)}
    )
