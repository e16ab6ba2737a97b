"""Packages of the distribution that a unit on a machine brings when it has a use for them."""

from charmkit.service import Task

_BRING = 'apt-get update && exec apt-get install --yes --no-install-recommends "$@"'


def bring(missing: tuple[str, ...]) -> Task:
    """Give the task that installs packages, also those that were removed since.

    It is one command with the update before it: the lists of packages that are on the machine
    name versions that may be long gone, also when an install that failed is tried again.

    Args:
        missing: The packages, which were seen to be missing.
    """
    return Task(
        name="packages",
        argv=("sh", "-c", _BRING, "sh", *missing),
        environment={"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"},
        inputs=missing,
        message=f"installing {', '.join(missing)}",
        timeout=1800,
        again=True,
        on="unit",
    )
