"""Glance: where images are kept, and what has to be done before it starts. Pure."""

from collections.abc import Iterator

from charmkit import api, records
from charmkit.interfaces import ceph_client, glance, keystone
from charmkit.service import File, Obstacle, Task
from charmkit.spec import Snapshot, Values

PORT = 9292
API = keystone.Api(name="glance", type="image", description="Images", port=PORT)
INGRESSES = api.ingresses(PORT)
CLIENTS = glance.Provider()

FOLDER = "/var/lib/glance"
"""Where the storage is: images of the file store, and what is on its way into any store."""

STORE = "file"
CEPH_STORE = "ceph"
POOL_CHECK = "/var/lib/charmkit/pool.py"
POOL_TASK = "pool"


def _pools(snapshot: Snapshot) -> tuple[ceph_client.Pool, ...]:
    replicas = int(snapshot.config.get("ceph-pool-replicas", 0))
    # The group lets volume services clone images within the cluster.
    return (ceph_client.Pool(name=snapshot.app, group="images", replicas=replicas),)


CEPH = ceph_client.Requirer(pools=_pools)

CONFIG = api.config(
    "glance",
    "glance.api",
    "glance.store",
    "glance.multi_store",
    "keystonemiddleware.auth_token",
    "oslo.concurrency",
    "oslo.db",
    "oslo.messaging",
    process="glance-api",
    # Each store has a group of its own name.
    dynamic_groups=(STORE, CEPH_STORE, "os_glance_staging_store", "os_glance_tasks_store"),
    values={
        "folder": FOLDER,
        "store": STORE,
        "ceph_store": CEPH_STORE,
        "paste": f"{api.SHIPPED}/glance/glance-api-paste.ini",
        "ceph_conf": "/etc/glance/ceph.conf",
    },
)
CEPH_FILES = (
    File(
        path="/etc/glance/ceph.conf",
        text="{{ ceph.config('/etc/glance/ceph.keyring') if ceph else '' }}",
        group="glance",
    ),
    File(
        path="/etc/glance/ceph.keyring",
        text="{{ ceph.keyring() if ceph else '' }}",
        group="glance",
    ),
)
FILES = (File(path=POOL_CHECK, template="pool.py", mode=0o644),)


def values(snapshot: Snapshot, seen: Values) -> Values:
    """Give what the configuration needs beyond options and relations."""
    return {"unit_url": f"https://{snapshot.addresses.unit_name}:{PORT}"}


def obstacle(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell why a unit must not serve images, or must not change where it looks for them."""
    if seen["ceph"]:
        return None
    if POOL_TASK in records.records(snapshot):
        return ("blocked", "missing integration: ceph, where images are")
    return None if _has_images(snapshot) else _alone(snapshot)


def condition(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Tell what is wrong although the unit serves: the first goes on alone with its images."""
    return None if seen["ceph"] else _alone(snapshot)


def _has_images(snapshot: Snapshot) -> bool:
    """Tell whether images without Ceph are this unit's: the number 0 goes last and comes back."""
    return snapshot.unit.endswith("/0")


def _alone(snapshot: Snapshot) -> Obstacle:
    if snapshot.planned_units > 1:
        return ("blocked", "several units need a store that they share: integrate ceph")
    return None


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make the folders and the schema, and see that the pool can be used."""
    folders = [f"{FOLDER}/{name}" for name in ("images", "staging", "tasks", "lock")]
    yield Task(
        name="folders",
        # The storage belongs to root when it is new.
        argv=("install", "-d", "-o", "glance", "-g", "glance", "-m", "0750", FOLDER, *folders),
        message="making folders for images",
        on="unit",
    )
    if ceph := seen["ceph"]:
        yield Task(
            name=POOL_TASK,
            argv=(
                f"{api.BIN}/python3",
                POOL_CHECK,
                "/etc/glance/ceph.conf",
                ceph.user,
                *ceph.pools,
            ),
            message="opening the pool of images",
            user="glance",
            group="glance",
            timeout=120,
            inputs=(ceph.fsid, ceph.user, *ceph.pools),
        )
    yield api.schema(
        "glance",
        seen["database"],
        f"{api.BIN}/glance-manage",
        *("--config-file", CONFIG.path),
        "db_sync",
    )
