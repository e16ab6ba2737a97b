"""How VMs get at volumes: a client for each way to reach them, and the keys of Ceph. Pure."""

import dataclasses
import json
from collections.abc import Iterator, Mapping

from charmkit import packages
from charmkit.service import File, Sight, Task
from charmkit.spec import Snapshot, Values

FOLDER = "/usr/lib/openstack-hypervisor"
KEYS = f"{FOLDER}/volume_keys.py"
INITIATOR = f"{FOLDER}/initiator.sh"
FILES = (
    File(path=KEYS, template="volume_keys.py"),
    File(path=INITIATOR, template="initiator.sh", mode=0o755),
)

# --- transports --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Client:
    """What a machine needs to open the volumes of a transport.

    Attributes:
        package: The package of the distribution, or "" if os-brick needs none.
        module: The kernel's module without which the package is of no use; it is brought where
            the kernel has that. "" for a package that is on every hypervisor.
    """

    package: str = ""
    module: str = ""


# Source: os-brick's connectors, and the programs that they start.
CLIENTS: Mapping[str, Client] = {
    "fc": Client(),
    "iscsi": Client(package="open-iscsi", module="iscsi_tcp"),
    "nfs": Client(package="nfs-common"),
    "nvme": Client(package="nvme-cli", module="nvme_tcp"),
    "rbd": Client(package="qemu-block-extra"),
}

# Prints a package that can be of use, and whether it is `there` or `missing`.
_LOOK = """for each; do
    modprobe --dry-run --quiet "${each%%:*}" || continue
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "${each#*:}" 2>/dev/null)
    [ "$state" = installed ] && state=there || state=missing
    echo "${each#*:} $state"
done"""


def inspect(sight: Sight) -> Values:
    """Look which clients the kernel has a use for.

    Returns:
        `clients`: package → `there` or `missing`; and `machine_id`, which no two machines share.
    """
    pairs = [f"{each.module}:{each.package}" for each in CLIENTS.values() if each.module]
    text = sight.run(("sh", "-c", _LOOK, "sh", *pairs))
    return {
        "clients": dict(line.split() for line in text.splitlines()),
        "machine_id": (sight.read("/etc/machine-id") or "").strip(),
    }


# --- tasks -------------------------------------------------------------------------------------


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Bring the clients that are missing, name the machine for iSCSI, give libvirt Ceph's keys."""
    clients: Mapping[str, str] = snapshot.machine.get("clients", {})
    if missing := tuple(sorted(name for name, state in clients.items() if state == "missing")):
        yield packages.bring(missing)
    if CLIENTS["iscsi"].package in clients:
        yield Task(
            name="initiator",
            argv=("sh", INITIATOR),
            inputs=(snapshot.machine["machine_id"],),
            message="naming the machine for iSCSI",
            on="unit",
        )
    if seen["ceph_access"]:
        keys = [
            {"uuid": each.uuid, "name": f"{each.app} {each.uuid}", "key": each.key}
            for each in seen["ceph_access"]
        ]
        yield Task(
            name="volume-keys",
            argv=("python3", KEYS),
            stdin=json.dumps(keys),
            message="giving libvirt the keys of volumes",
            when="online",
            on="unit",
        )
