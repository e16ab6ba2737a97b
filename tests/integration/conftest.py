"""What tests on this machine's real Podman share: images, Pebble, an instance of their own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cloudtest import build_caches

from helio import images
from helio.settings import Settings as CloudSettings
from localjuju.hooks.build import ensure_client
from localjuju.settings import Settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for what takes too long for every change."""
    parser.addoption("--all", action="store_true", help="Run the tests that take long, too.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of such tests."""
    config.addinivalue_line("markers", "long: runs with --all only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out unless they are asked for."""
    if config.getoption("--all"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def image_store() -> images.Store:
    """The store with the images, which are built now where they are missing."""
    build_caches()
    return images.Store()


@pytest.fixture(scope="session")
def base_image(image_store: images.Store) -> str:
    """The reference of the base image, of the first distribution that the store has it of."""
    return _stored(image_store, "base")


@pytest.fixture(scope="session")
def machine_image(image_store: images.Store) -> str:
    """The reference of the image that machines boot."""
    return _stored(image_store, "machine")


@pytest.fixture(scope="session")
def openstack_image(image_store: images.Store) -> str:
    """The reference of the image that has the OpenStack services."""
    return _stored(image_store, "openstack")


def _stored(store: images.Store, name: str) -> str:
    catalogue = images.load()
    references = [catalogue.reference(name, distro) for distro in sorted(catalogue.distros)]
    for reference in references:
        argv = store.command("podman", "image", "exists", reference)
        if subprocess.run(argv, check=False).returncode == 0:
            return reference
    raise AssertionError(f"none of {references} is in {store.root}: build the {name} image")


@pytest.fixture(scope="session")
def pebble_program(image_store: images.Store) -> Path:
    """The Pebble program of this machine, which came with the images."""
    assert image_store
    return CloudSettings().pebble


@pytest.fixture(scope="session")
def containers_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Podman's settings for this machine."""
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    path.write_text(images.containers_conf(images.read_facts()))
    return path


@pytest.fixture(scope="session")
def make_settings(
    tmp_path_factory: pytest.TempPathFactory,
    image_store: images.Store,
    base_image: str,
    pebble_program: Path,
    containers_conf: Path,
) -> Callable[[str, str], Settings]:
    """Return a maker of engine instances: name, subnet → settings with a home of its own."""
    client = ensure_client(tmp_path_factory.mktemp("client"))

    def make(instance: str, subnet: str) -> Settings:
        return Settings(
            home=tmp_path_factory.mktemp(instance),
            instance=instance,
            subnet=subnet,
            charm_base=base_image,
            pebble=pebble_program,
            hook_client=client,
            store_root=image_store.root,
            store_runroot=image_store.runroot,
            containers_conf=str(containers_conf),
        )

    return make


@pytest.fixture(scope="session")
def look_at_host(
    image_store: images.Store, containers_conf: Path
) -> Callable[[str], dict[str, list[str]]]:
    """Return a function that lists what an instance has made on this host.

    Everything that bears the instance's name is listed, and the common folders of all instances;
    what other instances do at the same time stays out.
    """

    def lines(*argv: str) -> list[str]:
        environment = {"CONTAINERS_CONF": str(containers_conf), "PATH": "/usr/sbin:/usr/bin:/bin"}
        done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment)
        return sorted(done.stdout.splitlines())

    def look(instance: str) -> dict[str, list[str]]:
        def ours(found: list[str]) -> list[str]:
            return [line for line in found if instance in line]

        podman = image_store.command("podman")
        links = json.loads(subprocess.check_output(["ip", "-json", "link"]))
        cgroups = Path("/sys/fs/cgroup")
        processes = [
            path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for path in Path("/proc").glob("[0-9]*/cmdline")
        ]
        return {
            "pods": ours(lines(*podman, "pod", "ps", "--format={{.Name}}")),
            "containers": ours(lines(*podman, "ps", "--all", "--format={{.Names}}")),
            "links": ours([link["ifname"] for link in links]),
            "tables": ours(lines("nft", "list", "tables")),
            "rules": ours(lines("nft", "list", "ruleset")),
            "mounts": ours(Path("/proc/self/mounts").read_text().splitlines()),
            "monitors": sorted(text for text in ours(processes) if "conmon" in text),
            "address service": ours(
                [path.name for path in Path("/run/containers/networks/aardvark-dns").glob("*")]
            ),
            "namespaces": sorted(path.name for path in Path("/run/netns").glob("*")),
            "cgroups": sorted(
                str(path) for path in cgroups.glob(f"*/localjuju-{instance}*") if path.is_dir()
            ),
            "sockets": sorted(path.name for path in Path("/run/localjuju").glob("*")),
        }

    return look
