"""Two models on real pods: the Kubernetes interface, offers, relations between models.

Needs root, Podman and the base image; everything else is made here and removed again. One charm
plays every part; it is written with the real ops and speaks to the cluster with lightkube.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jubilant
import pytest

from localjuju.settings import Settings, save

METADATA = """
name: party
summary: Gives things, takes things, and tells what it saw
requires: {take: {interface: thing}}
provides: {give: {interface: thing}}
"""
ACTIONS = """
balance: {description: Make a service of type LoadBalancer}
"""
DISPATCH = """#!/bin/sh
export PYTHONPATH=venv
exec python3 src/charm.py
"""
CHARM = """
import json
import ops


class Party(ops.CharmBase):
    def __init__(self, framework):
        super().__init__(framework)
        framework.observe(self.on.balance_action, self._balance)
        framework.observe(self.on.collect_unit_status, self._status)

    def _status(self, event):
        event.add_status(ops.ActiveStatus())

    def _balance(self, event):
        import lightkube
        from lightkube.models.core_v1 import ServicePort, ServiceSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import Service

        service = Service(
            metadata=ObjectMeta(name=self.app.name + "-lb"),
            spec=ServiceSpec(
                type="LoadBalancer",
                selector={"app.kubernetes.io/name": self.app.name},
                ports=[ServicePort(name="p", port=7000, targetPort=7000)],
            ),
        )
        client = lightkube.Client(field_manager=self.app.name)
        try:
            found = client.apply(service)
        except lightkube.ApiError as error:
            event.set_results({"code": error.status.code})
            event.fail(error.status.message)
            return
        event.set_results({"address": found.status.loadBalancer.ingress[0].ip})


if __name__ == "__main__":
    ops.main(Party)
"""


def distributions(*names: str) -> Iterator[importlib.metadata.Distribution]:
    """Yield distributions of this environment with all that they need."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform, or for an extra
        yield found
        wanted = [line for line in found.requires or () if "extra ==" not in line]
        waiting += [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in wanted]


@pytest.fixture(scope="module")
def charm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed charm, with ops and lightkube in it."""
    path = tmp_path_factory.mktemp("charm") / "party.charm"
    files = {"metadata.yaml": METADATA, "actions.yaml": ACTIONS, "src/charm.py": CHARM}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        dispatch = zipfile.ZipInfo("dispatch")
        dispatch.external_attr = 0o755 << 16
        archive.writestr(dispatch, DISPATCH)
        for found in distributions("ops", "lightkube"):
            for file in found.files or ():
                if file.suffix in {".py", ".so"} or file.name == "METADATA":
                    archive.write(str(file.locate()), f"venv/{file}")
    return path


class Cloud:
    """An engine of its own, driven by the real command through jubilant."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def model(self, name: str) -> jubilant.Juju:
        program = Path(sys.executable).with_name("juju")
        return jubilant.Juju(model=name, cli_binary=program, wait_timeout=60)

    def add_model(self, name: str) -> jubilant.Juju:
        juju = self.model(name)
        juju.cli("add-model", name, "--no-switch", include_model=False)
        juju.cli("model-config", "update-status-hook-interval=1h")
        return juju


def settle(*models: jubilant.Juju) -> None:
    """Wait until everybody is active and idle."""
    for juju in models:
        juju.wait(
            lambda status: jubilant.all_active(status) and jubilant.all_agents_idle(status),
            delay=0.2,
            successes=2,
        )


@pytest.fixture(scope="module")
def cloud(make_settings: Callable[[str, str], Settings]) -> Iterator[Cloud]:
    settings = make_settings("t9offer", "10.219.64.0/20")
    save(settings)
    os.environ["LOCALJUJU_HOME"] = str(settings.home)
    try:
        yield Cloud(settings)
    finally:
        program = Path(sys.executable).with_name("localjuju")
        subprocess.run([program, "destroy", "--home", settings.home], check=True)
        del os.environ["LOCALJUJU_HOME"]


@pytest.fixture(scope="module")
def shop(cloud: Cloud, charm: Path) -> jubilant.Juju:
    juju = cloud.add_model("shop")
    juju.deploy(charm, "giver")
    settle(juju)
    return juju


def test_a_charm_gets_a_load_balancer_if_and_only_if_it_is_trusted(shop: jubilant.Juju) -> None:
    with pytest.raises(jubilant.TaskError) as caught:
        shop.run("giver/0", "balance")
    assert caught.value.task.results["code"] == "403"
    assert caught.value.task.message == (
        'services "giver-lb" is forbidden: User "system:serviceaccount:shop:giver" cannot patch '
        'resource "services" in API group "" in the namespace "shop"'
    )
    shop.trust("giver", scope="cluster")
    settle(shop)
    task = shop.run("giver/0", "balance")
    assert task.results["address"] == shop.status().apps["giver"].address
