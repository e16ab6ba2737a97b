"""jubilant, unmodified, drives the command and a real engine with charms that really run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jubilant
import pytest

IMAGE = {"paint-image": "localhost:32000/x/paint:1"}


@pytest.fixture
def driver(engine: Any) -> Iterator[jubilant.Juju]:
    del engine
    program = Path(sys.executable).parent / "juju"
    driver = jubilant.Juju(cli_binary=program, wait_timeout=30)
    driver.add_model("j", config={"update-status-hook-interval": "1h"})
    yield driver


@pytest.fixture
def deployed(driver: jubilant.Juju, paint_file: str, wall_file: str) -> jubilant.Juju:
    driver.deploy(paint_file, "paint", resources=IMAGE, num_units=2, config={"coats": 3})
    driver.deploy(wall_file, "wall")
    driver.integrate("paint:colour", "wall:colour")
    driver.wait(
        lambda status: jubilant.all_active(status) and jubilant.all_agents_idle(status),
        delay=0.05,
    )
    return driver


def test_status_tells_all_that_jubilant_reads(deployed: jubilant.Juju) -> None:
    status = deployed.status()
    paint = status.apps["paint"]
    assert (status.model.name, status.model.type, status.model.controller) == (
        "j",
        "caas",
        "localjuju",
    )
    assert (paint.charm_name, paint.charm_rev, paint.charm_origin) == ("paint-k8s", 0, "local")
    assert (paint.scale, paint.exposed, paint.version) == (2, False, "1.5")
    assert paint.app_status.message == "painted red"
    assert paint.address.startswith("10.77.0.")
    assert paint.relations["colour"][0].related_app == "wall"
    assert paint.relations["painters"][0].interface == "painters"
    assert [unit.leader for unit in paint.units.values()].count(True) == 1
    assert paint.units["paint/0"].open_ports == ["80/tcp"]
    assert paint.units["paint/1"].juju_status.current == "idle"
    assert paint.base == jubilant.statustypes.FormattedBase("debian", "12/stable")
    assert len(status.storage.storage) == 2
    assert status.controller.timestamp


def test_an_action_gives_back_its_results_and_log(deployed: jubilant.Juju) -> None:
    task = deployed.run("paint/leader", "mix", {"with": "blue", "parts": 3})
    assert task.results == {"result": "red-blue-3"}
    assert (task.status, task.return_code) == ("completed", 0)
    assert task.log[0].endswith("stirring")


def test_an_action_that_fails_raises_with_its_message(deployed: jubilant.Juju) -> None:
    with pytest.raises(jubilant.TaskError) as caught:
        deployed.run("paint/0", "spill")
    assert caught.value.task.message == "all over the floor"
    assert caught.value.task.results == {"left": "nothing"}


def test_what_does_not_exist_is_a_value_error_when_run(deployed: jubilant.Juju) -> None:
    with pytest.raises(ValueError, match="not defined"):
        deployed.run("paint/0", "nope")
    with pytest.raises(ValueError, match="not found"):
        deployed.run("paint/9", "mix", {"with": "blue"})
    with pytest.raises(ValueError, match="not found"):
        deployed.exec("true", unit="paint/9")


def test_a_slow_action_times_out(deployed: jubilant.Juju) -> None:
    with pytest.raises(TimeoutError):
        deployed.run("paint/0", "slow", wait=0.2)


def test_exec_runs_with_the_hook_commands_at_hand(deployed: jubilant.Juju) -> None:
    task = deployed.exec("config-get colour; echo oops >&2", unit="paint/leader")
    assert (task.stdout.strip(), task.stderr.strip(), task.return_code) == ("red", "oops", 0)
    with pytest.raises(jubilant.TaskError) as caught:
        deployed.exec("exit 3", unit="paint/1")
    assert caught.value.task.return_code == 3


def test_config_is_set_read_and_reset(deployed: jubilant.Juju) -> None:
    assert deployed.config("paint") == {"coats": 3, "colour": "red", "glossy": False}
    deployed.config("paint", {"colour": "green", "glossy": True}, reset="coats")
    assert deployed.config("paint") == {"coats": 2, "colour": "green", "glossy": True}
    assert deployed.config("paint", app_config=True) == {"trust": False}
    deployed.wait(
        lambda status: status.apps["paint"].app_status.message == "painted green",
        delay=0.05,
        successes=1,
    )


def test_model_config_is_set_read_and_reset(driver: jubilant.Juju) -> None:
    assert driver.model_config()["update-status-hook-interval"] == "1h"
    driver.model_config({"automatically-retry-hooks": False})
    assert driver.model_config()["automatically-retry-hooks"] is False
    driver.model_config(reset=["automatically-retry-hooks", "update-status-hook-interval"])
    assert driver.model_config()["automatically-retry-hooks"] is True


def test_units_come_and_go(deployed: jubilant.Juju) -> None:
    def scaled(count: int) -> jubilant.Status:
        return deployed.wait(
            lambda s: len(s.apps["paint"].units) == count and jubilant.all_active(s), delay=0.05
        )

    deployed.add_unit("paint", num_units=2)
    assert "paint/3" in scaled(4).apps["paint"].units
    deployed.remove_unit("paint", num_units=3)
    assert list(scaled(1).apps["paint"].units) == ["paint/0"]
    deployed.cli("scale-application", "paint", "2")
    assert list(scaled(2).apps["paint"].units) == ["paint/0", "paint/1"]


def test_relations_and_applications_go(deployed: jubilant.Juju) -> None:
    deployed.remove_relation("paint", "wall")
    deployed.wait(
        lambda status: "colour" not in status.apps["paint"].relations, delay=0.05, successes=1
    )
    deployed.remove_application("paint", "wall", destroy_storage=True)
    deployed.wait(lambda status: not status.apps, delay=0.05, successes=1)


def test_a_user_secret_lives_from_add_to_remove(deployed: jubilant.Juju) -> None:
    uri = deployed.add_secret("recipe", {"password": "hunter2"}, info="for tests")
    deployed.grant_secret("recipe", ["paint", "wall"])
    (listed,) = deployed.secrets()
    assert (listed.uri, listed.name, listed.owner, listed.revision) == (
        uri,
        "recipe",
        "<model>",
        1,
    )
    deployed.update_secret(uri, {"password": "hunter3"}, auto_prune=False)
    shown = deployed.show_secret("recipe", reveal=True)
    assert (shown.content, shown.revision, shown.description) == (
        {"password": "hunter3"},
        2,
        "for tests",
    )
    old = deployed.show_secret(uri, reveal=True, revision=1)
    assert old.content == {"password": "hunter2"}
    many = deployed.show_secret("recipe", revisions=True)
    assert [revision.revision for revision in many.revisions or []] == [1, 2]
    assert [access.target for access in many.access or []] == [
        "application-paint",
        "application-wall",
    ]
    deployed.config("paint", {"recipe": uri})
    assert deployed.config("paint")["recipe"] == uri
    deployed.remove_secret("recipe", revision=1)
    deployed.remove_secret(uri)
    assert deployed.secrets() == []


def test_a_charm_reads_a_user_secret_that_its_config_names(deployed: jubilant.Juju) -> None:
    uri = deployed.add_secret("recipe", {"oil": "linseed"})
    deployed.config("paint", {"recipe": uri})
    with pytest.raises(jubilant.TaskError) as caught:
        deployed.run("paint/0", "read")
    assert "permission denied" in caught.value.task.stderr
    deployed.grant_secret(uri, "paint")
    assert deployed.run("paint/0", "read").results == {"recipe": "oil: linseed"}
    deployed.update_secret("recipe", {"oil": "walnut"}, auto_prune=True)
    deployed.wait(
        lambda s: s.apps["paint"].units["paint/0"].workload_status.message == "recipe changed",
        delay=0.05,
        successes=1,
    )
    assert deployed.run("paint/0", "read").results == {"recipe": "oil: walnut"}
    many = deployed.show_secret("recipe", revisions=True)
    assert [revision.revision for revision in many.revisions or []] == [2], "nobody reads 1"
    deployed.cli("revoke-secret", "recipe", "paint")
    with pytest.raises(jubilant.TaskError):
        deployed.run("paint/0", "read")


def test_show_model_and_show_unit_are_complete(deployed: jubilant.Juju) -> None:
    info = deployed.show_model()
    assert (info.short_name, info.model_type, info.life) == ("j", "caas", "alive")
    unit = deployed.show_unit("paint/0")
    assert unit.opened_ports == ["80/tcp"]
    assert unit.charm == "local:paint-k8s-0"
    relation = next(r for r in unit.relation_info if r.endpoint == "colour")
    assert relation.related_endpoint == "colour"
    assert "wall/0" in relation.related_units
    assert relation.local_unit is not None
    assert relation.local_unit.data["tone"] == "red"


def test_refresh_brings_another_revision(
    deployed: jubilant.Juju, paint_file: str, tmp_path: Path
) -> None:
    deployed.refresh("paint", path=paint_file)
    status = deployed.wait(
        lambda s: s.apps["paint"].charm_rev == 1 and jubilant.all_agents_idle(s), delay=0.05
    )
    assert status.apps["paint"].is_active


def test_trust_is_given_and_taken(deployed: jubilant.Juju) -> None:
    deployed.trust("paint", scope="cluster")
    assert deployed.config("paint", app_config=True) == {"trust": True}
    deployed.trust("paint", remove=True)
    assert deployed.config("paint", app_config=True) == {"trust": False}


def test_the_log_comes_in_lines(deployed: jubilant.Juju) -> None:
    deployed.exec("juju-log --log-level WARNING -- hello there", unit="paint/0")
    assert "WARNING" in deployed.debug_log()
    last = deployed.debug_log(limit=1)
    assert last.count("\n") == 1


def test_ssh_runs_in_the_container_that_is_named(deployed: jubilant.Juju) -> None:
    assert deployed.ssh("paint/0", "echo $CONTAINER", container="paint") == "paint\n"
    assert deployed.ssh("paint/leader", "echo", "a  b", "$CONTAINER") == "a b charm\n"


def test_scp_copies_both_ways(deployed: jubilant.Juju, tmp_path: Path) -> None:
    source = tmp_path / "here.txt"
    source.write_text("words")
    source.chmod(0o640)
    deployed.scp(source, "paint/0:there.txt", container="paint")
    assert deployed.ssh("paint/0", "cat there.txt", container="paint") == "words"
    deployed.scp("paint/0:there.txt", tmp_path / "back.txt", container="paint")
    assert (tmp_path / "back.txt").read_text() == "words"
    assert (tmp_path / "back.txt").stat().st_mode & 0o777 == 0o640
    folder = tmp_path / "tree"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "leaf").write_text("x")
    deployed.scp(folder, "paint/0:copy", scp_options=["-r"])
    deployed.scp("paint/0:copy", tmp_path / "again", scp_options=["-r"])
    assert (tmp_path / "again" / "deep" / "leaf").read_text() == "x"


def test_version_is_one_that_jubilant_understands(driver: jubilant.Juju) -> None:
    assert driver.version().tuple[:2] == (3, 6)


def test_a_destroyed_model_is_gone(deployed: jubilant.Juju) -> None:
    deployed.destroy_model("j", destroy_storage=True)
    assert deployed.model is None
    assert '"models":[]' in deployed.cli("models", "--format", "json")


def test_errors_carry_what_the_command_said(driver: jubilant.Juju) -> None:
    with pytest.raises(jubilant.CLIError) as caught:
        driver.integrate("a", "b")
    assert caught.value.stderr == 'ERROR application "a" not found\n'
    assert caught.value.returncode == 1
