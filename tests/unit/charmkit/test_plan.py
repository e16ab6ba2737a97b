"""Plans: pure, from a snapshot."""

import dataclasses
import json

import pytest

from charmkit import layout, ownership, plan, records
from charmkit.plan import Status
from charmkit.service import File, Option, Process, Task
from charmkit.spec import PEERS, ContainerState, Publish


@pytest.fixture
def make(web, templates):
    return lambda snapshot, service=web: plan.make(service, snapshot, templates)


def changed(snapshot, **config):
    new = {name.replace("_", "-"): value for name, value in config.items()}
    return dataclasses.replace(snapshot, config={**snapshot.config, **new})


def without(snapshot, endpoint):
    rest = {name: each for name, each in snapshot.relations.items() if name != endpoint}
    return dataclasses.replace(snapshot, relations=rest)


def with_relation(snapshot, endpoint, **changes):
    relation = dataclasses.replace(snapshot.relation(endpoint), **changes)
    return dataclasses.replace(snapshot, relations={**snapshot.relations, endpoint: (relation,)})


def follower(snapshot, *done):
    """Give what a follower sees once the leader has made the keys and done these tasks."""
    tasks = {task.name: {"digest": "d", "inputs": list(task.inputs)} for task in done}
    seen = dataclasses.replace(
        snapshot, is_leader=False, own_secrets={"web-keys": {"key-0": "staged", "key-1": "first"}}
    )
    return with_relation(seen, PEERS, local_app={records.TASKS: json.dumps(tasks)})


def digest_of(made, process="web-api"):
    return made.workload.services[process]["environment"][layout.DIGEST]


# --- status ------------------------------------------------------------------------------------


def test_a_complete_snapshot_gives_a_workload(make, ready):
    made = make(ready)
    assert made.status == Status("active")
    assert [content.path for content in made.workload.files] == [
        "/etc/web/web.conf",
        "/etc/web/note",
    ]


def test_equal_snapshots_give_equal_plans(make, ready):
    assert make(ready) == make(dataclasses.replace(ready))


def test_a_missing_integration_blocks(make, ready):
    made = make(without(ready, "store"))
    assert made.status == Status("blocked", "missing integration: store")
    assert made.workload is None


def test_an_optional_integration_may_be_missing(make, ready, web):
    service = dataclasses.replace(
        web,
        processes=(
            Process(name="web-api", command="x", files=(File(path="/f", text="{{ store }}"),)),
        ),
        tasks=lambda snapshot, seen: (),
    )
    seen = dataclasses.replace(without(ready, "store"), optional=frozenset({"store"}))
    made = make(seen, service)
    assert made.status == Status("active")
    assert made.workload.files[0].text == "None"


@pytest.mark.parametrize(("unit", "planned"), [("web/2", 2), ("web/0", 0)])
def test_a_unit_that_is_being_taken_away_serves_as_it_is(make, ready, unit, planned):
    # Its relations break before its stop: an optional one would restart it with clients on it.
    leaving = dataclasses.replace(ready, unit=unit, planned_units=planned)
    made = make(leaving)
    assert (made.workload, made.publications) == (None, ())
    assert made.status == Status("maintenance", "leaving")
    assert make(dataclasses.replace(leaving, planned_units=3)).workload is not None


def test_a_charm_without_containers_does_not_tell_by_its_number_that_it_leaves(make, ready):
    machine = dataclasses.replace(ready, unit="web/7", planned_units=1, containers={})
    assert make(machine).status == Status("waiting", "waiting for container: web")


def test_an_integration_without_data_is_waited_for(make, ready):
    made = make(with_relation(ready, "store", remote_app={}))
    assert made.status == Status("waiting", "waiting for data from: store")


def test_an_optional_integration_without_data_is_waited_for(make, ready):
    seen = dataclasses.replace(
        with_relation(ready, "store", remote_app={}), optional=frozenset({"store"})
    )
    assert make(seen).status == Status("waiting", "waiting for data from: store")


def test_what_a_provider_refuses_is_not_waited_for(make, ready, web):
    class Refused(type(web.needs[0])):
        def problem(self, snapshot):
            return "the store is full" if self.read(snapshot) is None else None

    [need] = [each for each in web.needs if each.endpoint == "store"]
    service = dataclasses.replace(web, needs=(Refused(**vars(need)),))
    refused = with_relation(ready, "store", app="warehouse", remote_app={})
    assert make(refused, service).status == Status(
        "blocked", "warehouse refuses: the store is full"
    )
    assert make(ready, service).status == Status("active")


def test_a_container_that_does_not_answer_is_waited_for(make, ready):
    seen = dataclasses.replace(ready, containers={"web": ContainerState()})
    assert make(seen).status == Status("waiting", "waiting for container: web")


def test_an_obstacle_of_the_service_itself_leaves_everything_as_it_is(make, ready, web):
    hindered = dataclasses.replace(
        web, obstacle=lambda snapshot, seen: ("blocked", f"{seen['app']}: one unit only")
    )
    made = make(ready, hindered)
    assert made.status == Status("blocked", f"{ready.app}: one unit only")
    assert made.workload is None


def test_a_service_may_say_how_it_is_although_it_works(make, ready, web):
    sick = dataclasses.replace(web, condition=lambda snapshot, seen: ("active", "one disk left"))
    made = make(ready, sick)
    assert made.status == Status("active", "one disk left")
    assert made.workload == make(ready).workload


def test_what_a_person_must_do_comes_first(make, ready):
    seen = dataclasses.replace(without(ready, "store"), containers={})
    assert make(seen).status.name == "blocked"


def test_a_bad_option_blocks_and_names_it(make, ready):
    made = make(changed(ready, port=0))
    assert made.status == Status("blocked", "port: must be at least 1, is 0")
    assert (made.workload, made.publications) == (None, ())


def test_a_bad_option_is_not_used_for_secrets(make, ready, web):
    def explode(snapshot):
        raise AssertionError("this option was refused")

    secret = dataclasses.replace(web.own_secrets[0], rotate=explode)
    made = make(changed(ready, port=0), dataclasses.replace(web, own_secrets=(secret,)))
    assert made.status.name == "blocked"


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        (Option(name="n", minimum=1), 1, None),
        (Option(name="n", maximum=5), 6, "n: must be at most 5, is 6"),
        (Option(name="n", pattern="[a-z]+", hint="write a"), "1", "n: cannot be '1'; write a"),
        (Option(name="n", pattern="[a-z]+"), "a", None),
        (Option(name="n", minimum=1), None, None),
        (Option(name="n", minimum=1), True, None),
    ],
)  # fmt: skip
def test_a_rule_says_what_is_wrong_with_a_value(option, value, problem):
    assert option.problem({} if value is None else {"n": value}) == problem


def test_overrides_that_cannot_be_read_block(make, ready):
    made = make(changed(ready, config_overrides="debug = true"))
    assert made.status.name == "blocked"
    assert made.status.message.startswith("config-overrides: line 1")
    assert made.workload is None


# --- what is published -------------------------------------------------------------------------


def test_needs_are_published_whatever_else_is_missing(make, ready):
    made = make(dataclasses.replace(ready, containers={}))
    bags = [bag for each in made.publications for bag in each.bags]
    assert Publish(relation_id=2, app={"name": "web"}) in bags


def test_a_leader_makes_the_own_secrets_at_once(make, ready):
    made = make(without(ready, "store"))
    (secret,) = [secret for each in made.publications for secret in each.secrets]
    assert (secret.label, secret.rotate, secret.owner) == ("web-keys", "weekly", "application")


def test_a_secret_that_exists_keeps_its_content(make, ready):
    seen = dataclasses.replace(ready, own_secrets={"web-keys": {"key-0": "a", "key-1": "b"}})
    (secret,) = [secret for each in make(seen).publications for secret in each.secrets]
    assert secret.content == {"key-0": "a", "key-1": "b"}


def test_a_follower_waits_for_the_leaders_secret(make, ready):
    made = make(dataclasses.replace(ready, is_leader=False))
    assert made.status == Status("waiting", "waiting for the leader's secret: web-keys")
    assert [secret for each in made.publications for secret in each.secrets] == []


# --- the workload ------------------------------------------------------------------------------


def test_a_file_that_changes_restarts_its_process(make, ready):
    assert digest_of(make(ready)) != digest_of(make(changed(ready, debug=True)))


def test_a_file_that_needs_no_restart_restarts_nothing(make, ready):
    one, other = make(ready), make(changed(ready, note="another"))
    assert one.workload.files != other.workload.files
    assert one.workload.services == other.workload.services


def test_new_keys_restart_nothing(make, ready):
    one = make(dataclasses.replace(ready, own_secrets={"web-keys": {"key-0": "a", "key-1": "b"}}))
    other = make(
        dataclasses.replace(ready, own_secrets={"web-keys": {"key-0": "c", "key-2": "a"}})
    )
    assert one.workload.directories != other.workload.directories
    assert one.workload.services == other.workload.services


def test_only_the_process_whose_file_changed_restarts(make, ready, web):
    worker = Process(name="worker", command="w", files=(File(path="/w", text="{{ unit }}"),))
    service = dataclasses.replace(web, processes=(*web.processes, worker))
    one, other = make(ready, service), make(changed(ready, debug=True), service)
    assert digest_of(one, "worker") == digest_of(other, "worker")
    assert digest_of(one) != digest_of(other)


def test_an_override_changes_the_file_and_is_validated(make, ready):
    made = make(changed(ready, config_overrides="[store]\ntimeout = 5\n"))
    assert "timeout = 5" in made.workload.files[0].text
    (validation,) = made.workload.validations
    assert validation.namespaces == ("web",)
    assert [each.option for each in validation.overrides] == ["timeout"]


def test_without_overrides_nothing_is_validated(make, ready):
    assert make(ready).workload.validations == ()


def test_an_override_of_another_unit_changes_nothing(make, ready):
    one, other = make(ready), make(changed(ready, config_overrides_unit="[web/7: a]\nb = 1\n"))
    assert one.workload == other.workload


def test_processes_with_different_overrides_need_files_of_their_own(make, ready, web):
    twin = dataclasses.replace(web.processes[0], name="twin")
    service = dataclasses.replace(web, processes=(*web.processes, twin))
    seen = changed(ready, config_overrides_process="[twin: a]\nb = 1\n")
    with pytest.raises(ValueError, match=r"/etc/web/web\.conf differs between processes"):
        make(seen, service)


def test_no_secret_is_in_the_text_of_a_plan(make, ready):
    seen = dataclasses.replace(ready, own_secrets={"web-keys": {"key-0": "hidden", "key-1": "b"}})
    assert "hidden" not in repr(make(seen))


def test_the_probe_is_a_template(make, ready):
    workload = make(ready).workload
    assert workload.checks["online"]["exec"] == {"command": "probe 10.0.0.5"}
    assert workload.probes == (
        layout.Probe(process="web-api", check="online", command="probe 10.0.0.5", patience=120),
    )


def test_the_first_process_decides_about_traffic_and_the_others_are_checked_too(make, ready, web):
    worker = dataclasses.replace(web.processes[0], name="worker")
    service = dataclasses.replace(web, processes=(*web.processes, worker))
    assert list(make(ready, service).workload.checks) == ["online", "online-worker"]


def test_a_unit_with_others_drains_before_it_restarts(make, ready):
    assert not make(ready).workload.drains
    assert make(with_relation(ready, PEERS, remote_units={"web/1": {}})).workload.drains


# --- tasks -------------------------------------------------------------------------------------


SCHEMA = Task(name="schema", argv=("migrate",), message="migrating", inputs=("st:1",))


def test_a_leader_has_the_tasks(make, ready):
    assert [task.name for task in make(ready).workload.tasks] == ["schema"]


def test_a_follower_waits_for_the_leaders_task(make, ready):
    assert make(follower(ready)).status == Status("waiting", "waiting for the leader: migrating")


def test_a_follower_starts_when_the_leader_has_done_its_task(make, ready):
    made = make(follower(ready, SCHEMA))
    assert made.status == Status("active")
    assert made.workload.tasks == ()


def test_a_follower_waits_for_a_task_that_was_done_to_something_else(make, ready):
    other = dataclasses.replace(SCHEMA, inputs=("elsewhere:1",))
    assert make(follower(ready, other)).status.name == "waiting"


def test_a_follower_does_not_wait_for_a_task_of_a_running_service(make, ready, web):
    online = dataclasses.replace(SCHEMA, when="online")
    service = dataclasses.replace(web, tasks=lambda snapshot, seen: [online])
    assert make(follower(ready), service).status == Status("active")


@pytest.mark.parametrize("field", ["argv", "environment", "stdin", "inputs", "user"])
def test_a_task_is_done_again_for_another_input(field):
    other = {
        "argv": ("other",),
        "environment": {"a": "b"},
        "stdin": "x",
        "inputs": ("y",),
        "user": "z",
    }
    assert SCHEMA.digest != dataclasses.replace(SCHEMA, **{field: other[field]}).digest


def test_what_was_reached_can_be_published(ready, web):
    done = {"schema": {"digest": "d", "inputs": ["st:1"], "facts": {"id": 1}}}
    now = records.reached(web, ready, done, online=True)
    assert plan.values(web, now)["facts"] == {"schema": {"id": 1}}
    (publication,) = records.record_publications(now)
    assert json.loads(publication.bags[0].app[records.TASKS]) == done


def test_nothing_new_reached_is_the_same_snapshot(ready, web):
    done = {"schema": {"digest": "d", "inputs": []}}
    now = records.reached(web, ready, done, online=True)
    assert records.reached(web, now, done, online=True) is now


def test_a_service_is_online_when_its_check_is_up(ready, web):
    assert plan.values(web, ready)["online"] is True
    down = {"web": ContainerState(can_connect=True, checks={"online": False})}
    assert plan.values(web, dataclasses.replace(ready, containers=down))["online"] is False


# --- rotation ----------------------------------------------------------------------------------


@pytest.fixture
def keyed(ready):
    return dataclasses.replace(ready, own_secrets={"web-keys": {"key-0": "a", "key-1": "b"}})


def test_a_rotation_changes_the_secret_and_the_files(make, keyed, web):
    wanted = ownership.rotate(web, keyed, "web-keys")
    made = make(wanted)
    (secret,) = [secret for each in made.publications for secret in each.secrets]
    assert secret.content["key-2"] == "a"
    assert [each.path for each in made.workload.directories[0].files] == [
        "/etc/web/keys/2",
        "/etc/web/keys/1",
        "/etc/web/keys/0",
    ]


def test_only_a_leader_rotates(keyed, web):
    seen = dataclasses.replace(keyed, is_leader=False)
    with pytest.raises(ownership.CannotRotateError, match="web/0 is not the leader"):
        ownership.rotate(web, seen, "web-keys")


def test_what_is_not_there_is_not_rotated(ready, web):
    with pytest.raises(ownership.CannotRotateError, match="not been made yet"):
        ownership.rotate(web, ready, "web-keys")
    with pytest.raises(ownership.CannotRotateError, match="none of the secrets"):
        ownership.rotate(web, ready, "other")


def seen_bag(make, snapshot):
    """Give what a unit with this snapshot tells its peers."""
    bags = [bag for each in make(snapshot).publications for bag in each.bags]
    return next(dict(bag.unit) for bag in bags if ownership.SEEN in bag.unit)


def test_keys_are_not_rotated_while_a_unit_has_not_got_them(make, keyed, web):
    older = {"web-keys": {"key-0": "x", "key-1": "y"}}
    behind = seen_bag(make, dataclasses.replace(keyed, own_secrets=older))
    present = seen_bag(make, keyed)
    seen = with_relation(keyed, PEERS, remote_units={"web/1": present, "web/2": behind})
    with pytest.raises(ownership.CannotRotateError, match="web/2 has not got the present one"):
        ownership.rotate(web, seen, "web-keys")


def test_keys_are_rotated_when_every_unit_has_them(make, keyed, web):
    bags = {"web/1": seen_bag(make, keyed), "web/2": {}}  # the last has not started yet
    seen = with_relation(keyed, PEERS, remote_units=bags)
    assert ownership.rotate(web, seen, "web-keys").own_secrets["web-keys"]["key-2"] == "a"


@pytest.mark.parametrize(
    ("seconds", "written"), [(5, "5s"), (4.5, "4.5s"), (60, "1m0s"), (3725, "1h2m5s")]
)
def test_a_time_is_written_as_pebble_writes_it_back(make, ready, web, seconds, written):
    process = dataclasses.replace(web.processes[0], kill_delay=seconds)
    service = dataclasses.replace(web, processes=(process, *web.processes[1:]))
    assert make(ready, service).workload.services[process.name]["kill-delay"] == written
