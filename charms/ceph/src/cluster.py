"""A Ceph cluster as its units see it: identity, members, storage, health. Pure but for `look`."""

import hashlib
import json
import typing
import uuid
from collections.abc import Mapping

from charmkit.interfaces import ceph_client
from charmkit.service import Obstacle, Sight
from charmkit.spec import (
    ConfigValue,
    Publication,
    Publish,
    SecretContent,
    Snapshot,
    Values,
    in_url,
)
from charmkit.target import CommandError

PORT = 3300
"""Where monitors listen: version 2 of the wire format."""

SCRIPT = "/var/lib/charmkit/ceph/node.py"
PROBE = "/var/lib/charmkit/ceph/online.sh"
MADE = "/var/lib/ceph/helio.json"
OSDS = "/var/lib/ceph/helio-osds.json"

_HEALTH = ("ceph", "--connect-timeout", "5", "health", "--format", "json")

QUIET = frozenset({"POOL_APP_NOT_ENABLED", "RECENT_CRASH", "TOO_FEW_OSDS"})
"""Warnings of which an operator of a small cluster need not read in the status."""


def identity(snapshot: Snapshot) -> SecretContent:
    """Make what one cluster has and no other: its id and its keys."""
    digest = hashlib.sha256(snapshot.random_text("fsid", 43).encode()).digest()
    return {
        "fsid": str(uuid.UUID(bytes=digest[:16], version=4)),
        "mon-key": ceph_client.make_key(snapshot.random_text("mon-key", 43)),
        "admin-key": ceph_client.make_key(snapshot.random_text("admin-key", 43)),
    }


# --- members -----------------------------------------------------------------------------------


def address(snapshot: Snapshot) -> str:
    """Give the address of this machine that clients and other monitors use."""
    where = snapshot.addresses
    return where.bindings.get("public") or where.unit_ip


def endpoint(address: str) -> str:
    """Give an address with the monitors' port."""
    return f"{in_url(address)}:{PORT}"


def other_monitors(snapshot: Snapshot) -> tuple[str, ...]:
    """Give the addresses of the other units' monitors, as far as they are up."""
    bags = snapshot.peers.remote_units.values() if snapshot.peers else ()
    return tuple(sorted({bag["monitor"] for bag in bags if bag.get("monitor")}))


def other_osds(snapshot: Snapshot) -> dict[str, str]:
    """Give how many OSDs the other units have: unit → number."""
    bags = snapshot.peers.remote_units if snapshot.peers else {}
    return {unit: bag["osds"] for unit, bag in sorted(bags.items()) if bag.get("osds")}


def tell_peers(snapshot: Snapshot, address: str, online: bool) -> Publication:
    """Tell the other units about our monitor and OSDs, once they are there."""
    if snapshot.peers is None or not (online and address):
        return Publication()
    osds = max(len(_devices(snapshot.config)), 1, int(snapshot.machine.get("osds", 0)))
    bag = {"monitor": address, "osds": str(osds)}
    return Publication(bags=(Publish(relation_id=snapshot.peers.id, unit=bag),))


# --- what is wanted ----------------------------------------------------------------------------


def _devices(config: Mapping[str, ConfigValue]) -> list[str]:
    return str(config.get("osd-devices", "")).split()


def wanted_osds(config: Mapping[str, ConfigValue]) -> dict[str, typing.Any]:
    """Give what OSDs the options ask for."""
    return {"devices": _devices(config), "size": int(config.get("osd-size", 10)) << 30}


def settings(config: Mapping[str, ConfigValue]) -> list[list[str]]:
    """Give settings for the cluster's own store: section, option, value."""
    memory = int(config.get("osd-memory", 1024)) << 20
    return [
        ["osd", "osd_memory_target", str(memory)],
        # Old clients could take another's place; we have none.
        ["mon", "auth_allow_insecure_global_id_reclaim", "false"],
        # A monitor of a small cluster shares its disk, and stops itself at the second limit.
        ["mon", "mon_data_avail_warn", "5"],
        ["mon", "mon_data_avail_crit", "2"],
    ]


# --- what is there -----------------------------------------------------------------------------


def look(snapshot: Snapshot, sight: Sight) -> Values:
    """Look at what this machine has of the cluster, and at the cluster's health."""
    made = sight.read(MADE)
    osds = sight.read(OSDS)
    facts = {"has_monitor": bool(made), "osds": len(json.loads(osds)) if osds else 0}
    if not made:
        return {**facts, "health": {}}
    try:
        text = sight.run(_HEALTH, timeout=8)
    except CommandError:
        return {**facts, "health": {}}  # the probe of the monitor tells, and better
    return {**facts, "health": json.loads(text or "{}")}


def obstacle(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell what keeps this unit from being a member of the cluster."""
    if not seen["address"]:
        return "waiting", "waiting for an address"
    if snapshot.machine.get("has_monitor") or seen["online"]:
        return None  # what was made in this dispatch was not there when we looked
    made = seen["facts"].get("cluster")
    if made is None and not snapshot.is_leader:
        return "waiting", "waiting for the leader: making the cluster"
    if made and not other_monitors(snapshot):
        return "waiting", "waiting for the monitor of another unit"
    return None


def condition(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell what is wrong with the cluster and matters, in Ceph's own words."""
    health = snapshot.machine.get("health") or {}
    checks: Mapping[str, typing.Any] = health.get("checks", {})
    loud = [
        each["summary"]["message"]
        for name, each in sorted(checks.items())
        if name not in QUIET and not each.get("muted")
    ]
    if not loud:
        return None
    text = "; ".join(loud)
    if health.get("status") == "HEALTH_ERR":
        return "blocked", f"HEALTH_ERR: {text}; see the action show-status"
    return "active", f"HEALTH_WARN: {text}"
