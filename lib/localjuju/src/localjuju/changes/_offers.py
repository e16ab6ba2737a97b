"""Offers, and the applications of other models that a model consumes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from localjuju import identity
from localjuju.changes._errors import ChangeError, alive_application
from localjuju.model import Endpoint, Life, Model, Offer, Relation, Saas

ACCESS = ("read", "consume", "admin")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_URL = re.compile(
    r"(?:(?P<controller>[^:/.]+):)?(?:(?P<user>[^/.]+)/)?(?P<model>[^/.:]+)\.(?P<offer>[^/.:]+)"
)


@dataclasses.dataclass(frozen=True)
class OfferDetails:
    """An offer as another model sees it."""

    url: str
    uuid: str
    model: str  # UUID
    app: str
    endpoints: Mapping[str, Endpoint]


def offer_url(model: Model, offer: Offer) -> str:
    """Return the full URL of an offer."""
    return f"{identity.CONTROLLER}:{identity.USER}/{model.name}.{offer.name}"


def parse_offer_url(url: str) -> tuple[str, str]:
    """Return the names of model and offer in `[controller:][user/]model.offer`.

    Raises:
        ChangeError: It is none, or names another controller or user.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ChangeError(f'application offer URL "{url}" not valid: use [user/]model.offer')
    if match["controller"] not in {None, identity.CONTROLLER}:
        raise ChangeError(f"controller {match['controller']} not found")
    if match["user"] not in {None, identity.USER}:
        raise ChangeError(f'application offer "{url}" not found')
    return match["model"], match["offer"]


def find_offer(models: Collection[Model], url: str) -> tuple[Model, Offer]:
    """Return the offer that a URL names, and its model.

    Raises:
        ChangeError: There is none.
    """
    model_name, name = parse_offer_url(url)
    for model in models:
        if model.name == model_name and name in model.offers:
            return model, model.offers[name]
    raise ChangeError(f'application offer "{identity.USER}/{model_name}.{name}" not found')


def offer_details(model: Model, offer: Offer) -> OfferDetails:
    """Return what another model needs to know of an offer."""
    declared = model.charm_of(offer.app).endpoints
    endpoints = {name: declared[name] for name in offer.endpoints if name in declared}
    return OfferDetails(offer_url(model, offer), offer.uuid, model.uuid, offer.app, endpoints)


def connections(model: Model, offer: Offer) -> list[Relation]:
    """Return the relations that use an offer, by number."""
    return [
        relation
        for _, relation in sorted(model.relations.items())
        if relation.crossing is not None
        and relation.crossing.is_offering
        and relation.crossing.offer == offer.uuid
    ]


def add_offer(
    model: Model,
    app: str,
    endpoints: Sequence[str],
    name: str = "",
    *,
    uuid: str,
    now: float = 0.0,
    users: Mapping[str, str] | None = None,
) -> Offer:
    """Offer endpoints of an application; an offer of it that is there gets these endpoints.

    Raises:
        ChangeError: No such application, endpoint or access, or the name is taken or not valid.
    """
    alive_application(model, app)
    name = name or app
    declared = model.charm_of(app).endpoints
    if not endpoints:
        raise ChangeError(f'cannot offer application "{app}": no endpoint is named')
    for endpoint in endpoints:
        if endpoint not in declared or declared[endpoint].role == "peer":
            raise ChangeError(
                f'cannot offer application "{app}": application "{app}" has no "{endpoint}" '
                "relation"
            )
    if not _NAME.fullmatch(name):
        raise ChangeError(f'offer name "{name}" not valid')
    access = _checked_users(users or {})
    held = model.offers.get(name)
    if held is not None and held.app != app:
        raise ChangeError(f'cannot add application offer "{name}": it offers "{held.app}"')
    if held is not None:
        used = {end.endpoint for r in connections(model, held) for end in r.ends}
        lost = sorted(used.intersection(held.endpoints) - set(endpoints))
        if lost:
            raise ChangeError(
                f'cannot update application offer "{name}": endpoint "{lost[0]}" is in use'
            )
        held.endpoints = list(dict.fromkeys(endpoints))
        held.users.update(access)
        return held
    made = Offer(name, uuid, app, list(dict.fromkeys(endpoints)), now)
    made.users = {identity.USER: "admin", **access}
    model.offers[name] = made
    return made


def _checked_users(users: Mapping[str, str]) -> Mapping[str, str]:
    for access in users.values():
        if access not in ACCESS:
            raise ChangeError(f'"{access}" offer access not valid')
    return users


def remove_offer(model: Model, name: str, *, force: bool = False) -> Offer:
    """Take an offer back; with `force` its relations go with it.

    Raises:
        ChangeError: There is none, or it is in use.
    """
    found = model.offers.get(name)
    if found is None:
        raise ChangeError(f'application offer "{name}" not found')
    using = connections(model, found)
    if using and not force:
        plural = "" if len(using) == 1 else "s"
        raise ChangeError(
            f'cannot delete application offer "{name}": offer has {len(using)} relation{plural}'
        )
    for relation in using:
        if relation.life is Life.ALIVE:
            relation.life = Life.DYING
    del model.offers[name]
    return found


def set_offer_access(model: Model, name: str, user: str, access: str, *, grant: bool) -> None:
    """Let a user do something with an offer, or not any more.

    Raises:
        ChangeError: There is no such offer or access.
    """
    found = model.offers.get(name)
    if found is None:
        raise ChangeError(f'application offer "{name}" not found')
    _checked_users({user: access})
    rank = ACCESS.index(access)
    held = found.users.get(user)
    if grant:
        if held is not None and ACCESS.index(held) >= rank:
            raise ChangeError(f'user already has "{held}" access or greater')
        found.users[user] = access
    elif user == identity.USER:
        raise ChangeError(f'cannot revoke access of the owner "{user}"')
    elif held is not None and ACCESS.index(held) >= rank:
        if rank:
            found.users[user] = ACCESS[rank - 1]
        else:
            del found.users[user]


def check_no_connections(model: Model, apps: Iterable[str] | None = None) -> None:
    """Refuse to take away what other models use.

    Args:
        model: The model.
        apps: The applications that shall go; None means the whole model.

    Raises:
        ChangeError: An offer is in use.
    """
    counts = {
        app: sum(len(connections(model, o)) for o in model.offers.values() if o.app == app)
        for app in (model.applications if apps is None else apps)
    }
    for app, count in counts.items():
        if count:
            plural = "" if count == 1 else "s"
            what = f'model "{model.name}"' if apps is None else f'application "{app}"'
            which = f'application "{app}"' if apps is None else "application"
            raise ChangeError(
                f"cannot destroy {what}: {which} is used by {count} consumer{plural}"
            )


# --- The consuming side ------------------------------------------------------------------------


def consume(model: Model, details: OfferDetails, name: str = "", now: float = 0.0) -> Saas:
    """Give an offer of another model a name in this one.

    Raises:
        ChangeError: The name is taken or not valid, or the offer is this model's own.
    """
    name = name or details.url.rpartition(".")[2]
    if details.model == model.uuid:
        raise ChangeError(f'cannot consume "{details.url}": it is an offer of the same model')
    if not _NAME.fullmatch(name):
        raise ChangeError(f'invalid application name "{name}"')
    if name in model.applications:
        raise ChangeError(
            f'cannot add saas application "{name}": local application with same name already '
            "exists"
        )
    held = model.saas.get(name)
    if held is not None and held.offer == details.uuid and held.life is Life.ALIVE:
        held.endpoints.update(details.endpoints)
        return held
    if held is not None:
        raise ChangeError(f'cannot add saas application "{name}": saas application already exists')
    made = Saas(
        name,
        details.url,
        details.uuid,
        details.model,
        details.app,
        dict(details.endpoints),
        created=now,
    )
    model.saas[name] = made
    return made


def remove_saas(model: Model, name: str) -> Saas:
    """Begin to remove the name of an offer, with its relations.

    Raises:
        ChangeError: There is none.
    """
    found = model.saas.get(name)
    if found is None:
        raise ChangeError(f'saas application "{name}" not found')
    found.life = Life.DYING
    return found


def set_suspended(
    model: Model, numbers: Iterable[int], *, suspended: bool, reason: str = ""
) -> None:
    """Interrupt relations with other models, or let them go on.

    Raises:
        ChangeError: There is no such relation, or it uses no offer of this model.
    """
    found: list[Relation] = []
    for number in numbers:
        relation = model.relations.get(number)
        if relation is None:
            raise ChangeError(f'relation "{number}" not found')
        if relation.crossing is None or not relation.crossing.is_offering:
            raise ChangeError(
                f'cannot set suspend status for "{relation.key}" which is not associated with '
                "an offer"
            )
        found.append(relation)
    for relation in found:
        relation.suspended = suspended
        relation.suspended_reason = reason if suspended else ""
