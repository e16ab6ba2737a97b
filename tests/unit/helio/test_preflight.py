import dataclasses

import pytest

from helio.preflight import (
    GIB,
    KVM,
    TUN,
    Facts,
    base_of,
    free_memory,
    problems,
    routes_of,
    warnings,
)

GOOD = Facts(
    user=0,
    base="debian-12",
    machine="x86_64",
    cpus=2,
    memory=16 * GIB,
    free=12 * GIB,
    disk=50 * GIB,
    capabilities=(1 << 41) - 1,
    filesystems=frozenset({"nodev", "overlay"}),
    routes=("192.168.1.0/24",),
    devices=frozenset({KVM, TUN}),
    subnets={
        "subnet": "10.131.0.0/20",
        "tunnel-subnet": "10.131.16.0/24",
        "external-subnet": "172.24.4.0/24",
    },
    is_set_up=False,
)


def test_a_good_machine_has_no_problems():
    assert problems(GOOD) == []
    assert warnings(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"free": 5 * GIB}, "5.0 GiB of memory are free"),
        ({"devices": frozenset({TUN})}, "software emulation"),
    ],
)
def test_a_warning_does_not_stand_in_the_way(change, words):
    facts = dataclasses.replace(GOOD, **change)
    assert any(words in warning for warning in warnings(facts))
    assert problems(facts) == []


def test_the_memory_of_a_cloud_that_is_up_is_no_news():
    assert warnings(dataclasses.replace(GOOD, free=GIB, is_set_up=True)) == []


def test_free_memory_is_what_can_be_used_without_swapping():
    assert free_memory("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 4 kB\n") == 4096


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": 1000}, "with sudo"),
        ({"base": "fedora-42"}, "use debian-12 or ubuntu-24.04"),
        ({"machine": "aarch64"}, "use x86_64"),
        ({"cpus": 1}, "2 or more"),
        ({"memory": 2 * GIB}, "2.0 GiB of memory"),
        ({"disk": 3 * GIB}, "HELIO_HOME"),
        ({"capabilities": 0}, "CAP_SYS_ADMIN"),
        ({"filesystems": frozenset()}, "modprobe overlay"),
        ({"routes": ("10.0.0.0/8",)}, "overlaps the machine's route to 10.0.0.0/8"),
        ({"routes": ("172.24.4.0/25",)}, "put `external-subnet: <another network>`"),
        (
            {"subnets": {"subnet": "10.131.0.0/20", "tunnel-subnet": "10.131.1.0/24"}},
            "subnet 10.131.0.0/20 overlaps tunnel-subnet 10.131.1.0/24",
        ),
        ({"devices": frozenset()}, "modprobe tun"),
    ],
)
def test_each_problem_comes_with_its_remedy(change, words):
    found = problems(dataclasses.replace(GOOD, **change))
    assert any(words in problem for problem in found), found


def test_all_problems_are_named_at_once():
    assert len(problems(dataclasses.replace(GOOD, cpus=1, memory=0, base="x-1"))) == 3


def test_the_routes_of_a_cloud_that_is_up_are_its_own():
    own = dataclasses.replace(GOOD, routes=(GOOD.subnets["subnet"],), is_set_up=True, disk=GIB)
    assert problems(own) == []


def test_os_release_is_read_with_and_without_quotes():
    assert base_of('NAME="Debian"\nID=debian\nVERSION_ID="12"\n') == "debian-12"
    assert base_of("NAME=x\n") == "unknown-unknown"


def test_routes_are_read_without_the_default_route():
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert routes_of(table) == ("192.168.0.0/24",)
