"""The commands of `juju` against a real engine: what people type and read."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from localjuju.cli import main

IMAGE = "paint-image=localhost:32000/x/paint:1"
BUNDLE = """
bundle: kubernetes
applications:
  paint: {charm: ./paint.charm, resources: {paint-image: "x/paint:1"}, options: {coats: 4}}
  wall: {charm: ./wall.charm}
relations:
- [paint:colour, wall:colour]
"""


@pytest.mark.parametrize("name", sorted(main.JUJU))
def test_every_command_has_help_that_says_something(juju: Any, name: str) -> None:
    text = juju.ok(name, "--help")
    assert text.startswith("Usage: juju ")
    said = text.split("\n\n")[1]
    assert re.match(r"  [A-Z][^.]{10,}", said)


def test_wrong_usage_ends_with_2(juju: Any) -> None:
    for words in (("status", "--nope"), ("nope",), ("deploy",), ("run", "mix"), ("exec", "ls")):
        answer = juju(*words)
        assert answer.code == 2, words
        assert answer.stderr.startswith("ERROR ")


# --- Models ---


def test_the_model_is_chosen_by_option_environment_or_switch(
    juju: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert juju.refused("status").startswith("No selected model.")
    juju.ok("add-model", "one")
    juju.ok("add-model", "two", "--no-switch")
    assert '"name":"one"' in juju.ok("status", "--format", "json")
    for name in ("two", "localjuju:two", "admin/two", "localjuju:admin/two"):
        assert '"name":"two"' in juju.ok("status", "-m", name, "--format", "json")
    monkeypatch.setenv("JUJU_MODEL", "two")
    assert '"name":"two"' in juju.ok("status", "--format", "json")
    monkeypatch.delenv("JUJU_MODEL")
    assert juju.ok("switch") == "localjuju:admin/one\n"
    assert juju("switch", "two").stderr == "localjuju:admin/one -> localjuju:admin/two\n"
    assert json.loads(juju.ok("whoami", "--format", "json"))["model"] == "two"


def test_models_that_do_not_exist_are_told(juju: Any) -> None:
    assert juju.refused("status", "-m", "x") == "model localjuju:admin/x not found"
    assert juju.refused("status", "-m", "other:x") == "controller other not found"
    assert juju.refused("status", "-m", "eve/x") == "model localjuju:eve/x not found"
    assert juju.refused("switch", "x") == '"x" is not the name of a controller or model'
    assert "is not a valid name" in juju.refused("add-model", "Bad_Name")
    juju.ok("add-model", "m")
    assert juju.refused("add-model", "m") == 'model "m" already exists'


def test_models_are_listed_with_a_star_at_the_current_one(juju: Any) -> None:
    juju.ok("add-model", "one")
    text = juju.ok("models")
    assert re.search(r"^one\* +podman/localhost +kubernetes +available +0 ", text, re.MULTILINE)
    data = json.loads(juju.ok("models", "--format", "json"))
    assert (data["current-model"], data["models"][0]["short-name"]) == ("one", "one")


def test_model_config_is_a_table_and_a_value(juju: Any) -> None:
    juju.ok("add-model", "m", "--config", "update-status-hook-interval=30s")
    assert "update-status-hook-interval  model    30s" in juju.ok("model-config")
    assert juju.ok("model-config", "update-status-hook-interval") == "30s\n"
    juju.ok("model-config", "update-status-hook-interval=1m")
    assert juju.ok("model-config", "update-status-hook-interval") == "1m\n"
    assert "unknown model option" in juju.refused("model-config", "nope=1")


def test_destroying_a_model_asks_first(painted: Any) -> None:
    assert "persistent storage" in painted.refused("destroy-model", "m", "--no-prompt")
    refusal = painted.refused("destroy-model", "m", "--destroy-storage", stdin="n\n")
    assert refusal == "aborted"
    answer = painted("destroy-model", "m", "--destroy-storage", stdin="y\n")
    assert answer.code == 0
    assert "will destroy the m model and all its applications (paint)" in answer.stderr
    assert answer.stderr.endswith("Model destroyed.\n")
    assert painted.refused("status").startswith("No selected model.")


# --- Deploy, configure, remove ---


def test_what_cannot_be_deployed_is_told_with_the_next_step(
    juju: Any, paint_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    juju.ok("add-model", "m")
    assert "there is no store here; give a path" in juju.refused("deploy", "mysql-k8s")
    monkeypatch.chdir(tmp_path)
    assert "run `juju deploy ./paint.charm`" in juju.refused("deploy", "paint.charm")
    assert juju.refused("deploy", "./nope.charm") == 'no charm was found at "./nope.charm"'
    assert "missing OCI images for: paint-image" in juju.refused("deploy", paint_file)
    assert "units of a Kubernetes model are pods" in juju.refused(
        "deploy", paint_file, "--to", "0"
    )
    assert 'expected "key=value"' in juju.refused("deploy", paint_file, "--resource", "x")
    refused = juju.refused("deploy", paint_file, "--resource", IMAGE, "--resource", "a=b")
    assert 'unrecognized resource "a"' in refused
    assert juju("status").stderr == 'Model "m" is empty.\n'


def test_a_charm_for_another_python_is_refused(juju: Any, paint: Any, tmp_path: Path) -> None:
    juju.ok("add-model", "m")
    path = dataclasses.replace(paint, python="3.12").packed(tmp_path / "new.charm")
    text = juju.refused("deploy", str(path), "--resource", IMAGE)
    assert "packed for Python 3.12" in text
    assert "run with Python 3.11" in text


def test_a_charm_folder_and_relative_paths_work(
    juju: Any, paint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = paint.folder(tmp_path / "here" / "charm")
    (folder.parent / "palette.txt").write_text("red")
    (folder.parent / "options.yaml").write_text("paint: {coats: 7}\n")
    (folder.parent / "colour").write_text("olive")
    monkeypatch.chdir(folder.parent)
    juju.ok("add-model", "m")
    answer = juju(
        *("deploy", "./charm", "paint", "--resource", IMAGE, "-n", "0"),
        *("--resource", "palette=./palette.txt", "--config", "options.yaml"),
        *("--config", "colour=@colour", "--storage", "cans=2G", "--constraints", "mem=1G"),
    )
    assert answer.stderr == 'Deploying "paint" from local charm "paint-k8s", revision 0\n'
    assert juju.ok("config", "paint", "coats") == "7\n"
    assert juju.ok("config", "paint", "colour") == "olive\n"
    shown = yaml.safe_load(juju.ok("show-application", "paint"))["paint"]
    assert shown["constraints"] == "mem=1G"
    listed = json.loads(juju.ok("resources", "paint", "--format", "json"))
    assert {entry["name"]: entry["revision"] for entry in listed} == {
        "paint-image": 0,
        "palette": 0,
    }


def test_an_image_may_be_described_by_a_file_with_a_password(
    juju: Any, engine: Any, paint_file: str, tmp_path: Path
) -> None:
    described = {"registrypath": "r/x:1", "username": "u", "password": "hunter2"}
    (tmp_path / "image.yaml").write_text(yaml.safe_dump(described))
    juju.ok("add-model", "m")
    juju.ok("deploy", paint_file, "--resource", f"paint-image={tmp_path}/image.yaml", "-n", "0")
    resource = engine.engine.models["m"].applications["paint-k8s"].resources["paint-image"]
    assert (resource.value, resource.username) == ("r/x:1", "u")
    assert Path(resource.password_file).read_text() == "hunter2"
    assert Path(resource.password_file).stat().st_mode & 0o777 == 0o600


def test_config_is_shown_set_from_files_and_reset(painted: Any, tmp_path: Path) -> None:
    shown = yaml.safe_load(painted.ok("config", "paint"))
    assert shown["settings"]["coats"] == {
        "type": "int",
        "description": "",
        "default": 2,
        "source": "default",
        "value": 2,
    }
    assert shown["settings"]["thick"]["source"] == "unset"
    (tmp_path / "o.yaml").write_text("paint: {coats: 5, glossy: true}\n")
    painted.ok("config", "paint", "--file", str(tmp_path / "o.yaml"))
    assert painted.ok("config", "paint", "glossy") == "true\n"
    painted.ok("config", "paint", "--reset", "coats,glossy", "colour=blue")
    assert painted.ok("config", "paint", "coats") == "2\n"
    assert painted.ok("config", "paint", "colour") == "blue\n"
    assert painted.ok("config", "paint", "trust") == "false\n"
    assert 'key "nope" not found' in painted.refused("config", "paint", "nope")
    assert "can only retrieve a single value" in painted.refused("config", "paint", "a", "b=c")


def test_a_failed_hook_is_seen_and_resolved(painted: Any) -> None:
    painted.ok("config", "paint", "colour=broken")
    painted.ok(
        *("wait-for", "unit", "paint/0", "--query", 'workload-status=="error"'),
        *("--timeout", "20s"),
    )
    assert re.search('error +idle .*hook failed: "config-changed"', painted.ok("status"))
    painted.ok("config", "paint", "colour=red")
    painted.ok("resolved", "paint/0")
    painted.ok("wait-for", "unit", "paint/0", "--timeout", "20s")
    assert "is not in an error state" in painted.refused("resolved", "paint/0")


def test_removing_asks_and_tells(painted: Any) -> None:
    answer = painted("remove-application", "paint", "--dry-run")
    assert answer.stderr == (
        "will remove application paint\n- will remove unit paint/0\n- will detach storage cans/0\n"
    )
    assert "aborted" in painted("remove-application", "paint", stdin="\n").stderr
    assert "do not support removing named units" in painted.refused("remove-unit", "paint/0")
    answer = painted("remove-unit", "paint", "--dry-run")
    assert answer.stderr == "will remove unit paint/0\n"
    painted.ok("remove-application", "paint", "--no-prompt", "--destroy-storage")
    painted.ok("wait-for", "model", "m", "--query", "len(applications)==0", "--timeout", "20s")


# --- Bundles ---


@pytest.fixture
def bundle(tmp_path: Path, paint_file: str, wall_file: str) -> str:
    del paint_file, wall_file
    (tmp_path / "bundle.yaml").write_text(BUNDLE)
    return str(tmp_path / "bundle.yaml")


def test_a_bundle_is_deployed_once_and_shown_before(juju: Any, bundle: str) -> None:
    juju.ok("add-model", "m")
    told = juju.ok("deploy", bundle, "--dry-run")
    assert told.splitlines() == [
        "Changes to deploy bundle:",
        "- deploy application paint from charm paint.charm with 1 unit",
        "- deploy application wall from charm wall.charm with 1 unit",
        "- add relation paint:colour - wall:colour",
    ]
    assert json.loads(juju.ok("status", "--format", "json"))["applications"] == {}
    answer = juju("deploy", bundle)
    assert answer.stderr.splitlines()[2:] == [
        "Executing changes:",
        *told.splitlines()[1:],
        "Deploy of bundle completed.",
    ]
    assert juju("deploy", bundle).stderr == "No changes to apply.\n"


def test_an_overlay_changes_a_bundle(juju: Any, bundle: str, tmp_path: Path) -> None:
    juju.ok("add-model", "m")
    overlay = tmp_path / "o.yaml"
    overlay.write_text("applications: {wall: ~, paint: {scale: 2}}")
    juju.ok("deploy", bundle, "--overlay", str(overlay))
    apps = json.loads(juju.ok("status", "--format", "json"))["applications"]
    assert {name: app["scale"] for name, app in apps.items()} == {"paint": 2}
    assert "when deploying a bundle: --num-units" in juju.refused("deploy", bundle, "-n", "2")


def test_a_bundle_stops_at_the_first_error_and_goes_on_later(
    juju: Any, bundle: str, tmp_path: Path
) -> None:
    juju.ok("add-model", "m")
    broken = tmp_path / "broken.yaml"
    broken.write_text(BUNDLE.replace("./wall.charm", "./gone.charm"))
    assert 'no charm was found at "' in juju.refused("deploy", str(broken))
    assert json.loads(juju.ok("status", "--format", "json"))["applications"] == {}
    juju.ok("deploy", bundle)


# --- Tasks ---


def test_an_action_prints_its_results_for_people(painted: Any) -> None:
    answer = painted("run", "paint/leader", "mix", "with=blue", "parts=2")
    assert answer.code == 0
    assert answer.stdout == "result: red-blue-2\n"
    lines = answer.stderr.splitlines()
    assert re.fullmatch(r"Running operation \d+ with 1 task", lines[0])
    assert re.fullmatch(r"  - task \d+ on unit-paint-0", lines[1])
    assert lines[-1].endswith("stirring")


def test_a_failed_action_ends_with_1_and_its_message(painted: Any) -> None:
    answer = painted("run", "paint/0", "spill")
    assert answer.code == 1
    assert answer.stdout.startswith("left: nothing\nAction id ")
    assert "all over the floor" in answer.stdout
    assert "ERROR the following task failed:\n - id " in answer.stderr


def test_bad_parameters_are_refused_before_anything_runs(painted: Any) -> None:
    text = painted.refused("run", "paint/0", "mix", "with=blue", "sugar=1")
    assert 'additional property "sugar" is not allowed' in text
    assert "must be of the form" in painted.refused("run", "paint/0", "mix", "blue")
    assert "must be of type string" in painted.refused("run", "paint/0", "mix", "with=3")
    painted.ok("run", "paint/0", "mix", "with=3", "--string-args")


def test_parameters_come_from_standard_input(painted: Any) -> None:
    text = painted.ok("run", "paint/0", "mix", "--params", "-", stdin="with: lime\n")
    assert text == "result: red-lime-1\n"


def test_a_task_in_the_background_is_shown_later(painted: Any) -> None:
    answer = painted("run", "paint/0", "mix", "with=blue", "--background", "--format", "json")
    number = json.loads(answer.stdout)["paint/0"]["id"]
    task = yaml.safe_load(painted.ok("show-task", number, "--wait", "10s"))
    assert (task["status"], task["results"]["result"]) == ("completed", "red-blue-1")
    listed = json.loads(painted.ok("operations", "--format", "json"))[-1]
    assert listed["summary"] == "mix run on paint/0"
    shown = yaml.safe_load(painted.ok("show-operation", listed["id"]))
    assert shown["tasks"][number]["status"] == "completed"
    assert "is already completed" in painted.refused("cancel-task", number)


def test_commands_run_on_all_units_with_a_heading_each(painted: Any) -> None:
    painted.ok("add-unit", "paint")
    painted.ok("wait-for", "unit", "paint/1", "--timeout", "20s")
    text = painted.ok("exec", "--application", "paint", "--", "echo", "$JUJU_UNIT_NAME x")
    assert text == "paint/0:\n  $JUJU_UNIT_NAME x\npaint/1:\n  $JUJU_UNIT_NAME x\n"
    assert painted.ok("exec", "-u", "paint/1", "echo $JUJU_UNIT_NAME") == "paint/1\n"


def test_actions_are_listed(painted: Any) -> None:
    assert re.search(r"^mix +Mix two colours$", painted.ok("actions", "paint"), re.MULTILINE)
    schema = yaml.safe_load(painted.ok("actions", "paint", "--schema"))
    assert schema["mix"]["properties"]["parts"]["default"] == 1


# --- Secrets, logs, traces, waiting ---


def test_secrets_come_from_files_and_stay_out_of_sight(painted: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"\xff\x00")
    uri = painted.ok(
        *("add-secret", "recipe", f"raw#file={tmp_path}/password", "plain=x"),
        *("coded#base64=aGk=", "--info", "a note"),
    ).strip()
    assert re.fullmatch(r"secret:[0-9a-v]{20}", uri)
    shown = yaml.safe_load(painted.ok("show-secret", "recipe", "--reveal"))
    (entry,) = shown.values()
    assert entry["content"] == {"raw": "/wA=", "plain": "x", "coded": "hi"}
    assert "content" not in painted.ok("show-secret", uri)
    assert re.search(r" recipe +<model> +never +1 ", painted.ok("secrets"))
    assert "missing secret value" in painted.refused("add-secret", "empty")
    assert 'key "ab" not valid' in painted.refused("add-secret", "bad", "ab=x")
    assert "cannot read /nope" in painted.refused("add-secret", "bad", "abc#file=/nope")
    painted.ok("grant-secret", "recipe", "paint")
    painted.ok("revoke-secret", "recipe", "paint")
    painted.ok("update-secret", "recipe", "--name", "formula")
    painted.ok("remove-secret", "formula")
    assert painted.refused("show-secret", "formula") == 'secret "formula" not found'


def test_the_log_is_filtered(painted: Any) -> None:
    painted.ok("exec", "-u", "paint/0", "juju-log -l ERROR one; juju-log -l INFO two")
    errors = painted.ok("debug-log", "--level", "error")
    assert errors.count("\n") == 1
    assert re.fullmatch(r"unit-paint-0: \d\d:\d\d:\d\d ERROR \S+ one\n", errors)
    assert painted.ok("debug-log", "--include", "wall") == ""
    assert painted.ok("debug-log", "--exclude", "paint/0") == ""
    assert painted.ok("debug-log", "--replay", "--limit", "2").count("\n") == 2
    assert re.match(
        r"unit-paint-0: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ",
        painted.ok("debug-log", "--date", "--ms", "--limit", "1"),
    )
    assert "not one of TRACE" in painted.refused("debug-log", "--level", "loud")


def test_dispatches_are_traced(painted: Any, localjuju: Any) -> None:
    listed = localjuju("trace", "paint/0", "-m", "m")
    assert re.search(r"^ *1 +\S+ +install +", listed.stdout, re.MULTILINE)
    data = json.loads(localjuju("trace", "paint/0", "-m", "m", "--format", "json").stdout)
    number = next(entry["number"] for entry in data if entry["hook"] == "config-changed")
    shown = localjuju("trace", "paint/0", "-m", "m", "--number", str(number)).stdout
    assert "JUJU_HOOK_NAME=config-changed" in shown
    assert re.search(r" ms  status-set active painted red", shown)


def test_waiting_gives_up_and_says_for_what(painted: Any) -> None:
    text = painted.refused("wait-for", "application", "nope", "--timeout", "100ms", "--no-summary")
    assert text.startswith('timed out waiting for "nope" to reach goal state')
    assert "it does not exist" in text
    answer = painted("wait-for", "unit", "paint/0", "--query", "leader==false", "--timeout", "1ms")
    assert "active: painted red" in answer.stderr
    assert "cannot evaluate query: syntax error" in painted.refused(
        "wait-for", "unit", "paint/0", "--query", "=="
    )


def test_a_watched_status_is_shown_again_and_again(painted: Any) -> None:
    program = str(Path(sys.executable).parent / "juju")
    watching = subprocess.Popen(
        [program, "status", "-m", "m", "--watch", "50ms", "--format", "json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        shown = [json.loads(watching.stdout.readline()) for _ in range(3)]
        watching.terminate()
    assert [data["model"]["name"] for data in shown] == ["m"] * 3


def test_answers_go_to_a_file_when_asked(painted: Any, tmp_path: Path) -> None:
    target = tmp_path / "status.json"
    assert painted.ok("status", "--format", "json", "-o", str(target)) == ""
    assert json.loads(target.read_text())["model"]["name"] == "m"
    assert "cannot write" in painted.refused("status", "-o", "/nope/x")


def test_ssh_to_a_container_that_does_not_exist_is_refused(painted: Any) -> None:
    text = painted.refused("ssh", "--container", "nope", "paint/0", "ls")
    assert text == 'container "nope" not found in unit "paint/0"; there are: charm, paint'
    assert painted.refused("ssh", "paint/9", "ls") == 'unit "paint/9" not found'


def test_scp_refuses_what_makes_no_sense(painted: Any, tmp_path: Path) -> None:
    assert "exactly one of source and target" in painted.refused("scp", "./a", "./b")
    assert "add -- -r" in painted.refused("scp", str(tmp_path), "paint/0:x")
    assert "No such file" in painted.refused("scp", "./nope", "paint/0:x")
    assert "cannot copy paint/0:nope" in painted.refused("scp", "paint/0:nope", "./x")


def test_who_answers_is_shown(juju: Any) -> None:
    assert "localjuju*" in juju.ok("controllers")
    shown = yaml.safe_load(juju.ok("show-controller"))
    assert shown["localjuju"]["details"]["cloud"] == "podman"
    assert juju.ok("version").startswith("3.6.")
