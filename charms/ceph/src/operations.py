"""What operators do with the cluster: the charm's actions, and taking a machine out of it."""

import json
import socket

import ops

import cluster
from charmkit.machine import Machine
from charmkit.target import CommandError


class Operations(ops.Object):
    """Handles actions, and leaves the cluster when the unit is removed. A charm *has* one.

    Args:
        charm: The charm; keep a reference to the operations in it, ops holds observers weakly.
    """

    def __init__(self, charm: ops.CharmBase):
        super().__init__(charm, "operations")
        self._charm = charm
        self._machine = Machine("ceph")
        self.framework.observe(charm.on.list_pools_action, self._list_pools)
        self.framework.observe(charm.on.show_status_action, self._show_status)
        self.framework.observe(charm.on.add_osd_action, self._add_osd)
        self.framework.observe(charm.on.stop, self._leave)

    def _list_pools(self, event: ops.ActionEvent) -> None:
        try:
            event.set_results({"pools": self._do("pools", {}).strip()})
        except CommandError as error:
            event.fail(f"cannot list the pools: {error}")

    def _show_status(self, event: ops.ActionEvent) -> None:
        try:
            text = self._machine.run(("ceph", "--connect-timeout", "10", "status"), timeout=20)
        except CommandError as error:
            event.fail(f"cannot show the status: {error}")
        else:
            event.set_results({"status": text})

    def _add_osd(self, event: ops.ActionEvent) -> None:
        device, size = event.params.get("device"), event.params.get("size")
        if bool(device) == bool(size):
            event.fail("cannot add an OSD: give either device or size")
            return
        wanted = cluster.wanted_osds(self._charm.config)
        if device:
            wanted["devices"] = [*wanted["devices"], device]
        else:
            wanted["files"] = [int(event.params["size"]) << 30]
        try:
            made = json.loads(self._do("storage", wanted))
        except CommandError as error:
            event.fail(f"cannot add an OSD: {error}")
        else:
            event.set_results({"osds": ", ".join(f"osd.{each}" for each in made["osds"])})

    def _leave(self, _: ops.StopEvent) -> None:
        """Leave a cluster that goes on; the last unit, and what it stores, stay as they are."""
        if self._charm.app.planned_units() and self._machine.read(cluster.MADE):
            self._do("leave", {"node": socket.gethostname()})

    def _do(self, command: str, request: object) -> str:
        return self._machine.run((cluster.SCRIPT, command), stdin=json.dumps(request), timeout=600)
