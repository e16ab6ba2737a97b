"""The clients of a Ceph cluster: whose pools and keys are made, and whose are kept. Pure."""

import typing

from charmkit.interfaces import ceph_client
from charmkit.spec import Snapshot, Values

CLIENTS = ceph_client.Provider()


def asking(snapshot: Snapshot) -> list[ceph_client.Client]:
    """Give the clients of all requests that can be met.

    A follower knows a client when the leader has made its key.
    """
    made = [
        CLIENTS.client(snapshot, request)
        for request in CLIENTS.requests(snapshot)
        if not request.refusal
    ]
    known = {content.get("key") for content in snapshot.own_secrets.values()}
    return [each for each in made if snapshot.is_leader or each.key in known]


def kept(snapshot: Snapshot, seen: Values) -> dict[str, int]:
    """Give the clients that ask for nothing now and whose relation is there: name → relation.

    An application may have no unit for a moment, or ask for something that is refused. Its data
    are in use, so it loses its key with its relation and not before.
    """
    recorded: dict[str, int] = seen["facts"].get("cluster", {}).get("clients", {})
    names = {each.name for each in asking(snapshot)}
    living = {relation.id for relation in snapshot.related(CLIENTS.endpoint)}
    return {
        name: relation
        for name, relation in recorded.items()
        if name not in names and relation in living
    }


def wish(client: ceph_client.Client) -> dict[str, typing.Any]:
    """Give what is to be made for a client."""
    request = client.request
    return {
        "name": client.name,
        "relation": request.relation_id,
        "key": client.key,
        "pools": [
            {
                "name": pool.name,
                "application": pool.application,
                "group": pool.group,
                "replicas": pool.replicas,
            }
            for pool in request.pools
        ],
        "groups": [list(each) for each in request.groups],
    }
