"""The root as Juju knows it: options, secret, and when it is replaced. Pure but for the time."""

import dataclasses
import time
from collections.abc import Mapping

from charmkit import authority
from charmkit.ownership import CannotRotateError
from charmkit.service import Option, OwnSecret
from charmkit.spec import ConfigValue, Rotation, SecretContent, Snapshot

LABEL = "root-ca"
# The longest period between two roots that fits is taken. The number is in days.
PERIODS: tuple[tuple[Rotation, int], ...] = (
    ("yearly", 366), ("quarterly", 93), ("monthly", 31), ("weekly", 7), ("daily", 1),
)  # fmt: skip


# --- options -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class LongerThanCertificates:
    """The rule that a root lives at least twice as long as the certificates that it signs."""

    name: str = "root-ca-validity"

    def problem(self, config: Mapping[str, ConfigValue]) -> str | None:
        """Tell what is wrong as `option: reason`, or None. Both options are well formed."""
        root, other = str(config[self.name]), str(config["certificate-validity"])
        if authority.seconds(root) >= 2 * authority.seconds(other):
            return None
        return f"{self.name}: must be at least twice certificate-validity, {other}; is {root}"


OPTIONS = (
    Option(name="ca-common-name", pattern=".{1,64}", hint="write 1 to 64 characters"),
    Option(name="certificate-validity", pattern=authority.VALIDITY, hint="write 90d"),
    Option(name="root-ca-validity", pattern=authority.VALIDITY, hint="write 3650d"),
    LongerThanCertificates(),
)


def validity(snapshot: Snapshot, option: str) -> int:
    """Give the value of an option for a validity, in seconds."""
    return authority.seconds(str(snapshot.config[option]))


def period(snapshot: Snapshot) -> Rotation:
    """Give how often the root is replaced: early enough for certificates to run their time."""
    spare = validity(snapshot, "root-ca-validity") - validity(snapshot, "certificate-validity")
    return next((name for name, days in PERIODS if days * 86400 <= spare / 2), "hourly")


# --- the secret --------------------------------------------------------------------------------


def initial(snapshot: Snapshot) -> SecretContent:
    """Make the first root."""
    return authority.dump(_make(snapshot))


def following(snapshot: Snapshot, content: SecretContent) -> SecretContent:
    """Make the root that replaces the one in the secret.

    Raises:
        CannotRotateError: The options are wrong.
    """
    for option in OPTIONS:
        if problem := option.problem(snapshot.config):
            raise CannotRotateError(f"cannot replace the root: {problem}")
    return authority.dump(_make(snapshot, authority.load(content)))


def _make(snapshot: Snapshot, previous: authority.Root | None = None) -> authority.Root:
    return authority.make_root(
        str(snapshot.config["ca-common-name"]),
        seed=snapshot.random_text(LABEL, 43),
        now=time.time(),
        validity=validity(snapshot, "root-ca-validity"),
        previous=previous,
    )


SECRET = OwnSecret(
    label=LABEL,
    initial=initial,
    rotated=following,
    rotate=period,
    action="rotate-private-key",
    description="key and certificate of the root authority",
)
