"""The charm openstack-hypervisor: plans, from a snapshot."""

import ast
import configparser
import dataclasses
import json
import pathlib
import subprocess
import sys
import time
import types

import pytest
import yaml

from charmkit import plan
from charmkit.interfaces import (
    cinder_ceph_key,
    keystone_credentials,
    nova_service,
    ovsdb_cms,
    rabbitmq,
    tls_certificates,
)
from charmkit.plan import Status
from charmkit.spec import Addresses, ContainerState, RelationData, Snapshot
from charmkit.templates import Templates

FOLDER = pathlib.Path(__file__).parents[3] / "charms/openstack-hypervisor"
USERSPACE = {"virtualization": "qemu", "datapath": "netdev", "networks": {}}
KERNEL = {"virtualization": "kvm", "datapath": "system", "networks": {}}


@pytest.fixture
def charm(load_charm):
    return load_charm("openstack-hypervisor")


@pytest.fixture
def needs():
    return {
        "amqp": rabbitmq.Broker(
            hosts=("10.20.0.4",), port=5671, username="nova-1", password="p@ss", vhost="nova",
            tls=True, tls_ca="BROKER CA\n",
        ),
        "identity_credentials": keystone_credentials.Credentials(
            auth_url="https://keystone.cloud.svc.cluster.local:5000/v3",
            public_auth_url="https://10.20.0.5:5000/v3",
            region="RegionOne", username="cred_hypervisor", password="pa$word",
            project="services", project_domain="service_domain", user_domain="service_domain",
            admin_role="admin",
        ),
        "ovsdb_cms": ovsdb_cms.Databases(
            northbound="", southbound="ssl:10.20.0.6:6642",
            southbound_admin="ssl:10.20.0.6:16642",
        ),
        "nova_service": nova_service.Compute(
            region="RegionOne", metadata_url="https://10.20.0.7:8775",
            metadata_secret="m$ecret", console_url="https://10.20.0.7:6080/vnc_lite.html",
        ),
        "certificates": tls_certificates.Certificate(
            certificate="CERT\n", private_key="KEY\n", ca="CA\n"
        ),
        "receive_ca_cert": None,
        "ceph_access": None,
    }  # fmt: skip


@pytest.fixture
def config(charm):
    options = yaml.safe_load((FOLDER / "charmcraft.yaml").read_text())["config"]["options"]
    return {name: each["default"] for name, each in options.items()}


@pytest.fixture
def ready(charm, config, needs):
    endpoints = [name.replace("_", "-") for name, value in needs.items() if value]
    snapshot = Snapshot(
        app="openstack-hypervisor",
        unit="openstack-hypervisor/0",
        optional=frozenset({"receive-ca-cert", "ceph-access"}),
        config=config,
        relations={name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(endpoints)},
        addresses=Addresses(
            unit_ip="10.0.1.5",
            unit_name="m0",
            hostnames=("m0",),
            bindings={"tunnel": "10.0.2.5", "provider": "172.24.4.241"},
        ),
        containers={"openstack-hypervisor": ContainerState(can_connect=True)},
        is_machine=True,
        machine=USERSPACE,
        runtime="abc",
        now=time.time(),
        entropy=b"h" * 32,
    )
    secret = charm.migration.SECRET
    return dataclasses.replace(snapshot, own_secrets={secret.label: secret.initial(snapshot)})


@pytest.fixture
def make(charm, needs, with_needs):
    def make(snapshot, **changed):
        service = with_needs(charm.HYPERVISOR, **{**needs, **changed})
        return plan.make(service, snapshot, Templates(FOLDER / "src/templates"))

    return make


@pytest.fixture
def fake_programs(tmp_path):
    """Make a program that prints or fails as the test says; `bin` is where."""

    def make(name, text):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
        return f"{folder}:/usr/bin:/bin"

    return make


def with_config(snapshot, **config):
    changed = {name.replace("_", "-"): value for name, value in config.items()}
    return dataclasses.replace(snapshot, config={**snapshot.config, **changed})


def with_bindings(snapshot, **bindings):
    addresses = dataclasses.replace(snapshot.addresses, bindings=bindings)
    return dataclasses.replace(snapshot, addresses=addresses)


def file(made, path):
    (found,) = [each for each in made.workload.files if each.path == path]
    return found


def ini(made, path):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(file(made, path).text)
    return parser


def nova(made):
    return ini(made, "/etc/nova/nova.conf")


def network(made):
    return json.loads(file(made, "/etc/openstack-hypervisor/network.json").text)


def unit(made, process):
    (found,) = [each for each in made.workload.units if each.process == process]
    return found


# --- what runs ---------------------------------------------------------------------------------


def test_what_vms_depend_on_stays_when_the_unit_goes(make, ready):
    stays = {each.process for each in make(ready).workload.units if each.stays}
    leaves = {each.process for each in make(ready).workload.units if not each.stays}
    assert leaves == {"nova-compute", "neutron-ovn-agent", "openstack-hypervisor-moves"}
    assert {"libvirtd", "openvswitch", "ovs-vswitchd", "ovn-controller"} <= stays


def test_the_network_is_there_before_ovn_controller(make, ready):
    text = unit(make(ready), "openstack-hypervisor-network").text
    assert "Before=ovn-host.service ovn-controller.service" in text
    assert "Type=oneshot" in text


@pytest.mark.parametrize(
    "change",
    [{"debug": True}, {"reserved_memory": 1024}, {"external_networks": "physnet1=eth2"}],
)
def test_an_option_restarts_no_libvirt_no_open_vswitch_and_no_ovn(make, ready, change):
    before, after = make(ready), make(with_config(ready, **change))
    for process in ("openvswitch", "ovs-vswitchd", "ovn-controller", "libvirtd"):
        assert unit(before, process).digest == unit(after, process).digest, process


def test_a_new_runtime_restarts_the_agents_only(make, ready):
    before, after = make(ready), make(dataclasses.replace(ready, runtime="new"))
    changed = {
        each.process
        for each in before.workload.units
        if each.digest != unit(after, each.process).digest
    }
    assert changed == {"nova-compute", "neutron-ovn-agent"}


def test_a_new_certificate_does_not_touch_ovn_controller(make, ready, needs):
    renewed = dataclasses.replace(needs["certificates"], certificate="NEW\n")
    before, after = make(ready), make(ready, certificates=renewed)
    for process in ("ovn-controller", "ovs-vswitchd", "openstack-hypervisor-network"):
        assert unit(before, process).digest == unit(after, process).digest
    assert file(after, "/etc/openvswitch/tls/cert.pem").text == "NEW\n"


def test_keys_are_for_those_only_who_use_them(make, ready):
    keys = [each for each in make(ready).workload.files if each.text == "KEY\n"]
    assert {each.path for each in keys} == {
        "/etc/openvswitch/tls/key.pem",
        "/etc/neutron/tls/key.pem",
        "/etc/pki/libvirt-vnc/server-key.pem",
    }
    own = [each for each in make(ready).workload.files if "PRIVATE KEY" in each.text]
    assert len(own) == 5
    assert {each.mode for each in (*keys, *own)} == {0o600}
    for each in (*keys, *own):
        of_qemu = each.path.startswith(("/etc/pki/qemu/", "/etc/pki/libvirt-vnc/"))
        assert each.user == ("libvirt-qemu" if of_qemu else "root"), each.path


# --- guests ------------------------------------------------------------------------------------


def test_guests_are_emulated_where_no_guest_boots_with_kvm(make, ready):
    made = make(ready)
    libvirt = nova(made)["libvirt"]
    assert (libvirt["virt_type"], libvirt["cpu_mode"]) == ("qemu", "custom")
    assert libvirt["cpu_models"] == "Nehalem"
    assert libvirt["tb_cache_size"] == "128", "each emulated instance takes that much besides"
    assert made.status == Status(
        "active", "emulating processors: KVM does not work on this machine"
    )


def test_guests_use_kvm_where_one_boots_with_it(make, ready):
    made = make(dataclasses.replace(ready, machine=KERNEL))
    libvirt = nova(made)["libvirt"]
    assert (libvirt["virt_type"], libvirt["cpu_mode"]) == ("kvm", "host-model")
    assert not {"cpu_models", "tb_cache_size"} & libvirt.keys()
    assert made.status == Status("active")


def test_processors_can_be_named_so_that_vms_can_move(make, ready):
    kernel = dataclasses.replace(ready, machine=KERNEL)
    libvirt = nova(make(with_config(kernel, cpu_models="Haswell,Nehalem")))["libvirt"]
    assert (libvirt["cpu_mode"], libvirt["cpu_models"]) == ("custom", "Haswell,Nehalem")


def test_kvm_that_is_wanted_and_does_not_work_blocks(make, ready):
    made = make(with_config(ready, virtualization="kvm"))
    assert made.status.name == "blocked"
    assert made.status.message.startswith("virtualization: ")
    assert made.workload is None


def test_the_userspace_datapath_needs_guests_without_checksum_offload(make, ready):
    folder = "/usr/lib/openstack-hypervisor/emulator"
    made = make(ready)
    assert f'Environment="PATH={folder}:' in unit(made, "libvirtd").text
    assert file(made, f"{folder}/qemu-system-x86_64").mode == 0o755
    kernel = make(dataclasses.replace(ready, machine=KERNEL))
    assert folder not in unit(kernel, "libvirtd").text


def test_live_migration_uses_tls_on_the_address_of_management_only(make, ready):
    made = make(ready)
    libvirt = nova(made)["libvirt"]
    assert (libvirt["live_migration_scheme"], libvirt["live_migration_with_native_tls"]) == (
        "tls",
        "true",
    )
    assert libvirt["live_migration_inbound_addr"] == "10.0.1.5"
    socket = file(made, "/etc/systemd/system/libvirtd-tls.socket.d/charmkit.conf").text
    assert socket.splitlines()[1:3] == ["ListenStream=", "ListenStream=10.0.1.5:16514"]
    assert "default_tls_x509_verify = 1" in file(made, "/etc/libvirt/qemu.conf").text


def test_a_further_authority_is_trusted_for_servers_and_for_nobody_who_comes_to_us(make, ready):
    further = types.SimpleNamespace(bundle="FURTHER\n")
    made = make(ready, receive_ca_cert=further)
    for path in ("/etc/nova/tls/ca.pem", "/etc/neutron/tls/ca.pem", "/etc/openvswitch/tls/ca.pem"):
        assert file(made, path).text == "CA\nFURTHER\n"
    folders = ("/etc/pki/", "/etc/libvirt/")
    texts = [each.text for each in made.workload.files if each.path.startswith(folders)]
    assert not [text for text in texts if "FURTHER" in text]


def test_consoles_keep_the_authority_of_the_cloud_whose_proxy_is_their_client(make, ready):
    made = make(ready)
    config = file(made, "/etc/libvirt/qemu.conf").text
    assert 'vnc_tls_x509_cert_dir = "/etc/pki/libvirt-vnc"' in config
    assert "vnc_tls_x509_verify = 1" in config
    names = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
    texts = [file(made, f"/etc/pki/libvirt-vnc/{name}").text for name in names]
    assert texts == ["CA\n", "CERT\n", "KEY\n"]


@pytest.mark.parametrize("wanted", [True, False])
def test_guests_have_their_metadata_as_a_drive_too(make, ready, wanted):
    made = make(with_config(ready, config_drive=wanted))
    assert nova(made)["DEFAULT"].getboolean("force_config_drive") is wanted


def test_nova_finds_the_driver_under_the_name_in_its_configuration(make, ready):
    made = make(ready)
    module, _, name = nova(made)["DEFAULT"]["compute_driver"].partition(".")
    text = file(made, f"/usr/lib/openstack-hypervisor/drivers/{module}.py").text
    classes = [each.name for each in ast.parse(text).body if isinstance(each, ast.ClassDef)]
    assert classes == [name]


def test_without_a_page_for_consoles_there_are_none(make, ready, needs):
    bare = dataclasses.replace(needs["nova_service"], console_url="")
    assert nova(make(ready, nova_service=bare))["vnc"]["enabled"] == "false"


# --- live migration ----------------------------------------------------------------------------


TRUST = ("/etc/pki/CA/cacert.pem", "/etc/pki/qemu/ca-cert.pem")
CLIENTS = ("/etc/pki/libvirt/clientcert.pem", "/etc/pki/qemu/client-cert.pem")
SERVERS = ("/etc/pki/libvirt/servercert.pem", "/etc/pki/qemu/server-cert.pem")


@pytest.fixture
def accepts(tmp_path):
    """Tell whether who trusts these roots takes who shows this certificate, as OpenSSL does it."""

    def accepts(trusted, shown, *options):
        for name, text in (("trusted", trusted), ("shown", shown)):
            (tmp_path / f"{name}.pem").write_text(text)
        argv = ["openssl", "verify", *options, "-CAfile", "trusted.pem", "-untrusted", "shown.pem"]
        done = subprocess.run([*argv, "shown.pem"], cwd=tmp_path, capture_output=True, text=True)
        return done.returncode == 0

    return accepts


def other(snapshot, number=1):
    """Give another unit of the same application, on another machine."""
    addresses = dataclasses.replace(
        snapshot.addresses, unit_ip=f"10.0.1.{5 + number}", unit_name=f"m{number}",
        hostnames=(f"m{number}",),
    )  # fmt: skip
    return dataclasses.replace(
        snapshot, unit=f"openstack-hypervisor/{number}", addresses=addresses, entropy=b"o" * 32
    )


def rotated(charm, snapshot, entropy):
    fresh = dataclasses.replace(snapshot, entropy=entropy)
    secret = charm.migration.SECRET
    content = secret.rotated(fresh, snapshot.own_secrets[secret.label])
    return dataclasses.replace(snapshot, own_secrets={secret.label: content})


def seen_again(snapshot, made):
    """Give what the next dispatch sees on the machine."""
    record = json.loads(file(made, "/etc/openstack-hypervisor/migration.json").text)
    return dataclasses.replace(
        snapshot, machine={**snapshot.machine, "migration": record}, entropy=b"n" * 32
    )


def test_hypervisors_move_vms_to_each_other(make, ready, accepts):
    here, there = make(ready), make(other(ready))
    for trust, client, server in zip(TRUST, CLIENTS, SERVERS, strict=True):
        trusted = file(there, trust).text
        assert accepts(trusted, file(here, client).text, "-purpose", "sslclient")
        names = ("-purpose", "sslserver", "-verify_ip", "10.0.1.5")
        assert accepts(trusted, file(here, server).text, *names)
        assert not accepts(trusted, file(here, server).text, "-verify_ip", "10.0.1.9")


def test_no_certificate_of_the_cloud_gets_into_a_hypervisor(make, ready, accepts, authority):
    trusted = [file(make(ready), path).text for path in TRUST]
    shown = (authority / "cert.pem").read_text()
    assert accepts((authority / "ca.pem").read_text(), shown), "it is a good one otherwise"
    for each in trusted:
        assert not accepts(each, shown)


def test_the_clouds_certificate_is_nowhere_that_libvirt_takes_clients_by(make, ready):
    found = [
        each.path for each in make(ready).workload.files
        if each.path.startswith("/etc/pki") and each.text in ("CA\n", "CERT\n", "KEY\n")
    ]  # fmt: skip
    assert {path.rpartition("/")[0] for path in found} == {"/etc/pki/libvirt-vnc"}


def test_vms_move_while_the_authority_is_replaced(charm, make, ready, accepts):
    old, new = make(ready), make(other(rotated(charm, ready, b"2" * 32)))
    assert file(old, TRUST[0]).text != file(new, TRUST[0]).text
    for trust, client in zip(TRUST, CLIENTS, strict=True):
        assert accepts(file(old, trust).text, file(new, client).text)
        assert accepts(file(new, trust).text, file(old, client).text)


def test_who_has_the_key_of_an_authority_is_out_when_it_was_replaced_twice(
    charm, make, ready, accepts
):
    thief = file(make(ready), CLIENTS[0]).text
    twice = rotated(charm, rotated(charm, ready, b"2" * 32), b"3" * 32)
    assert not accepts(file(make(twice), TRUST[0]).text, thief)


def test_a_certificate_stays_until_it_is_worn_out_or_the_machine_is_another(make, ready):
    made = make(ready)
    again = seen_again(ready, made)

    def later(days, snapshot=again):
        return dataclasses.replace(snapshot, now=ready.now + days * 86400)

    before = file(made, CLIENTS[0]).text
    assert file(make(again), CLIENTS[0]).text == before
    assert file(make(later(59)), CLIENTS[0]).text == before
    assert file(make(other(later(59))), CLIENTS[0]).text != before
    assert file(make(later(61)), CLIENTS[0]).text != before


def test_two_plans_of_what_was_seen_once_are_the_same(make, ready):
    first = dataclasses.replace(ready, own_secrets={})
    one, two = (make(dataclasses.replace(first, is_leader=True)) for _ in range(2))
    assert file(one, TRUST[0]).text == file(two, TRUST[0]).text
    assert file(one, CLIENTS[0]).text == file(two, CLIENTS[0]).text


def test_a_new_certificate_restarts_neither_libvirt_nor_an_agent(charm, make, ready):
    before, after = make(ready), make(rotated(charm, ready, b"2" * 32))
    for each in before.workload.units:
        assert each.digest == unit(after, each.process).digest, each.process
    (old,), (new,) = before.workload.tasks, after.workload.tasks
    assert "virt-admin server-update-tls libvirtd" in new.argv[-1]
    assert old.digest != new.digest, "libvirt is told"


@pytest.mark.parametrize(
    ("active", "updates", "expected"),
    [
        (True, True, ["virt-admin server-update-tls libvirtd"]),
        (
            True,
            False,
            ["virt-admin server-update-tls libvirtd", "systemctl restart libvirtd.service"],
        ),
        (False, True, []),
    ],
)
def test_libvirt_is_told_while_it_runs(
    make, ready, fake_programs, tmp_path, active, updates, expected
):
    (task,) = make(ready).workload.tasks
    log = tmp_path / "log"
    log.touch()
    note = f'echo "$(basename "$0") $*" >> {log}'
    is_active = "exit 0" if active else "exit 3"
    fake_programs("systemctl", f'case "$*" in *is-active*) {is_active};; esac; {note}')
    path = fake_programs("virt-admin", f"{note}; {'exit 0' if updates else 'exit 1'}")
    subprocess.run(task.argv, check=True, env={"PATH": path})
    assert log.read_text().splitlines() == expected


def test_a_follower_waits_for_the_authority(make, ready):
    made = make(dataclasses.replace(ready, own_secrets={}))
    assert made.status == Status("waiting", "waiting for the leader's secret: migration-authority")


def test_the_key_of_the_authority_is_in_no_file(charm, make, ready):
    key = ready.own_secrets[charm.migration.LABEL]["private-key"]
    made = make(ready)
    assert not [each.path for each in made.workload.files if key.split()[5] in each.text]
    assert "PRIVATE KEY" not in repr(seen_again(ready, made))


# --- the agents --------------------------------------------------------------------------------


def test_agents_use_addresses_that_machines_reach(make, ready):
    config = nova(make(ready))
    for group in ("neutron", "placement", "cinder", "service_user"):
        assert config[group]["auth_url"] == "https://10.20.0.5:5000/v3"
        assert config[group]["password"] == "pa$$word"
    for group in ("neutron", "placement", "glance"):
        assert config[group]["valid_interfaces"] == "public"


def test_a_machine_has_one_name_everywhere(make, ready):
    made = make(ready)
    agent = ini(made, "/etc/neutron/neutron-ovn-agent.conf")
    assert nova(made)["DEFAULT"]["host"] == agent["DEFAULT"]["host"] == network(made)["host"]


def test_the_proxies_of_networks_may_speak_to_the_agent_and_nobody_else(charm):
    (agent,) = [each for each in charm.HYPERVISOR.processes if each.name == "neutron-ovn-agent"]
    mask = next(each for each in agent.settings if each.startswith("UMask=")).partition("=")[2]
    # A socket has the mode that the mask leaves, and who connects needs the right to write.
    assert (0o777 & ~int(mask, 8), agent.user, agent.group) == (0o770, "root", "neutron")


def test_metadata_reaches_vms_over_tls_with_the_shared_secret(make, ready):
    agent = ini(make(ready), "/etc/neutron/neutron-ovn-agent.conf")
    default = agent["DEFAULT"]
    assert (default["nova_metadata_protocol"], default["nova_metadata_port"]) == ("https", "8775")
    assert default["metadata_proxy_shared_secret"] == "m$$ecret"
    assert default["metadata_proxy_user"] == "neutron", "haproxy speaks to guests"
    assert agent["ovn"]["ovn_sb_connection"] == "ssl:10.20.0.6:16642"


def test_the_secret_of_metadata_is_not_for_the_proxies_that_guests_speak_to(make, ready):
    made = make(ready)
    files = [each for each in made.workload.files if "m$$ecret" in each.text]
    assert [(each.path, each.mode, each.user, each.group) for each in files] == [
        ("/etc/neutron/neutron-ovn-agent.conf", 0o600, "root", "root")
    ]
    agent = unit(made, "neutron-ovn-agent").text.splitlines()
    assert not [line for line in agent if line.startswith("User=") and line != "User=root"]


@pytest.mark.parametrize(("option", "value"), [("cpu", 2.5), ("ram", 1.1), ("disk", 3.0)])
def test_allocation_ratios_are_written_if_they_are_set(make, ready, option, value):
    name = f"{option}_allocation_ratio"
    assert name not in nova(make(ready))["DEFAULT"]
    assert nova(make(with_config(ready, **{name: value})))["DEFAULT"][name] == str(value)


def test_overrides_count_for_one_agent(make, ready):
    text = "[nova-compute: libvirt]\nimages_type = raw\n"
    made = make(with_config(ready, config_overrides_process=text))
    assert nova(made)["libvirt"]["images_type"] == "raw"


# --- networks ----------------------------------------------------------------------------------


def test_the_binding_names_the_interface_of_physnet1(make, ready):
    assert network(make(ready))["networks"] == {"physnet1": "172.24.4.241"}
    assert network(make(ready))["tunnel"] == "10.0.2.5"


def test_the_option_names_interfaces_instead(make, ready):
    option = "physnet1=172.24.4.0/24, storage = 02:AA:00:00:00:01"
    refused = make(with_config(ready, external_networks=option))
    assert refused.status.message.startswith("external-networks: cannot be")
    made = make(with_config(ready, external_networks=option.replace(" = ", "=")))
    assert network(made)["networks"] == {
        "physnet1": "172.24.4.0/24",
        "storage": "02:aa:00:00:00:01",
    }


def test_a_machine_without_an_external_network_has_none(make, ready):
    shared = with_bindings(ready, tunnel="10.0.2.5", provider="10.0.1.5")
    assert network(make(shared))["networks"] == {}


def test_an_interface_that_is_ours_stays_ours_when_juju_forgets_its_address(make, ready):
    known = {**USERSPACE, "networks": {"physnet1": "172.24.4.241"}}
    gone = with_bindings(dataclasses.replace(ready, machine=known), tunnel="10.0.2.5")
    assert network(make(gone))["networks"] == {"physnet1": "172.24.4.241"}


def test_an_option_that_is_taken_back_is_not_kept(make, ready):
    known = {**USERSPACE, "networks": {"physnet1": "eth2"}}
    gone = with_bindings(dataclasses.replace(ready, machine=known), tunnel="10.0.2.5")
    assert network(make(gone))["networks"] == {}


def test_the_userspace_datapath_without_an_interface_for_tunnels_blocks(make, ready):
    shared = with_bindings(ready, tunnel="10.0.1.5")
    assert make(shared).status.message.startswith("tunnel: ")
    kernel = make(dataclasses.replace(shared, machine=KERNEL))
    assert network(kernel)["tunnel"] == "10.0.1.5"


# --- volumes -----------------------------------------------------------------------------------


def test_every_transport_of_the_table_of_drivers_has_its_client(charm, load_charm):
    drivers = load_charm("cinder-volume").drivers
    clients = charm.volumes.CLIENTS
    for driver in (drivers.CEPH, *drivers.DRIVERS.values()):
        assert set(driver.transports) <= clients.keys(), driver.name
    for transport, client in clients.items():
        is_there = not client.package or client.package in charm.HYPERVISOR.packages
        assert is_there or client.module, f"nothing brings the client of {transport}"
    assert [clients[each].package for each in ("iscsi", "nfs")] == ["open-iscsi", "nfs-common"]


class Shell:
    """A machine whose commands really run, with these programs first."""

    def __init__(self, path):
        self.path = path

    def read(self, path):
        return "0123abcd\n" if path == "/etc/machine-id" else None

    def run(self, argv, *, stdin="", timeout=120):
        done = subprocess.run(
            argv, env={"PATH": self.path}, capture_output=True, text=True, check=True
        )
        return done.stdout


def test_a_client_is_of_use_where_the_kernel_has_its_transport(charm, fake_programs):
    fake_programs("dpkg-query", 'case "$*" in *open-iscsi) printf installed;; *) exit 1;; esac')
    known = fake_programs("modprobe", '[ "$3" = iscsi_tcp ] || [ "$3" = nvme_tcp ]')
    assert charm.volumes.inspect(Shell(known)) == {
        "clients": {"open-iscsi": "there", "nvme-cli": "missing"},
        "machine_id": "0123abcd",
    }
    fake_programs("modprobe", "exit 1")
    assert charm.volumes.inspect(Shell(known))["clients"] == {}


def test_clients_that_are_missing_are_brought_before_vms_can_need_them(make, ready):
    def tasks(clients):
        machine = {**KERNEL, "clients": clients, "machine_id": "m"}
        found = make(dataclasses.replace(ready, machine=machine)).workload.tasks
        return tuple(each for each in found if each.name != "migration-certificate")

    assert tasks({}) == (), "no time is lost where the kernel has no use for them"
    install, name = tasks({"open-iscsi": "missing", "nvme-cli": "missing"})
    assert install.argv[-2:] == ("nvme-cli", "open-iscsi")
    assert {each.when for each in (install, name)} == {"before-start"}
    assert {each.on for each in (install, name)} == {"unit"}
    assert tasks({"open-iscsi": "there"}) == (name,)


def test_machines_from_one_image_have_names_of_their_own_for_iscsi(fake_programs, tmp_path):
    path = fake_programs("systemctl", f'echo "$*" >> {tmp_path}/log')
    script = FOLDER / "src/templates/initiator.sh"

    def name(machine_id, session=False):
        root = tmp_path / machine_id
        (root / "etc/iscsi").mkdir(parents=True, exist_ok=True)
        (root / "etc/machine-id").write_text(f"{machine_id}\n")
        file = root / "etc/iscsi/initiatorname.iscsi"
        if not file.exists():
            file.write_text("InitiatorName=iqn.1993-08.org.debian:01:image\n")
        sessions = root / "sys/class/iscsi_session"
        sessions.mkdir(parents=True, exist_ok=True)
        if session:
            (sessions / "session1").mkdir()
        subprocess.run(["sh", str(script), str(root)], check=True, env={"PATH": path})
        return file.read_text()

    first, second = name("a" * 32), name("b" * 32)
    assert first != second
    assert first.startswith("InitiatorName=iqn.1993-08.org.debian:01:")
    assert "aaaa" not in first, "the machine ID is not told to storage"
    assert name("a" * 32) == first
    assert (tmp_path / "log").read_text() == "try-restart iscsid.service\n" * 2
    assert name("c" * 32, session=True).endswith(":image\n"), "storage knows it by that name"


def test_keys_of_volumes_reach_libvirt_on_every_unit_and_on_no_command_line(make, ready):
    access = cinder_ceph_key.Access(app="cinder-volume", uuid="u-1", key="AQ==")
    made = make(ready, ceph_access=(access,))
    (task,) = [each for each in made.workload.tasks if each.name == "volume-keys"]
    assert task.on == "unit"
    assert json.loads(task.stdin)[0]["key"] == "AQ=="
    assert "AQ==" not in " ".join(task.argv)


def test_the_key_goes_to_virsh_by_a_file_that_only_root_reads(tmp_path):
    log = tmp_path / "log"
    virsh = tmp_path / "virsh"
    virsh.write_text(
        f'#!/bin/sh\necho "$*" >> {log}\nfor file; do :; done\n'
        f'stat -c %a "$file" >> {log}\ncat "$file" >> {log}\n'
    )
    virsh.chmod(0o755)
    keys = json.dumps([{"uuid": "u-1", "name": "cinder & co", "key": "AQ=="}])
    script = FOLDER / "src/templates/volume_keys.py"
    subprocess.run(
        [sys.executable, str(script)],
        input=keys, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    lines = log.read_text().splitlines()
    assert [line.split("--file")[0].split()[-2:] for line in lines if "--file" in line] == [
        ["qemu:///system", "secret-define"],
        ["secret-set-value", "u-1"],
    ]
    assert lines.count("600") == 2
    assert "cinder &amp; co" in log.read_text()
    assert lines[-1] == "AQ=="


# --- the machine -------------------------------------------------------------------------------


class Eyes:
    """A machine to look at."""

    def __init__(self, *, has_programs=True, written=None):
        self.has_programs = has_programs
        self.written = written
        self.probed = []

    def read(self, path):
        return self.written if path.endswith("/network.json") else None

    def run(self, argv, *, stdin="", timeout=120):
        if argv[0] == "sh" and "modprobe" in argv[2]:
            return ""
        if argv[0] == "sh":
            return "/usr/bin/ovs-dpctl\n" if self.has_programs else ""
        self.probed.append(argv)
        assert "def probe()" in stdin
        if argv[2] == "check":
            words = json.loads(argv[3])["networks"]["physnet1"]
            return f"external-networks: no interface for physnet1 is found by {words}\n"
        return json.dumps({"virtualization": "kvm", "datapath": "system"})


def test_no_script_takes_the_place_of_a_module_of_python(make, ready):
    folder = "/usr/lib/openstack-hypervisor"
    paths = [pathlib.PurePath(each.path) for each in make(ready).workload.files]
    scripts = {path.stem for path in paths if str(path.parent) == folder and path.suffix == ".py"}
    assert "volume_keys" in scripts
    assert not scripts & sys.stdlib_module_names


def test_the_machine_is_probed_once_its_programs_are_there(charm, ready):
    inspect = charm.HYPERVISOR.inspect
    eyes = Eyes(written=json.dumps({"networks": {"physnet1": "10.9.9.9"}}))
    assert inspect(ready, eyes) == {
        "virtualization": "kvm",
        "datapath": "system",
        "networks": {"physnet1": "10.9.9.9"},
        "network_problem": "external-networks: no interface for physnet1 is found by 172.24.4.241",
        "migration": {},
        "clients": {},
        "machine_id": "",
    }
    bare = Eyes(has_programs=False)
    found = inspect(ready, bare)
    assert (found["virtualization"], found["datapath"], found["networks"]) == ("", "", {})
    assert bare.probed == []


def test_a_network_that_cannot_be_made_blocks_instead_of_failing(make, ready):
    problem = "external-networks: no interface for physnet1 is found by eth9"
    machine = {**KERNEL, "network_problem": problem}
    made = make(dataclasses.replace(ready, machine=machine))
    assert made.status == Status("blocked", problem)
    assert made.workload is None, "what runs stays as it is"


def test_charm_py_stays_short():
    assert len((FOLDER / "src/charm.py").read_text().splitlines()) < 90
