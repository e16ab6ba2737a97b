"""The probe of API charms, against an API that answers over TLS."""

import socket
import subprocess
import time

import pytest

from charmkit.templates import OURS


@pytest.fixture
def probe(api):
    def run(name="api.test", path="/v3", ca_file=None, port=None):
        command = ["sh", str(OURS / "online.sh"), "127.0.0.1", str(port or api.port), name, path]
        command.append(ca_file or api.ca_file)
        return subprocess.run(command, capture_output=True, timeout=10, check=False)

    return run


@pytest.mark.parametrize(("status", "code"), [(200, 0), (300, 0), (401, 1), (404, 1), (503, 1)])
def test_an_answer_from_200_to_399_is_online(api, probe, status, code):
    api.answers["GET", "/v3"] = (status, {}, {"version": {}})
    assert probe().returncode == code


def test_it_asks_by_the_name_that_clients_use(api, probe):
    api.answers["GET", "/v3"] = (200, {}, {})
    probe()
    ((method, path, headers, _),) = api.requests
    assert (method, path, headers["Host"]) == ("GET", "/v3", f"api.test:{api.port}")


def test_a_certificate_for_another_name_is_not_online(api, probe):
    api.answers["GET", "/v3"] = (200, {}, {})
    assert probe(name="other.test").returncode == 1


def test_a_certificate_of_another_authority_is_not_online(api, probe, authority):
    api.answers["GET", "/v3"] = (200, {}, {})
    assert probe(ca_file=str(authority / "other.pem")).returncode == 1


def test_nobody_there_is_not_online(probe):
    assert probe(port=1).returncode == 1


def test_an_api_that_hangs_is_not_online_and_leaves_no_client_behind(probe):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        assert probe(port=silent.getsockname()[1]).returncode == 1
        assert time.monotonic() - begin < 4.5, "less than the time that Pebble gives"
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(1)
            while connection.recv(4096):  # the client's greeting, and then its end
                pass
