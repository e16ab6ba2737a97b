"""Starts the broker; brings it into the cluster the first time. Pebble runs this at every start.

A node that has never been a member waits for one to join, unless it is the one that founds the
cluster. RabbitMQ itself would found another cluster if it missed the others, so what became of the
first start is looked at before the node counts as a member; until then it gets no traffic.
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import sys
import time

import broker

CLUSTER = pathlib.Path("/etc/rabbitmq/conf.d/20-cluster.conf")
DISCOVERY = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {me}
cluster_formation.classic_config.nodes.2 = {seed}
"""
PORT = 5671
PATIENCE = 120  # seconds for the first start


def main() -> None:
    """Become the broker."""
    account = pwd.getpwnam("rabbitmq")
    broker.STORAGE.mkdir(exist_ok=True)
    os.chown(broker.STORAGE, account.pw_uid, account.pw_gid)
    is_new = not broker.MEMBER.exists()
    seed = prepare() if is_new else ""
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if is_new:
        if seed:
            broker.expel(f"rabbit@{seed}", broker.me())
        watch(os.getpid(), bool(seed))
    os.execvp("rabbitmq-server", ["rabbitmq-server"])  # noqa: S606 - there is no shell to need


def prepare() -> str:
    """Clear away a first start that came to nothing, and find a member to join.

    Returns:
        Host name of the member, or "" to found the cluster.
    """
    shutil.rmtree(broker.STORAGE / "data", ignore_errors=True)
    seed = find_seed()
    text = DISCOVERY.format(me=broker.me(), seed=f"rabbit@{seed}") if seed else ""
    CLUSTER.write_text(text)
    CLUSTER.chmod(0o644)
    return seed


def find_seed() -> str:
    """Wait until another unit answers; give up at once if this one is to found the cluster."""
    while True:
        facts = broker.facts()
        for host in facts["others"]:
            if answers(host):
                return host
        if facts["may_found"]:
            return ""
        time.sleep(1)


def answers(host: str) -> bool:
    """Tell whether a broker listens for clients there."""
    try:
        socket.create_connection((host, PORT), timeout=2).close()
    except OSError:
        return False
    return True


def watch(server: int, joins: bool) -> None:
    """Look, beside the server, what becomes of its first start; end it if it does not join."""
    if os.fork():
        os.wait()
        return
    if os.fork():  # the grandchild is nobody's child, so the server need not wait for it
        os._exit(0)
    try:
        if settle(joins):
            os._exit(0)
    finally:
        print("the first start came to nothing: starting again", file=sys.stderr, flush=True)
        os.kill(server, signal.SIGTERM)
        os._exit(1)


def settle(joins: bool) -> bool:
    """Make the node a member once it runs; tell whether it is one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            members, running = broker.members()
        except broker.ToolError:
            time.sleep(1)
            continue
        if broker.me() in running:
            if joins and len(members) < 2:
                return False
            if joins:
                broker.grow()
            broker.MEMBER.touch()
            return True
        time.sleep(1)
    return False


if __name__ == "__main__":
    main()
