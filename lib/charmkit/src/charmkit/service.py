"""What a charm's author writes down: a `Service`, which is data. Pure, like `spec`."""

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

from charmkit.spec import (
    ConfigValue,
    Provider,
    Publication,
    Requirer,
    Rotation,
    SecretContent,
    Snapshot,
    Values,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """A rule for an option's value beyond the type that Juju checks.

    Attributes:
        name: The option.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        pattern: Regular expression that the whole text must match.
        hint: What to write instead, for the status.
    """

    name: str
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    hint: str = ""

    def problem(self, config: Mapping[str, ConfigValue]) -> str | None:
        """Tell what is wrong with the option's value as `option: reason`, or None."""
        value = config.get(self.name)
        if value is None:
            return None
        reason = ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                reason = f"must be at least {self.minimum:g}, is {value:g}"
            elif self.maximum is not None and value > self.maximum:
                reason = f"must be at most {self.maximum:g}, is {value:g}"
        if self.pattern and not re.fullmatch(self.pattern, str(value)):
            reason = f"cannot be {value!r}"
        if not reason:
            return None
        return f"{self.name}: {reason}" + (f"; {self.hint}" if self.hint else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A file in the workload container, or on the machine.

    Attributes:
        path: Where it stands.
        template: Its template in the charm's (or charmkit's) folder `templates`. A name that does
            not end in `.j2` is copied as it is.
        text: The template itself, for files of a line or two. Either this or `template`.
        mode: Permissions.
        user: Owner.
        group: Owning group.
        namespaces: oslo.config namespaces of the service that reads the file. With them the file
            is an oslo.config file: operators may override its options, and every override is
            held against the option lists of these namespaces.
        dynamic_groups: Option groups to which the service adds options at run time (drivers,
            authentication plug-ins), so that an unknown option there may be a right one.
        values: Constants that only this file's template sees.
        restarts: Whether a change of the file restarts the processes that have it.
    """

    path: str
    template: str = ""
    text: str = ""
    mode: int = 0o640
    user: str = "root"
    group: str = "root"
    namespaces: tuple[str, ...] = ()
    dynamic_groups: tuple[str, ...] = ()
    values: Values = dataclasses.field(default_factory=dict[str, typing.Any])
    restarts: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Directory:
    """A directory whose content is exactly what we say, such as a key repository.

    Its changes restart nothing.

    Attributes:
        path: Where it stands.
        content: Snapshot and values → file name → text. The order counts: files are written in
            it, and only then others are removed.
        user: Owner of the directory and its files.
        group: Owning group.
        mode: Permissions of the directory.
        file_mode: Permissions of its files.
    """

    path: str
    content: Callable[[Snapshot, Values], Mapping[str, str]]
    user: str = "root"
    group: str = "root"
    mode: int = 0o700
    file_mode: int = 0o600


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A probe of a process by the path that its clients use. It becomes the check `online`.

    Attributes:
        command: What to run in the workload container, as a template; exit 0 means that the
            process answers.
        period: Seconds between two probes.
        timeout: Seconds that one may take.
        threshold: Failures in a row that take the unit out of service.
        patience: Seconds that a started process may take before it answers.
        until_answered: Machines: ask only until it has answered once with what it starts with at
            present. For a probe that needs others to be there: the process finds them again by
            itself, and nothing tells our unit when, so a status that says they are away stays
            when they are back.
    """

    command: str
    period: float = 5
    timeout: float = 4.5  # less than the period, as Pebble asks; a busy machine is no dead one
    threshold: int = 3
    patience: float = 120
    until_answered: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """A process that Pebble, or on a machine systemd, keeps running.

    A machine charm's process has either a `command`, for which charmkit writes the unit
    `<name>.service`, or a `unit` that a package of the distribution brings: that one is enabled
    and started, and gets a drop-in with the environment and the digest of its files.

    Attributes:
        name: Its name, also for operators' overrides (`[nova-scheduler: DEFAULT]`).
        command: Command line, as a template. No secret may stand in it.
        files: The files that it reads. It restarts if and only if one of them changes.
        user: Whose rights it has.
        group: Likewise.
        environment: Variables, as templates. No secret that must not be seen by `ps e` of the
            same user.
        check: How to see that it answers, or None.
        kill_delay: Seconds that it gets to finish what it is doing when it is stopped.
        summary: One line for operators.
        unit: Machines: an existing systemd unit, as a template (`ceph-mon@{{ … }}.service`).
        once: Machines: the command sets something up and ends; it runs at each boot, and again
            when a file changed.
        before: Machines: systemd units that start after it at boot.
        after: Machines: systemd units that start before it at boot.
        settings: Machines: further lines of the unit's section `[Service]`. For a `unit` of the
            distribution they count, like `after`, from its next start.
        stays: Machines: whether it keeps running when our unit is removed.
    """

    name: str
    command: str = ""
    files: tuple[File, ...] = ()
    user: str = "root"
    group: str = "root"
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    check: Check | None = None
    kill_delay: int = 30
    summary: str = ""
    unit: str = ""
    once: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    stays: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A command in the workload that is run once for the same input, by the leader.

    It MUST be idempotent: a new leader, a new container or a hook that failed half way run it
    again. The other units see through the peer relation that it was done.

    Attributes:
        name: The name under which it is recorded.
        argv: The command. No secret may stand in it.
        message: What the unit shows meanwhile, `migrating the database`.
        environment: Variables; secrets are allowed.
        stdin: Text for its standard input; secrets are allowed.
        inputs: What it is done to, such as the address and name of a schema; equal on all units.
            The other units wait until the leader has done the task with their inputs. For the
            leader the command, the environment and the standard input count as well.
        user: Whose rights it has.
        group: Likewise.
        timeout: Seconds that it may take.
        when: `before-start` of the processes, which then wait for it on every unit; or once the
            service is `online`, for what needs the service's own API.
        facts: Whether it prints a JSON value which is to be recorded: `values["facts"][name]`.
            The record stands in the peer databag, so it MUST NOT contain a secret. For tasks of
            the leader only.
        again: Whether it is run although it was done with this input: what it left undone may go
            well now.
        on: Who runs it. What every `unit` runs is recorded where it ran, and nobody waits for
            it; such a task needs no peer relation.
    """

    name: str
    argv: tuple[str, ...]
    message: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str], repr=False)
    stdin: str = dataclasses.field(default="", repr=False)
    inputs: tuple[str, ...] = ()
    user: str = "root"
    group: str = "root"
    timeout: float = 600
    when: typing.Literal["before-start", "online"] = "before-start"
    facts: bool = False
    again: bool = False
    on: typing.Literal["leader", "unit"] = "leader"

    @property
    def digest(self) -> str:
        """Give a text that is equal if and only if the input is."""
        return digest([self.argv, dict(self.environment), self.stdin, self.inputs, self.user])


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnSecret:
    """A secret of the application itself: keys, an administrator's password.

    The leader makes it, all units read it; `values["secrets"][label with _ for -]` is its
    content.

    Attributes:
        label: Its label.
        initial: Makes the content; randomness comes from `Snapshot.random_text`.
        rotated: Makes the next content from the present one, or None if it is not rotated.
        rotate: How often Juju asks for rotation, by the snapshot's options.
        action: The action by which operators rotate it now, or "".
        everywhere_first: Whether all units must have written the present content before it may be
            rotated, because the present content announces what the next one will use.
        description: For operators.
    """

    label: str
    initial: Callable[[Snapshot], SecretContent]
    rotated: Callable[[Snapshot, SecretContent], SecretContent] | None = None
    rotate: Callable[[Snapshot], Rotation] = lambda snapshot: "never"
    action: str = ""
    everywhere_first: bool = False
    description: str = ""

    @property
    def name(self) -> str:
        """Give the name by which templates know it."""
        return self.label.replace("-", "_")


@dataclasses.dataclass(frozen=True, kw_only=True)
class User:
    """A system user of a machine. In containers users come with the image.

    Attributes:
        name: Its name, also that of its group.
        uid: Its number, and that of its group; the number that the image has, so that files can
            be moved.
        home: Its home folder, made if it is not there.
        groups: Further groups whose rights it has; they come with packages.
    """

    name: str
    uid: int
    home: str
    groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """How machines outside the cluster reach the application: a Kubernetes service of its own.

    The leader makes it, for which the application needs trust. What it came to is the snapshot's
    `load_balancer`, on every unit.

    Attributes:
        ports: Name → number of the TCP ports.
        wanted: Snapshot → whether anybody needs it. What was made stays when nobody does any more.
    """

    ports: Mapping[str, int]
    wanted: Callable[[Snapshot], bool]


Obstacle = tuple[typing.Literal["active", "waiting", "blocked"], str] | None
"""A status and its message, or None if there is nothing to say."""


def _no_obstacle(snapshot: Snapshot, values: Values) -> Obstacle:
    return None


def _nothing(snapshot: Snapshot, values: Values) -> tuple[typing.Any, ...]:
    return ()


class Sight(typing.Protocol):
    """How a service looks at its machine."""

    def read(self, path: str) -> str | None:
        """Give the text of a file, or None if there is none."""
        ...

    def list(self, path: str) -> Sequence[str]:
        """Give the paths of what is in a folder; empty if there is none."""
        ...

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float = 120) -> str:
        """Run a command and give what it printed.

        Raises:
            CommandError: It failed, or took longer than the timeout.
        """
        ...


def _nothing_seen(snapshot: Snapshot, sight: Sight) -> Values:
    return {}


def _no_values(snapshot: Snapshot, values: Values) -> Values:
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """All that distinguishes one charm from another.

    A charm with processes whose metadata names no container is a machine charm: its processes
    are systemd units of the machine.

    Attributes:
        name: The project, `keystone`; also the workload container's name if it has one.
        processes: What runs in the workload container or on the machine; none for a charm
            without a workload.
        needs: Requirers, in the order in which missing ones are named.
        provides: Providers. They only say which secrets to read; `offers` answers the clients.
        offers: Snapshot and values → publications for our clients. Called when every need is
            complete.
        own_secrets: Secrets of the application itself.
        directories: Directories with exact content.
        files: Files that no process reads but tasks, probes and actions do.
        tasks: Snapshot and values → tasks of the leader, in their order.
        values: Snapshot and values → further values for templates, tasks and offers.
        obstacle: Snapshot and values → what keeps the service from being configured although its
            needs are complete, or None. What runs then stays as it is.
        condition: Snapshot and values → what the unit shows instead of a bare `active`, or None;
            the service is configured all the same.
        options: Rules for option values.
        ports: Ports that clients use.
        farewells: Tasks of a unit with a container that goes for good while others stay; before
            its processes stop, when its relations are gone already.
        load_balancer: How clients outside the cluster get there, if they can.
        packages: Machines: packages of the distribution that must be there.
        users: Machines: system users that must be there.
        runtime: Machines: the file resource whose content becomes `/opt/openstack`.
        bindings: Machines: endpoints and extra bindings whose addresses count, see
            `Addresses.bindings`.
        inspect: Machines: looks at the machine and gives further facts, `Snapshot.machine`. The
            one function of a service that is not pure. It MUST NOT change what it looks at, and
            it MUST work before anything of ours is there.
    """

    name: str
    processes: tuple[Process, ...] = ()
    needs: tuple[Requirer[typing.Any], ...] = ()
    provides: tuple[Provider, ...] = ()
    offers: Callable[[Snapshot, Values], Iterable[Publication]] = _nothing
    own_secrets: tuple[OwnSecret, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    tasks: Callable[[Snapshot, Values], Iterable[Task]] = _nothing
    values: Callable[[Snapshot, Values], Values] = _no_values
    obstacle: Callable[[Snapshot, Values], Obstacle] = _no_obstacle
    condition: Callable[[Snapshot, Values], Obstacle] = _no_obstacle
    options: tuple[Option, ...] = ()
    ports: tuple[int, ...] = ()
    farewells: tuple[Task, ...] = ()
    load_balancer: LoadBalancer | None = None
    packages: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    runtime: str = ""
    bindings: tuple[str, ...] = ()
    inspect: Callable[[Snapshot, Sight], Values] = _nothing_seen

    @property
    def has_workload(self) -> bool:
        """Tell whether there is a container or machine to fill.

        A container that only holds programs for actions has files and no processes.
        """
        return bool(self.processes or self.files)


def digest(value: object) -> str:
    """Give a short text that is equal if and only if the value's JSON is."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
