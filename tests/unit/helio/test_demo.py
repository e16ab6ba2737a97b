import dataclasses
import http.server
import threading
import time
from pathlib import Path

import pytest
from fakecloud import World

from helio import clients
from helio.clients import Account
from helio.demo import Wanted, steps
from helio.demo.catalogue import image_of
from helio.demo.networks import pool_of, resolvers_of
from helio.host import DryRunHost, HelioError
from helio.settings import Settings
from helio.steps import rehearse, run

ADMIN = Account(
    auth_url="https://10.131.0.5:5000/v3", username="admin", password="a", project="admin",
    user_domain="Default", project_domain="Default", region="RegionOne",
)  # fmt: skip


class Clouds:
    """Connections to one world; the project of an account decides what it sees."""

    def __init__(self, world, accounts):
        self.world = world
        self.accounts = accounts

    def connect(self, name):
        if name not in self.accounts:
            raise HelioError(f"cannot log in as {name}: there is no such user")
        return self.world.connect(self.accounts[name].project)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, store=tmp_path / "storage")


@pytest.fixture
def guest(tmp_path):
    path = tmp_path / "guest.qcow2"
    path.write_bytes(b"QFI\xfb" + bytes(100))
    return path


@pytest.fixture
def world(monkeypatch):
    """A cloud in which tokens are issued to those whose password is right."""
    world = World()

    def issue(account, _ca):
        if world.passwords.get(account.username) != account.password:
            raise HelioError("cannot get a token: answered 401")
        return ("identity",)

    monkeypatch.setattr(clients, "issue_token", issue)
    return world


@pytest.fixture
def machine(host, settings):
    """A machine that has ssh-keygen."""

    def keygen(command):
        path = Path(command.argv[-1])
        host.files[path] = "PRIVATE"
        host.files[path.with_suffix(".pub")] = "ssh-ed25519 AAAA helio\n"
        return ""

    host.answer("ssh-keygen", with_=keygen)
    host.files[settings.ca] = "PEM"
    return host


@pytest.fixture
def clouds(world):
    return Clouds(world, {"helio": ADMIN})


@pytest.fixture
def wanted(settings, guest):
    return Wanted(settings, image_of(None, guest), ("10.0.0.53",))


def configure(clouds, wanted, host, reporter):
    run(steps(clouds, wanted, host), host, reporter)


def test_a_new_cloud_gets_all_that_an_instance_needs(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    world = clouds.world
    assert world.find("assignment", name="demo member demo")
    assert {flavor.name for flavor in world.table("flavor")} == {
        "m1.tiny", "m1.small", "m1.medium", "m1.large"
    }  # fmt: skip
    (image,) = world.table("image")
    assert (image.name, image.disk_format, image.visibility) == ("helio-guest", "qcow2", "public")
    assert image.os_admin_user == "cirros"
    (external,) = world.find("network", name="external")
    assert external.is_router_external
    assert (external.provider_network_type, external.provider_physical_network) == (
        "flat", "physnet1"
    )  # fmt: skip
    (subnet,) = world.find("subnet", name="external")
    assert subnet.gateway_ip == "172.24.4.1"
    assert subnet.allocation_pools == [{"start": "172.24.4.10", "end": "172.24.4.199"}]
    assert subnet.is_dhcp_enabled is False
    (router,) = world.table("router")
    assert router.external_gateway_info == {"network_id": external.id}
    assert [rule.protocol for rule in world.table("rule")] == ["tcp", "icmp"]


def test_what_is_the_demo_users_is_made_by_the_demo_user(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    (project,) = clouds.world.find("project", name="demo")
    for kind, name in (("network", "demo-network"), ("router", "demo-router"), ("group", "demo")):
        assert clouds.world.find(kind, name=name)[0].project_id == project.id
    assert clouds.world.find("subnet", name="demo-subnet")[0].dns_nameservers == ["10.0.0.53"]


def test_a_second_run_changes_nothing(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    made, ran = list(clouds.world.made), list(machine.changes)
    reporter.events.clear()
    configure(clouds, wanted, machine, reporter)
    assert clouds.world.made == made
    assert machine.changes == ran
    assert reporter.of("started") == []


def test_an_interrupted_run_goes_on_where_it_stopped(clouds, wanted, machine, reporter):
    whole = steps(clouds, wanted, machine)
    for count in range(len(whole)):
        world = World()
        world.passwords = clouds.world.passwords
        fresh = Clouds(world, {"helio": ADMIN})
        run(steps(fresh, wanted, machine)[:count], machine, reporter)
        configure(fresh, wanted, machine, reporter)
        assert len(world.made) == len(set(world.made)), "nothing is made twice"
        assert all(step.is_done(machine) for step in steps(fresh, wanted, machine))


def test_the_credentials_are_kept_for_their_owner_only(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    kept = clients.kept_accounts(machine, wanted.settings)
    assert list(kept) == ["helio", "demo"]
    assert kept["demo"] == dataclasses.replace(
        ADMIN, username="demo", project="demo", password=clouds.world.passwords["demo"]
    )
    assert machine.modes[wanted.settings.clouds] == 0o600


def test_a_lost_password_is_made_anew(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    old = clouds.world.passwords["demo"]
    del clouds.accounts["demo"]
    configure(clouds, wanted, machine, reporter)
    assert clouds.world.passwords["demo"] != old
    assert len(clouds.world.find("user", name="demo")) == 1


def test_a_key_of_an_earlier_home_is_replaced(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    clouds.world.find("keypair", name="demo")[0].public_key = "ssh-ed25519 OLD helio"
    configure(clouds, wanted, machine, reporter)
    assert [key.public_key for key in clouds.world.table("keypair")] == ["ssh-ed25519 AAAA helio"]


def test_half_an_upload_is_taken_away_first(clouds, wanted, machine, reporter):
    clouds.world.add("image", name="helio-guest", status="queued", created_at="0",
                     visibility="public", properties=None)  # fmt: skip
    configure(clouds, wanted, machine, reporter)
    assert [image.status for image in clouds.world.table("image")] == ["active"]


@pytest.mark.parametrize(
    "values",
    [
        {"visibility": "private", "properties": None},
        {"visibility": "public", "properties": {"image_type": "snapshot"}},
    ],
)
def test_an_image_of_the_same_name_is_not_taken_for_ours(
    clouds, wanted, machine, reporter, values
):
    clouds.world.add("image", name="helio-guest", status="active", created_at="0", **values)
    configure(clouds, wanted, machine, reporter)
    assert len(clouds.world.table("image")) == 2, "ours is uploaded, and theirs stays"


def test_a_quota_is_raised_and_never_lowered(clouds, wanted, machine, reporter):
    configure(clouds, wanted, machine, reporter)
    (project,) = clouds.world.find("project", name="demo")
    compute = clouds.connect("helio").compute
    compute.update_quota_set(project.id, instances=1, cores=100, ram=-1)
    configure(clouds, wanted, machine, reporter)
    quota = compute.get_quota_set(project.id)
    assert (quota.instances, quota.cores, quota.ram) == (20, 100, -1)
    reporter.events.clear()
    configure(clouds, wanted, machine, reporter)
    assert reporter.of("started") == []


def test_a_rehearsal_tells_everything_and_changes_nothing(clouds, wanted, machine, reporter):
    record = []
    dry = DryRunHost(machine, record.append)
    rehearse(steps(clouds, wanted, dry), dry, reporter)
    assert clouds.world.made == []
    assert any("ssh-keygen" in line for line in record)
    notes = reporter.of("note")
    assert "would make the project and the user demo" in notes
    assert "would make the subnet external: 172.24.4.0/24" in notes
    assert len(notes) + 1 == len(steps(clouds, wanted, dry)), "one step shows its command"


def test_an_image_that_is_not_there_is_named(clouds, wanted, machine, reporter):
    lost = dataclasses.replace(wanted, image=image_of("/no/such.img", Path("/x")))
    with pytest.raises(HelioError, match=r"cannot upload /no/such\.img: there is no such file"):
        configure(clouds, lost, machine, reporter)


def test_another_kind_of_url_is_refused(clouds, wanted, machine, reporter):
    lost = dataclasses.replace(wanted, image=image_of("ftp://x.example/a.img", Path("/x")))
    with pytest.raises(HelioError, match="give a file, or an http or https URL"):
        configure(clouds, lost, machine, reporter)


class Website(http.server.BaseHTTPRequestHandler):
    """Serves a disk that says its path; /short breaks off, /silent says nothing."""

    def do_GET(self):
        body = f"disk of {self.path}".encode()
        if self.path == "/missing.img":
            return self.send_error(404, "Not Found")
        if self.path == "/silent.img":
            return time.sleep(0.5)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:5] if self.path == "/short.img" else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def website():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Website)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def upload(clouds, wanted, url, host, reporter):
    """Configure with an image from a URL, and return what was uploaded."""
    clouds.world.tables["image"] = []
    uploaded = []
    clouds.world.on_upload = lambda path: uploaded.append(Path(path).read_text())
    configure(clouds, dataclasses.replace(wanted, image=image_of(url, Path("/x"))), host, reporter)
    return uploaded


def test_every_url_has_a_disk_of_its_own(clouds, wanted, machine, reporter, website):
    for place in ("/a/disk.img", "/b/disk.img"):
        url = website + place
        assert upload(clouds, wanted, url, machine, reporter) == [f"disk of {place}"]
    assert clouds.world.table("image")[0].disk_format == "raw"
    assert list((wanted.settings.cache / "downloads").iterdir()) == [], "nothing stays behind"


def test_what_was_downloaded_is_there_for_the_next_run(
    clouds, wanted, machine, reporter, website, monkeypatch
):
    def fail(_path):
        raise HelioError("cannot upload")

    clouds.world.on_upload = fail
    there = dataclasses.replace(wanted, image=image_of(f"{website}/disk.img", Path("/x")))
    with pytest.raises(HelioError, match="cannot upload"):
        configure(clouds, there, machine, reporter)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it is there"))
    uploaded = upload(clouds, wanted, f"{website}/disk.img", machine, reporter)
    assert uploaded == ["disk of /disk.img"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing.img", "HTTP Error 404: Not Found"),
        ("/short.img", "5 of 18 bytes came"),
        ("/silent.img", "timed out"),
    ],
)
def test_a_download_that_fails_names_the_url_and_the_next_step(
    clouds, wanted, machine, reporter, website, monkeypatch, path, reason
):
    monkeypatch.setattr("helio.demo.download.SILENCE", 0.1)
    with pytest.raises(HelioError) as failed:
        upload(clouds, wanted, website + path, machine, reporter)
    assert str(failed.value).startswith(f"cannot download {website}{path}: {reason}; run the same")


@pytest.mark.parametrize(
    ("source", "name", "user"),
    [
        (None, "helio-guest", "cirros"),
        ("/a/debian-12-generic.qcow2", "debian-12-generic", "debian"),
        ("https://x.example/cirros-0.6.img", "cirros-0.6", "cirros"),
        ("/a/mine.raw", "mine.raw", "root"),
    ],
)
def test_name_and_user_of_an_image_follow_from_its_file(source, name, user):
    found = image_of(source, Path("/cache/guest.qcow2"))
    assert (found.name, found.user) == (name, user)


def test_floating_addresses_leave_room_for_gateway_and_machines():
    assert pool_of("172.24.4.0/24") == ("172.24.4.1", "172.24.4.10", "172.24.4.199")


def test_a_name_server_on_the_host_itself_is_of_no_use_to_instances():
    text = "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nsearch x\nnameserver ::1\n"
    assert resolvers_of(text) == ("10.0.0.53",)
