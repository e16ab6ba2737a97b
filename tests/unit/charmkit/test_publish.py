"""What is written to databags and secrets, and what is not."""

import dataclasses
import json

import ops
import pytest
from ops import testing

from charmkit.publish import REGISTRY
from charmkit.reconciler import Reconciler
from charmkit.service import Service
from charmkit.spec import OwnedSecret, Publication, Publish, SecretRef

META = {
    "name": "web",
    "peers": {"peers": {"interface": "web-peers"}},
    "provides": {"door": {"interface": "door"}},
}


@dataclasses.dataclass(frozen=True)
class Door:
    """A provider: every client gets a password as a secret."""

    endpoint: str = "door"

    def secret_uris(self, snapshot):
        return ()

    def secret_labels(self, snapshot):
        return [*(f"door:{relation.id}" for relation in snapshot.related("door")), "unit-key"]


def offers(snapshot, seen):
    yield Publication(secrets=(OwnedSecret(label="unit-key", content={"key": "u"}, owner="unit"),))
    for relation in snapshot.related("door"):
        label = f"door:{relation.id}"
        known = snapshot.own_secrets.get(label, {})
        password = relation.remote_app.get("wish") or known.get("password")
        secret = OwnedSecret(
            label=label,
            content={"password": password or snapshot.random_text(label)},
            grants=(relation.id,),
        )
        bag = Publish(
            relation_id=relation.id,
            app={"user": "u", "secret": SecretRef(label), "old": None},
            unit={"host": "h"},
        )
        yield Publication(bags=(bag,), secrets=(secret,))


DOOR = Service(name="web", provides=(Door(),), offers=offers)


@pytest.fixture
def ctx(tmp_path):
    class DoorCharm(ops.CharmBase):
        def __init__(self, framework):
            super().__init__(framework)
            self.reconciler = Reconciler(self, DOOR, tmp_path)

    return testing.Context(DoorCharm, meta=META)


@pytest.fixture
def client():
    return testing.Relation("door", id=5, local_app_data={"old": "x"}, remote_app_name="client")


@pytest.fixture
def deployed(client):
    return testing.State(leader=True, relations={testing.PeerRelation("peers", id=1), client})


@pytest.fixture
def answered(ctx, deployed, client):
    return ctx.run(ctx.on.relation_changed(client, remote_unit=0), deployed)


def secret(state, label="door:5"):
    return state.get_secret(label=label)


def with_client(state, **changes):
    relation = dataclasses.replace(state.get_relation(5), **changes)
    return dataclasses.replace(state, relations={state.get_relation(1), relation})


def test_a_client_gets_the_uri_of_a_secret_that_it_may_read(answered):
    bag = answered.get_relation(5).local_app_data
    assert bag == {"user": "u", "secret": secret(answered).id}
    assert secret(answered).remote_grants == {5: {"client"}}


def test_unit_bags_keep_the_keys_of_juju(answered):
    assert {"host", "ingress-address"} <= answered.get_relation(5).local_unit_data.keys()


def test_a_second_run_writes_nothing(ctx, answered):
    again = ctx.run(ctx.on.update_status(), answered)
    assert again.relations == answered.relations
    assert again.secrets == answered.secrets


def test_a_new_content_is_a_new_revision_of_the_same_secret(ctx, answered):
    state = with_client(answered, remote_app_data={"wish": "better"})
    out = ctx.run(ctx.on.relation_changed(state.get_relation(5), remote_unit=0), state)
    assert secret(out).id == secret(answered).id
    assert secret(out).latest_content == {"password": "better"}
    # The owner reads it from now on, so that the next run sees nothing to change.
    assert secret(out).tracked_content == {"password": "better"}


def test_a_secret_goes_when_its_relation_has_gone(ctx, answered):
    out = ctx.run(ctx.on.relation_broken(answered.get_relation(5)), answered)
    assert [each.label for each in out.secrets] == ["unit-key"]
    assert json.loads(out.get_relation(1).local_app_data[REGISTRY]) == {}


def test_a_secret_goes_also_when_somebody_else_led_meanwhile(ctx, answered):
    # The relation went while this unit did not lead, so no event of its own tells it.
    gone = dataclasses.replace(answered, relations={answered.get_relation(1)})
    out = ctx.run(ctx.on.leader_elected(), gone)
    assert [each.label for each in out.secrets] == ["unit-key"]


def test_a_secret_that_was_removed_by_hand_is_no_error(ctx, answered):
    gone = dataclasses.replace(
        answered,
        relations={answered.get_relation(1)},
        secrets={secret(answered, "unit-key")},
    )
    out = ctx.run(ctx.on.leader_elected(), gone)
    assert json.loads(out.get_relation(1).local_app_data[REGISTRY]) == {}


def test_a_follower_writes_its_unit_bag_only(ctx, deployed, client):
    follower = dataclasses.replace(deployed, leader=False)
    out = ctx.run(ctx.on.relation_changed(client, remote_unit=0), follower)
    assert out.get_relation(5).local_app_data == {"old": "x"}
    assert out.get_relation(5).local_unit_data["host"] == "h"


def test_a_unit_owns_its_secret_whether_it_leads_or_not(ctx, deployed, client):
    follower = dataclasses.replace(deployed, leader=False)
    out = ctx.run(ctx.on.relation_changed(client, remote_unit=0), follower)
    assert [(each.label, each.owner) for each in out.secrets] == [("unit-key", "unit")]


def test_no_peer_relation_is_needed_to_publish(ctx, client):
    state = testing.State(leader=True, relations={client})
    out = ctx.run(ctx.on.relation_changed(client, remote_unit=0), state)
    assert out.get_relation(5).local_app_data["secret"] == secret(out).id
    again = ctx.run(ctx.on.update_status(), out)
    assert again.get_relation(5).local_app_data == out.get_relation(5).local_app_data
