"""Seal what the dashboard keeps in memcached, since whoever reaches memcached reads and writes it.

Sessions have tokens in them, and to read an entry Python runs what stands in it. So an entry is
encrypted, and nobody without the key can make one that opens, or put one in another's place.
"""

import base64
import hmac
import pickle

from cryptography.fernet import Fernet, InvalidToken


class Sealed:
    """Turns values into entries and back, as a `serde` of pymemcache.

    Args:
        secret: What all units of the dashboard know and nobody else.
    """

    def __init__(self, secret: str):
        # Sessions are signed with the secret itself; no key is used for two things.
        key = hmac.digest(secret.encode(), b"entries in memcached", "sha256")
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def serialize(self, key: str | bytes, value: object) -> tuple[bytes, int]:
        """Give the entry of a value, and its flags."""
        return self._fernet.encrypt(pickle.dumps((_name(key), value))), 0

    def deserialize(self, key: str | bytes, entry: bytes, flags: int) -> object:
        """Give the value of an entry; None, as if there were none, if it is not one of ours."""
        try:
            name, value = pickle.loads(self._fernet.decrypt(entry))  # noqa: S301 - ours, unchanged
        except InvalidToken:
            return None
        return value if name == _name(key) else None


def _name(key: str | bytes) -> str:
    return key.decode() if isinstance(key, bytes) else key
