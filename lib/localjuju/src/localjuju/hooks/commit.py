"""Apply what a hook has buffered to the model: all of it, or nothing."""

from __future__ import annotations

import copy

from localjuju import resolver, secrets
from localjuju.hooks.buffer import PendingSecret, merge
from localjuju.hooks.session import Session
from localjuju.model import Bag, HookKind, SecretView


class FlushError(Exception):
    """The hook's effects cannot be applied; the model is as it was. The hook counts as failed."""


def commit(session: Session) -> None:
    """Apply the buffer: secrets and grants, then data bags, then ports and state.

    So no other unit ever sees the id of a secret in a bag that it may not read yet.

    Raises:
        FlushError: A secret's change is refused, or an application bag was written by a unit
            that has lost the leadership meanwhile.
    """
    _check_bags(session)
    _commit_secrets(session)
    if session.hook.kind is HookKind.CONFIG_CHANGED:
        _refresh_network(session)
    for (number, entity), changes in session.buffer.bags.items():
        relation = session.model.relations.get(number)
        if relation is not None:  # else gone meanwhile: nobody can read it any more
            bags = relation.unit_bags if "/" in entity else relation.app_bags
            write(bags.setdefault(entity, Bag()), changes)
    unit = session.unit
    if session.buffer.ports is not None:
        unit.opened_ports = session.buffer.ports
    if session.buffer.state is not None:
        unit.state = session.buffer.state
    session.buffer = type(session.buffer)()


def write(bag: Bag, changes: dict[str, str]) -> bool:
    """Write keys into a bag; "" deletes. A write that changes nothing gives no new version."""
    data = merge(bag.data, changes)
    if data == bag.data:
        return False
    bag.data = data
    bag.version += 1
    return True


def _check_bags(session: Session) -> None:
    for number, entity in session.buffer.bags:
        if entity == session.unit.app and not session.is_leader:
            raise FlushError(
                f"cannot write the application's settings of relation {number}: "
                f"{session.unit_name} is not the leader any more"
            )


def _refresh_network(session: Session) -> None:
    for relation in session.relations().values():
        bag = relation.unit_bags.get(session.unit_name)
        if bag is not None:
            endpoint = session.own_end(relation).endpoint
            write(bag, resolver.network_keys(session.unit, session.model, endpoint))


def _commit_secrets(session: Session) -> None:
    if not session.buffer.secrets:
        return
    model = session.model
    before = copy.deepcopy(model.secrets)
    views = {unit.name: copy.deepcopy(unit.secrets) for unit in model.units.values()}
    try:
        for pending in session.buffer.secrets.values():
            _change(session, pending)
        for pending in session.buffer.secrets.values():
            _access(session, pending)
        for pending in session.buffer.secrets.values():
            _remove(session, pending)
    except secrets.SecretError as error:
        model.secrets.clear()
        model.secrets.update(before)
        for name, view in views.items():
            model.units[name].secrets = view
        raise FlushError(f"cannot apply changes of secrets: {error}") from error


def _change(session: Session, pending: PendingSecret) -> None:
    model, unit, now = session.model, session.unit, session.now
    if pending.owner_kind:
        if pending.owner_kind == "application" and not session.is_leader:
            raise secrets.SecretDeniedError("this unit is not the leader")
        secrets.create(
            model,
            secret_id=pending.id,
            owner_kind=pending.owner_kind,
            owner=unit.app if pending.owner_kind == "application" else unit.name,
            data=pending.data or {},
            now=now,
            label=pending.label or "",
            description=pending.description or "",
            expires=pending.expires,
            rotate=pending.rotate or "never",
        )
        return
    secret = secrets.manage(model, pending.id, unit.name)
    given = (pending.data, pending.label, pending.description, pending.expires, pending.rotate)
    if any(value is not None for value in given):
        before = secret.latest
        secrets.update(
            model,
            pending.id,
            now=now,
            data=pending.data,
            label=pending.label,
            description=pending.description,
            expires=pending.expires,
            rotate=pending.rotate,
        )
        if secret.latest != before:
            # The unit that made the revision is not told of it.
            unit.secrets.setdefault(pending.id, SecretView()).changed = secret.latest
    if pending.track:
        secrets.read(model, unit.name, secret_id=pending.id, refresh=True)


def _access(session: Session, pending: PendingSecret) -> None:
    for relation_id, subject in pending.revokes:
        secrets.revoke(session.model, pending.id, relation_id=relation_id, subject=subject)
    for relation_id, subject in pending.grants:
        if relation_id in session.model.relations:  # else gone meanwhile, the grant with it
            secrets.grant(session.model, pending.id, relation_id, subject)


def _remove(session: Session, pending: PendingSecret) -> None:
    if pending.removed:
        secrets.remove(session.model, pending.id)
        return
    for revision in pending.removed_revisions:
        secret = session.model.secrets.get(pending.id)
        if secret is not None and revision in secret.revisions:
            secrets.remove(session.model, pending.id, revision)
