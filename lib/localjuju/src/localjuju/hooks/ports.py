"""Hook commands about the ports that a unit opens."""

from __future__ import annotations

import re
from typing import Any

from localjuju.hooks.command import NOTHING, Call, Command, CommandError
from localjuju.hooks.flags import Flag, UsageError
from localjuju.hooks.session import Session

_PORT = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?(?:/(?P<protocol>[a-zA-Z]+))?")
_ENDPOINTS = Flag("endpoints", help="only for these endpoints, separated by commas")


def parse_port(text: str) -> str:
    """Return a port in its full form: `80/tcp`, `8000-8999/udp`, `icmp`.

    Raises:
        UsageError: It is none.
    """
    if text.lower() == "icmp":
        return "icmp"
    match = _PORT.fullmatch(text)
    if match is None:
        raise UsageError(f'invalid port "{text}"; expected <port>[-<port>][/<protocol>] or icmp')
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in {"tcp", "udp"}:
        raise UsageError(f'invalid protocol "{protocol}", expected "tcp", "udp", or "icmp"')
    first = int(match["first"])
    last = int(match["last"] or first)
    if not 1 <= first <= last <= 65535:
        raise UsageError(f"invalid port range {first}-{last}/{protocol}")
    return f"{first}/{protocol}" if first == last else f"{first}-{last}/{protocol}"


def port_order(port: str) -> tuple[str, int, int]:
    """Return a key that sorts ports as Juju does: by protocol, then number."""
    numbers, _, protocol = port.partition("/")
    if not protocol:
        return (port, 0, 0)
    first, _, last = numbers.partition("-")
    return (protocol, int(first), int(last or first))


def _pending(session: Session) -> dict[str, list[str]]:
    """Return the ports as this hook will leave them, to be changed in place."""
    if session.buffer.ports is None:
        session.buffer.ports = {
            endpoint: list(ports) for endpoint, ports in session.unit.opened_ports.items()
        }
    return session.buffer.ports


def _arguments(session: Session, call: Call) -> tuple[str, list[str]]:
    words = call.at_most(1)
    if not words:
        raise UsageError("no port or range specified")
    port = parse_port(words[0])
    if "-" in port and not session.model.has_machines:
        raise CommandError(
            "port ranges are not supported for k8s applications, please specify a single port"
        )
    names = [name.strip() for name in (call.args.text("endpoints") or "").split(",")]
    endpoints = [name for name in names if name and name != "*"]
    known = {*session.charm.endpoints, *session.charm.extra_bindings}
    for name in endpoints:
        if name not in known:
            raise CommandError(f'endpoint "{name}" not found')
    return port, endpoints


def _open(session: Session, call: Call) -> Any:
    port, endpoints = _arguments(session, call)
    ports = _pending(session)
    for endpoint in endpoints or [""]:
        held = ports.setdefault(endpoint, [])
        if port not in held:
            held.append(port)
            held.sort(key=port_order)
    return NOTHING


def _close(session: Session, call: Call) -> Any:
    port, endpoints = _arguments(session, call)
    ports = _pending(session)
    for endpoint in endpoints or list(ports):
        if port in ports.get(endpoint, []):
            ports[endpoint].remove(port)
            if not ports[endpoint]:
                del ports[endpoint]
    return NOTHING


def _opened(session: Session, call: Call) -> list[str]:
    call.at_most(0)
    ports = session.buffer.ports
    if ports is None:
        ports = session.unit.opened_ports
    by_port: dict[str, set[str]] = {}
    for endpoint, held in ports.items():
        for port in held:
            by_port.setdefault(port, set()).add(endpoint or "*")
    ordered = sorted(by_port, key=port_order)
    if not call.args.switch("endpoints"):
        return ordered
    return [
        f"{port} (*)" if "*" in by_port[port] else f"{port} ({', '.join(sorted(by_port[port]))})"
        for port in ordered
    ]


COMMANDS: dict[str, Command] = {
    "open-port": Command(_open, "<port>[/<protocol>] or icmp", (_ENDPOINTS,)),
    "close-port": Command(_close, "<port>[/<protocol>] or icmp", (_ENDPOINTS,)),
    "opened-ports": Command(
        _opened,
        "",
        (Flag("endpoints", is_bool=True, help="show the endpoints of each port"),),
        prints=True,
    ),
}
