"""`keystone-resources`: a domain of one's own in Keystone, with somebody who manages it.

The wire format is that of the published `identity_resource` library, version 0 (endpoint
`identity-ops`): the requirer writes a list of operations as JSON under `request`, the provider
carries them out and writes what came of each under `response`. A value that is secret travels as
the URI of a Juju secret, which has it under the name of the parameter. `{{ create_domain[0].id }}`
refers to what an earlier operation gave.

Our provider knows the operations in `OPERATIONS` and keeps a client to domains of its own. The
roles `admin` and `service` count in the whole cloud wherever they are given, so it refuses them
to applications that Keystone's option `admin-applications` does not name.

Source: sunbeam-charms, `keystone_k8s/v0/identity_resource`.
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping

from charmkit.interfaces import _base
from charmkit.service import digest
from charmkit.spec import (
    Bag,
    Document,
    OwnedSecret,
    Publication,
    Publish,
    RelationData,
    SecretRef,
    Snapshot,
)

OPERATIONS = (
    "create_domain",
    "create_project",
    "create_role",
    "create_user",
    "grant_role",
    "list_endpoint",
    "show_domain",
    "show_project",
)
"""What a client may ask for; everything else is answered with a failure."""

READY = "ready"

DONE, REFUSED, NOT_YET = 0, 1, 2
"""What an operation returns. `REFUSED`: it cannot be done as it was asked for. `NOT_YET`: it
cannot be done as things are now, and is tried again; to a client both are failures."""

# --- the wire ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequirerBag:
    """Application bag of the requirer.

    `request` is JSON: `id`, `tag` and `ops`, a list of `name` and `params`.
    """

    request: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProviderBag:
    """Application bag of the provider.

    `response` is JSON: `id` and `tag` of the request, and `ops`, a list of `name`, `return-code`
    (0 is success, see `DONE`) and `value`, an object or, of `list_endpoint`, a list.
    """

    status: str | None = None
    response: str | None = None


# --- requirer ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain of our own.

    Attributes:
        name: Its name.
        id: Its id.
        username: Who manages it; the user belongs to the domain.
        user_id: That user's id.
        password: That user's password.
        auth_url: Keystone's internal endpoint.
        public_auth_url: Keystone's public endpoint.
        region: Keystone's region.
        project: A project in the domain, or "" if none was asked for.
        project_id: Its id, or "".
    """

    name: str
    id: str
    username: str
    user_id: str
    password: str = dataclasses.field(repr=False)
    auth_url: str
    public_auth_url: str
    region: str
    project: str = ""
    project_id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requirer:
    """Ask for a domain with a manager.

    Attributes:
        domain: Name of the domain.
        username: Name of its manager.
        project: Name of a project in it where the user shall have its role too, or "".
        role: The role that the user gets. A manager makes projects and users in the domain and
            gives them roles up to its own.
        further_roles: Roles that shall exist besides, for users that the manager makes.
        endpoint: Our endpoint.
    """

    domain: str
    username: str
    project: str = ""
    role: str = "manager"
    further_roles: tuple[str, ...] = ()
    endpoint: str = "identity-ops"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: the password is ours."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret with the manager's password."""
        return [self._label]

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Ask for the domain. A follower does not: it cannot see the secret's URI."""
        relation = snapshot.relation(self.endpoint)
        if relation is None or not snapshot.is_leader:
            return None
        secret = OwnedSecret(
            label=self._label,
            content={"password": self._password(snapshot)},
            grants=(relation.id,),
            description=f"manager of the domain {self.domain}",
        )
        operations = self._operations()
        request = {"id": self._id, "tag": self.domain, "ops": operations}
        bag = {"request": Document(request)}
        return Publication(bags=(Publish(relation_id=relation.id, app=bag),), secrets=(secret,))

    def read(self, snapshot: Snapshot) -> Domain | None:
        """Give the domain once everything in it was made."""
        relation = snapshot.relation(self.endpoint)
        password = snapshot.own_secrets.get(self._label, {}).get("password")
        answer = _response(relation.remote_app if relation else {})
        if not password or answer.get("id") != self._id:
            return None
        results: dict[str, list[typing.Any]] = {}
        for each in answer.get("ops", ()):
            if each.get("return-code") != DONE:
                return None
            results.setdefault(each["name"], []).append(each.get("value"))
        try:
            (domain,), (user,) = results["create_domain"], results["create_user"]
            [[internal, *_], [public, *_]] = results["list_endpoint"]
            return Domain(
                name=self.domain,
                id=domain["id"],
                username=self.username,
                user_id=user["id"],
                password=password,
                auth_url=internal["url"],
                public_auth_url=public["url"],
                region=internal["region_id"],
                project=self.project,
                project_id=results["create_project"][0]["id"] if self.project else "",
            )
        except (KeyError, TypeError, ValueError):  # another provider, which left something out
            return None

    def problem(self, snapshot: Snapshot) -> str | None:
        """Tell why Keystone refused an operation, or None."""
        relation = snapshot.relation(self.endpoint)
        answer = _response(relation.remote_app if relation else {})
        if answer.get("id") != self._id:
            return None
        for each in answer.get("ops", ()):
            if each.get("return-code") != DONE:
                value = each.get("value")
                error = typing.cast("dict[str, object]", value if isinstance(value, dict) else {})
                return str(error.get("error") or f"{each.get('name')} failed")
        return None

    def _password(self, snapshot: Snapshot) -> str:
        known = snapshot.own_secrets.get(self._label, {})
        return known.get("password") or snapshot.random_text(self._label)

    @property
    def _label(self) -> str:
        return f"{self.endpoint}:{self.username}"

    @property
    def _id(self) -> str:
        return digest([self.domain, self.username, self.project, self.role, self.further_roles])

    def _operations(self) -> list[dict[str, typing.Any]]:
        domain, user = "{{ create_domain[0].id }}", "{{ create_user[0].id }}"
        grant = {"role": "{{ create_role[0].id }}", "user": user, "user_domain": domain}
        operations: list[tuple[str, dict[str, typing.Any]]] = [
            ("create_role", {"name": self.role}),
            ("create_domain", {"name": self.domain, "enable": True}),
            (
                "create_user",
                {"name": self.username, "domain": domain, "password": SecretRef(self._label)},
            ),
            ("grant_role", {**grant, "domain": domain}),
            ("list_endpoint", {"name": "keystone", "interface": "internal"}),
            ("list_endpoint", {"name": "keystone", "interface": "public"}),
            *(("create_role", {"name": name}) for name in self.further_roles),
        ]
        if self.project:
            project = {"project": "{{ create_project[0].id }}", "project_domain": domain}
            operations += [
                ("create_project", {"name": self.project, "domain": domain}),
                ("grant_role", {**grant, **project}),
            ]
        return [{"name": name, "params": params} for name, params in operations]


# --- provider ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a request, with secret values filled in.

    Attributes:
        name: What to do.
        params: Parameter → value.
    """

    name: str
    params: Mapping[str, typing.Any] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for.

    Attributes:
        relation_id: The client's relation.
        app: The client's application.
        id: The client's name for the request.
        tag: The client's further name for it.
        operations: What to do, in this order.
    """

    relation_id: int
    app: str
    id: str
    tag: str
    operations: tuple[Operation, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider:
    """Carry out clients' operations.

    Attributes:
        endpoint: Our endpoint.
    """

    endpoint: str = "identity-ops"

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets to which clients' parameters refer."""
        return [
            value
            for relation in snapshot.related(self.endpoint)
            for operation in _operations(relation)
            for value in operation["params"].values()
            if _is_secret(value)
        ]

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: the secrets are the clients'."""
        return ()

    def requests(self, snapshot: Snapshot) -> tuple[Request, ...]:
        """Give the complete requests, sorted by relation.

        A request whose secrets cannot be read (yet) is not complete.
        """
        found = (self._request(snapshot, each) for each in snapshot.related(self.endpoint))
        return tuple(request for request in found if request is not None)

    def respond(
        self, snapshot: Snapshot, results: Mapping[str, Mapping[str, typing.Any]]
    ) -> Publication:
        """Tell clients that we listen, and what came of their requests.

        Args:
            snapshot: What was seen.
            results: Id of a relation, as text → `id` of the request that was carried out, and
                `ops`, for each operation `name`, `return-code` and `value`. Clients choose the
                ids of requests, so two of them may choose the same.
        """
        answers: dict[int, dict[str, str]] = {}
        for request in self.requests(snapshot):
            result = results.get(str(request.relation_id), {})
            if result.get("id") == request.id:
                response = {"id": request.id, "tag": request.tag, "ops": list(result["ops"])}
                answers[request.relation_id] = {"response": _base.to_json(response)}
        return Publication(
            bags=tuple(
                Publish(
                    relation_id=relation.id, app={"status": READY, **answers.get(relation.id, {})}
                )
                for relation in snapshot.related(self.endpoint)
            )
        )

    def _request(self, snapshot: Snapshot, relation: RelationData) -> Request | None:
        asked = _asked(relation)
        operations: list[Operation] = []
        for each in _operations(relation):
            params = dict(each["params"])
            for name, value in params.items():
                if _is_secret(value):
                    if name not in snapshot.secrets.get(value, {}):
                        return None
                    params[name] = snapshot.secrets[value][name]
            operations.append(Operation(name=str(each["name"]), params=params))
        if not (asked.get("id") and operations):
            return None
        return Request(
            relation_id=relation.id,
            app=relation.app,
            id=str(asked["id"]),
            tag=str(asked.get("tag") or ""),
            operations=tuple(operations),
        )


def is_to_be_tried_again(results: Mapping[str, Mapping[str, typing.Any]]) -> bool:
    """Tell whether an operation failed for a reason that may go away.

    Args:
        results: As `Provider.respond` takes them.
    """
    return any(
        each["return-code"] == NOT_YET for result in results.values() for each in result["ops"]
    )


def _asked(relation: RelationData) -> dict[str, typing.Any]:
    found = _base.from_json(_base.parse(RequirerBag, relation.remote_app).request)
    return typing.cast("dict[str, typing.Any]", found) if isinstance(found, dict) else {}


def _operations(relation: RelationData) -> list[dict[str, typing.Any]]:
    found = _asked(relation).get("ops")
    listed = typing.cast("list[typing.Any]", found) if isinstance(found, list) else []
    objects = [
        typing.cast("dict[str, typing.Any]", each) for each in listed if isinstance(each, dict)
    ]
    return [
        {"name": each.get("name"), "params": each.get("params") or {}}
        for each in objects
        if isinstance(each.get("params") or {}, dict)
    ]


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value.startswith("secret:")


def _response(bag: Bag) -> dict[str, typing.Any]:
    found = _base.from_json(_base.parse(ProviderBag, bag).response)
    return typing.cast("dict[str, typing.Any]", found) if isinstance(found, dict) else {}


# --- test data ---------------------------------------------------------------------------------


def provider_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what Keystone publishes once it has seen our request: every operation succeeded."""
    asked: dict[str, typing.Any] = _base.from_json(local_app.get("request")) or {}
    if not asked:
        return _base.RemoteSide(app_bag={"status": READY})
    results = [
        {"name": each["name"], "return-code": DONE, "value": _value(each["name"])}
        for each in asked["ops"]
    ]
    response = {"id": asked["id"], "tag": asked["tag"], "ops": results}
    return _base.RemoteSide(app_bag={"status": READY, "response": _base.to_json(response)})


def _value(operation: str) -> typing.Any:
    if operation == "list_endpoint":
        url = "https://keystone.test.svc.cluster.local:5000/v3"
        return [{"id": "endpoint-id", "url": url, "region_id": "RegionOne"}]
    return {"id": f"{operation}-id"}


def requirer_side(local_app: Bag, local_unit: Bag) -> _base.RemoteSide:
    """Give what a client publishes, whatever our bags hold."""
    uri = "secret:keystoneresources0000"
    domain = "{{ create_domain[0].id }}"
    operations = [
        {"name": "create_role", "params": {"name": "manager"}},
        {"name": "create_domain", "params": {"name": "heat", "enable": True}},
        {
            "name": "create_user",
            "params": {"name": "heat_admin", "domain": domain, "password": uri},
        },
    ]
    request = {"id": "request-1", "tag": "heat", "ops": operations}
    return _base.RemoteSide(
        app_bag={"request": _base.to_json(request)},
        secrets={uri: {"password": "s3cret-domain-admin"}},
    )
