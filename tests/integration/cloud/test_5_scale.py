"""Keystone grows and shrinks under load without a failed request."""

import time


def test_no_token_fails_while_keystone_scales_to_three_and_back(cloud, tokens):
    with tokens() as loop:
        time.sleep(3)
        cloud.juju.add_unit("keystone", num_units=2)
        status = cloud.juju.wait(lambda s: len(s.apps["keystone"].units) == 3, timeout=120)
        cloud.settle()
        time.sleep(15)  # all three have served by now
        cloud.juju.remove_unit("keystone", num_units=2)
        cloud.juju.wait(lambda s: len(s.apps["keystone"].units) == 1, timeout=300)
        cloud.settle()
        time.sleep(3)
    assert status.apps["keystone"].scale == 3
    print(f"{loop.good} rounds of tokens while scaling")
    assert loop.failures == []
    assert loop.good > 5
