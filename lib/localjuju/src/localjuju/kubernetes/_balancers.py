"""Services of type `LoadBalancer`: which application one selects, and what that has for effects.

The application's service address, which the engine forwards anyway, is the address that a load
balancer would give: machines and the host reach it. The ports of the service are forwarded there.
"""

from __future__ import annotations

from typing import Any, cast

from localjuju.kubernetes._derived import NAME_LABEL, derived
from localjuju.kubernetes._objects import KINDS, Data, matches, names_of, section, shown
from localjuju.model import Application, Model

_SERVICES = KINDS["", "v1", "services"]
_HIGHEST_PORT = 65535


def with_address(model: Model, service: Data) -> Data:
    """Return a service with the address that its load balancer gave it, if it has one."""
    app = _selected(model, service)
    if app is None or not app.service_address or not _is_plain(service):
        return {"status": {"loadBalancer": {}}, **service}
    return {
        **service,
        "status": {
            "loadBalancer": {"ingress": [{"ip": app.service_address, "ipMode": "VIP"}]},
        },
    }


def balanced_ports(model: Model) -> dict[str, set[str]]:
    """Return the ports that services of type `LoadBalancer` open, by application: `80/tcp`."""
    found: dict[str, set[str]] = {}
    mine = None
    for name in names_of(_SERVICES, model):
        mine = derived(_SERVICES, model) if mine is None else mine
        service = shown(_SERVICES, model, name, mine.get(name)) or {}
        app = _selected(model, service)
        if app is not None and _is_plain(service):
            found.setdefault(app.name, set()).update(
                f"{port['port']}/{str(port.get('protocol', 'TCP')).lower()}"
                for port in _ports(service)
            )
    return found


def _selected(model: Model, service: Data) -> Application | None:
    """Return the application whose pods a service of type `LoadBalancer` selects."""
    spec = section(service, "spec")
    if spec.get("type") != "LoadBalancer":
        return None
    selector = section(spec, "selector")
    return next(
        (app for app in model.applications.values() if matches({NAME_LABEL: app.name}, selector)),
        None,
    )


def _ports(service: Data) -> list[Data]:
    ports: Any = section(service, "spec").get("ports")
    listed = cast(list[Any], ports) if isinstance(ports, list) else []
    return [cast(Data, port) if isinstance(port, dict) else {} for port in listed]


def _is_plain(service: Data) -> bool:
    """Tell whether every port leads to the same one in the pods: no other is forwarded here."""
    return all(
        is_port(port.get("port")) and port.get("targetPort", port["port"]) == port["port"]
        for port in _ports(service)
    )


def is_port(value: object) -> bool:
    """Tell whether a value is the number of a port; to Python, `true` is a number, too."""
    return type(value) is int and 1 <= value <= _HIGHEST_PORT
