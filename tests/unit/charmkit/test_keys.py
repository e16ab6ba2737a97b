"""Key repositories, and the promise that every unit reads what every other writes."""

import base64
import math

from hypothesis import given
from hypothesis import strategies as st

from charmkit import keys
from charmkit.spec import Snapshot

ENTROPY = st.binary(min_size=32, max_size=32)


def snapshot(entropy):
    return Snapshot(app="web", unit="web/0", entropy=entropy)


def rotate(content, entropy, active=3):
    return keys.rotated(snapshot(entropy), content, "k", active)


def first(entropy=b"0" * 32):
    return keys.initial(snapshot(entropy), "k")


def primary(content):
    return next(iter(keys.numbered(content).values()))


def test_a_repository_begins_with_a_staged_and_a_primary_key():
    assert sorted(keys.numbered(first())) == [0, 1]


@given(ENTROPY)
def test_every_key_is_a_fernet_key(entropy):
    for key in first(entropy).values():
        assert len(base64.urlsafe_b64decode(key)) == 32


def test_a_rotation_promotes_the_staged_key():
    before = first()
    after = rotate(before, b"1" * 32)
    assert primary(after) == keys.numbered(before)[0]
    assert max(keys.numbered(after)) == 2


def test_a_rotation_stages_a_key_that_was_never_used():
    content, seen = first(), set(first().values())
    for number in range(1, 6):
        content = rotate(content, bytes([number]) * 32)
        staged = keys.numbered(content)[0]
        assert staged not in seen
        seen |= set(content.values())


@given(st.integers(2, 6), st.lists(ENTROPY, min_size=1, max_size=8))
def test_no_more_keys_than_wanted_are_kept(active, dispatches):
    content = first()
    for entropy in dispatches:
        content = rotate(content, entropy, active)
    assert len(content) == min(active, 2 + len(dispatches))


def test_files_are_written_primary_first_and_staged_last():
    content = first()
    for number in range(1, 12):
        content = rotate(content, bytes([number]) * 32, 4)
    assert list(keys.files(content)) == ["12", "11", "10", "0"]


def test_names_of_a_secret_have_three_characters():
    # Juju refuses shorter ones.
    assert all(len(name) >= 3 for name in rotate(first(), b"1" * 32))


@given(st.floats(60, 10**6), st.floats(60, 10**6))
def test_nothing_outlives_its_key(lifetime, period):
    active = keys.active_keys(lifetime, period)
    # A key writes for one period, then reads until active - 2 more rotations dropped it.
    assert (active - 2) * period >= lifetime - 1e-6 * lifetime
    assert active == math.ceil(lifetime / period) + 2


@given(
    st.lists(
        st.one_of(st.just("rotate"), st.tuples(st.just("deliver"), st.integers(0, 2))),
        max_size=40,
    )
)
def test_every_unit_reads_what_every_other_writes(steps):
    """Rotate only when all units have the present keys; deliver them in any order."""
    content = first()
    units = [content, content, content]
    for number, step in enumerate(steps):
        if step == "rotate":
            if all(unit == content for unit in units):
                content = rotate(content, number.to_bytes(32, "big"))
        else:
            units[step[1]] = content
        for writer in units:
            for reader in units:
                assert primary(writer) in reader.values()
