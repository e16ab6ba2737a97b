"""The dashboard: its settings are Python that says what it should, and its names."""

import dataclasses
import pathlib
import pickle
import sys

import pytest

from charmkit.interfaces import keystone_credentials, memcache
from charmkit.spec import Addresses, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/horizon-k8s"
IDENTITY = keystone_credentials.Credentials(
    auth_url="https://keystone.cloud.svc.cluster.local:5000/v3",
    public_auth_url="https://10.8.0.5:5000/v3",
    region="RegionOne",
    username="cred_horizon",
    password="not for the dashboard",
    project="services",
    project_domain="service_domain",
    user_domain="service_domain",
    admin_role="admin",
)


@pytest.fixture
def charm(load_charm):
    return load_charm("horizon-k8s")


@pytest.fixture
def snapshot():
    return Snapshot(
        app="horizon",
        unit="horizon/0",
        config={
            "debug": False, "workers": 0, "external-hostname": "", "session-timeout": 3600,
        },
        addresses=Addresses(
            unit_ip="10.1.0.9",
            service_ips=("10.8.0.7",),
            unit_name="horizon-0.horizon-endpoints.cloud.svc.cluster.local",
            service_name="horizon.cloud.svc.cluster.local",
            hostnames=("horizon", "horizon.cloud.svc.cluster.local"),
        ),
        load_balancer="10.64.0.9",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def sealing(load_script, monkeypatch):
    """Give the module beside the settings, where the settings find it."""
    module = load_script(FOLDER / "src/templates/sealing.py")
    monkeypatch.setitem(sys.modules, "sealing", module)
    return module


def settings(charm, snapshot, **facts):
    values = {
        "config": {key.replace("-", "_"): value for key, value in snapshot.config.items()},
        "secrets": {"secret_key": {"key": "k'\"x"}},
        "identity_credentials": IDENTITY,
        "cache": None,
        **facts,
    }
    folder = pathlib.Path(charm.__file__).parent / "templates"
    text = Templates(folder).render(
        "local_settings.py.j2", values | charm.horizon.values(snapshot, values)
    )
    found = {}
    exec(text, found)  # noqa: S102 - as the dashboard does
    return found


def test_the_settings_name_keystone_and_whom_to_trust(charm, snapshot):
    found = settings(charm, snapshot)
    assert found["OPENSTACK_KEYSTONE_URL"] == IDENTITY.auth_url
    assert found["OPENSTACK_SSL_CACERT"] == charm.horizon.TRUSTED
    assert found["AVAILABLE_REGIONS"] == [(IDENTITY.auth_url, "RegionOne")]


def test_no_account_is_in_the_settings(charm, snapshot):
    assert IDENTITY.password not in str(settings(charm, snapshot))


def test_a_key_with_quotes_is_written_as_it_is(charm, snapshot):
    assert settings(charm, snapshot)["SECRET_KEY"] == "k'\"x"


def test_cookies_are_for_tls_only(charm, snapshot):
    found = settings(charm, snapshot)
    assert (found["SESSION_COOKIE_SECURE"], found["CSRF_COOKIE_SECURE"]) == (True, True)
    assert (found["DEBUG"], "*" in found["ALLOWED_HOSTS"]) == (False, False)


def test_sessions_are_in_the_cache_if_there_is_one(charm, snapshot):
    for nothing in (None, memcache.Cache(())):
        found = settings(charm, snapshot, cache=nothing)
        assert found["SESSION_ENGINE"].endswith("signed_cookies")
    found = settings(charm, snapshot, cache=memcache.Cache(("m1:11211", "m2:11211")))
    assert found["SESSION_ENGINE"].endswith(".cache")
    assert found["CACHES"]["default"]["LOCATION"] == ["m1:11211", "m2:11211"]


# --- what memcached holds ----------------------------------------------------------------------


class Trap:
    """Does harm when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("what somebody else wrote was run",)


def test_the_cache_is_sealed_with_the_key_of_sessions(charm, snapshot, sealing):
    cache = memcache.Cache(("m1:11211",))
    serde = settings(charm, snapshot, cache=cache)["CACHES"]["default"]["OPTIONS"]["serde"]
    entry, flags = serde.serialize("k", {"token": "t"})
    assert sealing.Sealed("k'\"x").deserialize(b"k", entry, flags) == {"token": "t"}
    assert sealing.Sealed("rotated").deserialize("k", entry, flags) is None


def test_nobody_reads_what_is_in_the_cache(sealing):
    entry, _ = sealing.Sealed("secret").serialize("k", "a token of somebody")
    assert b"token" not in entry


@pytest.mark.parametrize(
    "entry", [b"", b"1", b"\xff", pickle.dumps(Trap()), pickle.dumps(("k", Trap()))]
)
def test_what_others_wrote_is_never_run(sealing, entry):
    assert sealing.Sealed("secret").deserialize("k", entry, 1) is None


def test_an_entry_counts_under_its_own_name_only(sealing):
    sealed = sealing.Sealed("secret")
    entry, _ = sealed.serialize("session of the administrator", "token")
    assert sealed.deserialize("mine", entry, 0) is None


# --- names -------------------------------------------------------------------------------------


def test_static_files_are_where_the_image_has_them(charm, snapshot, load_script):
    root = pathlib.Path(__file__).parents[3]
    built = load_script(root / "images/horizon/settings.py")
    found = settings(charm, snapshot)
    for name in ("STATIC_ROOT", "COMPRESS_OFFLINE", "WEBROOT", "DEBUG"):
        assert found[name] == getattr(built, name)


def test_the_dashboard_is_called_by_name_or_address(charm, snapshot):
    assert charm.horizon.url(snapshot) == "https://10.64.0.9/"
    named = {**snapshot.config, "external-hostname": "cloud.example.com"}
    snapshot = dataclasses.replace(snapshot, config=named)
    assert charm.horizon.url(snapshot) == "https://cloud.example.com/"
    assert "cloud.example.com" in settings(charm, snapshot)["ALLOWED_HOSTS"]
    assert "cloud.example.com" in charm.horizon.CERTIFICATES.subject(snapshot).hostnames
