"""The parts of every service that talks through the message broker. Data, no effects.

A service that uses them needs the endpoint `amqp` (`interfaces.rabbitmq`). Its oslo.config file
includes `messaging.j2` and has `NAMESPACE` among its namespaces and `values()` among its values;
the processes that read it have `authority()` among their files.
"""

from charmkit.service import File
from charmkit.spec import Values

NAMESPACE = "oslo.messaging"
"""oslo.config namespace of the library."""


def ca_file(service: str) -> str:
    """Give the file with the certificates by which a service knows the broker."""
    return f"/etc/{service}/tls/messaging-ca.pem"


def authority(service: str) -> File:
    """Describe that file.

    Args:
        service: The project; also the system group that may read it.
    """
    return File(path=ca_file(service), text="{{ amqp.tls_ca }}", group=service)


def values(service: str) -> Values:
    """Give what `messaging.j2` sees beyond the relation `amqp`."""
    return {"messaging_ca_file": ca_file(service)}
