"""The charm neutron-k8s: plans, from a snapshot."""

import plans
import pytest
import yaml
from plans import configured, files

from charmkit.interfaces import ovsdb_cms

PROCESSES = ("neutron-api", "neutron-periodic-workers", "neutron-ovn-maintenance-worker")
OVN = ovsdb_cms.Databases(
    northbound="ssl:ovn-0:6641,ssl:ovn-1:6641",
    southbound="ssl:ovn-0:6642,ssl:ovn-1:6642",
    southbound_admin="ssl:ovn-0:16642,ssl:ovn-1:16642",
)


@pytest.fixture
def make(make_plan, broker):
    return lambda snapshot: make_plan("neutron-k8s", snapshot, amqp=broker, ovsdb_cms=OVN)


@pytest.fixture
def ready():
    return plans.sees("neutron-k8s")


def conf(made, process="neutron-api"):
    return plans.conf(made, f"/etc/neutron/{process}.conf")


def test_three_processes_run_and_each_is_probed(make, ready):
    workload = make(ready).workload
    assert tuple(workload.services) == PROCESSES
    assert [probe.process for probe in workload.probes] == list(PROCESSES)
    assert {each["user"] for each in workload.services.values()} == {"neutron"}


def test_probes_look_where_the_work_of_a_process_comes_from(make, ready):
    commands = {each.process: each.command.split() for each in make(ready).workload.probes}
    assert commands["neutron-ovn-maintenance-worker"][-1] == "6641"
    assert commands["neutron-periodic-workers"][-1] == "3306"


@pytest.mark.parametrize("process", PROCESSES)
def test_ovn_is_reached_over_tls_by_a_port_with_the_rights_that_neutron_needs(
    make, ready, process
):
    made = make(ready)
    found = conf(made, process)["ovn"]
    assert found["ovn_nb_connection"] == OVN.northbound
    assert found["ovn_sb_connection"] == OVN.southbound_admin
    for database in ("nb", "sb"):
        assert files(made)[found[f"ovn_{database}_private_key"]].text == "key"
        assert files(made)[found[f"ovn_{database}_certificate"]].text == "cert"
        assert files(made)[found[f"ovn_{database}_ca_cert"]].text == "ca"


def test_physical_networks_and_vlans_are_options(make, ready):
    seen = configured(ready, physical_networks="physnet1 physnet2", vlan_ranges="physnet2:100:200")
    found = conf(make(seen))
    assert found["ml2_type_flat"]["flat_networks"] == "physnet1,physnet2"
    ranges = found["ml2_type_vlan"]["network_vlan_ranges"]
    assert ranges == "physnet1,physnet2,physnet2:100:200"


def test_networks_of_projects_leave_room_for_what_a_tunnel_adds(make, ready):
    found = conf(make(configured(ready, global_physnet_mtu=9000)))
    assert found["DEFAULT"]["global_physnet_mtu"] == "9000"
    assert found["ml2"]["path_mtu"] == "9000"
    assert found["ml2_type_geneve"]["max_header_size"] == "38"


def test_subnets_without_name_servers_get_what_an_operator_says(make, ready):
    assert "dns_servers" not in conf(make(ready))["ovn"]
    seen = configured(ready, dns_servers="192.0.2.53 2001:db8::53")
    assert conf(make(seen))["ovn"]["dns_servers"] == "192.0.2.53,2001:db8::53"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("physical-networks", "a,b"),
        ("vlan-ranges", "physnet1"),
        ("global-physnet-mtu", 500),
        ("dns-domain", "cloud.internal"),
        ("dns-servers", "dns.example"),
    ],
)
def test_a_wrong_option_is_refused_by_name(make, ready, option, value):
    made = make(configured(ready, **{option: value}))
    assert (made.status.name, made.workload) == ("blocked", None)
    assert made.status.message.startswith(f"{option}: ")


def test_security_groups_are_on(make, ready):
    assert conf(make(ready))["securitygroup"]["enable_security_group"] == "true"


def test_the_rules_give_the_service_reading_and_nothing_else(make, ready):
    made = make(ready)
    rules = yaml.safe_load(files(made)[conf(made)["oslo_policy"]["policy_file"]].text)
    assert all(name.startswith("get_") for name in rules)
    assert all("(rule:admin_only) or" in rule for rule in rules.values())
    assert all("(rule:service_api)" in rule for rule in rules.values())


def test_charm_py_stays_short():
    assert len((plans.CHARMS / "neutron-k8s/src/charm.py").read_text().splitlines()) < 60
