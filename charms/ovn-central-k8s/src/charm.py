#!/usr/bin/env python3
"""OVN's central databases, and northd."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import ops

import ovn
from charmkit.interfaces import ovsdb_cms, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, Process, Service, Task
from charmkit.spec import Publication, Snapshot, Values

CLIENTS = ovsdb_cms.Provider()
CERTIFICATES = tls_certificates.Requirer()
PYTHON = "/usr/bin/python3"
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
        command=f"{PYTHON} {ovn.HOME}/start.py {name}",
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


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the databases' start needs beyond options and relations."""
    member = ovn.membership(snapshot)
    others = {
        name: ",".join(f"ssl:{host}:{port}" for host in member.others)
        for name, port in (
            ("nb", ovsdb_cms.NORTHBOUND_PORT),
            ("sb", ovsdb_cms.SOUTHBOUND_ADMIN_PORT),
        )
    }
    folders = snapshot.storage.get("data", ())
    identities = ovn.read(pathlib.Path(folders[0])) if folders and seen["online"] else {}
    return {
        "cluster": json.dumps(dataclasses.asdict(member), sort_keys=True),
        "others": others,
        "identities": identities,
    }


def task(name: str, program: str, *argv: str, message: str) -> Task:
    """Describe a task with the rights of the databases."""
    return Task(
        name=name,
        argv=(PYTHON, f"{ovn.HOME}/{program}", *argv),
        message=message,
        user="ovn",
        group="ovn",
        when="online",
        timeout=300,
    )


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make members equal to units, and open the databases' ports."""
    probe = int(snapshot.config["inactivity-probe"]) * 1000
    opened = task(
        "listeners", "cluster.py", "listen", str(probe), message="opening the databases' ports"
    )
    yield dataclasses.replace(opened, facts=True)
    roll = json.dumps(ovn.roll(snapshot, seen["identities"]), sort_keys=True)
    kept = task("members", "cluster.py", "keep", message="looking after members")
    yield dataclasses.replace(kept, stdin=roll)
    timer = str(int(snapshot.config["election-timer"]) * 1000)
    # Only the member that leads its cluster can, and that may be any unit's.
    timed = task("election-timer", "timer.py", timer, message="setting the election timer")
    yield dataclasses.replace(timed, on="unit")


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell clients where this unit is as long as it answers them."""
    is_open = seen["online"] and bool(seen["facts"].get("listeners"))
    where = snapshot.addresses
    yield ovn.tell(snapshot, seen["identities"])
    yield CLIENTS.respond(
        snapshot,
        hostname=where.unit_name if is_open else "",
        address=where.unit_ip if is_open else "",
        load_balancer=snapshot.load_balancer,
    )


SERVICE = Service(
    name="ovn-central",
    processes=(*map(database, ovn.DATABASES), NORTHD),
    needs=(CERTIFICATES,),
    provides=(CLIENTS,),
    values=values,
    tasks=tasks,
    offers=offers,
    farewells=(task("leave", "cluster.py", "leave", message="leaving the clusters"),),
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
        wanted=lambda snapshot: any(map(CLIENTS.is_external, CLIENTS.requests(snapshot))),
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
