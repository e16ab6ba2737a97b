"""memcached-k8s: the server's command line, its probe, and what clients are told."""

import contextlib
import pathlib
import socket
import subprocess
import threading

import pytest
from ops import testing

from charmkit.spec import Addresses, RelationData, Snapshot
from charmkit.templates import Templates

CHARMS = pathlib.Path(__file__).parents[3] / "charms"

TEMPLATES = CHARMS / "memcached-k8s/src/templates"


@pytest.fixture
def charm(load_charm):
    return load_charm("memcached-k8s")


def sees(**changes):
    client = RelationData(id=4, endpoint="cache", app="nova")
    return Snapshot(
        app="memcached",
        unit="memcached/1",
        relations={"cache": (client,)},
        addresses=Addresses(unit_ip="10.1.0.5", unit_name="memcached-1.memcached-endpoints"),
        **changes,
    )


@pytest.mark.parametrize("online", [True, False])
def test_clients_know_a_unit_by_name_while_it_answers(charm, online):
    [publication] = charm.offers(sees(), {"online": online})
    [bag] = publication.bags
    expected = {"host": "memcached-1.memcached-endpoints", "port": "11211"}
    assert bag.unit == (expected if online else dict.fromkeys(expected))


def test_the_server_listens_on_the_pods_address_only_and_not_by_udp():
    values = {
        "app": "memcached",
        "addresses": sees().addresses,
        "config": {"memory": 64, "max_connections": 4096},
    }
    text = Templates(TEMPLATES).render("start.sh.j2", values)
    assert "--listen=10.1.0.5 " in text
    assert "--udp-port=0 " in text
    assert "--memory-limit=64 --conn-limit=4096" in text


def probe(port):
    command = ["bash", str(TEMPLATES / "online.sh"), "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=20).returncode


@contextlib.contextmanager
def server(answer):
    """Answer one client as told."""

    def serve():
        with contextlib.suppress(OSError), listener.accept()[0] as client:
            client.recv(100)
            client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("answer", "succeeds"),
    [(b"VERSION 1.6.18\r\n", True), (b"ERROR Too many open connections\r\n", False), (b"", False)],
)
def test_the_probe_succeeds_if_the_server_tells_its_version(answer, succeeds):
    with server(answer) as port:
        assert (probe(port) == 0) is succeeds


def test_the_probe_fails_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert probe(port) != 0


@pytest.mark.parametrize(("option", "value"), [("memory", 8), ("max-connections", 1)])
def test_a_size_out_of_range_is_refused_by_name(charm, option, value):
    context = testing.Context(charm.MemcachedCharm, charm_root=CHARMS / "memcached-k8s")
    container = testing.Container("memcached", can_connect=True)
    state = testing.State(config={option: value}, containers={container})
    out = context.run(context.on.config_changed(), state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert out.unit_status.message.startswith(f"{option}: must be at least")
