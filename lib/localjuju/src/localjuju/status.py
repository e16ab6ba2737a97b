"""The status of a model in Juju's shape: what `juju status --format json` prints."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from localjuju import identity
from localjuju.facts import space_of
from localjuju.model import (
    ALPHA,
    Application,
    Charm,
    Endpoint,
    Interface,
    Life,
    Machine,
    Model,
    Offer,
    Relation,
    Saas,
    Status,
    Unit,
)
from localjuju.settings import Settings
from localjuju.substrate import names

Data = dict[str, Any]

_SEVERITY = (
    "error",
    "blocked",
    "maintenance",
    "waiting",
    "active",
    "terminated",
    "unknown",
)
_ORDER = {"requirer": 1, "provider": 0, "peer": 0}


def format_time(seconds: float, *, utc: bool = False) -> str:
    """Return a time as Juju's status prints it: `21 Nov 2026 03:24:48Z`."""
    if utc:
        return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
    return time.strftime("%d %b %Y %H:%M:%S", time.localtime(seconds)) + _zone(seconds)


def format_clock(seconds: float) -> str:
    """Return the time of day as the header of Juju's status shows it: `03:24:48Z`."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + _zone(seconds)


def _zone(seconds: float) -> str:
    text = time.strftime("%z", time.localtime(seconds))
    return "Z" if text == "+0000" else f"{text[:3]}:{text[3:]}"


def status(
    model: Model,
    now: float,
    *,
    settings: Settings | None = None,
    selectors: Sequence[str] = (),
    utc: bool = False,
) -> Data:
    """Return the status of a model.

    Args:
        model: The model.
        now: Present time, shown as the controller's.
        settings: The engine's: they tell machines' gateways.
        selectors: Names of applications and units to show (patterns work), or words of
            workload statuses; empty shows all.
        utc: Whether times are in UTC and ISO form.
    """
    shown = _select(model, selectors)
    apps = {
        name: _application(model, app, shown, utc=utc)
        for name, app in sorted(model.applications.items())
        if name in shown
    }
    saas = {
        name: _saas(model, found, utc=utc)
        for name, found in sorted(model.saas.items())
        if name in shown
    }
    offers = {
        name: _offer(model, offer)
        for name, offer in sorted(model.offers.items())
        if offer.app in shown and offer.app in model.applications
    }
    return {
        "model": _model(model, utc=utc),
        "machines": {
            number: body
            for number, body in machines(model, settings, utc=utc).items()
            if not selectors
            or number in {u.machine for u in model.units.values() if u.name in shown}
        },
        "applications": apps,
        **({"application-endpoints": saas} if saas else {}),
        **({"offers": offers} if offers else {}),
        "storage": _storage(model, shown, utc=utc),
        "controller": {"timestamp": format_clock(now)},
    }


def relations(model: Model, selectors: Sequence[str] = ()) -> list[Data]:
    """Return the rows of the relations' table: provider, requirer, interface, type, status."""
    shown = _select(model, selectors)
    rows: list[Data] = []
    for relation in model.relations.values():
        if not any(end.app in shown for end in relation.ends):
            continue
        ends = sorted(relation.ends, key=lambda end: _ORDER[end.role])
        names = [f"{end.app}:{end.endpoint}" for end in ends]
        rows.append(
            {
                "provider": names[0],
                "requirer": names[-1],
                "interface": relation.interface,
                "type": "peer" if len(ends) == 1 else _kind(relation),
                "status": relation_status(relation),
            }
        )
    return sorted(rows, key=lambda row: (row["provider"], row["requirer"]))


def _kind(relation: Relation) -> str:
    return "subordinate" if relation.scope == "container" else "regular"


def relation_status(relation: Relation) -> str:
    """Return how a relation is: `joined`, `suspended` or `dying`."""
    if relation.life is not Life.ALIVE:
        return "dying"
    if relation.suspended:
        return "suspended"
    return "joined"


def workload_status(unit: Unit) -> Status:
    """Return a unit's workload status as it is shown: a failed hook counts as its error."""
    if unit.agent_status.current == "error":
        return unit.agent_status
    return unit.workload_status


def application_status(model: Model, app: Application) -> Status:
    """Return an application's status: what its leader set, else the worst of its units'."""
    if app.status is not None:
        return app.status
    units = [workload_status(unit) for unit in model.units_of(app.name)]
    if not units:
        return Status("unknown", since=app.created)
    return min(units, key=lambda s: _SEVERITY.index(s.current) if s.current in _SEVERITY else 99)


def opened_ports(unit: Unit) -> list[str]:
    """Return the ports that a unit's charm opened, for all endpoints together, by number."""
    ports = {port for opened in unit.opened_ports.values() for port in opened}
    return sorted(ports, key=_port_order)


def _port_order(port: str) -> tuple[str, int]:
    number, _, protocol = port.partition("/")
    first = number.partition("-")[0]
    return protocol, int(first) if first.isdigit() else 0


def _model(model: Model, *, utc: bool) -> Data:
    current = "available" if model.life is Life.ALIVE else "destroying"
    return {
        "name": model.name,
        "type": model.type,
        "controller": identity.CONTROLLER,
        "cloud": identity.cloud_of(model.type),
        "region": identity.REGION,
        "version": identity.JUJU_VERSION,
        "model-status": {
            "current": current,
            "since": format_time(model.created, utc=utc),
        },
        "sla": "unsupported",
    }


def _application(model: Model, app: Application, shown: set[str], *, utc: bool) -> Data:
    charm = model.charms[app.charm_url]
    found: Data = {
        "charm": charm.url,
        "base": base_of(charm),
        "charm-origin": "local",
        "charm-name": charm.name,
        "charm-rev": charm.revision,
        "scale": 0 if model.has_machines else app.scale,
        "provider-id": "" if model.has_machines else f"{model.uuid}-{app.name}",
        "address": app.service_address,
        "exposed": app.exposed,
        "application-status": _info(application_status(model, app), utc=utc),
        "relations": _related(model, app),
        "subordinate-to": _principals(model, app),
        "units": {
            unit.name: _unit(model, unit, utc=utc)
            for unit in model.units_of(app.name)
            if unit.name in shown and not unit.principal
        },
        "version": app.version,
        "endpoint-bindings": endpoint_bindings(app, charm),
    }
    if app.life is not Life.ALIVE:
        found["life"] = str(app.life)
    if not found["scale"] and model.has_machines:
        del found["scale"]
    return {key: value for key, value in found.items() if value not in ("", {}, [], None)}


def endpoint_bindings(app: Application, charm: Charm) -> dict[str, str]:
    """Return the space of each endpoint and extra binding; "" stands for all others."""
    names = ("", *sorted({*charm.endpoints, *charm.extra_bindings}))
    return {name: space_of(app, name) for name in names}


def _principals(model: Model, app: Application) -> list[str]:
    """Return the applications that a subordinate's units are beside."""
    if not model.charm_of(app.name).subordinate:
        return []
    relations = (r for r in model.relations_of(app.name) if r.scope == "container")
    return sorted({end.app for relation in relations for end in relation.ends} - {app.name})


def _saas(model: Model, saas: Saas, *, utc: bool) -> Data:
    related: dict[str, list[str]] = {}
    for relation in model.relations_of(saas.name):
        own = next(end for end in relation.ends if end.app == saas.name)
        other = next(end for end in relation.ends if end is not own)
        related.setdefault(own.endpoint, []).append(other.app)
    found: Data = {
        "url": saas.url,
        "endpoints": shown_endpoints(saas.endpoints),
        "life": "" if saas.life is Life.ALIVE else str(saas.life),
        "application-status": _info(saas.status, utc=utc),
        "relations": dict(sorted(related.items())),
    }
    return {key: value for key, value in found.items() if value not in ("", {})}


def shown_endpoints(endpoints: Mapping[str, Endpoint]) -> Data:
    """Return endpoints of an offer as Juju shows them."""
    return {
        name: {"interface": endpoint.interface, "role": endpoint.role}
        for name, endpoint in sorted(endpoints.items())
    }


def _offer(model: Model, offer: Offer) -> Data:
    charm = model.charm_of(offer.app)
    using = [
        relation
        for relation in model.relations.values()
        if relation.crossing is not None and relation.crossing.offer == offer.uuid
    ]
    active = sum(relation_status(relation) == "joined" for relation in using)
    declared = {name: charm.endpoints[name] for name in offer.endpoints if name in charm.endpoints}
    return {
        "application": offer.app,
        "charm": charm.url,
        "total-connected-count": len(using),
        "active-connected-count": active,
        "endpoints": shown_endpoints(declared),
    }


def base_of(charm: Charm) -> Data | None:
    """Return the distribution that a charm was packed for: `{name, channel}`, if it says so."""
    for base in charm.manifest.get("bases") or ():
        channel = str(base.get("channel", ""))
        risk = "" if "/" in channel else "/stable"
        return {"name": str(base.get("name", "")), "channel": channel + risk}
    return None


def _unit(model: Model, unit: Unit, *, utc: bool) -> Data:
    agent = unit.agent_status
    if agent.current == "error":  # Juju shows the failure once, as the workload's
        agent = Status("idle", since=agent.since)
    found: Data = {
        "workload-status": _info(workload_status(unit), utc=utc),
        "juju-status": _info(agent, utc=utc) | {"version": identity.JUJU_VERSION},
        "leader": model.applications[unit.app].leader == unit.name,
        "open-ports": opened_ports(unit),
    }
    if unit.machine:
        if not unit.principal:
            found["machine"] = unit.machine
        found["public-address"] = unit.address
        found["subordinates"] = {
            other.name: _unit(model, other, utc=utc) for other in model.subordinates_of(unit.name)
        }
    else:
        found |= {"address": unit.address, "provider-id": unit.name.replace("/", "-")}
    if unit.life is not Life.ALIVE:
        found["juju-status"]["life"] = str(unit.life)
    return {key: value for key, value in found.items() if value or key.endswith("status")}


def machines(model: Model, settings: Settings | None, *, utc: bool = False) -> Data:
    """Return the machines of a model by id, as Juju's status and `juju machines` show them."""
    ordered = sorted(model.machines.values(), key=lambda machine: int(machine.id))
    return {machine.id: _machine(machine, settings, utc=utc) for machine in ordered}


def _machine(machine: Machine, settings: Settings | None, *, utc: bool) -> Data:
    found: Data = {
        "juju-status": _info(machine.agent_status, utc=utc) | {"version": identity.JUJU_VERSION},
        "hostname": machine.hostname,
        "dns-name": machine.address,
        "ip-addresses": [held.address for held in machine.interfaces.values()],
        "instance-id": machine.hostname,
        "display-name": machine.hostname,
        "machine-status": _info(machine.instance_status, utc=utc),
        "modification-status": {"current": "idle", "since": format_time(machine.created, utc=utc)},
        "network-interfaces": {
            held.name: _interface(space, held, settings, is_up=machine.ready)
            for space, held in sorted(machine.interfaces.items(), key=lambda item: item[1].name)
        },
        "constraints": machine.constraints,
        "hardware": f"image-id={machine.image}" if machine.image else "",
    }
    if machine.life is not Life.ALIVE:
        found["juju-status"]["life"] = str(machine.life)
    return {key: value for key, value in found.items() if value not in ("", {}, [])}


def _interface(space: str, held: Interface, settings: Settings | None, *, is_up: bool) -> Data:
    found: Data = {
        "ip-addresses": [held.address],
        "mac-address": names.hardware_address(held.address) if held.address else "",
        "space": space,
        "is-up": is_up,
    }
    subnets = settings.subnets if settings is not None else {}
    leads_out = space == ALPHA or any(
        other.name == space and other.gateway for other in (settings.spaces if settings else ())
    )
    if space in subnets and leads_out:
        found["gateway"] = names.gateway(subnets[space])
    return found


def _info(status: Status, *, utc: bool) -> Data:
    found: Data = {"current": status.current, "since": format_time(status.since, utc=utc)}
    return found | ({"message": status.message} if status.message else {})


def _related(model: Model, app: Application) -> Data:
    found: dict[str, list[Data]] = {}
    for relation in model.relations_of(app.name):
        own = next(end for end in relation.ends if end.app == app.name)
        other = next((end for end in relation.ends if end != own), own)
        found.setdefault(own.endpoint, []).append(
            {
                "related-application": other.app,
                "interface": relation.interface,
                "scope": relation.scope,
            }
        )
    return dict(sorted(found.items()))


def _storage(model: Model, shown: set[str], *, utc: bool) -> Data:
    """Return storage instances and the folders behind them."""
    instances: Data = {}
    filesystems: Data = {}
    pool, places = ("rootfs", "machines") if model.has_machines else ("kubernetes", "containers")
    for unit in model.units.values():
        if unit.name not in shown:
            continue
        for held in unit.storage.values():
            since = format_time(unit.workload_status.since, utc=utc)
            current = "detaching" if held.detaching else "attached"
            state = {"current": current if held.attached else "pending", "since": since}
            place = {"location": held.location, "life": str(unit.life)}
            instances[held.id] = {
                "kind": "filesystem",
                "life": str(unit.life),
                "status": state,
                "persistent": not model.has_machines,
                "attachments": {"units": {unit.name: place}},
            }
            filesystems[held.id.rpartition("/")[2]] = {
                "provider-id": held.id.replace("/", "-"),
                "storage": held.id,
                "attachments": {
                    places: {
                        unit.machine or unit.name: {
                            "mount-point": held.location,
                            "read-only": False,
                        }
                    },
                    "units": {unit.name: place},
                },
                "pool": pool,
                "size": 0,
                "life": str(unit.life),
                "status": state,
            }
    return {"storage": instances, "filesystems": filesystems} if instances else {}


def _select(model: Model, selectors: Sequence[str]) -> set[str]:
    """Return names of the applications and units that selectors mean."""
    if not selectors:
        return {*model.applications, *model.units, *model.saas}
    items = (*model.units.values(), *model.applications.values())
    found = {name for item in items for name in _matched(model, item, selectors)}
    return found | {name for s in selectors for name in fnmatch.filter(model.saas, s)}


def _matched(model: Model, item: Unit | Application, selectors: Iterable[str]) -> Iterable[str]:
    """Yield the names that an item brings along: a unit its application, and the other way."""
    for pattern in selectors:
        if isinstance(item, Application):
            if fnmatch.fnmatchcase(item.name, pattern):
                yield item.name
                yield from (unit.name for unit in model.units_of(item.name))
        elif (
            fnmatch.fnmatchcase(item.name, pattern)
            or pattern == workload_status(item).current
            or (
                pattern == f"{item.app}/leader"
                and model.applications[item.app].leader == item.name
            )
        ):
            yield item.name
            yield item.app
