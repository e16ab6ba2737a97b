#!/usr/bin/env python3
"""Neutron: the networks of the cloud."""

import pathlib

import ops

import neutron
from charmkit import api, caching, messaging
from charmkit.interfaces import keystone, ovsdb_cms, rabbitmq
from charmkit.reconciler import Reconciler
from charmkit.service import Service

NEUTRON = Service(
    name="neutron",
    processes=neutron.PROCESSES,
    needs=(
        *api.needs("neutron"),
        *neutron.INGRESSES,
        rabbitmq.Requirer(username="neutron", vhost="neutron"),
        keystone.Requirer(apis=(neutron.API,), ingresses=neutron.INGRESSES),
        ovsdb_cms.Requirer(),
        caching.NEED,
    ),
    own_secrets=(caching.TOKEN_KEY,),
    values=lambda snapshot, seen: messaging.values("neutron"),
    tasks=neutron.tasks,
    options=(*api.OPTIONS, *neutron.OPTIONS),
    ports=(neutron.PORT,),
)


class NeutronCharm(ops.CharmBase):
    """Run Neutron's API and workers."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, NEUTRON, templates)


if __name__ == "__main__":
    ops.main(NeutronCharm)
