#!/usr/bin/env python3
"""MariaDB for the cloud's services."""

import json
import os
import pathlib
from collections.abc import Iterator

import ops

import mariadb
from charmkit.interfaces import mysql_client, tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, Option, Process, Service, Task
from charmkit.spec import Publication, Snapshot, Values

CLIENTS = mysql_client.Provider()
CERTIFICATES = tls_certificates.Requirer()
PREFIX = "relation-"
FOLDER = "/etc/mysql/helio"

SERVER = Process(
    name="mariadb",
    summary="MariaDB server",
    command=f"/bin/sh {FOLDER}/start",
    files=(
        File(path=mariadb.CONFIG, template="server.cnf.j2", group="mysql"),
        File(path=f"{FOLDER}/start", template="start.sh.j2"),
        File(path=f"{FOLDER}/online", template="online.sh.j2", restarts=False),
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
    check=Check(command=f"/bin/sh {FOLDER}/online"),
    kill_delay=60,
)


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the server's configuration needs beyond options and relations."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"buffer_pool": mariadb.buffer_pool(str(snapshot.config["profile"]), memory)}


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
    yield CLIENTS.respond(
        snapshot,
        [each for each in accounts(snapshot) if each.username in (facts.get("accounts") or ())],
        address=f"{snapshot.addresses.service_name}:{mariadb.PORT}",
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
)


class MariadbCharm(ops.CharmBase):
    """Run MariaDB."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, SERVICE, templates)
        framework.observe(self.on.list_databases_action, self._list_databases)
        framework.observe(self.on.drop_database_action, self._drop_database)

    def _list_databases(self, event: ops.ActionEvent) -> None:
        users: dict[str, list[str]] = {}
        for request in CLIENTS.requests(self.reconciler.observe()):
            users.setdefault(request.database, []).append(request.app)
        rows = [line.split("\t") for line in self._sql(mariadb.LIST_SQL).splitlines()]
        found = {name: {"bytes": int(size), "clients": users.get(name, [])} for name, size in rows}
        event.set_results({"databases": json.dumps(found)})

    def _drop_database(self, event: ops.ActionEvent) -> None:
        name = event.params["name"]
        requests = CLIENTS.requests(self.reconciler.observe())
        users = sorted(request.app for request in requests if request.database == name)
        if reason := mariadb.refusal(name):
            event.fail(f"cannot drop the database: {reason}")
        elif users:
            event.fail(f"cannot drop {name}: {', '.join(users)} uses it; remove the integration")
        elif not event.params["confirm"]:
            event.fail(f"cannot drop {name}: its data would be lost; add confirm=true")
        else:
            try:
                self._sql(mariadb.drop_sql(name))
            except ops.pebble.ExecError as error:
                event.fail(f"cannot drop {name}: {(error.stderr or '').strip()}")
                return
            event.set_results({"dropped": name})

    def _sql(self, statements: str) -> str:
        container = self.unit.get_container(SERVICE.name)
        process = container.exec(list(mariadb.CLIENT), stdin=statements, timeout=300)
        return process.wait_output()[0]


if __name__ == "__main__":
    ops.main(MariadbCharm)
