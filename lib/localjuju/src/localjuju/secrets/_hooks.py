"""Which secret hooks a unit should get, and when."""

from __future__ import annotations

from localjuju.model import Hook, HookKind, Model, Secret, SecretView
from localjuju.secrets._access import can_read, is_manager, label_for, managed
from localjuju.secrets._reading import obsolete, tracked_by
from localjuju.secrets._values import RETRY_SECONDS, next_rotation

_ORDER = (
    HookKind.SECRET_EXPIRED,
    HookKind.SECRET_ROTATE,
    HookKind.SECRET_CHANGED,
    HookKind.SECRET_REMOVE,
)


def due(model: Model, unit: str, now: float) -> list[Hook]:
    """Return the secret hooks that the unit should get, in the order in which Juju runs them.

    Expired, rotate and remove go to the manager, changed to units that track an older revision.
    Nothing is recorded: call `delivered` when a hook is committed.
    """
    views = model.units[unit].secrets
    hooks: list[Hook] = []
    for _, secret in sorted(model.secrets.items()):
        view = views.get(secret.id) or SecretView()
        found = _for_manager(secret, view, now) if is_manager(model, secret, unit) else []
        if _is_news(model, secret, view, unit):
            found.append((HookKind.SECRET_CHANGED, 0))
        label = label_for(secret, unit)
        hooks += [
            Hook(kind, secret_id=secret.id, secret_label=label, secret_revision=revision)
            for kind, revision in found
        ]
    for _, held in sorted(model.remote_secrets.items()):
        consumer, view = held.consumers.get(unit), views.get(held.id) or SecretView()
        if consumer is not None and max(consumer.tracked, view.changed) < consumer.latest:
            hooks.append(
                Hook(HookKind.SECRET_CHANGED, secret_id=held.id, secret_label=consumer.label)
            )
    return sorted(hooks, key=lambda hook: _ORDER.index(hook.kind))


def _for_manager(secret: Secret, view: SecretView, now: float) -> list[tuple[HookKind, int]]:
    found = [
        (HookKind.SECRET_EXPIRED, number)
        for number, revision in sorted(secret.revisions.items())
        if revision.expires is not None and now >= _expiry(revision.expires, number, view)
    ]
    if secret.next_rotate is not None and now >= secret.next_rotate:
        found.append((HookKind.SECRET_ROTATE, secret.latest))
    return found + [
        (HookKind.SECRET_REMOVE, number)
        for number in obsolete(secret)
        if number not in view.removed
    ]


def _is_news(model: Model, secret: Secret, view: SecretView, unit: str) -> bool:
    tracked = tracked_by(secret, unit)
    if tracked is None or tracked >= secret.latest or view.changed >= secret.latest:
        return False
    return can_read(model, secret, unit)


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
    if hook.secret_id in model.remote_secrets:
        view = model.units[unit].secrets.setdefault(hook.secret_id, SecretView())
        view.changed = max(view.changed, hook.secret_revision)
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


def _expiry(expires: float, revision: int, view: SecretView) -> float:
    """Return when `secret-expired` is due: first at the time, later every five minutes."""
    return max(expires, view.expired_again) if revision in view.expired else expires
