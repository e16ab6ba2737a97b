#!/usr/bin/env python3
"""Nova: the control plane of the cloud's instances."""

import pathlib

import ops

import nova
from charmkit import api, caching
from charmkit.interfaces import keystone, placement, rabbitmq
from charmkit.interfaces.nova_service import VHOST
from charmkit.reconciler import Reconciler
from charmkit.service import LoadBalancer, Service

NOVA = Service(
    name="nova",
    processes=nova.PROCESSES,
    files=nova.FILES,
    needs=(
        *api.needs("nova"),
        *nova.INGRESSES,
        nova.API_DATABASE,
        nova.CELL0_DATABASE,
        rabbitmq.Requirer(username="nova", vhost=VHOST),
        keystone.Requirer(apis=(nova.API,), ingresses=nova.INGRESSES),
        placement.Requirer(),
        caching.NEED,
    ),
    provides=(nova.HYPERVISORS,),
    own_secrets=(caching.TOKEN_KEY, nova.METADATA_SECRET),
    values=nova.values,
    tasks=nova.tasks,
    offers=nova.offers,
    options=api.OPTIONS,
    ports=(nova.PORT, nova.METADATA_PORT, nova.CONSOLE_PORT),
    load_balancer=LoadBalancer(
        ports={"metadata": nova.METADATA_PORT, "console": nova.CONSOLE_PORT},
        wanted=lambda snapshot: bool(snapshot.related(nova.HYPERVISORS.endpoint)),
    ),
)


class NovaCharm(ops.CharmBase):
    """Run Nova's APIs, scheduler, conductor and console proxy."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, NOVA, templates)


if __name__ == "__main__":
    ops.main(NovaCharm)
