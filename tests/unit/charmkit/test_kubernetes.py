"""The load balancer: the real client against a server that answers as Kubernetes does."""

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import urllib.parse

import lightkube
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from charmkit import kubernetes

PORTS = {"amqps": 5671}


class Api:
    """Services of one namespace. Whoever is not trusted may do nothing."""

    def __init__(self):
        self.services = {}
        self.trusted = True
        self.broken = False
        self.reads_until_address = 0
        self.requests = []

    def answer(self, method, path, body):
        """Give status and object."""
        url = urllib.parse.urlsplit(path)
        query = urllib.parse.parse_qs(url.query)
        name = url.path.removeprefix("/api/v1/namespaces/cloud/services/")
        self.requests.append((method, name))
        if self.broken:
            return 500, {"kind": "Status", "code": 500, "message": "no quorum"}
        if not self.trusted:
            return 403, {"kind": "Status", "code": 403, "reason": "Forbidden"}
        if method == "PATCH":
            assert query["fieldManager"] == ["charm-broker"], "server-side apply names its manager"
            self.services[name] = {**body, "status": {"loadBalancer": {}}}
        elif name not in self.services:
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound"}
        elif method == "DELETE":
            return 200, self.services.pop(name)
        if self.reads_until_address == 0:
            self.services[name]["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}
        self.reads_until_address -= 1
        return 200, self.services[name]


@pytest.fixture
def api(tmp_path, monkeypatch):
    """A server over TLS, and the pod's account with which it is used."""
    fake = Api()

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self):
            assert self.headers["Authorization"] == "Bearer token-of-the-pod"
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}")
            status, found = fake.answer(self.command, self.path, body)
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

        def log_message(self, *args):
            """Say nothing."""

    certificate = make_certificate(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("token-of-the-pod")
    (account / "namespace").write_text("cloud")
    (account / "ca.crt").write_text(certificate.read_text())
    monkeypatch.setattr(kubernetes, "ACCOUNT", str(account))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def make_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(san, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(pem))
    return path


def test_the_service_selects_the_units_of_the_application(api):
    assert kubernetes.ensure_load_balancer("broker", "cloud", PORTS).address == "10.0.0.9"
    made = api.services["broker-lb"]["spec"]
    assert made["type"] == "LoadBalancer"
    assert made["selector"] == {"app.kubernetes.io/name": "broker"}
    [port] = made["ports"]
    assert (port["name"], port["port"], port["protocol"]) == ("amqps", 5671, "TCP")


def test_a_new_service_is_given_the_time_to_get_its_address(api, monkeypatch):
    monkeypatch.setattr(kubernetes.time, "sleep", lambda seconds: None)
    api.reads_until_address = 3
    assert kubernetes.ensure_load_balancer("broker", "cloud", PORTS).address == "10.0.0.9"


def test_an_address_that_does_not_come_is_no_failure(api):
    api.reads_until_address = 1000
    found = kubernetes.ensure_load_balancer("broker", "cloud", PORTS, patience=0)
    assert found == kubernetes.Balancer()


def test_without_trust_the_operator_is_told_what_to_do(api):
    api.trusted = False
    found = kubernetes.ensure_load_balancer("broker", "cloud", PORTS)
    assert found.problem == "needs trust: juju trust broker --scope=cluster"
    kubernetes.remove_load_balancer("broker", "cloud")
    assert ("DELETE", "broker-lb") in api.requests


def test_another_failure_is_one(api):
    api.broken = True
    for act in (
        lambda: kubernetes.ensure_load_balancer("broker", "cloud", PORTS),
        lambda: kubernetes.remove_load_balancer("broker", "cloud"),
    ):
        with pytest.raises(lightkube.ApiError, match="no quorum"):
            act()


def test_the_service_goes_once_and_for_all(api):
    kubernetes.ensure_load_balancer("broker", "cloud", PORTS)
    kubernetes.remove_load_balancer("broker", "cloud")
    kubernetes.remove_load_balancer("broker", "cloud")
    assert api.services == {}


def test_where_there_is_no_kubernetes_that_is_said(api, tmp_path, monkeypatch):
    monkeypatch.setattr(kubernetes, "ACCOUNT", str(tmp_path / "missing"))
    assert "no Kubernetes" in kubernetes.ensure_load_balancer("a", "cloud", PORTS).problem
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert "no Kubernetes" in kubernetes.ensure_load_balancer("a", "cloud", PORTS).problem
    kubernetes.remove_load_balancer("a", "cloud")
    assert api.requests == []
