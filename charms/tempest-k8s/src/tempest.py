"""Tempest: what is tested, as whom, and what came of it. Pure; no Juju, no Pebble."""

from collections.abc import Iterator, Mapping
from typing import Any

from charmkit.interfaces import keystone_resources
from charmkit.service import Task
from charmkit.spec import Snapshot, Values

PYTHON = "/opt/tempest/bin/python3"
CA_FILE = "/etc/tempest/ca.pem"
SCRIPT = "/var/lib/charmkit/validate.py"
RESULTS = "/var/lib/tempest"

DOMAIN = keystone_resources.Requirer(
    # Tests of administrators' work need one. Keystone's option admin-applications allows it.
    domain="tempest",
    username="tempest",
    project="tempest",
    role="admin",
)

PROFILES = {
    # A request of each kind to each basic service, and a server that is logged in to.
    "quick": (
        r"tempest\.(api\.identity\.v3\.test_tokens.*test_validate_token"
        r"|api\.compute\.flavors\.test_flavors\."
        r"|api\.image\.v2\.test_images\.BasicOperationsImagesTest\..*\bsmoke\b"
        r"|api\.network\.test_networks\.NetworksTest\..*\bsmoke\b"
        r"|api\.volume\.test_volumes_get\.VolumesGetTest\..*\bsmoke\b"
        r"|scenario\.test_server_basic_ops)"
    ),
    "smoke": r"\[.*\bsmoke\b.*\]",
    "all": r"^tempest\.",
}
"""Profile → regular expression of the tests that belong to it."""


def tasks(snapshot: Snapshot, seen: Values) -> Iterator[Task]:
    """Give the tests the folder of their results."""
    yield Task(
        name="folder",
        # The storage belongs to root when it is new.
        argv=("install", "-d", "-o", "tempest", "-g", "tempest", "-m", "0750", RESULTS),
        message="making the folder of results",
        on="unit",
    )


def order(snapshot: Snapshot, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give what the script `validate.py` reads, or None while there is no account.

    Args:
        snapshot: What was seen.
        params: Parameters of the action.
    """
    domain = DOMAIN.read(snapshot)
    if domain is None:
        return None
    config = snapshot.config
    return {
        "account": {
            "auth_url": domain.public_auth_url,
            "region": domain.region,
            "username": domain.username,
            "password": domain.password,
            "domain": domain.name,
            "project": domain.project,
        },
        "ca_file": CA_FILE,
        "dashboard_url": params["dashboard-url"],
        "results": RESULTS,
        "profile": params["profile"],
        "select": PROFILES[params["profile"]],
        "regex": params["regex"],
        "image": config["image"],
        "image_user": config["image-user"],
        "external_network": config["external-network"],
        "flavor_memory": config["flavor-memory"],
        "concurrency": config["concurrency"] or min(snapshot.cpus, 4),
        "timeout": config["timeout"],
    }


def results(summary: Mapping[str, Any]) -> dict[str, str]:
    """Give the results of the action.

    Args:
        summary: What the script printed: counts `passed`, `failed`, `skipped`; `seconds`;
            `folder`; `failures`, a list of names; `skips`, reason → list of names.
    """
    counts = {name: str(summary[name]) for name in ("passed", "failed", "skipped", "seconds")}
    skips = sorted(summary["skips"].items())
    return {
        **counts,
        "folder": summary["folder"],
        "failures": "\n".join(summary["failures"]),
        "skips": "\n".join(f"{len(names)} x {reason}" for reason, names in skips),
    }


def problem(summary: Mapping[str, Any]) -> str | None:
    """Tell why the action failed although the tests ran, or None."""
    if summary["failed"]:
        return f"{summary['failed']} of {summary['passed'] + summary['failed']} tests failed"
    if not summary["passed"]:
        return "no test ran: the regular expression finds none, or all were skipped"
    return None
