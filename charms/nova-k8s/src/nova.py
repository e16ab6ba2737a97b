"""Nova: its processes, its cells and what it tells hypervisors. Pure; no Juju, no Pebble.

There are two cells, as Nova wants it at least: cell 0 keeps the instances that no hypervisor took,
cell 1 has all hypervisors. Which database and broker a cell has stands in the API's database.
For cell 1 these are templates, which every process completes with what stands in its own
configuration; so no credential of it is written there, and none gets stale. The account of cell 0
is another one, so its address has to be written; it is in a file of every process, which thus
starts anew when it changes, after the leader has written it.
"""

import json
from collections.abc import Iterable, Iterator

from charmkit import api, messaging
from charmkit.interfaces import keystone, mysql_client, nova_service, rabbitmq
from charmkit.service import File, OwnSecret, Process, Task
from charmkit.spec import Publication, Snapshot, Values, in_url

PORT = 8774
METADATA_PORT = 8775
CONSOLE_PORT = 6080
CONSOLE_PAGE = "/vnc_lite.html"

API = keystone.Api(name="nova", type="compute", description="Compute", port=PORT, path="/v2.1")
INGRESSES = api.ingresses(PORT)
API_DATABASE = mysql_client.Requirer(database="nova_api", endpoint="api-database")
CELL0_DATABASE = mysql_client.Requirer(database="nova_cell0", endpoint="cell-database")
HYPERVISORS = nova_service.Provider()

METADATA_SECRET = OwnSecret(
    label="metadata-secret",
    initial=lambda snapshot: {"secret": snapshot.random_text("metadata")},
    rotated=lambda snapshot, old: {"secret": snapshot.random_text("metadata")},
    action="rotate-metadata-secret",
    description="what the metadata API and those who pass requests on to it share",
)

CELLS = "/etc/nova/cells.json"
CELLS_SCRIPT = "/var/lib/charmkit/cells.py"
_CELL0 = "00000000-0000-0000-0000-000000000000"
_PASTE = f"{api.SHIPPED}/nova/api-paste.ini"
_MODULES = "/etc/nova/modules"


# --- processes ---------------------------------------------------------------------------------


def _config(process: str) -> File:
    return api.config(
        "nova",
        "nova.conf",
        "keystonemiddleware.auth_token",
        messaging.NAMESPACE,
        "oslo.concurrency",
        "oslo.service.service",
        process=process,
        values={
            "api_database_ca_file": api.database_ca_file("nova", "api-database"),
            "tls": api.tls_folder("nova"),
            "console_port": CONSOLE_PORT,
        },
    )


_SHARED = (
    messaging.authority("nova"),
    api.database_authority("nova", "api-database"),
    api.database_authority("nova", "cell-database"),
    # A process reads the cells once, so it starts anew when they change.
    File(path=CELLS, text="{{ cells }}", group="nova"),
)
FILES = (File(path=CELLS_SCRIPT, template="cells.py", mode=0o644),)


def _wsgi(
    name: str, module: str, port: int, *, is_light: bool = False, files: tuple[File, ...] = ()
) -> Process:
    configuration = _config(name)
    return api.process(
        service="nova",
        name=name,
        module=module,
        port=port,
        configuration=configuration,
        # The first file is where Nova looks for the pipeline of its API.
        environment={
            "OS_NOVA_CONFIG_FILES": f"{_PASTE};{configuration.path}",
            "PYTHONPATH": _MODULES,
        },
        files=(*_SHARED, *files),
        # Its APIs run on native threads, and a slow answer must not hold up the others.
        threads=4,
        is_light=is_light,
    )


def _worker(name: str) -> Process:
    return api.worker(
        service="nova",
        name=name,
        configuration=_config(name),
        connected="{{ amqp.port }}",
        files=_SHARED,
        kill_delay=40,
    )


def _console() -> Process:
    configuration = _config("nova-novncproxy")
    return Process(
        name="nova-novncproxy",
        summary="nova console proxy",
        command=f"{api.BIN}/nova-novncproxy --config-file {configuration.path}",
        user="nova",
        group="nova",
        files=(
            configuration,
            *api.certificate_files("nova"),
            api.database_authority("nova"),
            File(path=api.PROBE, template="online.sh", mode=0o755, restarts=False),
            *_SHARED,
        ),
        check=api.online("nova", CONSOLE_PORT, CONSOLE_PAGE),
        kill_delay=5,  # a console that is open would hold it up for ever
    )


PROCESSES = (
    _wsgi(
        "nova-api",
        "service_events",
        PORT,
        files=(
            File(path=f"{_MODULES}/service_events.py", template="service_events.py", group="nova"),
        ),
    ),
    _wsgi("nova-metadata", "nova.wsgi.metadata", METADATA_PORT, is_light=True),
    _worker("nova-scheduler"),
    _worker("nova-conductor"),
    _console(),
)


# --- values and tasks --------------------------------------------------------------------------


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what templates and tasks need beyond options and relations."""
    return {
        **messaging.values("nova"),
        "light_workers": snapshot.config["workers"]
        or api.workers(snapshot.cpus, snapshot.memory, is_light=True),
        "cells": json.dumps(cells(seen["cell_database"], seen["amqp"])),
    }


def cells(cell0: mysql_client.Database, broker: rabbitmq.Broker) -> list[dict[str, str]]:
    """Give the cells as the script `cells.py` writes them into the database of the API."""
    one = "{username}:{password}@{hostname}:{port}"
    # Of several brokers Nova numbers the parts.
    several = ",".join(
        f"{{username{n}}}:{{password{n}}}@{{hostname{n}}}:{{port{n}}}"
        for n in range(1, len(broker.hosts) + 1)
    )
    hosts = one if len(broker.hosts) == 1 else several
    return [
        {
            "uuid": _CELL0,
            "name": "cell0",
            # Nobody listens there: what is in this cell is on no hypervisor.
            "transport_url": "none:///",
            "database_connection": cell0.url(api.database_ca_file("nova", "cell-database")),
        },
        {
            "name": "cell1",
            "transport_url": f"{{scheme}}://{hosts}/{{path}}?{{query}}",
            "database_connection": f"{{scheme}}://{one}/{{path}}?{{query}}",
        },
    ]


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Bring the schemas up to date, and tell the API its cells."""
    config = PROCESSES[0].files[0].path
    manage = (f"{api.BIN}/nova-manage", "--config-file", config)
    everything = api.schema_inputs(seen["api_database"], seen["cell_database"], seen["database"])

    def task(name: str, message: str, *argv: str) -> Task:
        return Task(
            name=name, argv=argv, message=message, user="nova", group="nova", inputs=everything
        )

    yield task("api-schema", "migrating the API's database", *manage, "api_db", "sync")
    script = (f"{api.BIN}/python3", CELLS_SCRIPT, config, CELLS)
    yield task("cells", "mapping the cells", *script)
    # It finds cell 0 by its mapping.
    yield task("schema", "migrating the cells' databases", *manage, "db", "sync")


# --- offers ------------------------------------------------------------------------------------


def offers(snapshot: Snapshot, seen: Values) -> Iterable[Publication]:
    """Tell hypervisors about us, once they can reach us."""
    outside = snapshot.load_balancer
    if not outside:
        return
    host = in_url(outside)
    yield HYPERVISORS.respond(
        snapshot,
        nova_service.Compute(
            region=str(snapshot.config["region"]),
            metadata_url=f"https://{host}:{METADATA_PORT}",
            metadata_secret=seen["secrets"]["metadata_secret"]["secret"],
            console_url=f"https://{host}:{CONSOLE_PORT}{CONSOLE_PAGE}",
        ),
    )
