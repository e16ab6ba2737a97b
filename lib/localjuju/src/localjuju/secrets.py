"""The rules of secrets, as pure functions over a model.

Three parties call this: hook commands (what a charm does with its secrets and those of others),
operators' commands (user secrets, owned by the model), and the choice of hooks (`due`,
`delivered`, `next_due`). Values are base64 text throughout; nothing here logs or prints.

Who may do what:

- The *manager* of a secret may change it: the unit that owns it, or the leader of the owning
  application. All units of an owning application may read it without a grant.
- Everyone else needs a grant, made over a relation and gone with it; for user secrets a grant
  to the application.
- A unit that reads a secret *tracks* the revision which it first got, until it refreshes.
- A revision that is not the newest and that nobody tracks is *obsolete*.
"""

from __future__ import annotations

import base64
import calendar
import datetime
import re
from collections.abc import Callable, Mapping

from localjuju.model import (
    Consumer,
    Grant,
    Hook,
    HookKind,
    Model,
    Secret,
    SecretRevision,
    SecretView,
)

ROTATIONS = ("never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
CONTENT_LIMIT = 1_000_000
"""Juju's limit of a secret's content in bytes, counted in base64."""
RETRY_SECONDS = 300.0
"""Juju's wait until a rotation or expiry that the charm did not act on is announced again."""

_URI = re.compile(r"(?:secret:)?(?://(?P<model>[0-9a-f-]{36})/)?(?P<id>[0-9a-z]{20})")
_KEY = re.compile(r"[a-z](?:-?[a-z0-9]){2,}")
_ALPHABET = "0123456789abcdefghijklmnopqrstuv"

RandomBytes = Callable[[int], bytes]
"""Where ids come from: `os.urandom` in the engine, a seeded source in tests."""


class SecretError(Exception):
    """A secret cannot be used as asked; the text is in Juju's own words."""


class SecretNotFoundError(SecretError):
    """There is no such secret, revision or label."""


class SecretDeniedError(SecretError):
    """The unit may not read or change this secret."""


# --- Names, keys, times ---------------------------------------------------------------------


def new_id(random_bytes: RandomBytes) -> str:
    """Return a fresh secret id: 20 characters of [0-9a-v], 12 random bytes."""
    number = int.from_bytes(random_bytes(12), "big") << 4  # 100 bits: 20 digits of 5 bits
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(95, -1, -5))


def parse_uri(text: str) -> str:
    """Return the bare id that `secret:<id>`, `secret://<model uuid>/<id>` or `<id>` names.

    Raises:
        SecretError: The text is none of these.
    """
    match = _URI.fullmatch(text)
    if match is None:
        raise SecretError(f'secret URI "{text}" not valid')
    return match["id"]


def is_uri(text: str) -> bool:
    """Tell whether the text can be the URI or the id of a secret."""
    return _URI.fullmatch(text) is not None


def uri(secret_id: str) -> str:
    """Return the URI of a secret in this model."""
    return f"secret:{secret_id}"


def check_content(data: Mapping[str, str]) -> None:
    """Check keys and values of a secret's content (values are base64 text).

    Raises:
        SecretError: A key is not one that Juju allows, there is none, a value is not base64,
            or all is too large.
    """
    if not data:
        raise SecretError("empty secret value not valid")
    for key, value in data.items():
        if _KEY.fullmatch(key) is None:
            raise SecretError(
                f'key "{key}" not valid: use at least 3 characters, lower-case letters, digits '
                "and single dashes, a letter first"
            )
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            raise SecretError(f'value of key "{key}" is not base64') from None
    size = sum(len(value) for value in data.values())
    if size > CONTENT_LIMIT:
        raise SecretError(f"base64 encoded secret content too large: {size} bytes")


def check_rotation(policy: str) -> str:
    """Return the rotation policy if Juju knows it.

    Raises:
        SecretError: It does not.
    """
    if policy not in ROTATIONS:
        raise SecretError(f'rotate policy "{policy}" not valid')
    return policy


def next_rotation(policy: str, after: float) -> float | None:
    """Return when a secret rotates next, counted from `after`; None for `never`."""
    if policy == "hourly":
        return after + 3600.0
    if policy in {"daily", "weekly"}:
        return after + 86400.0 * (7 if policy == "weekly" else 1)
    months = {"monthly": 1, "quarterly": 3, "yearly": 12}.get(policy)
    if months is None:
        return None
    start = datetime.datetime.fromtimestamp(after, datetime.UTC)
    year, month = divmod(start.month - 1 + months, 12)
    year += start.year
    # Go's AddDate lets 31 January + 1 month run over into March; a charm only cares that it
    # is about a month, so the last day of a shorter month is taken instead.
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day).timestamp()


# --- Finding and permissions ------------------------------------------------------------------


def find(model: Model, secret_id: str) -> Secret:
    """Return the secret with this id.

    Raises:
        SecretNotFoundError: There is none.
    """
    secret = model.secrets.get(secret_id)
    if secret is None:
        raise SecretNotFoundError(f'secret "{secret_id}" not found')
    return secret


def is_owner(secret: Secret, unit: str) -> bool:
    """Tell whether the unit, or its application, owns the secret."""
    if secret.owner_kind == "unit":
        return secret.owner == unit
    return secret.owner_kind == "application" and secret.owner == _app(unit)


def is_manager(model: Model, secret: Secret, unit: str) -> bool:
    """Tell whether the unit may change the secret: its owner unit, or the leader."""
    if not is_owner(secret, unit):
        return False
    return secret.owner_kind == "unit" or model.applications[secret.owner].leader == unit


def can_read(model: Model, secret: Secret, unit: str) -> bool:
    """Tell whether the unit may read the secret: as owner, or by a grant that still holds."""
    if is_owner(secret, unit):
        return True
    subjects = {unit, _app(unit)}
    return any(
        grant.subject in subjects
        and (grant.relation_id is None or grant.relation_id in model.relations)
        for grant in secret.grants
    )


def manage(model: Model, secret_id: str, unit: str) -> Secret:
    """Return the secret for a change by this unit.

    Raises:
        SecretNotFoundError: There is no such secret.
        SecretDeniedError: The unit does not own it, or does not lead the owning application.
    """
    secret = find(model, secret_id)
    if not is_owner(secret, unit):
        raise SecretDeniedError("permission denied")
    if not is_manager(model, secret, unit):
        raise SecretDeniedError("this unit is not the leader")
    return secret


def owned_by_label(model: Model, unit: str, label: str) -> Secret | None:
    """Return the secret that the unit or its application owns under this label."""
    return next(
        (s for s in model.secrets.values() if s.label == label and is_owner(s, unit)), None
    )


def consumed_by_label(model: Model, unit: str, label: str) -> Secret | None:
    """Return the secret that the unit reads under this label of its own."""
    for secret in model.secrets.values():
        consumer = secret.consumers.get(unit)
        if consumer is not None and consumer.label == label:
            return secret
    return None


def label_for(secret: Secret, unit: str) -> str:
    """Return the label under which this unit knows the secret; may be empty."""
    if is_owner(secret, unit):
        return secret.label
    consumer = secret.consumers.get(unit)
    return consumer.label if consumer is not None else ""


def managed(model: Model, unit: str) -> list[Secret]:
    """Return the secrets that the unit may change, by id."""
    return [s for _, s in sorted(model.secrets.items()) if is_manager(model, s, unit)]


def user_secret(model: Model, reference: str) -> Secret:
    """Return the user secret with this name, id or URI.

    Raises:
        SecretNotFoundError: There is none, or a charm owns it.
    """
    for secret in model.secrets.values():
        if secret.owner_kind == "model" and secret.label == reference:
            return secret
    if is_uri(reference):
        secret = model.secrets.get(parse_uri(reference))
        if secret is not None and secret.owner_kind == "model":
            return secret
    raise SecretNotFoundError(f'secret "{reference}" not found')


# --- Changes by owners ------------------------------------------------------------------------


def create(
    model: Model,
    *,
    secret_id: str,
    owner_kind: str,
    owner: str,
    data: Mapping[str, str],
    now: float,
    label: str = "",
    description: str = "",
    expires: float | None = None,
    rotate: str = "never",
    auto_prune: bool = False,
) -> Secret:
    """Add a secret with its first revision.

    Raises:
        SecretError: The content or rotation is not valid, or the owner's label is taken.
    """
    check_content(data)
    check_rotation(rotate)
    _check_owner_label(model, owner_kind, owner, label, secret_id)
    secret = Secret(
        id=secret_id,
        owner_kind=owner_kind,
        owner=owner,
        label=label,
        description=description,
        rotate=rotate,
        next_rotate=next_rotation(rotate, now),
        auto_prune=auto_prune,
        created=now,
        updated=now,
        revisions={1: SecretRevision(1, dict(data), now, expires)},
        latest=1,
    )
    model.secrets[secret_id] = secret
    return secret


def update(
    model: Model,
    secret_id: str,
    *,
    now: float,
    data: Mapping[str, str] | None = None,
    label: str | None = None,
    description: str | None = None,
    expires: float | None = None,
    rotate: str | None = None,
    auto_prune: bool | None = None,
) -> int:
    """Change a secret; what is None stays. Return its newest revision.

    Content equal to the newest revision's makes no new revision. `expires` belongs to the
    newest revision. A rotation that was off starts now; one that was on keeps its next date.

    Raises:
        SecretError: No such secret, the content is not valid, or the label is taken.
    """
    secret = find(model, secret_id)
    if data is not None:
        check_content(data)
    if rotate is not None:
        check_rotation(rotate)
    if label is not None:
        _check_owner_label(model, secret.owner_kind, secret.owner, label, secret_id)
        secret.label = label
    if description is not None:
        secret.description = description
    if auto_prune is not None:
        secret.auto_prune = auto_prune
    newest = secret.revisions.get(secret.latest)
    if data is not None and (newest is None or newest.data != dict(data)):
        secret.latest += 1
        newest = SecretRevision(secret.latest, dict(data), now)
        secret.revisions[secret.latest] = newest
    if expires is not None and newest is not None:
        newest.expires = expires
    if rotate is not None:
        if rotate == "never" or secret.rotate == "never":
            secret.next_rotate = next_rotation(rotate, now)
        secret.rotate = rotate
    secret.updated = now
    _prune(secret)
    return secret.latest


def remove(model: Model, secret_id: str, revision: int | None = None) -> None:
    """Remove one revision, or the whole secret; the last revision takes the secret with it.

    Raises:
        SecretNotFoundError: There is no such secret or revision.
    """
    secret = find(model, secret_id)
    if revision is not None:
        if revision not in secret.revisions:
            raise SecretNotFoundError(f'secret revision "{secret_id}/{revision}" not found')
        del secret.revisions[revision]
        if secret.revisions:
            return
    del model.secrets[secret_id]
    for unit in model.units.values():
        unit.secrets.pop(secret_id, None)


def grant(model: Model, secret_id: str, relation_id: int, subject: str) -> None:
    """Let an application or one unit of it read a secret while the relation lives.

    Raises:
        SecretNotFoundError: There is no such secret.
        SecretError: The relation is gone, or units of that application hold grants of their own.
    """
    secret = find(model, secret_id)
    if relation_id not in model.relations:
        raise SecretError(f"relation {relation_id} not found")
    for held in secret.grants:
        if held.relation_id != relation_id or _app(held.subject) != _app(subject):
            continue
        if held.subject in {subject, _app(subject)}:
            return
        if "/" not in subject:
            raise SecretError(
                "any unit level grants need to be revoked before granting access to the "
                "corresponding application"
            )
    secret.grants.append(Grant(subject, relation_id))


def revoke(
    model: Model, secret_id: str, *, relation_id: int | None = None, subject: str | None = None
) -> None:
    """Take grants back: those over a relation, those of an application or unit, or both.

    Without a relation, the subject loses all its grants; without a subject, the relation does.
    Revoking from an application takes its units' own grants along.

    Raises:
        SecretNotFoundError: There is no such secret.
    """
    secret = find(model, secret_id)

    def goes(held: Grant) -> bool:
        if relation_id is not None and held.relation_id != relation_id:
            return False
        return subject is None or subject in {held.subject, _app(held.subject)}

    secret.grants = [held for held in secret.grants if not goes(held)]


# --- Reading ----------------------------------------------------------------------------------


def locate(model: Model, unit: str, secret_id: str | None, label: str | None) -> Secret:
    """Return the secret that a unit means by id, or else by label, if it may read it.

    Raises:
        SecretNotFoundError: No such secret, or no such label of this unit.
        SecretDeniedError: The unit has no grant.
    """
    if secret_id is not None:
        secret = find(model, secret_id)
    else:
        found = owned_by_label(model, unit, label or "") or consumed_by_label(
            model, unit, label or ""
        )
        if found is None:
            raise SecretNotFoundError(f'consumer label "{label}" not found')
        secret = found
    if not can_read(model, secret, unit):
        raise SecretDeniedError("permission denied")
    return secret


def read(
    model: Model,
    unit: str,
    *,
    secret_id: str | None = None,
    label: str | None = None,
    refresh: bool = False,
    peek: bool = False,
) -> tuple[SecretRevision, bool]:
    """Read a secret as `unit`. Return the revision and whether the unit's record changed.

    The first read, and each one with `refresh`, makes the unit track the newest revision;
    `peek` shows the newest and moves nothing once the unit tracks one. An id together with a
    label names the secret from now on: the owner's label for its manager, else the consumer's.

    Raises:
        SecretError: See `locate`; also a label that is taken, or a tracked revision that the
            owner removed.
    """
    secret = locate(model, unit, secret_id, label)
    owner = is_owner(secret, unit)
    consumer = secret.consumers.get(unit)
    tracked = secret.owner_tracked.get(unit) if owner else consumer and consumer.tracked
    relabel = bool(secret_id is not None and label and label != label_for(secret, unit))
    if relabel and label:
        if is_manager(model, secret, unit):
            _check_owner_label(model, secret.owner_kind, secret.owner, label, secret.id)
        elif not owner:
            _check_consumer_label(model, unit, label, secret.id)
    move = refresh or tracked is None
    number = secret.latest if move or peek or tracked is None else tracked
    revision = secret.revisions.get(number)
    if revision is None:
        raise SecretNotFoundError(f'secret revision "{secret.id}/{number}" not found')
    changed = move and tracked != secret.latest
    if owner:
        if move:
            secret.owner_tracked[unit] = secret.latest
        if relabel and label and is_manager(model, secret, unit):
            secret.label = label
            changed = True
    else:
        if consumer is None:
            consumer = secret.consumers[unit] = Consumer(unit, secret.latest)
        elif move:
            consumer.tracked = secret.latest
        if relabel and label:
            consumer.label = label
            changed = True
    if changed:
        _prune(secret)
    return revision, changed


def obsolete(secret: Secret) -> list[int]:
    """Return the revisions that are not the newest and that nobody tracks, oldest first."""
    tracked = {consumer.tracked for consumer in secret.consumers.values()}
    tracked.update(secret.owner_tracked.values())
    return [n for n in sorted(secret.revisions) if n != secret.latest and n not in tracked]


# --- Hooks ------------------------------------------------------------------------------------


def due(model: Model, unit: str, now: float) -> list[Hook]:
    """Return the secret hooks that the unit should get, in the order in which Juju runs them.

    Expired, rotate and remove go to the manager, changed to units that track an older revision.
    Nothing is recorded: call `delivered` when a hook is committed.
    """
    views = model.units[unit].secrets
    hooks: dict[HookKind, list[Hook]] = {
        HookKind.SECRET_EXPIRED: [],
        HookKind.SECRET_ROTATE: [],
        HookKind.SECRET_CHANGED: [],
        HookKind.SECRET_REMOVE: [],
    }

    for _, secret in sorted(model.secrets.items()):
        view = views.get(secret.id) or SecretView()

        def add(kind: HookKind, revision: int = 0, secret: Secret = secret) -> None:
            label = label_for(secret, unit)
            hooks[kind].append(
                Hook(kind, secret_id=secret.id, secret_label=label, secret_revision=revision)
            )

        if is_manager(model, secret, unit):
            for number, revision in sorted(secret.revisions.items()):
                if revision.expires is not None and now >= _expiry(revision.expires, number, view):
                    add(HookKind.SECRET_EXPIRED, number)
            if secret.next_rotate is not None and now >= secret.next_rotate:
                add(HookKind.SECRET_ROTATE, secret.latest)
            for number in obsolete(secret):
                if number not in view.removed:
                    add(HookKind.SECRET_REMOVE, number)
        tracked = _tracked(secret, unit)
        if (
            tracked is not None
            and tracked < secret.latest
            and view.changed < secret.latest
            and can_read(model, secret, unit)
        ):
            add(HookKind.SECRET_CHANGED)
    return [hook for kind in hooks for hook in hooks[kind]]


def next_due(model: Model, unit: str) -> float | None:
    """Return the earliest time at which an expiry or rotation of this unit comes due."""
    times: list[float] = []
    views = model.units[unit].secrets
    for secret in managed(model, unit):
        view = views.get(secret.id) or SecretView()
        if secret.next_rotate is not None:
            times.append(secret.next_rotate)
        times += [
            _expiry(revision.expires, number, view)
            for number, revision in secret.revisions.items()
            if revision.expires is not None
        ]
    return min(times, default=None)


def delivered(model: Model, unit: str, hook: Hook, now: float) -> None:
    """Record that a secret hook ran to its end and was committed (or was skipped as done).

    A rotation gets its next date: one period after the last, or five minutes if the charm made
    no new revision, so that a rotation which the charm put off is not forgotten. For that,
    `hook.secret_revision` holds the newest revision at the time of choosing.
    """
    secret = model.secrets.get(hook.secret_id)
    if secret is None:
        return
    view = model.units[unit].secrets.setdefault(secret.id, SecretView())
    if hook.kind is HookKind.SECRET_CHANGED:
        view.changed = max(view.changed, hook.secret_revision or secret.latest)
    elif hook.kind is HookKind.SECRET_REMOVE:
        if hook.secret_revision not in view.removed:
            view.removed.append(hook.secret_revision)
    elif hook.kind is HookKind.SECRET_EXPIRED:
        if hook.secret_revision not in view.expired:
            view.expired.append(hook.secret_revision)
        view.expired_again = now + RETRY_SECONDS
    elif hook.kind is HookKind.SECRET_ROTATE and secret.next_rotate is not None:
        view.rotate_due = secret.next_rotate
        if secret.latest > hook.secret_revision:
            following = next_rotation(secret.rotate, secret.next_rotate)
            if following is not None and following <= now:  # the engine was away for long
                following = next_rotation(secret.rotate, now)
            secret.next_rotate = following
        else:
            secret.next_rotate = now + RETRY_SECONDS


# --- What goes with its owner, relation or reader ------------------------------------------------


def unit_removed(model: Model, unit: str) -> None:
    """Drop what a unit owned, read and was granted."""
    _drop_owned(model, "unit", unit)
    for secret in model.secrets.values():
        secret.consumers.pop(unit, None)
        secret.owner_tracked.pop(unit, None)
        secret.grants = [held for held in secret.grants if held.subject != unit]
        _prune(secret)


def application_removed(model: Model, app: str) -> None:
    """Drop what an application owned and was granted."""
    _drop_owned(model, "application", app)
    for secret in model.secrets.values():
        secret.grants = [held for held in secret.grants if _app(held.subject) != app]


def relation_removed(model: Model, relation_id: int) -> None:
    """Drop the grants that were made over a relation."""
    for secret in model.secrets.values():
        secret.grants = [held for held in secret.grants if held.relation_id != relation_id]


# --- User secrets -------------------------------------------------------------------------------


def add_user_secret(
    model: Model,
    name: str,
    data: Mapping[str, str],
    *,
    secret_id: str,
    now: float,
    description: str = "",
) -> Secret:
    """Add a secret that the model owns.

    Raises:
        SecretError: The content is not valid, or the name is taken.
    """
    return create(
        model,
        secret_id=secret_id,
        owner_kind="model",
        owner=model.uuid,
        data=data,
        now=now,
        label=name,
        description=description,
    )


def update_user_secret(
    model: Model,
    reference: str,
    *,
    now: float,
    data: Mapping[str, str] | None = None,
    name: str | None = None,
    description: str | None = None,
    auto_prune: bool | None = None,
) -> int:
    """Change a user secret (name, id or URI); return its newest revision.

    Raises:
        SecretError: There is none, the content is not valid, or the new name is taken.
    """
    secret = user_secret(model, reference)
    return update(
        model,
        secret.id,
        now=now,
        data=data,
        label=name,
        description=description,
        auto_prune=auto_prune,
    )


def grant_user_secret(model: Model, reference: str, app: str) -> None:
    """Let an application read a user secret.

    Raises:
        SecretError: There is no such user secret or application.
    """
    secret = user_secret(model, reference)
    if app not in model.applications:
        raise SecretError(f'application "{app}" not found')
    held = Grant(app, None)
    if held not in secret.grants:
        secret.grants.append(held)


def revoke_user_secret(model: Model, reference: str, app: str) -> None:
    """Take an application's access to a user secret back.

    Raises:
        SecretError: There is no such user secret.
    """
    revoke(model, user_secret(model, reference).id, subject=app)


def remove_user_secret(model: Model, reference: str, revision: int | None = None) -> None:
    """Remove a user secret or one of its revisions.

    Raises:
        SecretError: There is no such user secret or revision.
    """
    remove(model, user_secret(model, reference).id, revision)


# --- Small things -----------------------------------------------------------------------------


def _app(subject: str) -> str:
    return subject.partition("/")[0]


def _tracked(secret: Secret, unit: str) -> int | None:
    if is_owner(secret, unit):
        return secret.owner_tracked.get(unit)
    consumer = secret.consumers.get(unit)
    return consumer.tracked if consumer is not None else None


def _expiry(expires: float, revision: int, view: SecretView) -> float:
    """Return when `secret-expired` is due: first at the time, later every five minutes."""
    return max(expires, view.expired_again) if revision in view.expired else expires


def _prune(secret: Secret) -> None:
    """Remove what nobody reads any more from a user secret with auto-prune."""
    if secret.owner_kind == "model" and secret.auto_prune:
        for number in obsolete(secret):
            del secret.revisions[number]


def _drop_owned(model: Model, kind: str, owner: str) -> None:
    for secret in [s for s in model.secrets.values() if (s.owner_kind, s.owner) == (kind, owner)]:
        remove(model, secret.id)


def _check_owner_label(model: Model, kind: str, owner: str, label: str, own_id: str) -> None:
    if not label:
        return
    for secret in model.secrets.values():
        if secret.id != own_id and (secret.owner_kind, secret.owner, secret.label) == (
            kind,
            owner,
            label,
        ):
            word = "name" if kind == "model" else "label"
            raise SecretError(f'secret with {word} "{label}" already exists')


def _check_consumer_label(model: Model, unit: str, label: str, own_id: str) -> None:
    for secret in (owned_by_label(model, unit, label), consumed_by_label(model, unit, label)):
        if secret is not None and secret.id != own_id:
            raise SecretError(f'secret with label "{label}" already exists')
