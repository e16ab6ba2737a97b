#!/usr/bin/env python3
"""Cinder: the API of volumes, and the scheduler that chooses a storage for each."""

import pathlib
from collections.abc import Iterator

import ops

from charmkit import api, caching, messaging
from charmkit.interfaces import cinder_backend, glance, keystone, rabbitmq
from charmkit.reconciler import Reconciler
from charmkit.service import File, Option, Service, Task
from charmkit.spec import Publication, Snapshot, Values

PORT = 8776
ALIVE = "/healthcheck"
INGRESSES = api.ingresses(PORT, ALIVE)
STORAGE = cinder_backend.Requirer()
APIS = (
    keystone.Api(name="cinder", type="block-storage", description="Cinder", port=PORT, path="/v3"),
    # Clients that do not know the aliases of types look for this one.
    keystone.Api(name="cinderv3", type="volumev3", description="Cinder", port=PORT, path="/v3"),
)


def config(process: str = "") -> File:
    """Describe the configuration of a process; Cinder's API finds its own without a name."""
    return api.config(
        "cinder",
        "cinder",
        "keystonemiddleware.auth_token",
        messaging.NAMESPACE,
        "oslo.concurrency",
        "oslo.db",
        "oslo.service.wsgi",
        process=process,
        dynamic_groups=("service_user", "nova"),
    )


API = api.process(
    service="cinder",
    module="cinder.wsgi.api",
    port=PORT,
    configuration=config(),
    environment={},
    path=ALIVE,
    files=(messaging.authority("cinder"),),
)
SCHEDULER = api.worker(
    service="cinder",
    name="cinder-scheduler",
    configuration=config("cinder-scheduler"),
    connected="{{ amqp.port }}",
    files=(messaging.authority("cinder"),),
)


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Bring the schema up to date."""
    manage = (f"{api.BIN}/cinder-manage", "--config-file", config().path)
    yield api.schema("cinder", seen["database"], *manage, "db", "sync")


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell the services with storage that they may start."""
    yield STORAGE.answer(snapshot, ready=seen["online"])


CINDER = Service(
    name="cinder",
    processes=(API, SCHEDULER),
    needs=(
        *api.needs("cinder"),
        *INGRESSES,
        rabbitmq.Requirer(username="cinder", vhost="cinder"),
        keystone.Requirer(apis=APIS, ingresses=INGRESSES),
        STORAGE,
        glance.Requirer(),
        caching.NEED,
    ),
    own_secrets=(caching.TOKEN_KEY,),
    values=lambda snapshot, seen: messaging.values("cinder"),
    tasks=tasks,
    offers=offers,
    options=(
        *api.OPTIONS,
        Option(name="default-volume-type", pattern=r"[\w .:-]*", hint="write a type's name"),
    ),
    ports=(PORT,),
)


class CinderCharm(ops.CharmBase):
    """Run Cinder's API and scheduler."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, CINDER, templates)


if __name__ == "__main__":
    ops.main(CinderCharm)
