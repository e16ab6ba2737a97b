"""An integration that goes is named, breaks nothing else, and heals when it comes back."""

import jubilant
import pytest
from cloudtest import Ping, wait_for

from helio import bundle, bundlefile
from helio.tree import find_tree

RELEASE = bundlefile.read_release(find_tree())
PAIRS = [tuple(pair) for pair in RELEASE.deployed_relations()]

# Those that every change is tested with: one of each kind of thing that a service hangs on.
ALWAYS = {
    ("mariadb:database", "glance:database"),
    ("rabbitmq:amqp", "nova:amqp"),
    ("ovn-central:ovsdb-cms", "openstack-hypervisor:ovsdb-cms"),
}


def parameters():
    for pair in PAIRS:
        marks = [] if pair in ALWAYS else [pytest.mark.long]
        yield pytest.param(*pair, marks=marks, id=" ".join(pair))


def is_required(requirer: str) -> bool:
    application, _, endpoint = requirer.partition(":")
    return not RELEASE.charm(application)["requires"][endpoint].get("optional")


def complaints(juju, application: str) -> list[str]:
    """Return what the units of an application say is missing."""
    units = juju.status().apps[application].units.values()
    states = (unit.workload_status for unit in units)
    return [state.message for state in states if state.current in ("blocked", "waiting")]


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


def test_those_that_are_always_tested_are_there():
    assert set(PAIRS) >= ALWAYS


@pytest.mark.parametrize(("provider", "requirer"), list(parameters()))
def test_an_integration_goes_and_comes_back(configured, guest, provider, requirer):
    application, _, endpoint = requirer.partition(":")
    part = RELEASE.part_of(requirer)
    juju = configured.juju if part == "pods" else configured.machines
    before = tracebacks(configured)
    with Ping(guest.floating_ip) as ping:
        juju.remove_relation(provider, requirer)
        if is_required(requirer):
            juju.wait(
                lambda _: any(endpoint in text for text in complaints(juju, application)),
                timeout=300,
            )
        else:
            juju.wait(
                lambda status: (
                    endpoint not in status.apps[application].relations
                    or bundle.application_of(provider)
                    not in {
                        each.related_app
                        for each in status.apps[application].relations.get(endpoint, [])
                    }
                ),
                timeout=300,
            )
        # The requirer may name what it misses before the provider has let go of it.
        wait_for(lambda: integrated(juju, provider, requirer), 120, f"{requirer} is integrated")
        configured.settle()
    print(f"{requirer}: {ping.lost} of {ping.sent} pings lost")
    assert ping.lost <= 20, "instances run on"
    assert tracebacks(configured) == before
    guest.wait()
