"""All hook commands by name."""

from __future__ import annotations

from typing import Any

from localjuju.hooks import actions, ports, relations, secret, state, units
from localjuju.hooks.command import Call, Command, CommandError
from localjuju.hooks.session import Session

NOT_SUPPORTED = (
    "add-metric",
    "credential-get",
    "k8s-raw-get",
    "k8s-raw-set",
    "k8s-spec-get",
    "k8s-spec-set",
    "payload-register",
    "payload-status-set",
    "payload-unregister",
    "pod-spec-get",
    "pod-spec-set",
    "storage-add",
)


def _refuse(session: Session, call: Call) -> Any:
    raise CommandError(f"{call.name} is not supported on {session.model.type} models")


COMMANDS: dict[str, Command] = {
    **relations.COMMANDS,
    **units.COMMANDS,
    **ports.COMMANDS,
    **state.COMMANDS,
    **secret.COMMANDS,
    **actions.COMMANDS,
    **{name: Command(_refuse, "not supported", raw=True) for name in NOT_SUPPORTED},
}

COMMAND_NAMES: tuple[str, ...] = tuple(sorted(COMMANDS))
"""The names under which the client must be found in a unit's tools folder."""
