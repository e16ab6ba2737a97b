"""The parts of every charm that serves an OpenStack API: uwsgi, TLS, the probe. Data, no effects.

TLS ends in the unit: uwsgi serves HTTPS with the certificate that the endpoint `certificates`
gives. Charms that use this need the endpoints `certificates` and, optional, `receive-ca-cert`.
"""

from collections.abc import Mapping

from charmkit.interfaces import certificate_transfer, mysql_client, tls_certificates
from charmkit.service import Check, File, Option, Process, Task
from charmkit.spec import Requirer, Values

BIN = "/opt/openstack/bin"
"""Where the image has the services' programs."""

PROBE = "/var/lib/charmkit/online.sh"

NAMESPACES = ("oslo.log", "oslo.middleware", "oslo.policy")
"""oslo.config namespaces of the libraries that every API uses."""

OPTIONS = (Option(name="workers", minimum=0, maximum=64),)
"""Rules for the options that every API charm has."""

# What a client, and we as a client of others, has to trust.
_TRUST = "{{ certificates.ca }}{% if receive_ca_cert %}{{ receive_ca_cert.bundle }}{% endif %}"


def needs(database: str) -> tuple[Requirer[object], ...]:
    """Give what every API needs: a schema, a certificate, and further authorities to trust."""
    return (
        mysql_client.Requirer(database=database),
        tls_certificates.Requirer(),
        certificate_transfer.Requirer(),
    )


def tls_folder(service: str) -> str:
    """Give the folder of a service's certificate, key and trusted certificates."""
    return f"/etc/{service}/tls"


def ca_file(service: str) -> str:
    """Give the file with the certificates that a service trusts."""
    return f"{tls_folder(service)}/ca.pem"


def database_ca_file(service: str) -> str:
    """Give the file with the certificates by which a service knows its database server."""
    return f"{tls_folder(service)}/database-ca.pem"


def config(service: str, *namespaces: str, template: str = "") -> File:
    """Describe a service's oslo.config file, `/etc/<service>/<service>.conf`.

    Its template sees `ca_file` and `database_ca_file`.

    Args:
        service: The project; also the system user and group.
        namespaces: oslo.config namespaces of the service itself, see `File`.
        template: Its template, `<service>.conf.j2` unless told otherwise.
    """
    return File(
        path=f"/etc/{service}/{service}.conf",
        template=template or f"{service}.conf.j2",
        group=service,
        namespaces=(*namespaces, *NAMESPACES),
        # The options of the authentication plug-in are made up when it is loaded.
        dynamic_groups=("keystone_authtoken",),
        values={"ca_file": ca_file(service), "database_ca_file": database_ca_file(service)},
    )


def process(
    *,
    service: str,
    module: str,
    port: int,
    configuration: File,
    environment: Mapping[str, str],
    path: str = "/",
    name: str = "",
) -> Process:
    """Describe an API under uwsgi.

    Args:
        service: The project; also the system user and group that it runs as.
        module: Python module whose `application` is the API.
        port: Where it listens.
        configuration: The service's oslo.config file.
        environment: Variables, such as the one that names the configuration file.
        path: Path that answers without a token; the probe asks for it.
        name: Name of the process, `<service>-api` unless told otherwise.
    """
    tls = tls_folder(service)
    constants: Values = {"module": module, "port": port, "tls": tls}
    return Process(
        name=name or f"{service}-api",
        summary=f"{service} API",
        command=f"{BIN}/uwsgi --ini /etc/{service}/uwsgi.ini",
        user=service,
        group=service,
        environment=environment,
        files=(
            configuration,
            File(
                path=f"/etc/{service}/uwsgi.ini",
                template="uwsgi.ini.j2",
                group=service,
                values=constants,
            ),
            File(path=f"{tls}/cert.pem", text="{{ certificates.certificate }}", group=service),
            File(path=f"{tls}/key.pem", text="{{ certificates.private_key }}", group=service),
            File(path=ca_file(service), text=_TRUST, group=service),
            File(path=database_ca_file(service), text="{{ database.tls_ca }}", group=service),
            File(path=PROBE, template="online.sh", mode=0o755, restarts=False),
        ),
        check=Check(
            command=f"sh {PROBE} {{{{ addresses.unit_ip }}}} {port}"
            f" {{{{ addresses.service_name }}}} {path} {ca_file(service)}"
        ),
    )


def schema(service: str, database: mysql_client.Database, *argv: str) -> Task:
    """Describe the task that brings a service's schema up to date.

    Args:
        service: The project; also the system user and group that it runs as.
        database: The schema; another one, or another server, is brought up to date again. A
            server that was replaced by an empty one of the same name is told by the account,
            which every integration has anew.
        argv: The service's own command for it, safe to run again.
    """
    return Task(
        name="schema",
        argv=argv,
        message="migrating the database",
        user=service,
        group=service,
        inputs=(database.address, database.name, database.username),
    )
