"""The volume service: what runs, with which files, and what it tells others. Pure."""

import dataclasses
from collections.abc import Iterable, Iterator

import backends
import drivers
from charmkit import api, messaging, packages
from charmkit.interfaces import ceph_client, cinder_backend, cinder_ceph_key
from charmkit.service import Check, File, Obstacle, Process, Task
from charmkit.spec import Publication, Snapshot, Values

CONFIG = "/etc/cinder/cinder-volume.conf"
ROOTWRAP = "/etc/cinder/rootwrap.conf"
TRUST = "/etc/cinder/tls/ca.pem"
SYSTEM_TRUST = "/etc/ssl/certs/ca-certificates.crt"


class Storage(cinder_backend.Provider):
    """Our end towards Cinder's API. It also names the secrets that the option `backends` names."""

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets of the backends, which operators granted to us."""
        return backends.secret_uris(str(snapshot.config.get("backends", "")))


STORAGE = Storage()
HYPERVISORS = cinder_ceph_key.Provider()
CEPH = ceph_client.Requirer(
    pools=lambda snapshot: (
        ceph_client.Pool(
            name=str(snapshot.config.get("ceph-pool") or snapshot.app), group="volumes"
        ),
    ),
    # A volume of an image in the same cluster is a clone of it, and no copy.
    groups=(("images", "r"),),
)

VOLUME = Process(
    name="cinder-volume",
    summary="Cinder volume service",
    command=f"{api.BIN}/cinder-volume --config-file {CONFIG}",
    user="cinder",
    group="cinder",
    # A request that is under way is finished first; its limit is in the configuration.
    kill_delay=90,
    environment={"PATH": f"{api.BIN}:/usr/sbin:/usr/bin:/sbin:/bin"},
    files=(
        File(
            path=CONFIG,
            template="cinder-volume.conf.j2",
            group="cinder",
            namespaces=(
                "cinder",
                messaging.NAMESPACE,
                "os_brick",
                "oslo.concurrency",
                "oslo.db",
                "oslo.service.service",
                *api.NAMESPACES,
            ),
            dynamic_groups=("service_user", "nova"),
            values={"database_ca_file": api.database_ca_file("cinder")},
        ),
        File(
            path=TRUST,
            text="{{ receive_ca_cert.bundle if receive_ca_cert else '' }}",
            group="cinder",
        ),
        File(path=api.database_ca_file("cinder"), text="{{ database.tls_ca }}", group="cinder"),
        messaging.authority("cinder"),
        # Ceph's own files stand apart from those of a cluster on the same machine.
        File(
            path=backends.CEPH_CONF,
            text=f"{{{{ ceph.config({backends.CEPH_KEYRING!r}) if ceph else '' }}}}",
            group="cinder",
        ),
        File(
            path=backends.CEPH_KEYRING,
            text="{{ ceph.keyring() if ceph else '' }}",
            group="cinder",
        ),
        File(path=ROOTWRAP, template="rootwrap.conf", mode=0o644),
        File(path="/etc/sudoers.d/cinder-volume", template="sudoers", mode=0o440),
        File(
            path="/etc/tgt/conf.d/cinder.conf",
            text="include /var/lib/cinder/volumes/*\n",
            mode=0o644,
            restarts=False,
        ),
        File(path=api.CONNECTED, template="connected.sh", mode=0o755, restarts=False),
    ),
    check=Check(
        command=f"sh {api.CONNECTED} cinder cinder-volume {{{{ amqp.port }}}}",
        until_answered=True,
    ),
)


# --- what is wanted ----------------------------------------------------------------------------


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give the sections of all backends; none while the option cannot be used."""
    problem, wanted = None, ()
    try:
        wanted = backends.parse(str(snapshot.config.get("backends", "")))
    except backends.BackendError as error:
        problem = str(error)
    sections = {each.name: backends.section(each, snapshot.secrets) for each in wanted}
    name, ceph = str(snapshot.config.get("ceph-backend", "ceph")), seen["ceph"]
    if ceph and name in sections:
        problem = problem or f"backends: {name} is Ceph's name, see ceph-backend"
    elif ceph:
        sections[name] = backends.ceph_section(name, ceph)
    account = seen["identity_credentials"]
    return {
        **messaging.values("cinder"),
        # A machine is outside the cluster, where the internal names mean nothing.
        "identity": dataclasses.replace(account, auth_url=account.public_auth_url),
        "wanted": wanted,
        "problem": problem
        or backends.hindrance(wanted, snapshot.secrets, snapshot.machine.get("lacks", ())),
        "sections": sections,
        "ca_file": TRUST if seen["receive_ca_cert"] else SYSTEM_TRUST,
    }


def obstacle(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell what keeps the service from starting."""
    if seen["problem"]:
        return "blocked", seen["problem"]
    if not seen["sections"]:
        return "blocked", "no storage: integrate ceph, or set the option backends"
    if snapshot.planned_units > 1:
        # Two at once would each undo what the other has begun: they bear one name.
        return "blocked", "one unit only: remove the others, or deploy another application"
    if snapshot.related(STORAGE.endpoint) and not STORAGE.is_ready(snapshot):
        return "waiting", f"waiting for data from: {STORAGE.endpoint}"
    return None


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Bring the packages of drivers that are not on every machine, and Ceph's key to its place."""
    if missing := tuple(snapshot.machine.get("packages", ())):
        yield packages.bring(missing)
    if ceph := seen["ceph"]:
        # Where a volume is opened to make an image of it, the key is looked for here only.
        place = f"/etc/ceph/ceph.client.{ceph.user}.keyring"
        yield Task(
            name="keyring",
            argv=("install", "-D", "-m", "0640", "-g", "cinder", "/dev/stdin", place),
            stdin=ceph.keyring(),
            message="bringing Ceph's key",
            on="unit",
        )


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Tell the API what storage there is, and hypervisors how to open volumes in Ceph."""
    driven = {each.name: each.driver.name for each in seen["wanted"]}
    yield STORAGE.respond(
        snapshot,
        backends=[
            cinder_backend.Backend(name=name, driver=driven.get(name, drivers.CEPH.name))
            for name in seen["sections"]
        ],
    )
    if ceph := seen["ceph"]:
        yield HYPERVISORS.respond(snapshot, uuid=backends.libvirt_uuid(ceph), key=ceph.key)
