#!/usr/bin/env python3
"""Memcached for the cloud's services."""

import pathlib
from collections.abc import Iterator

import ops

from charmkit.interfaces import memcache
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, Option, Process, Service
from charmkit.spec import Publication, Snapshot, Values

PORT = 11211
FOLDER = "/etc/memcached"
CLIENTS = memcache.Provider()

SERVER = Process(
    name="memcached",
    summary="memcached",
    command=f"/bin/sh {FOLDER}/start",
    user="memcache",
    group="memcache",
    files=(
        File(path=f"{FOLDER}/start", template="start.sh.j2", group="memcache"),
        File(path=f"{FOLDER}/online", template="online.sh", restarts=False),
    ),
    check=Check(command=f"/bin/bash {FOLDER}/online {{{{ addresses.unit_ip }}}} {PORT}"),
)


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell clients where this unit is, by a name that outlives its pod's address."""
    host = snapshot.addresses.unit_name if seen["online"] else ""
    yield CLIENTS.respond(snapshot, host=host, port=PORT)


SERVICE = Service(
    name="memcached",
    processes=(SERVER,),
    provides=(CLIENTS,),
    offers=offers,
    options=(
        Option(name="memory", minimum=16, maximum=65536),
        Option(name="max-connections", minimum=64, maximum=65536),
    ),
    ports=(PORT,),
)


class MemcachedCharm(ops.CharmBase):
    """Run memcached."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, SERVICE, templates)


if __name__ == "__main__":
    ops.main(MemcachedCharm)
