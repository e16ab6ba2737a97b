"""What a hypervisor runs and how it is configured. Data and pure functions."""

import dataclasses
import ipaddress
import json
import pathlib
import re
from collections.abc import Iterator, Mapping

import migration
import volumes
from charmkit import api, messaging
from charmkit.service import Check, File, Obstacle, Option, Process, Sight, Task, User
from charmkit.spec import Snapshot, Values

NAME = "openstack-hypervisor"
TUNNEL, PROVIDER = "tunnel", "provider"
TEMPLATES = pathlib.Path(__file__).parent / "templates"

FOLDER = f"/usr/lib/{NAME}"
HOST = f"{FOLDER}/host.py"
LINKED = f"{FOLDER}/linked.sh"
NETWORK = f"/etc/{NAME}/network.json"
BIN = "/opt/openstack/bin"
NOVA, NEUTRON = "/etc/nova/nova.conf", "/etc/neutron/neutron-ovn-agent.conf"
OVS_TLS, NEUTRON_TLS, NOVA_TLS = "/etc/openvswitch/tls", "/etc/neutron/tls", "/etc/nova/tls"
PHYSNET = "physnet1"
NOVA_HELPERS = ("nova_sys_admin", "privsep_osbrick", "vif_plug_ovs_privileged")
NEUTRON_HELPERS = (
    "privsep",
    "privsep_conntrack",
    "privsep_dhcp_release",
    "privsep_link",
    "privsep_namespace",
    "privsep_ovs_vsctl",
    "privsep_sysctl",
)
"""Groups of the programs that do for an agent what takes more rights."""
PATH = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"}

PACKAGES = (
    "conntrack",
    "genisoimage",  # config drives
    "haproxy",  # metadata
    "iproute2",
    "libvirt-clients",
    "libvirt-daemon-system",
    "nfs-common",  # volumes, as is qemu-block-extra; volumes.py has those that are brought later
    "openvswitch-switch",
    "ovn-host",
    "qemu-block-extra",  # Ceph
    "qemu-system-x86",
    "qemu-utils",
    "zstd",
)
USERS = (User(name="neutron", uid=42005, home="/var/lib/neutron"),)

# --- files -------------------------------------------------------------------------------------

_CERTIFICATE = "{{ certificates.certificate }}"
_KEY = "{{ certificates.private_key }}"
_AUTHORITY = "{{ certificates.ca }}"


def _tls(folder: str, *, restarts: bool) -> tuple[File, ...]:
    """Describe our certificate, its key and whom to trust, for programs that run as root."""
    return (
        File(path=f"{folder}/cert.pem", text=_CERTIFICATE, restarts=restarts),
        File(path=f"{folder}/key.pem", text=_KEY, mode=0o600, restarts=restarts),
        File(path=f"{folder}/ca.pem", text=api.TRUST, mode=0o644, restarts=restarts),
    )


# The console proxy is a client of the cloud's authority, so this is the cloud's own and no other.
# QEMU reads them when a VM starts.
_CONSOLES = "/etc/pki/libvirt-vnc"
_CONSOLE_TLS = (
    File(path=f"{_CONSOLES}/ca-cert.pem", text=_AUTHORITY, mode=0o644, restarts=False),
    File(path=f"{_CONSOLES}/server-cert.pem", text=_CERTIFICATE, mode=0o644, restarts=False),
    File(
        path=f"{_CONSOLES}/server-key.pem",
        text=_KEY,
        mode=0o600,
        user="libvirt-qemu",
        restarts=False,
    ),
)

# --- processes ---------------------------------------------------------------------------------

OPENVSWITCH = Process(
    name="openvswitch",
    unit="openvswitch-switch.service",
    check=Check(command="ovs-vsctl --timeout=5 show"),
    stays=True,
)
VSWITCHD = Process(
    name="ovs-vswitchd",
    unit="ovs-vswitchd.service",
    # Bridges of the userspace datapath have lost their addresses when it starts again.
    settings=(f"ExecStartPost=+-/bin/systemctl --no-block try-restart {NAME}-network.service",),
    stays=True,
)
CONNECTIONS = Process(
    name=f"{NAME}-network",
    summary="network interfaces of the hypervisor in Open vSwitch",
    command=f"/usr/bin/python3 {HOST} network {NETWORK}",
    once=True,
    after=("openvswitch-switch.service", "ovs-vswitchd.service"),
    before=("ovn-host.service", "ovn-controller.service"),
    files=(
        File(path=HOST, template="host.py"),
        File(path=NETWORK, text="{{ network }}"),
        # ovn-controller looks at the files, and takes them when they have changed.
        *_tls(OVS_TLS, restarts=False),
    ),
    stays=True,
)
OVN = Process(
    name="ovn-controller",
    unit="ovn-host.service",
    check=Check(
        command='sh -c "ovn-appctl -t ovn-controller connection-status | grep -qx connected"',
        until_answered=True,
    ),
    stays=True,
)
MOVES = Process(
    name=f"{NAME}-moves",
    summary="floating IPs of VMs that have moved here",
    command=f"/usr/bin/python3 {FOLDER}/moves.py",
    after=("ovs-vswitchd.service", "ovn-controller.service"),
    files=(File(path=f"{FOLDER}/moves.py", template="moves.py"),),
)
LIBVIRT = Process(
    name="libvirtd",
    unit="libvirtd.service",
    # No time-out: it stays, and listens for live migration.
    environment={"LIBVIRTD_ARGS": "", "PATH": "{{ emulator_path }}"},
    after=("libvirtd-tls.socket",),
    files=(
        # Before the configuration that names its folder: libvirt refuses one that is not there.
        *_CONSOLE_TLS,
        File(
            path="/etc/libvirt/qemu.conf",
            template="qemu.conf.j2",
            mode=0o600,
            values={"consoles": _CONSOLES},
        ),
        File(
            path="/etc/systemd/system/libvirtd-tls.socket.d/charmkit.conf",
            text="[Socket]\nListenStream=\nListenStream={{ addresses.unit_ip }}:16514\n"
            "FreeBind=yes\n",
            mode=0o644,
        ),
        File(path=f"{FOLDER}/emulator/qemu-system-x86_64", template="emulator.sh", mode=0o755),
        *migration.FILES,
    ),
    check=Check(command="virsh --quiet --connect qemu:///system uri"),
    stays=True,
)
METADATA = Process(
    name="neutron-ovn-agent",
    summary="metadata for VMs",
    command=f"{BIN}/neutron-ovn-agent --config-file {NEUTRON}",
    group="neutron",
    after=("ovs-vswitchd.service",),
    environment=PATH,
    settings=(
        "RuntimeDirectory=neutron-ovn-agent",
        "RuntimeDirectoryMode=0750",
        # The proxies of VMs' networks outlive the agent, and find its new socket in the folder.
        "RuntimeDirectoryPreserve=yes",
        # They speak to the agent as members of its group, and it gives no mode to its socket.
        "UMask=0007",
        "KillMode=process",
    ),
    files=(
        File(
            path=NEUTRON,
            template="neutron.conf.j2",
            # The agent is root. The proxies, to which guests speak, are of the group: what signs
            # for a guest's identity is not for them.
            mode=0o600,
            namespaces=(
                "neutron",
                "neutron.agent",
                "neutron.base.agent",
                "neutron.ml2.ovs.agent",
                "neutron.metadata.agent",
                "neutron.ovn.metadata.agent",
                "neutron.ml2.ovn",
                "neutron.ml2.ovn.agent",
                "oslo.concurrency",
                "oslo.log",
                "oslo.privsep",
            ),
            dynamic_groups=NEUTRON_HELPERS,
            values={"path": NEUTRON, "helpers": NEUTRON_HELPERS, "tls": NEUTRON_TLS},
        ),
        *_tls(NEUTRON_TLS, restarts=True),
        File(path=LINKED, template="linked.sh", restarts=False),
    ),
    check=Check(
        command=f"sh {LINKED} neutron-ovn-agent.service {{{{ southbound_admin_port }}}}",
        patience=60,
        until_answered=True,
    ),
)
COMPUTE = Process(
    name="nova-compute",
    summary="VMs of the cloud",
    command=f"{BIN}/python3 {FOLDER}/compute.py --config-file {NOVA}",
    after=("libvirtd.service", "ovs-vswitchd.service"),
    kill_delay=60,
    environment=PATH,
    settings=(
        "SyslogIdentifier=nova-compute",
        "RuntimeDirectory=nova-compute",
        "StateDirectory=nova nova/instances",
        "StateDirectoryMode=0755",
        # Its helpers with more rights live until it has ended: it needs them to end well.
        "KillMode=mixed",
        "LimitNOFILE=65536",
    ),
    files=(
        File(
            path=NOVA,
            template="nova.conf.j2",
            namespaces=(
                "nova.conf",
                messaging.NAMESPACE,
                "oslo.concurrency",
                "oslo.log",
                "oslo.privsep",
                "oslo.service.service",
                "os_brick",
            ),
            # Options of plug-ins, and of helpers with more rights, declared when they are loaded.
            dynamic_groups=("os_vif_ovs", *NOVA_HELPERS),
            values={
                "path": NOVA,
                "helpers": NOVA_HELPERS,
                "ca_file": f"{NOVA_TLS}/ca.pem",
                **messaging.values("nova"),
            },
        ),
        File(path=f"{FOLDER}/compute.py", template="compute.py", mode=0o644),
        File(
            path=f"{FOLDER}/drivers/hypervisor_libvirt.py",
            template="hypervisor_libvirt.py",
            mode=0o644,
        ),
        File(path=f"{NOVA_TLS}/ca.pem", text=api.TRUST, mode=0o644),
        dataclasses.replace(messaging.authority("nova"), group="root", mode=0o644),
        File(path=LINKED, template="linked.sh", restarts=False),
    ),
    check=Check(
        command=f"sh {LINKED} nova-compute.service {{{{ amqp.port }}}}",
        patience=60,
        until_answered=True,
    ),
)
PROCESSES = (OPENVSWITCH, VSWITCHD, CONNECTIONS, OVN, MOVES, LIBVIRT, METADATA, COMPUTE)

# --- options -----------------------------------------------------------------------------------

_NETWORK_NAME = r"[A-Za-z][\w-]{0,11}"
OPTIONS = (
    Option(
        name="external-networks",
        pattern=rf"(\s*{_NETWORK_NAME}=[^\s=,]+\s*(,|$))*",
        hint="write physnet1=172.24.4.0/24, or a MAC address or an interface's name after the =",
    ),
    Option(name="datapath", pattern="auto|system|netdev", hint="write auto, system or netdev"),
    Option(name="virtualization", pattern="auto|kvm|qemu", hint="write auto, kvm or qemu"),
    Option(
        name="cpu-mode",
        pattern="host-model|host-passthrough",
        hint="write host-model or host-passthrough; for certain models use cpu-models",
    ),
    Option(name="cpu-models", pattern=r"[\w.,-]*", hint="write names of libvirt, with commas"),
    Option(name="images-type", pattern="qcow2|raw", hint="write qcow2 or raw"),
    Option(name="reserved-memory", minimum=0),
    Option(name="cpu-allocation-ratio", minimum=0, maximum=100),
    Option(name="ram-allocation-ratio", minimum=0, maximum=100),
    Option(name="disk-allocation-ratio", minimum=0, maximum=100),
)

# --- what the machine is -----------------------------------------------------------------------


def inspect(snapshot: Snapshot, sight: Sight) -> Values:
    """Look at what the machine can, and at what was known of its network before.

    Returns:
        `virtualization` and `datapath` as the probe tells them, "" while it cannot be asked;
        `networks`: physical network → what finds its interface, as it was written last;
        `network_problem`: what an operator has to change before there can be a network, or "";
        and what `migration.inspect` and `volumes.inspect` see.
    """
    written = json.loads(sight.read(NETWORK) or "{}")
    found = {
        "virtualization": "",
        "datapath": "",
        "networks": written.get("networks", {}),
        "network_problem": "",
        **migration.inspect(sight),
        **volumes.inspect(sight),
    }
    both = "command -v qemu-system-x86_64 >/dev/null && command -v ovs-dpctl || true"
    if not sight.run(("sh", "-c", both)):
        return found
    source = (TEMPLATES / "host.py").read_text()
    found |= json.loads(sight.run(("python3", "-", "probe"), stdin=source))
    if snapshot.addresses.unit_ip:
        wanted = network(dataclasses.replace(snapshot, machine=found), southbound="")
        text = sight.run(("python3", "-", "check", wanted), stdin=source)
        found["network_problem"] = text.strip()
    return found


def external_networks(snapshot: Snapshot) -> dict[str, str]:
    """Give the external networks: name → what finds the interface.

    Without the option it is the interface in the space of the binding `provider`, if that is not
    the space of management. Once the interface is ours it has no address any more, and Juju may
    forget where it was; so what was written is kept.
    """
    option = str(snapshot.config.get("external-networks", "")).strip()
    if option:
        pairs = (each.split("=", 1) for each in option.split(",") if each.strip())
        return {name.strip(): words.strip().lower() for name, words in pairs}
    provider = snapshot.addresses.bindings.get(PROVIDER, "")
    if provider and provider not in (snapshot.addresses.unit_ip, tunnel_address(snapshot)):
        return {PHYSNET: provider}
    known: Mapping[str, str] = snapshot.machine.get("networks", {})
    return {name: words for name, words in known.items() if name == PHYSNET and _is_ip(words)}


def _is_ip(words: str) -> bool:
    try:
        ipaddress.ip_address(words)
    except ValueError:
        return False
    return True


def tunnel_address(snapshot: Snapshot) -> str:
    """Give the address of the tunnels' end: of the binding `tunnel`, or else of management."""
    return snapshot.addresses.bindings.get(TUNNEL) or snapshot.addresses.unit_ip


def virtualization(snapshot: Snapshot) -> str:
    """Give `kvm` or `qemu`, by the option or by what the probe found."""
    option = str(snapshot.config.get("virtualization", "auto"))
    return option if option != "auto" else snapshot.machine.get("virtualization") or "qemu"


def datapath(snapshot: Snapshot) -> str:
    """Give `system` or `netdev`, by the option or by what the probe found."""
    option = str(snapshot.config.get("datapath", "auto"))
    return option if option != "auto" else snapshot.machine.get("datapath") or "system"


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what templates see beyond options and relations."""
    databases, identity = seen["ovsdb_cms"], seen["identity_credentials"]
    usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    is_userspace = datapath(snapshot) == "netdev"
    return {
        "virtualization": virtualization(snapshot),
        # libvirt takes the first emulator in its path.
        "emulator_path": f"{FOLDER}/emulator:{usual}" if is_userspace else usual,
        "southbound_admin_port": _port(databases.southbound_admin) if databases else 0,
        # Machines do not resolve the names of the cluster.
        "identity": identity and dataclasses.replace(identity, auth_url=identity.public_auth_url),
        "network": network(snapshot, databases.southbound) if databases else "",
        **migration.values(snapshot, seen),
    }


def _port(connection: str) -> int:
    return int(re.split("[,]", connection)[0].rpartition(":")[2])


def network(snapshot: Snapshot, southbound: str) -> str:
    """Give the content of the file that `host.py` reads."""
    content = {
        "host": snapshot.addresses.unit_name,
        "management": snapshot.addresses.unit_ip,
        "tunnel": tunnel_address(snapshot),
        "southbound": southbound,
        "datapath": datapath(snapshot),
        "networks": external_networks(snapshot),
        "is_gateway": bool(snapshot.config.get("gateway", True)),
        "tls": [f"{OVS_TLS}/{name}.pem" for name in ("key", "cert", "ca")],
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def obstacle(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell what keeps the hypervisor from being configured."""
    found = snapshot.machine.get("virtualization")
    if snapshot.config.get("virtualization") == "kvm" and found == "qemu":
        return (
            "blocked",
            "virtualization: no guest boots with KVM on this machine; write auto or qemu",
        )
    if snapshot.config.get("datapath") == "system" and snapshot.machine.get("datapath") == (
        "netdev"
    ):
        return "blocked", "datapath: the kernel has no openvswitch and geneve; write auto"
    if datapath(snapshot) == "netdev" and tunnel_address(snapshot) == snapshot.addresses.unit_ip:
        return (
            "blocked",
            "tunnel: the kernel has no openvswitch, so tunnels need an interface of their own;"
            " bind tunnel to another space",
        )
    if problem := snapshot.machine.get("network_problem"):
        return "blocked", problem
    return None


def condition(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell how the hypervisor works although it works."""
    if snapshot.machine.get("virtualization") == "qemu":
        return "active", "emulating processors: KVM does not work on this machine"
    return None


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Give libvirt its certificate, and VMs their ways to volumes."""
    yield migration.task(seen)
    yield from volumes.tasks(snapshot, seen)
