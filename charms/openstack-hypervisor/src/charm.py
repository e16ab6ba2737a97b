#!/usr/bin/env python3
"""A hypervisor: runs VMs of the cloud on a machine."""

import pathlib

import ops

import hypervisor
import migration
import volumes
from charmkit.interfaces import (
    certificate_transfer,
    cinder_ceph_key,
    keystone_credentials,
    nova_service,
    ovsdb_cms,
    rabbitmq,
    tls_certificates,
)
from charmkit.reconciler import Reconciler
from charmkit.service import Service

HYPERVISOR = Service(
    name=hypervisor.NAME,
    processes=hypervisor.PROCESSES,
    files=volumes.FILES,
    needs=(
        rabbitmq.Requirer(username="nova", vhost=nova_service.VHOST, external=True),
        keystone_credentials.Requirer(),
        ovsdb_cms.Requirer(external=True),
        nova_service.Requirer(),
        tls_certificates.Requirer(),
        certificate_transfer.Requirer(),
        cinder_ceph_key.Requirer(),
    ),
    packages=hypervisor.PACKAGES,
    users=hypervisor.USERS,
    runtime="openstack-runtime",
    bindings=(hypervisor.TUNNEL, hypervisor.PROVIDER),
    inspect=hypervisor.inspect,
    values=hypervisor.values,
    obstacle=hypervisor.obstacle,
    condition=hypervisor.condition,
    tasks=hypervisor.tasks,
    own_secrets=(migration.SECRET,),
    options=hypervisor.OPTIONS,
)


class OpenstackHypervisorCharm(ops.CharmBase):
    """Run a hypervisor."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, HYPERVISOR, templates)
        framework.observe(self.on.list_instances_action, self._list_instances)
        framework.observe(self.on.show_virtualization_action, self._show_virtualization)

    def _list_instances(self, event: ops.ActionEvent) -> None:
        machine = self.reconciler.machine
        names = machine.run(("virsh", "--connect", "qemu:///system", "list", "--all", "--name"))
        states = {
            name: machine.run(("virsh", "--connect", "qemu:///system", "domstate", name)).strip()
            for name in names.split()
        }
        event.set_results({"count": len(states), "instances": repr(states)})

    def _show_virtualization(self, event: ops.ActionEvent) -> None:
        snapshot = self.reconciler.observe()
        event.set_results(
            {
                "virtualization": hypervisor.virtualization(snapshot),
                "datapath": hypervisor.datapath(snapshot),
                "probed-virtualization": snapshot.machine["virtualization"] or "unknown",
                "probed-datapath": snapshot.machine["datapath"] or "unknown",
            }
        )


if __name__ == "__main__":
    ops.main(OpenstackHypervisorCharm)
