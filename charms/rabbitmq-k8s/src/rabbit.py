"""RabbitMQ: how it is sized, and who belongs to the cluster. Pure; no Juju."""

import dataclasses

from charmkit.spec import PEERS, Publication, Publish, Snapshot, unit_number

PORT = 5671
HOME = "/etc/rabbitmq"

MEMBER = "member"
"""Key of the peer unit bag: `yes` from a unit that belongs to the cluster and answers."""

_MIB = 1 << 20


def memory_limit(option: int, memory: int) -> int:
    """Give the memory, in MiB, at which the broker takes no more messages.

    Args:
        option: What the operator wants, 0 for a share of the machine.
        memory: The machine's memory in bytes.
    """
    return option or min(max(memory // 16 // _MIB, 256), 4096)


# --- the cluster -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Membership:
    """How a unit comes into the cluster.

    Attributes:
        me: Its name as a node.
        others: Host names of the other units.
        may_found: Whether it founds the cluster if no other unit answers.
    """

    me: str
    others: tuple[str, ...]
    may_found: bool


def membership(snapshot: Snapshot) -> Membership:
    """Decide how this unit comes into the cluster.

    The first unit founds it, but not if it lost its data while others belong to it: two clusters
    behind one name would each have half of the clients.
    """
    peers = snapshot.peers
    bags = peers.remote_units if peers else {}
    numbers = {unit_number(unit) for unit in bags} | set(range(snapshot.planned_units))
    is_known = any(bag.get(MEMBER) for bag in bags.values())
    mine = unit_number(snapshot.unit)
    return Membership(
        me=node(snapshot, mine),
        others=tuple(snapshot.host(number) for number in sorted(numbers - {mine})),
        may_found=mine == 0 and not is_known,
    )


def expected(snapshot: Snapshot) -> tuple[str, ...]:
    """Name the nodes of the units that the application shall have."""
    return tuple(node(snapshot, number) for number in range(snapshot.planned_units))


def node(snapshot: Snapshot, number: int) -> str:
    """Name the node of a unit."""
    return f"rabbit@{snapshot.host(number)}"


def tell(snapshot: Snapshot, is_member: bool) -> Publication:
    """Tell the other units whether this one belongs to the cluster."""
    text = "yes" if is_member else None
    return Publication(
        bags=tuple(
            Publish(relation_id=relation.id, unit={MEMBER: text})
            for relation in snapshot.related(PEERS)
        )
    )
