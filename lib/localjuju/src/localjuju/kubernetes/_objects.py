"""Objects that charms write: kept in the model, laid over what the engine derives from it.

Of an object that the engine derives, only what charms changed is kept. A record holds `body`
(the object, or what lies over the derived one; None takes a derived field away), `applied` (what
each field manager applied last), and the numbers that Kubernetes shows.
"""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, cast

from localjuju.model import Model

Data = dict[str, Any]


class ApiError(Exception):
    """A request is refused; becomes a `Status` in Kubernetes' own words.

    Args:
        code: Status code of HTTP.
        reason: Kubernetes' word for it, like `NotFound`.
        message: The text.
        details: Kind and name of the object, where there is one.
    """

    def __init__(self, code: int, reason: str, message: str, details: Data | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details or {}


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of objects.

    Attributes:
        plural: As in paths.
        group: Group of the interface, empty for the core.
        is_stored: Whether charms can write such objects.
    """

    name: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    is_stored: bool = True

    @property
    def api_version(self) -> str:
        """Group and version as objects bear them."""
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS = {
    (kind.group, kind.version, kind.plural): kind
    for kind in (
        Kind("Service", "services"),
        Kind("Pod", "pods"),
        Kind("ConfigMap", "configmaps"),
        Kind("Secret", "secrets"),
        Kind("StatefulSet", "statefulsets", group="apps"),
        Kind("Node", "nodes", namespaced=False, is_stored=False),
        Kind("Namespace", "namespaces", namespaced=False, is_stored=False),
    )
}

# Lists of these fields are merged item by item in a strategic patch; others are replaced.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "port",
}


def section(parent: Data, name: str) -> Data:
    """Return a mapping inside an object; empty where there is none."""
    found = parent.get(name)
    return cast(Data, found) if isinstance(found, dict) else {}


def not_found(kind: Kind, name: str) -> ApiError:
    """Return the error of an object that is not there."""
    details = {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {})
    shown = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    return ApiError(404, "NotFound", f'{shown} "{name}" not found', details)


def key(kind: Kind, name: str) -> str:
    """Return under which key the model keeps an object."""
    return f"{kind.plural}/{name}"


def shown(kind: Kind, model: Model, name: str, derived: Data | None) -> Data | None:
    """Return an object as it is: what the engine derives, and what charms wrote over it."""
    record = model.objects.get(key(kind, name))
    if record is not None and derived is not None and record["of"] != _life_of(derived):
        record = None  # written over a pod that was replaced since
    if record is None:
        return derived
    merged = merge(derived or {}, record["body"])
    metadata = merged.setdefault("metadata", {})
    metadata.update(
        name=name,
        namespace=model.name,
        uid=metadata.get("uid") or record["uid"],
        resourceVersion=str(record["version"]),
        generation=record["version"],
    )
    metadata.setdefault("creationTimestamp", record["created"])
    if "observedGeneration" in merged.get("status", {}):  # whatever was written is rolled out
        merged["status"] = {**merged["status"], "observedGeneration": record["version"]}
    return {**merged, "apiVersion": kind.api_version, "kind": kind.name}


def _life_of(derived: Data | None) -> str:
    return "" if derived is None else str(derived["metadata"].get("uid", ""))


def write(
    kind: Kind,
    model: Model,
    name: str,
    body: Data,
    derived: Data | None,
    *,
    now: str,
    applied: Mapping[str, Data] | None = None,
) -> None:
    """Keep a body under a name; a body that is the same makes no new version."""
    place = key(kind, name)
    held = model.objects.get(place)
    if held is not None and held["of"] != _life_of(derived):
        held = None
    body = without_system_fields(body)
    managers = dict(applied) if applied is not None else (held or {}).get("applied", {})
    if held is not None and held["body"] == body and held["applied"] == managers:
        return
    model.objects[place] = {
        "body": body,
        "applied": managers,
        "uid": held["uid"] if held else str(uuid.uuid4()),
        "created": held["created"] if held else now,
        "version": held["version"] + 1 if held else 1,
        "of": _life_of(derived),
    }


def without_system_fields(body: Data) -> Data:
    """Return a body without what the server alone writes."""
    found = {k: v for k, v in body.items() if k not in {"status", "apiVersion", "kind"}}
    system = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"}
    system |= {"managedFields", "selfLink"}
    metadata = {k: v for k, v in section(body, "metadata").items() if k not in system}
    found.pop("metadata", None)
    return found | ({"metadata": metadata} if metadata else {})


def kept_body(model: Model, kind: Kind, name: str, derived: Data | None) -> Data:
    """Return what charms wrote of an object so far."""
    record = model.objects.get(key(kind, name))
    if record is None or record["of"] != _life_of(derived):
        return {}
    return copy.deepcopy(record["body"])


def merge(target: Any, patch: Any) -> Any:
    """Return a value with a merge patch applied: mappings are merged, None takes a key away.

    Source: RFC 7386.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result: Data = dict(cast(Data, target)) if isinstance(target, dict) else {}
    for name, value in cast(Data, patch).items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def overlay(kept: Data, patch: Data) -> Data:
    """Return two patches as one: the second after the first. None stays, it takes away."""
    result = dict(kept)
    for name, value in patch.items():
        before = result.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            result[name] = overlay(cast(Data, before), cast(Data, value))
        else:
            result[name] = copy.deepcopy(cast(object, value))
    return result


def strategic(present: Any, patch: Any, field: str = "") -> Any:
    """Return a strategic patch as a merge patch for an object: its lists are merged by key.

    Source: Kubernetes, "Update API objects in place using kubectl patch".
    """
    if isinstance(patch, dict):
        there = cast(Data, present) if isinstance(present, dict) else {}
        return {k: strategic(there.get(k), v, k) for k, v in cast(Data, patch).items()}
    by = _MERGE_KEYS.get(field)
    if by is None or not isinstance(patch, list) or not isinstance(present, list):
        return cast(Any, patch)
    items = {item.get(by): item for item in cast(list[Data], present)}
    for item in cast(list[Data], patch):
        if item.get("$patch") == "delete":
            items.pop(item.get(by), None)
        else:
            before = items.get(item.get(by), {})
            items[item.get(by)] = merge(before, strategic(before, item))
    return list(items.values())


def dropped(before: Any, after: Any) -> Any:
    """Return the patch that takes away what was applied before and is not applied any more."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {}
    left, right = cast(Data, before), cast(Data, after)
    gone: Data = {name: None for name in left if name not in right}
    for name in left.keys() & right.keys():
        inner = dropped(left[name], right[name])
        if inner:
            gone[name] = inner
    return gone


def clean(body: Data) -> Data:
    """Return a body without the fields that are None: for an object that nothing lies under."""
    return cast(Data, merge({}, body))


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Tell whether labels are what a selector wants; an empty one selects nothing."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def names_of(kind: Kind, model: Model) -> Iterable[str]:
    """Return the names of the objects of a kind that charms wrote."""
    start = f"{kind.plural}/"
    return [place.removeprefix(start) for place in model.objects if place.startswith(start)]
