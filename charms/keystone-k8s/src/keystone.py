"""Keystone: its keys, its tasks and the accounts of its clients. Pure; no Juju, no Pebble."""

import json
from collections.abc import Iterator
from typing import Any

from charmkit import api, keys
from charmkit.interfaces import (
    certificate_transfer,
    keystone,
    keystone_credentials,
    keystone_resources,
)
from charmkit.service import Directory, File, OwnSecret, Task, digest
from charmkit.spec import Snapshot, Values, in_url

PORT = 5000
CONFIG = "/etc/keystone/keystone.conf"
NAMESPACES = ("keystone", "oslo.cache", "oslo.db", "oslo.messaging", "osprofiler")
FERNET_KEYS = "/etc/keystone/fernet-keys"
CREDENTIAL_KEYS = "/etc/keystone/credential-keys"
ACCOUNTS = "/var/lib/charmkit/accounts.py"
POLICY = File(path="/etc/keystone/policy.yaml", template="policy.yaml", group="keystone")

ADMIN = "admin"
ADMIN_DOMAIN = keystone.Named("Default", "default")
SERVICE_DOMAIN = "service_domain"
SERVICE_PROJECT = "services"

ROTATION = 7 * 24 * 3600
"""Seconds between two rotations of the token keys: a week, the longest that a token may live."""

ROTATIONS_BY_HAND = 4
"""So often an operator may rotate the token keys within a token's life, and none dies early."""

CREDENTIAL_ACTIVE = 3
"""Keystone keeps this many keys for credentials and lets nobody change it."""

ROLES = ("service",)
"""What a client's account may do: be trusted by other services, nothing more."""

CLIENTS = keystone.Provider()
CREDENTIALS = keystone_credentials.Provider()
RESOURCES = keystone_resources.Provider()
TRUST = certificate_transfer.Provider(endpoint="send-ca-cert")

INGRESSES = api.ingresses(PORT, "/v3")
PUBLIC, INTERNAL = INGRESSES


# --- keys and passwords ------------------------------------------------------------------------


def fernet_active(snapshot: Snapshot) -> int:
    """Give how many token keys to keep so that no token outlives its key.

    Rotations by hand come on top of the weekly ones: some keys more keep their tokens alive.
    """
    weekly = keys.active_keys(float(snapshot.config["token-expiration"]), ROTATION)
    return weekly + ROTATIONS_BY_HAND


OWN_SECRETS = (
    OwnSecret(
        label="admin-password",
        initial=lambda snapshot: {"username": ADMIN, "password": snapshot.random_text("admin")},
        rotated=lambda snapshot, old: {**old, "password": snapshot.random_text("admin")},
        action="rotate-admin-password",
        description="account of the cloud's administrator",
    ),
    OwnSecret(
        label="fernet-keys",
        initial=lambda snapshot: keys.initial(snapshot, "fernet-keys"),
        rotated=lambda snapshot, old: keys.rotated(
            snapshot, old, "fernet-keys", fernet_active(snapshot)
        ),
        rotate=lambda snapshot: "weekly",
        action="rotate-fernet-keys",
        everywhere_first=True,
        description="keys of tokens",
    ),
    OwnSecret(
        label="credential-keys",
        initial=lambda snapshot: keys.initial(snapshot, "credential-keys"),
        rotated=lambda snapshot, old: keys.rotated(
            snapshot, old, "credential-keys", CREDENTIAL_ACTIVE
        ),
        rotate=lambda snapshot: "monthly",
        action="rotate-credential-keys",
        everywhere_first=True,
        description="keys of stored credentials",
    ),
)


def _repository(path: str, name: str) -> Directory:
    def content(snapshot: Snapshot, values: Values) -> dict[str, str]:
        return dict(keys.files(values["secrets"][name]))

    return Directory(path=path, content=content, user="keystone", group="keystone")


# Keystone reads a repository at every use, so new keys need no restart.
DIRECTORIES = (
    _repository(FERNET_KEYS, "fernet_keys"),
    _repository(CREDENTIAL_KEYS, "credential_keys"),
)


# --- values ------------------------------------------------------------------------------------


def values(snapshot: Snapshot, seen: Values) -> dict[str, Any]:
    """Give what templates, tasks and offers need beyond options and relations."""
    where = snapshot.addresses
    own = f"https://{where.service_name}:{PORT}"
    outside = f"https://{in_url(where.service_ip)}:{PORT}"
    return {
        "fernet_keys": FERNET_KEYS,
        "credential_keys": CREDENTIAL_KEYS,
        "policy": POLICY.path,
        "fernet_active": fernet_active(snapshot),
        # The name that this unit's own certificate has, whatever clients are told.
        "own_url": f"{own}/v3",
        "internal_url": f"{INTERNAL.url(snapshot) or own}/v3",
        "public_url": f"{PUBLIC.url(snapshot) or outside}/v3",
    }


# --- tasks -------------------------------------------------------------------------------------


def _manage(*arguments: str) -> tuple[str, ...]:
    return (f"{api.BIN}/keystone-manage", "--config-file", CONFIG, *arguments)


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Make the schema, the administrator, and what the clients ask for."""
    schema = api.schema("keystone", seen["database"], *_manage("db_sync"))
    yield schema
    yield Task(
        name="bootstrap",
        argv=_manage(
            "bootstrap",
            *("--bootstrap-username", ADMIN),
            *("--bootstrap-project-name", ADMIN),
            *("--bootstrap-service-name", "keystone"),
            *("--bootstrap-region-id", str(snapshot.config["region"])),
            *("--bootstrap-internal-url", seen["internal_url"]),
            *("--bootstrap-admin-url", seen["internal_url"]),
            *("--bootstrap-public-url", seen["public_url"]),
        ),
        environment={"OS_BOOTSTRAP_PASSWORD": seen["secrets"]["admin_password"]["password"]},
        message="making the administrator",
        user="keystone",
        group="keystone",
        inputs=schema.inputs,
    )
    credential_keys = keys.numbered(seen["secrets"]["credential_keys"])
    if max(credential_keys) > 1:  # they were rotated at least once
        yield Task(
            name="credentials",
            argv=_manage("credential_migrate"),
            message="encrypting stored credentials anew",
            user="keystone",
            group="keystone",
            inputs=(str(max(credential_keys)),),
            when="online",
        )
    yield Task(
        name="accounts",
        argv=(f"{api.BIN}/python3", ACCOUNTS),
        stdin=json.dumps(wish(snapshot, seen), sort_keys=True),
        # A client may have asked for Keystone's own entry in the catalogue.
        inputs=(*schema.inputs, seen["internal_url"], seen["public_url"]),
        message="making accounts for clients",
        user="keystone",
        group="keystone",
        when="online",
        facts=True,
        again=keystone_resources.is_to_be_tried_again(
            seen["facts"].get("accounts", {}).get("resources", {})
        ),
    )


def accounts(
    snapshot: Snapshot,
) -> tuple[tuple[keystone.Account, ...], tuple[keystone_credentials.Account, ...]]:
    """Give the accounts of the clients of both interfaces."""
    return (
        tuple(CLIENTS.account(snapshot, each) for each in CLIENTS.requests(snapshot)),
        tuple(CREDENTIALS.account(snapshot, each) for each in CREDENTIALS.requests(snapshot)),
    )


def wish(snapshot: Snapshot, seen: Values) -> dict[str, Any]:
    """Give what the script `accounts.py` makes true through Keystone's API."""
    services, credentials = accounts(snapshot)
    facts = seen["facts"].get("accounts", {})
    known = facts.get("users", {})
    admins = str(snapshot.config["admin-applications"]).split(",")
    resources = [
        {
            "app": request.app,
            "is_admin": request.app in admins,
            "relation": str(request.relation_id),
            "id": request.id,
            "operations": [_operation(each) for each in request.operations],
        }
        for request in RESOURCES.requests(snapshot)
    ]
    wanted = {
        account.username: {
            "password": account.password,
            "fingerprint": digest(account.password),
            "roles": ROLES,
        }
        for account in (*services, *credentials)
    }
    return {
        "url": seen["own_url"],
        "address": snapshot.addresses.unit_ip,
        "ca_file": api.ca_file("keystone"),
        "admin": {
            "name": ADMIN,
            "password": seen["secrets"]["admin_password"]["password"],
            "domain": ADMIN_DOMAIN.name,
            "project": ADMIN,
        },
        "domain": SERVICE_DOMAIN,
        "project": SERVICE_PROJECT,
        "accounts": wanted,
        "disabled": sorted(known.keys() - wanted.keys()),
        "catalogue": [
            {
                "name": entry.service_name,
                "type": entry.type,
                "description": entry.description,
                "region": account.request.region,
                "urls": {
                    "internal": entry.internal_url,
                    "public": entry.public_url,
                    "admin": entry.admin_url,
                },
            }
            for account in services
            for entry in account.request.entries
        ],
        "resources": resources,
        "idle": sorted(
            set(facts.get("owners", ()))
            - {relation.app for relation in snapshot.related(RESOURCES.endpoint)}
        ),
    }


def _operation(asked: keystone_resources.Operation) -> dict[str, Any]:
    """Give an operation as the script takes it: a password with its fingerprint."""
    params = dict(asked.params)
    if "password" in params:
        params["fingerprint"] = digest(params["password"])
    return {"name": asked.name, "params": params}


def admin_account(snapshot: Snapshot) -> dict[str, str]:
    """Give how the cloud's administrator logs in, without the password."""
    urls = values(snapshot, {})
    return {
        "username": ADMIN,
        "project": ADMIN,
        "user-domain": ADMIN_DOMAIN.name,
        "project-domain": ADMIN_DOMAIN.name,
        "region": str(snapshot.config["region"]),
        "auth-url": urls["public_url"],
        "internal-auth-url": urls["internal_url"],
    }
