"""An integration that goes is named, breaks nothing else, and heals when it comes back."""

import jubilant
import pytest
from cloudtest import Ping, wait_for
from integrations import PAIRS, RELEASE, is_required, shown_without

from helio import bundle, clients, sdk
from helio.host import HelioError

# Those that every change is tested with: one of each kind of thing that a service hangs on.
ALWAYS = {
    ("mariadb:database", "glance:database"),
    ("rabbitmq:amqp", "nova:amqp"),
    ("ovn-central:ovsdb-cms", "openstack-hypervisor:ovsdb-cms"),
}

GOES_ON = 180  # seconds for the others' hooks, and for processes that start anew


def parameters():
    for pair in PAIRS:
        marks = [] if pair in ALWAYS else [pytest.mark.long]
        yield pytest.param(*pair, marks=marks, id=" ".join(pair))


# --- what shows that an application goes on ----------------------------------------------------


def log_in_page(cloud, admin):
    url = clients.act(cloud.juju, "horizon", "get-dashboard-url")["url"]
    return "loginBtn" in admin.session.get(url, authenticated=False).text


def volume_types(cloud, admin, guest):
    return list(admin.block_storage.types())


def projects(cloud, admin, guest):
    return list(admin.identity.projects())


# Application → a call that has a result while it goes on.
CALLS = {
    "cinder": volume_types,
    "cinder-volume": volume_types,
    "glance": lambda cloud, admin, guest: list(admin.image.images(name="helio-guest")),
    "horizon": lambda cloud, admin, guest: log_in_page(cloud, admin),
    "ingress": projects,
    "keystone": projects,
    "mariadb": projects,
    "neutron": lambda cloud, admin, guest: list(admin.network.networks(name="demo-network")),
    "nova": lambda cloud, admin, guest: admin.compute.get_server(guest.id),
    # Nova asks the agent for it, by the broker.
    "openstack-hypervisor": lambda cloud, admin, guest: admin.compute.get_server_console_output(
        guest.id
    )["output"],
    "placement": lambda cloud, admin, guest: list(admin.placement.resource_providers()),
}


def goes_on(cloud, guest, application: str) -> bool:
    """Return whether an application answers at the address that the catalogue has now."""
    try:
        with sdk.errors(f"ask {application}"):
            # A new login each time: the catalogue may have changed.
            return bool(CALLS[application](cloud, cloud.sdk_inside(), guest))
    except HelioError as error:
        print(error)
        return False


def catalogue(cloud) -> set[tuple[str, str, str]]:
    """Return type, interface and URL of every endpoint, asked by the entry point."""
    try:
        with sdk.errors("read the catalogue"):
            entries = cloud.sdk().service_catalog
    except HelioError as error:
        print(error)
        return set()
    return {
        (entry["type"], each["interface"], each["url"])
        for entry in entries
        for each in entry["endpoints"]
    }


# --- what is shown -----------------------------------------------------------------------------


def shown(status, application: str) -> set[tuple[str, str]]:
    """Return status and message of the units of an application."""
    units = status.apps[application].units.values()
    return {(each.workload_status.current, each.workload_status.message) for each in units}


def complains(status, application: str, endpoint: str) -> bool:
    """Return whether a unit says that it lacks what an endpoint gives."""
    return any(
        state in ("blocked", "waiting") and endpoint in message
        for state, message in shown(status, application)
    )


def is_related(status, provider: str, requirer: str) -> bool:
    application, _, endpoint = requirer.partition(":")
    related = status.apps[application].relations.get(endpoint, [])
    return bundle.application_of(provider) in {each.related_app for each in related}


def tracebacks(cloud) -> int:
    """Return how many tracebacks the logs of both models hold."""
    return sum(juju.debug_log(limit=0).count("Traceback (most recent") for juju in cloud.models)


def integrated(juju, provider: str, requirer: str) -> bool:
    """Integrate two applications; return whether their earlier relation was gone already."""
    try:
        juju.integrate(provider, requirer)
    except jubilant.CLIError as error:
        assert "is still being removed" in error.stderr, error.stderr
        return False
    return True


def is_shown(status, requirer: str) -> bool:
    """Return whether units say what they say without an optional integration, and no more."""
    application = bundle.application_of(requirer)
    wanted, message = shown_without(requirer)
    # One that is active may say how it works, as a hypervisor that emulates does.
    return all(
        state == wanted and (state == "active" or told == message)
        for state, told in shown(status, application)
    )


def test_those_that_are_always_tested_are_there():
    assert set(PAIRS) >= ALWAYS


def test_every_application_with_an_optional_integration_can_be_asked():
    assert set(CALLS) == {
        bundle.application_of(requirer) for _, requirer in PAIRS if not is_required(requirer)
    }


@pytest.mark.parametrize(("provider", "requirer"), list(parameters()))
def test_an_integration_goes_and_comes_back(configured, guest, provider, requirer):
    application, _, endpoint = requirer.partition(":")
    part = RELEASE.part_of(requirer)
    juju = configured.juju if part == "pods" else configured.machines
    before, endpoints = tracebacks(configured), catalogue(configured)
    assert endpoints
    with Ping(guest.floating_ip) as ping:
        juju.remove_relation(provider, requirer)
        if is_required(requirer):
            juju.wait(lambda status: complains(status, application, endpoint), timeout=300)
        else:
            juju.wait(
                lambda status: (
                    not is_related(status, provider, requirer)
                    and jubilant.all_agents_idle(status, application)
                    and is_shown(status, requirer)
                ),
                timeout=300,
            )
            wait_for(
                lambda: goes_on(configured, guest, application),
                GOES_ON,
                f"{application} goes on without {provider}",
            )
            assert is_shown(juju.status(), requirer)
        # The requirer may name what it misses before the provider has let go of it.
        wait_for(lambda: integrated(juju, provider, requirer), 120, f"{requirer} is integrated")
        configured.settle()
        wait_for(lambda: catalogue(configured) == endpoints, GOES_ON, "the catalogue is as it was")
    print(f"{requirer}: {ping}")
    assert ping.lost == 0, "instances run on"
    assert tracebacks(configured) == before
    guest.wait()
