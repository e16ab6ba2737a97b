"""What the commands of one hook work on: the model, the hook, and the hook's buffer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from localjuju import crossmodel
from localjuju.hooks.buffer import ActionOutcome, Buffer, merge
from localjuju.model import (
    Action,
    Application,
    Charm,
    Hook,
    HookKind,
    Model,
    Relation,
    RelationEnd,
    RelationView,
    Unit,
)

MEMBER_HOOKS = frozenset({HookKind.RELATION_JOINED, HookKind.RELATION_CHANGED})

OnLog = Callable[[str, str, str], None]
"""Takes level, module and message of a log line."""


class Timer(Protocol):
    """Tells the time; any engine clock fits."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where things are, as the charm container sees them.

    Attributes:
        charm: The charm folder.
        tools: The folder with the hook commands.
        hook_socket: The socket on which the engine serves them.
        resources: The folder with the unit's resources.
        resources_host: The same folder on this host.
        hostname: The pod's host name.
        subnets: Space → its network, CIDR.
        passthrough: Variables of the charm container itself that hooks see too
            (`KUBERNETES_SERVICE_HOST`, …).
        api_addresses: What hooks see as the controller's addresses.
    """

    charm: str
    tools: str
    hook_socket: str
    resources: str
    resources_host: Path
    hostname: str = ""
    subnets: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    passthrough: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    api_addresses: tuple[str, ...] = ("127.0.0.1:17070",)


@dataclasses.dataclass
class Session:
    """The state behind the commands of one hook.

    Attributes:
        all_models: Returns every model, for what crosses the border of this one.
        buffer: Effects that wait for the end of the hook.
        action: What the action said, None outside an action.
        reboot: When the machine is to be restarted: `now`, or `after` this hook; empty: not.
        changed_now: An immediate effect touched the model and is not persisted yet.
        others: Bags of remote units that are not members, and application bags, as first read:
            they stay as they are for this hook only.
    """

    model: Model
    unit_name: str
    hook: Hook
    timer: Timer
    paths: Paths
    on_log: OnLog
    random_bytes: Callable[[int], bytes]
    all_models: Callable[[], Collection[Model]] = tuple
    buffer: Buffer = dataclasses.field(default_factory=Buffer)
    outcome: ActionOutcome | None = None
    changed_now: bool = False
    reboot: str = ""
    others: dict[tuple[int, str], dict[str, str]] = dataclasses.field(
        default_factory=dict[tuple[int, str], dict[str, str]]
    )

    @property
    def unit(self) -> Unit:
        """The unit that runs the hook."""
        return self.model.units[self.unit_name]

    @property
    def app(self) -> Application:
        """Its application."""
        return self.model.applications[self.unit.app]

    @property
    def charm(self) -> Charm:
        """Its charm."""
        return self.model.charm_of(self.unit.app)

    @property
    def is_leader(self) -> bool:
        """Whether the unit leads its application now."""
        return self.app.leader == self.unit_name

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.timer.now()

    @property
    def action(self) -> Action | None:
        """The task that runs, None outside an action."""
        if self.outcome is None:
            return None
        return self.model.actions.get(self.hook.action_id)

    # --- Relations

    def relations(self) -> dict[int, Relation]:
        """Return the relations that the unit takes part in, by id."""
        return {
            number: self.model.relations[number]
            for number, view in sorted(self.unit.relations.items())
            if number in self.model.relations
            and (number == self.hook.relation_id or (view.entered and not view.broken))
        }

    def model_behind(self, relation: Relation) -> str:
        """Return the UUID of the model that a relation's other end is in."""
        crossing = relation.crossing
        return self.model.uuid if crossing is None else crossing.model

    def secret_owner(self, reference: str) -> tuple[Model | None, str]:
        """Return the model of the secret that a URI or id names, and its bare id."""
        models = self.all_models() or (self.model,)
        return crossmodel.owner_model(self.model, models, reference)

    def view(self, relation: Relation) -> RelationView:
        """Return what the unit has seen of the relation."""
        return self.unit.relations.setdefault(relation.id, RelationView())

    def own_end(self, relation: Relation) -> RelationEnd:
        """Return the relation's end on this side."""
        return next(end for end in relation.ends if end.app == self.unit.app)

    def remote_app(self, relation: Relation) -> str:
        """Return the application on the other side; in a peer relation, this one."""
        others = [end.app for end in relation.ends if end.app != self.unit.app]
        return others[0] if others else self.unit.app

    def members(self, relation: Relation) -> list[str]:
        """Return the remote units that joined and have not departed."""
        names = set(self.view(relation).members)
        if self.hook.relation_id == relation.id and self.hook.remote_unit:
            if self.hook.kind is HookKind.RELATION_JOINED:
                names.add(self.hook.remote_unit)
            elif self.hook.kind is HookKind.RELATION_DEPARTED:
                names.discard(self.hook.remote_unit)
        return sorted(names, key=unit_order)

    def own_bag(self, relation: Relation, entity: str) -> dict[str, str]:
        """Return the bag of this unit or application, with what the hook has written so far."""
        bags = relation.unit_bags if "/" in entity else relation.app_bags
        bag = bags.get(entity)
        data = dict(bag.data) if bag is not None else {}
        return merge(data, self.buffer.bags.get((relation.id, entity), {}))

    def remote_bag(self, relation: Relation, entity: str) -> dict[str, str] | None:
        """Return the bag of a remote unit or application as this hook sees it; None: no bag.

        A member's bag stays as first read until a joined or changed hook of that very unit,
        across hooks; anything else is read once per hook.
        """
        bags = relation.unit_bags if "/" in entity else relation.app_bags
        member = "/" in entity and entity in self.members(relation)
        cached = self.view(relation).cached
        if member and entity in cached:
            return cached[entity]
        key = (relation.id, entity)
        if key in self.others:
            return self.others[key]
        bag = bags.get(entity)
        if bag is None:
            return None if "/" in entity else {}
        data = dict(bag.data)
        if member:
            cached[entity] = data
        else:
            self.others[key] = data
        return data

    def forget_stale_bags(self) -> None:
        """Drop the cached bag of the unit whose joined, changed or departed hook begins."""
        relation_id, remote = self.hook.relation_id, self.hook.remote_unit
        if relation_id is None or not remote:
            return
        if self.hook.kind in MEMBER_HOOKS or self.hook.kind is HookKind.RELATION_DEPARTED:
            view = self.unit.relations.get(relation_id)
            if view is not None:
                view.cached.pop(remote, None)

    # --- Small things

    def log(self, level: str, message: str) -> None:
        """Write a line to the unit's log, as `juju-log` does."""
        self.on_log(level, f"unit.{self.unit_name}.juju-log", message)

    def touched(self) -> None:
        """Note that an immediate effect changed the model."""
        self.changed_now = True


def unit_order(name: str) -> tuple[str, int]:
    """Return a key that sorts unit names by application, then number."""
    app, _, number = name.partition("/")
    return app, int(number) if number.isdigit() else -1
