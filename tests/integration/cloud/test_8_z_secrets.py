"""After all that a cloud does, still no credential stands where somebody else could read it."""

import pytest
import secretscan


@pytest.mark.parametrize("look", secretscan.LOOKS)
def test_no_credential_has_come_where_others_could_read_it(configured, credentials, look):
    assert look(configured, credentials) == []


def test_no_credential_was_on_any_command_line_since_the_bootstrap_began(credentials, commands):
    assert secretscan.in_commands(commands, credentials) == []
