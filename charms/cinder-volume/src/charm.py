#!/usr/bin/env python3
"""The volume service of Cinder, on a machine, with the storage that it drives."""

import json
import pathlib

import ops

import backends
import drivers
import inspection
import volume
from charmkit.interfaces import (
    certificate_transfer,
    keystone_credentials,
    mysql_client,
    rabbitmq,
)
from charmkit.reconciler import Reconciler
from charmkit.service import Directory, Option, Service, User

CINDER_VOLUME = Service(
    name="cinder-volume",
    packages=(
        "ceph-common",
        "nfs-common",
        "python3-rados",
        "python3-rbd",
        "qemu-block-extra",
        "qemu-utils",
        "sudo",
    ),
    users=(User(name="cinder", uid=42006, home="/var/lib/cinder"),),
    runtime="openstack-runtime",
    inspect=inspection.look,
    processes=(volume.VOLUME,),
    needs=(
        rabbitmq.Requirer(username="cinder-volume", vhost="cinder", external=True),
        mysql_client.Requirer(database="cinder", external=True),
        keystone_credentials.Requirer(),
        volume.CEPH,
        certificate_transfer.Requirer(),
    ),
    provides=(volume.STORAGE, volume.HYPERVISORS),
    directories=(
        Directory(
            path=backends.FOLDER,
            content=lambda snapshot, seen: backends.shares(seen["wanted"]),
            group="cinder",
            mode=0o750,
            file_mode=0o640,
        ),
    ),
    values=volume.values,
    obstacle=volume.obstacle,
    tasks=volume.tasks,
    offers=volume.offers,
    options=(
        Option(name="ceph-backend", pattern=r"[A-Za-z0-9][\w-]*", hint="write a short name"),
        Option(name="ceph-pool", pattern=r"([A-Za-z0-9][\w.-]*)?", hint="write a pool's name"),
    ),
)


class CinderVolumeCharm(ops.CharmBase):
    """Run Cinder's volume service."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, CINDER_VOLUME, templates)
        framework.observe(self.on.list_backends_action, self._list_backends)

    def _list_backends(self, event: ops.ActionEvent) -> None:
        known = {
            name: [
                {"setting": each.name, "kind": each.kind, "required": each.required,
                 "secret": each.is_secret}
                for each in driver.settings
            ]
            for name, driver in drivers.DRIVERS.items()
        }  # fmt: skip
        try:
            wanted = backends.parse(str(self.config.get("backends", "")))
        except backends.BackendError as error:
            event.fail(str(error))
            return
        names = {each.name: each.driver.name for each in wanted}
        event.set_results({"backends": json.dumps(names), "drivers": json.dumps(known)})


if __name__ == "__main__":
    ops.main(CinderVolumeCharm)
