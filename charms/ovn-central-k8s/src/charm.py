#!/usr/bin/env python3
"""OVN central: the databases of the cloud's virtual networks."""

import pathlib

import ops

import ovn
from charmkit.interfaces import certificate_transfer, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, Process, Service, Task

SCRIPTS = tuple(
    File(path=f"{ovn.SCRIPTS}/{name}", template=name, mode=0o755, restarts=False)
    for name in ("databases.sh", "online.sh", "server.sh", "northd.sh", "connect.sh", "leave.sh")
)
# The servers look at these before each handshake.
TLS = (
    File(path=f"{ovn.TLS}/cert.pem", text="{{ certificates.certificate }}", **ovn.OWNED),
    File(path=f"{ovn.TLS}/key.pem", text="{{ certificates.private_key }}", **ovn.OWNED),
    File(path=f"{ovn.TLS}/ca.pem", text=ovn.TRUST, **ovn.OWNED),
)
# How the cluster is joined: read when there is no database yet.
MEMBERS = File(path=ovn.MEMBERS, template="members.env.j2", mode=0o644, restarts=False)


def server(which: str) -> Process:
    """Describe the server of a database, `nb` or `sb`."""
    return Process(
        name=f"ovsdb-{which}",
        summary={"nb": "northbound database", "sb": "southbound database"}[which],
        # It makes its folders as root and goes on as another user.
        command=f"sh {ovn.SCRIPTS}/server.sh {which}",
        files=(MEMBERS, *TLS, *SCRIPTS),
        check=Check(
            command=f"sh {ovn.SCRIPTS}/online.sh {which} {{{{ addresses.unit_ip }}}}",
            period=10,
            timeout=9,
        ),
        kill_delay=10,
    )


OVN_CENTRAL = Service(
    name="ovn-central",
    processes=(
        server("nb"),
        server("sb"),
        Process(
            name="ovn-northd",
            summary="northd",
            command=f"sh {ovn.SCRIPTS}/northd.sh {{{{ northbound }}}} {{{{ southbound }}}}",
            files=(*TLS, *SCRIPTS),
            check=Check(command=f"sh {ovn.SCRIPTS}/online.sh northd", period=10, timeout=9),
            kill_delay=10,
        ),
    ),
    needs=(tls_certificates.Requirer(), certificate_transfer.Requirer()),
    provides=(ovn.CLIENTS,),
    values=ovn.values,
    tasks=ovn.tasks,
    offers=ovn.offers,
    farewells=(
        Task(
            name="leave",
            argv=("sh", f"{ovn.SCRIPTS}/leave.sh"),
            message="leaving the cluster",
            on="unit",
            timeout=120,
        ),
    ),
    options=(
        Option(name="inactivity-probe", minimum=0, maximum=600),
        Option(name="election-timer", minimum=1, maximum=32),
    ),
    ports=ovn.PORTS,
    load_balancer=LoadBalancer(
        ports={"southbound": ovn.PORTS[1], "southbound-all": ovn.PORTS[2]},
        wanted=ovn.is_reached_from_outside,
    ),
)


class OvnCentralCharm(ops.CharmBase):
    """Run OVN's databases and northd."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, OVN_CENTRAL, templates)


if __name__ == "__main__":
    ops.main(OvnCentralCharm)
