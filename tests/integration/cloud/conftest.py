"""The cloud that the tests of this folder share."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cloudtest import Cloud, Guest, Tokens, bootstrapped, build_caches, clean_up, look
from secretscan import Commands, read_credentials


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """What has run on this machine since before the bootstrap."""
    with Commands() as seen:
        yield seen


@pytest.fixture(scope="session")
def cloud(machine_before: dict[str, list[str]], commands: Commands) -> Iterator[Cloud]:
    """Bootstrap the cloud after the machine was looked at."""
    assert machine_before
    with bootstrapped() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def learn(cloud: Cloud) -> Callable[[], dict[str, str]]:
    """Returns the credentials of now and of each time before: value → where it comes from.

    Those that were rotated, or went with their application, may be somewhere, too.
    """
    known: dict[str, str] = {}

    def read() -> dict[str, str]:
        known.update(read_credentials(cloud))
        return known

    return read


@pytest.fixture(scope="module")
def credentials(learn: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What has been learned when the tests of a file begin."""
    return learn()


@pytest.fixture(scope="session")
def configured(cloud: Cloud) -> Cloud:
    """The cloud, with all that an instance needs."""
    cloud.helio("configure")
    return cloud


@pytest.fixture(scope="session")
def guest(configured: Cloud) -> Guest:
    """An instance that runs through all tests."""
    return configured.launch("first")


@pytest.fixture(scope="module")
def larger(configured: Cloud) -> Iterator[Any]:
    """A flavor a bit larger than m1.tiny, so that each hypervisor has room for it."""
    compute = configured.sdk().compute
    flavor = compute.create_flavor(name="larger", ram=320, vcpus=1, disk=1)
    yield flavor
    compute.delete_flavor(flavor)


@pytest.fixture(scope="session")
def watcher(cloud: Cloud) -> dict[str, Any]:
    """Make a user of the tests' own, whom no rotation concerns, and return its credentials."""
    auth = cloud.clouds["auth"]
    password = secrets.token_hex(16)  # never begins with a hyphen
    cloud.openstack("project", "create", "watch", "--or-show")
    cloud.openstack("user", "create", "watcher", "--password", password)
    cloud.openstack_quiet("role", "add", "--user", "watcher", "--project", "watch", "reader")
    return {**auth, "username": "watcher", "password": password, "project_name": "watch"}


@pytest.fixture
def tokens(cloud: Cloud, watcher: dict[str, Any]) -> Callable[[], Tokens]:
    """Return a maker of token loops."""
    return lambda: Tokens(watcher, cloud.clouds["cacert"])


@pytest.fixture(scope="session")
def machine_before() -> dict[str, list[str]]:
    """What the machine looks like before anything but its caches is there."""
    build_caches()
    clean_up()
    return look()


@pytest.fixture
def look_again() -> Callable[[], dict[str, list[str]]]:
    """Return the function that looks at the machine, for a comparison."""
    return look
