"""The pairs of the bundle, and what an application shows while an optional one is gone.

Held against the charms in `tests/contract`, and against a cloud in `tests/integration/cloud`.
"""

from helio import bundlefile
from helio.tree import find_tree

RELEASE = bundlefile.read_release(find_tree())
PAIRS = [(provider, requirer) for provider, requirer in RELEASE.deployed_relations()]

LACKED = {
    "cinder-volume:ceph": ("blocked", "no storage: integrate ceph, or set the option backends"),
    "glance:ceph": ("blocked", "missing integration: ceph, where images are"),
}
"""Requirer of an optional pair → status and message without it; of the others it is active."""


def is_required(requirer: str) -> bool:
    """Return whether an application does not work without what this endpoint gives it."""
    application, _, endpoint = requirer.partition(":")
    return not RELEASE.charm(application)["requires"][endpoint].get("optional")


def shown_without(requirer: str) -> tuple[str, str]:
    """Return status and message without an optional integration, as the charm's code has them."""
    return LACKED.get(requirer, ("active", ""))


def _optional() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, requirer in PAIRS:
        application, _, endpoint = requirer.partition(":")
        if not is_required(requirer):
            found.setdefault(application, []).append(endpoint)
    return found


OPTIONAL = _optional()
"""Application → its optional endpoints that the bundle integrates."""
