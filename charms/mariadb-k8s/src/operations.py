"""What operators do with schemas: the charm's actions, and what is wrong with clients' wishes."""

import json
from collections.abc import Iterator

import ops

import mariadb
from charmkit.interfaces import mysql_client
from charmkit.spec import RelationData, Snapshot


class Operations(ops.Object):
    """Handles the actions and reports clients whose wish cannot be met. A charm *has* one.

    Args:
        charm: The charm; keep a reference to the operations in it, ops holds observers weakly.
        container: Name of the workload container.
        clients: The charm's end towards its clients.
    """

    def __init__(self, charm: ops.CharmBase, container: str, clients: mysql_client.Provider):
        super().__init__(charm, "operations")
        self._charm = charm
        self._container = container
        self._clients = clients
        self.framework.observe(charm.on.list_databases_action, self._list)
        self.framework.observe(charm.on.drop_database_action, self._drop)
        self.framework.observe(charm.on.collect_unit_status, self._report)

    def _list(self, event: ops.ActionEvent) -> None:
        users: dict[str, list[str]] = {}
        for request in self._requests():
            users.setdefault(request.database, []).append(request.app)
        try:
            rows = [line.split("\t") for line in self._sql(mariadb.LIST_SQL).splitlines()]
        except (ops.pebble.Error, ops.ModelError) as error:
            event.fail(f"cannot list the databases: {_reason(error)}")
            return
        found = {name: {"bytes": int(size), "clients": users.get(name, [])} for name, size in rows}
        event.set_results({"databases": json.dumps(found)})

    def _drop(self, event: ops.ActionEvent) -> None:
        name = event.params["name"]
        users = sorted(each.app for each in self._requests() if each.database == name)
        if reason := mariadb.refusal(name):
            event.fail(f"cannot drop the database: {reason}")
        elif users:
            event.fail(f"cannot drop {name}: {', '.join(users)} uses it; remove the integration")
        elif not event.params.get("confirm"):
            event.fail(f"cannot drop {name}: its data would be lost; add confirm=true")
        else:
            try:
                self._sql(mariadb.drop_sql(name))
            except (ops.pebble.Error, ops.ModelError) as error:
                event.fail(f"cannot drop {name}: {_reason(error)}")
            else:
                event.set_results({"dropped": name})

    def _report(self, event: ops.CollectStatusEvent) -> None:
        for request in self._requests():
            if reason := mariadb.refusal(request.database):
                event.add_status(ops.BlockedStatus(f"cannot serve {request.app}: {reason}"))

    def _requests(self) -> tuple[mysql_client.Request, ...]:
        relations = tuple(self._relations())
        seen = Snapshot(
            app=self._charm.app.name,
            unit=self._charm.unit.name,
            relations={self._clients.endpoint: relations},
        )
        return self._clients.requests(seen)

    def _relations(self) -> Iterator[RelationData]:
        for relation in self._charm.model.relations[self._clients.endpoint]:
            if relation.active:
                yield RelationData(
                    id=relation.id,
                    endpoint=relation.name,
                    app=relation.app.name,
                    remote_app=dict(relation.data[relation.app]),
                )

    def _sql(self, statements: str) -> str:
        container = self._charm.unit.get_container(self._container)
        process = container.exec(list(mariadb.CLIENT), stdin=statements, timeout=300)
        return process.wait_output()[0]


def _reason(error: Exception) -> str:
    if isinstance(error, ops.pebble.ExecError):
        # The last line only: before it the client repeats the statement.
        return (str(error.stderr or "").splitlines() or [f"exit {error.exit_code}"])[-1]
    return str(error)
