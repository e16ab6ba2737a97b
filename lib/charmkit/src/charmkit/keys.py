"""Key repositories as Keystone reads them: fernet keys, numbered files. Pure.

Key 0 is staged: every process can already read what it will write. The highest number is primary
and writes; those between only read. A rotation turns the staged key into the new primary, so a
process that has not got the new repository yet can read what the others write — if it had the
repository before. Therefore a repository is rotated only when all units have it.

Source: Keystone administrator guide, "Fernet tokens" and "Credential encryption".
"""

import base64
import hashlib
from collections.abc import Mapping

from charmkit.spec import SecretContent, Snapshot

PREFIX = "key-"


def _fresh(snapshot: Snapshot, purpose: str) -> str:
    # A fernet key is 32 random bytes as URL-safe base64 with its padding.
    text = snapshot.random_text(purpose, 43)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()


def initial(snapshot: Snapshot, label: str) -> SecretContent:
    """Make a repository with a staged and a primary key."""
    return {f"{PREFIX}{number}": _fresh(snapshot, f"{label}:{number}") for number in (0, 1)}


def numbered(content: SecretContent) -> dict[int, str]:
    """Give number → key, the primary first, the staged last."""
    keys = {
        int(name.removeprefix(PREFIX)): key
        for name, key in content.items()
        if name.startswith(PREFIX)
    }
    return dict(sorted(keys.items(), reverse=True))


def rotated(
    snapshot: Snapshot, content: SecretContent, label: str, max_active: int
) -> SecretContent:
    """Promote the staged key, stage a fresh one, drop the oldest.

    Args:
        snapshot: Source of randomness.
        content: The present repository.
        label: What the fresh key is for.
        max_active: Keys to keep, staged and primary included; at least 2.
    """
    keys = numbered(content)
    primary = max(keys) + 1
    keep = sorted((number for number in keys if number), reverse=True)[: max(max_active - 2, 0)]
    new = {0: _fresh(snapshot, f"{label}:{primary + 1}"), primary: keys[0]}
    new |= {number: keys[number] for number in keep}
    return {f"{PREFIX}{number}": key for number, key in sorted(new.items())}


def files(content: SecretContent) -> Mapping[str, str]:
    """Give file name → key in the order in which a running process may see them appear.

    The new primary comes first: it is the key that was staged, so no moment lacks it.
    """
    return {str(number): key for number, key in numbered(content).items()}


def active_keys(lifetime: float, period: float) -> int:
    """Give how many keys must stay so that nothing outlives its key.

    Args:
        lifetime: Seconds that something written with a key must be readable.
        period: Seconds between two rotations.
    """
    return int(-(-lifetime // period)) + 2
