"""What `juju show-…`, `config`, `secrets` and the like print, in Juju's shapes: pure functions."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from localjuju import identity
from localjuju.changes import (
    MODEL_OPTIONS,
    ChangeError,
    connections,
    offer_details,
    offer_url,
)
from localjuju.model import (
    Action,
    Application,
    Bag,
    Life,
    Model,
    Offer,
    Relation,
    Secret,
    SecretRevision,
    Unit,
)
from localjuju.status import (
    base_of,
    endpoint_bindings,
    opened_ports,
    relation_status,
    shown_endpoints,
)

Data = dict[str, Any]


def iso_time(seconds: float) -> str:
    """Return a time in RFC 3339, UTC, whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def task_time(seconds: float) -> str:
    """Return a time as Juju's tasks show it: `2026-11-21 03:24:48 +0000 UTC`."""
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def clock_time(seconds: float) -> str:
    """Return the time of day, UTC, as lines of an action's log show it."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%H:%M:%S")


# --- Models -----------------------------------------------------------------------------------


def model_entry(model: Model, controller_uuid: str) -> Data:
    """Return a model as `juju models` lists it."""
    return {
        "name": f"{identity.USER}/{model.name}",
        "short-name": model.name,
        "model-uuid": model.uuid,
        "model-type": model.type,
        "controller-uuid": controller_uuid,
        "controller-name": identity.CONTROLLER,
        "is-controller": False,
        "owner": identity.USER,
        "cloud": identity.cloud_of(model.type),
        "region": identity.REGION,
        "type": identity.PROVIDERS[model.type],
        "life": str(model.life),
        "status": {
            "current": "available" if model.life is Life.ALIVE else "destroying",
            "since": iso_time(model.created),
        },
        "access": "admin",
        "last-connection": "",
        "unit-count": len(model.units),
        "agent-version": identity.JUJU_VERSION,
    }


def show_model(model: Model, controller_uuid: str) -> Data:
    """Return a model as `juju show-model` prints it."""
    entry = model_entry(model, controller_uuid)
    for key in ("access", "last-connection", "unit-count"):
        del entry[key]
    entry["users"] = {
        identity.USER: {
            "display-name": identity.USER,
            "access": "admin",
            "last-connection": "just now",
        }
    }
    return {model.name: entry}


def model_config(model: Model) -> Data:
    """Return every option of a model with its value and where that comes from."""
    return {
        name: {
            "Value": model.config.get(name, option.default),
            "Source": "model" if name in model.config else "default",
        }
        for name, option in sorted(MODEL_OPTIONS.items())
    }


# --- Applications and units -------------------------------------------------------------------


def app_config(model: Model, app: Application) -> Data:
    """Return an application's options as `juju config` prints them."""
    charm = model.charm_of(app.name)
    settings: Data = {}
    for name, option in sorted(charm.config.items()):
        entry: Data = {"description": option.get("description", ""), "type": option["type"]}
        if "default" in option:
            entry["default"] = option["default"]
        if name in app.config:
            entry["source"] = "user"
            entry["value"] = app.config[name]
        elif "default" in option:
            entry["source"] = "default"
            entry["value"] = option["default"]
        else:
            entry["source"] = "unset"
        settings[name] = entry
    trust = {
        "default": False,
        "description": "Does this application have access to trusted credentials",
        "source": "user" if app.trust else "default",
        "type": "bool",
        "value": app.trust,
    }
    return {
        "application": app.name,
        "application-config": {"trust": trust},
        "charm": charm.name,
        "settings": settings,
    }


def option_value(model: Model, app: Application, name: str) -> Any:
    """Return the value of one option; None without one.

    Raises:
        ChangeError: There is no such option.
    """
    config = app_config(model, app)
    entry = config["settings"].get(name) or config["application-config"].get(name)
    if entry is None:
        raise ChangeError(
            f'key "{name}" not found in "{app.name}" application config or charm settings.'
        )
    return entry.get("value")


def show_application(model: Model, app: Application) -> Data:
    """Return an application as `juju show-application` prints it."""
    charm = model.charm_of(app.name)
    base = base_of(charm)
    found: Data = {
        "charm": charm.name,
        "base": f"{base['name']}@{base['channel'].partition('/')[0]}" if base else "",
        "charm-revision": charm.revision,
        "constraints": app.constraints,
        "principal": not charm.subordinate,
        "exposed": app.exposed,
        "remote": False,
        "life": str(app.life),
        "trust": app.trust,
        "resources": {r.name: r.value for r in app.resources.values() if r.kind == "oci-image"},
        "endpoint-bindings": endpoint_bindings(app, charm),
    }
    return {app.name: {key: value for key, value in found.items() if value not in ("", {})}}


def show_unit(
    model: Model, unit: Unit, *, endpoint: str = "", related: str = "", app_only: bool = False
) -> Data:
    """Return a unit as `juju show-unit` prints it, with its relations' data.

    Args:
        model: The model.
        unit: The unit.
        endpoint: Show only relations at this endpoint.
        related: Show only relations with this unit.
        app_only: Leave out units' data.
    """
    app = model.applications[unit.app]
    relations = [
        entry
        for relation in model.relations_of(unit.app)
        if (entry := _relation_info(model, relation, unit, app_only=app_only))
        and endpoint in {"", entry["endpoint"]}
        and (not related or related in entry.get("related-units", {}))
    ]
    found: Data = {
        "workload-version": app.version,
        "opened-ports": opened_ports(unit),
        "charm": model.charm_of(unit.app).url,
        "leader": app.leader == unit.name,
        "life": str(unit.life),
        "relation-info": relations,
    }
    if unit.machine:
        found |= {"machine": unit.machine, "public-address": unit.address}
    else:
        found |= {"provider-id": unit.name.replace("/", "-"), "address": unit.address}
    optional = ("workload-version", "relation-info", "address", "public-address")
    return {unit.name: {k: v for k, v in found.items() if v or k not in optional}}


def _relation_info(model: Model, relation: Relation, unit: Unit, *, app_only: bool) -> Data:
    own = next(end for end in relation.ends if end.app == unit.app)
    other = next((end for end in relation.ends if end != own), own)
    view = unit.relations.get(relation.id)
    found: Data = {
        "relation-id": relation.id,
        "endpoint": own.endpoint,
        "related-endpoint": other.endpoint,
        "application-data": dict(relation.app_bags.get(other.app, Bag()).data),
    }
    if app_only:
        return found
    found["local-unit"] = {
        "in-scope": view is not None and view.entered,
        "data": dict(relation.unit_bags.get(unit.name, Bag()).data),
    }
    found["related-units"] = {
        peer.name: {
            "in-scope": peer.name in relation.in_scope,
            "data": dict(relation.unit_bags.get(peer.name, Bag()).data),
        }
        for peer in model.units_of(other.app)
        if peer.name != unit.name and _sees(relation, unit, peer)
    }
    if relation.crossing is not None:
        found["cross-model"] = True
        found["related-units"] = {
            name: {"in-scope": name in relation.in_scope, "data": dict(bag.data)}
            for name, bag in sorted(relation.unit_bags.items())
            if name.partition("/")[0] == other.app
        }
    return found


def _sees(relation: Relation, unit: Unit, other: Unit) -> bool:
    if relation.scope != "container":
        return True
    return (unit.principal or unit.name) == (other.principal or other.name)


# --- Offers ------------------------------------------------------------------------------------


def _offered(model: Model, offer: Offer) -> Data:
    return shown_endpoints(offer_details(model, offer).endpoints)


def _users(offer: Offer) -> Data:
    names = {identity.USER: {"display-name": identity.USER}}
    return {
        user: {**names.get(user, {}), "access": access}
        for user, access in sorted(offer.users.items())
    }


def offer_row(model: Model, offer: Offer) -> Data:
    """Return an offer as `juju offers` lists it, with who is connected."""
    return {
        "application": offer.app,
        "store": identity.CONTROLLER,
        "charm": model.charm_of(offer.app).url,
        "offer-url": offer_url(model, offer).partition(":")[2],
        "endpoints": _offered(model, offer),
        "connections": [_connection(relation) for relation in connections(model, offer)],
        "users": _users(offer),
    }


def _connection(relation: Relation) -> Data:
    if relation.crossing is None:
        raise ValueError(f"relation {relation.id} is not one with another model")
    alias = next(end for end in relation.ends if end.app.startswith("remote-"))
    own = next(end for end in relation.ends if end is not alias)
    subnets = {
        subnet
        for name in relation.in_scope
        if name.partition("/")[0] == alias.app
        for subnet in relation.unit_bags[name].data.get("egress-subnets", "").split(",")
        if subnet
    }
    return {
        "source-model-uuid": relation.crossing.model,
        "username": identity.USER,
        "relation-id": relation.id,
        "endpoint": own.endpoint,
        "status": {
            "current": relation_status(relation),
            "message": relation.suspended_reason,
        },
        "ingress-subnets": sorted(subnets),
    }


def show_offer(model: Model, offer: Offer) -> Data:
    """Return an offer as `juju show-offer` and `juju find-offers` print it."""
    found: Data = {
        "description": offer.description,
        "access": offer.users.get(identity.USER, ""),
        "endpoints": _offered(model, offer),
        "users": _users(offer),
    }
    return {offer_url(model, offer): {k: v for k, v in found.items() if v != ""}}


def actions(model: Model, app: Application, *, schema: bool = False) -> Data:
    """Return the actions of an application's charm: descriptions, or whole schemas."""
    charm = model.charm_of(app.name)
    if schema:
        return {name: dict(body) for name, body in sorted(charm.actions.items())}
    return {name: str(body["description"]) for name, body in sorted(charm.actions.items())}


def resources(model: Model, app: Application) -> list[Data]:
    """Return the resources of an application, by name."""
    charm = model.charm_of(app.name)
    found: list[Data] = []
    for name, body in sorted(charm.resources.items()):
        held = app.resources.get(name)
        found.append(
            {
                "name": name,
                "type": body["type"],
                "description": body.get("description", ""),
                "origin": "upload" if held else "",
                "revision": held.revision if held else -1,
                "value": held.value if held and held.kind == "oci-image" else "",
            }
        )
    return found


# --- Tasks -------------------------------------------------------------------------------------


def task(action: Action) -> Data:
    """Return a task as `juju run` and `juju show-task` print it."""
    results = dict(action.results)
    results.setdefault("return-code", 0 if action.status == "completed" else 1)
    if action.status in {"pending", "running", "cancelled"}:
        results.pop("return-code")
    timing = {
        "enqueued": task_time(action.enqueued),
        "started": task_time(action.started) if action.started else "",
        "completed": task_time(action.completed) if action.completed else "",
    }
    found: Data = {
        "id": str(action.id),
        "log": [f"{task_time(moment)} {text}" for moment, text in action.log],
        "message": action.message,
        "results": results,
        "status": action.status,
        "timing": {key: value for key, value in timing.items() if value},
        "machine" if action.unit.isdigit() else "unit": action.unit,
    }
    return {k: v for k, v in found.items() if v not in ("", [], {}) or k == "results"}


def operations(model: Model) -> dict[int, list[Action]]:
    """Return operations by number, each with its tasks."""
    found: dict[int, list[Action]] = {}
    for _, action in sorted(model.actions.items()):
        found.setdefault(action.operation, []).append(action)
    return found


def operation(number: int, tasks: Iterable[Action]) -> Data:
    """Return an operation as `juju show-operation` prints it."""
    members = list(tasks)
    states = {action.status for action in members}
    state = next(
        (s for s in ("running", "pending", "failed", "error", "cancelled") if s in states),
        "completed",
    )
    return {
        "summary": f"{members[0].name} run on {','.join(a.unit for a in members)}",
        "status": state,
        "action": {
            "name": members[0].name,
            "parameters": _visible_parameters(members[0]),
        },
        "timing": {"enqueued": task_time(min(a.enqueued for a in members))},
        "tasks": {
            str(a.id): {"host": a.unit, "status": a.status}
            | {k: v for k, v in task(a).items() if k in {"timing", "results", "message"}}
            for a in members
        },
        "id": str(number),
    }


def _visible_parameters(action: Action) -> Data:
    return {key: value for key, value in action.parameters.items() if value is not None}


# --- Secrets -----------------------------------------------------------------------------------


def secret(
    model: Model, found: Secret, *, revision: SecretRevision | None = None, all_: bool = False
) -> Data:
    """Return a secret as `juju secrets` and `juju show-secret` print it.

    Args:
        model: The model.
        found: The secret.
        revision: The revision whose content is revealed; None reveals nothing.
        all_: Whether revisions are listed.
    """
    own = found.owner_kind == "model"
    newest = found.revisions.get(found.latest)
    entry: Data = {
        "revision": found.latest,
        "rotation": found.rotate if found.rotate != "never" else "",
        "rotates": iso_time(found.next_rotate) if found.next_rotate else "",
        "expires": iso_time(newest.expires) if newest and newest.expires else "",
        "checksum": _checksum(revision),
        "owner": "<model>" if own else found.owner,
        "description": found.description,
        "name" if own else "label": found.label,
        "created": iso_time(found.created),
        "updated": iso_time(found.updated),
    }
    entry = {key: value for key, value in entry.items() if value != ""}
    access = [
        {
            "target": f"{'unit' if '/' in grant.subject else 'application'}-"
            + grant.subject.replace("/", "-"),
            "scope": _scope(model, grant.relation_id),
            "role": grant.role,
        }
        for grant in found.grants
    ]
    if access:
        entry["access"] = access
    if all_:
        entry["revisions"] = [_revision(r) for _, r in sorted(found.revisions.items())]
    if revision is not None:
        entry["content"] = {"Data": _plain(revision.data)}
    return entry


def _scope(model: Model, relation_id: int | None) -> str:
    relation = model.relations.get(-1 if relation_id is None else relation_id)
    if relation is None:
        return f"model-{model.uuid}"
    return "relation-" + relation.key.replace(":", ".").replace(" ", "#")


def _revision(revision: SecretRevision) -> Data:
    entry = {
        "revision": revision.number,
        "backend": "internal",
        "created": iso_time(revision.created),
        "updated": iso_time(revision.created),
    }
    return entry | ({"expires": iso_time(revision.expires)} if revision.expires else {})


def _plain(data: Mapping[str, str]) -> dict[str, str]:
    """Return a secret's content as text; what is no UTF-8 stays base64, as in Juju."""
    found: dict[str, str] = {}
    for key, value in data.items():
        try:
            found[key] = base64.b64decode(value).decode()
        except UnicodeDecodeError:
            found[key] = value
    return found


def _checksum(revision: SecretRevision | None) -> str:
    if revision is None:
        return ""
    whole = "".join(f"{key}:{value}\n" for key, value in sorted(revision.data.items()))
    return hashlib.sha256(whole.encode()).hexdigest()
