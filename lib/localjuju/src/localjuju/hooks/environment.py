"""The environment of a dispatch, built from nothing."""

from __future__ import annotations

from collections.abc import Callable

from localjuju import secrets
from localjuju.hooks.session import Session
from localjuju.identity import JUJU_VERSION
from localjuju.model import HookKind, Model
from localjuju.resolver import JUJU_EXEC

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PROXIES = {
    "JUJU_CHARM_HTTP_PROXY": ("juju-http-proxy", ""),
    "JUJU_CHARM_HTTPS_PROXY": ("juju-https-proxy", ""),
    "JUJU_CHARM_FTP_PROXY": ("juju-ftp-proxy", ""),
    "JUJU_CHARM_NO_PROXY": ("juju-no-proxy", "127.0.0.1,localhost,::1"),
}

_RELATION = frozenset(
    {
        HookKind.RELATION_CREATED,
        HookKind.RELATION_JOINED,
        HookKind.RELATION_CHANGED,
        HookKind.RELATION_DEPARTED,
        HookKind.RELATION_BROKEN,
    }
)
_PEBBLE = frozenset(
    {
        HookKind.PEBBLE_READY,
        HookKind.PEBBLE_CUSTOM_NOTICE,
        HookKind.PEBBLE_CHECK_FAILED,
        HookKind.PEBBLE_CHECK_RECOVERED,
    }
)
_CHECK = frozenset({HookKind.PEBBLE_CHECK_FAILED, HookKind.PEBBLE_CHECK_RECOVERED})
_SECRET = frozenset(
    {
        HookKind.SECRET_CHANGED,
        HookKind.SECRET_EXPIRED,
        HookKind.SECRET_ROTATE,
        HookKind.SECRET_REMOVE,
    }
)
_REVISION = frozenset({HookKind.SECRET_EXPIRED, HookKind.SECRET_REMOVE})
_STORAGE = frozenset({HookKind.STORAGE_ATTACHED, HookKind.STORAGE_DETACHING})


def new_context_id(unit: str, hook_name: str, random_bytes: Callable[[int], bytes]) -> str:
    """Return a context id that no other dispatch has: `<unit>-<hook name>-<random hex>`."""
    return f"{unit}-{hook_name}-{random_bytes(16).hex()}"


def build(session: Session, context_id: str) -> dict[str, str]:
    """Return the whole environment of the session's dispatch."""
    return {**_common(session, context_id), **_dispatch(session), **_special(session)}


def _common(session: Session, context_id: str) -> dict[str, str]:
    model, paths = session.model, session.paths
    return {
        "PATH": f"{paths.tools}:{SYSTEM_PATH}",
        **paths.passthrough,
        "CHARM_DIR": paths.charm,
        "JUJU_CHARM_DIR": paths.charm,
        "JUJU_CONTEXT_ID": context_id,
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_AGENT_SOCKET_ADDRESS": paths.hook_socket,
        "JUJU_UNIT_NAME": session.unit_name,
        "JUJU_MODEL_NAME": model.name,
        "JUJU_MODEL_UUID": model.uuid,
        "JUJU_VERSION": JUJU_VERSION,
        "CLOUD_API_VERSION": "",
        "JUJU_API_ADDRESSES": " ".join(paths.api_addresses),
        "JUJU_PRINCIPAL_UNIT": session.unit.principal,
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_MACHINE_ID": session.unit.machine,
        **{
            name: str(model.config.get(option, default))
            for name, (option, default) in _PROXIES.items()
        },
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
        "DEBIAN_FRONTEND": "noninteractive",
        "APT_LISTCHANGES_FRONTEND": "none",
    }


def _dispatch(session: Session) -> dict[str, str]:
    """Return what names the hook; an action's hook name is set but empty."""
    hook = session.hook
    if hook.kind is not HookKind.ACTION:
        return {"JUJU_DISPATCH_PATH": f"hooks/{hook.name}", "JUJU_HOOK_NAME": hook.name}
    if hook.name == JUJU_EXEC:  # commands, no dispatch
        return {"JUJU_HOOK_NAME": ""}
    return {"JUJU_DISPATCH_PATH": f"actions/{hook.name}", "JUJU_HOOK_NAME": ""}


def _special(session: Session) -> dict[str, str]:
    """Return the variables that only this kind of hook has."""
    hook = session.hook
    if hook.kind in _RELATION:
        return _relation(session)
    if hook.kind is HookKind.ACTION:
        return {
            "JUJU_ACTION_NAME": hook.name,
            "JUJU_ACTION_UUID": str(hook.action_id),
            "JUJU_ACTION_TAG": f"action-{hook.action_id}",
        }
    if hook.kind in _PEBBLE:
        extra = {"JUJU_WORKLOAD_NAME": hook.container}
        if hook.kind is HookKind.PEBBLE_CUSTOM_NOTICE:
            extra["JUJU_NOTICE_ID"] = hook.notice_id
            extra["JUJU_NOTICE_TYPE"] = hook.notice_type
            extra["JUJU_NOTICE_KEY"] = hook.notice_key
        if hook.kind in _CHECK:
            extra["JUJU_PEBBLE_CHECK_NAME"] = hook.check_name
        return extra
    if hook.kind in _SECRET:
        extra = {
            "JUJU_SECRET_ID": _secret_uri(session.model, hook.secret_id),
            "JUJU_SECRET_LABEL": hook.secret_label,
        }
        if hook.kind in _REVISION:
            extra["JUJU_SECRET_REVISION"] = str(hook.secret_revision)
        return extra
    if hook.kind in _STORAGE:
        return _storage(session)
    return {}


def _secret_uri(model: Model, secret_id: str) -> str:
    remote = model.remote_secrets.get(secret_id)
    return secrets.uri(secret_id, remote.model if remote is not None else "")


def _relation(session: Session) -> dict[str, str]:
    hook = session.hook
    extra = {
        "JUJU_RELATION": hook.prefix,
        "JUJU_RELATION_ID": f"{hook.prefix}:{hook.relation_id}",
        "JUJU_REMOTE_APP": hook.remote_app,
        "JUJU_REMOTE_UNIT": hook.remote_unit,
    }
    if hook.kind is HookKind.RELATION_DEPARTED:
        extra["JUJU_DEPARTING_UNIT"] = hook.departing_unit
    return extra


def _storage(session: Session) -> dict[str, str]:
    attachment = session.unit.storage.get(session.hook.storage_id)
    spec = session.charm.storage.get(attachment.name) if attachment is not None else None
    return {
        "JUJU_STORAGE_ID": session.hook.storage_id,
        "JUJU_STORAGE_LOCATION": attachment.location if attachment is not None else "",
        "JUJU_STORAGE_KIND": spec.kind if spec is not None else "filesystem",
    }
