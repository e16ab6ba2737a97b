"""The values that the layers of charmkit pass around. Pure: no effects, no `ops` objects.

A `Snapshot` is what one dispatch saw. Requirers and providers of `charmkit.interfaces` turn it
into complete values (`read`) and into what has to be published (`Publication`).
"""

import base64
import dataclasses
import hashlib
import hmac
import typing
from collections.abc import Iterable, Mapping

PEERS = "peers"
"""The peer endpoint, under the same name in every charm."""

ConfigValue = str | int | float | bool
Bag = Mapping[str, str]
SecretContent = Mapping[str, str]
Owner = typing.Literal["application", "unit"]
Rotation = typing.Literal["never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"]


# --- names -------------------------------------------------------------------------------------


def unit_number(unit: str) -> int:
    """Give the number of a unit, 3 for `mariadb/3`."""
    return int(unit.rpartition("/")[2])


def in_url(host: str) -> str:
    """Give a host as it stands in a URL or before a port: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


# --- what was seen -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelationData:
    """One relation as one unit sees it.

    Attributes:
        id: The number by which Juju knows the relation.
        endpoint: Name of our end.
        app: Remote application; for a peer relation our own.
        local_app: Our application's bag. Empty on a follower, which may not read it, but always
            filled in a peer relation.
        local_unit: This unit's bag, with the keys that Juju seeds (`ingress-address` …).
        remote_app: The remote application's bag; empty in a peer relation (see `local_app`).
        remote_units: Unit name → its bag, without this unit.
    """

    id: int
    endpoint: str
    app: str = ""
    local_app: Bag = dataclasses.field(default_factory=dict[str, str])
    local_unit: Bag = dataclasses.field(default_factory=dict[str, str])
    remote_app: Bag = dataclasses.field(default_factory=dict[str, str])
    remote_units: Mapping[str, Bag] = dataclasses.field(default_factory=dict[str, Bag])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where this unit and its application are found.

    Attributes:
        unit_ip: The unit's own address, or "" while it has none.
        service_ips: Addresses of the application's service (`network-get` ingress addresses).
        unit_name: Long host name of the unit,
            `<app>-<n>.<app>-endpoints.<model>.svc.cluster.local`.
        service_name: Long host name of the service, `<app>.<model>.svc.cluster.local`.
        hostnames: Every name by which a client may call this unit, long and short forms, sorted.
        bindings: Machines: endpoint or extra binding → this unit's address in its space.

    On a machine `unit_name` is the machine's host name, and there is no service.
    """

    unit_ip: str = ""
    service_ips: tuple[str, ...] = ()
    unit_name: str = ""
    service_name: str = ""
    hostnames: tuple[str, ...] = ()
    bindings: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    @property
    def service_ip(self) -> str:
        """Give the address that clients outside the model use, or "" while there is none."""
        return next(iter(self.service_ips), self.unit_ip)

    @property
    def ips(self) -> tuple[str, ...]:
        """Give every address under which the unit answers, sorted, each once."""
        return tuple(sorted({*self.service_ips, self.unit_ip, *self.bindings.values()} - {""}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContainerState:
    """A workload container as its Pebble answered, or a machine as its systemd did.

    Attributes:
        can_connect: Whether Pebble answered at all; without it the rest is empty.
        services: Service name → whether it runs.
        checks: Check name → whether it is up.
    """

    can_connect: bool = False
    services: Mapping[str, bool] = dataclasses.field(default_factory=dict[str, bool])
    checks: Mapping[str, bool] = dataclasses.field(default_factory=dict[str, bool])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that one dispatch saw. What is not in here does not influence a plan.

    Frozen; a bag may be read only when it is looked into, but Juju gives the same answer all
    through a dispatch.

    Attributes:
        app: Our application.
        unit: This unit, `app/0`.
        model: Name of the model.
        model_uuid: UUID of the model.
        is_leader: Whether this unit leads its application.
        planned_units: How many units the application shall have.
        config: Options as typed values; an option without a value is not in the map.
        relations: Endpoint → its relations, sorted by id. A relation that is being broken is gone.
        optional: The endpoints which the metadata calls optional.
        secrets: URI → content of the secrets that needs and offers asked for and that Juju let us
            read. A URI that is not in here could not be read (yet).
        own_secrets: Label → content of the secrets that our application or unit owns.
        addresses: Where we are found.
        containers: Workload container → its state. For a machine charm the machine's processes,
            under the name of the service.
        is_machine: Whether the unit stands on a machine.
        machine: What the service's `inspect` saw of the machine.
        runtime: Digest of what stands in `/opt/openstack` of the machine, or "".
        storage: Storage name → mount points in the charm's view.
        load_balancer: Address or name by which machines outside the cluster reach us, or "".
        load_balancer_problem: What an operator has to do before there can be one, or "".
        cpus: Processors of the machine.
        memory: MiB of memory of the machine.
        now: When all this was observed, seconds since 1970.
        entropy: Fresh random bytes of this dispatch, see `random_text`.
    """

    app: str
    unit: str
    model: str = ""
    model_uuid: str = ""
    is_leader: bool = False
    planned_units: int = 1
    config: Mapping[str, ConfigValue] = dataclasses.field(default_factory=dict[str, ConfigValue])
    relations: Mapping[str, tuple[RelationData, ...]] = dataclasses.field(
        default_factory=dict[str, tuple[RelationData, ...]]
    )
    optional: frozenset[str] = frozenset()
    secrets: Mapping[str, SecretContent] = dataclasses.field(
        default_factory=dict[str, SecretContent], repr=False
    )
    own_secrets: Mapping[str, SecretContent] = dataclasses.field(
        default_factory=dict[str, SecretContent], repr=False
    )
    addresses: Addresses = dataclasses.field(default_factory=Addresses)
    containers: Mapping[str, ContainerState] = dataclasses.field(
        default_factory=dict[str, ContainerState]
    )
    is_machine: bool = False
    machine: Mapping[str, typing.Any] = dataclasses.field(
        default_factory=dict[str, typing.Any], repr=False
    )
    runtime: str = ""
    storage: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict[str, tuple[str, ...]]
    )
    load_balancer: str = ""
    load_balancer_problem: str = ""
    cpus: int = 1
    memory: int = 0
    now: float = 0
    entropy: bytes = dataclasses.field(default=b"", repr=False)

    def related(self, endpoint: str) -> tuple[RelationData, ...]:
        """Give the relations of an endpoint, sorted by id; empty if it is not integrated."""
        return self.relations.get(endpoint, ())

    def relation(self, endpoint: str) -> RelationData | None:
        """Give the only (or first) relation of an endpoint, or None."""
        return next(iter(self.related(endpoint)), None)

    @property
    def peers(self) -> RelationData | None:
        """Give the peer relation, or None before Juju has made it."""
        return self.relation(PEERS)

    def host(self, number: int) -> str:
        """Give the long host name of the unit of our application with this number; for pods."""
        domain = self.addresses.unit_name.partition(".")[2]
        return f"{self.app}-{number}.{domain}"

    @property
    def is_leaving(self) -> bool:
        """Tell whether this unit is being taken away.

        Kubernetes takes the highest numbers, so a unit whose number is not among those planned
        goes. Its relations break one by one before its `stop`; each looks as if an integration
        had gone, while clients still use the unit. Only units with containers are told by this:
        machines do not give a number twice.
        """
        if self.is_machine or not self.containers:
            return False
        return unit_number(self.unit) >= self.planned_units

    def random_text(self, name: str, length: int = 32) -> str:
        """Give random text that is the same all through this dispatch.

        This keeps planning pure: a password that a plan makes up is a function of its snapshot.
        The next dispatch gives another text, so look into `own_secrets` first.

        Args:
            name: What the text is for; another name gives an unrelated text.
            length: Characters wanted, at most 43 (256 bits).

        Returns:
            Characters from `A-Za-z0-9-_`, beginning with a letter or digit.
        """
        digest = hmac.new(self.entropy, name.encode(), hashlib.sha256).digest()
        text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return text[:length].replace("-", "x", 1) if text.startswith("-") else text[:length]


# --- what shall be published -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SecretRef:
    """Stands in a bag for the URI of the owned secret with this label.

    The URI is known only when the secret exists, so `apply` fills it in.
    """

    label: str


@dataclasses.dataclass(frozen=True)
class Document:
    """A JSON value to publish, in which a `SecretRef` at any depth stands for a secret's URI."""

    value: object


BagValue = str | SecretRef | Document | None
"""A value to publish; None takes the key away."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnedSecret:
    """A secret that our application or unit shall own.

    Attributes:
        label: Our name for it, unique within the owner. For a secret of one relation
            `<endpoint>:<relation id>` and, if there are several, `:<what>`.
        content: Keys and values (Juju's rules: keys of at least three characters).
        grants: Ids of the relations whose remote application may read it. When all of them are
            gone the secret is removed.
        owner: An application's secret is written by the leader, a unit's by the unit.
        rotate: How often Juju shall ask to rotate it.
        description: For operators.
    """

    label: str
    content: SecretContent = dataclasses.field(repr=False)
    grants: tuple[int, ...] = ()
    owner: Owner = "application"
    rotate: Rotation = "never"
    description: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publish:
    """Values for the bags of one relation. Keys that are not named stay as they are.

    Attributes:
        relation_id: The relation.
        app: For our application's bag; written by the leader only, a follower ignores it.
        unit: For this unit's bag.
    """

    relation_id: int
    app: Mapping[str, BagValue] = dataclasses.field(default_factory=dict[str, BagValue])
    unit: Mapping[str, BagValue] = dataclasses.field(default_factory=dict[str, BagValue])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publication:
    """What a requirer or provider wants to be published, over all relations of its endpoint.

    Attributes:
        bags: Values for databags.
        secrets: Secrets to own; those of the application are made by the leader only.
    """

    bags: tuple[Publish, ...] = ()
    secrets: tuple[OwnedSecret, ...] = ()


# --- what an interface offers ------------------------------------------------------------------


class Part(typing.Protocol):
    """What requirers and providers have in common: an endpoint, and secrets to look up."""

    @property
    def endpoint(self) -> str:
        """Name of the endpoint in the charm's metadata."""
        ...

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets in the remote bags whose content is needed.

        MUST be pure. The snapshot has relations, but no `secrets` and no `own_secrets` yet.
        """
        ...

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secrets that we may own already and whose content is needed.

        MUST be pure. The snapshot has relations, but no `secrets` and no `own_secrets` yet.
        A label that does not exist is no error: it is missing in `own_secrets`.
        """
        ...


T_co = typing.TypeVar("T_co", covariant=True)


class Requirer(Part, typing.Protocol[T_co]):
    """Our end where we need something. Whether it may be missing stands in the metadata only."""

    def request(self, snapshot: Snapshot) -> Publication | None:
        """Tell what to publish so that the provider answers, or None if there is no relation.

        MUST be pure, and MUST give the same for the same facts, also when the answer is there.
        A follower is asked too: its unit bags count, its application bags are ignored.
        """
        ...

    def read(self, snapshot: Snapshot) -> T_co | None:
        """Give the complete value that templates see, or None while anything is missing.

        MUST be pure. `missing integration` is told from `waiting for data` by the relation's
        existence, so None is all that is needed here.
        """
        ...


@typing.runtime_checkable
class Refusable(typing.Protocol):
    """A requirer whose provider may say no; the unit is then blocked with its reason."""

    def problem(self, snapshot: Snapshot) -> str | None:
        """Tell why the provider refuses what we ask for now, or None.

        MUST be pure.
        """
        ...


class Provider(Part, typing.Protocol):
    """Our end where we give something.

    Every provider also has `respond(snapshot, …) -> Publication`, whose further arguments are
    its interface's own facts, and `requests(snapshot)`, the complete requests of its clients,
    one per relation, sorted by relation id. Both MUST be pure. A service calls them in its
    `offers` function; so the library knows no interface's arguments.
    """


Values = Mapping[str, typing.Any]
"""What templates see; `charmkit.plan.values` says what is in it."""
