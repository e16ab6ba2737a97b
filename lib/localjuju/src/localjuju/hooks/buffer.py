"""What a hook has asked for and what is done only when it ends well."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class PendingSecret:
    """Changes of one secret; None means unchanged.

    Attributes:
        owner_kind: `application` or `unit` for a secret made in this hook, else empty.
        data: Content (base64) of a new secret or a new revision.
        track: The owner asked to track the newest revision.
        grants: (relation id, application or unit).
        revokes: (relation id or None, application or unit or None).
        removed: The whole secret goes.
        removed_revisions: These revisions go.
    """

    id: str
    owner_kind: str = ""
    data: dict[str, str] | None = None
    label: str | None = None
    description: str | None = None
    expires: float | None = None
    rotate: str | None = None
    track: bool = False
    grants: list[tuple[int, str]] = dataclasses.field(default_factory=list[tuple[int, str]])
    revokes: list[tuple[int | None, str | None]] = dataclasses.field(
        default_factory=list[tuple[int | None, str | None]]
    )
    removed: bool = False
    removed_revisions: list[int] = dataclasses.field(default_factory=list[int])


@dataclasses.dataclass
class Buffer:
    """All that one hook has buffered.

    Attributes:
        bags: (relation id, unit or application) → keys to set; "" deletes.
        ports: Endpoint ("" = all) → ports, as they will be; None until touched.
        state: The unit's state-set map as it will be; None until touched.
        secrets: By id, in the order in which they were first touched.
    """

    bags: dict[tuple[int, str], dict[str, str]] = dataclasses.field(
        default_factory=dict[tuple[int, str], dict[str, str]]
    )
    ports: dict[str, list[str]] | None = None
    state: dict[str, str] | None = None
    secrets: dict[str, PendingSecret] = dataclasses.field(default_factory=dict[str, PendingSecret])


@dataclasses.dataclass
class ActionOutcome:
    """What an action said about itself; delivered when it ends, also when it fails."""

    results: dict[str, object] = dataclasses.field(default_factory=dict[str, object])
    failed: bool = False
    message: str = ""


def merge(data: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """Return a bag's data with changes applied: the empty string deletes a key."""
    merged = {**data, **changes}
    return {key: value for key, value in merged.items() if value != ""}
