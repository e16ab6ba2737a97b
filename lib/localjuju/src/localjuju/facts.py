"""What the hooks of a unit are told, as it is now: options, addresses, and hashes of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from localjuju.model import ALPHA, Application, Interface, Model, Unit, Value


def effective_config(model: Model, app: Application) -> dict[str, Value]:
    """Return an application's options with the charm's defaults; those without value left out."""
    options = model.charms[app.charm_url].config
    defaults: Iterable[tuple[str, Value | None]] = (
        (name, option.get("default")) for name, option in options.items()
    )
    values = {name: value for name, value in defaults if value is not None}
    return values | {name: value for name, value in app.config.items() if name in options}


def space_of(app: Application, binding: str) -> str:
    """Return the space that an endpoint or extra binding of an application is bound to."""
    return app.bindings.get(binding) or app.bindings.get("") or ALPHA


def interface_of(unit: Unit, model: Model, binding: str) -> tuple[str, Interface]:
    """Return the space and interface that an endpoint or extra binding of a unit is bound to.

    A pod has one. A machine without an interface in the wanted space gives its management one.
    """
    machine = model.machines.get(unit.machine)
    if machine is None:
        return ALPHA, Interface("eth0", unit.address)
    space = space_of(model.applications[unit.app], binding)
    found = space if space in machine.interfaces else ALPHA
    return found, machine.interfaces[found]


def ingress_address(unit: Unit, model: Model, binding: str = "") -> str:
    """Return where others reach a unit: its application's service, else its own address."""
    service = model.applications[unit.app].service_address
    return service or interface_of(unit, model, binding)[1].address


def network_keys(unit: Unit, model: Model, endpoint: str) -> dict[str, str]:
    """Return what Juju itself writes into a unit's bags of relations at an endpoint."""
    address = ingress_address(unit, model, endpoint)
    return {
        "egress-subnets": f"{address}/32",
        "ingress-address": address,
        "private-address": address,
    }


def config_hashes(unit: Unit, model: Model) -> tuple[str, str, str]:
    """Return the hashes of the unit's config, trust and addresses as they are now."""
    app = model.applications[unit.app]
    addresses: list[object] = [unit.address, app.service_address]
    machine = model.machines.get(unit.machine)
    if machine is not None:
        held = {space: interface.address for space, interface in machine.interfaces.items()}
        addresses += [held, app.bindings]
    return _hash(effective_config(model, app)), _hash(app.trust), _hash(addresses)


def settings_hash(app: Application) -> str:
    """Return the hash of an application's leader settings; empty when there are none."""
    return _hash(app.leader_settings) if app.leader_settings else ""


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def duration(text: str) -> float:
    """Return the seconds that a text like `5m`, `1h30m` or `90s` means.

    Raises:
        ValueError: The text is not a duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 5m")
    seconds = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * seconds[unit] for number, unit in parts)
