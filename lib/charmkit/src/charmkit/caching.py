"""The parts of every service that keeps validated tokens in memcached. Data, no effects.

A service that uses them has the optional endpoint `cache` and `TOKEN_KEY` among its own secrets;
`keystone_authtoken.j2` does the rest. Memcached lets everybody in who reaches it, so tokens are
encrypted before they get there, with a key that only the service's own units have.
"""

from charmkit.interfaces import memcache
from charmkit.service import OwnSecret

NEED = memcache.Requirer()

TOKEN_KEY = OwnSecret(
    label="token-cache",
    initial=lambda snapshot: {"key": snapshot.random_text("token-cache", 43)},
    description="key by which tokens are encrypted before they are cached",
)
