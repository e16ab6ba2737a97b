"""After `destroy --purge` the machine looks as before."""


def test_nothing_is_left_after_destroy_with_purge(cloud, machine_before, look_again):
    printed = cloud.helio("destroy", "--purge", "--yes")
    assert "keystone" in printed
    after = look_again()
    left = {
        kind: sorted(set(after[kind]) - set(before)) for kind, before in machine_before.items()
    }
    assert {kind: lines for kind, lines in left.items() if lines} == {}
    gone = {
        kind: sorted(set(before) - set(after[kind])) for kind, before in machine_before.items()
    }
    assert {kind: lines for kind, lines in gone.items() if lines} == {}
