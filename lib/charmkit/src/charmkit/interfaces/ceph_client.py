"""`ceph-client`: pools in a Ceph cluster, and a client's key for them.

The wire format is that of the published charms of Ceph: every unit of the requirer sends a broker
request (`broker_req`, JSON, API version 1) in its unit bag; a unit of the provider answers in its
own unit bag under `broker-rsp-<unit>`, beside the monitor's address and the client's key.

Added by us: the requirer says `requested-secrets` in its application bag, and the provider then
gives the key as a Juju secret, `secret-key` in its application bag, and not as plain `key`.

Source: charms.ceph, `broker`; charm-microceph, `relation_handlers` and `ceph_broker`;
interface_ceph_client, `ceph_client`.
"""

import base64
import dataclasses
import hashlib
import re
import struct
import typing
from collections.abc import Callable, Iterable, Mapping

from charmkit.interfaces import _base
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

_SECRETS = ("key",)
_RESPONSE = "broker-rsp-"
_REFUSED = 22  # EINVAL, as Ceph's own programs exit
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_CLUSTERS_OWN = re.compile(r"admin|crash|bootstrap-.*")
_PORT = re.compile(r":\d+(/\d+)?$")


# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerAppBag:
    """Application bag of the requirer. `requested_secrets` is a JSON list of field names."""

    requested_secrets: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Unit bag of the requirer.

    `broker_req` is a JSON object with `api-version`, `request-id` and `ops`. Over an offer Juju
    hides the real names, so `application_name` and `unit_name` tell them.
    """

    application_name: str | None = None
    unit_name: str | None = None
    broker_req: str | None = _base.key("broker_req")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderAppBag:
    """Application bag of the provider.

    `ceph_mon_public_addresses` is a JSON list; `secret_key` is the URI of a secret with `key`.
    """

    ceph_mon_public_addresses: str | None = None
    secret_key: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Unit bag of the provider; beside these it has `broker-rsp-<unit>` for every client's unit.

    `ceph_public_address` is this unit's monitor, or several with spaces between them. Clients
    that are told no `client_name` are called like their application.
    """

    auth: str | None = None
    key: str | None = None
    ceph_public_address: str | None = None
    fsid: str | None = None
    client_name: str | None = None


def _response_key(unit: str) -> str:
    return _RESPONSE + unit.replace("/", "-")


def _objects(value: object) -> list[Mapping[str, typing.Any]]:
    items = typing.cast("list[object]", value) if isinstance(value, list) else []
    return [typing.cast("Mapping[str, typing.Any]", x) for x in items if isinstance(x, dict)]


def _object(text: str | None) -> Mapping[str, typing.Any]:
    value = _base.from_json(text)
    return typing.cast("Mapping[str, typing.Any]", value) if isinstance(value, dict) else {}


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool that a client wants.

    Attributes:
        name: Its name.
        group: A name under which other clients may be given access to it, `images`; "" = none.
        application: What it is for, `rbd`.
        replicas: Copies of every object; 0 leaves it to the cluster.
    """

    name: str
    group: str = ""
    application: str = "rbd"
    replicas: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ceph:
    """A cluster as a client needs it, with its pools.

    Attributes:
        monitors: Addresses of the monitors, sorted, without ports.
        user: The client's name without `client.`.
        key: Its key.
        pools: Names of our pools, in the order in which we asked for them.
        fsid: Id of the cluster, "" if it was not told.
    """

    monitors: tuple[str, ...]
    user: str
    key: str = dataclasses.field(repr=False)
    pools: tuple[str, ...]
    fsid: str = ""

    @property
    def mon_host(self) -> str:
        """Give the value of `mon_host` in a ceph.conf."""
        return ",".join(map(in_url, self.monitors))

    def config(self, keyring: str) -> str:
        """Give the text of a ceph.conf for this client.

        Args:
            keyring: Where the process finds the text of `keyring()`.
        """
        lines = ["[global]", f"mon_host = {self.mon_host}", "auth_client_required = cephx"]
        lines += [f"fsid = {self.fsid}"] if self.fsid else []
        # A service's log tells what it does; a socket and a log file of each client are noise.
        lines += ["", "[client]", f"keyring = {keyring}", "admin_socket =", "log_file ="]
        return "\n".join(lines) + "\n"

    def keyring(self) -> str:
        """Give the text of the client's keyring."""
        return f"[client.{self.user}]\nkey = {self.key}\n"


def own_pool(snapshot: Snapshot) -> tuple[Pool, ...]:
    """Want one pool, called like our application."""
    return (Pool(name=snapshot.app),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for pools.

    Attributes:
        pools: What pools the application wants, by the snapshot's options.
        groups: Other clients' groups of pools → what we want to do with them: `rwx` or `r`.
        endpoint: Our endpoint.
    """

    pools: Callable[[Snapshot], tuple[Pool, ...]] = own_pool
    groups: tuple[tuple[str, str], ...] = ()
    endpoint: str = "ceph"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with the key."""
        relation = snapshot.relation(self.endpoint)
        return filter(None, [self._app_answer(relation).secret_key] if relation else [])

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: a requirer owns no secret."""
        return ()

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the pools; every unit does, and each is answered."""
        relation = snapshot.relation(self.endpoint)
        if relation is None:
            return None
        app = RequirerAppBag(requested_secrets=_base.to_json(_SECRETS))
        unit = RequirerBag(
            application_name=snapshot.app,
            unit_name=snapshot.unit,
            broker_req=_base.to_json(self._broker_request(snapshot)),
        )
        bag = Publish(relation_id=relation.id, app=_base.dump(app), unit=_base.dump(unit))
        return Publication(bags=(bag,))

    def read(self, snapshot: Snapshot) -> Ceph | None:
        """Give the cluster once it has done what this unit asked for."""
        relation = snapshot.relation(self.endpoint)
        if relation is None or not self._is_done(snapshot, relation):
            return None
        app = self._app_answer(relation)
        units = [_base.parse(ProviderBag, bag) for bag in relation.remote_units.values()]
        secret = snapshot.secrets.get(app.secret_key or "", {})
        key = secret.get("key") or _first(unit.key for unit in units)
        monitors = _addresses(app.ceph_mon_public_addresses, units)
        if not (key and monitors):
            return None
        return Ceph(
            monitors=monitors,
            user=_first(unit.client_name for unit in units) or snapshot.app,
            key=key,
            pools=tuple(pool.name for pool in self.pools(snapshot)),
            fsid=_first(unit.fsid for unit in units) or "",
        )

    def problem(self, snapshot: Snapshot) -> str | None:
        """Tell why the provider refused what this unit asked for, or None."""
        relation = snapshot.relation(self.endpoint)
        answers = self._responses(snapshot, relation) if relation else []
        failed = [each for each in answers if each.get("exit-code")]
        if not failed or (relation and self._is_done(snapshot, relation)):
            return None
        return str(failed[0].get("stderr") or f"exit code {failed[0]['exit-code']}")

    def _broker_request(self, snapshot: Snapshot) -> dict[str, object]:
        ops: list[Mapping[str, object]] = [
            {
                "op": "create-pool",
                "name": pool.name,
                "app-name": pool.application,
                **({"group": pool.group} if pool.group else {}),
                **({"replicas": pool.replicas} if pool.replicas else {}),
            }
            for pool in self.pools(snapshot)
        ]
        ops += [
            {
                "op": "add-permissions-to-key",
                "group": group,
                "name": snapshot.app,
                "group-permission": permission,
            }
            for group, permission in self.groups
        ]
        # The same wishes have the same id, so asking again is no new request.
        made = hashlib.sha256(_base.to_json([snapshot.app, ops]).encode()).hexdigest()[:32]
        return {"api-version": 1, "ops": ops, "request-id": made}

    def _responses(
        self, snapshot: Snapshot, relation: RelationData
    ) -> list[Mapping[str, typing.Any]]:
        key, wanted = _response_key(snapshot.unit), self._broker_request(snapshot)["request-id"]
        found = [_object(bag.get(key)) for bag in relation.remote_units.values()]
        return [each for each in found if each.get("request-id") == wanted]

    def _is_done(self, snapshot: Snapshot, relation: RelationData) -> bool:
        return any(each.get("exit-code") == 0 for each in self._responses(snapshot, relation))

    def _app_answer(self, relation: RelationData) -> ProviderAppBag:
        return _base.parse(ProviderAppBag, relation.remote_app)


def _first(values: Iterable[str | None]) -> str | None:
    return next(filter(None, values), None)


def _addresses(listed: str | None, units: Iterable[ProviderBag]) -> tuple[str, ...]:
    """Give the monitors' addresses from the list, and from the units if there is no list."""
    value = _base.from_json(listed)
    texts = [str(each) for each in typing.cast("list[object]", value)] if value else []
    for unit in units if not texts else ():
        texts += (unit.ceph_public_address or "").split()
    return tuple(sorted({_host(text) for text in texts} - {""}))


def _host(text: str) -> str:
    """Give the address in `v2:[fd00::1]:3300/0`, `10.0.0.1:6789`, `fd00::1` and the like."""
    text = re.sub(r"^v[12]:", "", text.strip())
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return _PORT.sub("", text) if text.count(":") == 1 else text


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for.

    Attributes:
        relation_id: The client's relation; one client in Ceph each.
        app: The client's application, as it calls itself.
        pools: The pools wanted, sorted by name, each once.
        groups: Groups of pools → what the client wants to do with them.
        units: The client's unit → id of its request.
        as_secret: Whether the client reads the key from a secret.
        refusal: Why the request cannot be met, or "".
    """

    relation_id: int
    app: str
    pools: tuple[Pool, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    units: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    as_secret: bool = False
    refusal: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Client:
    """The client in Ceph that the provider makes for one request."""

    request: Request
    name: str
    key: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """What every client is told.

    Attributes:
        fsid: Id of the cluster.
        address: The monitor of this unit, or "" while it has none.
        monitors: Addresses of all monitors.
    """

    fsid: str
    address: str
    monitors: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Give pools and clients.

    Attributes:
        endpoint: Our endpoint.
        plain_option: The option that allows to give the key in plain to a client that cannot
            read it from a secret.
    """

    endpoint: str = "ceph"
    plain_option: str = "allow-plain-credentials"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret of each client's key."""
        return [self._label(relation.id) for relation in snapshot.related(self.endpoint)]

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give what the clients ask for, sorted by relation; also what is to be refused."""
        found: list[Request] = []
        taken: set[str] = set()
        for relation in snapshot.related(self.endpoint):
            request = self._request(snapshot, relation)
            if request is None:
                continue
            if not request.refusal and request.app in taken:
                refusal = f"another application {request.app} has that name already"
                request = dataclasses.replace(request, refusal=refusal)
            if not request.refusal:
                taken.add(request.app)
            found.append(request)
        return tuple(found)

    def client(self, snapshot: Snapshot, request: Request) -> Client:
        """Give the client of a request: with the key that we own already, or with a new one.

        The name depends on the application only, as published clients expect, so a client finds
        its pools again when a relation comes back.
        """
        label = self._label(request.relation_id)
        known = snapshot.own_secrets.get(label, {})
        key = known.get("key") or make_key(snapshot.random_text(label, 43))
        return Client(request=request, name=request.app, key=key)

    def respond(
        self, snapshot: Snapshot, clients: Iterable[Client], *, cluster: Cluster
    ) -> Publication:
        """Tell clients about their keys, and why a request is refused.

        Args:
            snapshot: What was seen.
            clients: Those that exist in Ceph, with their pools, by the time this is published.
            cluster: What every client is told.
        """
        known = {client.request.relation_id: client for client in clients}
        bags: list[Publish] = []
        secrets: list[OwnedSecret] = []
        for request in self.requests(snapshot):
            if request.refusal:
                bags.append(self._refuse(request))
            elif client := known.get(request.relation_id):
                bags.append(self._answer(client, cluster))
                secrets.append(self._secret(client))
        return Publication(bags=tuple(bags), secrets=tuple(secrets))

    def _refuse(self, request: Request) -> Publish:
        answer = {"exit-code": _REFUSED, "stderr": request.refusal}
        return Publish(relation_id=request.relation_id, unit=_responses(request, answer))

    def _answer(self, client: Client, cluster: Cluster) -> Publish:
        request = client.request
        app: dict[str, BagValue] = {
            "ceph-mon-public-addresses": _base.to_json(sorted(cluster.monitors)),
            "secret-key": SecretRef(self._label(request.relation_id)),
        }
        unit = _base.dump(
            ProviderBag(
                auth="cephx",
                key=None if request.as_secret else client.key,
                ceph_public_address=cluster.address or None,
                fsid=cluster.fsid,
                client_name=client.name,
            )
        )
        unit |= _responses(request, {"exit-code": 0})
        return Publish(relation_id=request.relation_id, app=app, unit=unit)

    def _secret(self, client: Client) -> OwnedSecret:
        return OwnedSecret(
            label=self._label(client.request.relation_id),
            content={"key": client.key},
            grants=(client.request.relation_id,),
            description=f"key of the client {client.name} in Ceph",
        )

    def _label(self, relation_id: int) -> str:
        return f"{self.endpoint}:{relation_id}"

    def _request(self, snapshot: Snapshot, relation: RelationData) -> Request | None:
        bags = {unit: _base.parse(RequirerBag, bag) for unit, bag in relation.remote_units.items()}
        wishes = {
            bag.unit_name or unit: _object(bag.broker_req)
            for unit, bag in bags.items()
            if bag.broker_req
        }
        if not wishes:
            return None
        app = _base.parse(RequirerAppBag, relation.remote_app)
        listed = _base.from_json(app.requested_secrets)
        request = Request(
            relation_id=relation.id,
            app=_first(bag.application_name for bag in bags.values()) or relation.app,
            units={unit: str(wish.get("request-id", "")) for unit, wish in wishes.items()},
            as_secret=isinstance(listed, list) and "key" in listed,
        )
        return self._with_ops(snapshot, request, wishes.values())

    def _with_ops(
        self, snapshot: Snapshot, request: Request, wishes: Iterable[Mapping[str, typing.Any]]
    ) -> Request:
        pools: dict[str, Pool] = {}
        groups: dict[str, str] = {}
        problems = [_name_problem(request.app)]
        if not (request.as_secret or snapshot.config.get(self.plain_option)):
            problems.append(f"the key is given as a secret only, unless {self.plain_option}=true")
        for wish in wishes:
            if wish.get("api-version") != 1:
                problems.append("the API version is not 1")
            for op in _objects(wish.get("ops")):
                problems.append(_op_problem(op))
                if op.get("op") == "create-pool":
                    pool = _pool(op)
                    pools[pool.name] = pool
                elif op.get("op") == "add-permissions-to-key":
                    groups[str(op.get("group"))] = str(op.get("group-permission") or "rwx")
        return dataclasses.replace(
            request,
            pools=tuple(pools[name] for name in sorted(pools)),
            groups=tuple(sorted(groups.items())),
            refusal=_first(problems) or "",
        )


def _responses(request: Request, answer: Mapping[str, object]) -> dict[str, BagValue]:
    return {
        _response_key(unit): _base.to_json({**answer, "request-id": id_})
        for unit, id_ in request.units.items()
    }


def _name_problem(app: str) -> str:
    if not _NAME.fullmatch(app) or _CLUSTERS_OWN.fullmatch(app):
        return f"no client can be called {app!r}"
    return ""


def _op_problem(op: Mapping[str, typing.Any]) -> str:
    name = op.get("op")
    if name == "create-pool":
        if op.get("pool-type") not in (None, "replicated"):
            return f"pools of the type {op['pool-type']} are not offered"
        if not _NAME.fullmatch(str(op.get("name"))):
            return f"no pool can be called {op.get('name')!r}"
        return ""
    if name == "add-permissions-to-key":
        if op.get("object-prefix-permissions"):
            return "permissions by object prefix are not offered"
        if op.get("group-permission") not in (None, "r", "rx", "rwx"):
            return f"the permission {op['group-permission']!r} is not offered"
        return ""
    return f"the operation {name!r} is not offered"


def _pool(op: Mapping[str, typing.Any]) -> Pool:
    replicas = op.get("replicas")
    return Pool(
        name=str(op.get("name")),
        group=str(op.get("group") or ""),
        application=str(op.get("app-name") or "rbd"),
        replicas=replicas if isinstance(replicas, int) else 0,
    )


def make_key(text: str) -> str:
    """Make a cephx key from random text: an AES key of 128 bits, as `ceph-authtool` writes it.

    Source: Ceph, `CryptoKey::encode`: type, time of creation, length, bytes; little endian.
    """
    secret = hashlib.sha256(text.encode()).digest()[:16]
    return base64.b64encode(struct.pack("<HIIH", 1, 0, 0, len(secret)) + secret).decode()


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a cluster publishes once it has seen our bags; nothing before we asked."""
    asked = _base.parse(RequirerBag, local_unit)
    listed = _base.parse(RequirerAppBag, local_app).requested_secrets
    wish = _object(asked.broker_req)
    if not wish or not listed:
        return _base.RemoteSide()
    uri = "secret:cephkey0000000000000"
    answer = {"exit-code": 0, "request-id": wish.get("request-id")}
    return _base.RemoteSide(
        app_bag={
            "ceph-mon-public-addresses": _base.to_json(["10.9.0.11", "10.9.0.12"]),
            "secret-key": uri,
        },
        unit_bag={
            "auth": "cephx",
            "ceph-public-address": "10.9.0.11",
            "client-name": asked.application_name or "",
            "fsid": "22222222-3333-4444-5555-666666666666",
            _response_key(asked.unit_name or ""): _base.to_json(answer),
        },
        secrets={uri: {"key": make_key("test")}},
    )


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    ops = [{"op": "create-pool", "name": "glance", "app-name": "rbd"}]
    wish = {"api-version": 1, "ops": ops, "request-id": "b" * 32}
    return _base.RemoteSide(
        app_bag={"requested-secrets": _base.to_json(_SECRETS)},
        unit_bag={
            "application-name": "glance",
            "unit-name": "glance/0",
            "broker_req": _base.to_json(wish),
        },
    )
