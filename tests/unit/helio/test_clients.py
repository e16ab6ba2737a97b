import dataclasses
import http.client
import http.server
import json
import ssl
import subprocess
import threading
from pathlib import Path

import jubilant
import pytest
import yaml

from helio import clients
from helio.clients import Account
from helio.host import DryRunHost, HelioError
from helio.settings import Settings

ACCOUNT = Account(
    auth_url="https://10.131.0.5:5000/v3",
    username="admin",
    password="it's $ecret",
    project="admin",
    user_domain="admin_domain",
    project_domain="admin_domain",
    region="RegionOne",
)
RESULTS = {
    "auth-url": ACCOUNT.auth_url,
    "username": "admin",
    "project": "admin",
    "user-domain": "admin_domain",
    "project-domain": "admin_domain",
    "region": "RegionOne",
    "secret": "secret:abc",
}


class Charms:
    """Answers actions and secrets as Juju does."""

    def __init__(self, results: dict[str, str]):
        self.results = results
        self.asked: list[tuple[str, str]] = []

    def run(self, unit, action, params=None, *, wait=None):
        self.asked.append((unit, action))
        return jubilant.Task(id="1", status="completed", results=self.results)

    def show_secret(self, identifier, *, reveal):
        assert (identifier, reveal) == ("secret:abc", True)
        return jubilant.RevealedSecret(
            uri=jubilant.SecretURI(identifier),
            revision=1,
            expires="",
            rotation="",
            rotates=None,
            owner="keystone",
            description="",
            name="",
            label="",
            created="",
            updated="",
            access=None,
            revisions=None,
            checksum="",
            content={"username": "admin", "password": ACCOUNT.password},
        )


def test_the_account_is_put_together_from_action_and_secret():
    charms = Charms(RESULTS)
    assert clients.read_account(charms) == ACCOUNT
    assert charms.asked == [("keystone/leader", "get-admin-account")]


def test_a_result_that_lacks_something_is_named():
    with pytest.raises(HelioError, match="did not return 'region'"):
        clients.read_account(Charms({k: v for k, v in RESULTS.items() if k != "region"}))


def test_an_action_that_fails_is_named():
    class Failing(Charms):
        def run(self, unit, action, params=None, *, wait=None):
            raise jubilant.TaskError(jubilant.Task(id="1", status="failed", message="not yet"))

    with pytest.raises(HelioError, match="get-admin-account on keystone: not yet"):
        clients.read_account(Failing({}))


def test_a_refusal_of_juju_is_told_with_its_reason():
    class Refusing(Charms):
        def run(self, unit, action, params=None, *, wait=None):
            raise jubilant.CLIError(1, ["juju", "run"], "", "ERROR model openstack not found\n")

    with pytest.raises(HelioError, match=r"model openstack not found.*helio status"):
        clients.read_ca(Refusing({}))


def test_the_password_is_not_in_the_accounts_text():
    assert ACCOUNT.password not in repr(ACCOUNT)


def test_a_shell_reads_back_what_openrc_says():
    script = clients.openrc(ACCOUNT, Path("/home/a b/ca.pem"))
    script += 'printf "%s\\n" "$OS_PASSWORD" "$OS_CACERT" "$OS_AUTH_URL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [ACCOUNT.password, "/home/a b/ca.pem", ACCOUNT.auth_url]


def test_clouds_yaml_names_the_file_of_the_authority():
    text = clients.clouds_yaml({"helio": ACCOUNT}, Path("/ca.pem"))
    cloud = yaml.safe_load(text)["clouds"]["helio"]
    assert cloud["cacert"] == "/ca.pem"
    assert cloud["auth"]["password"] == ACCOUNT.password


def test_accounts_are_read_as_they_were_written():
    accounts = {"helio": ACCOUNT, "demo": dataclasses.replace(ACCOUNT, username="demo")}
    assert clients.read_accounts(clients.clouds_yaml(accounts, Path("/ca.pem"))) == accounts


def test_the_demo_users_account_is_kept_and_follows_the_address_of_keystone(host):
    settings = Settings(home=Path("/home"))
    demo = dataclasses.replace(ACCOUNT, username="demo", password="d")
    clients.keep_accounts(host, settings, {"helio": ACCOUNT, "demo": demo})
    moved = dataclasses.replace(ACCOUNT, auth_url="https://new:5000/v3", password="rotated")
    kept = clients.kept_accounts(host, settings)
    clients.keep_accounts(host, settings, {**kept, "helio": moved})
    assert clients.kept_accounts(host, settings) == {
        "helio": moved,
        "demo": dataclasses.replace(demo, auth_url=moved.auth_url),
    }
    assert host.modes[settings.clouds] == host.modes[settings.openrc] == 0o600
    assert "rotated" in host.files[settings.openrc]


def test_the_administrators_account_is_asked_for_and_others_are_kept(host):
    settings = Settings(home=Path("/home"))
    demo = dataclasses.replace(ACCOUNT, username="demo")
    old = dataclasses.replace(
        ACCOUNT, password="old", auth_url="https://old:5000/v3", region="RegionZero"
    )
    clients.keep_accounts(host, settings, {"helio": old, "demo": demo})
    found = clients.accounts(Charms(RESULTS | {"ca-certificate": "PEM"}), host, settings)
    assert found == {"helio": ACCOUNT, "demo": demo}
    assert host.files[settings.ca] == "PEM\n"


def test_the_certificate_is_written_only_where_it_is_another_one(host):
    settings, told = Settings(home=Path("/home")), []
    charms = Charms(RESULTS | {"ca-certificate": "PEM"})
    clients.accounts(charms, DryRunHost(host, told.append), settings)
    assert told == ["write /home/ca.pem (mode 0644)"]
    assert host.files == {}
    clients.accounts(charms, host, settings)
    clients.accounts(charms, DryRunHost(host, told.append), settings)
    assert len(told) == 1


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    file = tmp_path / "server.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(tmp_path / "key.pem"), "-out", str(file),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return file, tmp_path / "key.pem"


@pytest.fixture
def keystone(certificate):
    """A server that answers as Keystone does, over TLS; yields address and answers."""
    answers = [(201, {"token": {"catalog": [{"type": "placement"}, {"type": "identity"}]}})]
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(
                (self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            )
            code, body = answers.pop(0) if len(answers) > 1 else answers[0]
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/v3", answers, seen
        server.shutdown()
        thread.join()


@pytest.fixture
def account(keystone):
    return dataclasses.replace(ACCOUNT, auth_url=keystone[0])


def test_a_token_brings_the_catalogue(keystone, account, certificate):
    assert clients.issue_token(account, certificate[0].read_text()) == ("identity", "placement")
    path, body = keystone[2][0]
    assert path == "/v3/auth/tokens"
    assert body["auth"]["identity"]["password"]["user"]["password"] == ACCOUNT.password


def test_a_service_that_is_still_starting_is_asked_again(keystone, account, certificate):
    keystone[1].insert(0, (503, {}))
    assert clients.issue_token(account, certificate[0].read_text())


def test_half_an_answer_is_a_service_that_restarts(monkeypatch, account, certificate):
    whole = http.client.HTTPResponse.read
    halves = [http.client.IncompleteRead(b"{")]

    def read(response):
        if halves:
            raise halves.pop()
        return whole(response)

    monkeypatch.setattr("http.client.HTTPResponse.read", read)
    assert clients.issue_token(account, certificate[0].read_text())
    assert not halves


def test_a_refused_login_is_told_at_once(keystone, account, certificate):
    keystone[1][:] = [(401, {})]
    with pytest.raises(HelioError, match="answered 401"):
        clients.issue_token(account, certificate[0].read_text())
    assert len(keystone[2]) == 1
