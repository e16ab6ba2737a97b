"""Check a bundle offline, rule by rule.

Juju ignores unknown keys, and stops in the middle of a deployment at the first thing it cannot do.
Each rule here is a pure function from a bundle to problems in words; none stops at the first.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

Yaml = Mapping[str, Any]

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")

_TOP: dict[str, tuple[type, ...]] = {
    "bundle": (str,), "name": (str,), "description": (str,), "default-base": (str,),
    "applications": (dict,), "relations": (list,), "machines": (dict,), "saas": (dict,),
    "tags": (list,), "docs": (str,), "issues": (str, list), "source": (str, list),
    "website": (str, list),
}  # fmt: skip
_APPLICATION: dict[str, tuple[type, ...]] = {
    "charm": (str,), "channel": (str,), "revision": (int,), "base": (str,), "resources": (dict,),
    "scale": (int,), "num_units": (int,), "options": (dict,), "constraints": (str,),
    "storage": (dict,), "devices": (dict,), "bindings": (dict,), "annotations": (dict,),
    "expose": (bool,), "trust": (bool,), "to": (list, str), "placement": (str,), "plan": (str,),
}  # fmt: skip
_OVERLAY_ONLY: dict[str, tuple[type, ...]] = {"offers": (dict,), "exposed-endpoints": (dict,)}
_OPTION_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "int": (int,), "float": (float, int), "secret": (str,),
}  # fmt: skip

# What a constraint may say on Kubernetes; others are ignored there or refused.
_KUBERNETES_CONSTRAINTS = {
    "mem": re.compile(r"\d+[MGTP]?"),
    "cpu-power": re.compile(r"\d+"),
    "tags": re.compile(r"[^ ]+"),
}
_MACHINE_CONSTRAINTS = {
    **_KUBERNETES_CONSTRAINTS,
    "cores": re.compile(r"\d+"),
    "arch": re.compile(r"amd64|arm64"),
    "root-disk": re.compile(r"\d+[MGTP]?"),
    "virt-type": re.compile(r"\S+"),
    "zones": re.compile(r"\S+"),
}
_STORAGE = re.compile(r"([a-z][a-z0-9-]*,)?(\d+,)?\d+[MGTP]|\d+|[a-z][a-z0-9-]*")
_CHARM_FILE = re.compile(
    r"(?P<name>[a-z][a-z0-9-]*)_(?P<base>[a-z]+-[0-9.]+)-(?P<arch>\w+)\.charm"
)


@dataclasses.dataclass(frozen=True)
class Known:
    """What a bundle is held against.

    Args:
        charms: Charm → its metadata (`charmcraft.yaml`).
        images: Every image reference that there can be.
        quorum: Applications that need an odd number of units.
        trusted: Applications that use the Kubernetes API.
        offers: URL of an offer in a sibling bundle → its endpoints with their definitions.
        spaces: Spaces of the machines.
        juju: The oldest Juju that the release runs on.
    """

    charms: Mapping[str, Yaml]
    images: frozenset[str] = frozenset()
    quorum: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()
    offers: Mapping[str, Yaml] = dataclasses.field(default_factory=dict[str, Yaml])
    spaces: frozenset[str] = frozenset()
    juju: str = "3.6.24"


def check(bundle: Yaml, known: Known, merged: bool = False) -> list[str]:
    """Return everything that is wrong with a bundle.

    Args:
        bundle: Its content.
        known: Charms and images.
        merged: Whether overlays were laid over it, so that offers may be in it.
    """
    shape = list(_keys(bundle, merged))
    if shape:  # the other rules rely on the types
        return shape
    return [problem for rule in RULES for problem in rule(bundle, known)]


def check_overlay(overlay: Yaml, known: Known) -> list[str]:
    """Return what is wrong with an overlay by itself: its keys."""
    applications = {
        name: value for name, value in _map(overlay, "applications").items() if value is not None
    }
    return list(_keys({**overlay, "applications": applications}, is_overlay=True))


def _keys(bundle: Yaml, is_overlay: bool) -> Iterator[str]:
    """Rule 1 and 10: only known keys, of the right types; offers only in overlays."""
    yield from _typed("", bundle, _TOP)
    keys = {**_APPLICATION, **_OVERLAY_ONLY} if is_overlay else _APPLICATION
    for name, application in _map(bundle, "applications").items():
        if not isinstance(application, dict):
            yield f"application {name} must have keys and values"
            continue
        values = cast(dict[str, Any], application)
        for key in _OVERLAY_ONLY.keys() & values.keys() - keys.keys():
            yield f"application {name}: {key} is allowed in overlays only"
        others = {key: value for key, value in values.items() if key not in _OVERLAY_ONLY}
        yield from _typed(f"application {name}: ", others, keys)
    for pair in cast(list[Any], bundle.get("relations") or []):
        is_pair = isinstance(pair, list) and len(cast(list[Any], pair)) == 2
        if not is_pair or not all(isinstance(end, str) for end in cast(list[Any], pair)):
            yield f"relation {pair} must be a pair of endpoints"


def _typed(where: str, values: Yaml, keys: Mapping[str, tuple[type, ...]]) -> Iterator[str]:
    for key, value in values.items():
        if key not in keys:
            yield f"{where}unknown key {key}"
        elif not isinstance(value, keys[key]) or (
            isinstance(value, bool) and bool not in keys[key]
        ):
            wanted = " or ".join(kind.__name__ for kind in keys[key])
            yield f"{where}{key} must be {wanted}, not {type(value).__name__}"


def _names(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 2: application names."""
    for name in _applications(bundle):
        if not NAME.fullmatch(name):
            yield f"application {name}: a name has lower-case letters, digits and single hyphens"


def _charms(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 3: a local charm is one of ours, for the bundle's base, substrate and Juju."""
    for name, application in _applications(bundle).items():
        reference = str(application.get("charm", ""))
        if not reference.startswith((".", "/")):
            yield f"application {name}: charm {reference or '(none)'} is not a path to a file"
            continue
        match = _CHARM_FILE.fullmatch(reference.rsplit("/", 1)[-1])
        if not match:
            yield f"application {name}: {reference} is not named <charm>_<base>-<arch>.charm"
            continue
        if match["name"] not in known.charms:
            yield f"application {name}: there is no charm {match['name']}"
        base = str(application.get("base") or bundle.get("default-base", ""))
        if match["base"] != base.replace("@", "-"):
            yield f"application {name}: {reference} is not for base {base or '(none)'}"
        for assumed in _assumes(application, known):
            if assumed == "k8s-api" and not _is_kubernetes(bundle):
                yield f"application {name}: {match['name']} assumes Kubernetes"
            newer = re.fullmatch(r"juju >= ([0-9.]+)", str(assumed))
            if newer and _version(newer[1]) > _version(known.juju):
                yield f"application {name}: {match['name']} assumes {assumed}, not {known.juju}"


def _relations(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 4: ends exist, roles are opposite, interfaces equal, limits kept, none twice."""
    seen: set[frozenset[str]] = set()
    uses: Counter[str] = Counter()
    for pair in _pairs(bundle):
        text = " - ".join(pair)
        key = frozenset(pair)
        if key in seen:
            yield f"relation {text} is there twice"
        seen.add(key)
        uses.update(pair)
        if pair[0].split(":")[0] == pair[1].split(":")[0]:
            yield f"relation {text}: an application cannot be related to itself"
        ends = [_end(bundle, known, end) for end in pair]
        missing = [end for end, found in zip(pair, ends, strict=True) if found is None]
        if missing:
            yield from (f"relation {text}: there is no endpoint {end}" for end in missing)
            continue
        (role, one), (other_role, other) = cast(list[tuple[str, Yaml]], ends)
        if {role, other_role} != {"provides", "requires"}:
            yield f"relation {text}: one end must provide and the other require"
        if one.get("interface") != other.get("interface"):
            yield f"relation {text}: {one['interface']} is not {other['interface']}"
        if "container" in (one.get("scope"), other.get("scope")) and not any(
            _charm_of(bundle, known, end.split(":")[0]).get("subordinate") for end in pair
        ):
            yield f"relation {text}: container scope needs a subordinate charm"
    for end, count in uses.items():
        found = _end(bundle, known, end)
        limit = found[1].get("limit") if found else None
        if isinstance(limit, int) and count > limit:
            yield f"endpoint {end} has {count} relations, more than its limit {limit}"


def _options(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 5: options exist and have the right type."""
    for name, application in _applications(bundle).items():
        defined = _map(_map(_charm_of(bundle, known, name), "config"), "options")
        for option, value in _map(application, "options").items():
            if option not in defined:
                yield f"application {name}: its charm has no option {option}"
                continue
            kinds = _OPTION_TYPES[defined[option]["type"]]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                yield f"application {name}: option {option} must be {defined[option]['type']}"


def _resources(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 6: storage and resource names exist, every resource has a value, images are ours."""
    for name, application in _applications(bundle).items():
        charm = _charm_of(bundle, known, name)
        given, defined = _map(application, "resources"), _map(charm, "resources")
        for resource in sorted(given.keys() - defined.keys()):
            yield f"application {name}: its charm has no resource {resource}"
        for resource in sorted(defined.keys() - given.keys()):
            yield f"application {name}: resource {resource} has no value"
        for resource in sorted(given.keys() & defined.keys()):
            is_image = defined[resource].get("type") == "oci-image"
            if is_image and given[resource] not in known.images:
                yield f"application {name}: {given[resource]} is not an image of this release"
        for storage, value in _map(application, "storage").items():
            if storage not in _map(charm, "storage"):
                yield f"application {name}: its charm has no storage {storage}"
            elif not _STORAGE.fullmatch(str(value)):
                yield f"application {name}: storage {storage}: {value} is not POOL,SIZE"


def _constraints(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 7: constraints parse and mean something on the substrate."""
    allowed = _KUBERNETES_CONSTRAINTS if _is_kubernetes(bundle) else _MACHINE_CONSTRAINTS
    for name, application in _applications(bundle).items():
        for word in str(application.get("constraints", "")).split():
            key, _, value = word.partition("=")
            if key not in allowed:
                yield f"application {name}: constraint {key} means nothing here"
            elif not allowed[key].fullmatch(value):
                yield f"application {name}: constraint {word} cannot be read"


def _units(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 8: units and placement fit the substrate; quorum needs an odd number."""
    machines = _map(bundle, "machines")
    used: set[str] = set()
    if _is_kubernetes(bundle) and machines:
        yield "a kubernetes bundle cannot have machines"
    for name, application in _applications(bundle).items():
        if "scale" in application and "num_units" in application:
            yield f"application {name}: scale and num_units mean the same: give one"
        count = application.get("scale", application.get("num_units", 1))
        if count < 1:
            yield f"application {name}: needs at least one unit"
        if name in known.quorum and count % 2 == 0:
            yield f"application {name}: {count} units have no majority: give it an odd number"
        places = application.get("to", [])
        places = [places] if isinstance(places, str) else places
        if _is_kubernetes(bundle) and len(places) > 1:
            yield f"application {name}: one placement selector is allowed on kubernetes"
        if not _is_kubernetes(bundle):
            if len(places) > count:
                yield f"application {name}: {len(places)} places for {count} units"
            used |= {str(place) for place in places}
            unknown = sorted({str(place) for place in places} - machines.keys())
            yield from (f"application {name}: there is no machine {place}" for place in unknown)
    if not _is_kubernetes(bundle):
        unused = sorted({str(machine) for machine in machines} - used)
        yield from (f"machine {machine} is not used" for machine in unused)


def _bindings(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 8, spaces: what is bound exists, and so does the space."""
    for name, application in _applications(bundle).items():
        charm = _charm_of(bundle, known, name)
        sections = ("provides", "requires", "peers", "extra-bindings")
        names = {"", *(endpoint for section in sections for endpoint in _map(charm, section))}
        for endpoint, space in _map(application, "bindings").items():
            if endpoint not in names:
                yield f"application {name}: its charm has no endpoint or binding {endpoint}"
            if space not in known.spaces:
                yield f"application {name}: there is no space {space}"


def _trust(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 9: trust is given exactly where it is needed."""
    for name, application in _applications(bundle).items():
        if bool(application.get("trust")) != (name in known.trusted):
            needs = "needs" if name in known.trusted else "must not have"
            yield f"application {name} {needs} trust"


def _remote(bundle: Yaml, known: Known) -> Iterator[str]:
    """Rule 10: every remote application has an offer, of what there is; names do not clash."""
    for name, application in _applications(bundle).items():
        provided = _map(_charm_of(bundle, known, name), "provides")
        for offer, definition in _map(application, "offers").items():
            endpoints = cast(list[str], definition.get("endpoints") or [])
            if not endpoints:
                yield f"offer {offer}: {name} offers no endpoint"
            wrong = sorted(set(endpoints) - provided.keys())
            yield from (f"offer {offer}: {name} provides no {endpoint}" for endpoint in wrong)
    for name, saas in _map(bundle, "saas").items():
        if name in _applications(bundle):
            yield f"saas {name} has the name of an application"
        url = _url(saas)
        if url not in known.offers:
            yield f"saas {name}: nothing offers {url or '(no url)'}"


RULES: tuple[Callable[[Yaml, Known], Iterator[str]], ...] = (
    _names, _charms, _relations, _options, _resources, _constraints, _units, _bindings, _trust,
    _remote,
)  # fmt: skip


def _applications(bundle: Yaml) -> Mapping[str, Yaml]:
    return _map(bundle, "applications")


def _pairs(bundle: Yaml) -> list[list[str]]:
    return cast(list[list[str]], bundle.get("relations") or [])


def _map(values: Yaml, key: str) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], values.get(key) or {})


def _is_kubernetes(bundle: Yaml) -> bool:
    return bundle.get("bundle") == "kubernetes"


def _charm_of(bundle: Yaml, known: Known, application: str) -> Yaml:
    """Return the metadata of an application's charm; empty where rule 3 complains already."""
    reference = str(_map(_applications(bundle), application).get("charm", ""))
    match = _CHARM_FILE.fullmatch(reference.rsplit("/", 1)[-1])
    return known.charms.get(match["name"], {}) if match else {}


def _assumes(application: Yaml, known: Known) -> list[Any]:
    match = _CHARM_FILE.fullmatch(str(application.get("charm", "")).rsplit("/", 1)[-1])
    charm = known.charms.get(match["name"]) if match else None
    return cast(list[Any], charm.get("assumes") or []) if charm else []


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _end(bundle: Yaml, known: Known, end: str) -> tuple[str, Yaml] | None:
    """Return role and definition of an endpoint, or None where there is none."""
    application, _, endpoint = end.partition(":")
    saas = _map(bundle, "saas").get(application)
    if saas is not None:
        offered = known.offers.get(_url(saas), {}).get(endpoint)
        return None if offered is None else ("provides", offered)
    charm = _charm_of(bundle, known, application)
    for role in ("provides", "requires"):
        if endpoint in _map(charm, role):
            return role, _map(charm, role)[endpoint]
    return None


def _url(saas: Yaml) -> str:
    """Return the URL of a remote application's offer, without its controller."""
    return str(saas.get("url", "")).split(":")[-1]
