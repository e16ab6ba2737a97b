"""The entry point's own HAProxy, with the charm's settings, before a service over TLS."""

import contextlib
import dataclasses
import http.client
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from cloudtest import run, wait_for

from charmkit.interfaces import ingress
from charmkit.templates import Templates
from helio import images

ROOT = Path(__file__).parents[2]
IDLE = 3
"""Seconds without a byte after which the entry point gives up; an upload takes longer here."""
FALL = 6
"""Seconds in which a unit is taken out: two checks, 2 s apart, and a little for each of them."""


class Unit(http.server.ThreadingHTTPServer):
    """A unit of a service. One that is sick answers, but can do nothing."""

    is_sick = False


class Service(http.server.BaseHTTPRequestHandler):
    """Tells the path, the headers and the length of what it was sent, and which unit it is."""

    def _answer(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        size = left
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        unit = cast(Unit, self.server)
        told = {"path": self.path, "headers": headers, "size": size}
        told["unit"] = unit.server_address[0]
        body = json.dumps(told).encode()
        self.send_response(503 if unit.is_sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = _answer  # noqa: N815 - http.server's names

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1, and for the service, that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=entry", "-keyout", f"{folder}/key.pem",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:service.test", "-out", f"{folder}/ca.pem",
    ])  # fmt: skip
    return folder


@contextlib.contextmanager
def serving(tls: Path, address: str = "127.0.0.1", port: int = 0) -> Iterator[Unit]:
    """Run a unit of the service over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "ca.pem", tls / "key.pem")
    unit = Unit((address, port), Service)
    unit.socket = context.wrap_socket(unit.socket, server_side=True)
    # Clients that hang up are part of the tests, and no news.
    unit.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=unit.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield unit
    finally:
        unit.shutdown()
        thread.join()
        unit.server_close()


@pytest.fixture(scope="module")
def service(tls: Path) -> Iterator[int]:
    """The port of a service of one unit."""
    with serving(tls) as unit:
        yield unit.server_address[1]


UNITS = ("127.0.0.1", "127.0.0.2")


@pytest.fixture(scope="module")
def shared_port() -> int:
    """The port of a service of two units, which nobody has started yet."""
    return free_port()


@dataclasses.dataclass(frozen=True)
class Backend:
    """What the template knows of an application, see the charm's module."""

    prefix: str
    port: int
    servers: tuple[ingress.Server, ...]
    scheme: str = "https"
    strip: bool = True
    path: str = "/alive"


@pytest.fixture(scope="module")
def entry_point(
    tls: Path,
    service: int,
    shared_port: int,
    image_store: images.Store,
    containers_conf: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], http.client.HTTPSConnection]]:
    """Connects to HAProxy, which runs in a container of its image."""
    folder = tmp_path_factory.mktemp("haproxy")
    units = tuple(
        ingress.Server(unit=f"svc/{number}", host="service.test", address=address)
        for number, address in enumerate(UNITS)
    )
    settings = Templates(ROOT / "charms/ingress-k8s/src/templates").render(
        "haproxy.cfg.j2",
        {
            "backends": [
                Backend("cloud-svc", service, units[:1]),
                Backend("cloud-two", shared_port, units),
            ],
            "tls_file": "/etc/entry/server.pem",
            "trusted_file": "/etc/entry/ca.pem",
            "config": {"idle_timeout": IDLE},
        },
    )
    port = free_port()
    settings = settings.replace("bind :443", f"bind 127.0.0.1:{port}")
    settings = settings.replace("bind :80", f"bind 127.0.0.1:{free_port()}")
    (folder / "haproxy.cfg").write_text(settings)
    shutil.copy(tls / "ca.pem", folder)
    pair = (tls / "ca.pem").read_text() + (tls / "key.pem").read_text()
    (folder / "server.pem").write_text(pair)
    catalogue = images.load()
    references = [catalogue.reference("haproxy", distro) for distro in sorted(catalogue.distros)]
    podman = image_store.command("podman")
    environment = {**os.environ, "CONTAINERS_CONF": str(containers_conf)}
    (image,) = [
        each
        for each in references
        if not subprocess.run([*podman, "image", "exists", each], check=False).returncode
    ]
    name = f"helio-test-entry-point-{port}"
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))

    def connect() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)

    def answers() -> bool:
        with contextlib.closing(connect()) as connection:
            try:
                return told(connection, "GET", "/cloud-svc/")[0] == 200
            except OSError:
                return False

    try:
        run([
            *podman, "run", "--detach", "--name", name, "--network", "host",
            "--volume", f"{folder}:/etc/entry:ro", "--entrypoint", "/usr/sbin/haproxy",
            image, "-W", "-db", "-f", "/etc/entry/haproxy.cfg",
        ], environment)  # fmt: skip
        wait_for(answers, 30, "the entry point finds its service")
        yield connect
    finally:
        run([*podman, "rm", "--force", "--time", "2", name], environment)


@pytest.fixture
def connection(
    entry_point: Callable[[], http.client.HTTPSConnection],
) -> Iterator[http.client.HTTPSConnection]:
    """A connection to the entry point."""
    with contextlib.closing(entry_point()) as made:
        yield made


def told(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_service_sees_its_own_path_and_is_told_the_prefix(connection):
    status, body = told(connection, "GET", "/cloud-svc/v2/things?limit=2")
    seen = json.loads(body)
    assert (status, seen["path"]) == (200, "/v2/things?limit=2")
    assert seen["headers"]["x-forwarded-prefix"] == "/cloud-svc"
    assert seen["headers"]["x-forwarded-proto"] == "https"


def test_what_a_client_says_of_proxies_is_not_believed(connection):
    lies = {
        "Forwarded": "for=1.2.3.4;host=evil.test;proto=http",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
    }
    _, body = told(connection, "GET", "/cloud-svc/", lies)
    text = body.decode()
    assert "evil" not in text
    assert "1.2.3.4" not in text
    assert json.loads(text)["headers"]["x-forwarded-for"] == "127.0.0.1"


def test_another_prefix_is_not_served(connection):
    assert told(connection, "GET", "/cloud-svcx/")[0] == 404
    assert told(connection, "GET", "/")[0] == 404


def test_an_upload_may_last_much_longer_than_a_silence(connection):
    pieces = IDLE * 3
    began = time.monotonic()
    connection.putrequest("PUT", "/cloud-svc/file")
    connection.putheader("Content-Length", str(pieces * 65536))
    connection.endheaders()
    for _ in range(pieces):
        connection.send(b"x" * 65536)
        time.sleep(1)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["size"]) == (200, pieces * 65536)
    assert time.monotonic() - began > IDLE * 2


def test_a_large_upload_goes_through_whole(connection):
    size = 1 << 30
    connection.putrequest("PUT", "/cloud-svc/file")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for _ in range(size >> 20):
        connection.send(bytes(1 << 20))
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["size"]) == (200, size)


@pytest.mark.parametrize("fate", ["gone", "sick"])
def test_a_unit_that_died_is_asked_no_more_until_it_is_back(entry_point, tls, shared_port, fate):
    def who() -> str:
        """Return which unit answers, or the error that a client sees."""
        with contextlib.closing(entry_point()) as connection:
            status, body = told(connection, "GET", "/cloud-two/")
        return json.loads(body)["unit"] if status == 200 else str(status)

    def everybody() -> set[str]:
        return {who() for _ in range(20)}

    first, second = UNITS
    with serving(tls, first, shared_port), contextlib.ExitStack() as life:
        unit = life.enter_context(serving(tls, second, shared_port))
        wait_for(lambda: everybody() == set(UNITS), 30, "both units serve")
        if fate == "gone":
            life.close()
        else:
            unit.is_sick = True
            assert "503" in everybody(), "it is asked until it is known"
        time.sleep(FALL)
        assert {who() for _ in range(100)} == {first}
        if fate == "gone":
            life.enter_context(serving(tls, second, shared_port))
        else:
            unit.is_sick = False
        wait_for(lambda: everybody() == set(UNITS), 10, "the unit is back")
