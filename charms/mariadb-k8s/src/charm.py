#!/usr/bin/env python3
"""MariaDB for the cloud's services."""

import pathlib
from collections.abc import Iterator

import ops

import galera
import mariadb
from charmkit.interfaces import mysql_client, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, LoadBalancer, Option, Process, Service, Task
from charmkit.spec import Publication, Snapshot, Values, in_url
from operations import Operations

CLIENTS = mysql_client.Provider()
CERTIFICATES = tls_certificates.Requirer()
PREFIX = "relation-"
FOLDER = "/etc/mysql/helio"

SERVER = Process(
    name="mariadb",
    summary="MariaDB server",
    command=f"/bin/bash {FOLDER}/start",
    files=(
        File(path=mariadb.CONFIG, template="server.cnf.j2", group="mysql"),
        File(path=f"{FOLDER}/start", template="start.sh"),
        File(path=f"{FOLDER}/online", template="online.sh", restarts=False),
        # Members come and go without a restart of the others.
        File(path=f"{FOLDER}/cluster", template="cluster.j2", restarts=False),
        # The probe makes the server load both when the second changes, so nothing restarts.
        File(
            path=f"{FOLDER}/key.pem",
            text="{{ certificates.private_key if certificates else '' }}",
            group="mysql",
            restarts=False,
        ),
        File(
            path=f"{FOLDER}/certificate.pem",
            text="{{ certificates.certificate if certificates else '' }}",
            group="mysql",
            restarts=False,
        ),
    ),
    check=Check(command=f"/bin/sh {FOLDER}/online", patience=45),
    kill_delay=60,
)


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the server's configuration needs beyond options and relations."""
    folders = snapshot.storage.get("database", ())
    stopped = galera.read(pathlib.Path(folders[0])) if folders else galera.Position()
    position = galera.Position(stopped.history) if seen["online"] else stopped
    return {
        "buffer_pool": mariadb.buffer_pool(str(snapshot.config["profile"]), snapshot.memory << 20),
        "galera": galera.membership(snapshot, position),
        "position": position,
    }


def accounts(snapshot: Snapshot) -> tuple[mysql_client.Account, ...]:
    """Give the accounts of all clients whose wish can be met."""
    return tuple(
        CLIENTS.account(snapshot, request)
        for request in CLIENTS.requests(snapshot)
        if not mariadb.refusal(request.database)
    )


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make the accounts in the server equal to the clients."""
    wanted = [
        mariadb.Account(account.username, account.request.database, account.password)
        for account in accounts(snapshot)
    ]
    yield Task(
        name="accounts",
        argv=mariadb.CLIENT,
        stdin=mariadb.accounts_sql(wanted, PREFIX),
        message="making accounts for clients",
        when="online",
        facts=True,
    )


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Answer the clients whose account exists."""
    facts = seen["facts"].get("accounts", {})
    certificate = seen["certificates"]
    outside = snapshot.load_balancer
    yield galera.tell(snapshot, seen["position"])
    yield CLIENTS.respond(
        snapshot,
        [each for each in accounts(snapshot) if each.username in (facts.get("accounts") or ())],
        address=f"{snapshot.addresses.service_name}:{mariadb.PORT}",
        external_address=f"{in_url(outside)}:{mariadb.PORT}" if outside else "",
        version=facts.get("version", ""),
        tls_ca=certificate.ca if certificate else "",
    )


SERVICE = Service(
    name="mariadb",
    processes=(SERVER,),
    needs=(CERTIFICATES,),
    provides=(CLIENTS,),
    values=values,
    tasks=tasks,
    offers=offers,
    options=(
        Option(
            name="profile",
            pattern="|".join(mariadb.PROFILES),
            hint=f"write {', '.join(mariadb.PROFILES[:-1])} or {mariadb.PROFILES[-1]}",
        ),
        Option(name="max-connections", minimum=32, maximum=16384),
    ),
    ports=(mariadb.PORT,),
    load_balancer=LoadBalancer(
        ports={"mysql": mariadb.PORT},
        wanted=lambda snapshot: any(each.external for each in CLIENTS.requests(snapshot)),
    ),
)


class MariadbCharm(ops.CharmBase):
    """Run MariaDB."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, SERVICE, templates)
        self.operations = Operations(self, SERVICE.name, CLIENTS)


if __name__ == "__main__":
    ops.main(MariadbCharm)
