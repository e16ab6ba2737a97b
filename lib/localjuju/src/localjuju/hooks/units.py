"""Hook commands about the unit, its application and the model."""

from __future__ import annotations

from typing import Any

from localjuju import facts, resolver
from localjuju.hooks import network
from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import Flag, UsageError
from localjuju.hooks.formats import rfc3339
from localjuju.hooks.relations import RELATION_FLAG, key_values, relation_of
from localjuju.hooks.session import Session, unit_order
from localjuju.model import Life, Status, Unit

STATUSES = ("maintenance", "blocked", "waiting", "active")
LEVELS = {name: name for name in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")} | {
    "WARN": "WARNING"
}

_APPLICATION = Flag("application", is_bool=True, help="of the application; only by the leader")


# --- Configuration


def _config_get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    key = names[0] if names else call.args.text("key") or ""
    values = resolver.effective_config(session.model, session.app)
    if key and key != "-":
        return values.get(key)
    if call.args.switch("all"):
        return {name: values.get(name) for name in session.charm.config}
    return values


# --- Status


def _is_leader(session: Session, call: Call) -> bool:
    call.at_most(0)
    return session.is_leader


def _status_data(status: Status) -> dict[str, Any]:
    return {"status": status.current, "message": status.message, "status-data": status.data}


_SEVERITY = ("error", "blocked", "maintenance", "waiting", "active", "terminated", "unknown")


def application_status(session: Session) -> Status:
    """Return what the leader set, or the worst of the units' statuses."""
    if session.app.status is not None:
        return session.app.status
    shown = [unit.workload_status for unit in session.model.units_of(session.app.name)]
    known = [status for status in shown if status.current in _SEVERITY]
    return min(
        known, key=lambda status: _SEVERITY.index(status.current), default=Status("unknown")
    )


def _status_get(session: Session, call: Call) -> Any:
    call.at_most(0)
    detailed = call.args.switch("include-data")
    if not call.args.switch("application"):
        status = session.unit.workload_status
        return _status_data(status) if detailed else status.current
    if not session.is_leader:
        raise CommandError("finding application status: this unit is not the leader")
    status = application_status(session)
    if not detailed:
        return status.current
    units = {
        unit.name: _status_data(unit.workload_status)
        for unit in session.model.units_of(session.app.name)
    }
    return {"application-status": {**_status_data(status), "units": units}}


def _status_set(session: Session, call: Call) -> Any:
    words = call.at_most(2)
    if not words:
        raise UsageError("invalid args, require <status> [message]")
    current, message = (*words, "")[:2]
    if current not in STATUSES:
        listed = " ".join(STATUSES)
        raise UsageError(f'invalid status "{current}", expected one of [{listed}]')
    fresh = Status(current, message, session.now)
    if call.args.switch("application"):
        if not session.is_leader:
            raise CommandError("setting application status: this unit is not the leader")
        if not _same(session.app.status, fresh):
            session.app.status = fresh
            session.touched()
        return NOTHING
    unit = session.unit
    if not unit.status_set or not _same(unit.workload_status, fresh):
        unit.workload_status = fresh
        unit.status_set = True
        session.touched()
    return NOTHING


def _same(old: Status | None, new: Status) -> bool:
    return old is not None and (old.current, old.message) == (new.current, new.message)


def _version_set(session: Session, call: Call) -> Any:
    words = call.at_most(1)
    if not words:
        raise UsageError("no version specified")
    if session.app.version != words[0]:
        session.app.version = words[0]
        session.touched()
    return NOTHING


def _log(session: Session, call: Call) -> Any:
    if not call.args.positional:
        raise UsageError("no message specified")
    level = (call.args.text("log-level") or "INFO").upper()
    if call.args.switch("debug"):
        level = "DEBUG"
    message = " ".join(call.args.positional)
    if session.hook.relation_id is not None:
        message = f"{session.hook.prefix}:{session.hook.relation_id}: {message}"
    session.log(LEVELS.get(level, "INFO"), message)
    return NOTHING


# --- The model around the unit


def _goal(unit: Unit) -> dict[str, str]:
    status = unit.workload_status
    current = status.current if unit.life is Life.ALIVE else "dying"
    return {"status": current, "since": rfc3339(status.since)}


def _planned(session: Session, app: str) -> dict[str, dict[str, str]]:
    """Return an application's units with their status, those included that are still to come."""
    units = session.model.units_of(app)
    goals = {unit.name: _goal(unit) for unit in units}
    alive = sum(unit.life is Life.ALIVE for unit in units)
    taken = {unit.ordinal for unit in units}
    record = session.model.applications[app]
    free = (number for number in range(len(units) + record.scale) if number not in taken)
    if record.life is Life.ALIVE:
        for _, number in zip(range(record.scale - alive), free, strict=False):
            goals[f"{app}/{number}"] = {"status": "waiting", "since": rfc3339(session.now)}
    return dict(sorted(goals.items(), key=lambda item: unit_order(item[0])))


def _goal_state(session: Session, call: Call) -> dict[str, Any]:
    call.at_most(0)
    own = session.unit.app
    relations: dict[str, dict[str, dict[str, str]]] = {}
    for relation in session.model.relations_of(own):
        remote = session.remote_app(relation)
        if remote == own:
            continue
        joined = session.unit_name in relation.in_scope
        status = "suspended" if relation.suspended else "joined" if joined else "joining"
        if relation.life is not Life.ALIVE:
            status = "dying"
        goals = relations.setdefault(session.own_end(relation).endpoint, {})
        goals[remote] = {"status": status, "since": rfc3339(session.app.created)}
        if remote in session.model.applications:
            goals.update(_planned(session, remote))
    return {"units": _planned(session, own), "relations": relations}


_NETWORK_PARTS = ("bind-address", "ingress-address", "egress-subnets", "primary-address")


def _network_get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    if not names:
        raise UsageError("no arguments specified")
    if call.args.text("relation"):
        relation_of(session, call)
    if names[0] not in network.bindings(session.charm):
        raise CommandError(f'no network config found for binding "{names[0]}"')
    paths = session.paths
    info = network.network_info(
        session.model, session.unit_name, names[0], paths.hostname, paths.subnets
    )
    own = facts.interface_of(session.unit, session.model, names[0])[1].address
    parts: dict[str, Any] = {
        "bind-address": own,
        "ingress-address": facts.ingress_address(session.unit, session.model, names[0]),
        "egress-subnets": info["egress-subnets"],
        "primary-address": own,
    }
    wanted = [part for part in _NETWORK_PARTS if call.args.switch(part)]
    if not wanted:
        return info
    return parts[wanted[0]] if len(wanted) == 1 else {part: parts[part] for part in wanted}


def _unit_get(session: Session, call: Call) -> str:
    names = call.at_most(1)
    if not names:
        raise UsageError("no setting specified")
    if names[0] == "private-address":
        return facts.interface_of(session.unit, session.model, "")[1].address
    if names[0] == "public-address":
        return facts.ingress_address(session.unit, session.model)
    raise UsageError(f'unknown setting "{names[0]}"')


def _reboot(session: Session, call: Call) -> Any:
    call.at_most(0)
    if not session.model.has_machines:
        raise CommandError(f"juju-reboot is not supported on {session.model.type} models")
    if session.action is not None:
        raise CommandError("juju-reboot is not supported when running an action.")
    session.reboot = "now" if call.args.switch("now") else "after"
    return NOTHING


# --- Settings of the leader, as charms for Juju 2 use them


def _leader_get(session: Session, call: Call) -> Any:
    names = call.at_most(1)
    settings = session.app.leader_settings
    return settings.get(names[0]) if names and names[0] != "-" else dict(settings)


def _leader_set(session: Session, call: Call) -> Any:
    changes = key_values(call.args.positional)
    if not session.is_leader:
        raise CommandError("cannot write leadership settings: this unit is not the leader")
    merged = {k: v for k, v in {**session.app.leader_settings, **changes}.items() if v}
    if merged != session.app.leader_settings:
        session.app.leader_settings = merged
        session.touched()
    return NOTHING


COMMANDS: dict[str, Command] = {
    "config-get": Command(
        _config_get,
        "[<key>]",
        (Flag("all", ("a",), is_bool=True, help="options without a value too"), Flag("key")),
        prints=True,
    ),
    "is-leader": Command(_is_leader, "", prints=True),
    "status-get": Command(
        _status_get,
        "",
        (
            Flag("include-data", is_bool=True, help="message and data too"),
            _APPLICATION,
        ),
        prints=True,
    ),
    "status-set": Command(_status_set, "<status> [<message>]", (_APPLICATION,)),
    "application-version-set": Command(_version_set, "<version>"),
    "juju-log": Command(
        _log,
        "<message>",
        (
            Flag("log-level", ("l",), help="TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL"),
            Flag("debug", is_bool=True, help="log at level DEBUG"),
        ),
    ),
    "goal-state": Command(_goal_state, "", prints=True),
    "network-get": Command(
        _network_get,
        "<binding>",
        (RELATION_FLAG, *(Flag(part, is_bool=True) for part in _NETWORK_PARTS)),
        prints=True,
    ),
    "unit-get": Command(_unit_get, "private-address|public-address", prints=True),
    "juju-reboot": Command(
        _reboot, "", (Flag("now", is_bool=True, help="at once; the hook runs again"),)
    ),
    "leader-get": Command(_leader_get, "[<key>|-]", prints=True),
    "leader-set": Command(_leader_set, "key=value [...]", redact=frozenset({"args"})),
}
