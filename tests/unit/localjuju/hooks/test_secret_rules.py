"""The rules of secrets as functions over a model; and the commands that use them."""

import base64
import datetime
import itertools
import json
import re

import pytest

from localjuju import secrets
from localjuju.hooks import FlushError
from localjuju.model import Grant, Hook, HookKind

DAY = 86400.0


def b64(**texts):
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


@pytest.fixture
def add(world):
    """Return a function that adds a secret of `db` and returns its id."""
    numbers = itertools.count()

    def make(owner_kind="application", owner="db", **more):
        number = next(numbers)
        secret_id = f"{number:020d}"
        more.setdefault("data", b64(password=f"p{number}"))
        secrets.create(
            world.model,
            secret_id=secret_id,
            owner_kind=owner_kind,
            owner=owner,
            now=world.clock.time,
            **more,
        )
        return secret_id

    return make


@pytest.fixture
def granted(world, add):
    """The id of a secret of `db` that `web` may read."""
    secret_id = add()
    secrets.grant(world.model, secret_id, 4, "web")
    return secret_id


def new_revision(world, secret_id, text):
    return secrets.update(world.model, secret_id, now=world.clock.time, data=b64(password=text))


def read(world, unit, secret_id=None, **more):
    revision, _ = secrets.read(world.model, unit, secret_id=secret_id, **more)
    return base64.b64decode(revision.data["password"]).decode()


def due(world, unit):
    return [
        (hook.name, hook.secret_revision)
        for hook in secrets.due(world.model, unit, world.clock.time)
    ]


def deliver(world, unit):
    """Deliver the first due hook, as an engine that commits it would; return its name."""
    hook = secrets.due(world.model, unit, world.clock.time)[0]
    secrets.delivered(world.model, unit, hook, world.clock.time)
    return hook.name


# --- Names and times


def test_ids_have_twenty_characters_of_the_alphabet(world):
    ids = {secrets.new_id(world.random.randbytes) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-v]{20}", text) for text in ids)


@pytest.mark.parametrize(
    "text",
    [
        "abcdefghij0123456789",
        "secret:abcdefghij0123456789",
        "secret://0b4b1c1e-6c1b-4d6e-8e0e-3a4f5b6c7d8e/abcdefghij0123456789",
    ],
)
def test_every_form_of_a_uri_names_the_id(text):
    assert secrets.parse_uri(text) == "abcdefghij0123456789"


@pytest.mark.parametrize("text", ["", "short", "secret:", "other:abcdefghij0123456789", "A" * 20])
def test_what_is_no_uri_is_refused(text):
    with pytest.raises(secrets.SecretError, match=f'secret URI "{text}" not valid'):
        secrets.parse_uri(text)


@pytest.mark.parametrize("key", ["abc", "a1b", "user-name", "a-b-c", "tls-key2"])
def test_good_keys_pass(key):
    secrets.check_content({key: "eA=="})


@pytest.mark.parametrize("key", ["", "ab", "1ab", "Abc", "a--b", "abc-", "-abc", "a_b", "a.b"])
def test_bad_keys_are_refused(key):
    with pytest.raises(secrets.SecretError, match="not valid"):
        secrets.check_content({key: "eA=="})


def test_empty_content_and_bad_base64_are_refused():
    with pytest.raises(secrets.SecretError, match="empty secret value"):
        secrets.check_content({})
    with pytest.raises(secrets.SecretError, match='value of key "abc" is not base64'):
        secrets.check_content({"abc": "%"})


@pytest.mark.parametrize(
    ("policy", "start", "end"),
    [
        ("hourly", "2027-01-31T10:00", "2027-01-31T11:00"),
        ("daily", "2027-01-31T10:00", "2027-02-01T10:00"),
        ("weekly", "2027-01-31T10:00", "2027-02-07T10:00"),
        ("monthly", "2027-01-31T10:00", "2027-02-28T10:00"),
        ("monthly", "2027-12-15T10:00", "2028-01-15T10:00"),
        ("quarterly", "2027-11-30T10:00", "2028-02-29T10:00"),
        ("yearly", "2028-02-29T10:00", "2029-02-28T10:00"),
    ],
)
def test_rotation_periods(policy, start, end):
    def seconds(text):
        return datetime.datetime.fromisoformat(text + "+00:00").timestamp()

    assert secrets.next_rotation(policy, seconds(start)) == seconds(end)


def test_never_never_rotates():
    assert secrets.next_rotation("never", 0.0) is None


# --- Who may read


def test_every_unit_of_the_owning_application_reads_without_a_grant(world, add):
    secret_id = add()
    assert read(world, "db/0", secret_id) == read(world, "db/1", secret_id) == "p0"


def test_a_units_secret_is_for_that_unit(world, add):
    secret_id = add("unit", "db/1")
    assert read(world, "db/1", secret_id) == "p0"
    with pytest.raises(secrets.SecretDeniedError, match="permission denied"):
        read(world, "db/0", secret_id)


def test_a_stranger_is_denied_and_an_unknown_id_is_not_found(world, add):
    with pytest.raises(secrets.SecretDeniedError, match="permission denied"):
        read(world, "web/0", add())
    with pytest.raises(secrets.SecretNotFoundError, match=f'secret "{"x" * 20}" not found'):
        read(world, "web/0", "x" * 20)


def test_a_grant_to_one_unit_is_for_that_unit(world, add):
    secret_id = add()
    secrets.grant(world.model, secret_id, 4, "web/1")
    assert read(world, "web/1", secret_id) == "p0"
    with pytest.raises(secrets.SecretDeniedError):
        read(world, "web/0", secret_id)


def test_a_grant_ends_with_its_relation(world, granted):
    assert read(world, "web/0", granted) == "p0"
    secrets.relation_removed(world.model, 4)
    assert world.model.secrets[granted].grants == []
    with pytest.raises(secrets.SecretDeniedError):
        read(world, "web/0", granted)


def test_a_grant_over_a_relation_that_is_gone_counts_for_nothing(world, granted):
    del world.model.relations[4]
    with pytest.raises(secrets.SecretDeniedError):
        read(world, "web/0", granted)


def test_no_grant_without_a_relation(world, add):
    with pytest.raises(secrets.SecretError, match="relation 9 not found"):
        secrets.grant(world.model, add(), 9, "web")


def test_granting_twice_is_one_grant(world, granted):
    secrets.grant(world.model, granted, 4, "web")
    secrets.grant(world.model, granted, 4, "web/0")  # the application has access already
    assert world.model.secrets[granted].grants == [Grant("web", 4)]


def test_unit_grants_must_go_before_the_application_gets_one(world, add):
    secret_id = add()
    secrets.grant(world.model, secret_id, 4, "web/0")
    with pytest.raises(secrets.SecretError, match="unit level grants need to be revoked"):
        secrets.grant(world.model, secret_id, 4, "web")
    secrets.revoke(world.model, secret_id, relation_id=4, subject="web/0")
    secrets.grant(world.model, secret_id, 4, "web")


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"relation_id": 4}, ["b/0"]),
        ({"subject": "web"}, ["b/0"]),
        ({"subject": "web/1"}, ["web/0", "b/0"]),
        ({"relation_id": 4, "subject": "b"}, ["web/0", "web/1", "b/0"]),
        ({"relation_id": 5, "subject": "b/0"}, ["web/0", "web/1"]),
    ],
)
def test_revoke_takes_back_what_it_names(world, add, what, left):
    secret_id = add()
    world.model.secrets[secret_id].grants = [Grant("web/0", 4), Grant("web/1", 4), Grant("b/0", 5)]
    secrets.revoke(world.model, secret_id, **what)
    assert [grant.subject for grant in world.model.secrets[secret_id].grants] == left


def test_only_the_manager_may_change(world, add):
    app, unit = add(), add("unit", "db/1")
    assert secrets.manage(world.model, app, "db/0").id == app
    assert secrets.manage(world.model, unit, "db/1").id == unit
    with pytest.raises(secrets.SecretDeniedError, match="this unit is not the leader"):
        secrets.manage(world.model, app, "db/1")
    with pytest.raises(secrets.SecretDeniedError, match="permission denied"):
        secrets.manage(world.model, unit, "db/0")
    with pytest.raises(secrets.SecretDeniedError, match="permission denied"):
        secrets.manage(world.model, app, "web/0")


# --- Revisions and tracking


def test_equal_content_makes_no_revision(world, add):
    secret_id = add()
    assert new_revision(world, secret_id, "p0") == 1
    assert new_revision(world, secret_id, "other") == 2
    assert new_revision(world, secret_id, "p0") == 3  # only the newest counts


@pytest.mark.parametrize("unit", ["web/0", "db/0", "db/1"])
def test_a_reader_tracks_what_it_first_read(world, granted, unit):
    assert read(world, unit, granted) == "p0"
    new_revision(world, granted, "second")
    assert read(world, unit, granted) == "p0"
    assert read(world, unit, granted, peek=True) == "second"
    assert read(world, unit, granted) == "p0"
    assert read(world, unit, granted, refresh=True) == "second"
    assert read(world, unit, granted) == "second"


def test_units_track_apart(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    assert (read(world, "web/0", granted), read(world, "web/1", granted)) == ("p0", "second")


def test_a_tracked_revision_that_was_removed_is_not_found(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    secrets.remove(world.model, granted, 1)
    with pytest.raises(secrets.SecretNotFoundError, match="not found"):
        read(world, "web/0", granted)
    assert read(world, "web/0", granted, refresh=True) == "second"


def test_reading_tells_whether_the_record_changed(world, granted):
    def changed(**more):
        return secrets.read(world.model, "web/0", secret_id=granted, **more)[1]

    assert changed()
    assert not changed()
    assert not changed(refresh=True)
    new_revision(world, granted, "second")
    assert not changed(peek=True)
    assert changed(refresh=True)
    assert changed(label="mine")
    assert not changed(label="mine")


def test_a_peek_at_a_secret_never_read_begins_to_track_it(world, granted):
    read(world, "web/0", granted, peek=True)
    assert world.model.secrets[granted].consumers["web/0"].tracked == 1


# --- Labels


def test_an_owners_label_is_unique_for_that_owner(world, add):
    add(label="db-admin")
    add("unit", "db/0", label="db-admin")  # another owner
    with pytest.raises(secrets.SecretError, match='secret with label "db-admin" already exists'):
        add(label="db-admin")
    other = add()
    with pytest.raises(secrets.SecretError, match='secret with label "db-admin" already exists'):
        secrets.update(world.model, other, now=0.0, label="db-admin")


def test_all_units_of_the_owner_read_by_its_label(world, add):
    add(label="db-admin")
    assert read(world, "db/1", label="db-admin") == "p0"


def test_a_consumer_names_a_secret_for_itself(world, granted):
    read(world, "web/0", granted, label="database")
    assert read(world, "web/0", label="database") == "p0"
    assert secrets.label_for(world.model.secrets[granted], "web/0") == "database"
    with pytest.raises(secrets.SecretNotFoundError, match='consumer label "database" not found'):
        read(world, "web/1", label="database")


def test_a_consumers_label_is_unique_for_that_unit(world, add, granted):
    read(world, "web/0", granted, label="database")
    second = add()
    secrets.grant(world.model, second, 4, "web")
    with pytest.raises(secrets.SecretError, match='secret with label "database" already exists'):
        read(world, "web/0", second, label="database")
    assert "web/0" not in world.model.secrets[second].consumers
    read(world, "web/1", second, label="database")
    read(world, "web/0", granted, label="renamed")
    read(world, "web/0", second, label="database")


def test_an_id_with_a_label_renames_the_managers_secret(world, add):
    secret_id = add(label="old")
    read(world, "db/0", secret_id, label="new")
    assert world.model.secrets[secret_id].label == "new"
    read(world, "db/1", secret_id, label="follower")  # not the leader: no effect
    assert world.model.secrets[secret_id].label == "new"


# --- Hooks


def test_secret_changed_comes_once_for_each_newer_revision(world, granted):
    read(world, "web/0", granted, label="database")
    assert due(world, "web/0") == []
    new_revision(world, granted, "second")
    hook = secrets.due(world.model, "web/0", world.clock.time)[0]
    assert (hook.name, hook.secret_id, hook.secret_label) == (
        "secret-changed",
        granted,
        "database",
    )
    deliver(world, "web/0")
    assert due(world, "web/0") == []
    new_revision(world, granted, "third")
    assert due(world, "web/0") == [("secret-changed", 0)]


def test_two_revisions_between_looks_give_one_secret_changed(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    new_revision(world, granted, "third")
    deliver(world, "web/0")
    assert due(world, "web/0") == []


def test_a_reader_that_is_up_to_date_is_not_told(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    read(world, "web/0", granted, refresh=True)
    assert due(world, "web/0") == []


def test_a_unit_that_never_read_is_not_told(world, granted):
    new_revision(world, granted, "second")
    assert due(world, "web/0") == []


def test_other_units_of_the_owner_are_told_once_they_read(world, granted):
    read(world, "db/1", granted)
    new_revision(world, granted, "second")
    assert ("secret-changed", 0) in due(world, "db/1")


def test_no_secret_changed_after_a_revoke_or_removal(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    secrets.revoke(world.model, granted, subject="web")
    assert due(world, "web/0") == []
    secrets.remove(world.model, granted)
    assert due(world, "web/0") == []


def test_secret_remove_comes_once_for_each_revision_that_nobody_tracks(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    assert due(world, "db/0") == []  # web/0 tracks revision 1
    new_revision(world, granted, "third")
    assert due(world, "db/0") == [("secret-remove", 2)]
    read(world, "web/0", granted, refresh=True)
    assert due(world, "db/0") == [("secret-remove", 1), ("secret-remove", 2)]
    assert due(world, "db/1") == []  # only the leader
    deliver(world, "db/0")
    assert due(world, "db/0") == [("secret-remove", 2)]
    secrets.remove(world.model, granted, 2)
    assert due(world, "db/0") == []


def test_what_the_owner_tracks_is_not_obsolete(world, granted):
    read(world, "db/0", granted)
    new_revision(world, granted, "second")
    assert ("secret-remove", 1) not in due(world, "db/0")


def test_a_reader_that_goes_frees_its_revision(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    secrets.unit_removed(world.model, "web/0")
    assert due(world, "db/0") == [("secret-remove", 1)]


def test_secret_expired_comes_again_until_the_revision_is_gone(world, add):
    secret_id = add(expires=world.clock.time + 60)
    assert due(world, "db/0") == []
    assert secrets.next_due(world.model, "db/0") == world.clock.time + 60
    world.clock.time += 60
    assert due(world, "db/0") == [("secret-expired", 1)]
    assert due(world, "db/1") == []
    deliver(world, "db/0")
    assert due(world, "db/0") == []
    assert secrets.next_due(world.model, "db/0") == world.clock.time + 300
    world.clock.time += 300
    assert due(world, "db/0") == [("secret-expired", 1)]
    new_revision(world, secret_id, "second")
    secrets.remove(world.model, secret_id, 1)
    assert due(world, "db/0") == []
    assert secrets.next_due(world.model, "db/0") is None


def test_rotation_is_due_at_its_time_and_moves_on_when_rotated(world, add):
    secret_id = add(rotate="daily")
    start = world.clock.time
    assert due(world, "db/0") == []
    assert secrets.next_due(world.model, "db/0") == start + DAY
    world.clock.time = start + DAY + 10
    hook = secrets.due(world.model, "db/0", world.clock.time)[0]
    assert hook.name == "secret-rotate"
    new_revision(world, secret_id, "second")
    secrets.delivered(world.model, "db/0", hook, world.clock.time)
    assert world.model.secrets[secret_id].next_rotate == start + 2 * DAY


def test_a_rotation_without_a_new_revision_comes_again_soon(world, add):
    secret_id = add(rotate="daily")
    world.clock.time += DAY
    assert deliver(world, "db/0") == "secret-rotate"
    assert world.model.secrets[secret_id].next_rotate == world.clock.time + 300


def test_rotations_missed_while_the_engine_was_away_are_one(world, add):
    secret_id = add(rotate="hourly")
    world.clock.time += 10 * DAY
    hook = secrets.due(world.model, "db/0", world.clock.time)[0]
    new_revision(world, secret_id, "second")
    secrets.delivered(world.model, "db/0", hook, world.clock.time)
    assert world.model.secrets[secret_id].next_rotate == world.clock.time + 3600


def test_a_change_of_policy_keeps_the_date_unless_rotation_was_off(world, add):
    secret_id = add(rotate="daily")
    secret = world.model.secrets[secret_id]
    first = secret.next_rotate
    secrets.update(world.model, secret_id, now=world.clock.time, rotate="yearly")
    assert secret.next_rotate == first
    secrets.update(world.model, secret_id, now=world.clock.time, rotate="never")
    assert secret.next_rotate is None
    secrets.update(world.model, secret_id, now=world.clock.time, rotate="hourly")
    assert secret.next_rotate == world.clock.time + 3600


def test_the_new_leader_takes_over_rotation(world, add):
    add(rotate="hourly")
    world.clock.time += 3600
    world.model.applications["db"].leader = "db/1"
    assert due(world, "db/0") == []
    assert due(world, "db/1") == [("secret-rotate", 1)]


def test_secrets_go_with_their_owner(world, add):
    unit, app = add("unit", "db/1"), add()
    secrets.unit_removed(world.model, "db/1")
    assert list(world.model.secrets) == [app]
    secrets.application_removed(world.model, "db")
    assert (unit, world.model.secrets) == (unit, {})


def test_an_application_that_goes_takes_its_grants_along(world, granted):
    secrets.application_removed(world.model, "web")
    assert world.model.secrets[granted].grants == []


def test_removing_a_secret_forgets_what_units_were_told(world, granted):
    read(world, "web/0", granted)
    new_revision(world, granted, "second")
    deliver(world, "web/0")
    secrets.remove(world.model, granted)
    assert all(granted not in unit.secrets for unit in world.model.units.values())


def test_the_last_revision_takes_the_secret_with_it(world, add):
    secret_id = add()
    secrets.remove(world.model, secret_id, 1)
    assert world.model.secrets == {}
    with pytest.raises(secrets.SecretNotFoundError):
        secrets.remove(world.model, secret_id)


# --- User secrets


@pytest.fixture
def user(world):
    secrets.add_user_secret(
        world.model, "api", b64(password="p0"), secret_id="u" * 20, now=world.clock.time
    )
    return "u" * 20


@pytest.mark.parametrize("reference", ["api", "u" * 20, f"secret:{'u' * 20}"])
def test_user_secrets_are_known_by_name_id_and_uri(world, user, reference):
    assert secrets.user_secret(world.model, reference).id == user


def test_a_charms_secret_is_not_a_user_secret(world, add):
    with pytest.raises(secrets.SecretNotFoundError):
        secrets.user_secret(world.model, add(label="mine"))


def test_names_of_user_secrets_are_unique(world, user):
    with pytest.raises(secrets.SecretError, match='secret with name "api" already exists'):
        secrets.add_user_secret(world.model, "api", b64(password="x"), secret_id="v" * 20, now=0.0)


def test_a_user_secret_is_read_tracked_and_announced(world, user):
    with pytest.raises(secrets.SecretDeniedError):
        read(world, "web/0", user)
    secrets.grant_user_secret(world.model, "api", "web")
    assert read(world, "web/0", user) == "p0"
    secrets.update_user_secret(world.model, "api", now=world.clock.time, data=b64(password="p1"))
    assert due(world, "web/0") == [("secret-changed", 0)]
    assert read(world, "web/0", user) == "p0"
    assert sorted(world.model.secrets[user].revisions) == [1, 2]
    secrets.revoke_user_secret(world.model, "api", "web")
    with pytest.raises(secrets.SecretDeniedError):
        read(world, "web/0", user)


def test_auto_prune_drops_revisions_once_nobody_reads_them(world, user):
    secrets.grant_user_secret(world.model, "api", "web")
    read(world, "web/0", user)
    secrets.update_user_secret(world.model, "api", now=0.0, auto_prune=True)
    secrets.update_user_secret(world.model, "api", now=0.0, data=b64(password="p1"))
    assert sorted(world.model.secrets[user].revisions) == [1, 2]
    read(world, "web/0", user, refresh=True)
    assert sorted(world.model.secrets[user].revisions) == [2]
    secrets.update_user_secret(world.model, "api", now=0.0, data=b64(password="p2"))
    secrets.unit_removed(world.model, "web/0")
    assert sorted(world.model.secrets[user].revisions) == [3]


def test_only_known_applications_get_user_secrets(world, user):
    with pytest.raises(secrets.SecretError, match='application "nobody" not found'):
        secrets.grant_user_secret(world.model, "api", "nobody")


def test_user_secrets_are_removed_by_revision_or_whole(world, user):
    secrets.update_user_secret(world.model, "api", now=0.0, data=b64(password="p1"), name="new")
    secrets.remove_user_secret(world.model, "new", 1)
    secrets.remove_user_secret(world.model, "new")
    assert world.model.secrets == {}


# --- Commands


def secret_id_of(text):
    match = re.fullmatch(r"secret:([0-9a-v]{20})\n", text)
    assert match
    return match[1]


def test_added_granted_and_published_in_one_hook(world, run):
    owner = world.context(unit="db/0")
    out, error, code = run(
        owner,
        "secret-add --label admin --description why --rotate daily --expire 1h --owner "
        "application password#file=/tmp/p user=me",
        **{"/tmp/p": b"hunter2"},
    )
    assert (error, code) == ("", 0)
    secret_id = secret_id_of(out)
    assert run(owner, f"secret-get {secret_id} --format=json") == (
        '{"password":"hunter2","user":"me"}\n',
        "",
        0,
    )
    assert run(owner, "secret-get --label admin") == ("password: hunter2\nuser: me\n", "", 0)
    assert run(owner, f"secret-grant --relation 4 {secret_id}") == ("", "", 0)
    run(owner, f"relation-set -r 4 --app secret=secret:{secret_id}")
    assert world.model.secrets == {}
    owner.flush()
    reader = world.context(world.relation_hook(HookKind.RELATION_CHANGED, ""))
    uri = run(reader, "relation-get secret")[0].strip()
    assert run(reader, f"secret-get {uri} --format=json --label mine")[0] == (
        '{"password":"hunter2","user":"me"}\n'
    )
    assert reader.changed_now  # what it tracks stands at once
    stored = world.model.secrets[secret_id]
    assert (stored.label, stored.description, stored.rotate) == ("admin", "why", "daily")
    assert stored.revisions[1].expires == world.clock.time + 3600
    assert stored.consumers["web/0"].label == "mine"


def test_a_fresh_secret_shows_its_metadata_but_no_rotation_date(world, run):
    context = world.context()
    uri = run(
        context,
        "secret-add --label l --description d --rotate daily --expire 2020-01-01T00:00:00Z abc=d",
    )[0].strip()
    fresh = json.loads(run(context, f"secret-info-get {uri} --format=json")[0])
    expected = {
        "revision": 1,
        "label": "l",
        "owner": "application",
        "description": "d",
        "rotation": "daily",
        "expiry": "2020-01-01T00:00:00Z",
    }
    bare = uri.removeprefix("secret:")
    assert fresh == {bare: expected}
    context.flush()
    later = json.loads(run(world.context(), "secret-info-get --label l --format=json")[0])
    assert later == {bare: {**expected, "rotates": "2027-01-16T08:00:00Z"}}


def test_info_shows_who_has_access(world, run, granted):
    info = json.loads(
        run(world.context(unit="db/0"), f"secret-info-get {granted} --format=json")[0]
    )
    assert info[granted]["access"] == [
        {"target": "application-web", "scope": "relation-web.database#db.db", "role": "view"}
    ]


def test_changes_overlay_the_stored_metadata(world, run, add):
    secret_id = add(label="old", description="old")
    context = world.context(unit="db/0")
    assert run(context, f"secret-set {secret_id} --label new --description new")[2] == 0
    info = json.loads(run(context, f"secret-info-get {secret_id} --format=json")[0])[secret_id]
    assert (info["label"], info["description"], info["revision"]) == ("new", "new", 1)
    assert run(context, "secret-get --label new") == ("password: p0\n", "", 0)
    assert run(context, "secret-get --label old")[1:] == (
        'ERROR consumer label "old" not found\n',
        1,
    )
    assert world.model.secrets[secret_id].label == "old"
    context.flush()
    assert world.model.secrets[secret_id].label == "new"


def test_a_pending_revision_is_seen_only_by_peek_and_refresh(world, run, add):
    secret_id = add()
    context = world.context(unit="db/0")
    get = f"secret-get {secret_id} password"
    run(context, get)
    run(context, f"secret-set {secret_id} password=new")
    assert run(context, get)[0] == "p0\n"
    assert run(context, f"{get} --peek")[0] == "new\n"
    assert run(context, f"{get} --refresh")[0] == "new\n"
    assert world.model.secrets[secret_id].latest == 1
    context.flush()
    assert run(world.context(unit="db/0"), get)[0] == "new\n"


def test_the_unit_that_made_a_revision_is_not_told_of_it(world, run, add):
    secret_id = add()
    run(world.context(unit="db/0"), f"secret-get {secret_id}")
    context = world.context(unit="db/0")
    run(context, f"secret-set {secret_id} password=new")
    context.flush()
    assert due(world, "db/0") == []


def test_changes_of_a_fresh_secret_make_one_revision(world, run):
    context = world.context()
    uri = run(context, "secret-add abc=one")[0].strip()
    run(context, f"secret-set {uri} abc=two --label l")
    assert run(context, f"secret-get {uri} abc") == ("two\n", "", 0)
    context.flush()
    secret = world.model.secrets[uri.removeprefix("secret:")]
    assert (secret.latest, secret.label) == (1, "l")


def test_a_secret_added_and_removed_in_one_hook_never_was(world, run):
    context = world.context()
    uri = run(context, "secret-add abc=one")[0].strip()
    run(context, f"secret-grant --relation 4 {uri}")
    assert run(context, f"secret-remove {uri}") == ("", "", 0)
    assert run(context, "secret-ids --format=json") == ("[]\n", "", 0)
    context.flush()
    assert world.model.secrets == {}


def test_a_failed_hook_leaves_no_secret_revision_or_grant(world, run, add):
    secret_id = add()
    context = world.context(unit="db/0")
    for line in (
        "secret-add abc=one",
        f"secret-set {secret_id} password=two --label l",
        f"secret-grant --relation 4 {secret_id}",
    ):
        assert run(context, line)[2] == 0
    secret = world.model.secrets[secret_id]  # and no flush
    assert list(world.model.secrets) == [secret_id]
    assert (secret.latest, secret.label, secret.grants) == (1, "", [])


def test_a_refused_flush_changes_nothing(world, run, add):
    secret_id = add("unit", "web/0")
    context = world.context()
    run(context, "secret-add abc=one --owner unit")
    run(context, f"secret-set {secret_id} password=two")
    run(context, "secret-add xyz=one --owner application")
    run(context, "relation-set -r 4 a=b")
    world.model.applications["web"].leader = "web/1"
    with pytest.raises(FlushError, match="this unit is not the leader"):
        context.flush()
    assert list(world.model.secrets) == [secret_id]
    assert world.model.secrets[secret_id].latest == 1
    assert "a" not in world.bag(4, "web/0").data
    assert world.model.units["web/0"].secrets == {}


def test_ids_are_those_that_the_unit_manages(world, run, add):
    app, unit, _ = add(), add("unit", "db/0"), add("unit", "db/1")
    leader = world.context(unit="db/0")
    assert json.loads(run(leader, "secret-ids --format=json")[0]) == [app, unit]
    fresh = run(leader, "secret-add abc=one")[0].strip().removeprefix("secret:")
    run(leader, f"secret-remove {app}")
    assert json.loads(run(leader, "secret-ids --format=json")[0]) == sorted([unit, fresh])
    assert json.loads(run(world.context(unit="web/0"), "secret-ids --format=json")[0]) == []


def test_remove_of_a_revision(world, run, add):
    secret_id = add()
    new_revision(world, secret_id, "second")
    context = world.context(unit="db/0")
    assert run(context, f"secret-remove {secret_id} --revision 1") == ("", "", 0)
    assert sorted(world.model.secrets[secret_id].revisions) == [1, 2]
    context.flush()
    assert sorted(world.model.secrets[secret_id].revisions) == [2]


def test_removing_a_revision_that_is_gone_already_is_no_failure(world, run, add):
    secret_id = add()
    new_revision(world, secret_id, "second")
    context = world.context(unit="db/0")
    run(context, f"secret-remove {secret_id} --revision 1")
    secrets.remove(world.model, secret_id, 1)
    context.flush()
    assert sorted(world.model.secrets[secret_id].revisions) == [2]


def test_grant_and_revoke_in_one_hook_cancel(world, run, add):
    secret_id = add()
    context = world.context(unit="db/0")
    run(context, f"secret-grant --relation 4 {secret_id}")
    run(context, f"secret-revoke --relation 4 {secret_id}")
    context.flush()
    assert world.model.secrets[secret_id].grants == []


def test_a_revoked_unit_grant_makes_room_for_the_application(world, run, add):
    secret_id = add()
    secrets.grant(world.model, secret_id, 4, "web/0")
    context = world.context(unit="db/0")
    assert run(context, f"secret-grant --relation 4 {secret_id}")[1:] == (
        "ERROR any unit level grants need to be revoked before granting access to the "
        "corresponding application\n",
        1,
    )
    run(context, f"secret-revoke --unit web/0 {secret_id}")
    assert run(context, f"secret-grant --relation 4 {secret_id}") == ("", "", 0)
    context.flush()
    assert world.model.secrets[secret_id].grants == [Grant("web", 4)]


def test_values_can_be_base64_and_binary(world, run):
    context = world.context()
    raw = bytes(range(256))
    encoded = base64.b64encode(raw).decode()
    uri = run(context, f"secret-add abc#base64={encoded} xyz#file=f", **{"f": raw})[0].strip()
    assert run(context, f"secret-get {uri} abc#base64") == (encoded + "\n", "", 0)
    assert run(context, f"secret-get {uri} xyz#base64") == (encoded + "\n", "", 0)


def test_content_can_come_from_a_yaml_file(world, run):
    context = world.context()
    out = run(context, "secret-add --file -", b"password: s3cret\nuser#base64: bWU=\n")[0]
    assert run(context, f"secret-get {out.strip()} --format=json")[0] == (
        '{"password":"s3cret","user":"me"}\n'
    )


@pytest.mark.parametrize(
    ("unit", "line", "error", "code"),
    [
        ("db/0", "secret-add", "missing secret value or filename", 2),
        ("db/0", "secret-add abc=x --owner me", 'secret owner "me" not valid', 2),
        ("db/0", "secret-add abc=x --rotate often", 'rotate policy "often" not valid', 1),
        ("db/0", "secret-add abc=x --expire soon", 'expire time or duration "soon" not valid', 2),
        ("db/0", "secret-add word", 'invalid key value "word"', 2),
        ("db/0", "secret-add abc#file=gone", "open gone: not sent", 1),
        ("db/0", "secret-add abc=x --label taken", 'secret with label "taken" already exists', 1),
        ("db/1", "secret-add abc=x", "this unit is not the leader", 1),
        ("db/1", "secret-set ID password=x", "this unit is not the leader", 1),
        ("db/1", "secret-remove ID", "this unit is not the leader", 1),
        ("db/1", "secret-grant --relation 4 ID", "this unit is not the leader", 1),
        ("db/1", "secret-revoke --relation 4 ID", "this unit is not the leader", 1),
        ("db/1", "secret-info-get ID", 'secret "ID" not found', 1),
        ("web/0", "secret-set ID password=x", "permission denied", 1),
        ("web/0", "secret-get ID", "permission denied", 1),
        ("web/0", "secret-get --label nope", 'consumer label "nope" not found', 1),
        ("web/0", f"secret-get {'x' * 20}", f'secret "{"x" * 20}" not found', 1),
        ("web/0", "secret-get bad", 'secret URI "bad" not valid', 2),
        ("web/0", "secret-get", "require either a secret URI or label", 2),
        (
            "db/0",
            "secret-get ID --peek --refresh",
            "specify one of --peek or --refresh but not both",
            2,
        ),
        ("db/0", "secret-get ID nokey", 'secret key value "nokey" not found', 1),
        ("db/0", "secret-set ID", "at least one attribute to update must be specified", 2),
        ("db/0", "secret-set", "missing secret URI", 2),
        ("db/0", f"secret-set {'x' * 20} abc=x", f'secret "{"x" * 20}" not found', 1),
        ("db/0", f"secret-remove {'x' * 20}", f'secret "{"x" * 20}" not found', 1),
        ("db/0", "secret-remove", "missing secret URI", 2),
        ("db/0", "secret-remove ID --revision x", 'invalid value "x" for option --revision', 2),
        ("db/0", "secret-grant ID", "missing relation id", 2),
        ("db/0", "secret-grant --relation 4", "missing secret URI", 2),
        (
            "db/0",
            "secret-grant --relation 9 ID",
            'invalid value "9" for option -r: relation not found',
            2,
        ),
        (
            "db/0",
            "secret-grant --relation 4 --unit other/0 ID",
            'unit "other/0" is not in relation "web:database db:db"',
            1,
        ),
        ("db/0", "secret-revoke ID", "missing relation, application or unit", 2),
        ("db/0", "secret-info-get", "require either a secret URI or label", 2),
        ("db/0", "secret-info-get --label nope", 'secret "nope" not found', 1),
    ],
)
def test_a_refused_secret_command_says_why(world, run, add, unit, line, error, code):
    secret_id = add(label="taken")
    line, error = line.replace("ID", secret_id), error.replace("ID", secret_id)
    assert run(world.context(unit=unit), line) == ("", f"ERROR {error}\n", code)
    assert world.model.secrets[secret_id].latest == 1


def test_a_refused_change_leaves_nothing_to_flush(world, run, add):
    add(label="taken")
    other = add(label="free")
    context = world.context(unit="db/0")
    assert run(context, f"secret-set {other} --label taken password=x")[2] == 1
    context.flush()
    assert (world.model.secrets[other].latest, world.model.secrets[other].label) == (1, "free")


def test_traces_never_hold_the_content_of_a_secret(world, run):
    context = world.context(
        Hook(HookKind.ACTION, action_id=3, prefix="backup"),
    )
    uri = run(context, "secret-add abc=hunter2 xyz#file=/tmp/f", **{"/tmp/f": b"hunter2"})[0]
    run(context, f"secret-set {uri.strip()} abc#base64=aHVudGVyMg==")
    run(context, f"secret-get {uri.strip()} --format=json")
    run(context, "state-set --file -", b'{"k": "hunter2"}')
    run(context, "state-set k=hunter2")
    run(context, "state-get k")
    run(context, "action-set password=hunter2")
    run(context, "action-log hunter2")
    run(context, "action-fail -- hunter2")
    run(context, "leader-set password=hunter2")
    run(context, "relation-set -r 4 password=hunter2")
    text = repr(context.records)
    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "xyz#file=/tmp/f" in text
    assert [record.command for record in context.records][:2] == ["secret-add", "secret-set"]


def test_a_wrong_call_does_not_quote_its_arguments_in_a_trace(world, run):
    context = world.context()
    run(context, "secret-add =hunter2")
    run(context, "leader-set =hunter2")
    run(context, "relation-set -r 4 =hunter2")
    assert "hunter2" not in repr([record.stderr for record in context.records])


def test_content_has_a_limit():
    secrets.check_content({"abc": "x" * 1_000_000})
    with pytest.raises(secrets.SecretError, match="too large: 1000004 bytes"):
        secrets.check_content({"abc": "x" * 500_000, "def": "x" * 500_004})
