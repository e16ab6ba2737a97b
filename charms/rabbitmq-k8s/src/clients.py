"""RabbitMQ's clients: who gets an account, and how the broker is told. Pure; no Juju."""

import base64
import hashlib
import json
from collections.abc import Iterable

from charmkit.interfaces import rabbitmq
from charmkit.service import Obstacle
from charmkit.spec import Snapshot, Values

CLIENTS = rabbitmq.Provider()

TAG = "helio"
"""Marks the accounts that are ours; others, which an operator made, are left alone."""


def accounts(snapshot: Snapshot) -> dict[str, rabbitmq.Account]:
    """Give the accounts of all clients whose wish can be met, by name."""
    found: dict[str, rabbitmq.Account] = {}
    for request in CLIENTS.requests(snapshot):
        account = CLIENTS.account(snapshot, request)
        if not refusal(snapshot, request):
            found.setdefault(account.username, account)
    return found


def refusal(snapshot: Snapshot, request: rabbitmq.Request) -> str | None:
    """Tell why a client gets no account, or None."""
    if request.secrets:
        return None
    if not snapshot.config["allow-plain-credentials"]:
        return f"{request.app} reads no secrets: set allow-plain-credentials=true to serve it"
    first = next(
        each
        for each in CLIENTS.requests(snapshot)
        if not each.secrets and each.username == request.username
    )
    if first.relation_id != request.relation_id:
        return f"{request.app} asks for the account {request.username} of {first.app}"
    return None


def condition(snapshot: Snapshot, seen: Values) -> Obstacle:
    """Name a client that gets no account."""
    for request in CLIENTS.requests(snapshot):
        if reason := refusal(snapshot, request):
            return "blocked", f"cannot serve {reason}"
    return None


def definitions(accounts: Iterable[rabbitmq.Account]) -> str:
    """Give what shall be in the broker, in the form of its own definitions, as JSON.

    Passwords are in it as salted hashes only. Queues of each virtual host are replicated ones
    unless a client insists on another type.
    """
    wanted = tuple(accounts)
    return json.dumps(
        {
            "users": [
                {
                    "name": account.username,
                    "password_hash": password_hash(account.username, account.password),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": [TAG],
                }
                for account in wanted
            ],
            "vhosts": [
                {
                    "name": name,
                    "metadata": {"description": "", "tags": [], "default_queue_type": "quorum"},
                }
                for name in sorted({account.request.vhost for account in wanted})
            ],
            "permissions": [
                {
                    "user": account.username,
                    "vhost": account.request.vhost,
                    "configure": ".*",
                    "write": ".*",
                    "read": ".*",
                }
                for account in wanted
            ],
        },
        sort_keys=True,
    )


def password_hash(username: str, password: str) -> str:
    """Give the hash by which the broker knows a password: base64 of salt and SHA-256.

    The salt follows from account and password, so that an equal password is an equal hash and
    nothing is written again. Nobody can use it to find a password of 192 random bits.

    Source: RabbitMQ documentation, "Credentials and Passwords".
    """
    salt = hashlib.sha256(f"{username}\0{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
