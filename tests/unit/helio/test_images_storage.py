import dataclasses
import tomllib
from pathlib import Path

import pytest

from helio.images import Facts, Store, containers_conf

MODERN = Facts(
    has_systemd=True,
    has_cgroup2=True,
    can_raise_limits=True,
    hard_limits={"nofile": 1048576, "nproc": -1},
)


def conf(**changes: object) -> dict[str, dict[str, object]]:
    return tomllib.loads(containers_conf(dataclasses.replace(MODERN, **changes)))


def test_a_modern_host_keeps_podmans_runtime_and_limits():
    assert "runtime" not in conf()["engine"]
    assert "cgroup_manager" not in conf()["engine"]
    assert "default_ulimits" not in conf()["containers"]


@pytest.mark.parametrize("lacking", ["has_systemd", "has_cgroup2"])
def test_a_host_without_systemd_or_cgroup2_gets_runc_and_cgroupfs(lacking):
    engine = conf(**{lacking: False})["engine"]

    assert (engine["runtime"], engine["cgroup_manager"]) == ("runc", "cgroupfs")


def test_limits_that_cannot_be_raised_are_the_hosts():
    limited = conf(can_raise_limits=False, hard_limits={"nofile": 20000, "nproc": 32768})

    assert limited["containers"]["default_ulimits"] == ["nofile=20000:20000", "nproc=32768:32768"]


def test_an_unlimited_host_gives_what_is_wanted():
    unlimited = conf(can_raise_limits=False, hard_limits={"nofile": -1, "nproc": -1})

    assert unlimited["containers"]["default_ulimits"] == [
        "nofile=1048576:1048576",
        "nproc=1048576:1048576",
    ]


def test_networks_are_netavarks():
    assert conf()["network"] == {"network_backend": "netavark"}


def test_a_store_puts_its_folders_into_every_command():
    store = Store(Path("/a"), Path("/b"))

    assert store.command("buildah", "rm") == ("buildah", "--root", "/a", "--runroot", "/b", "rm")


def test_podman_is_told_the_same_places_as_by_the_engine():
    from localjuju.settings import Settings
    from localjuju.substrate.commands import podman

    settings = Settings(
        home=Path("/home"),
        instance="one",
        subnet="10.0.0.0/20",
        charm_base="base",
        pebble=Path("/pebble"),
        hook_client=Path("/client"),
        store_root=Path("/a"),
        store_runroot=Path("/b"),
    )
    ours = Store(Path("/a"), Path("/b")).command("podman")

    assert podman(settings)[: len(ours)] == ours
