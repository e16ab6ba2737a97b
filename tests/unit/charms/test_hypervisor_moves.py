"""VMs that move to a hypervisor: what Open vSwitch tells of them, and what follows."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[3] / "charms/openstack-hypervisor/src/templates/moves.py"


@pytest.fixture
def moves(load_script):
    return load_script(SCRIPT)


def row(action, when=None, name="tap1"):
    """Give a row as `ovsdb-client monitor --format=json` prints it."""
    ids = [["iface-id", "p1"], *([["ovn-installed-ts", when]] if when else [])]
    return ["", action, name, ["map", ids]]


def tell(*rows):
    return {"data": list(rows), "headings": ["row", "action", "name", "external_ids"]}


ADDED = tell(row("insert")), tell(row("old"), row("new", "1"))


@pytest.mark.parametrize(
    ("told", "is_move"),
    [
        pytest.param(ADDED, False, id="started here"),
        pytest.param((tell(row("initial", "1")),), False, id="was there before"),
        pytest.param((*ADDED, tell(row("old", "1"), row("new", "2"))), True, id="both at once"),
        pytest.param(
            (*ADDED, tell(row("old", "1"), row("new")), tell(row("old"), row("new", "2"))),
            True,
            id="one after the other",
        ),
        pytest.param((*ADDED, tell(row("old", "1"), row("new", "1"))), False, id="another change"),
        pytest.param((*ADDED, tell(row("delete", "1")), *ADDED), False, id="stopped and started"),
        pytest.param((*ADDED, tell(row("insert", "2", "tap2"))), False, id="another VM"),
    ],
)
def test_a_port_that_is_installed_again_has_moved_here(moves, told, is_move):
    known = {}
    assert [moves.moved(known, each) for each in told][-1] is is_move


BEFORE = tell(row("initial", name="br-int"))
MOVED = tell(row("old", "1"), row("new", "2")), tell(row("old", "2"), row("new"))


@pytest.mark.parametrize(
    ("lines", "failures", "asked"),
    [
        pytest.param((BEFORE, *ADDED), 0, 1, id="at the start, for who came while nobody looked"),
        pytest.param((BEFORE, *ADDED, *MOVED), 0, 2, id="once for a move"),
        pytest.param((BEFORE, *ADDED), 2, 3, id="until it is done"),
    ],
)
def test_flows_are_computed_anew(tmp_path, lines, failures, asked):
    (tmp_path / "told").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    programs = {
        "ovsdb-client": f"exec cat {tmp_path}/told",
        "ovn-appctl": f'echo "$@" >> {tmp_path}/asked; '
        f"[ $(wc -l < {tmp_path}/asked) -gt {failures} ]",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, "systemd starts it again when Open vSwitch ends"
    commands = (tmp_path / "asked").read_text().splitlines()
    assert len(commands) == asked
    assert {each.split()[-1] for each in commands} == {"inc-engine/recompute"}
