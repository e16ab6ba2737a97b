"""What tests of API charms share: a charm's modules, and an API that answers over TLS."""

import dataclasses
import http.server
import importlib.util
import json
import shutil
import ssl
import subprocess
import threading
import types

import charmworld
import plans
import pytest

from charmkit import plan
from charmkit.interfaces import keystone, mysql_client, rabbitmq
from charmkit.service import Service
from charmkit.templates import Templates


@pytest.fixture
def load_charm():
    """Import a charm's charm.py, with its neighbours in src, under a name of its own."""
    return lambda charm: charmworld.load(charm).module


@pytest.fixture
def load_script():
    """Import a Python file that runs in a workload container."""

    def load(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@dataclasses.dataclass(frozen=True)
class Known:
    """A need that reads what the test says."""

    endpoint: str
    value: object

    def secret_uris(self, snapshot):
        return ()

    def secret_labels(self, snapshot):
        return ()

    def request(self, snapshot):
        return None

    def read(self, snapshot):
        return self.value


@pytest.fixture
def with_needs():
    """Give a service whose needs read these values, by endpoint."""

    def replace(service, **values):
        needs = tuple(Known(name.replace("_", "-"), value) for name, value in values.items())
        return dataclasses.replace(service, needs=needs)

    return replace


# --- what needs read ---------------------------------------------------------------------------


@pytest.fixture
def account():
    """Give Keystone with an account of a service."""
    return keystone.Identity(
        auth_url="https://keystone:5000/v3",
        public_auth_url="https://10.8.0.5:5000/v3",
        admin_auth_url="https://keystone:5000/v3",
        region="RegionOne",
        username="svc",
        password="pa$word",
        project="services",
        project_domain="service_domain",
        user_domain="service_domain",
        admin_role="admin",
    )


@pytest.fixture
def certificate():
    """Give a certificate as needs read it."""
    return types.SimpleNamespace(certificate="cert", private_key="key", ca="ca")


@pytest.fixture
def make_database():
    """Make a schema with an account of its own."""

    def make(name, password="s3cret"):  # noqa: S107 - it is no real one
        return mysql_client.Database(
            address="mariadb:3306",
            name=name,
            username=f"user-{name}",
            password=password,
            tls=True,
            tls_ca=f"authority of {name}",
        )

    return make


@pytest.fixture
def broker():
    """Give a broker with an account of a service."""
    return rabbitmq.Broker(
        hosts=("rabbitmq",),
        port=5671,
        username="svc-1",
        password="s3cret-broker",
        vhost="svc",
        tls=True,
        tls_ca="authority of the broker",
    )


@pytest.fixture
def make_plan(load_charm, with_needs, account, certificate, make_database):
    """Plan for a charm's snapshot; its needs read what every API has, and what is given."""

    def make(charm, snapshot, **needs):
        found = vars(load_charm(charm)).values()
        [service] = [each for each in found if isinstance(each, Service)]
        shared = {
            "database": make_database(snapshot.app),
            "certificates": certificate,
            "identity_service": account,
            "receive_ca_cert": None,
            "cache": None,
        }
        templates = Templates(plans.CHARMS / charm / "src/templates")
        return plan.make(with_needs(service, **(shared | needs)), snapshot, templates)

    return make


# --- an API over TLS ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Give a folder with `ca.pem`, and `cert.pem`, `key.pem` of api.test and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("authority")
    openssl = shutil.which("openssl")
    assert openssl, "install openssl: it comes with ca-certificates"

    def run(*arguments):
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        run(*new, "-x509", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}-key.pem", "-out", f"{name}.pem")  # fmt: skip
    run(*new, "-subj", "/CN=api.test", "-keyout", "key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=DNS:api.test,IP:127.0.0.1\n")
    run("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
        "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "cert.pem")  # fmt: skip
    return folder


@pytest.fixture
def api(authority):
    """Serve answers over TLS on a port of 127.0.0.1.

    `answers` maps (method, path) to (status, headers, JSON body) or a list of such, used up one
    by one; `requests` are those that came.
    """
    state = types.SimpleNamespace(answers={}, requests=[], ca_file=str(authority / "ca.pem"))

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            state.requests.append((self.command, self.path, dict(self.headers), body))
            answer = state.answers.get((self.command, self.path), (404, {}, None))
            if isinstance(answer, list):
                answer = answer.pop(0)
            status, headers, content = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if content is not None:
                self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")

    def get_request():
        # The handshake is the handler's: a client that breaks it off must not end the server.
        connection, address = server.socket.accept()
        return context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    server.get_request = get_request
    server.handle_error = lambda request, address: None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    state.port = server.server_address[1]
    state.url = f"https://127.0.0.1:{state.port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
