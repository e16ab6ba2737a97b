"""The parts of every charm that serves an OpenStack API: uwsgi, TLS, the probe. Data, no effects.

TLS ends in the unit: uwsgi serves HTTPS with the certificate that the endpoint `certificates`
gives. Charms that use this need the endpoints `certificates` and, optional, `receive-ca-cert`.

A service with several processes gives each a configuration of its own (`config(process=…)`), since
the processes differ in what they tell the message broker and in what operators override. What they
have in common, certificates and the like, is the same file for all.
"""

from collections.abc import Mapping

from charmkit.interfaces import certificate_transfer, ingress, mysql_client, tls_certificates
from charmkit.service import Check, File, Option, Process, Task
from charmkit.spec import Requirer, Values

BIN = "/opt/openstack/bin"
"""Where the image has the services' programs."""

SHIPPED = "/opt/openstack/etc"
"""Where the image has the files that services bring with them, such as their paste.ini."""

PROBE = "/var/lib/charmkit/online.sh"
CONNECTED = "/var/lib/charmkit/connected.sh"

NAMESPACES = ("oslo.log", "oslo.middleware", "oslo.policy")
"""oslo.config namespaces of the libraries that every API uses."""

OPTIONS = (Option(name="workers", minimum=0, maximum=64),)
"""Rules for the options that every API charm has."""

TRUST = "{{ certificates.ca }}{% if receive_ca_cert %}{{ receive_ca_cert.bundle }}{% endif %}"
"""Template of the file that says whom to trust: as a client of others, and for our own clients."""


def needs(database: str) -> tuple[Requirer[object], ...]:
    """Give what every API needs: a schema, a certificate, and further authorities to trust."""
    return (
        mysql_client.Requirer(database=database),
        tls_certificates.Requirer(),
        certificate_transfer.Requirer(),
    )


def ingresses(port: int, path: str = "/") -> tuple[ingress.Requirer, ...]:
    """Give what asks for the public and the internal URL of an API.

    Args:
        port: Where it listens.
        path: Path that answers without a token.
    """
    return tuple(
        ingress.Requirer(endpoint=endpoint, port=port, path=path)
        for endpoint in (ingress.PUBLIC, ingress.INTERNAL)
    )


def tls_folder(service: str) -> str:
    """Give the folder of a service's certificate, key and trusted certificates."""
    return f"/etc/{service}/tls"


def ca_file(service: str) -> str:
    """Give the file with the certificates that a service trusts."""
    return f"{tls_folder(service)}/ca.pem"


def database_ca_file(service: str, endpoint: str = "database") -> str:
    """Give the file with the certificates by which a service knows its database server."""
    return f"{tls_folder(service)}/{endpoint}-ca.pem"


def workers(cpus: int, memory: int, *, is_light: bool = False) -> int:
    """Tell how many processes share a service's work on a machine.

    From 2 to 4 they are as many as the processors; from there on each four processors bring one
    more, up to 12. About a dozen programs of the cloud start so many, of some 100 MiB each, so
    there is no more than one for 4 GiB of memory: the most of it is for instances and data.

    Args:
        cpus: The processors.
        memory: MiB of memory.
        is_light: Whether there is little to do, so that half of them are enough.
    """
    wanted = cpus if cpus <= 4 else min(4 + (cpus - 4) // 4, 12)
    full = max(min(wanted, memory // 4096), 2)
    return full // 2 if is_light else full


def config(
    service: str,
    *namespaces: str,
    template: str = "",
    process: str = "",
    dynamic_groups: tuple[str, ...] = (),
    values: Values | None = None,
) -> File:
    """Describe a service's oslo.config file, `/etc/<service>/<service>.conf`.

    Its template sees `ca_file` and `database_ca_file`.

    Args:
        service: The project; also the system user and group.
        namespaces: oslo.config namespaces of the service itself, see `File`.
        template: Its template, `<service>.conf.j2` unless told otherwise.
        process: The process that reads it, for a service with several: the file is then
            `/etc/<service>/<process>.conf`.
        dynamic_groups: Groups besides `keystone_authtoken` with options of plug-ins, see `File`.
        values: Further constants that its template sees.
    """
    known: Values = {"ca_file": ca_file(service), "database_ca_file": database_ca_file(service)}
    return File(
        path=f"/etc/{service}/{process or service}.conf",
        template=template or f"{service}.conf.j2",
        group=service,
        namespaces=(*namespaces, *NAMESPACES),
        # The options of the authentication plug-in are made up when it is loaded.
        dynamic_groups=("keystone_authtoken", *dynamic_groups),
        values={**known, **(values or {})},
    )


def certificate_files(service: str) -> tuple[File, ...]:
    """Describe our certificate, its key, and the certificates that a service trusts."""
    tls = tls_folder(service)
    return (
        File(path=f"{tls}/cert.pem", text="{{ certificates.certificate }}", group=service),
        File(path=f"{tls}/key.pem", text="{{ certificates.private_key }}", group=service),
        File(path=ca_file(service), text=TRUST, group=service),
    )


def database_authority(service: str, endpoint: str = "database") -> File:
    """Describe the file with the certificates by which a service knows its database server."""
    value = endpoint.replace("-", "_")
    return File(
        path=database_ca_file(service, endpoint),
        text=f"{{{{ {value}.tls_ca }}}}",
        group=service,
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
    files: tuple[File, ...] = (),
    threads: int = 1,
    is_light: bool = False,
    chunked: bool = False,
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
        files: Further files that it reads.
        threads: Requests that each worker serves at once; more than 1 only for a service that
            says that it may have several.
        is_light: Whether it has little to do, see `workers`.
        chunked: Whether clients send bodies in chunks, of a length that is not known before.
    """
    tls = tls_folder(service)
    name = name or f"{service}-api"
    ini = f"/etc/{service}/uwsgi.ini" if name == f"{service}-api" else f"/etc/{service}/{name}.ini"
    constants: Values = {
        "module": module,
        "port": port,
        "tls": tls,
        "threads": threads,
        "workers": workers,
        "is_light": is_light,
        "chunked": chunked,
    }
    return Process(
        name=name,
        summary=name,
        command=f"{BIN}/uwsgi --ini {ini}",
        user=service,
        group=service,
        environment=environment,
        files=(
            configuration,
            File(path=ini, template="uwsgi.ini.j2", group=service, values=constants),
            *certificate_files(service),
            database_authority(service),
            File(path=PROBE, template="online.sh", mode=0o755, restarts=False),
            *files,
        ),
        check=online(service, port, path),
    )


def online(service: str, port: int, path: str) -> Check:
    """Describe the probe that asks for a path over TLS, as clients do."""
    return Check(
        command=f"sh {PROBE} {{{{ addresses.unit_ip }}}} {port}"
        f" {{{{ addresses.service_name }}}} {path} {ca_file(service)}"
    )


def worker(
    *,
    service: str,
    name: str,
    configuration: File,
    connected: str,
    files: tuple[File, ...] = (),
    environment: Mapping[str, str] | None = None,
    kill_delay: int = 30,
) -> Process:
    """Describe a process of a service that serves no port, such as a scheduler.

    It counts as there while it is connected to what its work comes from.

    Args:
        service: The project; also the system user and group that it runs as.
        name: Its name, and that of its program.
        configuration: Its oslo.config file.
        connected: The port of that connection's other end, as a template: `{{ amqp.port }}`.
        files: Further files that it reads.
        environment: Variables.
        kill_delay: Seconds that it gets to finish what it is doing.
    """
    return Process(
        name=name,
        summary=name,
        command=f"{BIN}/{name} --config-file {configuration.path}",
        user=service,
        group=service,
        environment=environment or {},
        kill_delay=kill_delay,
        files=(
            configuration,
            *certificate_files(service),
            database_authority(service),
            File(path=CONNECTED, template="connected.sh", mode=0o755, restarts=False),
            *files,
        ),
        check=Check(command=f"sh {CONNECTED} {service} {name} {connected}", period=10, timeout=9),
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
        inputs=schema_inputs(database),
    )


def schema_inputs(*databases: mysql_client.Database) -> tuple[str, ...]:
    """Tell which schemas on which servers a task is done to, see `Task.inputs`."""
    return tuple(text for each in databases for text in (each.address, each.name, each.username))
