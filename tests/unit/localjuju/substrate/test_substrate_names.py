"""Names, paths, hosts files."""

from pathlib import Path

import pytest

from localjuju.settings import Settings
from localjuju.substrate import hosts, names
from localjuju.substrate.hosts import Entry


def test_models_and_applications_with_hyphens_never_share_a_pod_name():
    assert names.pod("i", "a-b", "c/0") != names.pod("i", "a", "b-c/0")


@pytest.mark.parametrize("instance", ["helio", "a-very-long-name-of-an-instance"])
def test_links_fit_into_the_kernels_fifteen_characters(instance: str):
    found = {names.bridge(instance), names.service_link(instance)}
    assert len(found) == 2
    assert all(len(link) <= 15 for link in found)


def test_long_instances_with_equal_beginnings_have_links_of_their_own():
    assert names.bridge("a-long-instance-one") != names.bridge("a-long-instance-two")


def test_sockets_paths_fit_into_a_socket_address_however_deep_the_home_is(settings: Settings):
    deep = Settings(**{**vars(settings), "home": Path("/x" * 200)})
    unit = "a-very-long-application-name-that-somebody-chose/12"
    longest = names.pebble_socket(deep, "a-long-model-name", unit, "a-long-container-name")
    assert len(str(longest)) <= 107


def test_sockets_of_two_models_lie_apart(settings: Settings):
    one, other = (names.agent_socket(settings, model, "web/0") for model in ("a", "b"))
    assert one != other


def test_a_slice_is_used_where_systemd_manages_cgroups():
    assert names.cgroup("my-cloud", "systemd") == "localjuju_my_cloud.slice"
    assert names.cgroup("my-cloud", "cgroupfs") == "/localjuju-my-cloud"


WEB = Entry("shop", "web/0", "10.0.0.10")
UNITS = [WEB, Entry("shop", "web/1", "10.0.0.11"), Entry("bank", "web/0", "10.0.0.12")]
SERVICES = [Entry("shop", "web", "10.0.0.200"), Entry("bank", "vault", "10.0.0.201")]


def _addresses(text: str, name: str) -> list[str]:
    """Resolve as the C library does: every line that has the name."""
    lines = [line.split() for line in text.splitlines()]
    return [line[0] for line in lines if name in line[1:]]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("web-0", "10.0.0.10"),
        ("web-1.web-endpoints", "10.0.0.11"),
        ("web-1.web-endpoints.shop", "10.0.0.11"),
        ("web-1.web-endpoints.shop.svc", "10.0.0.11"),
        ("web-1.web-endpoints.shop.svc.cluster.local", "10.0.0.11"),
        ("web-0.web-endpoints.bank.svc.cluster.local", "10.0.0.12"),
        ("web-0.web-endpoints.bank", "10.0.0.12"),
        ("web", "10.0.0.200"),
        ("web.shop", "10.0.0.200"),
        ("web.shop.svc", "10.0.0.200"),
        ("web.shop.svc.cluster.local", "10.0.0.200"),
        ("vault.bank", "10.0.0.201"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_every_form_of_a_name_leads_to_its_address(name: str, address: str):
    assert address in _addresses(hosts.render(WEB, UNITS, SERVICES), name)


@pytest.mark.parametrize("name", ["vault", "web-1", "web-0.web-endpoints.svc"])
def test_short_names_hold_only_where_kubernetes_has_them(name: str):
    assert _addresses(hosts.render(WEB, UNITS, SERVICES), name) == []


def test_the_short_name_of_a_unit_of_another_model_is_the_own_one():
    text = hosts.render(WEB, UNITS, SERVICES)
    assert _addresses(text, "web-0.web-endpoints") == ["10.0.0.10"]


def test_the_endpoints_name_gives_all_units_of_the_application():
    text = hosts.render(WEB, UNITS, SERVICES)
    assert _addresses(text, "web-endpoints.shop.svc.cluster.local") == ["10.0.0.10", "10.0.0.11"]


def test_a_pods_own_line_begins_with_its_long_name():
    own = hosts.render(WEB, UNITS, SERVICES).splitlines()[2].split()
    assert own[:2] == ["10.0.0.10", "web-0.web-endpoints.shop.svc.cluster.local"]


def test_units_are_ordered_by_number():
    units = [Entry("shop", f"db/{n}", f"10.0.1.{n}") for n in (10, 2, 1)]
    text = hosts.render(WEB, units, [])
    assert _addresses(text, "db-endpoints") == ["10.0.1.1", "10.0.1.2", "10.0.1.10"]


def test_a_hosts_file_keeps_its_inode_and_is_readable_by_all(tmp_path: Path):
    path = tmp_path / "hosts"
    assert hosts.write(path, "a longer text\n")
    inode = path.stat().st_ino
    assert hosts.write(path, "short\n")
    assert (path.stat().st_ino, path.read_text()) == (inode, "short\n")
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_equal_hosts_file_is_not_written(tmp_path: Path):
    path = tmp_path / "hosts"
    hosts.write(path, "same\n")
    assert not hosts.write(path, "same\n")
