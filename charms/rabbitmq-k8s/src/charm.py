#!/usr/bin/env python3
"""RabbitMQ for the cloud's services."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import ops

import clients
import rabbit
from charmkit.interfaces import tls_certificates
from charmkit.reconciler import Reconciler
from charmkit.service import (
    Check,
    File,
    LoadBalancer,
    Option,
    OwnSecret,
    Process,
    Service,
    Task,
)
from charmkit.spec import Publication, Snapshot, Values

CERTIFICATES = tls_certificates.Requirer()
COOKIE = OwnSecret(
    label="erlang-cookie",
    initial=lambda snapshot: {"cookie": snapshot.random_text("erlang-cookie")},
    description="what the units of the cluster know each other by",
)
ENVIRONMENT = {"HOME": rabbit.HOME}
PYTHON = "/usr/bin/python3"


def settings(name: str, *, text: str = "", template: str = "", restarts: bool = False) -> File:
    """Describe a file that only the broker's user reads."""
    return File(
        path=f"{rabbit.HOME}/{name}",
        text=text,
        template=template,
        mode=0o400,
        user="rabbitmq",
        group="rabbitmq",
        restarts=restarts,
    )


SERVER = Process(
    name="rabbitmq",
    summary="RabbitMQ",
    command=f"{PYTHON} {rabbit.HOME}/start.py",
    environment=ENVIRONMENT,
    files=(
        settings("conf.d/10-server.conf", template="server.conf.j2", restarts=True),
        settings("rabbitmq-env.conf", template="rabbitmq-env.conf.j2", restarts=True),
        settings("between-units.config", template="between-units.config.j2", restarts=True),
        settings("definitions.json", text="{}", restarts=True),
        settings("enabled_plugins", text="[].\n", restarts=True),
        settings(".erlang.cookie", text="{{ secrets.erlang_cookie.cookie }}", restarts=True),
        File(path=f"{rabbit.HOME}/start.py", template="start.py", mode=0o644),
        # Members come and go without a restart of the others.
        settings("cluster.json", text="{{ cluster }}"),
        File(path=f"{rabbit.HOME}/broker.py", template="broker.py", mode=0o644, restarts=False),
        File(path=f"{rabbit.HOME}/online.sh", template="online.sh", mode=0o644, restarts=False),
        # The broker looks at both every two minutes. Key and certificate are one file, so that
        # they always belong together.
        settings("tls.pem", text="{{ certificates.private_key }}{{ certificates.certificate }}"),
        settings("ca.pem", text="{{ certificates.ca }}"),
    ),
    check=Check(
        command=f"sh {rabbit.HOME}/online.sh {{{{ addresses.unit_ip }}}} {rabbit.PORT}"
        " {{ addresses.service_name }}",
        patience=60,
    ),
    kill_delay=60,
)


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the broker's configuration needs beyond options and relations."""
    member = rabbit.membership(snapshot)
    return {
        "node": member.me,
        "cluster": json.dumps(dataclasses.asdict(member), sort_keys=True),
        "memory_limit": rabbit.memory_limit(
            int(snapshot.config["memory-limit"]), snapshot.memory << 20
        ),
    }


def broker(command: str, *argv: str) -> tuple[str, ...]:
    """Give the command line of the script that works beside the broker."""
    return (PYTHON, f"{rabbit.HOME}/broker.py", command, *argv)


def task(name: str, argv: tuple[str, ...], message: str) -> Task:
    """Describe a task with the rights of the broker."""
    return Task(
        name=name,
        argv=argv,
        message=message,
        environment=ENVIRONMENT,
        user="rabbitmq",
        group="rabbitmq",
        when="online",
        timeout=300,
    )


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make members and accounts equal to units and clients."""
    keep = task("members", broker("keep", *rabbit.expected(snapshot)), "looking after members")
    yield keep
    made = task("accounts", broker("accounts"), "making accounts for clients")
    wanted = clients.definitions(clients.accounts(snapshot).values())
    yield dataclasses.replace(made, stdin=wanted, facts=True)


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Answer the clients whose account exists."""
    made = seen["facts"].get("accounts", {}).get("accounts", ())
    yield rabbit.tell(snapshot, seen["online"])
    yield clients.CLIENTS.respond(
        snapshot,
        [account for name, account in clients.accounts(snapshot).items() if name in made],
        hostname=snapshot.addresses.service_name,
        port=rabbit.PORT,
        tls_ca=seen["certificates"].ca,
        external_hostname=snapshot.load_balancer,
        allow_plain=bool(snapshot.config["allow-plain-credentials"]),
    )


SERVICE = Service(
    name="rabbitmq",
    processes=(SERVER,),
    needs=(CERTIFICATES,),
    provides=(clients.CLIENTS,),
    own_secrets=(COOKIE,),
    values=values,
    tasks=tasks,
    offers=offers,
    condition=clients.condition,
    farewells=(task("leave", broker("leave"), "handing queues over"),),
    options=(Option(name="memory-limit", minimum=0, maximum=1 << 20),),
    ports=(rabbit.PORT,),
    load_balancer=LoadBalancer(
        ports={"amqps": rabbit.PORT},
        wanted=lambda snapshot: any(each.external for each in clients.CLIENTS.requests(snapshot)),
    ),
)


class RabbitmqCharm(ops.CharmBase):
    """Run RabbitMQ."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, SERVICE, templates)


if __name__ == "__main__":
    ops.main(RabbitmqCharm)
