"""The one place where helio meets OpenStack's own interfaces: connections, and their errors.

The client library takes most of a second to import, so it is imported where it is used.
"""

import contextlib
import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any

from helio.clients import Account
from helio.host import HelioError

# The library's connections and resources have no types worth the name: every attribute may be
# there or not. Here they are `Any`, and the modules that use them keep to what its documents say.
Connection = Any


@dataclasses.dataclass
class Clouds:
    """Connections with the accounts of a cloud, made when they are used.

    Args:
        ca: File with the certificates that are trusted.
        accounts: Name in clouds.yaml → account.
    """

    ca: Path
    accounts: dict[str, Account]
    _made: dict[Account, Connection] = dataclasses.field(default_factory=dict[Account, Any])

    def connect(self, name: str) -> Connection:
        """Return the connection with an account.

        Raises:
            HelioError: there is no such account.
        """
        account = self.accounts.get(name)
        if account is None:
            raise HelioError(
                f"cannot log in as {name}: there is no such user; run: helio configure"
            )
        if account not in self._made:
            self._made[account] = connect(account, self.ca)
        return self._made[account]


def connect(account: Account, ca: Path) -> Connection:
    """Return a connection to the cloud's public interfaces; it logs in when it is first used."""
    from openstack import connection

    return connection.Connection(
        auth={
            "auth_url": account.auth_url,
            "username": account.username,
            "password": account.password,
            "project_name": account.project,
            "user_domain_name": account.user_domain,
            "project_domain_name": account.project_domain,
        },
        region_name=account.region,
        interface="public",
        cacert=str(ca),
        app_name="helio",
        # A service that restarts, or a unit that is just taken out, is asked again.
        connect_retries=5,
        status_code_retries=5,
    )


@contextlib.contextmanager
def errors(what: str) -> Generator[None]:
    """Turn errors of the client library into one line.

    Args:
        what: What cannot be done: `configure`.
    """
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        yield
    except (SDKException, ClientException) as error:
        text = " ".join(str(error).split())
        raise HelioError(f"cannot {what}: {text}; see: helio status") from error
