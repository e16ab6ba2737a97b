"""RabbitMQ: how it is sized, who belongs to the cluster, what accounts it has. Pure; no Juju."""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable

from charmkit.interfaces import rabbitmq
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


# --- accounts ----------------------------------------------------------------------------------

TAG = "helio"
"""Marks the accounts that are ours; others, which an operator made, are left alone."""


def definitions(accounts: Iterable[rabbitmq.Account]) -> str:
    """Give what shall be in the broker, in the form of its own definitions, as JSON.

    Passwords are in it as salted hashes only. Queues of each virtual host are replicated ones
    unless a client insists on another type.
    """
    wanted = tuple(accounts)
    return json.dumps(
        {
            "users": [
                {
                    "name": account.username,
                    "password_hash": password_hash(account.username, account.password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": [TAG],
                }
                for account in wanted
            ],
            "vhosts": [
                {
                    "name": name,
                    "metadata": {"description": "", "tags": [], "default_queue_type": "quorum"},
                }
                for name in sorted({account.request.vhost for account in wanted})
            ],
            "permissions": [
                {
                    "user": account.username,
                    "vhost": account.request.vhost,
                    "configure": ".*",
                    "write": ".*",
                    "read": ".*",
                }
                for account in wanted
            ],
        },
        sort_keys=True,
    )


def password_hash(username: str, password: str) -> str:
    """Give the hash by which the broker knows a password: base64 of salt and SHA-256.

    The salt follows from account and password, so that an equal password is an equal hash and
    nothing is written again. Nobody can use it to find a password of 192 random bits.

    Source: RabbitMQ documentation, "Credentials and Passwords".
    """
    salt = hashlib.sha256(f"{username}\0{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
