"""Ids, content, rotation and errors of secrets."""

from __future__ import annotations

import base64
import calendar
import datetime
import re
from collections.abc import Callable, Mapping

ROTATIONS = ("never", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
CONTENT_LIMIT = 1_000_000
"""Juju's limit of a secret's content in bytes, counted in base64."""
RETRY_SECONDS = 300.0
"""Juju's wait until a rotation or expiry that the charm did not act on is announced again."""

_URI = re.compile(r"(?:secret:)?(?://(?P<model>[0-9a-f-]{36})/)?(?P<id>[0-9a-z]{20})")
_KEY = re.compile(r"[a-z](?:-?[a-z0-9]){2,}")
_ALPHABET = "0123456789abcdefghijklmnopqrstuv"

RandomBytes = Callable[[int], bytes]
"""Where ids come from: `os.urandom` in the engine, a seeded source in tests."""


class SecretError(Exception):
    """A secret cannot be used as asked; the text is in Juju's own words."""


class SecretNotFoundError(SecretError):
    """There is no such secret, revision or label."""


class SecretDeniedError(SecretError):
    """The unit may not read or change this secret."""


def new_id(random_bytes: RandomBytes) -> str:
    """Return a fresh secret id: 20 characters of [0-9a-v], 12 random bytes."""
    number = int.from_bytes(random_bytes(12), "big") << 4  # 100 bits: 20 digits of 5 bits
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(95, -1, -5))


def parse_uri(text: str) -> str:
    """Return the bare id that `secret:<id>`, `secret://<model uuid>/<id>` or `<id>` names.

    Raises:
        SecretError: The text is none of these.
    """
    return parse_reference(text)[1]


def parse_reference(text: str) -> tuple[str, str]:
    """Return the model's UUID, empty where none is named, and the bare id of a reference.

    Raises:
        SecretError: The text is none.
    """
    match = _URI.fullmatch(text)
    if match is None:
        raise SecretError(f'secret URI "{text}" not valid')
    return match["model"] or "", match["id"]


def is_uri(text: str) -> bool:
    """Tell whether the text can be the URI or the id of a secret."""
    return _URI.fullmatch(text) is not None


def uri(secret_id: str, model: str = "") -> str:
    """Return the URI of a secret: of this model, or of the one with the UUID that is given."""
    return f"secret://{model}/{secret_id}" if model else f"secret:{secret_id}"


def check_content(data: Mapping[str, str]) -> None:
    """Check keys and values of a secret's content (values are base64 text).

    Raises:
        SecretError: A key is not one that Juju allows, there is none, a value is not base64,
            or all is too large.
    """
    if not data:
        raise SecretError("empty secret value not valid")
    for key, value in data.items():
        if _KEY.fullmatch(key) is None:
            raise SecretError(
                f'key "{key}" not valid: use at least 3 characters, lower-case letters, digits '
                "and single dashes, a letter first"
            )
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            raise SecretError(f'value of key "{key}" is not base64') from None
    size = sum(len(value) for value in data.values())
    if size > CONTENT_LIMIT:
        raise SecretError(f"base64 encoded secret content too large: {size} bytes")


def check_rotation(policy: str) -> str:
    """Return the rotation policy if Juju knows it.

    Raises:
        SecretError: It does not.
    """
    if policy not in ROTATIONS:
        raise SecretError(f'rotate policy "{policy}" not valid')
    return policy


def next_rotation(policy: str, after: float) -> float | None:
    """Return when a secret rotates next, counted from `after`; None for `never`."""
    if policy == "hourly":
        return after + 3600.0
    if policy in {"daily", "weekly"}:
        return after + 86400.0 * (7 if policy == "weekly" else 1)
    months = {"monthly": 1, "quarterly": 3, "yearly": 12}.get(policy)
    if months is None:
        return None
    start = datetime.datetime.fromtimestamp(after, datetime.UTC)
    year, month = divmod(start.month - 1 + months, 12)
    year += start.year
    # Go's AddDate lets 31 January + 1 month run over into March; a charm only cares that it
    # is about a month, so the last day of a shorter month is taken instead.
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day).timestamp()
