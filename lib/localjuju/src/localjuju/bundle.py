"""Bundles: read strictly, merge overlays, and compare with a model. All pure but for reading.

`read` makes a `Bundle` of a file, its further documents and overlays. `plan` compares it with a
model and returns the changes that are missing, in order; each is tried on a copy of the model
first, so that what can be known to fail fails before anything was done.

Source: Juju's documentation of bundles and overlays; keys that Juju merely warns of are refused.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from localjuju import changes
from localjuju.facts import space_of
from localjuju.model import ALPHA, Charm, Life, Model, Resource, Unit

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOP = frozenset(
    (
        "bundle",
        "name",
        "description",
        "default-base",
        "series",
        "applications",
        "relations",
        "saas",
        "machines",
    )
)
_MACHINE = frozenset(("constraints", "annotations", "base", "series"))
_APPLICATION = frozenset(
    (
        "charm",
        "channel",
        "revision",
        "base",
        "series",
        "resources",
        "scale",
        "num_units",
        "options",
        "constraints",
        "storage",
        "bindings",
        "annotations",
        "expose",
        "trust",
        "to",
    )
)
_OVERLAY_ONLY = frozenset(("offers",))
_NOT_HERE = {
    "placement": "pods cannot be placed: there is one host",
    "devices": "devices are not supported",
    "plan": "plans are not supported",
    "exposed-endpoints": "endpoints cannot be exposed one by one",
    "offers": "offers stand in overlays only, such as the file's second document",
}

Data = dict[str, Any]


class BundleError(Exception):
    """A bundle cannot be used, or one of its changes failed; the text names the place."""


@dataclasses.dataclass(frozen=True)
class BundleOffer:
    """An offer as a bundle describes it: endpoints, and who may do what with it."""

    endpoints: tuple[str, ...]
    users: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


@dataclasses.dataclass(frozen=True)
class BundleApplication:
    """An application as a bundle describes it; paths are absolute.

    Attributes:
        charm: Path of the charm.
        scale: Units; None leaves an existing application's number alone.
        resources: Name → image reference, or path of a file.
        to: Machines of the bundle for its first units, or `new`.
        bindings: Endpoint or extra binding ("" for all others) → space.
    """

    name: str
    charm: Path
    scale: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    resources: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    storage: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    constraints: str | None = None
    to: tuple[str, ...] = ()
    bindings: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    expose: bool = False
    trust: bool = False
    offers: Mapping[str, BundleOffer] = dataclasses.field(default_factory=dict[str, BundleOffer])


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What a bundle with its overlays wants.

    Attributes:
        saas: Name → URL of an offer of another model.
        machines: Id in the bundle → constraints. Those of the model have ids of their own.
        is_kubernetes: Whether it says that it is for a model of pods.
    """

    applications: Mapping[str, BundleApplication]
    relations: tuple[tuple[str, str], ...]
    saas: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    machines: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    is_kubernetes: bool = False


@dataclasses.dataclass(frozen=True)
class Change:
    """One change that brings a model nearer to a bundle."""

    text: str
    edit: Callable[[Model], object]


# --- Reading -----------------------------------------------------------------------------------


def read(path: Path, overlays: Sequence[Path] = ()) -> Bundle:
    """Read a bundle and its overlays.

    Args:
        path: The bundle file; its further YAML documents count as overlays.
        overlays: Overlay files, applied in this order.

    Raises:
        BundleError: A file cannot be read, or says what cannot be.
    """
    base, *more = _documents(path)
    if not base.get("applications"):
        raise BundleError(f"cannot read bundle {path}: it has no applications")
    _check_document(path, base, is_base=True)
    merged = _resolved(path, base)
    for document in more:
        _check_document(path, document)
        merged = merge(merged, _resolved(path, document))
    for overlay in overlays:
        for document in _documents(overlay):
            _check_document(overlay, document)
            merged = merge(merged, _resolved(overlay, document))
    return _bundle(path, merged)


def merge(base: Data, overlay: Data) -> Data:
    """Lay one overlay over a bundle.

    Applications are merged key by key; one without a value goes, with its relations, and so does
    one of another model (`saas`); relations are added, machines replaced.
    """
    applications: Data = dict(base["applications"])
    relations: list[Any] = list(base.get("relations") or ())
    saas = {**_part(base, "saas"), **_part(overlay, "saas")}
    gone = {name for name, body in saas.items() if body is None}
    for name, body in _part(overlay, "applications").items():
        if body is None:
            applications.pop(name, None)
            gone.add(name)
        elif name in applications:
            applications[name] = _merged_application(applications[name], body)
        else:
            applications[name] = body
    relations = [pair for pair in relations if gone.isdisjoint({_app(end) for end in pair})]
    relations += [pair for pair in overlay.get("relations") or () if pair not in relations]
    saas = {name: body for name, body in saas.items() if body is not None}
    machines = overlay.get("machines") or base.get("machines")
    return {
        **base,
        "applications": applications,
        "saas": saas,
        "machines": machines,
        "relations": relations,
    }


def _merged_application(base: Data, overlay: Data) -> Data:
    merged = dict(base)
    for key, value in overlay.items():
        other = {"scale": "num_units", "num_units": "scale"}.get(key)
        if other is not None:
            merged.pop(other, None)
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = {**merged[key], **cast(Data, value)}
        else:
            merged[key] = value
    return merged


def _part(parent: Data, key: str) -> Data:
    return cast(Data, parent.get(key) or {})


def _documents(path: Path) -> list[Data]:
    try:
        with path.open("rb") as stream:
            found = list(yaml.load_all(stream, Loader=_LOADER))
    except OSError as error:
        raise BundleError(f"cannot read bundle {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BundleError(f"cannot read bundle {path}: {' '.join(str(error).split())}") from error
    documents = [document for document in found if document is not None]
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise BundleError(f"cannot read bundle {path}: it is not a YAML mapping")
    return cast(list[Data], documents)


def _check_document(path: Path, document: Data, *, is_base: bool = False) -> None:
    for key in document:
        if key not in _TOP:
            raise BundleError(f"cannot read bundle {path}: unknown key {key}")
    if document.get("bundle") not in {None, "kubernetes"}:
        raise BundleError(
            f"cannot read bundle {path}: bundle: {document['bundle']}, expected kubernetes"
        )
    for name, body in _mapping(path, document, "applications").items():
        if body is None:
            continue
        if not isinstance(body, dict):
            raise BundleError(f"cannot read bundle {path}: application {name} is not a mapping")
        for key in cast(Data, body):
            if key in _OVERLAY_ONLY and not is_base:
                continue
            if key in _NOT_HERE:
                raise BundleError(
                    f"cannot read bundle {path}: application {name}: {key}: {_NOT_HERE[key]}"
                )
            if key not in _APPLICATION:
                raise BundleError(f"cannot read bundle {path}: application {name}: unknown {key}")
    for number, body in _mapping(path, document, "machines").items():
        unknown = sorted({*_mapping(path, {"machines": body}, "machines")} - _MACHINE)
        if unknown:
            raise BundleError(f"cannot read bundle {path}: machine {number}: unknown {unknown[0]}")
    for name, body in _mapping(path, document, "saas").items():
        url: Any = cast(Data, body).get("url") if isinstance(body, dict) else None
        if body is not None and not isinstance(url, str):
            raise BundleError(f"cannot read bundle {path}: saas {name} has no url")
    relations: Any = document.get("relations")
    if relations is not None and not isinstance(relations, list):
        raise BundleError(f"cannot read bundle {path}: relations is not a list")
    for pair in cast(list[Any], relations or []):
        if not _is_pair(pair):
            raise BundleError(
                f"cannot read bundle {path}: relation {pair!r} is not a pair of ends"
            )


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, list):
        return False
    ends = cast(list[Any], pair)
    return len(ends) == 2 and all(isinstance(end, str) for end in ends)


def _mapping(path: Path, parent: Data, key: str) -> Data:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BundleError(f"cannot read bundle {path}: {key} is not a mapping")
    return cast(Data, value)


def _resolved(path: Path, document: Data) -> Data:
    """Make the paths of a document absolute: they are relative to the file that it is in."""
    folder = path.resolve().parent
    applications: Data = {}
    for name, body in _mapping(path, document, "applications").items():
        applications[name] = None if body is None else _resolved_application(path, folder, body)
    return {**document, "applications": applications}


def _resolved_application(path: Path, folder: Path, body: Data) -> Data:
    found = dict(body)
    charm = found.get("charm")
    if isinstance(charm, str) and charm.startswith((".", "/", "local:")):
        found["charm"] = str((folder / charm.removeprefix("local:")).resolve())
    elif charm is not None:
        raise BundleError(
            f"cannot read bundle {path}: charm {charm!r} is not a path; "
            "there is no store of charms here, so give ./NAME.charm"
        )
    for key in ("options", "resources", "storage", "bindings"):
        if key in found:
            found[key] = dict(_mapping(path, found, key))
    for name, value in found.get("resources", {}).items():
        if isinstance(value, int):
            raise BundleError(
                f"cannot read bundle {path}: resource {name} is a store's revision {value}; "
                "give an image or a file"
            )
        # An image reference could be written like a path: what is there as a file is one.
        if str(value).startswith((".", "/")) or (folder / str(value)).is_file():
            found["resources"][name] = str((folder / str(value)).resolve())
    for name, value in found.get("options", {}).items():
        found["options"][name] = _included(path, folder, value)
    return found


def _included(path: Path, folder: Path, value: Any) -> Any:
    for scheme in ("include-file://", "include-base64://"):
        if isinstance(value, str) and value.startswith(scheme):
            try:
                raw = (folder / value.removeprefix(scheme)).read_bytes()
            except OSError as error:
                raise BundleError(
                    f"cannot read bundle {path}: {value}: {error.strerror}"
                ) from error
            return base64.b64encode(raw).decode() if "base64" in scheme else raw.decode()
    return value


def _bundle(path: Path, merged: Data) -> Bundle:
    applications = {
        name: _application(path, name, body) for name, body in merged["applications"].items()
    }
    saas = {name: str(body["url"]) for name, body in _part(merged, "saas").items()}
    for name in saas.keys() & applications.keys():
        raise BundleError(f"cannot read bundle {path}: saas {name} has the name of an application")
    relations = _relations(path, merged, {*applications, *saas})
    machines = {
        str(number): str(_part({"machine": body}, "machine").get("constraints") or "")
        for number, body in _part(merged, "machines").items()
    }
    _check_machines(path, applications, machines)
    kubernetes = merged.get("bundle") == "kubernetes"
    if kubernetes and machines:
        raise BundleError(f"cannot read bundle {path}: a kubernetes bundle cannot have machines")
    return Bundle(applications, tuple(relations), saas, machines, kubernetes)


def _check_machines(
    path: Path, applications: Mapping[str, BundleApplication], machines: Collection[str]
) -> None:
    used: set[str] = set()
    for app in applications.values():
        for word in app.to:
            if word != changes.NEW and word not in machines:
                raise BundleError(
                    f"cannot read bundle {path}: application {app.name}: to: there is no machine "
                    f"{word}"
                )
        if len(app.to) > (1 if app.scale is None else app.scale):
            raise BundleError(
                f"cannot read bundle {path}: application {app.name}: to names more machines than "
                "there are units"
            )
        used.update(app.to)
    unused = sorted(set(machines) - used)
    if unused:
        raise BundleError(f"cannot read bundle {path}: no unit is placed on machine {unused[0]}")


def _application(path: Path, name: str, body: Data) -> BundleApplication:
    where = f"cannot read bundle {path}: application {name}"
    if not body.get("charm"):
        raise BundleError(f"{where} names no charm")
    if "scale" in body and "num_units" in body:
        raise BundleError(f"{where} has both scale and num_units")
    scale = body.get("scale", body.get("num_units"))
    if scale is not None and (not isinstance(scale, int) or isinstance(scale, bool) or scale < 0):
        raise BundleError(f"{where}: scale {scale!r} is not a number of units")
    for key in ("expose", "trust"):
        if not isinstance(body.get(key, False), bool):
            raise BundleError(f"{where}: {key} is {body[key]!r}, not true or false")
    constraints = body.get("constraints")
    to: Any = body.get("to") or []
    places = cast(list[Any], to) if isinstance(to, list) else [to]
    return BundleApplication(
        name,
        Path(body["charm"]),
        scale,
        options=_part(body, "options"),
        resources={k: str(v) for k, v in _part(body, "resources").items()},
        storage={k: str(v) for k, v in _part(body, "storage").items()},
        constraints=None if constraints is None else str(constraints),
        to=tuple(str(place) for place in places),
        bindings={str(k): str(v) for k, v in _part(body, "bindings").items()},
        expose=body.get("expose", False),
        trust=body.get("trust", False),
        offers={n: _offer(where, n, found) for n, found in _part(body, "offers").items()},
    )


def _offer(where: str, name: str, body: Any) -> BundleOffer:
    found = cast(Data, body) if isinstance(body, dict) else {}
    endpoints: Any = found.get("endpoints")
    if not isinstance(endpoints, list) or not endpoints:
        raise BundleError(f"{where}: offer {name} names no endpoints")
    users = {user: str(access) for user, access in _part(found, "acl").items()}
    return BundleOffer(tuple(str(one) for one in cast(list[Any], endpoints)), users)


def _relations(
    path: Path, merged: Data, applications: Collection[str]
) -> Iterator[tuple[str, str]]:
    seen: set[frozenset[str]] = set()
    for one, other in merged.get("relations") or ():
        for end in (one, other):
            if _app(end) not in applications:
                raise BundleError(
                    f"cannot read bundle {path}: relation [{one}, {other}] names the unknown "
                    f"application {_app(end)}"
                )
        if _app(one) == _app(other):
            raise BundleError(
                f"cannot read bundle {path}: relation [{one}, {other}] relates an application "
                "to itself"
            )
        pair = frozenset((one, other))
        if pair in seen:
            raise BundleError(f"cannot read bundle {path}: relation [{one}, {other}] twice")
        seen.add(pair)
        yield one, other


def _app(end: str) -> str:
    return end.partition(":")[0]


# --- Comparing ---------------------------------------------------------------------------------


def missing_applications(bundle: Bundle, model: Model) -> list[BundleApplication]:
    """Return the applications of a bundle that a model lacks: their charms are needed."""
    return [app for app in bundle.applications.values() if app.name not in model.applications]


def plan(
    bundle: Bundle,
    model: Model,
    charms: Mapping[str, Charm],
    resources: Mapping[str, Mapping[str, Resource]],
    *,
    trust: bool,
    now: float,
    find_offer: Callable[[str], changes.OfferDetails] | None = None,
    spaces: Collection[str] = (ALPHA,),
) -> list[Change]:
    """Return what is missing in a model, in order; nothing when it is as the bundle wants it.

    Charms of existing applications are left alone: refresh these one by one.

    Args:
        bundle: The bundle.
        model: The model; it is not touched.
        charms: Charm of each missing application.
        resources: Resources of each missing application.
        trust: Whether the operator agrees that applications are trusted.
        now: Present time.
        find_offer: Returns an offer of another model by its URL.
        spaces: The spaces that there are.

    Raises:
        BundleError: The bundle cannot be brought about in this model.
    """
    asking = sorted(app.name for app in bundle.applications.values() if app.trust)
    if asking and not trust:
        raise BundleError(
            "cannot deploy bundle: repeat the deploy command with the --trust argument if you "
            f"consent to trust the following application(s): {', '.join(asking)}"
        )
    if bundle.is_kubernetes and model.has_machines:
        raise BundleError(f'cannot deploy bundle: model "{model.name}" has machines, no pods')
    trial = copy.deepcopy(model)
    found: list[Change] = []
    consumed: dict[str, changes.OfferDetails] = {}
    for name, url in bundle.saas.items():
        if find_offer is None:
            raise BundleError(f"cannot deploy bundle: saas {name}: there are no other models")
        try:
            consumed[name] = find_offer(url)
        except changes.ChangeError as error:
            raise BundleError(f"cannot deploy bundle: saas {name}: {error}") from error
    given = _Given(charms, resources, spaces, _Machines(bundle, model), now)
    for change in _changes(bundle, trial, given, consumed):
        try:
            change.edit(trial)
        except changes.ChangeError as error:
            raise BundleError(f"cannot deploy bundle: {change.text}: {error}") from error
        found.append(change)
    return found


class _Machines:
    """Which machine of a model is which one of a bundle.

    A machine that has the unit of an application that belongs there is it; the others are made.
    Changes are made twice, on a trial model and on the real one, whose numbers may differ.
    """

    def __init__(self, bundle: Bundle, model: Model) -> None:
        self._made: dict[tuple[int, str], str] = {}
        self._found: dict[str, str] = {}
        for app in bundle.applications.values():
            for word, unit in zip(app.to, _held(model, app.name), strict=False):
                if word != changes.NEW:
                    self._found.setdefault(word, unit.machine)

    def missing(self, words: Iterable[str]) -> list[str]:
        """Return the machines that are to be made before units can be placed so."""
        made = {word for _, word in self._made}
        wanted = dict.fromkeys(word for word in words if word != changes.NEW)
        return [word for word in wanted if word not in self._found and word not in made]

    def make(self, word: str, constraints: str, now: float) -> Callable[[Model], object]:
        """Return the edit that makes a machine of the bundle."""

        def edit(model: Model) -> None:
            self._made[id(model), word] = changes.add_machine(model, now, constraints).id

        return edit

    def places(self, model: Model, words: Iterable[str]) -> list[str]:
        """Return placements in terms of a model."""
        return [
            word if word == changes.NEW else self._made.get((id(model), word)) or self._found[word]
            for word in words
        ]


def _held(model: Model, app: str) -> list[Unit]:
    return [unit for unit in model.units_of(app) if unit.life is Life.ALIVE and unit.machine]


@dataclasses.dataclass(frozen=True)
class _Given:
    """What changes are made from besides the bundle."""

    charms: Mapping[str, Charm]
    resources: Mapping[str, Mapping[str, Resource]]
    spaces: Collection[str]
    machines: _Machines
    now: float


def _changes(
    bundle: Bundle,
    trial: Model,
    given: _Given,
    consumed: Mapping[str, changes.OfferDetails],
) -> Iterator[Change]:
    """Yield changes one after the other; each sees the trial model with those before it."""
    now = given.now
    for name, app in sorted(bundle.applications.items()):
        lacking = app.to[len(_held(trial, name)) :]
        for word in given.machines.missing(lacking):
            edit = given.machines.make(word, bundle.machines[word], now)
            yield Change(f"add new machine {word}", edit)
        if name not in trial.applications:
            yield _deploy(app, given)
        else:
            yield from _adjust(app, trial, lacking, given)
        if app.expose and not trial.applications[name].exposed:
            yield Change(f"expose application {name}", _exposing(name))
        for offer, wanted in sorted(app.offers.items()):
            held = trial.offers.get(offer)
            if held is None or held.app != name or not {*wanted.endpoints} <= {*held.endpoints}:
                ends = f"{name}:{','.join(wanted.endpoints)}"
                yield Change(
                    f"create offer {offer} using {ends}", _offering(name, offer, wanted, now)
                )
    for name, details in sorted(consumed.items()):
        if name not in trial.saas or trial.saas[name].offer != details.uuid:
            shown = details.url.partition(":")[2]
            yield Change(f"consume offer {name} at {shown}", _consuming(details, name, now))
    for one, other in bundle.relations:
        if not _is_related(trial, one, other):
            yield Change(f"add relation {one} - {other}", _relating(one, other))


def _deploy(app: BundleApplication, given: _Given) -> Change:
    charm = given.charms[app.name]
    least = 0 if charm.subordinate else 1
    units = least if app.scale is None else app.scale

    def edit(model: Model) -> None:
        changes.deploy(
            model,
            charm,
            app.name,
            units=units,
            config=app.options,
            resources=given.resources.get(app.name, {}),
            trust=app.trust,
            storage=app.storage,
            constraints=app.constraints or "",
            bindings=app.bindings,
            placement=given.machines.places(model, app.to),
            spaces=given.spaces,
            now=given.now,
        )

    plural = "" if units == 1 else "s"
    return Change(
        f"deploy application {app.name} from charm {app.charm.name} with {units} unit{plural}",
        edit,
    )


def _adjust(
    app: BundleApplication, trial: Model, lacking: Sequence[str], given: _Given
) -> Iterator[Change]:
    held = trial.applications[app.name]
    charm = trial.charm_of(app.name)
    different = {
        name: value
        for name, value in _typed(charm, app.options).items()
        if held.config.get(name, charm.config.get(name, {}).get("default")) != value
    }
    if different:
        names = ", ".join(sorted(different))
        yield Change(
            f"set application options for {app.name}: {names}", _setting(app.name, different)
        )
    if app.constraints is not None and app.constraints != held.constraints:
        yield Change(
            f'set constraints for {app.name} to "{app.constraints}"',
            _constraining(app.name, app.constraints),
        )
    if app.trust and not held.trust:
        yield Change(f"trust application {app.name}", _trusting(app.name))
    rebound = {k: v for k, v in app.bindings.items() if space_of(held, k) != v}
    if rebound:
        ends = ", ".join(f"{name or 'all others'} to {space}" for name, space in rebound.items())
        yield Change(f"bind endpoints of {app.name}: {ends}", _binding(app.name, rebound, given))
    missing = 0 if app.scale is None else app.scale - held.scale
    if trial.has_machines and missing > 0:
        plural = "" if missing == 1 else "s"
        yield Change(
            f"add {missing} unit{plural} to {app.name}",
            _adding(app.name, missing, lacking, given),
        )
    elif app.scale is not None and missing and not trial.has_machines:
        yield Change(
            f"scale {app.name} to {app.scale} units", _scaling(app.name, app.scale, given.now)
        )


def _typed(charm: Charm, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return options as the model holds them: `"3"` in a bundle is the number of an `int`."""
    try:
        return changes.check_config(charm, options)
    except changes.ChangeError:
        return options  # setting them tells what is wrong


def _is_related(model: Model, one: str, other: str) -> bool:
    try:
        ends = changes.infer_ends(model, one, other)
    except changes.ChangeError:
        return False  # adding it tells what is wrong
    return any(set(relation.ends) == set(ends) for relation in model.relations.values())


def _setting(name: str, values: Mapping[str, Any]) -> Callable[[Model], object]:
    return lambda model: changes.set_config(model, name, values)


def _constraining(name: str, text: str) -> Callable[[Model], object]:
    return lambda model: changes.set_constraints(model, name, text.split())


def _trusting(name: str) -> Callable[[Model], object]:
    return lambda model: changes.set_trust(model, name, trust=True)


def _scaling(name: str, scale: int, now: float) -> Callable[[Model], object]:
    return lambda model: changes.scale_application(model, name, scale, now)


def _binding(name: str, bindings: Mapping[str, str], given: _Given) -> Callable[[Model], object]:
    return lambda model: changes.bind(model, name, bindings, given.spaces)


def _adding(
    name: str, count: int, lacking: Sequence[str], given: _Given
) -> Callable[[Model], object]:
    return lambda model: changes.add_units(
        model, name, count, given.now, given.machines.places(model, lacking[:count])
    )


def _exposing(name: str) -> Callable[[Model], object]:
    return lambda model: changes.set_exposed(model, name, exposed=True)


def _offering(app: str, name: str, offer: BundleOffer, now: float) -> Callable[[Model], object]:
    number = str(uuid.uuid4())
    return lambda model: changes.add_offer(
        model, app, offer.endpoints, name, uuid=number, now=now, users=offer.users
    )


def _consuming(details: changes.OfferDetails, name: str, now: float) -> Callable[[Model], object]:
    return lambda model: changes.consume(model, details, name, now)


def _relating(one: str, other: str) -> Callable[[Model], object]:
    return lambda model: changes.add_relation(model, one, other)
