"""OVN central: who belongs to its databases' clusters, and what is done for that.

Pure, but for reading two small files.

Each database is a Raft cluster. A member is known by an identity that it made up when it was
created or joined, and by its address; a unit that lost its data joins with another identity, and
the old one has to be struck off or it would be counted as a member that never answers.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

from charmkit.interfaces import ovsdb_cms
from charmkit.service import Task
from charmkit.spec import PEERS, Publication, Publish, Snapshot, Values, unit_number

CLIENTS = ovsdb_cms.Provider()
HOME = "/etc/ovn"
PYTHON = "/usr/bin/python3"
DATABASES = ("nb", "sb")

KEY = "members"
"""Key of the peer unit bag: database → identity of this unit's server, if it answers."""


@dataclasses.dataclass(frozen=True)
class Membership:
    """How a unit's servers come into the clusters.

    Attributes:
        me: Host name of this unit.
        others: Host names of the other units.
        may_found: Whether it founds the clusters if no other unit answers.
        election_timer: Milliseconds, for a cluster that it founds.
    """

    me: str
    others: tuple[str, ...]
    may_found: bool
    election_timer: int


def membership(snapshot: Snapshot) -> Membership:
    """Decide how this unit's servers come into the clusters.

    The first unit founds them, but not if it lost its data while others belong to them.
    """
    numbers = {unit_number(unit) for unit in _told(snapshot)} | set(range(snapshot.planned_units))
    mine = unit_number(snapshot.unit)
    return Membership(
        me=snapshot.host(mine),
        others=tuple(snapshot.host(number) for number in sorted(numbers - {mine})),
        may_found=mine == 0 and not any(_told(snapshot).values()),
        election_timer=int(snapshot.config["election-timer"]) * 1000,
    )


def roll(snapshot: Snapshot, own: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give database → address of a member that shall be → its identity, "" if it told none.

    Args:
        snapshot: What was seen.
        own: Database → identity of this unit's server.
    """
    told = {**_told(snapshot), snapshot.unit: own}
    return {
        database: {
            snapshot.host(number): told.get(f"{snapshot.app}/{number}", {}).get(database, "")
            for number in range(snapshot.planned_units)
        }
        for database in DATABASES
    }


def read(folder: pathlib.Path) -> dict[str, str]:
    """Read the identities of this unit's servers, which the start script leaves beside the data.

    Args:
        folder: The storage as the charm sees it.
    """
    found = {database: folder / f"{database}.sid" for database in DATABASES}
    return {
        database: path.read_text().strip() for database, path in found.items() if path.is_file()
    }


def tell(snapshot: Snapshot, own: Mapping[str, str]) -> Publication:
    """Tell the other units the identities of this unit's servers."""
    text = json.dumps(dict(own), sort_keys=True) if own else None
    return Publication(
        bags=tuple(
            Publish(relation_id=relation.id, unit={KEY: text})
            for relation in snapshot.related(PEERS)
        )
    )


def _told(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    """Give unit → what it told, of the other units."""
    bags = snapshot.peers.remote_units if snapshot.peers else {}
    return {unit: json.loads(bag.get(KEY) or "{}") for unit, bag in bags.items()}


# --- what is done --------------------------------------------------------------------------------


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the databases' start needs beyond options and relations."""
    member = membership(snapshot)
    others = {
        name: ",".join(f"ssl:{host}:{port}" for host in member.others)
        for name, port in (
            ("nb", ovsdb_cms.NORTHBOUND_PORT),
            ("sb", ovsdb_cms.SOUTHBOUND_ADMIN_PORT),
        )
    }
    folders = snapshot.storage.get("data", ())
    identities = read(pathlib.Path(folders[0])) if folders and seen["online"] else {}
    return {
        "cluster": json.dumps(dataclasses.asdict(member), sort_keys=True),
        "others": others,
        "identities": identities,
    }


def _task(name: str, program: str, *argv: str, message: str) -> Task:
    """Describe a task with the rights of the databases."""
    return Task(
        name=name,
        argv=(PYTHON, f"{HOME}/{program}", *argv),
        message=message,
        user="ovn",
        group="ovn",
        when="online",
        timeout=300,
    )


LEAVING = _task("leave", "cluster.py", "leave", message="leaving the clusters")


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make members equal to units, and open the databases' ports."""
    probe = int(snapshot.config["inactivity-probe"]) * 1000
    opened = _task(
        "listeners", "cluster.py", "listen", str(probe), message="opening the databases' ports"
    )
    yield dataclasses.replace(opened, facts=True)
    members = json.dumps(roll(snapshot, seen["identities"]), sort_keys=True)
    kept = _task("members", "cluster.py", "keep", message="looking after members")
    yield dataclasses.replace(kept, stdin=members)
    timer = str(int(snapshot.config["election-timer"]) * 1000)
    # Only the member that leads its cluster can, and that may be any unit's.
    timed = _task("election-timer", "timer.py", timer, message="setting the election timer")
    yield dataclasses.replace(timed, on="unit")


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell clients where this unit is as long as it answers them."""
    is_open = seen["online"] and bool(seen["facts"].get("listeners"))
    where = snapshot.addresses
    yield tell(snapshot, seen["identities"])
    yield CLIENTS.respond(
        snapshot,
        hostname=where.unit_name if is_open else "",
        address=where.unit_ip if is_open else "",
        load_balancer=snapshot.load_balancer,
    )


def has_external_clients(snapshot: Snapshot) -> bool:
    """Tell whether a client reaches us from outside the cluster."""
    return any(map(CLIENTS.is_external, CLIENTS.requests(snapshot)))
