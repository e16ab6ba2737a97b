"""Galera: who belongs to the cluster, and who may found it. Pure, but for reading one file.

A lone unit is a plain server. With more units every server is a member of one cluster. Members
find each other by name; the one thing that must never happen is that two of them found a cluster
each, because then their data part. So:

- Nobody founds while any other member answers (the start script looks).
- Where no unit has data of a cluster yet, unit 0 founds: it is the one that was alone before.
- Where units have, one may found only if all of them are known to be down, which they are when
  each told the place in the cluster's history at which it stopped; the one with the latest place
  founds. Members that died at once need no founder: Galera remembers who they were and they
  continue when they see each other again.

Source: Galera documentation, "Restarting the cluster" and "Recovering the primary component".
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping

from charmkit.spec import PEERS, Publication, Publish, Snapshot, unit_number

KEY = "galera"
"""Key of the peer unit bag: where in the cluster's history the unit stopped."""

_NO_HISTORY = "00000000-0000-0000-0000-000000000000"


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in the history of a cluster.

    Attributes:
        history: The cluster's UUID, "" if the unit has never been a member.
        seqno: Number of the last change; negative while the unit runs or where it is not known.
    """

    history: str = ""
    seqno: int = -1


@dataclasses.dataclass(frozen=True)
class Membership:
    """How a unit starts its server.

    Attributes:
        clustered: Whether it is a member of a cluster, or alone.
        members: Host names of all members, this unit's included.
        may_found: Whether it founds the cluster if no other member answers.
    """

    clustered: bool = False
    members: tuple[str, ...] = ()
    may_found: bool = False


def membership(snapshot: Snapshot, own: Position) -> Membership:
    """Decide how this unit starts its server.

    A unit stays a member until the last other one has gone: what that one took in has to arrive.

    Args:
        snapshot: What was seen.
        own: Where this unit stopped.
    """
    others = positions(snapshot)
    if snapshot.planned_units <= 1 and not others:
        return Membership()
    numbers = {unit_number(unit) for unit in others} | set(range(snapshot.planned_units))
    return Membership(
        clustered=True,
        members=tuple(snapshot.host(number) for number in sorted(numbers)),
        may_found=founder({**others, snapshot.unit: own}) == snapshot.unit,
    )


def founder(known: Mapping[str, Position]) -> str | None:
    """Give the unit that may found the cluster, or None.

    Args:
        known: Unit → where it stopped, of all units that told it.
    """
    members = {unit: place for unit, place in known.items() if place.history}
    if not members:
        return next((unit for unit in known if unit_number(unit) == 0), None)
    if len({place.history for place in members.values()}) > 1:
        return None  # two histories: only a person can know which one is to stay
    if any(place.seqno < 0 for place in members.values()):
        return None
    return max(members, key=lambda unit: (members[unit].seqno, -unit_number(unit)))


def positions(snapshot: Snapshot) -> dict[str, Position]:
    """Give where the other units stopped, as they told it; nothing told counts as no member."""
    bags = snapshot.peers.remote_units if snapshot.peers else {}
    return {unit: _parse(bag.get(KEY)) for unit, bag in bags.items()}


def _parse(text: str | None) -> Position:
    facts = json.loads(text) if text else {}
    return Position(facts.get("history", ""), facts.get("seqno", -1))


def tell(snapshot: Snapshot, own: Position) -> Publication:
    """Tell the other units where this one stopped."""
    bags = (
        Publish(
            relation_id=relation.id,
            unit={KEY: json.dumps(dataclasses.asdict(own), sort_keys=True)},
        )
        for relation in snapshot.related(PEERS)
    )
    return Publication(bags=tuple(bags))


def read(folder: pathlib.Path) -> Position:
    """Read where a server stopped.

    Args:
        folder: The storage as the charm sees it. `data/grastate.dat` is Galera's own record; it
            does not know the place after a crash. The start script then asks InnoDB and leaves
            the answer in `recovered`, as `history:seqno`.
    """
    record = _text(folder / "data/grastate.dat")
    facts = dict(re.findall(r"^(uuid|seqno):\s*(\S+)$", record, re.MULTILINE))
    history = facts.get("uuid", "")
    if history in ("", _NO_HISTORY):
        return Position()
    seqno = int(facts.get("seqno", "-1"))
    recovered = re.fullmatch(r"(\S+):(\d+)\s*", _text(folder / "recovered"))
    if seqno < 0 and recovered and recovered[1] == history:
        seqno = int(recovered[2])
    return Position(history, seqno)


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
