#!/usr/bin/env python3
"""Placement: what resources a cloud has, and who uses them."""

import pathlib

import ops

from charmkit import api, caching
from charmkit.interfaces import keystone, placement
from charmkit.reconciler import Reconciler
from charmkit.service import Service

PORT = 8778
CLIENTS = placement.Provider()
API = keystone.Api(name="placement", type="placement", description="Placement", port=PORT)
INGRESSES = api.ingresses(PORT)
PLACEMENT = Service(
    name="placement",
    processes=(
        api.process(
            service="placement",
            module="placement.wsgi.api",
            port=PORT,
            configuration=api.config(
                "placement", "placement.conf", "keystonemiddleware.auth_token"
            ),
            environment={"OS_PLACEMENT_CONFIG_DIR": "/etc/placement"},
        ),
    ),
    needs=(
        *api.needs("placement"),
        *INGRESSES,
        keystone.Requirer(apis=(API,), ingresses=INGRESSES),
        caching.NEED,
    ),
    provides=(CLIENTS,),
    own_secrets=(caching.TOKEN_KEY,),
    tasks=lambda snapshot, seen: [
        api.schema("placement", seen["database"], f"{api.BIN}/placement-manage", "db", "sync")
    ],
    offers=lambda snapshot, seen: [CLIENTS.respond(snapshot, ready=seen["online"])],
    options=api.OPTIONS,
    ports=(PORT,),
)


class PlacementCharm(ops.CharmBase):
    """Run Placement."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, PLACEMENT, templates)


if __name__ == "__main__":
    ops.main(PlacementCharm)
