"""What services share to talk through the broker and to cache tokens."""

import dataclasses

import pytest

from charmkit import caching, messaging, overrides
from charmkit.interfaces import keystone, memcache, rabbitmq
from charmkit.spec import Snapshot
from charmkit.templates import Templates

BROKER = rabbitmq.Broker(
    hosts=("rabbitmq",),
    port=5671,
    username="nova-4",
    password="p$w",
    vhost="nova",
    tls=True,
    tls_ca="pem",
)


def rendered(name, **values):
    return overrides.parse(Templates().render(name, values))


def messages(broker):
    return rendered(
        "messaging.j2",
        amqp=broker,
        unit="nova/0",
        process="nova-scheduler",
        **messaging.values("nova"),
    )


def test_queues_are_replicated_from_the_start():
    settings = messages(BROKER)["oslo_messaging_rabbit"]
    assert settings["rabbit_quorum_queue"] == ("true",)
    assert settings["rabbit_transient_quorum_queue"] == ("true",)
    assert settings["rabbit_stream_fanout"] == ("true",)
    assert int(settings["rabbit_qos_prefetch_count"][0]) > 0, "streams need it"


def test_a_dollar_in_a_url_is_taken_literally():
    [url] = messages(BROKER)["DEFAULT"]["transport_url"]
    assert url == "rabbit://nova-4:p%24w@rabbitmq:5671/nova?ssl=1"


def test_the_broker_is_verified_by_its_own_authority():
    settings = messages(BROKER)["oslo_messaging_rabbit"]
    assert settings["ssl"] == ("true",)
    assert settings["ssl_ca_file"] == (messaging.authority("nova").path,)
    plain = messages(dataclasses.replace(BROKER, tls=False))["oslo_messaging_rabbit"]
    assert not {"ssl", "ssl_ca_file"} & plain.keys()


def test_processes_of_one_unit_have_queues_of_their_own():
    settings = messages(BROKER)["oslo_messaging_rabbit"]
    assert (settings["hostname"], settings["processname"]) == (("nova-0",), ("nova-scheduler",))


def tokens(**values):
    identity = keystone.Identity(
        auth_url="https://keystone:5000/v3",
        public_auth_url="https://keystone:5000/v3",
        admin_auth_url="https://keystone:5000/v3",
        admin_role="admin",
        region="RegionOne",
        username="nova",
        password="pw",
        user_domain="service_domain",
        project="services",
        project_domain="service_domain",
    )
    found = rendered(
        "keystone_authtoken.j2", identity_service=identity, ca_file="/ca.pem", **values
    )
    return found["keystone_authtoken"]


def test_tokens_are_encrypted_before_they_are_cached():
    alone = Snapshot(app="nova", unit="nova/0", entropy=b"x")
    settings = tokens(
        cache=memcache.Cache(("a:11211", "b:11211")),
        secrets={"token_cache": caching.TOKEN_KEY.initial(alone)},
    )
    assert settings["memcached_servers"] == ("a:11211,b:11211",)
    assert settings["memcache_security_strategy"] == ("ENCRYPT",)
    assert len(settings["memcache_secret_key"][0]) == 43


@pytest.mark.parametrize("values", [{}, {"cache": None}, {"cache": memcache.Cache(())}])
def test_without_a_cache_none_is_named(values):
    assert not [option for option in tokens(**values) if option.startswith("memcache")]
