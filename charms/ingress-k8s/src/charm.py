#!/usr/bin/env python3
"""HAProxy: one entry point over TLS for every API of the cloud."""

import pathlib

import ops

import haproxy
from charmkit import api
from charmkit.interfaces import certificate_transfer
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, Process, Service

INGRESS = Service(
    name="ingress",
    processes=(
        Process(
            name="haproxy",
            summary="entry point",
            # It binds to its ports as root; what serves is another user, see the settings.
            command=f"{haproxy.PROGRAM} -W -db -f {haproxy.CONFIG} -p {haproxy.PID}",
            files=(
                # New settings and certificates are loaded without losing a connection: see tasks.
                File(path=haproxy.CONFIG, template="haproxy.cfg.j2", restarts=False),
                File(
                    path=haproxy.CERTIFICATE,
                    text="{{ certificates.certificate }}{{ certificates.private_key }}",
                    mode=0o600,
                    restarts=False,
                ),
                File(path=haproxy.TRUSTED, text=api.TRUST, mode=0o644, restarts=False),
                File(path=haproxy.PROBE, template="online.sh", mode=0o755, restarts=False),
                File(path=haproxy.RELOAD, template="reload.sh", mode=0o755, restarts=False),
            ),
            check=Check(command=f"sh {haproxy.PROBE} {{{{ addresses.unit_ip }}}}"),
        ),
    ),
    needs=(haproxy.CERTIFICATES, certificate_transfer.Requirer()),
    provides=(haproxy.CLIENTS,),
    values=haproxy.values,
    tasks=haproxy.tasks,
    offers=haproxy.offers,
    options=(
        Option(
            name="external-hostname",
            pattern=r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.|$))*",
            hint="write a host name in lower case, without https://",
        ),
        Option(name="idle-timeout", minimum=10, maximum=86400),
    ),
    ports=haproxy.PORTS,
    load_balancer=LoadBalancer(
        ports={"https": haproxy.PORTS[0], "http": haproxy.PORTS[1]}, wanted=lambda snapshot: True
    ),
)


class IngressCharm(ops.CharmBase):
    """Run HAProxy."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, INGRESS, templates)


if __name__ == "__main__":
    ops.main(IngressCharm)
