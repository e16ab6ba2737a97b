"""The charm self-signed-certificates: state in, event, state out."""

import dataclasses
import datetime
import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest
from cryptography import x509
from ops import testing

from charmkit.interfaces import certificate_transfer, tls_certificates
from charmkit.spec import Snapshot

CHARM = pathlib.Path(__file__).parents[3] / "charms/self-signed-certificates"
CLIENT = tls_certificates.requirer_side({}, {})


@pytest.fixture(scope="module")
def charm():
    source = CHARM / "src"
    sys.path.insert(0, str(source))
    spec = importlib.util.spec_from_file_location("self_signed_charm", source / "charm.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["self_signed_charm"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(source))


@pytest.fixture
def ctx(charm):
    return testing.Context(charm.SelfSignedCertificatesCharm, charm_root=CHARM)


@pytest.fixture
def peers():
    return testing.PeerRelation("peers", id=1)


@pytest.fixture
def client():
    return testing.Relation(
        "certificates", id=2, remote_app_name="web", remote_units_data={0: dict(CLIENT.unit_bag)}
    )


@pytest.fixture
def settled(ctx, peers, client):
    """A leader that has made its root and answered one client."""
    start = testing.State(leader=True, relations={peers, client})
    return ctx.run(ctx.on.start(), start)


def answers(state, relation_id=2):
    return json.loads(state.get_relation(relation_id).local_app_data["certificates"])


def pem(text):
    return x509.load_pem_x509_certificate(text.encode())


def test_a_request_is_signed_by_the_root(settled):
    [answer] = answers(settled)
    leaf, root = pem(answer["certificate"]), pem(answer["ca"])
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    csrs = json.loads(CLIENT.unit_bag["certificate_signing_requests"])
    assert answer["certificate_signing_request"] == csrs[0]["certificate_signing_request"]
    assert answer["chain"][0] == answer["certificate"]
    assert answer["chain"][-1] == answer["ca"]


def test_a_settled_leader_is_active(settled):
    assert settled.unit_status == testing.ActiveStatus()


def test_certificates_are_valid_as_long_as_the_option_says(ctx, peers, client):
    start = testing.State(
        leader=True, relations={peers, client}, config={"certificate-validity": "36h"}
    )
    [answer] = answers(ctx.run(ctx.on.start(), start))
    leaf = pem(answer["certificate"])
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert datetime.timedelta(hours=36) <= life <= datetime.timedelta(hours=37)


def test_a_second_run_changes_nothing(ctx, settled):
    again = ctx.run(ctx.on.update_status(), settled)
    assert again.get_relation(2).local_app_data == settled.get_relation(2).local_app_data
    assert next(iter(again.secrets)).latest_content == next(iter(settled.secrets)).latest_content


def test_a_request_of_an_application_is_signed(ctx, peers):
    relation = testing.Relation(
        "certificates", id=2, remote_app_name="web", remote_app_data=dict(CLIENT.unit_bag)
    )
    state = ctx.run(ctx.on.start(), testing.State(leader=True, relations={peers, relation}))
    assert len(answers(state)) == 1


def test_nonsense_in_one_request_keeps_nobody_else_from_an_answer(ctx, peers, client):
    bad = testing.Relation(
        "certificates",
        id=3,
        remote_app_name="broken",
        remote_units_data={
            0: {
                "certificate_signing_requests": json.dumps(
                    [{"certificate_signing_request": "nonsense", "ca": False}]
                )
            }
        },
    )
    state = ctx.run(ctx.on.start(), testing.State(leader=True, relations={peers, client, bad}))
    assert len(answers(state)) == 1
    assert answers(state, 3) == []


def test_the_private_key_is_in_the_secret_only(settled):
    [secret] = settled.secrets
    assert "PRIVATE KEY" in secret.latest_content["private-key"]
    bags = [json.dumps(relation.local_app_data) for relation in settled.relations]
    assert not any("PRIVATE KEY" in bag for bag in bags)


def test_an_answer_goes_when_its_request_does(ctx, settled, client):
    quiet = dataclasses.replace(settled.get_relation(2), remote_units_data={0: {}})
    state = dataclasses.replace(settled, relations={settled.get_relation(1), quiet})
    assert answers(ctx.run(ctx.on.relation_changed(quiet, remote_unit=0), state)) == []


def test_rotation_keeps_both_roots_trusted_and_signs_anew(ctx, settled):
    [before] = answers(settled)
    state = ctx.run(ctx.on.action("rotate-private-key"), settled)
    [after] = answers(state)
    assert after["ca"] != before["ca"]
    leaf, crossing, root, old = (pem(text) for text in after["chain"])
    leaf.verify_directly_issued_by(root)
    leaf.verify_directly_issued_by(crossing)
    crossing.verify_directly_issued_by(old)
    assert old == pem(before["ca"])


def test_rotation_by_juju_makes_a_new_root(ctx, settled):
    [secret] = settled.secrets
    state = ctx.run(ctx.on.secret_rotate(secret), settled)
    assert answers(state)[0]["ca"] != answers(settled)[0]["ca"]


def test_the_action_prints_the_root(ctx, settled):
    ctx.run(ctx.on.action("get-ca-certificate"), settled)
    assert ctx.action_results["ca-certificate"].strip() == answers(settled)[0]["ca"]


def test_the_action_says_so_when_there_is_no_root(ctx):
    with pytest.raises(testing.ActionFailed, match="has not been made yet"):
        ctx.run(ctx.on.action("get-ca-certificate"), testing.State(leader=False))


@pytest.mark.parametrize("option", ["certificate-validity", "root-ca-validity"])
def test_a_validity_that_is_none_blocks_and_is_named(ctx, peers, option):
    state = testing.State(leader=True, relations={peers}, config={option: "soon"})
    out = ctx.run(ctx.on.start(), state)
    assert isinstance(out.unit_status, testing.BlockedStatus)
    assert out.unit_status.message.startswith(f"{option}: ")


def test_a_root_that_lives_hardly_longer_than_its_certificates_blocks(ctx, peers):
    config = {"root-ca-validity": "100d", "certificate-validity": "90d"}
    out = ctx.run(ctx.on.start(), testing.State(leader=True, relations={peers}, config=config))
    assert out.unit_status == testing.BlockedStatus(
        "root-ca-validity: must be at least twice certificate-validity, 90d; is 100d"
    )


def test_no_root_is_made_or_replaced_by_bad_options(ctx, peers, settled):
    bad = {"root-ca-validity": "soon"}
    out = ctx.run(ctx.on.start(), testing.State(leader=True, relations={peers}, config=bad))
    assert not out.secrets
    [secret] = settled.secrets
    out = ctx.run(ctx.on.secret_rotate(secret), dataclasses.replace(settled, config=bad))
    assert next(iter(out.secrets)).latest_content == secret.latest_content


@pytest.mark.parametrize(
    ("root", "certificate", "expected"),
    [
        ("3650d", "90d", "yearly"),
        ("365d", "90d", "quarterly"),
        ("90d", "10d", "monthly"),
        ("2d", "1h", "hourly"),
    ],
)
def test_a_root_is_replaced_long_before_its_certificates_would_be_cut_short(
    charm, root, certificate, expected
):
    config = {"root-ca-validity": root, "certificate-validity": certificate}
    assert charm.root.period(Snapshot(app="ca", unit="ca/0", config=config)) == expected


def test_a_bad_value_does_not_take_answers_back(ctx, settled):
    bad = dataclasses.replace(settled, config={"certificate-validity": "soon"})
    out = ctx.run(ctx.on.config_changed(), bad)
    assert out.get_relation(2).local_app_data == settled.get_relation(2).local_app_data


def test_a_requirer_of_version_1_is_told_whom_to_trust(ctx, settled):
    side = certificate_transfer.requirer_side({}, {})
    relation = testing.Relation(
        "send-ca-cert", id=5, remote_app_name="client", remote_app_data=dict(side.app_bag)
    )
    state = dataclasses.replace(settled, relations={*settled.relations, relation})
    bag = ctx.run(ctx.on.relation_changed(relation), state).get_relation(5).local_app_data
    assert json.loads(bag["certificates"]) == [answers(settled)[0]["ca"]]


def test_a_follower_serves_version_0_and_signs_nothing(ctx, settled):
    relation = testing.Relation("send-ca-cert", id=5, remote_app_name="client")
    state = dataclasses.replace(
        settled,
        leader=False,
        relations={settled.get_relation(1), settled.get_relation(2), relation},
    )
    out = ctx.run(ctx.on.relation_changed(relation), state)
    assert out.get_relation(5).local_unit_data["ca"] == answers(settled)[0]["ca"]
    assert out.get_relation(2).local_app_data == settled.get_relation(2).local_app_data


def test_loading_the_charm_loads_no_cryptography():
    # It costs as much as the rest of a dispatch, and most dispatches sign nothing.
    code = "import sys, charm; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=CHARM / "src", check=True)


def test_a_dispatch_with_nothing_to_do_signs_nothing(ctx, charm, settled, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("signed again")

    monkeypatch.setattr(charm.authority, "sign", refuse)
    monkeypatch.setattr(charm.authority, "make_root", refuse)
    out = ctx.run(ctx.on.update_status(), settled)
    assert out.unit_status == testing.ActiveStatus()
