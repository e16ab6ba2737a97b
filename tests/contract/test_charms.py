"""What every charm of this repository holds, whatever it runs."""

import dataclasses
import pathlib
import tomllib

import integrations
import pytest
from charmcraft.models import project
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ops import testing

# --- metadata ----------------------------------------------------------------------------------


# Charmcraft 4.5 reads a field of its own that it calls deprecated.
@pytest.mark.filterwarnings("ignore:The 'charmhub' field:DeprecationWarning")
def test_charmcraft_accepts_the_metadata(charm):
    made = project.CharmcraftProject.unmarshal(charm.metadata)
    assert (made.name, made.type) == (charm.name, "charm")


def test_metadata_and_service_name_the_same_endpoints(charm):
    needs = {each.endpoint for each in charm.service.needs}
    provides = {each.endpoint for each in charm.service.provides}
    assert needs == set(charm.endpoints("requires"))
    assert provides == set(charm.endpoints("provides"))


def test_every_container_has_an_image(charm):
    images = {each["resource"] for each in charm.metadata.get("containers", {}).values()}
    resources = charm.metadata.get("resources", {})
    assert images == {name for name, each in resources.items() if each["type"] == "oci-image"}
    has_container = charm.service.has_workload and not charm.is_machine
    assert set(charm.containers) == ({charm.service.name} if has_container else set())


def test_a_machine_charm_names_its_bindings_and_its_resource(charm):
    known = {*charm.metadata.get("extra-bindings", {}), *charm.endpoints("requires")}
    assert set(charm.service.bindings) <= known
    resources = charm.metadata.get("resources", {})
    files = {name for name, each in resources.items() if each["type"] == "file"}
    assert files == {charm.service.runtime} - {""}


def test_every_option_of_the_service_is_in_the_metadata(charm):
    options = set(charm.metadata.get("config", {}).get("options", {}))
    assert {each.name for each in charm.service.options} <= options


def test_every_option_has_a_type_a_default_and_a_description(charm):
    options = charm.metadata.get("config", {}).get("options", {})
    lacking = [
        name for name, each in options.items() if {"type", "default", "description"} - each.keys()
    ]
    assert lacking == []


def test_a_charm_is_packed_from_the_workspace(charm):
    (part,) = charm.metadata["parts"].values()
    assert part["plugin"] == "uv"
    assert (charm.folder / part["source"]).resolve() == charm.folder.parents[1]
    assert part["source-subdir"] == f"charms/{charm.name}"
    package = tomllib.loads((charm.folder / "pyproject.toml").read_text())
    assert package["project"]["name"] == charm.name
    assert package["tool"]["uv"]["package"] is False
    assert package["tool"]["uv"]["sources"]["charmkit"] == {"workspace": True}


def test_actions_refuse_what_they_do_not_know(charm):
    actions = charm.metadata.get("actions", {})
    assert [name for name, each in actions.items() if each.get("additionalProperties", True)] == []
    assert {each.action for each in charm.service.own_secrets if each.action} <= set(actions)


def test_a_charm_is_described_to_operators(charm):
    readme = (charm.folder / "README.md").read_text()
    options = charm.metadata.get("config", {}).get("options", {})
    actions = charm.metadata.get("actions", {})
    assert [name for name in (*options, *actions) if f"`{name}`" not in readme] == []


# --- life --------------------------------------------------------------------------------------


def test_a_fresh_unit_names_what_it_misses(charm, fresh):
    if charm.required:
        assert isinstance(fresh.status, testing.BlockedStatus)
        missing = fresh.status.message.removeprefix("missing integration: ").split(", ")
        assert sorted(missing) == charm.required
    else:
        assert fresh.status == testing.ActiveStatus()


def test_a_unit_waits_for_its_container(charm, make_world):
    world = make_world(charm)
    for endpoint in charm.required:
        world.integrate(endpoint)
    world.settle()
    world.run(world.context.on.config_changed())
    if charm.containers:
        assert world.status == testing.WaitingStatus(
            f"waiting for container: {charm.containers[0]}"
        )
    else:
        assert world.status == testing.ActiveStatus()


def test_all_integrations_make_a_unit_active(active):
    assert active.status == testing.ActiveStatus()


def test_every_process_runs_and_is_checked(charm, active):
    if charm.is_machine:
        assert len(active.machine.active) == len(charm.service.processes)
    for name in charm.containers:
        container = active.state.get_container(name)
        assert {process.name for process in charm.service.processes} == set(container.services)
        assert ("online" in container.plan.checks) == bool(charm.service.processes)


def test_each_missing_integration_is_named_again_when_it_breaks(charm, active):
    before = active.state
    for endpoint in charm.required:
        active.state = before
        active.break_(endpoint)
        assert active.status == testing.BlockedStatus(f"missing integration: {endpoint}")


def test_what_runs_stays_as_it_is_when_an_integration_breaks(charm, active):
    plans = {each.name: each.plan.to_dict() for each in active.state.containers}
    before, starts = active.state, list(active.machine.starts)
    for endpoint in charm.required:
        active.state = before
        active.break_(endpoint)
        assert {each.name: each.plan.to_dict() for each in active.state.containers} == plans
        assert active.machine.starts == starts


def test_an_integration_that_comes_back_makes_the_unit_active_again(charm, active):
    for endpoint in charm.required:
        active.break_(endpoint)
        active.integrate(endpoint)
        active.settle()
        assert active.status == testing.ActiveStatus()


@pytest.mark.parametrize("application", sorted(integrations.OPTIONAL))
def test_without_an_optional_integration_a_unit_of_the_release_shows_what_it_lacks(
    application, make_active, load_charm
):
    charm = load_charm(integrations.RELEASE.charm(application)["name"])
    active = make_active(charm)
    for endpoint in integrations.OPTIONAL[application]:
        active.integrate(endpoint)
    active.state = dataclasses.replace(active.state, config={})  # as it is deployed
    active.settle()
    active.run(active.context.on.config_changed())
    assert active.status == testing.ActiveStatus()
    before = active.state
    for endpoint in integrations.OPTIONAL[application]:
        active.state = before
        active.break_(endpoint)
        active.settle()
        wanted = integrations.shown_without(f"{application}:{endpoint}")
        assert (active.status.name, active.status.message) == wanted, endpoint


def test_a_second_run_changes_nothing(active, programs):
    active.run(active.context.on.update_status())
    before, ran = active.facts(), list(programs.commands)
    active.run(active.context.on.config_changed())
    active.run(active.context.on.update_status())
    assert active.facts() == before
    assert programs.commands == ran


def test_a_process_starts_once(charm, active):
    starts = [status for status in active.context.unit_status_history]
    shown = [each.message for each in starts if each.message.startswith("starting ")]
    assert len(shown) <= 1


def test_a_follower_writes_nothing_that_only_a_leader_may(charm, make_world):
    world = make_world(charm, leader=False)
    for name in charm.containers:
        world.start_container(name)
    for endpoint in (*charm.required, *charm.endpoints("provides")):
        world.integrate(endpoint)
    # Without a leader nobody asks for anything in the name of the application.
    assert [each.local_app_data for each in world.state.relations if each.local_app_data] == []
    assert [each for each in world.state.secrets if each.owner == "app"] == []


# Programs of tasks that each unit runs for itself.
ON_EVERY_UNIT = {"haproxy", "reload.sh", "timer.py"}


def test_a_follower_starts_on_what_the_leader_left(charm, active, make_world, programs):
    world = make_world(charm, leader=False)
    fresh = [
        dataclasses.replace(relation, local_unit_data={}) for relation in active.state.relations
    ]
    if charm.is_machine:  # its storage is not shared: a member joins the leader's own
        fresh = [
            dataclasses.replace(each, peers_data={7: dict(seen.local_unit_data)})
            if isinstance(each, testing.PeerRelation)
            else each
            for each, seen in zip(fresh, active.state.relations, strict=True)
        ]
    world.state = dataclasses.replace(
        world.state,
        relations=frozenset(fresh),
        secrets=frozenset(each for each in active.state.secrets if each.owner != "unit"),
    )
    programs.commands.clear()
    for name in charm.containers:
        world.start_container(name)
    world.settle()
    world.run(world.context.on.config_changed())
    assert world.status == testing.ActiveStatus()
    if not charm.is_machine:
        others = [each for each in programs.commands if each not in ON_EVERY_UNIT]
        assert others == [], "only the leader runs tasks"


def test_a_pod_that_is_being_taken_away_stays_as_it_is_while_its_relations_break(
    pod_charm, make_active
):
    charm, active = pod_charm, make_active(pod_charm)
    for endpoint in sorted(charm.endpoints("requires").keys() - set(charm.required)):
        active.integrate(endpoint)
    active.settle()
    active.run(active.context.on.update_status())
    before = active.facts()
    leaving = dataclasses.replace(active.state, planned_units=0)
    for endpoint in sorted({*charm.endpoints("requires"), *charm.endpoints("provides")}):
        active.state = leaving
        active.break_(endpoint)
        now = active.facts()
        assert (now["files"], now["layers"]) == (before["files"], before["layers"]), endpoint


def test_a_stop_takes_the_unit_out_of_service(charm, active):
    active.run(active.context.on.stop())
    for name in charm.containers if charm.service.processes else ():
        container = active.state.get_container(name)
        assert container.plan.checks["online"].exec == {"command": "/bin/false"}
        assert [each for each in container.services.values() if each.is_running()] == []
    staying = [each for each in charm.service.processes if each.stays]
    assert len(active.machine.active) == len(staying)


def test_no_secret_is_in_a_bag_or_on_a_command_line(charm, active):
    for endpoint in sorted(charm.endpoints("requires").keys() - set(charm.required)):
        active.integrate(endpoint)
    active.settle()
    values = _credentials(active)
    assert values or not charm.required
    texts = [
        text
        for relation in active.state.relations
        for bag in (relation.local_app_data, relation.local_unit_data)
        for text in bag.values()
    ]
    texts += [str(container.plan.to_dict()) for container in active.state.containers]
    texts += [line.message for line in active.context.juju_log]
    if charm.is_machine and not all(each.unit for each in charm.service.processes):
        assert active.units, "those that no package brings"
    texts += active.units
    active.run(active.context.on.stop())
    assert bool(active.command_lines) == charm.service.has_workload
    texts += active.command_lines
    assert [text for text in texts for value in values if value in text] == []


def test_files_with_secrets_are_not_for_everybody(active):
    values = _credentials(active)
    readable = [
        path
        for path in active.files.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o007 and _holds(path, values)
    ]
    assert readable == []


PUBLIC = {"username", "tls", "fsid", "tls-ca", "ca-certificate", "csr", "previous-ca-certificate"}


def _credentials(world):
    """Give every value in a secret that nobody else may see."""
    return {
        value
        for secret in world.state.secrets
        for content in (secret.tracked_content, secret.latest_content)
        for key, value in (content or {}).items()
        if key not in PUBLIC
    }


def _holds(path: pathlib.Path, values):
    text = path.read_text()
    return any(value in text for value in values)


# --- order -------------------------------------------------------------------------------------


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a dispatch is slow: no time to search for a smaller example
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_order_of_events_ends_in_the_same_state(charm, make_world, data):
    """Take the events of a deployment in any order that Juju may choose."""
    if charm.name not in SETTLED:
        SETTLED[charm.name] = _settled(make_world(charm), choose=lambda steps: steps[0])
    found = _settled(
        make_world(charm), choose=lambda steps: data.draw(st.sampled_from(steps), label="next")
    )
    assert found == SETTLED[charm.name]


SETTLED = {}  # charm → the state in which the plainest order ends


def _settled(world, choose):
    charm, left, terms = world.charm, 3, 2
    endpoints = [*charm.required, *charm.endpoints("provides")]
    containers = list(charm.containers)
    while True:
        steps = [("integrate", each) for each in endpoints]
        steps += [("container", each) for each in containers]
        steps += [("hear", each) for each in world.unheard()]
        if not world.state.leader:
            steps.append(("lead", ""))
        if left and steps:
            steps.append(("event", "update_status"))
        if terms and world.state.leader and steps:
            steps.append(("follow", ""))
        if not steps:
            break
        kind, name = choose(steps)
        if kind == "integrate":
            endpoints.remove(name)
            world.integrate(name)
        elif kind == "container":
            containers.remove(name)
            world.start_container(name)
        elif kind == "hear":
            world.hear(name)
        elif kind == "lead":
            world.lead()
        elif kind == "follow":
            terms -= 1
            world.follow()
        else:
            left -= 1
            world.run(getattr(world.context.on, name)())
    world.run(world.context.on.update_status())
    return world.facts()
