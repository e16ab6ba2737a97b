#!/usr/bin/env python3
"""Heat: stacks of resources from templates."""

import pathlib
from collections.abc import Iterator

import ops

from charmkit import api, caching, messaging
from charmkit.interfaces import keystone, keystone_resources, rabbitmq
from charmkit.reconciler import Reconciler
from charmkit.service import File, OwnSecret, Service, Task
from charmkit.spec import Snapshot, Values, in_url

PORT = 8004
CFN_PORT = 8000
ALIVE = "/healthcheck"
# Instances call the other API, by an address that does not change.
INGRESSES = api.ingresses(PORT, ALIVE)
STACK_USER = "heat_stack_user"
DOMAIN = keystone_resources.Requirer(
    domain="heat", username="heat_domain_admin", further_roles=(STACK_USER,)
)
APIS = (
    keystone.Api(
        name="heat",
        type="orchestration",
        description="Heat",
        port=PORT,
        path="/v1/$(project_id)s",
    ),
    keystone.Api(
        name="heat-cfn",
        type="cloudformation",
        description="Heat, in the form of CloudFormation",
        port=CFN_PORT,
        path="/v1",
    ),
)
NAMESPACES = (
    *("heat.common.config", "heat.common.context", "heat.common.crypt", "heat.common.wsgi"),
    *("heat.common.cache", "heat.engine.clients", "heat.engine.notification"),
    *("heat.engine.resources", "heat.api.aws.ec2token"),
    *("keystonemiddleware.auth_token", messaging.NAMESPACE, "oslo.db", "oslo.concurrency"),
)


def _config(process: str) -> File:
    """Describe the configuration of a process; the APIs find theirs by their own names."""
    return api.config(
        "heat", *NAMESPACES, process=process, dynamic_groups=("trustee", "clients_keystone")
    )


def _values(snapshot: Snapshot, seen: Values) -> Values:
    host = in_url(snapshot.addresses.service_ip)
    return {
        **messaging.values("heat"),
        # Instances call it, and they do not know the names of Kubernetes.
        "cfn_url": f"https://{host}:{CFN_PORT}",
        "stack_user": STACK_USER,
        "engines": snapshot.config["workers"]
        or api.workers(snapshot.cpus, snapshot.memory, is_light=True),
    }


def _tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    manage = (f"{api.BIN}/heat-manage", "--config-file", _config("heat-engine").path)
    yield api.schema("heat", seen["database"], *manage, "db_sync")


HEAT = Service(
    name="heat",
    processes=(
        api.process(
            service="heat",
            module="heat.wsgi.api",
            port=PORT,
            configuration=_config("heat-api"),
            environment={},
            path=ALIVE,
            files=(messaging.authority("heat"),),
        ),
        api.process(
            service="heat",
            name="heat-api-cfn",
            module="heat.wsgi.cfn",
            port=CFN_PORT,
            configuration=_config("heat-api-cfn"),
            environment={},
            path=ALIVE,
            files=(messaging.authority("heat"),),
            is_light=True,
        ),
        api.worker(
            service="heat",
            name="heat-engine",
            configuration=_config("heat-engine"),
            connected="{{ amqp.port }}",
            files=(messaging.authority("heat"),),
        ),
    ),
    needs=(
        *api.needs("heat"),
        *INGRESSES,
        rabbitmq.Requirer(username="heat", vhost="heat"),
        keystone.Requirer(apis=APIS, ingresses=INGRESSES),
        DOMAIN,
        caching.NEED,
    ),
    own_secrets=(
        caching.TOKEN_KEY,
        OwnSecret(
            label="auth-encryption",
            # Heat wants 32 characters. It is never rotated: what stands in the database needs it.
            initial=lambda snapshot: {"key": snapshot.random_text("auth-encryption", 32)},
            description="key by which stacks' credentials are encrypted in the database",
        ),
    ),
    values=_values,
    tasks=_tasks,
    options=api.OPTIONS,
    ports=(PORT, CFN_PORT),
)


class HeatCharm(ops.CharmBase):
    """Run Heat."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, HEAT, templates)


if __name__ == "__main__":
    ops.main(HeatCharm)
