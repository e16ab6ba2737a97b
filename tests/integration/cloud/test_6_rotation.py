"""Passwords and keys change while tokens are used, and nobody notices."""

import time


def test_no_token_fails_while_fernet_keys_rotate(cloud, tokens):
    with tokens() as loop:
        time.sleep(3)
        for _ in range(3):
            task = cloud.juju.run("keystone/0", "rotate-fernet-keys", wait=120)
            assert task.success
            cloud.settle()
            time.sleep(3)
    assert loop.failures == []
    assert loop.good > 5


def test_no_token_fails_while_the_password_of_the_administrator_rotates(cloud, tokens):
    old = cloud.clouds["auth"]["password"]
    with tokens() as loop:
        time.sleep(3)
        task = cloud.juju.run("keystone/0", "rotate-admin-password", wait=120)
        assert task.success
        cloud.settle()
        cloud.helio("cloud-config", "--output", str(cloud.home / "clouds.yaml"))
        time.sleep(3)
    assert cloud.clouds["auth"]["password"] != old
    assert cloud.openstack("token", "issue")["id"], "the new password works"
    assert loop.failures == []
    assert loop.good > 5
