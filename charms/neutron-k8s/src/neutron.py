"""Neutron: its processes, its options and its schema. Pure; no Juju, no Pebble.

There is no RPC server: with OVN no agent asks Neutron by messages, since what hypervisors do is in
OVN's databases. The broker is for notices among Neutron's own processes.
"""

from collections.abc import Iterator

from charmkit import api, messaging
from charmkit.interfaces import keystone, ovsdb_cms
from charmkit.service import File, Option, Process, Task
from charmkit.spec import Snapshot, Values

PORT = 9696
API = keystone.Api(name="neutron", type="network", description="Networks", port=PORT)
INGRESSES = api.ingresses(PORT)

_NAME = r"[A-Za-z0-9_.-]+"
OPTIONS = (
    Option(
        name="physical-networks",
        pattern=rf"({_NAME}( +{_NAME})*)?",
        hint="write names with spaces between them",
    ),
    Option(
        name="vlan-ranges",
        pattern=rf"({_NAME}:\d+:\d+( +{_NAME}:\d+:\d+)*)?",
        hint="write <physical network>:<first>:<last>",
    ),
    Option(name="global-physnet-mtu", minimum=1280, maximum=65535),
    Option(
        name="dns-domain",
        pattern=r"([A-Za-z0-9-]+\.)+",
        hint="write a domain with a dot at its end",
    ),
    Option(
        name="dns-servers",
        pattern=r"([0-9A-Fa-f.:]+( +[0-9A-Fa-f.:]+)*)?",
        hint="write addresses with spaces between them",
    ),
)

POLICY = File(path="/etc/neutron/policy.yaml", template="policy.yaml", group="neutron")


def _config(process: str) -> File:
    return api.config(
        "neutron",
        "neutron",
        "neutron.agent",
        "neutron.db",
        "neutron.extensions",
        "neutron.ml2",
        "neutron.ml2.ovn",
        "nova.auth",
        "placement.auth",
        "keystonemiddleware.auth_token",
        messaging.NAMESPACE,
        "oslo.concurrency",
        "oslo.db",
        "oslo.service.wsgi",
        process=process,
        values={
            "tls": api.tls_folder("neutron"),
            "paste": f"{api.SHIPPED}/neutron/api-paste.ini",
            "policy": POLICY.path,
        },
    )


def _worker(name: str, connected: str) -> Process:
    return api.worker(
        service="neutron",
        name=name,
        configuration=_config(name),
        connected=connected,
        files=(messaging.authority("neutron"), POLICY),
    )


PROCESSES = (
    api.process(
        service="neutron",
        module="neutron.wsgi.api",
        port=PORT,
        configuration=_config("neutron-api"),
        environment={"OS_NEUTRON_CONFIG_FILES": _config("neutron-api").path},
        files=(messaging.authority("neutron"), POLICY),
        # The application does not load before it has OVN's databases; so an answer means that.
        path="/",
    ),
    # Its jobs are all on Neutron's own database.
    _worker("neutron-periodic-workers", "{{ database.address.rpartition(':')[2] }}"),
    _worker("neutron-ovn-maintenance-worker", str(ovsdb_cms.NORTHBOUND_PORT)),
)


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Bring the schema up to date."""
    manage = (f"{api.BIN}/neutron-db-manage", "--config-file", PROCESSES[0].files[0].path)
    yield api.schema("neutron", seen["database"], *manage, "upgrade", "heads")
