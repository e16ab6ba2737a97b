"""No credential stands where somebody else could read it. `test_8_z_secrets.py` looks again."""

import stat
import subprocess
import uuid

import pytest
import secretscan


@pytest.mark.parametrize("look", secretscan.LOOKS)
def test_no_credential_is_where_others_could_read_it(cloud, credentials, look):
    assert look(cloud, credentials) == []


def test_no_credential_was_on_a_command_line(credentials, commands):
    assert secretscan.in_commands(commands, credentials) == []


def test_the_home_of_the_cloud_is_closed_to_others(cloud):
    assert stat.S_IMODE(cloud.home.stat().st_mode) & 0o077 == 0 or not [
        path
        for path in secretscan.readable_files(cloud.home)
        if path.name in ("openrc", "clouds.yaml", "engine.db")
    ]


def test_the_scan_finds_what_is_planted(credentials, commands):
    word = uuid.uuid4().hex
    subprocess.run(["sh", "-c", f"sleep 2; : {word}"], check=True)
    assert secretscan.in_commands(commands, {word: "planted"})
    value, origin = next(iter(credentials.items()))
    assert secretscan.found("log", f"password is {value}", credentials) == [f"log: {origin}"]
