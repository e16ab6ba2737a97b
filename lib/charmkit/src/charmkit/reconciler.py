"""One path for every event: observe → plan → apply → report."""

import dataclasses
import logging
import pathlib

import ops

from charmkit import kubernetes, layout, observe, ownership, plan, publish, records, workload
from charmkit.machine import Machine
from charmkit.pebble import Container
from charmkit.plan import Status
from charmkit.service import Service
from charmkit.spec import Snapshot, unit_number
from charmkit.target import Target
from charmkit.templates import Templates

logger = logging.getLogger(__name__)


class Reconciler(ops.Object):
    """Brings one unit to what its `Service` says, on every event. A charm *has* one.

    Args:
        charm: The charm; keep a reference to the reconciler in it, ops holds observers weakly.
        service: What the charm runs.
        templates: Folder of its templates.
    """

    def __init__(self, charm: ops.CharmBase, service: Service, templates: pathlib.Path):
        super().__init__(charm, "reconciler")
        self._charm = charm
        self._service = service
        self._templates = Templates(templates)
        self._status: Status | None = None
        is_machine = bool(service.processes) and not charm.meta.containers
        self._machine = Machine(service.name) if is_machine else None
        self._observe_events()

    def _observe_events(self) -> None:
        on, handle = self._charm.on, self.framework.observe
        if self._machine:
            # Observed first, so handled first: everything else works with what these install.
            for event in (on.install, on.upgrade_charm, on.start):
                handle(event, self._on_prepare)
        for event in (
            on.config_changed,
            on.leader_elected,
            on.secret_changed,
            on.start,
            on.update_status,
            on.upgrade_charm,
        ):
            handle(event, self._on_thorough_event)
        for endpoint in self._charm.meta.relations:
            prefixed = on[endpoint]
            handle(prefixed.relation_created, self._on_event)
            handle(prefixed.relation_joined, self._on_event)
            handle(prefixed.relation_changed, self._on_event)
            handle(prefixed.relation_departed, self._on_event)
            handle(prefixed.relation_broken, self._on_event)
        for container in self._charm.meta.containers:
            handle(on[container].pebble_ready, self._on_thorough_event)
            # A failed check only reports: a slow start would become a restart loop.
            handle(on[container].pebble_check_recovered, self._on_event)
        for secret in self._service.own_secrets:
            if secret.action:
                handle(on[secret.action].action, self._on_rotate_action)
        handle(on.secret_rotate, self._on_secret_rotate)
        handle(on.secret_remove, self._on_secret_unused)
        handle(on.secret_expired, self._on_secret_unused)
        handle(on.stop, self._on_stop)
        handle(on.collect_unit_status, self._on_collect_status)

    # --- events --------------------------------------------------------------------------------

    def _on_event(self, _: ops.EventBase) -> None:
        seen = self.observe(refresh=False)
        self._reconcile(seen, self._balanced(seen, again=False))

    def _on_thorough_event(self, _: ops.EventBase) -> None:
        """Reconcile what no other event changes, too: revisions of secrets, open ports."""
        seen = self.observe()
        made = self._reconcile(seen, self._balanced(seen, again=True))
        self._charm.unit.set_ports(*made.ports)

    def _on_prepare(self, _: ops.EventBase) -> None:
        """Bring packages, users and the runtime to the machine, if they are not there."""
        if self._machine:
            self._show("preparing the machine")
            name = self._service.runtime
            archive = self._charm.model.resources.fetch(name) if name else None
            self._machine.prepare(self._service, archive)

    def _on_secret_rotate(self, event: ops.SecretRotateEvent) -> None:
        try:
            self.rotate(event.secret.label or "")
        except ownership.CannotRotateError as error:
            # Juju asks again at the next date; until then the present content stays good.
            logger.warning("%s", error)

    def _on_rotate_action(self, event: ops.ActionEvent) -> None:
        name = event.handle.kind.removesuffix("_action").replace("_", "-")
        label = next(each.label for each in self._service.own_secrets if each.action == name)
        try:
            self.rotate(label)
        except ownership.CannotRotateError as error:
            event.fail(str(error))
        else:
            event.set_results({"result": f"rotated {label}"})

    def _on_secret_unused(self, event: ops.SecretRemoveEvent | ops.SecretExpiredEvent) -> None:
        event.remove_revision()

    def _on_stop(self, _: ops.StopEvent) -> None:
        names = tuple(each.name for each in self._service.processes)
        if self._machine:
            self._machine.stop(names)
        for name in self._charm.meta.containers:
            container = self._charm.unit.get_container(name)
            if container.can_connect():
                target = Container(container)
                if self._goes_alone() and name == self._service.name:
                    workload.say_farewell(target, self._service.farewells, self._show)
                target.stop(names)
        if self._service.load_balancer and self._charm.app.planned_units() == 0:
            kubernetes.remove_load_balancer(self._charm.app.name, self._charm.model.name)

    def _goes_alone(self) -> bool:
        """Tell whether this unit goes for good while others stay."""
        planned = self._charm.app.planned_units()
        return 0 < planned <= unit_number(self._charm.unit.name)

    def _on_collect_status(self, event: ops.CollectStatusEvent) -> None:
        status = self._status or self._look()
        event.add_status(ops.StatusBase.from_name(status.name, status.message))

    # --- the path ------------------------------------------------------------------------------

    def observe(self, *, refresh: bool = True) -> Snapshot:
        """Read everything that a plan may depend on; `refresh` looks for new secret revisions."""
        return observe.observe(self._charm, self._service, self._machine, refresh=refresh)

    @property
    def machine(self) -> Machine:
        """The machine of a machine charm, for its actions."""
        if self._machine is None:
            raise TypeError(f"{self._service.name} runs in a container")
        return self._machine

    def secret_id(self, snapshot: Snapshot, label: str) -> str | None:
        """Give the id of one of the application's own secrets, or None before it is made."""
        return publish.secret_id(snapshot, label)

    def rotate(self, label: str) -> None:
        """Give an own secret its next content and bring this unit to it.

        Raises:
            CannotRotateError: It must not be rotated now.
        """
        seen = self.observe()
        wanted = ownership.rotate(self._service, seen, label)
        made = self._plan(wanted)
        if self._service.processes and made.workload is None:
            # A new password, say, must reach the service together with the secret.
            raise ownership.CannotRotateError(f"cannot rotate {label}: {made.status.message}")
        self._reconcile(seen, wanted)

    def _balanced(self, seen: Snapshot, *, again: bool) -> Snapshot:
        """Give what was seen with the load balancer, made if somebody needs it.

        Args:
            seen: What was observed.
            again: Whether to look after one that is there.
        """
        balancer = self._service.load_balancer
        if balancer is None or not seen.is_leader or seen.is_leaving:
            return seen
        if not balancer.wanted(seen) or (seen.load_balancer and not again):
            return seen
        found = kubernetes.ensure_load_balancer(seen.app, seen.model, balancer.ports)
        # Trust that was taken back does not take the service away.
        address = seen.load_balancer if found.problem else found.address
        return dataclasses.replace(
            seen, load_balancer=address, load_balancer_problem=found.problem
        )

    def _reconcile(self, seen: Snapshot, wanted: Snapshot) -> plan.Plan:
        """Plan for what is wanted and apply what differs from what was seen."""
        made = self._plan(wanted)
        self._status = made.status
        if made.workload:
            outcome = workload.apply(
                self._target(made.workload),
                made.workload,
                records.records(wanted),
                self._show,
            )
            self._status = outcome.status or made.status
            now = records.reached(self._service, wanted, outcome.done, outcome.status is None)
            if now is not wanted:  # what was reached is part of what is published
                made = self._plan(now)
        publish.publish(self._charm, seen, made.publications)
        return made

    def _look(self) -> Status:
        """Tell the status without changing anything."""
        made = self._plan(self.observe(refresh=False))
        if made.workload is None:
            return made.status
        target = self._target(made.workload)
        if reason := workload.refused(target, made.workload):
            return Status("blocked", reason)
        silent = workload.silent(target, made.workload)
        return workload.offline(silent) if silent else made.status

    def _target(self, wanted: layout.Workload) -> Target:
        if self._machine:
            return self._machine
        return Container(self._charm.unit.get_container(wanted.container))

    def _plan(self, snapshot: Snapshot) -> plan.Plan:
        return plan.make(self._service, snapshot, self._templates)

    def _show(self, message: str) -> None:
        self._charm.unit.status = ops.MaintenanceStatus(message)
