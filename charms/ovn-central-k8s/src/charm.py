#!/usr/bin/env python3
"""OVN's central databases, and northd."""

import pathlib

import ops

import ovn
from charmkit.interfaces import ovsdb_cms, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, Process, Service

CERTIFICATES = tls_certificates.Requirer()
TLS = f"{ovn.HOME}/tls"


def script(name: str, *, restarts: bool = False) -> File:
    """Describe a script of ours."""
    return File(path=f"{ovn.HOME}/{name}", template=name, mode=0o644, restarts=restarts)


def tls(*, restarts: bool) -> tuple[File, ...]:
    """Describe key, certificate and authority.

    Args:
        restarts: Whether the process reads them at its start only.
    """
    texts = {
        "key.pem": "{{ certificates.private_key }}",
        "cert.pem": "{{ certificates.certificate }}",
        "ca.pem": "{{ certificates.ca }}",
    }
    return tuple(
        File(
            path=f"{TLS}/{name}", text=text, mode=0o400, user="ovn", group="ovn", restarts=restarts
        )
        for name, text in texts.items()
    )


def database(name: str) -> Process:
    """Describe the server of a database."""
    return Process(
        name=f"ovsdb-{name}",
        summary=f"OVN's {'northbound' if name == 'nb' else 'southbound'} database",
        command=f"{ovn.PYTHON} {ovn.HOME}/start.py {name}",
        files=(
            script("start.py", restarts=True),
            script("cluster.py"),
            script("timer.py"),
            script("online.sh"),
            # Members come and go without a restart of the others.
            File(
                path=f"{ovn.HOME}/cluster.json",
                text="{{ cluster }}",
                group="ovn",
                restarts=False,
            ),
            # The server looks whether they changed whenever somebody connects.
            *tls(restarts=False),
        ),
        check=Check(command=f"sh {ovn.HOME}/online.sh {name} {{{{ addresses.unit_ip }}}}"),
    )


NORTHD = Process(
    name="northd",
    summary="translates the northbound database into the southbound one",
    command=f"/bin/sh {ovn.HOME}/northd",
    user="ovn",
    group="ovn",
    files=(
        File(path=f"{ovn.HOME}/northd", template="northd.sh.j2", mode=0o644),
        *tls(restarts=True),
    ),
    check=Check(command=f"sh {ovn.HOME}/online.sh northd"),
)


SERVICE = Service(
    name="ovn-central",
    processes=(*map(database, ovn.DATABASES), NORTHD),
    needs=(CERTIFICATES,),
    provides=(ovn.CLIENTS,),
    values=ovn.values,
    tasks=ovn.tasks,
    offers=ovn.offers,
    farewells=(ovn.LEAVING,),
    options=(
        Option(name="election-timer", minimum=1, maximum=60),
        Option(name="inactivity-probe", minimum=0, maximum=600),
    ),
    ports=(
        ovsdb_cms.NORTHBOUND_PORT,
        ovsdb_cms.SOUTHBOUND_PORT,
        ovsdb_cms.SOUTHBOUND_ADMIN_PORT,
    ),
    load_balancer=LoadBalancer(
        ports={
            "southbound": ovsdb_cms.SOUTHBOUND_PORT,
            "southbound-adm": ovsdb_cms.SOUTHBOUND_ADMIN_PORT,
        },
        wanted=ovn.has_external_clients,
    ),
)


class OvnCentralCharm(ops.CharmBase):
    """Run OVN's central databases."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, SERVICE, templates)


if __name__ == "__main__":
    ops.main(OvnCentralCharm)
