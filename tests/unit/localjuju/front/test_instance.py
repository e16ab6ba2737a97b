"""`localjuju`: set an engine up, look at it, take it away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localjuju import process
from localjuju.settings import Settings, Space, load
from localjuju.store import Store
from localjuju.substrate import names


@pytest.fixture
def words(tmp_path: Path, hook_client: Path) -> dict[str, str]:
    return {
        "--home": str(tmp_path / "e"),
        "--instance": "t",
        "--subnet": "10.77.0.0/20",
        "--charm-base": "x/base:1",
        "--pebble": sys.executable,
        "--store-root": str(tmp_path / "root"),
        "--store-runroot": str(tmp_path / "run"),
        "--hook-client": str(hook_client),
    }


def given(words: dict[str, str], **changed: str) -> list[str]:
    merged = {**words, **{f"--{key.replace('_', '-')}": v for key, v in changed.items()}}
    return [word for pair in merged.items() for word in pair]


def test_init_writes_private_settings_and_does_nothing_twice(
    localjuju: Any, words: dict[str, str]
) -> None:
    first = localjuju("init", *given(words))
    assert (first.code, "is set up. Next:" in first.stdout) == (0, True)
    home = Path(words["--home"])
    settings = load(home)
    assert (settings.instance, settings.subnet) == ("t", "10.77.0.0/20")
    assert settings.warm is False
    assert (home / "settings.json").stat().st_mode & 0o777 == 0o600
    assert "set up already" in localjuju("init", *given(words)).stdout
    changed = localjuju("init", *given(words, charm_base="x/base:2"), "--warm")
    assert changed.code == 0
    assert (load(home).charm_base, load(home).warm) == ("x/base:2", True)


def test_an_instance_that_is_set_up_anew_inherits_no_addresses_of_the_one_before(
    localjuju: Any, words: dict[str, str]
) -> None:
    home = Path(words["--home"])
    localjuju("init", *given(words))
    first = names.network(load(home))
    localjuju("init", *given(words), "--warm")
    assert names.network(load(home)) == first
    (home / "settings.json").unlink()
    localjuju("init", *given(words))
    assert names.network(load(home)) != first


def test_a_name_that_another_engine_has_is_refused(
    localjuju: Any, words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localjuju.cli.instance._LINKS", tmp_path / "net")
    (tmp_path / "net" / "other-svc").mkdir(parents=True)
    answer = localjuju("init", *given(words, instance="other"))
    assert answer.code == 1
    assert "instance name other" in answer.stderr
    assert "ip link delete other-svc" in answer.stderr
    assert not (Path(words["--home"]) / "settings.json").exists()
    assert localjuju("init", *given(words)).code == 0
    (tmp_path / "net" / "t-svc").mkdir()
    again = localjuju("init", *given(words, charm_base="x/base:2"))
    assert again.code == 0, "its own link is no other engine's"


def test_the_hook_client_is_compiled_when_none_is_given(
    localjuju: Any, words: dict[str, str]
) -> None:
    del words["--hook-client"]
    assert localjuju("init", *given(words)).code == 0
    assert os.access(load(Path(words["--home"])).hook_client, os.X_OK)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"instance": "Big Name"}, '--instance "Big Name" is not valid'),
        ({"subnet": "10.0.0.1/20"}, '--subnet "10.0.0.1/20" is not valid'),
        ({"subnet": "10.0.0.0/28"}, "use /24 or wider"),
        ({"pebble": "/nope"}, "--pebble /nope is not a program"),
        ({"home": "/tmp/" + "x" * 120}, "is longer than 107 bytes"),
        ({"space": "fast"}, "write NAME=SUBNET[,gateway][,addresses=FIRST-LAST]"),
        ({"space": "fast=10.9.0.0/24,router"}, "write NAME=SUBNET"),
        ({"space": "fast=10.77.8.0/24"}, '10.77.8.0/24 overlaps 10.77.0.0/20 of space "alpha"'),
        ({"space": "alpha=10.9.0.0/24"}, '--space "alpha": the name is taken'),
        (
            {"space": "fast=10.9.0.0/24,addresses=10.9.1.1-10.9.1.9"},
            "10.9.1.1 to 10.9.1.9 is no range in 10.9.0.0/24",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(
    localjuju: Any, words: dict[str, str], changed: dict[str, str], text: str
) -> None:
    answer = localjuju("init", *given(words, **changed))
    assert answer.code == 1
    assert text in answer.stderr
    assert not Path(words["--home"]).joinpath("settings.json").exists()


def test_what_pods_hang_on_cannot_change_once_used(localjuju: Any, words: dict[str, str]) -> None:
    localjuju("init", *given(words))
    assert localjuju("init", *given(words, subnet="10.78.0.0/20")).code == 0
    Store(load(Path(words["--home"])).database).close()
    answer = localjuju("init", *given(words, subnet="10.79.0.0/20"))
    assert answer.code == 1
    assert "cannot change subnet from 10.78.0.0/20" in answer.stderr
    assert "localjuju destroy" in answer.stderr


def test_status_tells_of_an_engine_that_runs_and_one_that_does_not(
    localjuju: Any, settings: Settings, juju: Any
) -> None:
    juju.ok("add-model", "m")
    lock = (settings.home / "engine.lock").open("w")
    answer = localjuju("status", "--home", str(settings.home), "--format", "json")
    assert json.loads(answer.stdout)["running"] is False
    lock.close()


def test_commands_without_a_home_say_what_to_do(localjuju: Any, tmp_path: Path) -> None:
    for command in ("status", "start"):
        answer = localjuju(command, "--home", str(tmp_path / "nowhere"))
        assert (answer.code, "run `localjuju init`" in answer.stderr) == (1, True)
    assert "No engine runs" in localjuju("stop", "--home", str(tmp_path / "nowhere")).stdout
    assert "Nothing is left" in localjuju("destroy", "--home", str(tmp_path / "no")).stdout


def test_a_folder_that_is_no_engines_is_never_taken_away(localjuju: Any, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    answer = localjuju("destroy", "--home", str(tmp_path))
    assert answer.code == 1
    assert "has no settings.json" in answer.stderr
    assert (tmp_path / "precious").read_text() == "data"


def test_a_dry_run_of_destroy_lists_and_keeps(localjuju: Any, painted: Any, engine: Any) -> None:
    home = engine.settings.home
    answer = localjuju("destroy", "--home", str(home), "--dry-run")
    assert answer.code == 0
    assert "would remove pod of paint/0 in model m\n" in answer.stdout
    assert f"would remove folder {home}\n" in answer.stdout
    assert painted("status").code == 0


HOLDER = """
import fcntl, os, signal, sys, time
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = open(sys.argv[1], "a+")
fcntl.flock(held, fcntl.LOCK_EX)
held.truncate(0)
held.write(f"{os.getpid()}\\n")
held.flush()
print("held", flush=True)
time.sleep(60)
"""


def holder(home: Path, manner: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home / "engine.lock"), manner],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "held\n"
    return started


def test_the_lock_tells_which_process_runs(settings: Settings) -> None:
    assert process.engine_pid(settings.home) is None
    with holder(settings.home, "polite") as running:
        assert process.engine_pid(settings.home) == running.pid
        assert process.stop_engine(settings.home) == running.pid
        assert process.engine_pid(settings.home) is None
        assert process.stop_engine(settings.home) is None


def test_a_process_that_does_not_follow_is_killed_only_when_asked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.2)
    with holder(settings.home, "stubborn") as running:
        with pytest.raises(process.ProcessError, match=f"process {running.pid} still runs"):
            process.stop_engine(settings.home)
        assert process.stop_engine(settings.home, kill=True) == running.pid
        assert running.wait(5) == -9


def test_no_engine_starts_while_the_lock_is_held_for_something_else(settings: Settings) -> None:
    with process.held(settings.home):
        assert process.engine_pid(settings.home) == os.getpid()
        again = process.held(settings.home)
        with pytest.raises(process.ProcessError, match="an engine runs"), again:
            pass
    assert process.engine_pid(settings.home) is None


def test_a_number_left_by_a_dead_process_is_not_believed(settings: Settings) -> None:
    (settings.home / "engine.lock").write_text(f"{os.getpid()}\n")
    assert process.engine_pid(settings.home) is None


def test_spaces_and_the_machines_image_are_kept_and_spaces_stay(
    localjuju: Any, words: dict[str, str]
) -> None:
    spaces = [
        *("--space", "fast=10.9.0.0/24"),
        *("--space", "outer=10.8.0.0/24,gateway,addresses=10.8.0.240-10.8.0.254"),
    ]
    first = localjuju("init", *given(words, machine_image="x/machine:1"), *spaces)
    assert first.code == 0, first.stderr
    settings = load(Path(words["--home"]))
    assert settings.machine_image == "x/machine:1"
    assert settings.spaces == (
        Space("fast", "10.9.0.0/24"),
        Space("outer", "10.8.0.0/24", gateway=True, first="10.8.0.240", last="10.8.0.254"),
    )
    assert list(settings.subnets) == ["alpha", "fast", "outer"]
    Store(settings.database).close()
    assert "cannot change spaces" in localjuju("init", *given(words), *spaces[:2]).stderr
    more = [*spaces, "--space", "third=10.7.0.0/24"]
    assert localjuju("init", *given(words), *more).code == 0
