"""Constraints: what an operator asks of the place that units run in."""

from __future__ import annotations

import re

from localjuju.changes._errors import ChangeError

IMAGE = "image-id"
"""The constraint that names a machine's image."""
_CONSTRAINT = re.compile(r"[a-z][a-z-]*=\S*")


def check_constraints(constraints: str) -> None:
    """Check that constraints look like `mem=2G cpu-power=500`.

    Raises:
        ChangeError: They do not.
    """
    for part in constraints.split():
        if not _CONSTRAINT.fullmatch(part):
            raise ChangeError(f'malformed constraint "{part}"')


def constraint(constraints: str, name: str) -> str:
    """Return the value of one constraint; empty when it is not given."""
    found = (part.partition("=") for part in constraints.split())
    return next((value for key, _, value in found if key == name), "")
