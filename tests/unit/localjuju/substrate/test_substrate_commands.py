"""Podman's command lines, the network, digests."""

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from localjuju.settings import Settings
from localjuju.substrate import commands
from localjuju.substrate.commands import Host
from localjuju.substrate.protocol import Mount, PodSpec

SOCKET = Path("/run/x/hook/hook.sock")


@pytest.fixture
def host(settings: Settings) -> Host:
    return Host(settings, "localhost/localjuju-pause:1", "/localjuju-here")


def _volumes(argv: tuple[str, ...]) -> dict[str, str]:
    """Target and options → source."""
    found = [item.removeprefix("--volume=") for item in argv if item.startswith("--volume=")]
    return {target: source for source, _, target in (item.partition(":") for item in found)}


def test_podman_is_told_apart_from_the_users_own(settings: Settings):
    argv = commands.podman(settings, "ps")
    options = dict(zip(argv[1:-1:2], argv[2:-1:2], strict=True))
    assert options == {
        "--root": "/var/lib/store",
        "--runroot": "/run/store",
        "--tmpdir": "/run/store/libpod",
        "--network-config-dir": str(settings.home / "networks"),
    }


def test_the_pod_has_its_address_names_and_labels(host: Host, spec: PodSpec):
    argv = commands.create_pod(host, spec, "d1")
    assert (
        "--network=here-management:ip=10.70.0.10,mac=02:6a:0a:46:00:0a"
        ",alias=web-0.web-endpoints.shop.svc.cluster.local"
        ",alias=web-endpoints.shop.svc.cluster.local"
    ) in argv
    assert "--hostname=web-0" in argv
    assert "--label=localjuju.instance=here" in argv
    assert "--label=localjuju.spec=d1" in argv
    assert argv[argv.index("--dns-search=shop.svc.cluster.local") + 1] == (
        "--dns-search=svc.cluster.local"
    )


def test_the_charm_container_sees_what_juju_would_show(host: Host, spec: PodSpec):
    argv = commands.create_charm(host, spec, SOCKET, "d1")
    volumes = _volumes(argv)
    home = host.settings.home
    assert volumes["/var/lib/juju/agents/unit-web-0/charm"] == str(
        home / "models/shop/units/web-0/charm"
    )
    assert volumes["/var/lib/juju/tools/unit-web-0:ro"] == str(home / "tools")
    assert volumes["/charm/containers/web"].endswith("/pebble/web")
    assert volumes["/charm/containers/cache"].endswith("/pebble/cache")
    assert volumes["/run/localjuju/hook"] == "/run/x/hook"
    assert volumes["/var/lib/juju/storage/data/0"] == str(home / "storage/data-0")
    assert not [item for item in argv if item.startswith("--env")]
    assert argv[-3:] == (
        "localhost/base:1",
        "/run/localjuju/agent.py",
        "/run/localjuju/agent/agent.sock",
    )


def test_pebble_is_a_workloads_first_process_as_juju_starts_it(host: Host, spec: PodSpec):
    argv = commands.create_workload(host, spec, spec.workloads[0], "d1")
    assert argv[argv.index("localhost/web:1") :] == (
        "localhost/web:1",
        *["run", "--create-dirs", "--hold", "--http", ":38813", "--verbose"],
    )
    assert "--entrypoint=/charm/bin/pebble" in argv
    assert {item for item in argv if item.startswith("--env=")} == {
        "--env=JUJU_CONTAINER_NAME=web",
        "--env=PEBBLE=/charm/container/pebble",
        "--env=PEBBLE_SOCKET=/charm/container/pebble.socket",
        "--env=PEBBLE_COPY_ONCE=/var/lib/pebble/default",
    }
    assert not [item for item in argv if item.startswith("--user")]
    assert "--restart=always" in argv


def test_a_second_workload_has_its_own_port_and_user(host: Host, spec: PodSpec):
    argv = commands.create_workload(host, spec, spec.workloads[1], "d1")
    assert ":38814" in argv
    assert "--user=170:171" in argv


def test_charm_and_workload_share_the_folder_of_the_socket(host: Host, spec: PodSpec):
    charm = _volumes(commands.create_charm(host, spec, SOCKET, "d1"))
    workload = _volumes(commands.create_workload(host, spec, spec.workloads[0], "d1"))
    assert charm["/charm/containers/web"] == workload["/charm/container"]
    assert charm["/etc/hosts"] == workload["/etc/hosts"]


def test_no_image_is_ever_fetched(host: Host, spec: PodSpec):
    for argv in (
        commands.create_charm(host, spec, SOCKET, "d1"),
        commands.create_workload(host, spec, spec.workloads[0], "d1"),
    ):
        assert "--pull=never" in argv


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"address": "10.70.0.11"},
        {"mounts": (Mount(Path("/a"), "/b"),)},
        {"workloads": ()},
    ],
)
def test_another_wish_has_another_digest(spec: PodSpec, change: dict[str, object]):
    other = dataclasses.replace(spec, **change)
    assert commands.digest(spec, SOCKET, "b") != commands.digest(other, SOCKET, "b")


def test_an_equal_wish_has_an_equal_digest(spec: PodSpec):
    assert commands.digest(spec, SOCKET, "b") == commands.digest(
        dataclasses.replace(spec), SOCKET, "b"
    )


def test_the_network_has_the_first_address_for_the_host(settings: Settings):
    definition = commands.network_definition(settings)
    (subnet,) = definition["subnets"]
    assert ipaddress.ip_address(subnet["gateway"]) in ipaddress.ip_network(subnet["subnet"])
    assert subnet["gateway"] == "10.70.0.1"
    assert definition["network_interface"] == "here-br"
    assert len(definition["id"]) == 64
