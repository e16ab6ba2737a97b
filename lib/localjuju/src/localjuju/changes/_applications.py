"""Applications, their units, charms, resources and storage."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from localjuju.changes import _machines
from localjuju.changes._constraints import check_constraints
from localjuju.changes._errors import ChangeError, alive_application, application
from localjuju.changes._errors import unit as find_unit
from localjuju.changes._offers import check_no_connections
from localjuju.changes._options import check_config
from localjuju.changes._relations import INFO, new_relation
from localjuju.model import (
    ALPHA,
    Application,
    Charm,
    Life,
    Model,
    Relation,
    RelationEnd,
    Resource,
    Status,
    Step,
    StorageAttachment,
    StorageSpec,
    Unit,
)
from localjuju.values import ValueTypeError, coerce

STORAGE_LOCATION = "/var/lib/juju/storage"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?[MGTPEZY](i?B)?")


def add_charm(model: Model, charm: Charm) -> str:
    """Add a charm to the model under the next revision of its name; return its URL."""
    revision = model.next_charm_revision.get(charm.name, 0)
    model.next_charm_revision[charm.name] = revision + 1
    url = f"local:{charm.name}-{revision}"
    model.charms[url] = dataclasses.replace(charm, url=url, revision=revision)
    return url


def deploy(
    model: Model,
    charm: Charm,
    name: str,
    *,
    units: int = 1,
    config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Resource] | None = None,
    trust: bool = False,
    storage: Mapping[str, str] | None = None,
    constraints: str = "",
    bindings: Mapping[str, str] | None = None,
    placement: Sequence[str] = (),
    spaces: Collection[str] = (ALPHA,),
    now: float = 0.0,
) -> Application:
    """Add a charm and an application that runs it; see `add_application`.

    Charms that nobody runs any more are dropped.

    Raises:
        ChangeError: As `add_application`; the charm is not left behind then.
    """
    url = add_charm(model, charm)
    try:
        app = add_application(
            model,
            name,
            url,
            units=units,
            config=config,
            resources=resources,
            trust=trust,
            storage=storage,
            constraints=constraints,
            bindings=bindings,
            placement=placement,
            spaces=spaces,
            now=now,
        )
    except ChangeError:
        forget_charm(model, url)
        raise
    _drop_unused_charms(model)
    return app


def forget_charm(model: Model, url: str) -> None:
    """Take a charm back that was added last, with its number."""
    charm = model.charms.pop(url)
    if charm.revision:
        model.next_charm_revision[charm.name] = charm.revision
    else:
        del model.next_charm_revision[charm.name]


def unused_charms(model: Model) -> list[str]:
    """Return the URLs of charms that no application and no unit runs any more."""
    used = {app.charm_url for app in model.applications.values()}
    used.update(unit.charm_url for unit in model.units.values())
    return sorted(set(model.charms) - used)


def _drop_unused_charms(model: Model) -> None:
    for url in unused_charms(model):
        del model.charms[url]


def add_application(
    model: Model,
    name: str,
    charm_url: str,
    *,
    units: int = 1,
    config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Resource] | None = None,
    trust: bool = False,
    storage: Mapping[str, str] | None = None,
    constraints: str = "",
    bindings: Mapping[str, str] | None = None,
    placement: Sequence[str] = (),
    spaces: Collection[str] = (ALPHA,),
    now: float = 0.0,
) -> Application:
    """Add an application with its peer relations and first units.

    Args:
        model: The model.
        name: Name of the application.
        charm_url: URL as `add_charm` returned it.
        units: How many units it shall have.
        config: Options of the charm; text is converted to their types.
        resources: Values of the charm's resources; every image must be given.
        trust: Whether its units may use the cluster's API.
        storage: Storage name → directive such as `10G` or `pool,10G,2`.
        constraints: Constraints as the operator wrote them. `image-id` is followed for machines;
            the others are kept and shown.
        bindings: Endpoint or extra binding ("" for all others) → space.
        placement: Machines for the first units: numbers, or `new`; the others get new ones.
        spaces: The spaces that there are.
        now: Present time.

    Raises:
        ChangeError: The name is taken or not valid, or one of the values does not fit.
    """
    charm = model.charms[charm_url]
    check_name(name)
    if name in model.applications:
        state = model.applications[name].life
        ending = "application already exists" if state is Life.ALIVE else "it is being removed"
        raise ChangeError(f'cannot add application "{name}": {ending}')
    if name in model.saas:
        raise ChangeError(
            f'cannot add application "{name}": saas application with same name already exists'
        )
    if units < 0:
        raise ChangeError(f"cannot deploy {units} units")
    _check_kind(model, charm, name)
    if charm.subordinate and placement:
        raise ChangeError("subordinate application cannot be placed: its principals are")
    if len(placement) > units:
        raise ChangeError(f"{len(placement)} placements for {units} unit(s)")
    _machines.check_placement(model, placement)
    bound = dict(bindings or {})
    check_bindings(charm, bound, spaces)
    typed = check_config(charm, config or {})
    given = dict(resources or {})
    check_resources(charm, given)
    directives = dict(storage or {})
    check_storage(model, charm, directives)
    check_constraints(constraints)
    app = Application(
        name,
        charm_url,
        scale=0 if model.has_machines else units,
        config=typed,
        trust=trust,
        constraints=constraints,
        resources=given,
        storage=directives,
        bindings=bound,
        created=now,
    )
    model.applications[name] = app
    for endpoint in charm.endpoints.values():
        if endpoint.role == "peer":
            end = RelationEnd(name, endpoint.name, "peer")
            new_relation(model, endpoint.interface, (end,), endpoint.scope)
    ensure_units(model, name, now)
    if model.has_machines and not charm.subordinate:
        _add_on_machines(model, app, units, placement, now)
    return app


def _check_kind(model: Model, charm: Charm, name: str) -> None:
    """Check that a charm can run in a model: in pods, or on machines."""
    if model.has_machines and charm.containers:
        raise ChangeError(
            f'cannot deploy "{name}": charm "{charm.name}" is for Kubernetes, and '
            f'model "{model.name}" has machines'
        )
    if charm.subordinate and not model.has_machines:
        raise ChangeError(
            f'cannot deploy "{name}": subordinate charms are not supported in Kubernetes models'
        )


def check_bindings(charm: Charm, bindings: Mapping[str, str], spaces: Collection[str]) -> None:
    """Check that bindings name endpoints of the charm, and spaces that there are.

    Raises:
        ChangeError: One does not.
    """
    for name, space in bindings.items():
        if name and name not in charm.endpoints and name not in charm.extra_bindings:
            raise ChangeError(f'charm "{charm.name}" has no endpoint or binding "{name}" to bind')
        if space not in spaces:
            raise ChangeError(f'space "{space}" not found; there are: {", ".join(spaces)}')


def check_name(name: str) -> None:
    """Check the name of an application.

    Raises:
        ChangeError: Juju would not take it.
    """
    if not _NAME.fullmatch(name):
        raise ChangeError(
            f'invalid application name "{name}": use lower-case letters, digits and dashes; '
            "a letter first, and no dash before digits alone"
        )


def check_resources(charm: Charm, given: Mapping[str, Resource]) -> None:
    """Check that resources are the charm's and that no image is missing.

    Raises:
        ChangeError: One is unknown or of another type, or an image is missing.
    """
    for name, resource in given.items():
        declared = charm.resources.get(name)
        if declared is None:
            raise ChangeError(f'unrecognized resource "{name}" of charm "{charm.name}"')
        if declared["type"] != resource.kind:
            raise ChangeError(f'resource "{name}" is of type {declared["type"]}')
    images = [name for name, body in charm.resources.items() if body["type"] == "oci-image"]
    missing = sorted(name for name in images if name not in given)
    if missing:
        raise ChangeError(
            f"local charm missing OCI images for: {', '.join(missing)}; "
            f"give each with --resource {missing[0]}=IMAGE"
        )


def check_storage(model: Model, charm: Charm, directives: Mapping[str, str]) -> None:
    """Check storage directives against what the charm declares.

    Raises:
        ChangeError: A storage is unknown, a block device, or its count is out of range.
    """
    for name in directives:
        if name not in charm.storage:
            raise ChangeError(f'charm "{charm.name}" has no store called "{name}"')
    for name, spec in charm.storage.items():
        count = _count(spec, directives.get(name, ""))
        if spec.kind != "filesystem" and (count or not model.has_machines):
            raise ChangeError(f'block storage "{name}" is not supported for container charms')


def ensure_units(model: Model, name: str, now: float) -> list[Unit]:
    """Add the units that an application lacks for its scale; return the new ones.

    Pods are numbered from 0 without gaps. A number whose former unit is still leaving is left
    out: call this again when that unit is gone.
    """
    app = model.applications[name]
    if app.life is not Life.ALIVE or model.has_machines:
        return []
    fresh: list[Unit] = []
    for ordinal in range(app.scale):
        unit_name = f"{name}/{ordinal}"
        if unit_name not in model.units:
            fresh.append(_new_unit(model, app, ordinal, now))
    return fresh


def _add_on_machines(
    model: Model, app: Application, count: int, placement: Sequence[str], now: float
) -> list[Unit]:
    """Add units under numbers that were never used, each on its machine."""
    first = app.next_ordinal
    fresh = [_new_unit(model, app, first + index, now) for index in range(count)]
    _machines.place(model, fresh, placement, app.constraints, now)
    for unit in fresh:
        unit.workload_status = Status("waiting", "waiting for machine", now)
    app.scale = sum(unit.life is Life.ALIVE for unit in model.units_of(app.name))
    return fresh


def ensure_subordinates(model: Model, now: float) -> list[Unit]:
    """Add the units that subordinates lack: one beside each principal that entered the relation.

    Call it again after every change; it returns the new ones.
    """
    fresh: list[Unit] = []
    for relation in model.relations.values():
        if relation.scope != "container" or relation.life is not Life.ALIVE:
            continue
        for end in relation.ends:
            app = model.applications[end.app]
            if not model.charm_of(end.app).subordinate or app.life is not Life.ALIVE:
                continue
            held = {unit.principal for unit in model.units_of(end.app)}
            for name in relation.in_scope:
                principal = model.units.get(name)
                if principal is None or principal.principal or principal.app == end.app:
                    continue
                if name not in held and principal.life is Life.ALIVE:
                    unit = _new_unit(model, app, app.next_ordinal, now)
                    unit.principal, unit.machine = name, principal.machine
                    fresh.append(unit)
    return fresh


def _new_unit(model: Model, app: Application, ordinal: int, now: float) -> Unit:
    unit = Unit(f"{app.name}/{ordinal}", app.name, ordinal)
    unit.workload_status = Status("waiting", "installing agent", now)
    unit.agent_status = Status("allocating", since=now)
    for spec in model.charms[app.charm_url].storage.values():
        for _ in range(_count(spec, app.storage.get(spec.name, ""))):
            _attach_storage(model, unit, spec)
    app.next_ordinal = max(app.next_ordinal, ordinal + 1)
    model.units[unit.name] = unit
    return unit


def _attach_storage(model: Model, unit: Unit, spec: StorageSpec) -> None:
    number = model.next_storage_id
    model.next_storage_id += 1
    key = f"{spec.name}/{number}"
    location = f"{STORAGE_LOCATION}/{key}"
    if model.has_machines and spec.location:  # in pods it is the workload's business
        location = spec.location if spec.maximum == 1 else f"{spec.location}/{number}"
    unit.storage[key] = StorageAttachment(key, spec.name, location, path="")


def _count(spec: StorageSpec, directive: str) -> int:
    """Return how many instances a directive asks for (`pool,10G,2`), the minimum by default."""
    count = max(spec.minimum, 0)
    for part in filter(None, directive.split(",")):
        if part.isdigit():
            count = int(part)
        elif part[0].isdigit() and not _SIZE.fullmatch(part):
            raise ChangeError(f'cannot parse size "{part}" of storage "{spec.name}"')
    if count < spec.minimum or (spec.maximum is not None and count > spec.maximum):
        most = "" if spec.maximum is None else f", at most {spec.maximum}"
        raise ChangeError(
            f'charm store "{spec.name}": {count} instances specified, '
            f"at least {spec.minimum}{most} allowed"
        )
    return count


def add_units(
    model: Model, name: str, count: int, now: float, placement: Sequence[str] = ()
) -> list[Unit]:
    """Add units to an application.

    Args:
        model: The model.
        name: The application.
        count: How many.
        now: Present time.
        placement: Machines for the first of them: numbers, or `new`.

    Raises:
        ChangeError: No such application or machine, a number that is not positive, or a
            subordinate: its units come with their principals.
    """
    app = alive_application(model, name)
    if count < 1:
        raise ChangeError("--num-units must be a positive integer")
    if model.charm_of(name).subordinate:
        raise ChangeError(f'cannot add unit: application "{name}" is a subordinate')
    if len(placement) > count:
        raise ChangeError(f"{len(placement)} placements for {count} unit(s)")
    _machines.check_placement(model, placement)
    if model.has_machines:
        return _add_on_machines(model, app, count, placement, now)
    return scale_application(model, name, app.scale + count, now)


def scale_application(model: Model, name: str, scale: int, now: float) -> list[Unit]:
    """Give an application this many units; the highest numbers leave first.

    Returns:
        The units that were added.

    Raises:
        ChangeError: No such application, or a negative number.
    """
    app = alive_application(model, name)
    if model.has_machines:
        raise ChangeError("scaling an application is only supported on Kubernetes models")
    if scale < 0:
        raise ChangeError(f'cannot scale application "{name}" to a negative number of units')
    app.scale = scale
    for unit in model.units_of(name):
        if unit.ordinal >= scale:
            unit.life = Life.DYING if unit.life is Life.ALIVE else unit.life
    return ensure_units(model, name, now)


def remove_units(
    model: Model,
    name: str,
    count: int,
    now: float,
    *,
    force: bool = False,
    destroy_storage: bool = False,
) -> list[Unit]:
    """Begin to remove the pods with the highest numbers; return their units.

    Raises:
        ChangeError: No such application, a unit's name instead of an application's, or more
            units than there are.
    """
    if model.has_machines:
        raise ChangeError(
            f'invalid unit name "{name}": on machines units are removed by their names'
        )
    if "/" in name:
        raise ChangeError(
            "k8s models do not support removing named units.\n"
            "Instead specify an application with --num-units."
        )
    app = alive_application(model, name)
    if count < 1:
        raise ChangeError("specify the number of units (> 0) to remove using --num-units")
    if count > app.scale:
        raise ChangeError(
            f'cannot remove {count} units of application "{name}": it has {app.scale}'
        )
    scale = app.scale - count
    leaving = [unit for unit in model.units_of(name) if unit.ordinal >= scale]
    scale_application(model, name, scale, now)
    for unit in leaving:
        unit.force |= force
        unit.destroy_storage |= destroy_storage
    return leaving


def remove_named_unit(
    model: Model, name: str, *, force: bool = False, destroy_storage: bool = False
) -> Unit:
    """Begin to remove a unit from its machine; a machine without units goes, too.

    Raises:
        ChangeError: No such unit, it belongs to a subordinate, or the units are pods.
    """
    if not model.has_machines:
        raise ChangeError(
            "k8s models do not support removing named units.\n"
            "Instead specify an application with --num-units."
        )
    unit = find_unit(model, name)
    if unit.principal:
        raise ChangeError(
            f'unit "{name}" is a subordinate, to remove use remove-relation. '
            f'Note: this will remove all units of "{unit.app}"'
        )
    unit.life = Life.DYING if unit.life is Life.ALIVE else unit.life
    unit.force |= force
    unit.destroy_storage |= destroy_storage
    app = model.applications[unit.app]
    app.scale = sum(other.life is Life.ALIVE for other in model.units_of(unit.app))
    return unit


def remove_application(
    model: Model, name: str, *, force: bool = False, destroy_storage: bool = False
) -> Application:
    """Begin to remove an application with its units and relations.

    Again on one that is leaving already, with `force`, its failing hooks stop holding it back.

    Raises:
        ChangeError: There is no such application, or other models use it and `force` is not set.
    """
    app = application(model, name)
    if not force:
        check_no_connections(model, (name,))
    app.life = Life.DYING
    app.scale = 0
    for unit in model.units_of(name):
        unit.life = Life.DYING if unit.life is Life.ALIVE else unit.life
        unit.force |= force
        unit.destroy_storage |= destroy_storage
    for relation in model.relations_of(name):
        if len(relation.ends) > 1:  # peers talk until the last one is gone
            relation.life = Life.DYING
    return app


def resolved(model: Model, name: str, *, retry: bool = True) -> None:
    """Let a unit's failed hook run again, or count as done.

    Raises:
        ChangeError: No such unit, or it is not in error.
    """
    unit = find_unit(model, name)
    if unit.operation is None or unit.operation.step is not Step.FAILED:
        raise ChangeError(f'unit "{name}" is not in an error state')
    unit.resolved = "retry" if retry else "no-retry"


def refresh(
    model: Model,
    name: str,
    charm_url: str | None = None,
    resources: Mapping[str, Resource] | None = None,
    *,
    force: bool = False,
    trust: bool = False,
    config: Mapping[str, Any] | None = None,
    storage: Mapping[str, str] | None = None,
    now: float = 0.0,
) -> Application:
    """Give an application another revision of its charm, other resources, or both.

    What the new charm no longer knows of the application's options is dropped, and so are
    charms that nobody runs any more.

    Raises:
        ChangeError: No such application, another charm, or the new one would break a relation
            or lose a storage.
    """
    app = alive_application(model, name)
    old = model.charm_of(name)
    new = model.charms[charm_url] if charm_url is not None else old
    if new.name != old.name:
        raise ChangeError(f'cannot refresh "{name}" to "{new.name}": it runs charm "{old.name}"')
    merged = {k: r for k, r in app.resources.items() if k in new.resources}
    changed = {k: r for k, r in (resources or {}).items() if not _same(merged.get(k), r)}
    merged.update(_next_revisions(app, changed))
    check_resources(new, merged)
    directives = app.storage | dict(storage or {})
    check_storage(model, new, directives)
    _check_refresh(model, name, new)
    typed = check_config(new, config or {})
    kept = _kept_config(new, app)

    app.charm_url = new.url
    app.resources = merged
    app.storage = directives
    app.config = kept | typed
    app.trust = app.trust or trust
    if new.url != old.url or changed:
        app.charm_modified += 1
    if force:
        app.charm_forced = app.charm_modified
    _add_peers_and_storage(model, app, new)
    _drop_unused_charms(model)
    return app


def _check_refresh(model: Model, name: str, new: Charm) -> None:
    for relation in model.relations_of(name):
        if relation.life is Life.ALIVE and not _keeps(new, name, relation):
            raise ChangeError(
                f'cannot upgrade application "{name}" to charm "{new.url}": '
                f'would break relation "{relation.key}"'
            )
    lost = sorted(set(model.charm_of(name).storage) - set(new.storage))
    if lost:
        raise ChangeError(
            f'cannot upgrade application "{name}" to charm "{new.url}": '
            f'storage "{lost[0]}" removed'
        )


def _keeps(charm: Charm, app: str, relation: Relation) -> bool:
    for end in relation.ends:
        if end.app != app or end.endpoint == INFO:
            continue
        endpoint = charm.endpoints.get(end.endpoint)
        if (
            endpoint is None
            or endpoint.interface != relation.interface
            or endpoint.role != end.role
        ):
            return False
    return True


def _kept_config(charm: Charm, app: Application) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in app.config.items():
        option = charm.config.get(name)
        if option is None:
            continue
        try:
            kept[name] = coerce(name, option["type"], value)
        except ValueTypeError:
            continue  # the option has another type now: its new default counts
    return kept


def _add_peers_and_storage(model: Model, app: Application, charm: Charm) -> None:
    have = {
        end.endpoint for r in model.relations_of(app.name) for end in r.ends if len(r.ends) == 1
    }
    for endpoint in charm.endpoints.values():
        if endpoint.role == "peer" and endpoint.name not in have:
            end = RelationEnd(app.name, endpoint.name, "peer")
            new_relation(model, endpoint.interface, (end,), endpoint.scope)
    for unit in model.units_of(app.name):
        for spec in charm.storage.values():
            held = sum(s.name == spec.name for s in unit.storage.values())
            for _ in range(_count(spec, app.storage.get(spec.name, "")) - held):
                _attach_storage(model, unit, spec)


def attach_resources(model: Model, name: str, resources: Mapping[str, Resource]) -> bool:
    """Give an application other resources; return whether that changes anything.

    Raises:
        ChangeError: No such application or resource.
    """
    app = alive_application(model, name)
    before = app.charm_modified
    refresh(model, name, None, resources)
    return app.charm_modified != before


def _same(old: Resource | None, new: Resource) -> bool:
    return old is not None and dataclasses.replace(old, revision=new.revision) == new


def _next_revisions(app: Application, changed: Mapping[str, Resource]) -> dict[str, Resource]:
    fresh: dict[str, Resource] = {}
    for name, resource in changed.items():
        held = app.resources.get(name)
        revision = held.revision + 1 if held is not None else 0
        fresh[name] = dataclasses.replace(resource, revision=revision)
    return fresh


def set_trust(model: Model, name: str, *, trust: bool) -> None:
    """Let an application's units use the cluster's API, or not.

    Raises:
        ChangeError: There is no such application.
    """
    alive_application(model, name).trust = trust


def set_exposed(model: Model, name: str, *, exposed: bool) -> None:
    """Mark an application as reachable from outside, or not.

    Raises:
        ChangeError: There is no such application.
    """
    alive_application(model, name).exposed = exposed


def bind(model: Model, name: str, bindings: Mapping[str, str], spaces: Collection[str]) -> None:
    """Bind endpoints of an application to spaces; those that are not named stay as they are.

    Raises:
        ChangeError: No such application, endpoint or space.
    """
    app = alive_application(model, name)
    check_bindings(model.charm_of(name), bindings, spaces)
    app.bindings = app.bindings | dict(bindings)


def set_constraints(model: Model, name: str, constraints: Iterable[str]) -> None:
    """Set an application's constraints; `image-id` counts for machines that it gets from now on.

    Raises:
        ChangeError: No such application, or a constraint is malformed.
    """
    app = alive_application(model, name)
    text = " ".join(constraints)
    check_constraints(text)
    app.constraints = text
