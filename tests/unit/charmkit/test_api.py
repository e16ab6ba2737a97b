"""What API charms share: how many workers, files in common, and the probe of connections."""

import getpass
import shutil
import socket
import subprocess
import sys

import pytest

from charmkit import api
from charmkit.templates import OURS

SCRIPT = OURS / "connected.sh"
MARK = "core-probe-under-test"


@pytest.mark.parametrize(
    ("cpus", "full", "light"), [(1, 2, 1), (2, 2, 1), (3, 3, 1), (4, 4, 2), (64, 4, 2)]
)
def test_workers_are_by_the_machine(cpus, full, light):
    assert (api.workers(cpus), api.workers(cpus, is_light=True)) == (full, light)


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
