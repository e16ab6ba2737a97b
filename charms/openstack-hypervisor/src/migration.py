"""Who may move VMs to a hypervisor: an authority of the hypervisors' own, and certificates of it.

libvirt gives all rights on its machine to whoever it lets in by the network, and it lets in every
certificate of the authority that it trusts. So that authority signs for hypervisors only. The
application keeps it in a secret, which all its units can read: each may do with the others what it
wants anyway. Each unit signs its own certificate, and its key stays on its machine. Pure.
"""

import dataclasses
import json
import typing

from charmkit import authority
from charmkit.interfaces import tls_certificates
from charmkit.service import File, OwnSecret, Sight, Task, digest
from charmkit.spec import SecretContent, Snapshot, Values

LABEL = "migration-authority"
RECORD = "/etc/openstack-hypervisor/migration.json"

_DAY = 86400
_ROOT_VALIDITY = 3650 * _DAY  # replaced yearly; trusted for one more year
_VALIDITY = 90 * _DAY  # renewed when two thirds are over


# --- the authority -----------------------------------------------------------------------------


def _make(snapshot: Snapshot, previous: authority.Root | None = None) -> authority.Root:
    return authority.make_root(
        f"{snapshot.app} live migration",
        seed=snapshot.random_text(LABEL, 43),
        now=snapshot.now,
        validity=_ROOT_VALIDITY,
        previous=previous,
    )


def initial(snapshot: Snapshot) -> SecretContent:
    """Make the first root."""
    return authority.dump(_make(snapshot))


def following(snapshot: Snapshot, content: SecretContent) -> SecretContent:
    """Make the root that replaces the one in the secret.

    It trusts the one before, and is signed by it: VMs move between hypervisors that have heard of
    the new root and those that have not.
    """
    return authority.dump(_make(snapshot, authority.load(content)))


SECRET = OwnSecret(
    label=LABEL,
    initial=initial,
    rotated=following,
    rotate=lambda snapshot: "yearly",
    action="rotate-migration-authority",
    description="authority for live migration between the hypervisors",
)

# --- this hypervisor's certificate -------------------------------------------------------------


def inspect(sight: Sight) -> Values:
    """Read the certificate that was signed last.

    Returns:
        `migration`: what the record holds, see `values`; empty before there is one.
    """
    return {"migration": json.loads(sight.read(RECORD) or "{}")}


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give the certificate for live migration: the one that is there, or a new one.

    Returns:
        `migration`: texts, PEM: `certificate` with its issuers, `private_key`, `trusted`; and
        `record`, which brings the first two back at the next dispatch.
    """
    root = authority.load(seen["secrets"]["migration_authority"])
    where = snapshot.addresses
    subject = tls_certificates.Subject(
        common_name=where.unit_name,
        hostnames=where.hostnames,
        addresses=(where.unit_ip,) if where.unit_ip else (),
    )
    purpose = digest([root.certificate, root.crossing, dataclasses.asdict(subject)])
    record: dict[str, str] = dict(snapshot.machine.get("migration", {}))
    if record.get("for") != purpose or snapshot.now >= tls_certificates.renewal(record["leaf"]):
        record = _signed(root, subject, snapshot) | {"for": purpose}
    return {
        "migration": {
            "certificate": record["leaf"] + root.crossing,
            "private_key": record["key"],
            "trusted": "".join(root.trusted),
            "record": json.dumps(record, sort_keys=True) + "\n",
        }
    }


def _signed(
    root: authority.Root, subject: tls_certificates.Subject, snapshot: Snapshot
) -> dict[str, str]:
    pair = tls_certificates.make_pair(subject, snapshot.random_text("migration-key", 43))
    leaf = authority.sign(
        root,
        pair.csr,
        seed=snapshot.random_text("migration-serial", 43),
        now=snapshot.now,
        validity=_VALIDITY,
    )
    return {"leaf": leaf, "key": pair.key}


# --- files -------------------------------------------------------------------------------------


def _own(path: str, what: str, user: str = "root") -> File:
    """Describe a file with a text of `values`. QEMU reads its own at each migration."""
    return File(
        path=path,
        text=f"{{{{ migration.{what} }}}}",
        mode=0o600 if what in ("private_key", "record") else 0o644,
        user=user,
        restarts=False,
    )


FILES = (
    _own("/etc/pki/CA/cacert.pem", "trusted"),
    _own("/etc/pki/libvirt/servercert.pem", "certificate"),
    _own("/etc/pki/libvirt/private/serverkey.pem", "private_key"),
    _own("/etc/pki/libvirt/clientcert.pem", "certificate"),
    _own("/etc/pki/libvirt/private/clientkey.pem", "private_key"),
    _own("/etc/pki/qemu/ca-cert.pem", "trusted"),
    _own("/etc/pki/qemu/server-cert.pem", "certificate"),
    _own("/etc/pki/qemu/server-key.pem", "private_key", user="libvirt-qemu"),
    _own("/etc/pki/qemu/client-cert.pem", "certificate"),
    _own("/etc/pki/qemu/client-key.pem", "private_key", user="libvirt-qemu"),
    _own(RECORD, "record"),
)

# libvirt's server keeps what it has read at its start: it is told to read anew, and VMs that are
# just moving move on. Before its first start there is nobody to tell.
_RELOAD = (
    "systemctl --quiet is-active libvirtd.service || exit 0; "
    "virt-admin server-update-tls libvirtd || systemctl restart libvirtd.service"
)


def task(seen: Values) -> Task:
    """Give the task by which libvirt takes the certificate that was written."""
    texts: dict[str, typing.Any] = seen["migration"]
    return Task(
        name="migration-certificate",
        argv=("sh", "-c", _RELOAD),
        inputs=(digest([texts["certificate"], texts["trusted"]]),),
        message="giving libvirt its certificate",
        on="unit",
    )
