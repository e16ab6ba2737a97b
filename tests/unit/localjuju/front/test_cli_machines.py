"""Commands about machines, against a real engine whose machines are folders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jubilant.statustypes
import pytest

from localjuju.client import Client

IDLE = 'workload-status=="active" && agent-status=="idle"'


@pytest.fixture
def yard(juju: Any, box_file: str) -> Any:
    """A model of machines with two units of `box`, active."""
    juju.ok("add-model", "yard", "localhost")
    juju.ok("deploy", box_file, "--num-units", "2", "--bind", "alpha tunnel=fast")
    for unit in ("box/0", "box/1"):
        juju.ok("wait-for", "unit", unit, "--timeout", "20s", "--query", IDLE)
    return juju


def status(juju: Any) -> Any:
    return json.loads(juju.ok("status", "--format", "json"))


def test_the_cloud_tells_what_units_are(juju: Any) -> None:
    juju.ok("add-model", "pods")
    juju.ok("add-model", "yard", "localhost/localhost")
    assert "there are: localhost, podman" in juju.refused("add-model", "x", "azure")
    models = json.loads(juju.ok("models", "--format", "json"))["models"]
    found = {m["short-name"]: (m["model-type"], m["cloud"], m["type"]) for m in models}
    assert found == {
        "pods": ("caas", "podman", "kubernetes"),
        "yard": ("iaas", "localhost", "podman"),
    }
    clouds = json.loads(juju.ok("clouds", "--format", "json"))
    assert sorted(clouds) == ["localhost", "podman"]


def test_status_shows_machines_as_juju_does(yard: Any) -> None:
    data = status(yard)
    assert jubilant.statustypes.Status._from_dict(data).machines["1"].instance_id
    machine = data["machines"]["0"]
    assert machine["juju-status"]["current"] == "started"
    assert machine["machine-status"]["message"] == "Running"
    assert machine["ip-addresses"] == ["10.77.0.64", "10.78.0.10"]
    assert machine["network-interfaces"]["eth1"] == {
        "ip-addresses": ["10.78.0.10"],
        "mac-address": "02:6a:0a:4e:00:0a",
        "space": "fast",
        "is-up": True,
        "gateway": "10.78.0.1",
    }
    app = data["applications"]["box"]
    assert "scale" not in app and "address" not in app
    assert app["endpoint-bindings"]["tunnel"] == "fast"
    assert app["units"]["box/1"]["machine"] == "1"
    assert app["units"]["box/1"]["public-address"] == "10.77.0.65"
    text = yard.ok("status")
    assert "Unit    Workload  Agent  Machine  Public address  Ports  Message" in text
    assert "Machine  State    Address     Inst id" in text


def test_machines_are_listed_and_shown(yard: Any) -> None:
    assert list(json.loads(yard.ok("machines", "--format", "json"))["machines"]) == ["0", "1"]
    shown = json.loads(yard.ok("show-machine", "1", "--format", "json"))
    assert shown["model"] == "yard"
    assert list(shown["machines"]) == ["1"]
    assert yard.refused("show-machine", "7") == "machine 7 not found"
    assert "fast   10.78.0.0/24" in yard.ok("spaces")


def test_machines_come_and_go_by_hand(yard: Any) -> None:
    added = yard("add-machine", "-n", "2", "--constraints", "image-id=x/other:2")
    assert added.stderr == "created machine 2\ncreated machine 3\n"
    yard.ok("add-unit", "box", "--to", "3")
    yard.ok("wait-for", "unit", "box/2", "--timeout", "20s", "--query", IDLE)
    assert status(yard)["machines"]["3"]["hardware"] == "image-id=x/other:2"
    refused = yard.refused("remove-machine", "3", "--no-prompt")
    assert refused == "machine 3 has unit(s) box/2 assigned; add --force"
    told = yard("remove-machine", "2", "3", "--force", "--no-prompt").stderr
    assert told == "will remove machine 2\nwill remove machine 3\n- will remove unit box/2\n"
    yard.ok("wait-for", "application", "box", "--query", "len(units)==2", "--timeout", "20s")


def test_units_are_removed_by_their_names(yard: Any) -> None:
    assert "removed by their names" in yard.refused("remove-unit", "box", "--no-prompt")
    assert yard("remove-unit", "box/0", "--no-prompt").code == 0
    yard.ok("wait-for", "application", "box", "--query", "len(units)==1", "--timeout", "20s")
    assert list(status(yard)["applications"]["box"]["units"]) == ["box/1"]
    assert "only supported on Kubernetes" in yard.refused("scale-application", "box", "3")


def test_subordinates_stand_under_their_principals(yard: Any, lid_file: str) -> None:
    refused = yard.refused("deploy", lid_file, "-n", "2")
    assert refused == "subordinate application must be deployed without units"
    yard.ok("deploy", lid_file)
    yard.ok("integrate", "lid", "box")
    for _ in range(100):
        units = status(yard)["applications"]["box"]["units"]
        beside = {n: s for u in units.values() for n, s in u.get("subordinates", {}).items()}
        if [s["workload-status"]["current"] for s in beside.values()] == ["active"] * 2:
            break
        yard.ok("wait-for", "model", "yard", "--timeout", "5s")
    data = status(yard)
    assert data["applications"]["lid"]["subordinate-to"] == ["box"]
    assert "units" not in data["applications"]["lid"]
    assert sorted(beside) == ["lid/0", "lid/1"]
    assert "\n  lid/" in yard.ok("status")
    relation = next(r for r in status(yard)["applications"]["lid"]["relations"]["beside"])
    assert relation["scope"] == "container"
    assert "is a subordinate, to remove use" in yard.refused("remove-unit", "lid/0", "--no-prompt")
    assert "is a subordinate" in yard.refused("add-unit", "lid")


def test_commands_run_on_machines(yard: Any) -> None:
    out = json.loads(yard.ok("exec", "--format", "json", "--machine", "1", "--", "echo $MACHINE"))
    assert out["1"]["results"]["stdout"] == "1\n"
    assert out["1"]["machine"] == "1"
    assert "on a machine: it has no containers" in yard.refused(
        "ssh", "--container", "box", "box/1", "true"
    )


def test_ssh_leads_to_the_machine_of_a_unit(yard: Any, engine: Any) -> None:
    client = Client(engine.settings.home)
    for target in ("1", "box/1"):
        found = client.call(
            "exec_argv", model="yard", unit=target, argv=["sh", "-c", "echo $MACHINE"]
        )
        assert subprocess.check_output(found["argv"], text=True) == "1\n"
    client.close()


def test_a_file_is_attached_and_gives_a_hook(yard: Any, tmp_path: Path) -> None:
    tool = tmp_path / "tool.bin"
    tool.write_text("one")
    yard.ok("attach-resource", "box", f"tool={tool}")
    yard.ok("wait-for", "unit", "box/0", "--timeout", "20s", "--query", IDLE)
    listed = json.loads(yard.ok("resources", "box", "--format", "json"))
    assert listed[0]["origin"] == "upload"


def test_endpoints_are_bound_to_spaces(yard: Any, box_file: str) -> None:
    yard.ok("bind", "box", "take=fast")
    assert status(yard)["applications"]["box"]["endpoint-bindings"]["take"] == "fast"
    assert 'space "slow" not found' in yard.refused("bind", "box", "slow")
    refused = yard.refused("deploy", box_file, "other", "--bind", "nope=fast")
    assert refused == 'charm "box" has no endpoint or binding "nope" to bind'


def test_pods_know_nothing_of_machines(juju: Any) -> None:
    juju.ok("add-model", "pods")
    assert "it has no machines" in juju.refused("add-machine")
    assert "it has no machines" in juju.refused("remove-machine", "0", "--no-prompt")
