"""The Kubernetes API, as far as a charm needs it: one service that machines outside reach.

Juju's own service of an application is left alone; ours stands beside it as `<app>-lb` and selects
the same pods. Who may not make it learns what an operator has to do. Whoever imports this pays
nothing: the client, lightkube, is loaded by the functions that use it.
"""

import contextlib
import dataclasses
import logging
import os
import time
import typing
from collections.abc import Iterator, Mapping

if typing.TYPE_CHECKING:
    import lightkube

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its own account."""

_PATIENCE = 5.0  # seconds; a controller that has a free address gives it within one
_POLL = 0.5


@dataclasses.dataclass(frozen=True)
class Balancer:
    """What became of a load balancer.

    Attributes:
        address: Where machines outside the cluster reach the application; "" while there is none.
        problem: What an operator has to do, or "".
    """

    address: str = ""
    problem: str = ""


def ensure_load_balancer(
    app: str, model: str, ports: Mapping[str, int], *, patience: float = _PATIENCE
) -> Balancer:
    """Make an application's units reachable from outside the cluster, under one address.

    Only units that are ready get traffic. What was made before and is as it should be stays.

    Args:
        app: The application.
        model: Its model, which is the namespace.
        ports: Name → number of the TCP ports, at most 15 characters each name.
        patience: Seconds to wait for the address of a service that has just been made.

    Raises:
        lightkube.ApiError: Kubernetes refused for another reason than missing rights.
    """
    from lightkube import ApiError
    from lightkube.models.core_v1 import ServicePort, ServiceSpec
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Service

    client = _client(app, model)
    if client is None:
        return Balancer(problem="no Kubernetes API here: deploy in a Kubernetes model")
    wanted = Service(
        metadata=ObjectMeta(name=_name(app), labels={"app.kubernetes.io/managed-by": app}),
        spec=ServiceSpec(
            type="LoadBalancer",
            selector={"app.kubernetes.io/name": app},
            ports=[
                ServicePort(name=name, port=port, targetPort=port, protocol="TCP")
                for name, port in ports.items()
            ],
        ),
    )
    try:
        made = client.apply(wanted, force=True)
        end = time.monotonic() + patience
        while not (address := _address(made)) and time.monotonic() < end:
            time.sleep(_POLL)
            made = client.get(Service, _name(app))
    except ApiError as error:
        if error.status.code != 403:
            raise
        return Balancer(problem=f"needs trust: juju trust {app} --scope=cluster")
    return Balancer(address=address)


def remove_load_balancer(app: str, model: str) -> None:
    """Take the service away; no failure if there is none, or if we may not."""
    from lightkube import ApiError
    from lightkube.resources.core_v1 import Service

    client = _client(app, model)
    if client is None:
        return
    try:
        client.delete(Service, _name(app))
    except ApiError as error:
        if error.status.code not in (403, 404):
            raise


def _name(app: str) -> str:
    return f"{app}-lb"


def _client(app: str, model: str) -> "lightkube.Client | None":
    """Give a client with the pod's own account, or None where there is no Kubernetes API."""
    import lightkube
    from lightkube.core.exceptions import ConfigError

    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    # Every request would be a line of the model's log.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with contextlib.suppress(ConfigError):
        config = lightkube.KubeConfig.from_service_account(ACCOUNT)
        return lightkube.Client(config, namespace=model, field_manager=f"charm-{app}")
    return None


def _address(service: typing.Any) -> str:
    return next(_addresses(service), "")


def _addresses(service: typing.Any) -> Iterator[str]:
    balancer = service.status.loadBalancer if service.status else None
    for entry in (balancer.ingress if balancer else None) or ():
        if entry.ip or entry.hostname:
            yield entry.ip or entry.hostname
