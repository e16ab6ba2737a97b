"""Two models on real pods: the Kubernetes interface, offers, relations between models.

Needs root, Podman and the base image; everything else is made here and removed again. One charm
plays every part; it is written with the real ops and speaks to the cluster with lightkube.
"""

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jubilant
import pytest

from localjuju.settings import Settings, save

METADATA = """
name: party
summary: Gives things, takes things, and tells what it saw
requires: {take: {interface: thing}}
provides: {give: {interface: thing}}
"""
CONFIG = """
options:
  hold: {type: boolean, default: false, description: Defer config-changed}
"""
ACTIONS = """
balance: {description: Make a service of type LoadBalancer}
see: {description: Tell what is in the relations}
renew: {description: Give the secret another content}
told: {description: Tell what was heard since the unit has its state}
resolve: {description: Look a name up, params: {name: {type: string}}}
"""
DISPATCH = """#!/bin/sh
export PYTHONPATH=venv
exec python3 src/charm.py
"""
CHARM = """
import json
import socket
import ops


class Party(ops.CharmBase):
    stored = ops.StoredState()

    def __init__(self, framework):
        super().__init__(framework)
        self.stored.set_default(heard=[], held=0)
        for endpoint in ("give", "take"):
            events = self.on[endpoint]
            framework.observe(events.relation_created, self._greet)
            framework.observe(events.relation_broken, self._broken)
        framework.observe(self.on.config_changed, self._config)
        framework.observe(self.on.secret_changed, self._secret)
        framework.observe(self.on.secret_remove, self._secret_remove)
        for name in ("balance", "see", "renew", "told", "resolve"):
            framework.observe(self.on[name].action, getattr(self, "_" + name))
        framework.observe(self.on.collect_unit_status, self._status)

    def _status(self, event):
        event.add_status(ops.ActiveStatus())

    def _config(self, event):
        if self.config["hold"]:
            self.stored.held += 1
            event.defer()

    def _greet(self, event):
        event.relation.data[self.unit]["from"] = self.unit.name
        if self.unit.is_leader():
            content = {"word": self.app.name + "-1"}
            secret = self._own() or self.app.add_secret(content, label="own")
            secret.grant(event.relation)
            event.relation.data[self.app]["secret"] = secret.id

    def _broken(self, event):
        self.stored.heard.append("broken by " + event.app.name)
        if self.unit.is_leader() and self._own():
            self._own().remove_all_revisions()

    def _own(self):
        try:
            return self.model.get_secret(label="own")
        except ops.SecretNotFoundError:
            return None

    def _secret(self, event):
        old = event.secret.get_content()["word"]
        new = event.secret.get_content(refresh=True)["word"]
        self.stored.heard.append(f"{old} is {new}")

    def _secret_remove(self, event):
        self.stored.heard.append(f"nobody reads {event.revision}")

    def _see(self, event):
        seen = {}
        for endpoint in ("give", "take"):
            for relation in self.model.relations[endpoint]:
                number = relation.data[relation.app].get("secret")
                try:
                    word = self.model.get_secret(id=number).get_content()["word"]
                except (ops.ModelError, ops.SecretNotFoundError) as error:
                    word = str(error)
                seen[endpoint] = {
                    "app": relation.app.name,
                    "units": {u.name: dict(relation.data[u]) for u in relation.units},
                    "word": word,
                    "model": relation.remote_model.uuid,
                }
        event.set_results({"seen": json.dumps(seen), "model": self.model.uuid})

    def _renew(self, event):
        secret = self._own()
        secret.set_content({"word": self.app.name + "-2"})
        secret.get_content(refresh=True)  # an owner tracks what it read, too

    def _told(self, event):
        told = {"heard": list(self.stored.heard), "held": self.stored.held}
        event.set_results({"told": json.dumps(told)})

    def _resolve(self, event):
        event.set_results({"address": socket.gethostbyname(event.params["name"])})

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
    files = {
        "metadata.yaml": METADATA,
        "config.yaml": CONFIG,
        "actions.yaml": ACTIONS,
        "src/charm.py": CHARM,
    }
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

    def restart(self) -> None:
        """End the engine; the next command starts another one."""
        program = Path(sys.executable).with_name("localjuju")
        subprocess.run([program, "stop", "--home", self.settings.home], check=True)

    def add_model(self, name: str, cloud: str = "podman") -> jubilant.Juju:
        juju = self.model(name)
        juju.cli("add-model", name, cloud, "--no-switch", include_model=False)
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
def cloud(make_settings: Callable[[str, str], Settings], machine_image: str) -> Iterator[Cloud]:
    settings = make_settings("t9offer", "10.219.64.0/20")
    settings = dataclasses.replace(settings, machine_image=machine_image, warm=True)
    save(settings)
    os.environ["LOCALJUJU_HOME"] = str(settings.home)
    try:
        yield Cloud(settings)
    finally:
        program = Path(sys.executable).with_name("localjuju")
        subprocess.run([program, "destroy", "--home", settings.home], check=True)
        del os.environ["LOCALJUJU_HOME"]


def told(juju: jubilant.Juju, unit: str) -> dict[str, Any]:
    return json.loads(juju.run(unit, "told").results["told"])


def see(juju: jubilant.Juju, unit: str) -> dict[str, Any]:
    return json.loads(juju.run(unit, "see").results["seen"])


def until(juju: jubilant.Juju, unit: str, text: str) -> list[str]:
    """Wait until a unit has heard something; return all that it has heard."""
    end = time.monotonic() + 30
    while True:
        heard: list[str] = told(juju, unit)["heard"]
        if text in heard:
            return heard
        assert time.monotonic() < end, f"{text!r} not in {heard}"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def shop(cloud: Cloud, charm: Path) -> jubilant.Juju:
    """The model that offers."""
    juju = cloud.add_model("shop")
    juju.deploy(charm, "giver")
    settle(juju)
    return juju


@pytest.fixture(scope="module")
def market(cloud: Cloud, charm: Path) -> jubilant.Juju:
    """The model that consumes."""
    juju = cloud.add_model("market")
    juju.deploy(charm, "taker", num_units=2)
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


def test_a_units_state_lives_as_long_as_its_pod_and_longer_than_the_engine(
    cloud: Cloud, shop: jubilant.Juju, charm: Path
) -> None:
    shop.deploy(charm, "keeper")
    settle(shop)
    shop.config("keeper", {"hold": True})
    settle(shop)
    assert told(shop, "keeper/0")["held"] == 2  # the hook, and again before this action
    cloud.restart()
    settle(shop)
    assert told(shop, "keeper/0")["held"] == 3  # a deferred event outlives the engine
    shop.config("keeper", {"hold": False})
    settle(shop)
    held = told(shop, "keeper/0")["held"]
    assert held == told(shop, "keeper/0")["held"]
    shop.refresh("keeper", path=charm)
    settle(shop)
    assert told(shop, "keeper/0")["held"] == 0  # another pod
    shop.remove_application("keeper")


def test_two_models_share_an_offer(shop: jubilant.Juju, market: jubilant.Juju) -> None:
    shop.offer("giver", endpoint="give", name="gift")
    market.consume("shop.gift", "store", owner="admin")
    market.integrate("taker:take", "store")
    settle(shop, market)
    shop_uuid = shop.run("giver/0", "see").results["model"]
    market_uuid = market.run("taker/0", "see").results["model"]
    addresses = {
        "giver": shop.status().apps["giver"].address,
        "taker": market.status().apps["taker"].address,
    }

    taken = see(market, "taker/1")["take"]
    assert (taken["app"], taken["model"], taken["word"]) == ("store", shop_uuid, "giver-1")
    assert list(taken["units"]) == ["store/0"]
    assert taken["units"]["store/0"]["from"] == "giver/0"
    assert taken["units"]["store/0"]["ingress-address"] == addresses["giver"]

    given = see(shop, "giver/0")["give"]
    assert re.fullmatch(r"remote-[0-9a-f]{32}", given["app"])
    assert (given["model"], given["word"]) == (market_uuid, "taker-1")
    assert set(given["units"]) == {f"{given['app']}/{number}" for number in (0, 1)}
    bag = given["units"][f"{given['app']}/1"]
    assert (bag["from"], bag["ingress-address"]) == ("taker/1", addresses["taker"])
    name = "giver.shop.svc.cluster.local"
    assert (
        market.run("taker/0", "resolve", {"name": name}).results["address"] == (addresses["giver"])
    )


def test_a_new_secret_is_told_across_both_ways(shop: jubilant.Juju, market: jubilant.Juju) -> None:
    shop.run("giver/0", "renew")
    for unit in ("taker/0", "taker/1"):
        assert until(market, unit, "giver-1 is giver-2").count("giver-1 is giver-2") == 1
    until(shop, "giver/0", "nobody reads 1")
    market.run("taker/leader", "renew")
    until(shop, "giver/0", "taker-1 is taker-2")
    assert see(market, "taker/0")["take"]["word"] == "giver-2"


def test_a_suspended_relation_is_broken_and_comes_back(
    cloud: Cloud, shop: jubilant.Juju, market: jubilant.Juju
) -> None:
    listed = json.loads(shop.cli("offers", "--format", "json"))["gift"]["connections"]
    number = str(listed[0]["relation-id"])
    shop.cli("suspend-relation", number, "--message", "audit")
    settle(shop, market)
    assert told(market, "taker/0")["heard"][-1] == "broken by store"
    assert told(shop, "giver/0")["heard"][-1].startswith("broken by remote-")
    assert see(market, "taker/0") == {}
    assert shop.status().offers["gift"].active_connected_count == 0
    cloud.restart()
    shop.cli("resume-relation", number)
    settle(shop, market)
    assert see(market, "taker/0")["take"]["word"] == "giver-1"
    assert shop.status().offers["gift"].active_connected_count == 1


def test_pods_and_machines_use_each_others_offers(
    cloud: Cloud, charm: Path, shop: jubilant.Juju, market: jubilant.Juju
) -> None:
    yard = cloud.add_model("yard", "localhost")
    yard.deploy(charm, "digger")
    yard.offer("digger", endpoint="give")
    market.deploy(charm, "buyer")
    settle(yard, market)
    yard.integrate("digger:take", "shop.gift")  # a machine's application uses one of pods
    market.integrate("buyer:take", "yard.digger")  # and the other way
    settle(yard, market, shop)
    (machine,) = yard.status().machines.values()

    dug = see(yard, "digger/0")
    assert dug["take"]["word"] == "giver-1"
    bag = dug["take"]["units"]["gift/0"]
    assert (bag["from"], bag["ingress-address"]) == (
        "giver/0",
        shop.status().apps["giver"].address,
    )
    assert dug["give"]["word"] == "buyer-1"
    bought = see(market, "buyer/0")["take"]
    assert (bought["app"], bought["word"]) == ("digger", "digger-1")
    bag = bought["units"]["digger/0"]
    assert (bag["from"], bag["ingress-address"]) == ("digger/0", machine.dns_name)
    yard.destroy_model("yard", force=True)
    market.wait(lambda status: not status.app_endpoints["digger"].relations, delay=0.2)
    market.cli("remove-saas", "digger")
    market.remove_application("buyer")
    settle(shop, market)


def test_a_model_with_an_offer_in_use_stays_until_the_name_is_removed(
    shop: jubilant.Juju, market: jubilant.Juju
) -> None:
    with pytest.raises(jubilant.CLIError, match="is used by 1 consumer"):
        shop.destroy_model("shop")
    market.cli("remove-saas", "store")
    settle(shop, market)
    market.wait(lambda status: not status.app_endpoints, delay=0.2)
    assert told(market, "taker/0")["heard"][-1] == "broken by store"
    shop.wait(lambda status: status.offers["gift"].total_connected_count == 0, delay=0.2)
    market.cli("integrate", "taker:take", "admin/shop.gift")
    settle(shop, market)
    assert see(market, "taker/0")["take"]["app"] == "gift"
    shop.destroy_model("shop", force=True)
    status = market.wait(
        lambda status: status.app_endpoints["gift"].app_status.current == "terminated", delay=0.2
    )
    assert status.app_endpoints["gift"].relations == {}
    market.destroy_model("market")
