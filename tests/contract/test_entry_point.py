"""What every API holds whose clients may come by an entry point, integration `ingress`."""

import json

import pytest
from ops import testing

from charmkit.interfaces import ingress

ENDPOINTS = {ingress.PUBLIC, ingress.INTERNAL}


@pytest.fixture
def hear_all_but():
    """Let a unit's neighbours answer, except for the one on this endpoint."""

    def hear(world, silent):
        while others := [each for each in world.unheard() if each != silent]:
            world.hear(others[0])

    return hear


@pytest.fixture
def active_api(api_charm, make_active):
    """A unit with an API that is active without an entry point."""
    world = make_active(api_charm)
    world.run(world.context.on.update_status())
    return world


def told_urls(world):
    """Give interface → the URLs that clients will find, Keystone's own from what it tells."""
    bag = world.relation("identity-service").local_app_data
    if world.charm.name == "keystone-k8s":
        return {name: [bag[f"{name}-auth-url"]] for name in ("public", "internal", "admin")}
    entries = json.loads(bag["service-endpoints"])
    return {
        name: [each[f"{name}_url"] for each in entries] for name in ("public", "internal", "admin")
    }


def told_port(world, endpoint):
    return json.loads(world.relation(endpoint).local_app_data["port"])


def test_an_api_needs_no_entry_point(api_charm):
    requires = api_charm.endpoints("requires")
    assert {name for name, each in requires.items() if each["interface"] == "ingress"} == ENDPOINTS
    assert all(requires[each]["optional"] for each in ENDPOINTS)


def test_whoever_stands_in_the_catalogue_may_be_behind_an_entry_point(charm):
    needs = {type(each).__module__ for each in charm.service.needs}
    if "charmkit.interfaces.keystone" in needs:
        assert charm.endpoints("requires").keys() >= ENDPOINTS


def test_clients_find_the_entry_point_s_url_and_nothing_starts_anew(active_api):
    world, before = active_api, active_api.facts()
    own = told_urls(world)
    for endpoint in sorted(ENDPOINTS):
        world.integrate(endpoint)
        assert world.status == testing.ActiveStatus()
        assert told_urls(world) == own, "its address counts while no URL is told"
    world.settle()
    prefix = f"https://10.8.0.80/cloud-{world.charm.name}"
    port = f":{told_port(world, ingress.PUBLIC)}"
    for name, urls in told_urls(world).items():
        for url, plain in zip(urls, own[name], strict=True):
            path = plain.partition(port)[2]
            assert url == (prefix + path if port in plain else plain)
        assert any(url.startswith(prefix) for url in urls), name
    assert world.facts()["layers"] == before["layers"]


def test_keystone_tells_its_address_once_when_it_is_deployed_with_an_entry_point(
    fresh_keystone, hear_all_but
):
    """Whenever the entry point answers, the clients hear its URL and nothing before it."""
    world, charm = fresh_keystone, fresh_keystone.charm
    clients = sorted(charm.endpoints("provides"))
    for endpoint in (*charm.required, ingress.PUBLIC, *clients):
        world.integrate(endpoint)
    hear_all_but(world, ingress.PUBLIC)
    assert world.status == testing.WaitingStatus(f"waiting for data from: {ingress.PUBLIC}")
    told = {name for name in clients if world.relation(name).local_app_data}
    assert told == {"send-ca-cert"}
    world.settle()
    assert world.status == testing.ActiveStatus()
    assert {name for name in clients if world.relation(name).local_app_data} == set(clients)
    assert told_urls(world)["public"] == ["https://10.8.0.80/cloud-keystone-k8s/v3"]


def test_an_entry_point_that_never_answers_is_given_up_by_taking_the_integration_away(
    fresh_keystone, hear_all_but
):
    world = fresh_keystone
    for endpoint in (*world.charm.required, ingress.PUBLIC, "identity-service"):
        world.integrate(endpoint)
    hear_all_but(world, ingress.PUBLIC)
    assert not world.relation("identity-service").local_app_data
    world.break_(ingress.PUBLIC)
    assert world.status == testing.ActiveStatus()
    assert ":5000" in told_urls(world)["public"][0]


def test_the_address_is_back_when_the_entry_point_goes(active_api):
    world, before = active_api, active_api.facts()
    for endpoint in sorted(ENDPOINTS):
        world.integrate(endpoint)
    world.settle()
    for endpoint in sorted(ENDPOINTS):
        world.break_(endpoint)
        assert world.status == testing.ActiveStatus()
    world.settle()
    after = world.facts()
    assert after["bags"]["identity-service"] == before["bags"]["identity-service"]
    assert (after["files"], after["layers"]) == (before["files"], before["layers"])


def test_the_entry_point_asks_for_a_path_that_the_unit_s_own_probe_asks_for(active_api):
    world = active_api
    world.integrate(ingress.PUBLIC)
    bag = world.relation(ingress.PUBLIC).local_app_data
    check = json.loads(bag["healthcheck-params"])
    (layer,) = [each.plan for each in world.state.containers]
    commands = [each.exec["command"].split() for each in layer.checks.values()]
    assert [str(check["port"]), check["path"]] in [
        [words[3], words[5]] for words in commands if len(words) == 7
    ]


def test_an_api_makes_its_links_with_the_entry_point_s_prefix(active_api):
    texts = [
        path.read_text()
        for path in active_api.files.rglob("*.conf")
        if "/machine/" not in str(path)
    ]
    assert any("enable_proxy_headers_parsing = true" in text for text in texts)
