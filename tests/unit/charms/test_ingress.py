"""The entry point: backends, settings, URLs."""

import dataclasses

import pytest

from charmkit.interfaces import certificate_transfer, ingress, tls_certificates
from charmkit.spec import PEERS, Addresses, RelationData, Snapshot
from charmkit.templates import Templates

CERTIFICATE = tls_certificates.Certificate(certificate="CERT\n", private_key="KEY\n", ca="CA\n")
WHERE = Addresses(
    unit_ip="10.1.0.9",
    service_ips=("10.8.0.80",),
    unit_name="ingress-0.ingress-endpoints.cloud.svc.cluster.local",
    service_name="ingress.cloud.svc.cluster.local",
    hostnames=("ingress",),
)


@pytest.fixture
def charm(load_charm):
    return load_charm("ingress-k8s")


@pytest.fixture
def haproxy(charm):
    return charm.haproxy


def client(number, name="placement", units=1, **app):
    data = ingress.requirer_side({}, {})
    bag = {**data.app_bag, "name": f'"{name}"', **app}
    where = {
        f"{name}/{each}": {
            "host": f'"{name}-{each}.{name}-endpoints.test.svc.cluster.local"',
            "ip": f'"10.1.{number}.{each}"',
        }
        for each in range(units)
    }
    return RelationData(
        id=number, endpoint="ingress", app=name, remote_app=bag, remote_units=where
    )


def sees(*clients, **config):
    return Snapshot(
        app="ingress",
        unit="ingress/0",
        model="cloud",
        is_leader=True,
        config={"external-hostname": "", "idle-timeout": 300, **config},
        addresses=WHERE,
        relations={PEERS: (RelationData(id=1, endpoint=PEERS),), "ingress": clients},
    )


def seen(haproxy, snapshot, online=True):
    values = {
        "certificates": CERTIFICATE,
        "receive_ca_cert": None,
        "config": {key.replace("-", "_"): value for key, value in snapshot.config.items()},
        "online": online,
        "addresses": snapshot.addresses,
    }
    return values | haproxy.values(snapshot, values)


def settings(charm, snapshot):
    templates = Templates(__import__("pathlib").Path(charm.__file__).parent / "templates")
    return templates.render("haproxy.cfg.j2", seen(charm.haproxy, snapshot))


def urls(haproxy, snapshot, **facts):
    (publication,) = haproxy.offers(snapshot, seen(haproxy, snapshot, **facts))
    return {each.relation_id: each.app["ingress"] for each in publication.bags}


def test_every_client_has_a_backend_with_its_units(charm):
    text = settings(charm, sees(client(4, units=2), client(5, "nova")))
    assert "use_backend test-nova if { path /test-nova } or { path_beg /test-nova/ }" in text
    assert "server placement-1 10.1.4.1:8778 check ssl verify required" in text
    assert "verifyhost nova-0.nova-endpoints.test.svc.cluster.local" in text


def test_an_application_that_asks_twice_has_one_backend(haproxy):
    assert len(haproxy.backends(sees(client(4), client(6)))) == 1
    assert len(urls(haproxy, sees(client(4), client(6)))) == 2


def test_a_prefix_is_taken_away_and_told_only_if_the_client_wants_it(charm):
    text = settings(charm, sees(client(4)))
    assert "http-request set-header X-Forwarded-Prefix /test-placement" in text
    text = settings(charm, sees(client(4, **{"strip-prefix": "false"})))
    assert "set-header X-Forwarded-Prefix" not in text


def test_what_clients_say_of_the_prefix_is_dropped_before_ours_is_set(charm):
    text = settings(charm, sees(client(4)))
    assert text.index("del-header X-Forwarded-Prefix") < text.index("backend test-placement\n")


def test_an_unencrypted_client_is_served_without_tls(charm):
    text = settings(charm, sees(client(4, scheme='"http"')))
    assert "10.1.4.0:8778 check\n" in text


def test_settings_without_clients_answer_nothing_but_readiness(charm):
    text = settings(charm, sees())
    assert "use_backend" not in text
    assert "path /-/ready" in text


def test_clients_are_told_the_address_or_the_name(haproxy):
    assert "https://10.8.0.80/test-placement" in urls(haproxy, sees(client(4)))[4]
    named = sees(client(4), **{"external-hostname": "cloud.example.com"})
    assert "https://cloud.example.com/test-placement" in urls(haproxy, named)[4]


def test_nothing_is_told_or_taken_back_while_we_do_not_serve(haproxy):
    snapshot = sees(client(4))
    assert list(haproxy.offers(snapshot, seen(haproxy, snapshot, online=False))) == []


def test_what_clients_say_of_other_proxies_is_dropped(charm):
    text = settings(charm, sees(client(4)))
    entry = text[text.index("frontend tls") : text.index("use_backend")]
    for header in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Prefix"):
        assert f"http-request del-header {header}\n" in entry


def test_the_certificate_has_the_name_by_which_clients_call(haproxy):
    named = sees(**{"external-hostname": "cloud.example.com"})
    subject = haproxy.CERTIFICATES.subject(named)
    assert "cloud.example.com" in subject.hostnames
    assert "10.8.0.80" in subject.addresses


def test_new_settings_are_checked_and_loaded_and_equal_ones_are_not(haproxy):
    def inputs(*clients, **facts):
        snapshot = sees(*clients)
        values = {**seen(haproxy, snapshot), **facts}
        return [task.digest for task in haproxy.tasks(snapshot, values)]

    first = inputs(client(4))
    assert inputs(client(4)) == first
    assert inputs(client(4, units=2)) != first
    another = dataclasses.replace(CERTIFICATE, certificate="NEW\n")
    assert inputs(client(4), certificates=another) != first
    trusted = certificate_transfer.Trusted(certificates=("OTHER\n",))
    assert inputs(client(4), receive_ca_cert=trusted) != first
