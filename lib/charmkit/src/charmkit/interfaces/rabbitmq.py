"""`rabbitmq`: an account and a virtual host on a message broker.

The wire format is that of the published `rabbitmq` library, version 0: the requirer names an
account and a virtual host in its application bag, the provider answers in its own with the
broker's address and a password. Ours adds two keys. A requirer that reads secrets says so in
`requested-secrets`, as in `mysql_client`; then `secret-user` is the URI of a Juju secret with
`username` and `password`, and nothing else is told. The password stands in the bag only for a
requirer that does not ask for a secret, and only if the provider's operators allow that.

Several requirers may name the same virtual host; that is how a hypervisor in another model joins
the host `nova` of the control plane. Each of them has an account of its own, so the provider tells
the account's name along with the password.

Source: rabbitmq-k8s-operator, `rabbitmq_k8s/v0/rabbitmq`; `ssl_port` and `ssl_ca` (base64 of PEM)
as charm-rabbitmq-server writes them.
"""

import base64
import binascii
import dataclasses
import urllib.parse
from collections.abc import Iterable

from charmkit.interfaces import _accounts, _base
from charmkit.spec import (
    Bag,
    BagValue,
    Publication,
    RelationData,
    Snapshot,
    in_url,
)

_SECRETS = ("username", "password")
_PLAIN_PORT = 5672


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer.

    `external_connectivity` is a JSON boolean: whether the requirer is outside the provider's
    cluster. `requested_secrets` is a JSON list of field names.
    """

    username: str | None = None
    vhost: str | None = None
    external_connectivity: str | None = _base.key("external_connectivity")
    requested_secrets: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    `ssl_port` is there if the broker has TLS, `ssl_ca` is then the base64 of PEM. `secret_user` is
    a secret's URI, with the contents `username` and `password`; `password` is the plain form.
    """

    hostname: str | None = None
    ssl_port: str | None = _base.key("ssl_port")
    ssl_ca: str | None = _base.key("ssl_ca")
    password: str | None = None
    secret_user: str | None = None


def _pem(text: str | None) -> str:
    """Give the PEM text of an `ssl_ca`, which older providers write without base64."""
    if not text or text.lstrip().startswith("-----BEGIN"):
        return text or ""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broker:
    """A broker with an account of ours.

    Attributes:
        hosts: Names or addresses; any of them will do.
        port: The same on each.
        username: The account.
        password: Its password.
        vhost: The virtual host that the account may use.
        tls: Whether the port speaks TLS.
        tls_ca: CA certificates (PEM) that sign the broker's certificate; never "" with TLS.
    """

    hosts: tuple[str, ...]
    port: int
    username: str
    password: str = dataclasses.field(repr=False)
    vhost: str
    tls: bool = False
    tls_ca: str = ""

    def url(self) -> str:
        """Give the `transport_url` of oslo.messaging.

        Its query switches TLS on. The file with `tls_ca` is an option of its own
        (`ssl_ca_file`), since the same URL serves processes on several machines.
        """
        account = f"{_quoted(self.username)}:{_quoted(self.password)}"
        hosts = ",".join(f"{account}@{in_url(host)}:{self.port}" for host in self.hosts)
        return f"rabbit://{hosts}/{_quoted(self.vhost)}" + ("?ssl=1" if self.tls else "")


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for an account on a virtual host.

    Attributes:
        username: What the account's name shall begin with.
        vhost: The virtual host; requirers that name the same one share it.
        external: Whether we are on a machine outside the cluster, and need an address that can be
            reached from there.
        endpoint: Our endpoint.
    """

    username: str
    vhost: str
    external: bool = False
    endpoint: str = "amqp"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with the account."""
        uri = self._answer(snapshot).secret_user
        return (uri,) if uri else ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the account, and for its password as a secret."""
        wanted = RequirerBag(
            username=self.username,
            vhost=self.vhost,
            external_connectivity=_base.to_json(self.external),
            requested_secrets=_base.to_json(_SECRETS),
        )
        return _base.ask(snapshot, self.endpoint, wanted)

    def read(self, snapshot: Snapshot) -> Broker | None:
        """Give the broker once address and account are there."""
        answer = self._answer(snapshot)
        account = {"username": self.username, "password": answer.password or ""}
        if answer.secret_user:
            account = snapshot.secrets.get(answer.secret_user, {})
        username, password = account.get("username"), account.get("password")
        hosts = (answer.hostname,) if answer.hostname else self._units(snapshot)
        authority = _pem(answer.ssl_ca)
        port = answer.ssl_port or str(_PLAIN_PORT)
        if not (hosts and username and password and port.isdecimal()):
            return None
        if answer.ssl_port and not authority:
            return None  # who does not know the authority cannot tell the broker from another
        return Broker(
            hosts=hosts,
            port=int(port),
            username=username,
            password=password,
            vhost=self.vhost,
            tls=bool(answer.ssl_port),
            tls_ca=authority,
        )

    def _answer(self, snapshot: Snapshot) -> ProviderBag:
        return _base.answer(ProviderBag, snapshot, self.endpoint)

    def _units(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Give the units' addresses: of a provider with several units and no common name."""
        relation = snapshot.relation(self.endpoint)
        bags = relation.remote_units.values() if relation else ()
        return tuple(sorted(filter(None, (bag.get("ingress-address") for bag in bags))))


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(_accounts.Request):
    """What one client asks for.

    Attributes:
        username: The account's name that is asked for.
        vhost: The virtual host that is asked for.
        external: Whether the client is outside the cluster.
        secrets: Whether the client reads its account from a secret.
    """

    username: str
    vhost: str
    external: bool = False
    secrets: bool = False


Account = _accounts.Account[Request]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider(_accounts.Provider[Request]):
    """Give accounts and virtual hosts."""

    kind = "message broker account"

    endpoint: str = "amqp"

    def respond(
        self,
        snapshot: Snapshot,
        accounts: Iterable[Account],
        *,
        hostname: str,
        port: int,
        tls_ca: str,
        external_hostname: str = "",
        allow_plain: bool = False,
    ) -> Publication:
        """Tell clients about their accounts.

        Args:
            snapshot: What was seen.
            accounts: The accounts that exist on the broker by the time this is published.
            hostname: Where clients in the cluster find the broker.
            port: Its port, which speaks TLS.
            tls_ca: CA certificates (PEM) that sign the broker's certificate.
            external_hostname: Where clients outside the cluster find it; "" while that is not
                known. They are not answered then, but their password is kept for when it is.
            allow_plain: Whether a client that reads no secrets gets its password in the bag.
        """

        def bag(account: Account) -> dict[str, BagValue]:
            request = account.request
            where = external_hostname if request.external else hostname
            if not where:
                return {}
            told = ProviderBag(
                hostname=where,
                ssl_port=str(port),
                ssl_ca=base64.b64encode(tls_ca.encode()).decode(),
                password=account.password if allow_plain and not request.secrets else None,
            )
            uri = self._uri(account) if request.secrets else None
            return _base.dump(told) | {"secret-user": uri}

        return self._tell(snapshot, accounts, bag)

    def _username(self, request: Request, known: str) -> str:
        """Give a name that no other client can have, to a client that reads a secret.

        One that does not logs in by the name that it asked for: nobody tells it another.
        """
        return f"{request.username}-{request.relation_id}" if request.secrets else request.username

    def _request(self, relation: RelationData) -> Request | None:
        bag = _base.parse(RequirerBag, relation.remote_app)
        if not (bag.username and bag.vhost):
            return None
        return Request(
            relation_id=relation.id,
            app=relation.app,
            username=bag.username,
            vhost=bag.vhost,
            external=_base.from_json(bag.external_connectivity) is True,
            secrets="password" in _base.texts(bag.requested_secrets),
        )


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a broker publishes once it has seen our bags; nothing before we named a host."""
    asked = _base.parse(RequirerBag, local_app)
    if not (asked.username and asked.vhost):
        return _base.RemoteSide()
    is_external = _base.from_json(asked.external_connectivity) is True
    authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    uri = "secret:rabbitmquser00000000"
    return _base.RemoteSide(
        app_bag={
            "hostname": "10.20.0.9" if is_external else "rabbitmq.test.svc.cluster.local",
            "ssl_port": "5671",
            "ssl_ca": base64.b64encode(authority.encode()).decode(),
            "secret-user": uri,
        },
        secrets={uri: {"username": f"{asked.username}-1", "password": "s3cret/broker"}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    return _base.RemoteSide(
        app_bag={
            "username": "nova",
            "vhost": "nova",
            "external_connectivity": "false",
            "requested-secrets": _base.to_json(_SECRETS),
        }
    )
