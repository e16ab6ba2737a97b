"""What the contract tests of charms share: every charm, and units of it in a small world."""

import pytest
from charmworld import CHARMS, World, activate, begin, fake_programs, load

from charmkit.interfaces.ingress import PUBLIC


@pytest.fixture(params=CHARMS)
def charm(request):
    return load(request.param)


@pytest.fixture
def load_charm():
    """Return the function that loads a charm by its name."""
    return load


@pytest.fixture(params=[each for each in CHARMS if not load(each).is_machine])
def pod_charm(request):
    return load(request.param)


@pytest.fixture(params=[each for each in CHARMS if PUBLIC in load(each).endpoints("requires")])
def api_charm(request):
    """A charm with an API that may be behind an entry point."""
    return load(request.param)


@pytest.fixture(scope="session")
def machine_charms():
    return [charm for charm in map(load, CHARMS) if charm.is_machine]


@pytest.fixture
def programs(monkeypatch):
    return fake_programs(monkeypatch)


@pytest.fixture
def make_world(programs, tmp_path):
    """Make worlds; each has a folder of its own."""
    count = iter(range(10_000))

    def make(charm, leader=True):
        return World(charm, tmp_path / f"world-{next(count)}", programs, leader)

    return make


@pytest.fixture
def fresh(charm, make_world):
    """A unit that has just been deployed: nothing is integrated, its containers are up."""
    return begin(make_world(charm))


@pytest.fixture
def fresh_keystone(make_world):
    """A unit of Keystone that has just been deployed."""
    return begin(make_world(load("keystone-k8s")))


@pytest.fixture
def active(fresh):
    """A unit with all that it must have, and a client on every endpoint that it offers."""
    return activate(fresh)


@pytest.fixture
def make_active(make_world):
    """Make units that are active, as `active` is."""
    return lambda charm: activate(begin(make_world(charm)))
