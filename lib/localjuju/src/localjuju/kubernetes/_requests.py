"""One request: who asks for what, whether it may, and what is answered. Pure over a model.

Rights are those of the role that Juju gives an application: without trust it may look at its
model's pods and services and at the namespace itself; with trust it may do everything that is
there to be done in its own namespace.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import yaml

from localjuju.kubernetes._balancers import is_port, with_address
from localjuju.kubernetes._derived import derived, timestamp
from localjuju.kubernetes._objects import (
    KINDS,
    ApiError,
    Data,
    Kind,
    clean,
    dropped,
    kept_body,
    key,
    merge,
    names_of,
    not_found,
    overlay,
    section,
    shown,
    strategic,
    write,
)
from localjuju.kubernetes._selectors import selects
from localjuju.model import Application, Model

_APPLY = "application/apply-patch+yaml"
_STRATEGIC = "application/strategic-merge-patch+json"
_MERGE = "application/merge-patch+json"
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[a-z0-9.-]+))/(?P<version>v[a-z0-9]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_NAMESPACE_PATH = re.compile(r"/api/v1/namespaces/(?P<name>[^/]+)")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
_UNTRUSTED = {
    ("get", "pods"),
    ("list", "pods"),
    ("get", "services"),
    ("list", "services"),
    ("get", "namespaces"),
}


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it came over HTTP."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str = ""
    body: bytes = b""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is answered: status code and a JSON value."""

    code: int
    body: Data
    wrote: bool = False


@dataclasses.dataclass(frozen=True)
class _Target:
    """What a request is about."""

    model: Model
    app: Application
    kind: Kind
    name: str
    verb: str
    now: str

    @property
    def derived(self) -> Data | None:
        """The object as the engine itself has it."""
        return derived(self.kind, self.model).get(self.name)

    def shown(self) -> Data:
        """Return the object.

        Raises:
            ApiError: There is none.
        """
        found = shown(self.kind, self.model, self.name, self.derived)
        if found is None:
            raise not_found(self.kind, self.name)
        return with_address(self.model, found) if self.kind.plural == "services" else found


def failure(error: ApiError) -> Answer:
    """Return the answer to a request that is refused: a `Status`."""
    status: Data = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        "reason": error.reason,
        "code": error.code,
    }
    return Answer(error.code, status | ({"details": error.details} if error.details else {}))


def answer(model: Model, app: Application, request: Request, now: float) -> Answer:
    """Answer a request of a unit of an application; writes change the model.

    Raises:
        ApiError: It is refused; the model is as it was.
    """
    target = _target(model, app, request, timestamp(now))
    if target.verb not in _ACTIONS or (
        target.verb in {"create", "patch", "delete"} and not target.kind.is_stored
    ):
        raise _not_allowed()
    if request.query.get("watch") in {"true", "1"}:
        raise _not_allowed()  # nobody here waits for a change of an object
    if request.query.get("dryRun"):
        raise ApiError(400, "BadRequest", "dryRun is not supported")
    return _ACTIONS[target.verb](target, request)


def _not_allowed() -> ApiError:
    text = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", text)


def _target(model: Model, app: Application, request: Request, now: str) -> _Target:
    namespace = _NAMESPACE_PATH.fullmatch(request.path)
    match = _PATH.fullmatch(request.path)
    if namespace is not None:
        kind, name, inside = KINDS["", "v1", "namespaces"], namespace["name"], None
    elif match is not None:
        found = KINDS.get((match["group"] or "", match["version"], match["plural"]))
        if found is None:
            raise _no_resource()
        kind, name, inside = found, match["name"] or "", match["namespace"]
    else:
        raise _no_resource()
    verb = _VERBS.get(request.method, request.method.lower())
    if verb == "get" and not name:
        verb = "list"
    if kind.namespaced == (inside is None) and not (kind.namespaced and verb == "list"):
        raise _no_resource()
    _authorize(model, app, kind, name, verb, inside)
    if (verb in {"create", "list"}) == bool(name):
        raise _not_allowed()
    return _Target(model, app, kind, name, verb, now)


def _no_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def _authorize(
    model: Model, app: Application, kind: Kind, name: str, verb: str, namespace: str | None
) -> None:
    """Refuse what the application's role does not grant.

    Raises:
        ApiError: It does not.
    """
    elsewhere = namespace != model.name if kind.namespaced else False
    if kind.plural == "namespaces" and name != model.name:
        elsewhere = True
    if not elsewhere and (app.trust or (verb, kind.plural) in _UNTRUSTED):
        return
    quoted = f' "{name}"' if name else ""
    user = f"system:serviceaccount:{model.name}:{app.name}"
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    if kind.plural == "namespaces":
        where = f'in the namespace "{name}"' if name else "at the cluster scope"
    shown_kind = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    raise ApiError(
        403,
        "Forbidden",
        f'{shown_kind}{quoted} is forbidden: User "{user}" cannot {verb} resource '
        f'"{kind.plural}" in API group "{kind.group}" {where}',
        {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {}),
    )


# --- What can be done ---------------------------------------------------------------------------


def _get(target: _Target, request: Request) -> Answer:
    del request
    return Answer(200, target.shown())


def _list(target: _Target, request: Request) -> Answer:
    kind, model = target.kind, target.model
    mine = derived(kind, model)
    items: list[Data] = []
    for name in sorted({*mine, *names_of(kind, model)}):
        found = shown(kind, model, name, mine.get(name))
        if found is None:
            continue
        if selects(found, request.query):
            items.append(with_address(model, found) if kind.plural == "services" else found)
    version = sum(record["version"] for record in model.objects.values()) + 1
    body = {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": str(version)},
        "items": items,
    }
    return Answer(200, body)


def _create(target: _Target, request: Request) -> Answer:
    body = _parsed(request)
    name = str(section(body, "metadata").get("name") or "")
    target = dataclasses.replace(target, name=_checked_name(target, name, body))
    place = key(target.kind, name)
    if place in target.model.objects or target.derived is not None:
        raise ApiError(
            409,
            "AlreadyExists",
            f'{target.kind.plural} "{name}" already exists',
            {"name": name, "kind": target.kind.plural},
        )
    body = clean(body)
    _check_ports(target, body)
    write(target.kind, target.model, name, body, None, now=target.now)
    return Answer(201, target.shown(), wrote=True)


def _patch(target: _Target, request: Request) -> Answer:
    kind, model, name = target.kind, target.model, target.name
    content_type = request.content_type.partition(";")[0].strip()
    body = _parsed(request)
    mine = target.derived
    kept = kept_body(model, kind, name, mine)
    if content_type == _APPLY:
        return _applied(target, request, body, kept)
    present = target.shown()
    if content_type == _STRATEGIC:
        body = cast(Data, strategic(present, body))
    elif content_type != _MERGE:
        raise ApiError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            f"{_MERGE}, {_STRATEGIC}, {_APPLY}",
        )
    fresh = overlay(kept, body) if mine is not None else cast(Data, merge(kept, body))
    _check_ports(target, fresh)
    write(kind, model, name, fresh, mine, now=target.now)
    return Answer(200, target.shown(), wrote=True)


def _applied(target: _Target, request: Request, body: Data, kept: Data) -> Answer:
    """Apply on the server's side: what the manager no longer names goes, the rest is merged."""
    manager = request.query.get("fieldManager", "")
    if not manager:
        raise ApiError(
            400, "BadRequest", "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value"
        )
    kind, model, name, mine = target.kind, target.model, target.name, target.derived
    given = str(section(body, "metadata").get("name") or name)
    _checked_name(target, name, body)
    if given != name:
        raise ApiError(400, "BadRequest", "the name of the object does not match the URL")
    record = model.objects.get(key(kind, name))
    is_new = record is None and mine is None
    applied = dict(record["applied"]) if record is not None else {}
    config = clean(body)
    away = dropped(applied.get(manager, {}), config)
    applied[manager] = config
    kept = cast(Data, merge(kept, away))
    fresh = overlay(kept, config) if mine is not None else cast(Data, merge(kept, config))
    _check_ports(target, fresh)
    write(kind, model, name, fresh, mine, now=target.now, applied=applied)
    return Answer(201 if is_new else 200, target.shown(), wrote=True)


def _delete(target: _Target, request: Request) -> Answer:
    del request
    if target.derived is not None:  # goes with its application or unit, not otherwise
        raise _not_allowed()
    target.shown()
    del target.model.objects[key(target.kind, target.name)]
    body: Data = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": target.name, "kind": target.kind.plural},
    }
    return Answer(200, body, wrote=True)


_ACTIONS: dict[str, Callable[[_Target, Request], Answer]] = {
    "get": _get,
    "list": _list,
    "create": _create,
    "patch": _patch,
    "delete": _delete,
}


def _parsed(request: Request) -> Data:
    try:
        found: Any = (
            yaml.safe_load(request.body)
            if request.content_type.startswith(_APPLY)
            else json.loads(request.body)
        )
        # YAML has dates and sets, both have numbers and characters that no store takes.
        found = json.loads(json.dumps(found, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise ApiError(400, "BadRequest", f"the body cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(400, "BadRequest", "the body is not an object")
    return cast(Data, found)


def _check_ports(target: _Target, body: Data) -> None:
    """Refuse a service with a port that is none.

    Raises:
        ApiError: It has one.
    """
    kind, name, found = target.kind, target.name, section(body, "spec").get("ports")
    if kind.plural != "services" or found is None:
        return
    if not isinstance(found, list) or not all(isinstance(p, dict) for p in cast(list[Any], found)):
        text = f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}'
        raise ApiError(400, "BadRequest", f"{text}: spec.ports is no list of objects")
    for index, port in enumerate(cast(list[Data], found)):
        number = port.get("port") or 0
        if not is_port(number):
            raise ApiError(
                422,
                "Invalid",
                f'{kind.name} "{name}" is invalid: spec.ports[{index}].port: Invalid value: '
                f"{json.dumps(number)}: must be between 1 and 65535, inclusive",
                {"name": name, "kind": kind.name},
            )


def _checked_name(target: _Target, name: str, body: Data) -> str:
    """Return the name of an object that is to be written.

    Raises:
        ApiError: It cannot be one, or the object is for another namespace or of another kind.
    """
    kind = target.kind
    if not _NAME.fullmatch(name):
        raise ApiError(
            422,
            "Invalid",
            f'{kind.name} "{name}" is invalid: metadata.name: Invalid value: "{name}"',
            {"name": name, "kind": kind.name},
        )
    namespace = section(body, "metadata").get("namespace")
    if namespace not in {None, "", target.model.name}:
        raise ApiError(
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the "
            "request",
        )
    if body.get("kind", kind.name) != kind.name:
        raise ApiError(400, "BadRequest", f"the object is a {body['kind']}, not a {kind.name}")
    return name
