"""Hypervisors of the embedded cloud: list them, add one more, drain and remove one.

A node is a unit of the hypervisor's charm on a machine of its own, and what the services of the
cloud know of that machine.
"""

import contextlib
import dataclasses
import re
from collections.abc import Collection, Generator
from typing import Any, Protocol

import jubilant
from jubilant.statustypes import Status, StatusInfo

from helio import sdk, waiting
from helio.host import HelioError
from helio.sdk import Connection
from helio.steps import Ensure, Step
from helio.watching import Watch

APPLICATION = "openstack-hypervisor"
BINARY = "nova-compute"
MOVABLE = ("ACTIVE", "PAUSED")  # states of instances that can be migrated as they run
STARTING = "BUILD"  # may be without a task for a moment
REBUILDING = ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")  # tasks
# Why a service is disabled, from the drain on: by this a node is found when its unit has gone.
REASON = "helio removes {unit} on machine {machine}"
_REMOVED = re.compile(r"helio removes (\S+) on machine (\S+)")
PATIENCE = 60.0  # seconds after which an instance that is where it was did not move


class Juju(Protocol):
    """What is asked of Juju; `jubilant.Juju` has it all."""

    def status(self) -> Status:
        """Return the model's status."""
        ...

    def add_unit(self, app: str, *, num_units: int = 1) -> None:
        """Add units, each on a machine of its own."""
        ...

    def remove_unit(self, *app_or_unit: str, force: bool = False) -> None:
        """Remove units."""
        ...

    def cli(self, *args: str, include_model: bool = True) -> str:
        """Run a juju command and return what it prints."""
        ...


@dataclasses.dataclass(frozen=True)
class Node:
    """A hypervisor.

    Args:
        name: Its host name, by which the services of the cloud know it.
        unit: The unit, or the one that was there before it was removed; empty where only the
            services know it.
        machine: The machine, likewise.
        status: What the unit says of itself; empty if there is none.
        state: `up` or `down` as the compute service has it; `unknown` to it: empty.
        scheduling: `enabled` or `disabled`: whether new instances may go there.
        instances: Names of the instances on it.
    """

    name: str
    unit: str
    machine: str
    status: str
    state: str
    scheduling: str
    instances: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Return whether instances can go there."""
        return (self.state, self.scheduling) == ("up", "enabled")


@dataclasses.dataclass(frozen=True)
class _Newcomers:
    """A model as if there were only the new hypervisors: an old one may be dead, and stay so.

    Args:
        juju: Where the whole status comes from.
        old: Names of the units that are left out.
    """

    juju: waiting.StatusSource
    old: Collection[str]

    def status(self) -> Status:
        """Return the status of what is new."""
        status = self.juju.status()
        app = status.apps[APPLICATION]
        units = {name: unit for name, unit in app.units.items() if name not in self.old}
        places = {unit.machine for unit in units.values()}
        # The application's own status is the worst of all its units'.
        new = dataclasses.replace(app, units=units, app_status=StatusInfo("active"))
        machines = {name: each for name, each in status.machines.items() if name in places}
        return dataclasses.replace(status, apps={APPLICATION: new}, machines=machines)


class Nodes:
    """The hypervisors of a cloud.

    Args:
        juju: Drives the model of the machines.
        cloud: The administrator's connection.
        watch: Waits, and tells what for.
    """

    def __init__(self, juju: Juju, cloud: Connection, watch: Watch):
        self._juju = juju
        self._cloud = cloud
        self._watch = watch

    def known(self) -> list[Node]:
        """Return all hypervisors, by name."""
        status = self._juju.status()
        services = {_short(each.host): each for each in self._services()}
        app = status.apps.get(APPLICATION)
        units = {
            _short(_hostname(status, unit.machine)): (name, unit)
            for name, unit in (app.units if app else {}).items()
        }
        instances: dict[str, list[str]] = {}
        for server in self._cloud.compute.servers(all_projects=True):
            instances.setdefault(_short(server.compute_host or ""), []).append(server.name)
        found: list[Node] = []
        for name in sorted(units.keys() | services.keys()):
            unit_name, unit = units.get(name, ("", None))
            service = services.get(name)
            removed = _REMOVED.fullmatch((service.disabled_reason if service else "") or "")
            old_unit, old_machine = removed.groups() if removed else ("", "")
            found.append(
                Node(
                    name=name,
                    unit=unit_name or old_unit,
                    machine=unit.machine if unit else old_machine,
                    status=unit.workload_status.current if unit else "",
                    state=service.state if service else "",
                    scheduling=service.status if service else "",
                    instances=tuple(sorted(instances.get(name, ()))),
                )
            )
        return found

    def settled(self) -> frozenset[str]:
        """Return the units that nobody waits for: Nova knows them, dead ones too, or they go."""
        known = self._hypervisors()
        status = self._juju.status()
        return frozenset(
            name
            for name, unit in status.apps[APPLICATION].units.items()
            if _short(_hostname(status, unit.machine)) in known or unit.juju_status.life
        )

    def beside(self, old: Collection[str]) -> list[Node]:
        """Return the hypervisors to which instances can go, but for those of some units."""
        known = self._hypervisors()
        return [
            node
            for node in self.known()
            if node.unit and node.unit not in old and node.is_usable and node.name in known
        ]

    def adding(self, count: int, old: Collection[str]) -> list[Step]:
        """Return the steps that add hypervisors, each on a new machine, until they can be used.

        Those that an interrupted run has begun, and that the compute service does not know yet,
        count as well.

        Args:
            count: How many.
            old: The units that were settled before.
        """
        begun = sorted(self._juju.status().apps[APPLICATION].units.keys() - old)
        more, wanted = count - len(begun), max(count, len(begun))
        told = f"begun by an earlier run: {', '.join(begun)}" if begun else ""
        return [
            Ensure(
                f"Add {count} hypervisor(s)",
                f"add {more}, each on a machine of its own",
                lambda: more <= 0,
                lambda _reporter: self._juju.add_unit(APPLICATION, num_units=more),
            ),
            Ensure(
                "Wait for the unit",
                "; ".join(filter(None, (f"wait until {wanted} are active", told))),
                lambda: False,  # one look is not enough to tell
                lambda _reporter: self._settle(old, told),
            ),
            Ensure(
                "Wait for the compute service",
                f"wait until instances can go to {wanted} more",
                lambda: len(self.beside(old)) >= wanted,
                lambda _reporter: self._wait_for(wanted, old),
            ),
        ]

    def _settle(self, old: Collection[str], told: str) -> None:
        if told:
            self._watch.reporter.note(told)
        waiting.settle(
            [waiting.Watched(_Newcomers(self._juju, old), [APPLICATION])], self._watch.reporter,
            self._watch.stall, self._watch.clock, self._watch.sleep,
        )  # fmt: skip

    def _wait_for(self, wanted: int, old: Collection[str]) -> None:
        def look() -> tuple[bool, str]:
            ready = len(self.beside(old))
            return ready >= wanted, f"{ready} of {wanted} can be used"

        self._watch.until("the compute service", look)

    def _hypervisors(self) -> set[str]:
        return {_short(each.name) for each in self._cloud.compute.hypervisors()}

    def removal(self, name: str, force: bool = False) -> list[Step]:
        """Return the steps that take a hypervisor away, after its instances have moved to others.

        Args:
            name: Its host name, its unit, or its machine's number.
            force: The machine is lost: its instances are built anew elsewhere, from their images
                and volumes.

        Raises:
            HelioError: there is no such hypervisor, its instances cannot move, or it was to be
                forced and is not lost. A step raises it as well: if an instance did not move.
        """
        node = self._find(name)
        if force and node.state == "up":
            raise HelioError(
                f"cannot remove {node.name} by force: it is up, and its instances would lose "
                "their disks; run it without --force, or if the machine is really lost, again "
                "when helio node list shows it down"
            )
        others = [each for each in self.known() if each.is_usable and each.name != node.name]
        if node.instances and not others:
            raise HelioError(
                f"cannot remove {node.name}: it is the last hypervisor and has "
                f"{len(node.instances)} instance(s): {', '.join(node.instances)}; "
                "run: helio node add, or delete them"
            )
        if force:
            first = self._disabling(node)
        else:
            self._refuse_stopped(node)
            first = self._draining(node)
        taking = [self._taking(node, force)] if node.unit else []
        rebuilding = [self._rebuilding(node)] if force and node.instances else []
        return [first, *taking, *rebuilding, self._forgetting(node)]

    def _disabling(self, node: Node) -> Step:
        return Ensure(
            f"Disable scheduling to {node.name}",
            f"let no new instance come to {node.name}",
            lambda: self._is_disabled(node),
            lambda _reporter: self._disable(node),
        )

    def _draining(self, node: Node) -> Step:
        move = f"move {', '.join(node.instances)} to others" if node.instances else "move nothing"
        return Ensure(
            f"Drain {node.name}",
            f"let no new instance come to {node.name}, and {move}",
            lambda: self._is_disabled(node) and not self._servers(node),
            lambda _reporter: self._drain(node),
        )

    def _taking(self, node: Node, force: bool) -> Step:
        return Ensure(
            f"Remove {node.unit}",
            f"remove {node.unit}, and machine {node.machine} if nothing else stands on it",
            lambda: False,  # the machine may be left, and goes in the same wait
            lambda _reporter: self._remove_unit(node, force),
        )

    def _rebuilding(self, node: Node) -> Step:
        return Ensure(
            f"Build the instances of {node.name} anew",
            f"build {', '.join(node.instances)} anew on others",
            lambda: not self._servers(node),
            lambda _reporter: self._evacuate(node),
        )

    def _forgetting(self, node: Node) -> Step:
        return Ensure(
            f"Forget {node.name}",
            f"delete what the services of the cloud know of {node.name}",
            lambda: False,  # three services may know it
            lambda _reporter: self._forget(node),
        )

    def _find(self, name: str) -> Node:
        nodes = self.known()
        for node in nodes:
            if name in (node.name, node.unit, node.machine) and name:
                return node
        # The compute service has forgotten it, and the last of all was not reached.
        if any(_short(each.name) == name for each in self._cloud.placement.resource_providers()):
            return Node(
                name, unit="", machine="", status="", state="", scheduling="", instances=()
            )
        known = ", ".join(node.name for node in nodes) or "none"
        raise HelioError(f"cannot find the node {name}: there is {known}")

    def _refuse_stopped(self, node: Node) -> None:
        stuck = [each.name for each in self._servers(node) if _is_stopped(each)]
        if stuck:
            raise _unmovable(node, *stuck)

    def _drain(self, node: Node) -> None:
        """Let no new instance come, and move those that are there while they run."""
        self._refuse_stopped(node)
        with self._closed(node):
            for server in self._servers(node):
                self._migrate(server, node)
        self._disable(node)

    @contextlib.contextmanager
    def _closed(self, node: Node) -> Generator[None]:
        """Let no new instance come; if what is done meanwhile fails, let them come again.

        A hypervisor that somebody else has disabled stays so, with the reason that they gave.
        """
        finished = node.scheduling != "enabled"
        try:
            if not finished:
                self._disable(node)
            yield
            finished = True
        finally:
            if not finished:
                self._enable(node)

    def _enable(self, node: Node) -> None:
        reporter = self._watch.reporter
        try:
            with sdk.errors(f"enable scheduling to {node.name} again"):
                for service in self._services(node):
                    if service.status != "enabled":  # Nova refuses a change that changes nothing
                        self._cloud.compute.enable_service(
                            service.id, service.host, service.binary
                        )
        except HelioError as error:  # the one that led here is told by the caller
            reporter.warn(str(error))
        else:
            reporter.warn(f"{node.name} was not drained and takes new instances again")

    def _is_disabled(self, node: Node) -> bool:
        """Return whether no new instance comes, and the note for a later run is there."""
        return all(_is_noted(service, node) for service in self._services(node))

    def _disable(self, node: Node) -> None:
        """Let no new instance come, and note which unit and machine this is about."""
        for service in self._services(node):
            # Nova refuses a change that changes nothing. The id, and not the service: of that the
            # client library sends only what differs, and Nova needs both.
            if not _is_noted(service, node):
                self._cloud.compute.disable_service(
                    service.id, service.host, service.binary, _reason(node)
                )

    def _migrate(self, server: Any, node: Node) -> None:
        compute = self._cloud.compute
        asked: float | None = None  # when it was asked to move

        def look() -> tuple[bool, str]:
            nonlocal asked
            now = compute.get_server(server.id)
            place = _short(now.compute_host or "")
            if now.status == "ERROR":
                raise HelioError(f"cannot migrate {now.name}: it is in status ERROR")
            if place == node.name and _is_stopped(now):
                raise _unmovable(node, now.name)
            is_quiet = now.status in MOVABLE and not now.task_state
            # What it is at, such as a migration that an earlier run asked for, ends first.
            if is_quiet and place == node.name:
                if asked is None:
                    asked = self._watch.clock()
                    compute.live_migrate_server(server.id, host=None, block_migration="auto")
                elif self._watch.clock() - asked > PATIENCE:
                    raise HelioError(
                        f"cannot migrate {now.name}: it stayed on {node.name}; "
                        "see: helio juju debug-log --include nova"
                    )
            state = f"{now.name}: {now.task_state or now.status} on {place}"
            return is_quiet and place != node.name, state

        self._watch.until(f"instance {server.name}", look)

    def _evacuate(self, node: Node) -> None:
        """Build the instances of a lost machine anew on others."""
        compute = self._cloud.compute

        def look() -> tuple[bool, str]:
            states = sorted({service.state for service in self._services(node)})
            return states in ([], ["down"]), f"{node.name} is {' '.join(states)}"

        self._watch.until(node.name, look)
        for server in self._servers(node):
            # Not twice. Another task of the lost machine's never ends; Nova does not mind.
            if server.task_state not in REBUILDING:
                compute.evacuate_server(server.id)
            self._wait_until_rebuilt(server, node)

    def _wait_until_rebuilt(self, server: Any, node: Node) -> None:
        def look() -> tuple[bool, str]:
            now = self._cloud.compute.get_server(server.id)
            if now.status == "ERROR":
                raise HelioError(f"cannot build {now.name} anew: it is in status ERROR")
            is_there = _short(now.compute_host or "") != node.name and not now.task_state
            return is_there, f"{now.name}: {now.task_state or now.status}"

        self._watch.until(f"instance {server.name}", look)

    def _remove_unit(self, node: Node, force: bool) -> None:
        """Remove the unit, and its machine if nothing else stands on it."""

        def look() -> tuple[bool, str]:
            status = self._juju.status()
            if node.unit in status.apps[APPLICATION].units:
                unit = status.apps[APPLICATION].units[node.unit]
                return False, f"{node.unit} {unit.juju_status.current or 'going'}"
            if node.machine in status.machines and not _tenants(status, node.machine):
                self._remove_machine(node.machine, force)
                return False, f"machine {node.machine} is going"
            return True, "gone"

        if node.unit in self._juju.status().apps[APPLICATION].units:
            self._juju.remove_unit(node.unit, force=force)
        self._watch.until(node.unit, look)

    def _remove_machine(self, machine: str, force: bool) -> None:
        words = ("--no-prompt", "--force") if force else ("--no-prompt",)
        try:
            self._juju.cli("remove-machine", machine, *words)
        except jubilant.CLIError as error:
            # Juju removes a machine by itself when its last unit goes.
            if "not found" not in (error.stderr or ""):
                raise

    def _forget(self, node: Node) -> None:
        """Take away what the services of the cloud still know of the machine.

        The compute service is last to forget it, because by it an interrupted removal is found
        again. With it goes what placement knows, which Nova needs to be there until then; only
        what Nova could not delete is left.
        """
        compute, network, placement = (
            self._cloud.compute, self._cloud.network, self._cloud.placement,
        )  # fmt: skip

        def agents() -> tuple[bool, str]:
            left = [each for each in network.agents() if _short(each.host) == node.name]
            for agent in left:
                if not agent.is_alive:  # the service refuses to forget one that lives
                    network.delete_agent(agent)
            return not left, f"{len(left)} network agent(s) are known"

        self._watch.until("the network service", agents)
        for service in self._services(node):
            compute.delete_service(service)
        for provider in list(placement.resource_providers()):
            if _short(provider.name) == node.name:
                placement.delete_resource_provider(provider)

    def _services(self, node: Node | None = None) -> list[Any]:
        found = self._cloud.compute.services(binary=BINARY)
        return [each for each in found if node is None or _short(each.host) == node.name]

    def _servers(self, node: Node) -> list[Any]:
        found = self._cloud.compute.servers(all_projects=True)
        return [each for each in found if _short(each.compute_host or "") == node.name]


def _reason(node: Node) -> str:
    if not node.unit:
        return "helio removes it"
    return REASON.format(unit=node.unit, machine=node.machine)


def _is_noted(service: Any, node: Node) -> bool:
    return (service.status, service.disabled_reason) == ("disabled", _reason(node))


def _is_stopped(server: Any) -> bool:
    """Return whether an instance can only move after somebody has done something to it.

    One that is at a task, such as a reboot or a migration, will be movable, or moves.
    """
    return server.status not in (*MOVABLE, STARTING) and not server.task_state


def _unmovable(node: Node, *instances: str) -> HelioError:
    return HelioError(
        f"cannot drain {node.name}: {', '.join(instances)} do not run, and only what runs can "
        "move; start or delete them"
    )


def _short(host: str) -> str:
    """Return a host name without its domain: services differ in whether they say it."""
    return host.split(".")[0]


def _hostname(status: Status, machine: str) -> str:
    found = status.machines.get(machine)
    return (found.hostname or found.instance_id) if found else machine


def _tenants(status: Status, machine: str) -> list[str]:
    """Return the units on a machine."""
    return [
        name
        for app in status.apps.values()
        for name, unit in app.units.items()
        if unit.machine == machine
    ]
