"""What the engine calls itself where Juju would name a controller, a cloud and a user."""

from __future__ import annotations

import uuid
from pathlib import Path

CONTROLLER = "localjuju"
CLOUD = "podman"
"""The cloud of models whose units are pods."""
MACHINE_CLOUD = "localhost"
"""The cloud of models whose units are on machines, called as Juju calls the one of this host."""
CLOUDS = {CLOUD: "caas", MACHINE_CLOUD: "iaas"}
PROVIDERS = {"caas": "kubernetes", "iaas": "podman"}
REGION = "localhost"
USER = "admin"
JUJU_VERSION = "3.6.9"
"""What we speak: below 3.6.10, where pods would be offered credential-get as well."""
NAMESPACE = uuid.UUID("6f1c2d0e-5b53-4a52-9c0d-9f6f0a3c7b11")


def cloud_of(model_type: str) -> str:
    """Return the cloud that models of a type are in."""
    return next(cloud for cloud, held in CLOUDS.items() if held == model_type)


def controller_uuid(home: Path) -> str:
    """Return the UUID of the engine in `home`; always the same for the same folder."""
    return str(uuid.uuid5(NAMESPACE, str(home)))
