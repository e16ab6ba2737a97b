#!/usr/bin/env python3
"""Keystone, the identity service."""

import pathlib

import ops

import clients
import keystone
from charmkit import api
from charmkit.reconciler import Reconciler
from charmkit.service import File, Option, Service

KEYSTONE = Service(
    name="keystone",
    processes=(
        api.process(
            service="keystone",
            module="keystone.wsgi.api",
            port=keystone.PORT,
            path="/v3",
            configuration=api.config("keystone", *keystone.NAMESPACES),
            environment={"OS_KEYSTONE_CONFIG_FILES": keystone.CONFIG},
            files=(keystone.POLICY,),
        ),
    ),
    files=(File(path=keystone.ACCOUNTS, template="accounts.py", mode=0o644),),
    directories=keystone.DIRECTORIES,
    needs=(*api.needs("keystone"), *keystone.INGRESSES),
    provides=(keystone.CLIENTS, keystone.CREDENTIALS, keystone.RESOURCES, keystone.TRUST),
    own_secrets=keystone.OWN_SECRETS,
    values=keystone.values,
    tasks=keystone.tasks,
    offers=clients.offers,
    condition=clients.condition,
    options=(
        *api.OPTIONS,
        Option(
            name="admin-applications",
            pattern="([a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*)?",
            hint="write names of applications, with commas",
        ),
        Option(name="region", pattern=r"[\w.-]{1,255}", hint="write letters, digits, . _ or -"),
        Option(name="token-expiration", minimum=60, maximum=keystone.ROTATION),
    ),
    ports=(keystone.PORT,),
)


class KeystoneCharm(ops.CharmBase):
    """Run Keystone."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        templates = pathlib.Path(__file__).parent / "templates"
        self.reconciler = Reconciler(self, KEYSTONE, templates)
        framework.observe(self.on.get_admin_account_action, self._get_admin_account)

    def _get_admin_account(self, event: ops.ActionEvent) -> None:
        """Tell everything but the password: what an action tells is kept in the model."""
        snapshot = self.reconciler.observe()
        secret = self.reconciler.secret_id(snapshot, "admin-password")
        if secret is None:
            event.fail("cannot show the account: it has not been made yet; try again when active")
            return
        account = keystone.admin_account(snapshot)
        event.set_results({**account, "secret": secret})


if __name__ == "__main__":
    ops.main(KeystoneCharm)
