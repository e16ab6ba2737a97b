"""What the leader did, as the peer databag keeps it, and whether the service answers. Pure."""

import dataclasses
import json
import typing
from collections.abc import Mapping

from charmkit.service import Process, Service
from charmkit.spec import PEERS, ContainerState, Publication, Publish, Snapshot

ONLINE = "online"
"""The check whose result decides whether clients' traffic reaches the unit."""

TASKS = "tasks"
"""Key of the peer application bag: what the leader did, task → digest, inputs and facts."""


LOAD_BALANCER = "load-balancer"
"""Key of the peer application bag: address of the load balancer, and what hinders it."""


def records(snapshot: Snapshot) -> dict[str, dict[str, typing.Any]]:
    """Give what the leader recorded: task → `digest` and, if it has them, `facts`."""
    return json_map(snapshot.peers.local_app.get(TASKS) if snapshot.peers else None)


def json_map(text: str | None) -> dict[str, typing.Any]:
    """Give the JSON object of an entry of our own bags; empty if there is none."""
    return json.loads(text) if text else {}


def reached(
    service: Service,
    snapshot: Snapshot,
    done: Mapping[str, Mapping[str, typing.Any]],
    online: bool,
) -> Snapshot:
    """Give the snapshot in which these tasks are done and the service is online, or not.

    It is the same object if that was so before.
    """
    known, peers = records(snapshot), snapshot.peers
    if peers and any(known.get(name) != record for name, record in done.items()):
        text = json.dumps(known | dict(done), sort_keys=True)
        peers = dataclasses.replace(peers, local_app={**peers.local_app, TASKS: text})
        relations = {**snapshot.relations, PEERS: (peers,)}
        snapshot = dataclasses.replace(snapshot, relations=relations)
    if service.processes and is_online(service, snapshot) != online:
        container = snapshot.containers[service.name]
        checks = {**container.checks, **dict.fromkeys(check_names(service), online)}
        container = dataclasses.replace(container, checks=checks)
        containers = {**snapshot.containers, service.name: container}
        snapshot = dataclasses.replace(snapshot, containers=containers)
    return snapshot


def record_publications(snapshot: Snapshot) -> list[Publication]:
    """Give the publication of the recorded tasks."""
    peers = snapshot.peers
    if peers is None or TASKS not in peers.local_app:
        return []
    bag = Publish(relation_id=peers.id, app={TASKS: peers.local_app[TASKS]})
    return [Publication(bags=(bag,))]


def with_balancer(snapshot: Snapshot) -> Snapshot:
    """Give the snapshot with what the leader recorded of the load balancer."""
    known = json_map(snapshot.peers.local_app.get(LOAD_BALANCER) if snapshot.peers else None)
    return dataclasses.replace(
        snapshot,
        load_balancer=known.get("address", ""),
        load_balancer_problem=known.get("problem", ""),
    )


def balancer_publications(service: Service, snapshot: Snapshot) -> list[Publication]:
    """Tell the other units what became of the load balancer."""
    known = {
        "address": snapshot.load_balancer,
        "problem": snapshot.load_balancer_problem,
    }
    if service.load_balancer is None or snapshot.peers is None or not any(known.values()):
        return []
    text = json.dumps(known, sort_keys=True)
    return [Publication(bags=(Publish(relation_id=snapshot.peers.id, app={LOAD_BALANCER: text}),))]


def is_online(service: Service, snapshot: Snapshot) -> bool:
    """Tell whether the checks of every process are up."""
    container = snapshot.containers.get(service.name, ContainerState())
    return container.can_connect and all(
        container.checks.get(name, False) for name in check_names(service)
    )


def check_names(service: Service) -> dict[str, Process]:
    """Give check → process: `online` for the first process, `online-<name>` for the others."""
    checked = [process for process in service.processes if process.check]
    return {
        ONLINE if index == 0 else f"{ONLINE}-{process.name}": process
        for index, process in enumerate(checked)
    }
