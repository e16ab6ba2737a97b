"""mariadb-k8s: who belongs to the cluster, and who may found it."""

import importlib.util
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmkit.spec import Addresses, RelationData, Snapshot

SOURCE = pathlib.Path(__file__).parents[3] / "charms/mariadb-k8s/src/galera.py"
_spec = importlib.util.spec_from_file_location("mariadb_galera", SOURCE)
galera = importlib.util.module_from_spec(_spec)
sys.modules["mariadb_galera"] = galera
_spec.loader.exec_module(galera)

Position = galera.Position
RECORD = """\
# GALERA saved state
version: 2.1
uuid:    41fb5dd6-e55e-11f1-a085-637a0495e7c7
seqno:   {seqno}
safe_to_bootstrap: 0
"""
HISTORY = "41fb5dd6-e55e-11f1-a085-637a0495e7c7"


def sees(unit=0, planned=1, others=None):
    """Give what a unit sees; `others`: number → position told, None for nothing told."""
    bags = {}
    for number, place in (others or {}).items():
        told = "" if place is None else galera.json.dumps(galera.dataclasses.asdict(place))
        bags[f"mariadb/{number}"] = {galera.KEY: told} if told else {}
    peers = RelationData(id=0, endpoint="peers", app="mariadb", remote_units=bags)
    return Snapshot(
        app="mariadb",
        unit=f"mariadb/{unit}",
        planned_units=planned,
        relations={"peers": (peers,)},
        addresses=Addresses(unit_name=f"mariadb-{unit}.mariadb-endpoints.cloud.svc.cluster.local"),
    )


# --- membership --------------------------------------------------------------------------------


def test_one_unit_is_alone():
    assert galera.membership(sees(), Position()) == galera.Membership()


def test_several_units_are_members_by_name():
    found = galera.membership(sees(unit=1, planned=3), Position())
    assert found.clustered
    assert found.members == tuple(
        f"mariadb-{number}.mariadb-endpoints.cloud.svc.cluster.local" for number in range(3)
    )


def test_a_unit_stays_a_member_until_the_last_other_one_has_gone():
    leaving = sees(planned=1, others={2: Position(HISTORY)})
    found = galera.membership(leaving, Position(HISTORY))
    assert found.clustered
    assert [name.split(".")[0] for name in found.members] == ["mariadb-0", "mariadb-2"]
    assert not galera.membership(sees(planned=1), Position(HISTORY)).clustered


def test_what_a_unit_tells_the_others_read():
    told = galera.tell(sees(), Position(HISTORY, 7))
    [publish] = told.bags
    peers = RelationData(id=0, endpoint="peers", remote_units={"mariadb/0": publish.unit})
    seen = Snapshot(app="mariadb", unit="mariadb/1", relations={"peers": (peers,)})
    assert galera.positions(seen) == {"mariadb/0": Position(HISTORY, 7)}


# --- founding ----------------------------------------------------------------------------------


def test_unit_0_founds_where_nobody_has_a_history():
    others = {1: None, 2: Position()}
    assert galera.membership(sees(0, 3, others), Position()).may_found
    assert not galera.membership(sees(1, 3, {0: None, 2: None}), Position()).may_found


def test_unit_0_founds_nothing_with_a_lost_disk_while_others_have_data():
    others = {1: Position(HISTORY), 2: Position(HISTORY)}
    assert not galera.membership(sees(0, 3, others), Position()).may_found


def test_a_lost_disk_does_not_keep_the_others_from_founding():
    others = {0: Position(), 2: Position(HISTORY, 5)}
    assert galera.membership(sees(1, 3, others), Position(HISTORY, 9)).may_found


def test_nobody_founds_while_one_is_not_known_to_have_stopped():
    others = {0: Position(HISTORY, 5), 2: Position(HISTORY)}
    assert not galera.membership(sees(1, 3, others), Position(HISTORY, 9)).may_found


def test_the_latest_founds_and_of_equals_the_lowest():
    known = {
        "mariadb/0": Position(HISTORY, 8),
        "mariadb/1": Position(HISTORY, 9),
        "mariadb/2": Position(HISTORY, 9),
    }
    assert galera.founder(known) == "mariadb/1"


def test_nobody_founds_where_there_are_two_histories():
    known = {"mariadb/0": Position(HISTORY, 8), "mariadb/1": Position("other", 9)}
    assert galera.founder(known) is None


places = st.builds(Position, st.sampled_from(["", HISTORY]), st.integers(-1, 3))


@given(st.dictionaries(st.integers(0, 4), places, min_size=2))
def test_at_most_one_unit_founds_whoever_looks(known):
    units = {f"mariadb/{number}": place for number, place in known.items()}
    founders = set()
    for number, own in known.items():
        others = {each: place for each, place in known.items() if each != number}
        if galera.membership(sees(number, 5, others), own).may_found:
            founders.add(number)
    assert len(founders) <= 1
    assert {f"mariadb/{number}" for number in founders} == {galera.founder(units)} - {None}


@given(st.dictionaries(st.integers(0, 4), places, min_size=2))
def test_a_founder_has_everything_that_any_member_has(known):
    units = {f"mariadb/{number}": place for number, place in known.items()}
    chosen = galera.founder(units)
    if chosen and any(place.history for place in units.values()):
        assert all(units[chosen].seqno >= place.seqno for place in units.values() if place.history)


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seqno", "recovered", "expected"),
    [
        (18, None, 18),
        (-1, None, -1),
        (-1, f"{HISTORY}:12\n", 12),
        (-1, "00000000-0000-0000-0000-000000000000:12\n", -1),
        (-1, "nonsense", -1),
        (18, f"{HISTORY}:12\n", 18),
    ],
)
def test_a_position_is_read(tmp_path, seqno, recovered, expected):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/grastate.dat").write_text(RECORD.format(seqno=seqno))
    if recovered:
        (tmp_path / "recovered").write_text(recovered)
    assert galera.read(tmp_path) == Position(HISTORY, expected)


def test_a_unit_that_was_never_a_member_has_no_position(tmp_path):
    assert galera.read(tmp_path) == Position()
    (tmp_path / "data").mkdir()
    none = RECORD.format(seqno=-1).replace(HISTORY, "00000000-0000-0000-0000-000000000000")
    (tmp_path / "data/grastate.dat").write_text(none)
    assert galera.read(tmp_path) == Position()
