"""What clients outside the cluster reach: who makes it, who knows of it, what is shown."""

import dataclasses

import ops
import pytest
from ops import testing

from charmkit import kubernetes
from charmkit.interfaces import tls_certificates
from charmkit.kubernetes import Balancer
from charmkit.reconciler import Reconciler
from charmkit.service import LoadBalancer, Service
from charmkit.spec import Addresses, Snapshot

FRONT = Service(
    name="front",
    load_balancer=LoadBalancer(
        ports={"https": 443}, wanted=lambda snapshot: bool(snapshot.config.get("outside"))
    ),
)
META = {"name": "front", "peers": {"peers": {"interface": "front-peers"}}}
CONFIG = {"options": {"outside": {"type": "boolean", "default": True}}}
TRUST = "needs trust: juju trust front --scope=cluster"


class Cluster:
    """What Kubernetes would make of our wishes."""

    def __init__(self):
        self.answer = Balancer("10.0.0.9")
        self.wishes = []

    def ensure(self, app, model, ports):
        self.wishes.append((app, dict(ports)))
        return self.answer

    def remove(self, app, model):
        self.wishes.append((app, None))


@pytest.fixture
def cluster(monkeypatch):
    fake = Cluster()
    monkeypatch.setattr(kubernetes, "ensure_load_balancer", fake.ensure)
    monkeypatch.setattr(kubernetes, "remove_load_balancer", fake.remove)
    return fake


@pytest.fixture
def ctx(tmp_path):
    class FrontCharm(ops.CharmBase):
        def __init__(self, framework):
            super().__init__(framework)
            self.reconciler = Reconciler(self, FRONT, tmp_path)

    return testing.Context(FrontCharm, meta=META, config=CONFIG)


@pytest.fixture
def fresh():
    return testing.State(leader=True, relations={testing.PeerRelation("peers", id=1)})


def joined(ctx, state):
    return ctx.run(ctx.on.relation_created(state.get_relations("peers")[0]), state)


def test_the_leader_makes_it_once(ctx, fresh, cluster):
    state = joined(ctx, fresh)
    assert state.unit_status == testing.ActiveStatus()
    joined(ctx, state)
    assert cluster.wishes == [("front", {"https": 443})]


def test_it_is_looked_after(ctx, fresh, cluster):
    state = joined(ctx, fresh)
    cluster.answer = Balancer("10.0.0.77")
    out = ctx.run(ctx.on.update_status(), state)
    with ctx(ctx.on.update_status(), out) as manager:
        assert manager.charm.reconciler.observe().load_balancer == "10.0.0.77"


def test_nobody_makes_it_for_nobody(ctx, fresh, cluster):
    out = joined(ctx, dataclasses.replace(fresh, config={"outside": False}))
    assert cluster.wishes == []
    assert out.unit_status == testing.ActiveStatus()


def test_a_follower_knows_it_from_the_leader(ctx, fresh, cluster):
    follower = dataclasses.replace(joined(ctx, fresh), leader=False)
    cluster.wishes.clear()
    with ctx(ctx.on.update_status(), follower) as manager:
        assert manager.charm.reconciler.observe().load_balancer == "10.0.0.9"
        out = manager.run()
    assert cluster.wishes == []
    assert out.unit_status == testing.ActiveStatus()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Balancer(problem=TRUST), testing.BlockedStatus(TRUST)),
        (Balancer(), testing.WaitingStatus("waiting for the address of the load balancer")),
    ],
)
def test_what_hinders_it_is_shown_until_it_is_there(ctx, fresh, cluster, answer, status):
    cluster.answer = answer
    state = joined(ctx, fresh)
    assert state.unit_status == status
    cluster.answer = Balancer("10.0.0.9")
    assert joined(ctx, state).unit_status == testing.ActiveStatus()


def test_trust_that_is_taken_back_takes_no_address_away(ctx, fresh, cluster):
    state = joined(ctx, fresh)
    cluster.answer = Balancer(problem=TRUST)
    out = ctx.run(ctx.on.config_changed(), state)
    assert out.unit_status == testing.BlockedStatus(TRUST)
    with ctx(ctx.on.start(), out) as manager:
        assert manager.charm.reconciler.observe().load_balancer == "10.0.0.9"


@pytest.mark.parametrize(("planned", "removed"), [(1, False), (0, True)])
def test_it_goes_with_the_application(ctx, fresh, cluster, planned, removed):
    state = dataclasses.replace(joined(ctx, fresh), planned_units=planned)
    cluster.wishes.clear()
    ctx.run(ctx.on.stop(), state)
    assert cluster.wishes == ([("front", None)] if removed else [])


@pytest.mark.parametrize("outside", ["10.0.0.9", "front.example.org"])
def test_certificates_name_it(outside):
    snapshot = Snapshot(
        app="front",
        unit="front/0",
        addresses=Addresses(unit_ip="10.1.0.5", unit_name="front-0", service_name="front"),
        load_balancer=outside,
    )
    subject = tls_certificates.unit_subject(snapshot)
    assert outside in (*subject.addresses, *subject.hostnames)
    assert subject.addresses == (("10.0.0.9", "10.1.0.5") if outside[0] == "1" else ("10.1.0.5",))
