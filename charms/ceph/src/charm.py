#!/usr/bin/env python3
"""A small Ceph cluster: on every machine a monitor, a manager and OSDs."""

import json
import pathlib
from collections.abc import Iterator
from dataclasses import replace

import ops

import clients
import cluster
from charmkit.interfaces import ceph_client
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, Option, OwnSecret, Process, Service, Task
from charmkit.spec import Publication, Snapshot, Values
from operations import Operations

NODE = "{{ addresses.unit_name }}"

# Daemons read it when they start, and learn the rest from the monitors; so nothing restarts.
CONFIG = File(path="/etc/ceph/ceph.conf", template="ceph.conf.j2", mode=0o644, restarts=False)

MONITOR = Process(
    name="ceph-mon",
    summary="Ceph monitor",
    unit=f"ceph-mon@{NODE}.service",
    files=(
        CONFIG,
        File(
            path="/etc/ceph/ceph.client.admin.keyring",
            text='[client.admin]\nkey = {{ secrets.cluster["admin-key"] }}\n',
            mode=0o600,
            restarts=False,
        ),
        File(path=cluster.SCRIPT, template="node.py", mode=0o755, restarts=False),
        File(path=cluster.PROBE, template="online.sh", mode=0o755, restarts=False),
    ),
    check=Check(command=f"{cluster.PROBE} {NODE}"),
)
MANAGER = Process(
    name="ceph-mgr", summary="Ceph manager", unit=f"ceph-mgr@{NODE}.service", files=(CONFIG,)
)


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the configuration needs beyond options and secrets."""
    address = cluster.address(snapshot)
    monitors = sorted({address, *cluster.other_monitors(snapshot)})
    return {
        "node": snapshot.addresses.unit_name,
        "address": address,
        "cluster_address": snapshot.addresses.bindings.get("cluster") or address,
        "endpoint": cluster.endpoint(address),
        "mon_host": ",".join(f"[v2:{cluster.endpoint(each)}]" for each in monitors),
    }


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make the monitor, then the OSDs, then what clients ask for."""
    node, secret = seen["node"], seen["secrets"]["cluster"]
    made = seen["facts"].get("cluster", {})
    seed = made.get("seed") or node
    monitor = {
        "node": node,
        "address": seen["address"],
        "fsid": secret["fsid"],
        "mon_key": secret["mon-key"],
        "admin_key": secret["admin-key"],
        "seed": seed,
        # Once the leader has recorded the cluster, others know of it and its data count.
        "confirmed": bool(made),
    }
    yield replace(_task("monitor", monitor, "making the monitor"), on="unit")
    wanted = cluster.wanted_osds(snapshot.config)
    yield replace(_task("storage", wanted, "making OSDs"), on="unit", when="online")
    request = {
        "seed": seed,
        "settings": cluster.settings(snapshot.config),
        "clients": [clients.wish(each) for each in clients.asking(snapshot)],
        "kept": clients.kept(snapshot, seen),
        # OSDs that come and go change how many copies there can be.
        "osds": [wanted, cluster.other_osds(snapshot)],
    }
    made_for_all = _task("cluster", request, "making pools and clients")
    yield replace(made_for_all, when="online", facts=True)


def _task(name: str, request: object, message: str) -> Task:
    return Task(
        name=name,
        argv=(cluster.SCRIPT, name),
        stdin=json.dumps(request, sort_keys=True),
        message=message,
    )


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell the other units about our monitor, and clients about what was made for them."""
    online, made = seen["online"], seen["facts"].get("cluster", {})
    yield cluster.tell_peers(snapshot, seen["address"], online)
    own = (seen["address"],) if online else ()
    there = made.get("clients", {})
    yield clients.CLIENTS.respond(
        snapshot,
        [
            each
            for each in clients.asking(snapshot)
            if there.get(each.name) == each.request.relation_id
        ],
        cluster=ceph_client.Cluster(
            fsid=seen["secrets"]["cluster"]["fsid"],
            address=seen["address"] if online else "",
            monitors=(*own, *cluster.other_monitors(snapshot)),
        ),
    )


SERVICE = Service(
    name="ceph",
    packages=("ceph-mon", "ceph-mgr", "ceph-osd", "ceph-common"),
    bindings=("public", "cluster"),
    inspect=cluster.look,
    processes=(MONITOR, MANAGER),
    provides=(clients.CLIENTS,),
    own_secrets=(
        OwnSecret(
            label="cluster",
            initial=cluster.identity,
            description="id of the Ceph cluster, keys of its monitors and its administrator",
        ),
    ),
    values=values,
    obstacle=cluster.obstacle,
    condition=cluster.condition,
    tasks=tasks,
    offers=offers,
    options=(
        Option(name="osd-size", minimum=2, maximum=65536),
        Option(name="osd-memory", minimum=896, maximum=65536),
        Option(
            name="osd-devices",
            pattern=r"\s*(/dev/[\w./:+-]+(\s+/dev/[\w./:+-]+)*)?\s*",
            hint="write paths with spaces between them, /dev/vdb /dev/vdc",
        ),
    ),
    ports=(cluster.PORT,),
)


class CephCharm(ops.CharmBase):
    """Run a small Ceph cluster."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        # First, since a machine leaves the cluster while its monitor still runs.
        self.operations = Operations(self)
        self.reconciler = Reconciler(self, SERVICE, templates)


if __name__ == "__main__":
    ops.main(CephCharm)
