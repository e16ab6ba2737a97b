#!/usr/bin/env python3
"""Start a cloud from Helio's images by hand, up to the first instance, and tell the seconds.

No charms and no engine: what a person would type, one thing after the other, with the settings of
the charms' templates. The services share a container's network and have one address, the
hypervisor is a machine of its own. APIs serve HTTPS; database, broker and OVN do without, since
nobody else is on their network. Service accounts are administrators, as in OpenStack's own guides.

Prints `services`, `active` and `ssh`, each with the seconds since the start: all services answer,
the instance is ACTIVE, ssh lets us in by its floating IP. What it is at is told on stderr.

    PODMAN="podman --root …" MARIADB=IMAGE RABBITMQ=IMAGE MEMCACHED=IMAGE OVN=IMAGE \
        OPENSTACK=IMAGE MACHINE=IMAGE OPENSTACK_RUNTIME=ARCHIVE GUEST=DISK \
        [VIRTUALIZATION=kvm] [DATAPATH=system] ./bare_vm.py

VIRTUALIZATION and DATAPATH are what a hypervisor's action `show-virtualization` tells; without
them guests are emulated and Open vSwitch works in userspace. All that it makes is taken away at
the end, also when it fails or is interrupted.
"""

import array
import base64
import contextlib
import ctypes
import dataclasses
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from openstack import connection

NAME = "helio-bare-vm"
PARTS = ("machine", "ovn", "memcached", "rabbitmq", "mariadb", "openstack")
CONTROLLER, MACHINE, UPLINK = "10.141.0.10", "10.141.0.20", "172.24.41.250"
# Podman's networks: subnet, gateway, bridge.
NETWORKS = {
    f"{NAME}-management": ("10.141.0.0/20", "10.141.0.1", "helio-bare-mgm"),
    f"{NAME}-provider": ("172.24.41.0/24", "172.24.41.1", "helio-bare-ext"),
}
POOL = ("172.24.41.10", "172.24.41.199")
PORTS = {"keystone": 5000, "placement": 8778, "glance": 9292, "nova": 8774, "neutron": 9696}
METADATA = 8775
NEUTRON_WORKERS = ("neutron-periodic-workers", "neutron-ovn-maintenance-worker")
PASSWORD = secrets.token_hex(16)
CPUS = os.cpu_count() or 1
WORKERS = min(max(CPUS, 2), 4)
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20  # MiB
BIN = "/opt/openstack/bin"
CERTIFICATE, KEY = "/bare/cert.pem", "/bare/key.pem"
PATIENCE = 300  # seconds for any one thing
PR_SET_PDEATHSIG = 1


# --- settings: those of the charms' templates ----------------------------------------------------


def url(service: str, path: str = "") -> str:
    return f"https://{CONTROLLER}:{PORTS[service]}{path}"


def database(service: str, schema: str = "") -> str:
    address = f"mysql+pymysql://{service}:{PASSWORD}@{CONTROLLER}:3306/{schema or service}"
    return f"""\
connection = {address}?charset=utf8mb3
connection_recycle_time = 600
retry_interval = 1
max_retries = 60
"""


def account(service: str) -> str:
    return f"""\
auth_type = password
auth_url = {url("keystone", "/v3")}
username = {service}
password = {PASSWORD}
user_domain_name = Default
project_name = service
project_domain_name = Default
cafile = {CERTIFICATE}
region_name = RegionOne
"""


def keystone_authtoken(service: str) -> str:
    return f"""\
[keystone_authtoken]
www_authenticate_uri = {url("keystone", "/v3")}
{account(service)}
interface = internal
service_token_roles = service
service_token_roles_required = true
memcached_servers = 127.0.0.1:11211
memcache_security_strategy = ENCRYPT
memcache_secret_key = {PASSWORD}
memcache_pool_socket_timeout = 1
memcache_pool_dead_retry = 30
[oslo_middleware]
enable_proxy_headers_parsing = true
"""


def messaging(service: str, process: str, host: str) -> str:
    return f"""\
[DEFAULT]
transport_url = rabbit://{service}:{PASSWORD}@{CONTROLLER}:5672/{service}
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
rabbit_transient_quorum_queue = true
rabbit_stream_fanout = true
rabbit_qos_prefetch_count = 1
use_queue_manager = true
hostname = {host}
processname = {process}
kombu_reconnect_splay = 1
[oslo_messaging_notifications]
driver = noop
"""


def helpers(path: str, *groups: str) -> str:
    """Let the helpers with more rights find their program: `sudo` would not."""
    command = f"helper_command = {BIN}/privsep-helper --config-file {path}"
    return "".join(f"[{group}]\n{command}\n" for group in groups)


def keystone() -> str:
    return f"""\
[database]
{database("keystone")}
[token]
provider = fernet
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[fernet_receipts]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
[cache]
enabled = false
[identity]
max_password_length = 72
[oslo_messaging_notifications]
driver = noop
[oslo_middleware]
enable_proxy_headers_parsing = true
"""


def placement() -> str:
    return f"""\
[placement_database]
{database("placement")}
[api]
auth_strategy = keystone
{keystone_authtoken("placement")}
"""


def glance() -> str:
    return f"""\
[DEFAULT]
enabled_backends = file:file
enabled_import_methods = [glance-direct, copy-image]
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = /var/lib/glance/images
[os_glance_staging_store]
filesystem_store_datadir = /var/lib/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = /var/lib/glance/tasks
[paste_deploy]
flavor = keystone
config_file = /opt/openstack/etc/glance/glance-api-paste.ini
[oslo_concurrency]
lock_path = /var/lib/glance/lock
[oslo_messaging_notifications]
driver = noop
[database]
{database("glance")}
{keystone_authtoken("glance")}
"""


def nova(process: str) -> str:
    return f"""\
{messaging("nova", process, "nova-0")}
[DEFAULT]
host = nova-0
my_ip = {CONTROLLER}
state_path = /var/lib/nova
[api_database]
{database("nova", "nova_api")}
[database]
{database("nova")}
[oslo_concurrency]
lock_path = /var/lib/nova/lock
{keystone_authtoken("nova")}
[service_user]
send_service_user_token = true
{account("nova")}
[placement]
valid_interfaces = internal
{account("nova")}
[neutron]
valid_interfaces = internal
service_metadata_proxy = true
metadata_proxy_shared_secret = {PASSWORD}
{account("nova")}
[glance]
valid_interfaces = internal
region_name = RegionOne
cafile = {CERTIFICATE}
[keystone]
valid_interfaces = internal
region_name = RegionOne
cafile = {CERTIFICATE}
[scheduler]
workers = {WORKERS // 2}
discover_hosts_in_cells_interval = 20
[conductor]
workers = {WORKERS // 2}
"""


def neutron(process: str) -> str:
    return f"""\
{messaging("neutron", process, "neutron-0")}
[DEFAULT]
host = neutron-0
state_path = /var/lib/neutron
core_plugin = ml2
service_plugins = ovn-router,segments,trunk,port_forwarding,qos
auth_strategy = keystone
api_paste_config = /opt/openstack/etc/neutron/api-paste.ini
rpc_workers = 0
rpc_state_report_workers = 0
dns_domain = cloud.internal.
global_physnet_mtu = 1500
[ml2]
type_drivers = flat,geneve,vlan,local
project_network_types = geneve
mechanism_drivers = ovn
extension_drivers = port_security,qos,dns_domain_ports
path_mtu = 1500
overlay_ip_version = 4
[ml2_type_flat]
flat_networks = physnet1
[ml2_type_geneve]
vni_ranges = 1:65536
max_header_size = 38
[securitygroup]
enable_security_group = true
[ovn]
ovn_nb_connection = tcp:{CONTROLLER}:6641
ovn_sb_connection = tcp:{CONTROLLER}:6642
ovn_metadata_enabled = true
enable_distributed_floating_ip = true
[oslo_concurrency]
lock_path = /var/lib/neutron/lock
[agent]
root_helper =
[database]
{database("neutron")}
[nova]
endpoint_type = internal
{account("neutron")}
[placement]
endpoint_type = internal
{account("neutron")}
{keystone_authtoken("neutron")}
"""


def nova_compute(virtualization: str) -> str:
    emulated = "cpu_mode = custom\ncpu_models = Nehalem"
    processor = "cpu_mode = host-model" if virtualization == "kvm" else emulated
    groups = "".join(
        f"[{group}]\nvalid_interfaces = public\n{account('nova')}\n"
        for group in ("neutron", "placement")
    )
    return f"""\
{messaging("nova", "nova-compute", "bare-0")}
[DEFAULT]
compute_driver = libvirt.LibvirtDriver
host = bare-0
my_ip = {MACHINE}
state_path = /var/lib/nova
force_config_drive = true
resume_guests_state_on_host_boot = true
reserved_host_memory_mb = 512
[oslo_concurrency]
lock_path = /run/nova-compute
[libvirt]
connection_uri = qemu:///system
virt_type = {virtualization}
{processor}
images_type = qcow2
[vnc]
enabled = false
[glance]
valid_interfaces = public
region_name = RegionOne
cafile = {CERTIFICATE}
{groups}
[service_user]
send_service_user_token = true
{account("nova")}
[os_vif_ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock
{helpers("/etc/nova/nova.conf", "nova_sys_admin", "privsep_osbrick", "vif_plug_ovs_privileged")}
"""


def metadata_agent() -> str:
    groups = ("_conntrack", "_dhcp_release", "_link", "_namespace", "_ovs_vsctl", "_sysctl")
    return f"""\
[DEFAULT]
host = bare-0
state_path = /var/lib/neutron
nova_metadata_protocol = https
nova_metadata_host = {CONTROLLER}
nova_metadata_port = {METADATA}
auth_ca_cert = {CERTIFICATE}
metadata_proxy_shared_secret = {PASSWORD}
metadata_proxy_user = neutron
metadata_proxy_group = neutron
metadata_proxy_socket = /run/neutron-ovn-agent/metadata_proxy
metadata_workers = 0
[agent]
root_helper =
extensions = metadata
[oslo_concurrency]
lock_path = /run/neutron-ovn-agent
[ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock
[ovn]
ovn_sb_connection = tcp:{CONTROLLER}:6642
{helpers("/etc/neutron/agent.conf", "privsep", *(f"privsep{group}" for group in groups))}
"""


def uwsgi(module: str, port: int, *, workers: int = WORKERS, threads: int = 1) -> str:
    # Glance's clients send bodies in chunks, which the workers' own TLS does not take.
    is_glance = port == PORTS["glance"]
    where = f"http{'s' if is_glance else 's-socket'} = :{port},{CERTIFICATE},{KEY},HIGH"
    chunks = "http-chunked-input = true\nhttp-timeout = 3600" if is_glance else ""
    return f"""\
[uwsgi]
module = {module}:application
virtualenv = /opt/openstack
{where}
{chunks}
master = true
processes = {workers}
threads = {threads}
enable-threads = true
thunder-lock = true
lazy-apps = true
need-app = true
buffer-size = 65535
add-header = Connection: close
socket-timeout = 30
start-time = %t
disable-logging = true
log-5xx = true
die-on-term = true
"""


SERVER_CNF = f"""\
[client]
socket = /run/mysqld/mysqld.sock
[mariadbd]
datadir = /var/lib/mysql/data
socket = /run/mysqld/mysqld.sock
bind-address = *
port = 3306
skip-name-resolve = ON
character-set-server = utf8mb4
collation-server = utf8mb4_general_ci
max-connections = 1024
performance-schema = OFF
default-storage-engine = InnoDB
innodb-flush-log-at-trx-commit = 1
innodb-buffer-pool-size = {max(MEMORY // 16 // 128 * 128, 128)}M
innodb-log-file-size = 96M
binlog-format = ROW
innodb-autoinc-lock-mode = 2
"""

BROKER_CONF = f"""\
listeners.tcp.default = 5672
load_definitions = /bare/definitions.json
vm_memory_high_watermark.absolute = {min(max(MEMORY // 16, 256), 4096)}MiB
disk_free_limit.absolute = 512MB
raft.wal_max_size_bytes = 67108864
log.console = true
log.file = false
"""


def definitions() -> str:
    """Give the broker's accounts: nova and neutron, each with a virtual host of its name."""
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + PASSWORD.encode()).digest()).decode()
    names = ("nova", "neutron")
    kind = {"hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}
    queues = {"metadata": {"description": "", "tags": [], "default_queue_type": "quorum"}}
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps(
        {
            "users": [{"name": name, "password_hash": digest, **kind} for name in names],
            "vhosts": [{"name": name, **queues} for name in names],
            "permissions": [{"user": name, "vhost": name, **rights} for name in names],
        }
    )


# The userspace datapath drops the unfinished checksums of guests.
EMULATOR = """\
#!/bin/sh
exec /usr/bin/qemu-system-x86_64 -global virtio-net-device.csum=off "$@"
"""


def unit(command: str, *settings: str) -> str:
    lines = "\n".join(settings)
    return f"""\
[Service]
ExecStart={command}
Environment=PATH={BIN}:/usr/sbin:/usr/bin:/sbin:/bin
{lines}
"""


# --- tools ---------------------------------------------------------------------------------------


class BareError(Exception):
    """Something did not work; the text says what."""


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BareError(f"{shlex.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def wait(what: str, is_so: Callable[[], object], pause: float = 0.2) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise BareError(f"{what}: not after {PATIENCE} s")
        time.sleep(pause)


def listens_for_amqp() -> bool:
    """Tell whether the broker takes clients, which is the last that it does when it starts."""
    try:
        socket.create_connection((CONTROLLER, 5672), timeout=5).close()
    except OSError:
        return False
    return True


def disable_offload(bridge: str) -> None:
    """Do what `ethtool -K BRIDGE tx off tso off gso off` does.

    Open vSwitch in userspace reads frames as they are, and the host would leave their checksums
    unfinished.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for feature in (0x17, 0x1F, 0x24):
            value = array.array("I", (feature, 0))
            request = struct.pack("16sP16x", bridge.encode(), value.buffer_info()[0])
            with contextlib.suppress(OSError):  # what cannot be on need not be turned off
                fcntl.ioctl(control, 0x8946, request)


def delegating_mounts() -> list[str]:
    """Return the mounts of cgroup2 with the option that a machine's systemd sets."""
    rows = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [row[4] for row in rows if row[-3] == "cgroup2" and "nsdelegate" in row[-1]]


# --- the cloud -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Bare:
    """The cloud while it is made.

    Attributes:
        work: Folder of what is made for it; its containers see it as /bare.
        started: When it was begun, by the clock that only goes on.
    """

    work: Path
    started: float = dataclasses.field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def podman(self, *arguments: str, stdin: str = "") -> str:
        return run(*self._podman(), *arguments, stdin=stdin)

    def _podman(self) -> tuple[str, ...]:
        folder = str(self.work / "networks")
        return (*shlex.split(os.environ["PODMAN"]), "--network-config-dir", folder)

    def write(self, path: str, text: str) -> None:
        place = self.work / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def tell(self, what: str) -> None:
        print(f"{self.seconds():6.1f} s  {what}", file=sys.stderr, flush=True)

    def create(self, part: str, *words: str, network: str = "") -> None:
        """Run the container of an image; those of the services share one network."""
        shared = network or f"container:{NAME}-openstack"
        options = ("--pull=never", f"--cgroup-parent=/{NAME}", f"--volume={self.work}:/bare")
        place = (f"--name={NAME}-{part}", f"--network={shared}")
        self.podman("run", "--detach", *options, *place, *words)

    def execute(self, part: str, *argv: str, user: str = "root", stdin: str = "") -> str:
        flags = ("--interactive", f"--user={user}")
        return self.podman("exec", *flags, f"{NAME}-{part}", *argv, stdin=stdin)

    def serve(self, part: str, name: str, *argv: str, user: str, **variables: str) -> None:
        """Start a process in a container; what it says goes to a file."""
        command = f'exec "$@" >>/bare/log/{name}.log 2>&1'
        flags = ["--detach", f"--user={user}"]
        flags += [f"--env={key}={value}" for key, value in variables.items()]
        self.podman("exec", *flags, f"{NAME}-{part}", "sh", "-c", command, "sh", *argv)

    def answers(self, port: int, path: str = "/") -> bool:
        try:
            found = requests.get(
                f"https://{CONTROLLER}:{port}{path}", verify=self.work / "cert.pem", timeout=30
            )
        except requests.RequestException:
            return False
        return found.status_code < 400

    def succeeds_in(self, part: str, *argv: str) -> bool:
        return succeeds(*self._podman(), "exec", f"{NAME}-{part}", *argv)

    def connect(self) -> Any:
        auth = {
            "auth_url": url("keystone", "/v3"),
            "username": "admin",
            "password": PASSWORD,
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        return connection.Connection(
            auth=auth, region_name="RegionOne", cacert=str(self.work / "cert.pem")
        )


def define_networks(bare: Bare) -> None:
    """Write the networks as Podman keeps them: its command cannot name their bridges."""
    for name, (subnet, gateway, bridge) in NETWORKS.items():
        definition = {
            "name": name,
            "id": hashlib.sha256(name.encode()).hexdigest(),
            "driver": "bridge",
            "network_interface": bridge,
            "created": "2020-01-01T00:00:00Z",
            "subnets": [{"subnet": subnet, "gateway": gateway}],
            "ipv6_enabled": False,
            "internal": False,
            "dns_enabled": False,
            "ipam_options": {"driver": "host-local"},
        }
        bare.write(f"networks/{name}.json", json.dumps(definition))


def make_keys(bare: Bare) -> None:
    """Make the certificate of all services, and the key for ssh."""
    (bare.work / "log").mkdir()
    (bare.work / "log").chmod(0o777)
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bare"
    names = ("-addext", f"subjectAltName=IP:{CONTROLLER}")
    files = ("-keyout", str(bare.work / "key.pem"), "-out", str(bare.work / "cert.pem"))
    run("openssl", *words.split(), *names, *files)
    (bare.work / "key.pem").chmod(0o644)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(bare.work / "ssh-key"))


def start_network(bare: Bare) -> None:
    """Start the container whose address all services have."""
    bare.create(
        "openstack", "--entrypoint=/bin/sleep", os.environ["OPENSTACK"], "infinity",
        network=f"{NAME}-management:ip={CONTROLLER}",
    )  # fmt: skip


def start_mariadb(bare: Bare) -> None:
    bare.write("server.cnf", SERVER_CNF)
    script = (
        "install -d -o mysql -g mysql -m 0755 /run/mysqld && "
        "install -d -o mysql -g mysql -m 0750 /var/lib/mysql && "
        "mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql/data"
        " --skip-test-db --auth-root-authentication-method=socket >/dev/null && "
        "exec mariadbd --defaults-file=/bare/server.cnf --user=mysql"
    )
    bare.create("mariadb", "--entrypoint=/bin/sh", os.environ["MARIADB"], "-c", script)
    sql = ("mariadb", "--defaults-file=/bare/server.cnf")
    wait("mariadb", lambda: bare.succeeds_in("mariadb", *sql, "--execute=select 1"))
    schemas = {name: name for name in ("keystone", "placement", "glance", "nova", "neutron")}
    text = "".join(
        f"CREATE DATABASE {schema} CHARACTER SET utf8mb3;"
        f"GRANT ALL ON {schema}.* TO '{name}'@'%' IDENTIFIED BY '{PASSWORD}';"
        for schema, name in {**schemas, "nova_api": "nova", "nova_cell0": "nova"}.items()
    )
    bare.execute("mariadb", *sql, stdin=text)


def start_rabbitmq(bare: Bare) -> None:
    bare.write("rabbitmq.conf", BROKER_CONF)
    bare.write("definitions.json", definitions())
    variables = {
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_CONFIG_FILE": "/bare/rabbitmq.conf",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
    }
    words = [f"--env={key}={value}" for key, value in variables.items()]
    image = os.environ["RABBITMQ"]
    bare.create("rabbitmq", *words, "--user=rabbitmq", "--entrypoint=rabbitmq-server", image)
    wait("rabbitmq", listens_for_amqp)  # its own tool needs seconds to ask


def start_memcached(bare: Bare) -> None:
    words = ("--listen=127.0.0.1", "--port=11211", "--udp-port=0", "--memory-limit=64")
    bare.create("memcached", "--user=memcache", os.environ["MEMCACHED"], "memcached", *words)


def start_ovn(bare: Bare) -> None:
    bare.create("ovn", "--entrypoint=/bin/sleep", os.environ["OVN"], "infinity")
    databases = {
        "nb": ("OVN_Northbound,NB_Global,connections", 6643, ("ptcp:6641:0.0.0.0",)),
        "sb": ("OVN_Southbound,SB_Global,connections", 6644, ("ptcp:6642:0.0.0.0",)),
    }
    for name, (table, raft, listeners) in databases.items():
        file = f"/var/lib/ovn/{name}.db"
        create = ("ovsdb-tool", "--election-timer=4000", "create-cluster", file)
        schema = f"/usr/share/ovn/ovn-{name}.ovsschema"
        bare.execute("ovn", *create, schema, f"tcp:127.0.0.1:{raft}", user="ovn")
        bare.serve(
            "ovn", f"ovsdb-{name}", "ovsdb-server", "-vconsole:info", "-vsyslog:off", "-vfile:off",
            f"--unixctl=/run/ovn/{name}.ctl", f"--remote=punix:/run/ovn/{name}.sock",
            f"--remote=db:{table}", file, user="ovn",
        )  # fmt: skip
        ctl = (f"ovn-{name}ctl", f"--db=unix:/run/ovn/{name}.sock")
        wait(f"ovn {name}", lambda ctl=ctl: bare.succeeds_in("ovn", *ctl, "init"))
        bare.execute("ovn", *ctl, "--inactivity-probe=60000", "set-connection", *listeners)
    bare.serve(
        "ovn", "northd", "ovn-northd", "-vconsole:info", "-vsyslog:off", "-vfile:off",
        "--unixctl=/run/ovn/northd.ctl",
        "--ovnnb-db=unix:/run/ovn/nb.sock", "--ovnsb-db=unix:/run/ovn/sb.sock", user="ovn",
    )  # fmt: skip


def configure(bare: Bare) -> None:
    """Write the services' files and put them in their places."""
    etc = "controller/etc"
    bare.write(f"{etc}/keystone/keystone.conf", keystone())
    bare.write(f"{etc}/keystone/uwsgi.ini", uwsgi("keystone.wsgi.api", PORTS["keystone"]))
    bare.write(f"{etc}/placement/placement.conf", placement())
    bare.write(f"{etc}/placement/uwsgi.ini", uwsgi("placement.wsgi.api", PORTS["placement"]))
    bare.write(f"{etc}/glance/glance-api.conf", glance())
    bare.write(f"{etc}/glance/uwsgi.ini", uwsgi("glance.wsgi.api", PORTS["glance"], threads=8))
    for process in ("nova-api", "nova-metadata", "nova-scheduler", "nova-conductor"):
        bare.write(f"{etc}/nova/{process}.conf", nova(process))
    api = uwsgi("nova.wsgi.osapi_compute", PORTS["nova"], threads=4)
    bare.write(f"{etc}/nova/nova-api.ini", api)
    metadata = uwsgi("nova.wsgi.metadata", METADATA, workers=WORKERS // 2, threads=4)
    bare.write(f"{etc}/nova/nova-metadata.ini", metadata)
    for process in ("neutron-api", *NEUTRON_WORKERS):
        bare.write(f"{etc}/neutron/{process}.conf", neutron(process))
    bare.write(f"{etc}/neutron/uwsgi.ini", uwsgi("neutron.wsgi.api", PORTS["neutron"]))
    keys = "/etc/keystone/fernet-keys /etc/keystone/credential-keys"
    folders = " ".join(
        f"/var/lib/glance/{each}" for each in ("images", "staging", "tasks", "lock")
    )
    script = f"""
        cp -r /bare/controller/. /
        install -d -o keystone -g keystone -m 0700 {keys}
        install -d -o glance -g glance -m 0750 {folders}
    """
    bare.execute("openstack", "sh", "-e", stdin=script)


def start_keystone(bare: Bare) -> None:
    manage = (f"{BIN}/keystone-manage",)
    owner = ("--keystone-user", "keystone", "--keystone-group", "keystone")
    bare.execute("openstack", *manage, "db_sync", user="keystone")
    for kind in ("fernet_setup", "credential_setup"):
        bare.execute("openstack", *manage, kind, *owner, user="keystone")
    bare.podman(
        "exec", "--user=keystone", f"--env=OS_BOOTSTRAP_PASSWORD={PASSWORD}",
        f"{NAME}-openstack", *manage, "bootstrap", "--bootstrap-region-id=RegionOne",
        *(f"--bootstrap-{kind}-url={url('keystone', '/v3')}"
          for kind in ("public", "internal", "admin")),
    )  # fmt: skip
    bare.serve("openstack", "keystone", f"{BIN}/uwsgi", "/etc/keystone/uwsgi.ini", user="keystone")
    wait("keystone", lambda: bare.answers(PORTS["keystone"], "/v3"))


def fill_catalogue(bare: Bare) -> None:
    identity = bare.connect().identity
    project = identity.create_project(name="service", domain_id="default")
    roles = {role.name: role for role in identity.roles()}
    if "service" not in roles:
        roles["service"] = identity.create_role(name="service")
    for name, kind, path in (
        ("placement", "placement", ""),
        ("glance", "image", ""),
        ("nova", "compute", "/v2.1"),
        ("neutron", "network", ""),
    ):
        user = identity.create_user(name=name, password=PASSWORD, domain_id="default")
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[role])
        service = identity.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            identity.create_endpoint(
                service_id=service.id, interface=interface, url=url(name, path),
                region_id="RegionOne",
            )  # fmt: skip


def start_placement(bare: Bare) -> None:
    bare.execute("openstack", f"{BIN}/placement-manage", "db", "sync", user="placement")
    bare.serve(
        "openstack", "placement", f"{BIN}/uwsgi", "/etc/placement/uwsgi.ini",
        user="placement", OS_PLACEMENT_CONFIG_DIR="/etc/placement",
    )  # fmt: skip
    wait("placement", lambda: bare.answers(PORTS["placement"]))


def start_glance(bare: Bare) -> None:
    manage = (f"{BIN}/glance-manage", "--config-file", "/etc/glance/glance-api.conf")
    bare.execute("openstack", *manage, "db_sync", user="glance")
    bare.serve(
        "openstack", "glance", f"{BIN}/uwsgi", "/etc/glance/uwsgi.ini",
        user="glance", OS_GLANCE_CONFIG_DIR="/etc/glance",
    )  # fmt: skip
    wait("glance", lambda: bare.answers(PORTS["glance"], "/versions"))


def start_nova(bare: Bare) -> None:
    for words in (
        "api_db sync",
        "cell_v2 map_cell0",
        "cell_v2 create_cell --name cell1",
        "db sync",
    ):
        nova_manage(bare, words)
    for name in ("nova-api", "nova-metadata"):
        bare.serve(
            "openstack", name, f"{BIN}/uwsgi", f"/etc/nova/{name}.ini", user="nova",
            OS_NOVA_CONFIG_FILES=f"/opt/openstack/etc/nova/api-paste.ini;/etc/nova/{name}.conf",
        )  # fmt: skip
    for name in ("nova-scheduler", "nova-conductor"):
        start_worker(bare, name, user="nova")
    for port in (PORTS["nova"], METADATA):
        wait("nova", lambda port=port: bare.answers(port))


def nova_manage(bare: Bare, words: str) -> None:
    manage = (f"{BIN}/nova-manage", "--config-file", "/etc/nova/nova-api.conf")
    bare.execute("openstack", *manage, *words.split(), user="nova")


def start_worker(bare: Bare, name: str, user: str) -> None:
    config = ("--config-file", f"/etc/{user}/{name}.conf")
    bare.serve("openstack", name, f"{BIN}/{name}", *config, user=user)


def start_neutron(bare: Bare) -> None:
    config = ("--config-file", "/etc/neutron/neutron-api.conf")
    manage = (f"{BIN}/neutron-db-manage", *config)
    bare.execute("openstack", *manage, "upgrade", "heads", user="neutron")
    bare.serve(
        "openstack", "neutron-api", f"{BIN}/uwsgi", "/etc/neutron/uwsgi.ini", user="neutron",
        OS_NEUTRON_CONFIG_FILES="/etc/neutron/neutron-api.conf",
    )  # fmt: skip
    for name in NEUTRON_WORKERS:
        start_worker(bare, name, user="neutron")
    wait("neutron", lambda: bare.answers(PORTS["neutron"]))


def start_machine(bare: Bare) -> None:
    """Boot the machine; it is one that the engine would make."""
    hosts = ("--hostname=bare-0", "--systemd=always", "--privileged")
    sysctl = "--volume=/dev/null:/etc/systemd/system/systemd-sysctl.service:ro"
    runtime = f"--volume={os.environ['OPENSTACK_RUNTIME']}:/run/openstack-runtime.tar.zst:ro"
    management = f"{NAME}-management:ip={MACHINE},interface_name=eth0"
    provider = f"--network={NAME}-provider:ip={UPLINK},interface_name=eth1"
    bare.create(
        "machine", provider, *hosts, sysctl, runtime, os.environ["MACHINE"], "/sbin/init",
        network=management,
    )  # fmt: skip
    disable_offload(NETWORKS[f"{NAME}-provider"][2])
    booted = ("systemctl", "is-active", "--quiet", "basic.target")
    wait("machine", lambda: bare.succeeds_in("machine", *booted))


def start_hypervisor(bare: Bare) -> None:
    datapath = os.environ.get("DATAPATH", "netdev")
    virtualization = os.environ.get("VIRTUALIZATION", "qemu")
    bare.write("machine/etc/openvswitch/system-id.conf", "bare-0\n")
    bare.write("machine/etc/nova/nova.conf", nova_compute(virtualization))
    bare.write("machine/etc/neutron/agent.conf", metadata_agent())
    units = "machine/etc/systemd/system"
    compute = unit(
        f"{BIN}/nova-compute --config-file /etc/nova/nova.conf",
        "RuntimeDirectory=nova-compute", "StateDirectory=nova nova/instances",
        "StateDirectoryMode=0755", "KillMode=mixed", "LimitNOFILE=65536",
    )  # fmt: skip
    bare.write(f"{units}/nova-compute.service", compute)
    agent = unit(
        f"{BIN}/neutron-ovn-agent --config-file /etc/neutron/agent.conf", "Group=neutron",
        "RuntimeDirectory=neutron-ovn-agent", "RuntimeDirectoryMode=0750", "UMask=0007",
    )  # fmt: skip
    bare.write(f"{units}/neutron-ovn-agent.service", agent)
    if datapath == "netdev":
        bare.write("machine/opt/emulator/qemu-system-x86_64", EMULATOR)
        (bare.work / "machine/opt/emulator/qemu-system-x86_64").chmod(0o755)
        path = "/opt/emulator:/usr/sbin:/usr/bin:/sbin:/bin"
        bare.write(
            f"{units}/libvirtd.service.d/emulator.conf", f"[Service]\nEnvironment=PATH={path}\n"
        )
    settings = {
        "system-id": "bare-0",
        "hostname": "bare-0",
        "ovn-remote": f"tcp:{CONTROLLER}:6642",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": MACHINE,
        "ovn-bridge-datapath-type": datapath,
        "ovn-bridge-mappings": "physnet1:br-ex",
        "ovn-cms-options": "enable-chassis-as-gw",
        "ovn-remote-probe-interval": "60000",
    }
    words = " ".join(f"external-ids:{key}='{json.dumps(text)}'" for key, text in settings.items())
    script = f"""
        cp -r /bare/machine/. /
        groupadd --gid 42005 neutron
        useradd --uid 42005 --gid 42005 --home-dir /var/lib/neutron --create-home neutron
        mkdir -p /opt/openstack
        tar --extract --zstd --no-same-owner --file=/run/openstack-runtime.tar.zst \
            --directory=/opt/openstack
        systemctl daemon-reload
        systemctl start openvswitch-switch
        ovs-vsctl set Open_vSwitch . {words} other-config:userspace-tso-enable=false
        ovs-vsctl add-br br-ex -- set bridge br-ex datapath_type={datapath} \
            -- add-port br-ex eth1
        ip address flush dev eth1
        ip link set eth1 up
        ip link set br-ex up
        systemctl start ovn-host libvirtd
        systemctl start neutron-ovn-agent nova-compute
    """
    bare.execute("machine", "sh", "-e", stdin=script)


def await_services(bare: Bare, cloud: Any) -> None:
    """Wait until every process that serves no port is known to the APIs, and is alive."""
    expected = {"nova-scheduler", "nova-conductor", "nova-compute"}

    def nova_is_up() -> bool:
        up = {each.binary for each in cloud.compute.services() if each.state == "up"}
        return expected <= up

    def neutron_is_up() -> bool:
        alive = {each.binary for each in cloud.network.agents() if each.is_alive}
        return {"ovn-controller", "neutron-ovn-agent"} <= alive

    wait("nova's services", nova_is_up, 1)
    wait("neutron's agents", neutron_is_up, 1)
    nova_manage(bare, "cell_v2 discover_hosts")


def make_instance(bare: Bare, cloud: Any) -> Any:
    """Make all that an instance needs, and the instance."""
    with open(os.environ["GUEST"], "rb") as disk:
        image = cloud.image.create_image(
            "guest", data=disk, disk_format="qcow2", container_format="bare", wait=True
        )
    flavor = cloud.compute.create_flavor(name="tiny", vcpus=1, ram=256, disk=1)
    bare.tell("image")
    network = cloud.network
    _, gateway, _ = NETWORKS[f"{NAME}-provider"]
    external = network.create_network(
        name="external", is_router_external=True,
        provider_network_type="flat", provider_physical_network="physnet1",
    )  # fmt: skip
    network.create_subnet(
        network_id=external.id, ip_version=4, cidr="172.24.41.0/24", gateway_ip=gateway,
        is_dhcp_enabled=False, allocation_pools=[dict(zip(("start", "end"), POOL, strict=True))],
    )  # fmt: skip
    internal = network.create_network(name="internal")
    subnet = network.create_subnet(network_id=internal.id, ip_version=4, cidr="192.168.222.0/24")
    router = network.create_router(
        name="router", external_gateway_info={"network_id": external.id}
    )
    network.add_interface_to_router(router, subnet_id=subnet.id)
    group = network.create_security_group(name="ssh")
    network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", ether_type="IPv4",
        protocol="tcp", port_range_min=22, port_range_max=22,
    )  # fmt: skip
    key = (bare.work / "ssh-key.pub").read_text()
    cloud.compute.create_keypair(name="key", public_key=key)
    bare.tell("networks")
    server = cloud.compute.create_server(
        name="first", image_id=image.id, flavor_id=flavor.id, key_name="key",
        networks=[{"uuid": internal.id}], security_groups=[{"name": "ssh"}],
    )  # fmt: skip

    def is_active() -> bool:
        now = cloud.compute.get_server(server.id)
        if now.status == "ERROR":
            raise BareError(f"the instance failed: {now.fault}")
        return now.status == "ACTIVE"

    wait("the instance", is_active, 0.5)
    return server


def await_ssh(bare: Bare, cloud: Any, server: Any) -> None:
    port = next(iter(cloud.network.ports(device_id=server.id)))
    external = cloud.network.find_network("external")
    floating = cloud.network.create_ip(floating_network_id=external.id, port_id=port.id)
    options = "-o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no"
    known = ("-o", "UserKnownHostsFile=/dev/null", "-i", str(bare.work / "ssh-key"))
    target = f"cirros@{floating.floating_ip_address}"
    wait("ssh", lambda: succeeds("ssh", *options.split(), *known, target, "true"), 0.5)


def make(bare: Bare) -> Iterator[str]:
    """Make everything; give each of the three milestones when it is reached."""
    for step in (
        make_keys,
        start_network,
        start_mariadb,
        start_rabbitmq,
        start_memcached,
        start_ovn,
        configure,
        start_keystone,
        fill_catalogue,
        start_placement,
        start_glance,
        start_nova,
        start_neutron,
        start_machine,
        start_hypervisor,
    ):
        step(bare)
        bare.tell(step.__name__.replace("_", " "))
    cloud = bare.connect()
    await_services(bare, cloud)
    yield "services"
    server = make_instance(bare, cloud)
    yield "active"
    await_ssh(bare, cloud, server)
    yield "ssh"


def clean(bare: Bare) -> None:
    """Take away all that was made here, also by a run that was cut off."""
    *others, network = (f"{NAME}-{part}" for part in PARTS)
    for names in (others, [network]):  # the last one holds the network of the others
        bare.podman("rm", "--force", "--ignore", "--time=0", *names)
    for _, _, bridge in NETWORKS.values():
        succeeds("ip", "link", "delete", bridge)
    for _ in range(20):  # monitors end a moment after their containers
        for folder in reversed(cgroups()):
            with contextlib.suppress(OSError):  # somebody is still in it
                folder.rmdir()
        if not cgroups():
            break
        time.sleep(0.1)
    shutil.rmtree(bare.work)


def cgroups() -> list[Path]:
    """Return the folders of our cgroups in every hierarchy, parents before what is in them."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    tops = [root / NAME for root in roots if (root / NAME).is_dir()]
    return sorted(path for top in tops for path in (top, *top.rglob("*")) if path.is_dir())


def explain(work: Path) -> None:
    """Show the ends of the logs of a run that failed."""
    for path in sorted((work / "log").glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-8:]
        print(f"--- {path.stem}", *lines, sep="\n", file=sys.stderr)


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Make the cloud, tell the milestones, and take it away."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have it ignore the first
        signal.signal(number, stop)
    # Who has started this and is killed cannot pass an interruption on.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    delegating = delegating_mounts()
    os.umask(0o022)  # the services' users read what is made here
    earlier = Bare(Path("/run", NAME))  # may have been killed
    define_networks(earlier)
    clean(earlier)
    bare = Bare(earlier.work)
    define_networks(bare)
    try:
        for milestone in make(bare):
            print(f"{milestone} {bare.seconds():.1f}", flush=True)
            bare.tell(milestone)
    except BareError as error:
        explain(bare.work)
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        clean(bare)
        for place in set(delegating_mounts()) - set(delegating):
            # The source must be named, or the option stays.
            run("mount", "-t", "cgroup2", "-o", "remount,rw", "cgroup2", place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
