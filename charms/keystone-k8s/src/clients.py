"""What Keystone tells its clients, and when. Pure.

Clients start anew when Keystone's address changes, so what they hear first shall last: as long as
nobody has been told an address, nobody is while an integrated entry point has not told its URL.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import keystone
from charmkit.interfaces import keystone as identity
from charmkit.interfaces import keystone_credentials as credentials
from charmkit.service import Obstacle, digest
from charmkit.spec import Publication, Snapshot, Values

_Account = TypeVar("_Account", identity.Account, credentials.Account)


def condition(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Name the entry points for which clients have to wait; the leader does, who tells them."""
    silent = _silent(snapshot)
    return ("waiting", f"waiting for data from: {', '.join(silent)}") if silent else None


def _silent(snapshot: Snapshot) -> tuple[str, ...]:
    """Give the endpoints of the entry points whose URL counts and is not there yet.

    It counts until a client has been told an address: from then on an entry point that is lost,
    or new, takes nothing away from anybody. What was told is in our own databags, which every
    leader can read, and nobody else.
    """
    answers = (keystone.CLIENTS, keystone.CREDENTIALS, keystone.RESOURCES)
    told = any(
        relation.local_app for each in answers for relation in snapshot.related(each.endpoint)
    )
    if told or not snapshot.is_leader:
        return ()
    return tuple(
        each.endpoint
        for each in keystone.INGRESSES
        if snapshot.related(each.endpoint) and not each.url(snapshot)
    )


def offers(snapshot: Snapshot, seen: Values) -> Iterator[Publication]:
    """Answer the clients whose account exists, and tell everybody whom to trust."""
    received = seen["receive_ca_cert"]
    yield keystone.TRUST.respond(
        snapshot, (seen["certificates"].ca, *(received.certificates if received else ()))
    )
    facts = seen["facts"].get("accounts")
    if facts is None or _silent(snapshot):
        return
    services, others = keystone.accounts(snapshot)
    region = str(snapshot.config["region"])
    domain, project = facts["domain"], facts["project"]
    yield keystone.RESOURCES.respond(snapshot, facts.get("resources", {}))
    yield keystone.CLIENTS.respond(
        snapshot,
        _existing(services, facts["users"]),
        cloud=identity.Cloud(
            internal_url=seen["internal_url"],
            public_url=seen["public_url"],
            admin_url=seen["internal_url"],
            region=region,
            service_domain=identity.Named(keystone.SERVICE_DOMAIN, domain),
            service_project=identity.Named(keystone.SERVICE_PROJECT, project),
            admin_domain=keystone.ADMIN_DOMAIN,
            admin_project=identity.Named(keystone.ADMIN, facts["admin_project"]),
            admin_user=identity.Named(keystone.ADMIN, facts["admin_user"]),
        ),
        user_ids={name: user["id"] for name, user in facts["users"].items()},
    )
    yield keystone.CREDENTIALS.respond(
        snapshot,
        _existing(others, facts["users"]),
        cloud=credentials.Cloud(
            internal_url=seen["internal_url"],
            public_url=seen["public_url"],
            region=region,
            user_domain=identity.Named(keystone.SERVICE_DOMAIN, domain),
            project=identity.Named(keystone.SERVICE_PROJECT, project),
            project_domain=identity.Named(keystone.SERVICE_DOMAIN, domain),
        ),
    )


def _existing(wanted: Iterable[_Account], users: dict[str, Any]) -> Iterator[_Account]:
    """Give the accounts that exist in Keystone with the password that we would tell."""
    for account in wanted:
        user = users.get(account.username)
        if user and user["fingerprint"] == digest(account.password):
            yield account
