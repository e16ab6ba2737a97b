"""The state of a model: plain dataclasses, changed only by pure code, stored by `store`.

Everything here is data. Rules live in `resolver` (what a unit does next), `changes` (what an
operator's command does to the model), `hooks` (what a charm's command does) and `secrets`.
Times are seconds since the epoch (float, UTC). Names of units are `app/0`.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

# JSON-like values as charms and operators write them: str, int, float, bool.
Value = str | int | float | bool

CAAS = "caas"
IAAS = "iaas"
ALPHA = "alpha"
"""The space of the management network, which everything is in."""


class Life(enum.StrEnum):
    """Whether an entity lives, or is being taken away."""

    ALIVE = "alive"
    DYING = "dying"
    DEAD = "dead"


@dataclasses.dataclass
class Status:
    """One status of a unit, an agent or an application, in Juju's words."""

    current: str
    message: str = ""
    since: float = 0.0
    data: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An endpoint that a charm's metadata declares."""

    name: str
    interface: str
    role: str  # "provider", "requirer" or "peer"
    scope: str = "global"  # or "container"
    optional: bool = True
    limit: int | None = None


@dataclasses.dataclass(frozen=True)
class Container:
    """A workload container that a charm's metadata declares."""

    name: str
    resource: str | None
    mounts: tuple[tuple[str, str], ...] = ()  # (storage name, location in the container)
    uid: int | None = None
    gid: int | None = None


@dataclasses.dataclass(frozen=True)
class StorageSpec:
    """A storage that a charm's metadata declares."""

    name: str
    kind: str = "filesystem"
    minimum: int = 1
    maximum: int | None = 1
    location: str | None = None


@dataclasses.dataclass
class Charm:
    """A charm archive that was added to the model; never changed after that."""

    url: str  # local:web-k8s-3
    name: str
    revision: int
    sha256: str
    path: str  # folder of the unpacked archive on this host
    metadata: dict[str, Any]
    config: dict[str, dict[str, Any]]  # option → {type, default?, description?}
    actions: dict[str, dict[str, Any]]  # action → JSON schema and description
    manifest: dict[str, Any]
    endpoints: dict[str, Endpoint]
    containers: dict[str, Container]
    storage: dict[str, StorageSpec]
    resources: dict[str, dict[str, Any]]  # name → {type: oci-image|file, filename?, …}
    extra_bindings: tuple[str, ...] = ()
    subordinate: bool = False
    python: str | None = None  # "3.11": the minor version that its venv was made for


@dataclasses.dataclass
class Resource:
    """The value of one resource of an application."""

    name: str
    kind: str  # "oci-image" or "file"
    value: str  # image reference, or path of the stored file
    revision: int = 0
    username: str = ""
    password_file: str = ""  # registry password: a private file, never kept in the model


@dataclasses.dataclass
class Application:
    """An application of the model."""

    name: str
    charm_url: str
    life: Life = Life.ALIVE
    scale: int = 1
    next_ordinal: int = 0  # machines never reuse a number; pods take the lowest free one
    config: dict[str, Value] = dataclasses.field(default_factory=dict[str, Value])
    trust: bool = False
    exposed: bool = False
    constraints: str = ""
    resources: dict[str, Resource] = dataclasses.field(default_factory=dict[str, Resource])
    storage: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    bindings: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Endpoint or extra binding ("" = all others) → space; what is not named is in `alpha`."""
    service_address: str = ""
    status: Status | None = None  # what the leader set, if it did
    version: str = ""  # application-version-set
    leader: str = ""  # unit name, empty when nobody leads
    lease_until: float = 0.0
    leader_settings: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    charm_modified: int = 0  # counts refreshes and resource changes: a new value replaces pods
    charm_forced: int = 0  # up to which count pods are replaced although a hook failed
    created: float = 0.0


class Step(enum.StrEnum):
    """How far the current operation of a unit has come."""

    QUEUED = "queued"  # decided, not started (or to be started again)
    PENDING = "pending"  # dispatch runs, or ran and was cut off
    FAILED = "failed"  # exit status was not 0; waits for retry or `resolved`
    DONE = "done"  # exit status 0, its effects stand in the same transaction


class HookKind(enum.StrEnum):
    """Kinds of hooks; the value is the hook name's suffix where it has a prefix."""

    INSTALL = "install"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    CONFIG_CHANGED = "config-changed"
    UPGRADE_CHARM = "upgrade-charm"
    UPDATE_STATUS = "update-status"
    LEADER_ELECTED = "leader-elected"
    LEADER_SETTINGS_CHANGED = "leader-settings-changed"
    RELATION_CREATED = "relation-created"
    RELATION_JOINED = "relation-joined"
    RELATION_CHANGED = "relation-changed"
    RELATION_DEPARTED = "relation-departed"
    RELATION_BROKEN = "relation-broken"
    STORAGE_ATTACHED = "storage-attached"
    STORAGE_DETACHING = "storage-detaching"
    PEBBLE_READY = "pebble-ready"
    PEBBLE_CUSTOM_NOTICE = "pebble-custom-notice"
    PEBBLE_CHECK_FAILED = "pebble-check-failed"
    PEBBLE_CHECK_RECOVERED = "pebble-check-recovered"
    SECRET_CHANGED = "secret-changed"  # noqa: S105 - the name of a hook
    SECRET_EXPIRED = "secret-expired"  # noqa: S105 - the name of a hook
    SECRET_ROTATE = "secret-rotate"  # noqa: S105 - the name of a hook
    SECRET_REMOVE = "secret-remove"  # noqa: S105 - the name of a hook
    ACTION = "action"


@dataclasses.dataclass(frozen=True)
class Hook:
    """One hook with all that its environment tells. Unused fields stay at their defaults."""

    kind: HookKind
    relation_id: int | None = None
    remote_app: str = ""
    remote_unit: str = ""  # empty for created, broken and a changed application bag
    departing_unit: str = ""
    change_version: int = 0  # version of the remote bag when the hook was chosen
    container: str = ""
    notice_id: str = ""
    notice_type: str = ""
    notice_key: str = ""
    notice_time: str = ""  # last-repeated of the notice (RFC 3339)
    check_name: str = ""
    boot_id: str = ""
    secret_id: str = ""
    secret_label: str = ""
    secret_revision: int = 0
    storage_id: str = ""
    action_id: int = 0
    prefix: str = ""  # endpoint, container or storage name; empty for plain hooks

    @property
    def name(self) -> str:
        """The full hook name, e.g. `database-relation-changed`; an action's own name."""
        if self.kind is HookKind.ACTION:
            return self.prefix
        return f"{self.prefix}-{self.kind.value}" if self.prefix else self.kind.value


@dataclasses.dataclass
class Operation:
    """The operation that a unit is in."""

    hook: Hook
    step: Step = Step.QUEUED
    failures: int = 0  # how often it failed in a row
    retry_at: float = 0.0
    commands: str = ""  # for `juju exec`: the shell text instead of a dispatch


@dataclasses.dataclass
class RelationView:
    """What one unit's agent has seen of one relation."""

    entered: bool = False  # in scope
    created: bool = False  # relation-created was delivered
    broken: bool = False
    members: dict[str, int] = dataclasses.field(default_factory=dict[str, int])
    """Units whose joined hook was started → version of their bag last delivered (-1: none yet)."""
    app_versions: dict[str, int] = dataclasses.field(default_factory=dict[str, int])
    changed_pending: str = ""  # the unit whose joined hook ran: its changed comes next
    cached: dict[str, dict[str, str]] = dataclasses.field(
        default_factory=dict[str, dict[str, str]]
    )
    """Remote units' bags as the agent holds them: refreshed only by joined and changed."""


@dataclasses.dataclass
class ContainerView:
    """What one unit's agent has seen of one container's Pebble."""

    boot_id: str = ""  # as delivered by pebble-ready
    seen_boot_id: str = ""  # as last observed; differs until pebble-ready was delivered
    last_notice: str = ""  # last-repeated time of the newest delivered notice
    pending: list[Hook] = dataclasses.field(default_factory=list[Hook])
    """Workload events observed and not yet delivered, oldest first."""
    checks_failed: list[str] = dataclasses.field(default_factory=list[str])


@dataclasses.dataclass
class StorageAttachment:
    """One storage instance of one unit."""

    id: str  # data/0
    name: str
    location: str  # in the charm container
    path: str  # on this host
    attached: bool = False  # storage-attached was delivered
    detaching: bool = False


@dataclasses.dataclass
class SecretView:
    """What one unit has been told of one secret."""

    changed: int = 0  # newest revision announced by secret-changed
    removed: list[int] = dataclasses.field(default_factory=list[int])  # obsolete, announced
    expired: list[int] = dataclasses.field(default_factory=list[int])
    expired_again: float = 0.0  # when revisions in `expired` that still exist are announced anew
    rotate_due: float = 0.0  # the due time whose secret-rotate was delivered


@dataclasses.dataclass
class Unit:
    """A unit: what the model knows, and what its agent must remember over a restart."""

    name: str
    app: str
    ordinal: int
    life: Life = Life.ALIVE
    force: bool = False  # a dying unit's failed hooks count as done
    destroy_storage: bool = False  # its storage goes with it; else the data stays on the host
    address: str = ""
    machine: str = ""  # its machine's id; empty for a pod
    principal: str = ""  # the unit that a subordinate's unit belongs to
    # Life flags
    installed: bool = False
    started: bool = False
    stopped: bool = False
    removed: bool = False
    status_set: bool = False
    # Pod: bumped when the pod must be made anew (refresh, resource, trust).
    pod_generation: int = 0
    pod_ready: bool = False  # the pod runs and the charm can be dispatched
    pod_modified: int = 0  # the application's charm_modified that the pod was made with
    pod_trust: bool = False  # whether the pod was made for a trusted application
    agent_boot: str = ""  # which process of the charm container's agent was seen last
    restart_pending: bool = False  # the charm container came back: `start` again
    # Operation
    operation: Operation | None = None
    start_queued: bool = False  # the first config-changed is done: nothing but start comes next
    resolved: str = ""  # "", "retry" or "no-retry", as an operator asked
    # Seen
    is_leader: bool = False  # leader-elected was delivered, and it still leads
    leader_settings_hash: str = ""  # of the settings last delivered; empty: there were none
    config_hash: str = ""
    trust_hash: str = ""
    address_hash: str = ""
    charm_url: str = ""  # the charm whose install or upgrade-charm was delivered
    charm_modified: int = 0
    upgrade_pending_config: bool = False  # config-changed must follow upgrade-charm
    update_status_due: float = 0.0
    relations: dict[int, RelationView] = dataclasses.field(default_factory=dict[int, RelationView])
    containers: dict[str, ContainerView] = dataclasses.field(
        default_factory=dict[str, ContainerView]
    )
    storage: dict[str, StorageAttachment] = dataclasses.field(
        default_factory=dict[str, StorageAttachment]
    )
    secrets: dict[str, SecretView] = dataclasses.field(default_factory=dict[str, SecretView])
    # Written by the charm
    workload_status: Status = dataclasses.field(
        default_factory=lambda: Status("waiting", "installing agent")
    )
    agent_status: Status = dataclasses.field(default_factory=lambda: Status("allocating"))
    opened_ports: dict[str, list[str]] = dataclasses.field(default_factory=dict[str, list[str]])
    """Endpoint ("" = all) → ports like `80/tcp`, sorted."""
    state: dict[str, str] = dataclasses.field(default_factory=dict[str, str])  # state-set


@dataclasses.dataclass
class Bag:
    """One relation data bag. `version` 0 means never written."""

    data: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    version: int = 0


@dataclasses.dataclass(frozen=True)
class RelationEnd:
    """One end of a relation."""

    app: str
    endpoint: str
    role: str


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Where a relation between two models goes on: each model has its own half of it.

    Attributes:
        model: UUID of the other model.
        relation_id: Number of the other half; on the consuming side -1 until that was made.
        offer: UUID of the offer that is used.
        app: Name of the other application in its own model; here the relation's end names it.
        is_offering: Whether this half is in the model that offers.
    """

    model: str
    relation_id: int
    offer: str
    app: str
    is_offering: bool


@dataclasses.dataclass
class Relation:
    """A relation; a peer relation has one end."""

    id: int
    interface: str
    ends: tuple[RelationEnd, ...]
    scope: str = "global"
    life: Life = Life.ALIVE
    suspended: bool = False
    app_bags: dict[str, Bag] = dataclasses.field(default_factory=dict[str, Bag])
    unit_bags: dict[str, Bag] = dataclasses.field(default_factory=dict[str, Bag])
    """Kept when a unit departs: its last data stays readable while the relation lives."""
    in_scope: list[str] = dataclasses.field(default_factory=list[str])  # unit names
    crossing: Crossing | None = None  # with an application of another model
    suspended_reason: str = ""
    principals: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """In a container scope: unit → its principal; only units of one principal see each other."""

    @property
    def key(self) -> str:
        """The name in Juju's form, requirer first: `web:database db:database`."""
        order = {"requirer": 0, "provider": 1, "peer": 2}
        ends = sorted(self.ends, key=lambda end: order[end.role])
        return " ".join(f"{end.app}:{end.endpoint}" for end in ends)


@dataclasses.dataclass
class SecretRevision:
    """One revision of a secret. `data` maps keys to base64 text."""

    number: int
    data: dict[str, str]
    created: float
    expires: float | None = None


@dataclasses.dataclass(frozen=True)
class Grant:
    """Who may read a secret: an application or one unit, over a relation (None: user secret)."""

    subject: str  # application or unit name
    relation_id: int | None
    role: str = "view"


@dataclasses.dataclass
class Consumer:
    """One consumer unit of a secret."""

    unit: str
    tracked: int
    label: str = ""


@dataclasses.dataclass
class Secret:
    """A secret of an application, a unit or the model (a user secret)."""

    id: str  # 20 characters of [0-9a-v]
    owner_kind: str  # "application", "unit" or "model"
    owner: str
    label: str = ""  # the owner's label; a user secret's name
    description: str = ""
    rotate: str = "never"
    next_rotate: float | None = None
    auto_prune: bool = False
    created: float = 0.0
    updated: float = 0.0
    revisions: dict[int, SecretRevision] = dataclasses.field(
        default_factory=dict[int, SecretRevision]
    )
    latest: int = 0
    grants: list[Grant] = dataclasses.field(default_factory=list[Grant])
    consumers: dict[str, Consumer] = dataclasses.field(default_factory=dict[str, Consumer])
    owner_tracked: dict[str, int] = dataclasses.field(default_factory=dict[str, int])
    """Units of the owner → the revision they track."""


@dataclasses.dataclass
class Action:
    """One task of an action, or of `juju exec` (then `name` is `juju-exec`)."""

    id: int
    unit: str
    name: str
    parameters: dict[str, Any]
    operation: int = 0  # what the operator started it with, together with others
    status: str = "pending"  # running, completed, failed, aborted, cancelled
    results: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    message: str = ""
    log: list[tuple[float, str]] = dataclasses.field(default_factory=list[tuple[float, str]])
    enqueued: float = 0.0
    started: float | None = None
    completed: float | None = None


@dataclasses.dataclass
class Offer:
    """Endpoints of an application that other models may use."""

    name: str
    uuid: str
    app: str
    endpoints: list[str]
    created: float = 0.0
    description: str = ""
    users: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """User → what it may do: `read`, `consume` or `admin`."""


@dataclasses.dataclass
class Saas:
    """An application of another model, by the name that this model gives it."""

    name: str
    url: str  # localjuju:admin/model.offer
    offer: str  # UUID
    model: str  # UUID
    app: str  # its name in its own model
    endpoints: dict[str, Endpoint]
    life: Life = Life.ALIVE
    status: Status = dataclasses.field(default_factory=lambda: Status("unknown"))
    created: float = 0.0


@dataclasses.dataclass
class RemoteConsumer:
    """One unit of this model that reads a secret of another model."""

    unit: str
    tracked: int
    label: str = ""
    latest: int = 0  # the newest revision that it may read


@dataclasses.dataclass
class RemoteSecret:
    """What this model remembers of a secret of another model."""

    id: str
    model: str  # UUID
    consumers: dict[str, RemoteConsumer] = dataclasses.field(
        default_factory=dict[str, RemoteConsumer]
    )


@dataclasses.dataclass
class Interface:
    """A network interface of a machine."""

    name: str  # eth0
    address: str  # empty: the space has no free one


@dataclasses.dataclass
class Machine:
    """A machine of a model."""

    id: str  # a number as text
    life: Life = Life.ALIVE
    force: bool = False  # its units' failed hooks count as done when it is removed
    constraints: str = ""
    hostname: str = ""
    image: str = ""  # what it was made from; empty before that
    interfaces: dict[str, Interface] = dataclasses.field(default_factory=dict[str, Interface])
    """Space → interface; fixed once it was made."""
    ready: bool = False  # it runs and units can be put on it
    created: float = 0.0
    agent_status: Status = dataclasses.field(default_factory=lambda: Status("pending"))
    instance_status: Status = dataclasses.field(default_factory=lambda: Status("pending"))

    @property
    def address(self) -> str:
        """The address in the management network."""
        found = self.interfaces.get(ALPHA)
        return found.address if found is not None else ""


@dataclasses.dataclass
class Model:
    """A model and everything in it."""

    name: str
    uuid: str
    type: str = CAAS
    life: Life = Life.ALIVE
    created: float = 0.0
    config: dict[str, Value] = dataclasses.field(default_factory=dict[str, Value])
    charms: dict[str, Charm] = dataclasses.field(default_factory=dict[str, Charm])  # by url
    applications: dict[str, Application] = dataclasses.field(
        default_factory=dict[str, Application]
    )
    units: dict[str, Unit] = dataclasses.field(default_factory=dict[str, Unit])
    machines: dict[str, Machine] = dataclasses.field(default_factory=dict[str, Machine])
    relations: dict[int, Relation] = dataclasses.field(default_factory=dict[int, Relation])
    secrets: dict[str, Secret] = dataclasses.field(default_factory=dict[str, Secret])
    actions: dict[int, Action] = dataclasses.field(default_factory=dict[int, Action])
    objects: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict[str, dict[str, Any]]
    )
    """What charms wrote through the Kubernetes interface: `services/name` → record."""
    offers: dict[str, Offer] = dataclasses.field(default_factory=dict[str, Offer])
    saas: dict[str, Saas] = dataclasses.field(default_factory=dict[str, Saas])
    remote_secrets: dict[str, RemoteSecret] = dataclasses.field(
        default_factory=dict[str, RemoteSecret]
    )
    next_relation_id: int = 0
    next_action_id: int = 1
    next_storage_id: int = 0
    next_machine_id: int = 0
    next_charm_revision: dict[str, int] = dataclasses.field(default_factory=dict[str, int])

    @property
    def has_machines(self) -> bool:
        """Whether units run on machines (`iaas`), not in pods (`caas`)."""
        return self.type == IAAS

    def charm_of(self, app: str) -> Charm:
        """Return the charm of an application."""
        return self.charms[self.applications[app].charm_url]

    def units_of(self, app: str) -> list[Unit]:
        """Return the units of an application by number."""
        return sorted((u for u in self.units.values() if u.app == app), key=lambda u: u.ordinal)

    def units_on(self, machine: str) -> list[Unit]:
        """Return the units on a machine by name, subordinates included."""
        found = (unit for unit in self.units.values() if unit.machine == machine)
        return sorted(found, key=lambda unit: (unit.app, unit.ordinal))

    def subordinates_of(self, unit: str) -> list[Unit]:
        """Return the subordinate units of a principal by name."""
        found = (other for other in self.units.values() if other.principal == unit)
        return sorted(found, key=lambda other: (other.app, other.ordinal))

    def relations_of(self, app: str) -> list[Relation]:
        """Return the relations of an application by id."""
        return [
            relation
            for _, relation in sorted(self.relations.items())
            if any(end.app == app for end in relation.ends)
        ]
