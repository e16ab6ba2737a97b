"""What API charms share: how many workers, files in common, and the probe of connections."""

import getpass
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest
import yaml

from charmkit import api, observe
from charmkit.templates import OURS

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = OURS / "connected.sh"
MARK = "core-probe-under-test"


GIB = 1024


@pytest.mark.parametrize(
    ("cpus", "memory", "full", "light"),
    [
        (1, 24, 2, 1),
        (2, 24, 2, 1),
        (3, 24, 3, 1),
        (4, 24, 4, 2),
        (16, 64, 7, 3),
        (64, 256, 12, 6),
        (256, 1024, 12, 6),
    ],
)
def test_workers_are_by_the_processors(cpus, memory, full, light):
    memory *= GIB
    assert (api.workers(cpus, memory), api.workers(cpus, memory, is_light=True)) == (full, light)


@pytest.mark.parametrize(("memory", "full"), [(0, 2), (8, 2), (16, 4), (24, 6), (32, 8)])
def test_little_memory_has_few_workers(memory, full):
    assert api.workers(64, memory * GIB) == full


def test_memory_is_the_machine_s():
    (total,) = [
        int(line.split()[1])
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal:")
    ]
    assert observe._memory() == total // 1024


CONNECTIONS = {
    # An API holds one for each thread that serves a request, and each database.
    "keystone": ("full", 1, 1),
    "glance": ("full", 8, 1),
    "placement": ("full", 1, 1),
    "nova-api": ("full", 4, 3),
    "nova-metadata": ("light", 4, 3),
    "neutron-api": ("full", 1, 1),
    "cinder-api": ("full", 1, 1),
    "heat-api": ("full", 1, 1),
    "heat-api-cfn": ("light", 1, 1),
    # A process that works off messages has more threads than its pool has connections: 5, and 5
    # beyond them.
    "nova-scheduler": ("light", 10, 3),
    "nova-conductor": ("light", 10, 3),
    "heat-engine": ("light", 10, 1),
    "neutron-periodic-workers": ("one", 10, 1),
    "neutron-ovn-maintenance-worker": ("one", 10, 1),
    "cinder-scheduler": ("one", 10, 1),
    "cinder-volume": ("one", 10, 1),
}
"""Process → its workers, connections of each to a database, and databases."""


def connections(cpus, memory):
    count = {
        "full": api.workers(cpus, memory),
        "light": api.workers(cpus, memory, is_light=True),
        "one": 1,
    }
    return sum(count[kind] * each * databases for kind, each, databases in CONNECTIONS.values())


@pytest.mark.parametrize(
    ("cpus", "memory", "total"), [(2, 24, 173), (4, 24, 306), (16, 64, 464), (64, 256, 838)]
)
def test_the_database_takes_the_connections_of_all_workers(cpus, memory, total):
    metadata = yaml.safe_load((ROOT / "charms/mariadb-k8s/charmcraft.yaml").read_text())
    option = metadata["config"]["options"]["max-connections"]
    assert connections(cpus, memory * GIB) == total
    assert total <= option["default"]
    assert 3 * total <= 3072, "what the option's description says of three units"
    assert "max_overflow = 5\n" in (OURS / "database.j2").read_text()


def test_processes_of_one_service_share_certificates_and_nothing_that_differs():
    first = api.process(
        service="nova",
        name="nova-api",
        module="m",
        port=1,
        configuration=api.config("nova", process="nova-api"),
        environment={},
    )
    second = api.worker(
        service="nova",
        name="nova-scheduler",
        configuration=api.config("nova", process="nova-scheduler"),
        connected="5671",
    )
    common = {each.path for each in first.files} & {each.path for each in second.files}
    assert common == {
        "/etc/nova/tls/cert.pem",
        "/etc/nova/tls/key.pem",
        "/etc/nova/tls/ca.pem",
        "/etc/nova/tls/database-ca.pem",
    }
    same = {each.path: each for each in first.files}
    assert all(same[each.path] == each for each in second.files if each.path in common)


def test_two_apis_of_one_service_have_settings_of_their_own():
    def ini(name):
        made = api.process(
            service="nova",
            name=name,
            module="m",
            port=1,
            configuration=api.config("nova", process=name),
            environment={},
        )
        return made.command.split()[-1]

    assert ini("nova-api") != ini("nova-metadata")


# --- the probe of connections ------------------------------------------------------------------


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def start(listener):
    """Start a process that connects to the listener, or does not; gone after the test."""
    started = []

    def run(*, connects, mark=MARK):
        port = listener.getsockname()[1]
        code = f"import socket\ns = socket.create_connection(('127.0.0.1', {port}))\n"
        code = (code if connects else "") + "print('up', flush=True)\ninput()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield run
    for process in started:
        process.communicate("\n")


@pytest.fixture
def is_connected(listener, tmp_path):
    """Ask the probe; without root's rights, which the container has, for our own processes."""
    shim = tmp_path / "setpriv"
    shim.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    shim.chmod(0o755)

    def ask(port=None):
        wanted = port or listener.getsockname()[1]
        found = subprocess.run(
            [shutil.which("sh"), str(SCRIPT), getpass.getuser(), MARK, str(wanted)],
            env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )
        return found.returncode == 0

    return ask


def test_a_process_that_is_connected_is_there(start, is_connected):
    start(connects=True)
    assert is_connected()


def test_a_process_that_is_not_connected_is_not_there(start, is_connected):
    start(connects=False)
    assert not is_connected()


def test_the_connection_of_another_process_does_not_count(start, is_connected):
    start(connects=False)
    start(connects=True, mark="another")
    assert not is_connected()


def test_another_port_does_not_count(start, is_connected):
    start(connects=True)
    assert not is_connected(port=1)


def test_a_connection_that_the_other_end_has_closed_does_not_count(start, listener, is_connected):
    start(connects=True)
    accepted, _ = listener.accept()
    assert is_connected()
    accepted.close()
    assert not is_connected()


def test_without_a_process_nothing_is_there(is_connected):
    assert not is_connected()
