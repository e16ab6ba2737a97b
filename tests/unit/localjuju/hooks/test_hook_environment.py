import re

import pytest

from localjuju.hooks import new_context_id
from localjuju.model import Action, Hook, HookKind

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONSTANT = {
    "CLOUD_API_VERSION": "",
    "JUJU_API_ADDRESSES": "127.0.0.1:17070",
    "JUJU_AVAILABILITY_ZONE": "",
    "JUJU_CHARM_FTP_PROXY": "",
    "JUJU_CHARM_HTTPS_PROXY": "",
    "JUJU_CHARM_HTTP_PROXY": "",
    "JUJU_CHARM_NO_PROXY": "127.0.0.1,localhost,::1",
    "JUJU_MACHINE_ID": "",
    "JUJU_PRINCIPAL_UNIT": "",
    "JUJU_VERSION": "3.6.9",
    "APT_LISTCHANGES_FRONTEND": "none",
    "DEBIAN_FRONTEND": "noninteractive",
    "LANG": "C.UTF-8",
    "TERM": "tmux-256color",
}


def extra(world, hook, unit="web/0"):
    """Return what the hook's environment has beyond that of install."""
    plain = world.context(Hook(HookKind.INSTALL), unit).environment
    special = world.context(hook, unit).environment
    names = {"JUJU_DISPATCH_PATH", "JUJU_HOOK_NAME", "JUJU_CONTEXT_ID"}
    return {k: v for k, v in special.items() if k in names - {"JUJU_CONTEXT_ID"} or k not in plain}


def test_install_sees_exactly_this(world, monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setenv("LEAK", "1")
    context = world.context(Hook(HookKind.INSTALL))
    assert context.environment == {
        **CONSTANT,
        "PATH": f"{world.paths.tools}:{SYSTEM_PATH}",
        "CHARM_DIR": world.paths.charm,
        "JUJU_CHARM_DIR": world.paths.charm,
        "JUJU_CONTEXT_ID": context.context_id,
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_AGENT_SOCKET_ADDRESS": world.paths.hook_socket,
        "JUJU_UNIT_NAME": "web/0",
        "JUJU_MODEL_NAME": "test",
        "JUJU_MODEL_UUID": world.model.uuid,
        "JUJU_DISPATCH_PATH": "hooks/install",
        "JUJU_HOOK_NAME": "install",
    }


@pytest.mark.parametrize(
    ("kind", "remote_unit", "departing"),
    [
        (HookKind.RELATION_CREATED, "", ""),
        (HookKind.RELATION_JOINED, "db/0", ""),
        (HookKind.RELATION_CHANGED, "db/0", ""),
        (HookKind.RELATION_CHANGED, "", ""),
        (HookKind.RELATION_DEPARTED, "db/0", "db/0"),
        (HookKind.RELATION_DEPARTED, "db/0", "web/0"),
        (HookKind.RELATION_BROKEN, "", ""),
    ],
)
def test_relation_hooks(world, kind, remote_unit, departing):
    hook = Hook(
        kind,
        relation_id=4,
        remote_app="db",
        remote_unit=remote_unit,
        departing_unit=departing,
        prefix="database",
    )
    expected = {
        "JUJU_DISPATCH_PATH": f"hooks/database-{kind.value}",
        "JUJU_HOOK_NAME": f"database-{kind.value}",
        "JUJU_RELATION": "database",
        "JUJU_RELATION_ID": "database:4",
        "JUJU_REMOTE_APP": "db",
        "JUJU_REMOTE_UNIT": remote_unit,
    }
    if departing:
        expected["JUJU_DEPARTING_UNIT"] = departing
    assert extra(world, hook) == expected


PEBBLE = {"container": "app", "prefix": "app"}
SECRET = {"secret_id": "abcdefghij0123456789", "secret_label": "mine", "secret_revision": 3}


@pytest.mark.parametrize(
    ("hook", "name", "more"),
    [
        (Hook(HookKind.PEBBLE_READY, **PEBBLE), "app-pebble-ready", {"JUJU_WORKLOAD_NAME": "app"}),
        (
            Hook(
                HookKind.PEBBLE_CUSTOM_NOTICE,
                notice_id="12",
                notice_type="custom",
                notice_key="example.com/a",
                **PEBBLE,
            ),
            "app-pebble-custom-notice",
            {
                "JUJU_WORKLOAD_NAME": "app",
                "JUJU_NOTICE_ID": "12",
                "JUJU_NOTICE_TYPE": "custom",
                "JUJU_NOTICE_KEY": "example.com/a",
            },
        ),
        (
            Hook(HookKind.PEBBLE_CHECK_FAILED, check_name="online", **PEBBLE),
            "app-pebble-check-failed",
            {"JUJU_WORKLOAD_NAME": "app", "JUJU_PEBBLE_CHECK_NAME": "online"},
        ),
        (
            Hook(HookKind.PEBBLE_CHECK_RECOVERED, check_name="online", **PEBBLE),
            "app-pebble-check-recovered",
            {"JUJU_WORKLOAD_NAME": "app", "JUJU_PEBBLE_CHECK_NAME": "online"},
        ),
        (
            Hook(HookKind.SECRET_CHANGED, **SECRET),
            "secret-changed",
            {"JUJU_SECRET_ID": "secret:abcdefghij0123456789", "JUJU_SECRET_LABEL": "mine"},
        ),
        (
            Hook(HookKind.SECRET_ROTATE, **SECRET),
            "secret-rotate",
            {"JUJU_SECRET_ID": "secret:abcdefghij0123456789", "JUJU_SECRET_LABEL": "mine"},
        ),
        (
            Hook(HookKind.SECRET_EXPIRED, **SECRET),
            "secret-expired",
            {
                "JUJU_SECRET_ID": "secret:abcdefghij0123456789",
                "JUJU_SECRET_LABEL": "mine",
                "JUJU_SECRET_REVISION": "3",
            },
        ),
        (
            Hook(HookKind.SECRET_REMOVE, secret_id="abcdefghij0123456789", secret_revision=1),
            "secret-remove",
            {
                "JUJU_SECRET_ID": "secret:abcdefghij0123456789",
                "JUJU_SECRET_LABEL": "",
                "JUJU_SECRET_REVISION": "1",
            },
        ),
        (
            Hook(HookKind.STORAGE_ATTACHED, storage_id="data/0", prefix="data"),
            "data-storage-attached",
            {
                "JUJU_STORAGE_ID": "data/0",
                "JUJU_STORAGE_LOCATION": "/var/lib/juju/storage/data/0",
                "JUJU_STORAGE_KIND": "filesystem",
            },
        ),
        (Hook(HookKind.CONFIG_CHANGED), "config-changed", {}),
    ],
)
def test_other_hooks(world, hook, name, more):
    assert extra(world, hook) == {
        "JUJU_DISPATCH_PATH": f"hooks/{name}",
        "JUJU_HOOK_NAME": name,
        **more,
    }


def test_an_action_has_an_empty_hook_name_and_a_number(world):
    world.model.actions[17] = Action(17, "web/0", "backup", {})
    assert extra(world, Hook(HookKind.ACTION, action_id=17, prefix="backup")) == {
        "JUJU_DISPATCH_PATH": "actions/backup",
        "JUJU_HOOK_NAME": "",
        "JUJU_ACTION_NAME": "backup",
        "JUJU_ACTION_UUID": "17",
        "JUJU_ACTION_TAG": "action-17",
    }


def test_commands_of_an_operator_have_no_dispatch_path(world):
    world.model.actions[18] = Action(18, "web/0", "juju-exec", {})
    environment = world.context(
        Hook(HookKind.ACTION, action_id=18, prefix="juju-exec")
    ).environment
    assert "JUJU_DISPATCH_PATH" not in environment
    assert environment["JUJU_HOOK_NAME"] == ""


def test_proxies_come_from_the_model(world):
    world.model.config.update(
        {"juju-http-proxy": "http://proxy:3128", "juju-no-proxy": "10.0.0.0/8"}
    )
    environment = world.context().environment
    assert environment["JUJU_CHARM_HTTP_PROXY"] == "http://proxy:3128"
    assert environment["JUJU_CHARM_NO_PROXY"] == "10.0.0.0/8"
    assert environment["JUJU_CHARM_HTTPS_PROXY"] == ""


def test_context_ids_name_unit_and_hook_and_are_never_the_same(world):
    ids = {new_context_id("web/0", "install", world.random.randbytes) for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"web/0-install-[0-9a-f]{32}", text) for text in ids)
