#!/usr/bin/env python3
"""Glance: the images of which instances and volumes are made."""

import pathlib

import ops

import glance
from charmkit import api, caching
from charmkit.interfaces import keystone
from charmkit.reconciler import Reconciler
from charmkit.service import Option, Service

GLANCE = Service(
    name="glance",
    processes=(
        api.process(
            service="glance",
            module="glance.wsgi.api",
            port=glance.PORT,
            configuration=glance.CONFIG,
            environment={"OS_GLANCE_CONFIG_DIR": "/etc/glance"},
            files=glance.CEPH_FILES,
            # An upload lasts as long as the client's line makes it; others must not wait for it.
            threads=8,
            chunked=True,
        ),
    ),
    files=glance.FILES,
    needs=(
        *api.needs("glance"),
        *glance.INGRESSES,
        keystone.Requirer(apis=(glance.API,), ingresses=glance.INGRESSES),
        glance.CEPH,
        caching.NEED,
    ),
    provides=(glance.CLIENTS,),
    own_secrets=(caching.TOKEN_KEY,),
    values=glance.values,
    obstacle=glance.obstacle,
    condition=glance.condition,
    tasks=glance.tasks,
    offers=lambda snapshot, seen: [glance.CLIENTS.respond(snapshot, ready=seen["online"])],
    options=(*api.OPTIONS, Option(name="ceph-pool-replicas", minimum=0, maximum=10)),
    ports=(glance.PORT,),
)


class GlanceCharm(ops.CharmBase):
    """Run Glance."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, GLANCE, templates)


if __name__ == "__main__":
    ops.main(GlanceCharm)
