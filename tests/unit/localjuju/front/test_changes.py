"""What operators' commands do to a model, and in which words they are refused."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from localjuju import changes
from localjuju.changes import ChangeError
from localjuju.model import Charm, Hook, HookKind, Life, Model, Operation, Resource, Step

IMAGE = {"paint-image": Resource("paint-image", "oci-image", "x/paint:1")}
NOW = 1000.0


@pytest.fixture
def deployed(model: Model, paint_charm: Charm, wall_charm: Charm) -> Model:
    changes.deploy(model, paint_charm, "paint", units=2, resources=IMAGE, now=NOW)
    changes.deploy(model, wall_charm, "wall", now=NOW)
    return model


def refused(model: Model, words: str, change: Callable[[Model], Any]) -> None:
    """Check that a change is refused in these words and leaves the model as it was."""
    before = copy.deepcopy(model)
    with pytest.raises(ChangeError, match=re.escape(words)):
        change(model)
    assert model == before


def test_deploying_adds_charm_units_peers_and_storage(deployed: Model) -> None:
    app = deployed.applications["paint"]
    assert (app.charm_url, app.scale, app.created) == ("local:paint-k8s-0", 2, NOW)
    assert [unit.name for unit in deployed.units_of("paint")] == ["paint/0", "paint/1"]
    (peers,) = deployed.relations_of("paint")
    assert (peers.key, peers.interface) == ("paint:painters", "painters")
    (cans,) = deployed.units["paint/1"].storage.values()
    assert (cans.id, cans.location) == ("cans/1", "/var/lib/juju/storage/cans/1")
    status = deployed.units["paint/0"].workload_status
    assert (status.current, status.message) == ("waiting", "installing agent")


def test_each_added_charm_has_a_revision_of_its_own(deployed: Model, paint_charm: Charm) -> None:
    changes.deploy(deployed, paint_charm, "other", resources=IMAGE)
    assert deployed.applications["other"].charm_url == "local:paint-k8s-1"


def test_a_refused_deployment_leaves_no_charm_behind(deployed: Model, paint_charm: Charm) -> None:
    def deploy(**given: Any) -> Callable[[Model], Any]:
        given = {"name": "new", "resources": IMAGE, **given}
        return lambda model: changes.deploy(model, paint_charm, **given)

    refused(deployed, 'cannot add application "wall": application already', deploy(name="wall"))
    refused(deployed, 'invalid application name "9x"', deploy(name="9x"))
    refused(deployed, 'invalid application name "a-1"', deploy(name="a-1"))
    refused(deployed, 'unknown option "size"', deploy(config={"size": "1"}))
    refused(deployed, 'option "coats" expected int, got "many"', deploy(config={"coats": "many"}))
    refused(deployed, "local charm missing OCI images for: paint-image", deploy(resources={}))
    wrong = {**IMAGE, "brush": Resource("brush", "file", "/x")}
    refused(deployed, 'unrecognized resource "brush"', deploy(resources=wrong))
    swapped = {"paint-image": Resource("paint-image", "file", "/x")}
    refused(deployed, 'resource "paint-image" is of type oci-image', deploy(resources=swapped))
    refused(deployed, 'no store called "tubs"', deploy(storage={"tubs": "1G"}))
    refused(deployed, 'cannot parse size "1Q"', deploy(storage={"cans": "1Q"}))
    refused(deployed, "2 instances specified", deploy(storage={"cans": "1G,2"}))
    refused(deployed, 'malformed constraint "mem"', deploy(constraints="mem"))
    refused(deployed, "cannot deploy -1 units", deploy(units=-1))


def test_block_storage_is_refused(model: Model, paint_charm: Charm) -> None:
    spec = dataclasses.replace(paint_charm.storage["cans"], kind="block")
    charm = dataclasses.replace(paint_charm, storage={"cans": spec})
    refused(
        model,
        'block storage "cans"',
        lambda m: changes.deploy(m, charm, "x", resources=IMAGE),
    )


def test_subordinates_are_refused(model: Model, wall_charm: Charm) -> None:
    charm = dataclasses.replace(wall_charm, subordinate=True)
    refused(model, "subordinate charms", lambda m: changes.deploy(m, charm, "x"))


def test_options_become_their_types(deployed: Model) -> None:
    given = {"colour": "7", "coats": "3", "thick": "1.5", "glossy": "True"}
    changes.set_config(deployed, "paint", given)
    config = deployed.applications["paint"].config
    assert config == {"colour": "7", "coats": 3, "thick": 1.5, "glossy": True}
    changes.reset_config(deployed, "paint", ["colour", "coats"])
    assert deployed.applications["paint"].config == {"thick": 1.5, "glossy": True}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("coats", "1.5", 'option "coats" expected int, got "1.5"'),
        ("coats", True, 'option "coats" expected int, got True'),
        ("thick", "thin", 'option "thick" expected float, got "thin"'),
        ("glossy", "yes", 'option "glossy" expected boolean, got "yes"'),
        ("colour", 3, 'option "colour" expected string, got 3'),
        ("recipe", "mine", 'option "recipe" expected secret, got "mine"'),
        ("nope", "1", 'unknown option "nope"'),
    ],
)
def test_options_of_the_wrong_type_are_refused(
    deployed: Model, name: str, value: Any, words: str
) -> None:
    refused(deployed, words, lambda m: changes.set_config(m, "paint", {name: value}))


def test_one_option_is_not_set_and_reset_at_once(deployed: Model) -> None:
    refused(
        deployed,
        'cannot set and reset option "coats"',
        lambda m: changes.change_config(m, "paint", {"coats": "1"}, ["coats"]),
    )


def test_trust_is_an_option_too(deployed: Model) -> None:
    changes.set_config(deployed, "paint", {"trust": "true"})
    assert deployed.applications["paint"].trust
    assert deployed.applications["paint"].config == {}
    changes.reset_config(deployed, "paint", ["trust"])
    assert not deployed.applications["paint"].trust


def test_model_options_are_checked(model: Model) -> None:
    changes.set_model_config(
        model, {"automatically-retry-hooks": "false", "update-status-hook-interval": "90s"}
    )
    assert model.config == {
        "automatically-retry-hooks": False,
        "update-status-hook-interval": "90s",
    }
    changes.set_model_config(model, {}, ["automatically-retry-hooks"])
    assert model.config == {"update-status-hook-interval": "90s"}
    for values, words in [
        ({"nope": "1"}, 'unknown model option "nope"'),
        ({"update-status-hook-interval": "soon"}, 'invalid duration "soon"'),
        ({"update-status-hook-interval": "1ms"}, "shorter than one second"),
        ({"automatically-retry-hooks": "maybe"}, "expected boolean"),
    ]:
        refused(model, words, lambda m, values=values: changes.set_model_config(m, values))


# --- Relations ---


def test_relations_are_inferred_from_interfaces_and_roles(deployed: Model) -> None:
    relation = changes.add_relation(deployed, "paint:colour", "wall")
    assert relation.key == "wall:colour paint:colour"
    assert (relation.id, relation.scope, relation.interface) == (1, "global", "colour")


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            "paint",
            "wall",
            'ambiguous relation: "paint wall" could refer to "paint:wall wall:wall"; '
            '"wall:colour paint:colour"; "wall:shade paint:shade"',
        ),
        ("paint:colour", "wall:wall", "no relations found"),
        ("paint:painters", "wall", "no relations found"),
        ("paint", "paint", "no relations found"),
        ("paint:nope", "wall", 'application "paint" has no "nope" relation'),
        ("nope", "wall", 'application "nope" not found'),
    ],
)
def test_relations_that_cannot_be_are_refused(deployed: Model, a: str, b: str, words: str) -> None:
    refused(deployed, words, lambda m: changes.add_relation(m, a, b))


def test_a_relation_exists_once(deployed: Model) -> None:
    changes.add_relation(deployed, "paint:colour", "wall:colour")
    key = "wall:colour paint:colour"
    refused(
        deployed,
        f'cannot add relation "{key}": relation {key} already exists',
        lambda m: changes.add_relation(m, "wall:colour", "paint:colour"),
    )
    changes.remove_relation(deployed, "wall", "paint")
    refused(
        deployed,
        "is still being removed",
        lambda m: changes.add_relation(m, "wall:colour", "paint:colour"),
    )


def test_the_limit_of_an_endpoint_holds(deployed: Model, wall_charm: Charm) -> None:
    changes.deploy(deployed, wall_charm, "fence")
    changes.add_relation(deployed, "paint:shade", "wall")
    refused(
        deployed,
        "would exceed its maximum relation limit of 1 (quota limit exceeded)",
        lambda m: changes.add_relation(m, "paint:shade", "fence"),
    )


def test_relations_are_removed_by_ends_or_number(deployed: Model) -> None:
    one = changes.add_relation(deployed, "paint:colour", "wall:colour")
    other = changes.add_relation(deployed, "paint:shade", "wall:shade")
    refused(
        deployed,
        'ambiguous relation: "paint wall" could refer to',
        lambda m: changes.remove_relation(m, "paint", "wall"),
    )
    changes.remove_relation(deployed, "wall:colour", "paint")
    changes.remove_relation(deployed, str(other.id))
    assert [one.life, other.life] == [Life.DYING, Life.DYING]
    refused(deployed, 'relation "99" not found', lambda m: changes.remove_relation(m, "99"))
    refused(deployed, "peer relation", lambda m: changes.remove_relation(m, "0"))


# --- Offers ---


def test_an_offer_is_made_and_updated_with_known_access_only(deployed: Model) -> None:
    def offer(access: str) -> Callable[[Model], Any]:
        return lambda m: changes.add_offer(m, "paint", ["colour"], uuid="1", users={"bob": access})

    refused(deployed, '"paint" offer access not valid', offer("paint"))
    offer("read")(deployed)
    refused(deployed, '"all" offer access not valid', offer("all"))
    offer("consume")(deployed)
    assert deployed.offers["paint"].users == {"admin": "admin", "bob": "consume"}


# --- Units ---


def test_units_are_numbered_without_gaps(deployed: Model) -> None:
    changes.add_units(deployed, "paint", 2, NOW)
    assert [unit.ordinal for unit in deployed.units_of("paint")] == [0, 1, 2, 3]
    leaving = changes.remove_units(deployed, "paint", 3, NOW, force=True, destroy_storage=True)
    assert [unit.name for unit in leaving] == ["paint/1", "paint/2", "paint/3"]
    assert all(unit.life is Life.DYING and unit.force for unit in leaving)
    assert deployed.units["paint/0"].life is Life.ALIVE
    assert deployed.units["paint/1"].destroy_storage


def test_a_number_is_taken_again_only_when_its_unit_is_gone(deployed: Model) -> None:
    changes.scale_application(deployed, "paint", 1, NOW)
    assert changes.scale_application(deployed, "paint", 2, NOW) == []
    assert deployed.units["paint/1"].life is Life.DYING
    del deployed.units["paint/1"]
    (fresh,) = changes.ensure_units(deployed, "paint", NOW)
    assert (fresh.name, fresh.life) == ("paint/1", Life.ALIVE)
    assert list(fresh.storage) == ["cans/2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: changes.add_units(m, "paint", 0, NOW), "must be a positive integer"),
        (lambda m: changes.scale_application(m, "paint", -1, NOW), "negative number"),
        (lambda m: changes.remove_units(m, "paint", 0, NOW), "(> 0) to remove"),
        (lambda m: changes.remove_units(m, "paint", 3, NOW), "cannot remove 3 units"),
        (
            lambda m: changes.remove_units(m, "paint/0", 1, NOW),
            "k8s models do not support removing named units.",
        ),
        (lambda m: changes.add_units(m, "nope", 1, NOW), 'application "nope" not found'),
    ],
)
def test_impossible_scales_are_refused(
    deployed: Model, change: Callable[[Model], Any], words: str
) -> None:
    refused(deployed, words, change)


def test_removing_an_application_marks_what_goes_with_it(deployed: Model) -> None:
    relation = changes.add_relation(deployed, "paint:colour", "wall:colour")
    changes.remove_application(deployed, "paint")
    assert deployed.applications["paint"].life is Life.DYING
    assert {unit.life for unit in deployed.units_of("paint")} == {Life.DYING}
    assert relation.life is Life.DYING
    assert deployed.relations[0].life is Life.ALIVE, "peers talk until the last one is gone"
    for change in (
        lambda m: changes.set_config(m, "paint", {"coats": "1"}),
        lambda m: changes.add_units(m, "paint", 1, NOW),
        lambda m: changes.add_relation(m, "paint:shade", "wall:shade"),
    ):
        refused(deployed, 'application "paint" is not alive', change)


def test_only_a_unit_in_error_can_be_resolved(deployed: Model) -> None:
    refused(deployed, "is not in an error state", lambda m: changes.resolved(m, "paint/0"))
    refused(deployed, 'unit "paint/7" not found', lambda m: changes.resolved(m, "paint/7"))
    unit = deployed.units["paint/0"]
    unit.operation = Operation(Hook(HookKind.START), Step.FAILED)
    changes.resolved(deployed, "paint/0")
    assert unit.resolved == "retry"
    changes.resolved(deployed, "paint/0", retry=False)
    assert unit.resolved == "no-retry"


# --- Refresh ---


def test_a_refresh_counts_and_keeps_what_still_fits(deployed: Model, paint_charm: Charm) -> None:
    changes.set_config(deployed, "paint", {"coats": "5", "colour": "blue"})
    config = {"coats": {"type": "string"}, "finish": {"type": "string"}}
    url = changes.add_charm(deployed, dataclasses.replace(paint_charm, config=config))
    app = changes.refresh(deployed, "paint", url, config={"finish": "matt"})
    assert (app.charm_url, app.charm_modified, app.charm_forced) == (url, 1, 0)
    assert app.config == {"finish": "matt"}, "an option of another type falls to its default"
    assert url in deployed.charms
    assert "local:paint-k8s-0" not in deployed.charms, "nobody runs it any more"
    changes.refresh(deployed, "paint", changes.add_charm(deployed, paint_charm), force=True)
    assert (app.charm_modified, app.charm_forced) == (2, 2)


def test_a_refresh_brings_new_peers_and_storage(deployed: Model, paint_charm: Charm) -> None:
    endpoints = {
        **paint_charm.endpoints,
        "helpers": dataclasses.replace(paint_charm.endpoints["painters"], name="helpers"),
    }
    storage = {
        **paint_charm.storage,
        "rags": dataclasses.replace(paint_charm.storage["cans"], name="rags"),
    }
    new = dataclasses.replace(paint_charm, endpoints=endpoints, storage=storage)
    changes.refresh(deployed, "paint", changes.add_charm(deployed, new))
    assert {r.key for r in deployed.relations_of("paint")} == {"paint:painters", "paint:helpers"}
    assert sorted(deployed.units["paint/0"].storage) == ["cans/0", "rags/2"]


def test_a_refresh_that_would_break_something_is_refused(
    deployed: Model, paint_charm: Charm, wall_charm: Charm
) -> None:
    changes.add_relation(deployed, "paint:colour", "wall:colour")
    fewer = {n: e for n, e in paint_charm.endpoints.items() if n != "colour"}
    broken = changes.add_charm(deployed, dataclasses.replace(paint_charm, endpoints=fewer))
    refused(
        deployed,
        'would break relation "wall:colour paint:colour"',
        lambda m: changes.refresh(m, "paint", broken),
    )
    bare = changes.add_charm(deployed, dataclasses.replace(paint_charm, storage={}))
    refused(deployed, 'storage "cans" removed', lambda m: changes.refresh(m, "paint", bare))
    images = {**paint_charm.resources, "more-image": {"type": "oci-image"}}
    hungry = changes.add_charm(deployed, dataclasses.replace(paint_charm, resources=images))
    refused(
        deployed,
        "local charm missing OCI images for: more-image",
        lambda m: changes.refresh(m, "paint", hungry),
    )
    other = changes.add_charm(deployed, wall_charm)
    refused(
        deployed,
        'cannot refresh "paint" to "wall-k8s"',
        lambda m: changes.refresh(m, "paint", other),
    )


def test_only_a_different_resource_counts(deployed: Model) -> None:
    app = deployed.applications["paint"]
    assert not changes.attach_resources(deployed, "paint", dict(IMAGE))
    assert app.charm_modified == 0
    newer = Resource("paint-image", "oci-image", "x/paint:2")
    assert changes.attach_resources(deployed, "paint", {"paint-image": newer})
    assert (app.charm_modified, app.resources["paint-image"].revision) == (1, 1)
    assert app.resources["paint-image"].value == "x/paint:2"


# --- Tasks ---


def test_an_action_gets_the_defaults_of_its_schema(deployed: Model) -> None:
    operation = changes.begin_operation(deployed)
    action = changes.enqueue_action(
        deployed, "paint/0", "mix", {"with": "blue"}, NOW, operation=operation
    )
    assert (operation, action.id, action.operation) == (1, 2, 1)
    assert action.parameters == {"with": "blue", "parts": 1}
    assert (action.status, action.enqueued) == ("pending", NOW)


@pytest.mark.parametrize(
    ("unit", "name", "parameters", "words"),
    [
        ("paint/9", "mix", {}, 'unit "paint/9" not found'),
        ("paint/leader", "mix", {}, 'could not determine leader for "paint"'),
        ("paint/0", "nope", {}, 'action "nope" not defined on unit "paint/0" (not found)'),
        ("paint/0", "mix", {}, '(root) : "with" property is missing and required, given'),
        ("paint/0", "mix", {"with": 3}, "(root).with : must be of type string, given 3"),
        (
            "paint/0",
            "mix",
            {"with": "x", "parts": 0},
            "(root).parts : must be greater than or equal to 1",
        ),
        (
            "paint/0",
            "mix",
            {"with": "x", "sugar": 1},
            '(root) : additional property "sugar" is not allowed',
        ),
    ],
)
def test_an_action_that_cannot_run_is_refused(
    deployed: Model, unit: str, name: str, parameters: dict[str, Any], words: str
) -> None:
    refused(deployed, words, lambda m: changes.enqueue_action(m, unit, name, parameters, NOW))


def test_only_so_many_tasks_that_ended_are_kept(
    deployed: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localjuju.changes._tasks.KEPT", 2)
    waiting = changes.enqueue_action(deployed, "paint/0", "spill", {}, NOW)
    for _ in range(4):
        ended = changes.enqueue_action(deployed, "paint/0", "spill", {}, NOW)
        ended.status = "completed"
    newest = changes.enqueue_action(deployed, "paint/0", "spill", {}, NOW)
    assert sorted(deployed.actions) == [waiting.id, ended.id - 1, ended.id, newest.id]


def test_the_leader_is_found_by_name(deployed: Model) -> None:
    deployed.applications["paint"].leader = "paint/1"
    action = changes.enqueue_action(deployed, "paint/leader", changes.EXEC, {"command": "x"}, NOW)
    assert action.unit == "paint/1"


def test_only_a_waiting_task_can_be_cancelled(deployed: Model) -> None:
    action = changes.enqueue_action(deployed, "paint/0", "spill", {}, NOW)
    assert changes.cancel_task(deployed, action.id, NOW + 1).status == "cancelled"
    refused(deployed, "already cancelled", lambda m: changes.cancel_task(m, action.id, NOW + 2))
    refused(deployed, 'task "77" not found', lambda m: changes.cancel_task(m, 77, NOW))


# --- User secrets ---


def test_rules_of_secrets_are_refused_changes(deployed: Model) -> None:
    data = {"password": "aHVudGVyMg=="}
    given = {"secret_id": "0" * 20, "now": NOW}
    changes.add_secret(deployed, "recipe", data, **given)
    changes.grant_secret(deployed, "recipe", ["paint", "wall"])
    for words, change in [
        (
            'secret with name "recipe" already exists',
            lambda m: changes.add_secret(m, "recipe", data, secret_id="1" * 20, now=NOW),
        ),
        (
            'application "nope" not found',
            lambda m: changes.grant_secret(m, "recipe", ["paint", "nope"]),
        ),
        ('secret "nope" not found', lambda m: changes.revoke_secret(m, "nope", ["paint"])),
        ('key "A" not valid', lambda m: changes.update_secret(m, "recipe", data={"A": ""}, now=1)),
    ]:
        refused(deployed, words, change)
    changes.revoke_secret(deployed, "recipe", ["paint", "wall"])
    assert deployed.secrets["0" * 20].grants == []
    assert changes.update_secret(deployed, "recipe", now=NOW, data={"password": "eA=="}) == 2
    changes.remove_secret(deployed, "recipe")
    assert deployed.secrets == {}
