"""Bundles: strict reading, overlays, and the difference to a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from localjuju import bundle, changes
from localjuju.bundle import BundleError
from localjuju.model import Charm, Model, Resource

NOW = 1000.0
BASE = """
bundle: kubernetes
default-base: ubuntu@24.04
applications:
  paint:
    charm: ./paint.charm
    scale: 2
    trust: true
    options: {colour: blue, coats: 3}
    resources: {paint-image: "x/paint:1", palette: ./palette.txt}
    storage: {cans: 1G}
    constraints: mem=1G
  wall:
    charm: ./wall.charm
relations:
- [paint:colour, wall:colour]
"""


def write(folder: Path, text: str, name: str = "bundle.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


class Charms:
    def __init__(self, paint: Charm, wall: Charm) -> None:
        self.charms = {"paint": paint, "wall": wall}
        self.resources = {
            "paint": {"paint-image": Resource("paint-image", "oci-image", "x/paint:1")}
        }

    def plan(self, wanted: bundle.Bundle, model: Model, trust: bool = True) -> list[str]:
        found = bundle.plan(wanted, model, self.charms, self.resources, trust=trust, now=NOW)
        return [change.text for change in found]

    def apply(self, wanted: bundle.Bundle, model: Model) -> None:
        for change in bundle.plan(wanted, model, self.charms, self.resources, trust=True, now=NOW):
            change.edit(model)


@pytest.fixture
def known(paint_charm: Charm, wall_charm: Charm) -> Charms:
    return Charms(paint_charm, wall_charm)


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    overlay = write(
        tmp_path / "far", "applications: {wall: {charm: ../near/wall.charm}}", "o.yaml"
    )
    found = bundle.read(write(tmp_path / "b", BASE), [overlay])
    assert found.applications["paint"].charm == tmp_path / "b/paint.charm"
    assert found.applications["paint"].resources == {
        "paint-image": "x/paint:1",
        "palette": str(tmp_path / "b/palette.txt"),
    }
    assert found.applications["wall"].charm == tmp_path / "near/wall.charm"


def test_a_resource_that_is_a_file_beside_the_bundle_is_that_file(tmp_path: Path) -> None:
    write(tmp_path, "red", "palette.txt")
    text = BASE.replace("./palette.txt", "palette.txt").replace("./wall", "local:./wall")
    found = bundle.read(write(tmp_path, text))
    assert found.applications["paint"].resources["palette"] == str(tmp_path / "palette.txt")
    assert found.applications["wall"].charm == tmp_path / "wall.charm"


def test_an_overlay_merges_key_by_key_and_adds_relations(tmp_path: Path) -> None:
    overlay = """
applications:
  paint:
    num_units: 5
    options: {coats: 9}
    resources: {paint-image: "x/paint:2"}
relations:
- [paint:shade, wall:shade]
- [paint:colour, wall:colour]
"""
    found = bundle.read(write(tmp_path, BASE), [write(tmp_path, overlay, "o.yaml")])
    paint = found.applications["paint"]
    assert paint.scale == 5
    assert paint.options == {"colour": "blue", "coats": 9}
    assert paint.resources["paint-image"] == "x/paint:2"
    assert found.relations == (("paint:colour", "wall:colour"), ("paint:shade", "wall:shade"))


def test_an_application_without_value_goes_with_its_relations(tmp_path: Path) -> None:
    found = bundle.read(write(tmp_path, BASE + "\n---\napplications: {wall: ~}\n"))
    assert list(found.applications) == ["paint"]
    assert found.relations == ()


def test_options_may_come_from_files(tmp_path: Path) -> None:
    write(tmp_path, "azure\n", "colour.txt")
    text = BASE.replace("colour: blue", "colour: include-file://colour.txt")
    found = bundle.read(write(tmp_path, text))
    assert found.applications["paint"].options["colour"] == "azure\n"
    text = BASE.replace("colour: blue", "colour: include-base64://colour.txt")
    found = bundle.read(write(tmp_path, text))
    assert found.applications["paint"].options["colour"] == "YXp1cmUK"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bundle": "kubernets"}, "bundle: kubernets, expected kubernetes"),
        ({"aplications": {}}, "unknown key aplications"),
        ({"machines": {"0": {}}}, "no unit is placed on machine"),
        ({"saas": {"x": {"uri": "y"}}}, "saas x has no url"),
        ({"saas": {"paint": {"url": "a/m.x"}}}, "saas paint has the name of an application"),
        (
            {"applications": {"paint": {"charm": "./p", "offers": {"o": {"endpoints": ["a"]}}}}},
            "offers stand in overlays only",
        ),
        ({"applications": []}, "it has no applications"),
        ({"applications": {"paint": "x"}}, "paint is not a mapping"),
        ({"applications": {"paint": {"charm": "./p", "optoins": {}}}}, "unknown optoins"),
        ({"applications": {"paint": {"charm": "./p", "to": ["0"]}}}, "there is no machine 0"),
        ({"applications": {"paint": {"scale": 1}}}, "names no charm"),
        ({"applications": {"paint": {"charm": "paint"}}}, "is not a path"),
        (
            {"applications": {"paint": {"charm": "./p", "scale": 1, "num_units": 1}}},
            "both scale and num_units",
        ),
        ({"applications": {"paint": {"charm": "./p", "scale": "two"}}}, "scale 'two'"),
        ({"applications": {"paint": {"charm": "./p", "trust": "yes"}}}, "trust is 'yes'"),
        (
            {"applications": {"paint": {"charm": "./p", "resources": {"i": 3}}}},
            "store's revision 3",
        ),
        ({"relations": {"a": "b"}}, "relations is not a list"),
        ({"relations": [["paint:colour"]]}, "not a pair of ends"),
        ({"relations": [["paint:colour", "nope:x"]]}, "unknown application nope"),
        ({"relations": [["paint:colour", "paint:wall"]]}, "to itself"),
        ({"relations": [["wall", "paint"], ["paint", "wall"]]}, "twice"),
    ],
)
def test_what_a_bundle_cannot_say_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    document = {**yaml.safe_load(BASE), **change}
    if "applications" in change:
        document["relations"] = []
    path = write(tmp_path, yaml.safe_dump(document))
    with pytest.raises(BundleError, match=words) as caught:
        bundle.read(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        bundle.read(tmp_path / "nope.yaml")
    with pytest.raises(BundleError, match="cannot read bundle"):
        bundle.read(write(tmp_path, "applications: ["))
    with pytest.raises(BundleError, match="not a YAML mapping"):
        bundle.read(write(tmp_path, "- 1"))
    with pytest.raises(BundleError, match=r"gone\.txt: No such file"):
        bundle.read(write(tmp_path, BASE.replace("blue", "include-file://gone.txt")))


def test_everything_is_missing_in_an_empty_model(
    tmp_path: Path, model: Model, known: Charms
) -> None:
    wanted = bundle.read(write(tmp_path, BASE))
    assert [app.name for app in bundle.missing_applications(wanted, model)] == ["paint", "wall"]
    assert known.plan(wanted, model) == [
        "deploy application paint from charm paint.charm with 2 units",
        "deploy application wall from charm wall.charm with 1 unit",
        "add relation paint:colour - wall:colour",
    ]
    assert model.applications == {}, "planning touches nothing"


def test_a_second_run_has_nothing_to_do(tmp_path: Path, model: Model, known: Charms) -> None:
    wanted = bundle.read(write(tmp_path, BASE))
    known.apply(wanted, model)
    app = model.applications["paint"]
    assert (app.scale, app.trust, app.constraints) == (2, True, "mem=1G")
    assert app.config == {"colour": "blue", "coats": 3}
    assert bundle.missing_applications(wanted, model) == []
    assert known.plan(wanted, model) == []


def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, model: Model, known: Charms
) -> None:
    wanted = bundle.read(write(tmp_path, BASE))
    texts = known.plan(wanted, model)
    for done in range(len(texts)):
        part = copy.deepcopy(model)
        found = bundle.plan(wanted, part, known.charms, known.resources, trust=True, now=NOW)
        for change in found[:done]:
            change.edit(part)
        assert known.plan(wanted, part) == texts[done:]


def test_what_differs_is_brought_in_line_and_nothing_is_removed(
    tmp_path: Path, model: Model, known: Charms, wall_charm: Charm
) -> None:
    known.apply(bundle.read(write(tmp_path, BASE)), model)
    changes.deploy(model, wall_charm, "extra")
    changes.set_config(model, "paint", {"coats": "1", "glossy": "true"})
    changes.set_trust(model, "paint", trust=False)
    text = BASE.replace("scale: 2", "scale: 1\n    expose: true").replace("mem=1G", "mem=2G")
    wanted = bundle.read(write(tmp_path, text))
    assert known.plan(wanted, model) == [
        "set application options for paint: coats",
        'set constraints for paint to "mem=2G"',
        "trust application paint",
        "scale paint to 1 units",
        "expose application paint",
    ]
    known.apply(wanted, model)
    assert known.plan(wanted, model) == []
    assert model.applications["paint"].config["glossy"] is True
    assert "extra" in model.applications


def test_an_option_that_only_looks_different_needs_no_change(
    tmp_path: Path, model: Model, known: Charms
) -> None:
    wanted = bundle.read(write(tmp_path, BASE.replace("coats: 3", "coats: '3'")))
    known.apply(wanted, model)
    assert known.plan(wanted, model) == []


def test_an_option_at_its_default_needs_no_change(
    tmp_path: Path, model: Model, known: Charms
) -> None:
    known.apply(bundle.read(write(tmp_path, BASE)), model)
    changes.reset_config(model, "paint", ["coats"])
    wanted = bundle.read(write(tmp_path, BASE.replace("coats: 3", "coats: 2")))
    assert known.plan(wanted, model) == []


def test_trust_must_be_agreed_to(tmp_path: Path, model: Model, known: Charms) -> None:
    wanted = bundle.read(write(tmp_path, BASE))
    with pytest.raises(BundleError, match=r"--trust argument.*application\(s\): paint"):
        known.plan(wanted, model, trust=False)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("coats: 3", "coats: many", 'paint.*option "coats" expected int, got "many"'),
        ("coats: 3", "cats: 3", 'unknown option "cats"'),
        ("paint:colour, wall:colour", "paint:colour, wall:wall", "no relations found"),
        ("paint:colour, wall:colour", "paint, wall", "ambiguous relation"),
        ("cans: 1G", "tubs: 1G", 'no store called "tubs"'),
    ],
)
def test_what_will_fail_is_known_before_anything_is_done(
    tmp_path: Path, model: Model, known: Charms, old: str, new: str, words: str
) -> None:
    wanted = bundle.read(write(tmp_path, BASE.replace(old, new)))
    with pytest.raises(BundleError, match=words):
        known.plan(wanted, model)


# --- Machines ------------------------------------------------------------------------------------

BOXES = """
machines:
  "0": {constraints: image-id=x/machine:1}
  "1": {}
applications:
  box:
    charm: ./box.charm
    num_units: 3
    to: ["0", "1", new]
    bindings: {"": alpha, take: fast}
  lid:
    charm: ./lid.charm
  post:
    charm: ./post.charm
    to: ["1"]
relations:
- [lid, box]
"""
SPACES = ("alpha", "fast")


@pytest.fixture
def boxes(machines_model: Model, box_charms: dict[str, Charm]) -> Any:
    class Boxes:
        model = machines_model

        def plan(self, wanted: bundle.Bundle) -> list[bundle.Change]:
            return bundle.plan(
                wanted, self.model, box_charms, {}, trust=False, now=NOW, spaces=SPACES
            )

        def apply(self, wanted: bundle.Bundle) -> None:
            for change in self.plan(wanted):
                change.edit(self.model)

    return Boxes()


def test_machines_of_a_bundle_are_made_once_and_shared(tmp_path: Path, boxes: Any) -> None:
    changes.add_machine(boxes.model, NOW)  # its number is taken, the bundle's are its own
    wanted = bundle.read(write(tmp_path, BOXES))
    assert [change.text for change in boxes.plan(wanted)] == [
        "add new machine 0",
        "add new machine 1",
        "deploy application box from charm box.charm with 3 units",
        "deploy application lid from charm lid.charm with 0 units",
        "deploy application post from charm post.charm with 1 unit",
        "add relation lid - box",
    ]
    boxes.apply(wanted)
    model = boxes.model
    placed = {name: unit.machine for name, unit in model.units.items()}
    assert placed == {"box/0": "1", "box/1": "2", "box/2": "3", "post/0": "2"}
    assert model.machines["1"].constraints == "image-id=x/machine:1"
    assert model.applications["box"].bindings == {"": "alpha", "take": "fast"}
    assert boxes.plan(wanted) == []


def test_a_unit_that_left_is_added_again_on_its_machine_and_more_are_left_alone(
    tmp_path: Path, boxes: Any
) -> None:
    wanted = bundle.read(write(tmp_path, BOXES))
    boxes.apply(wanted)
    changes.add_units(boxes.model, "box", 1, NOW)
    assert boxes.plan(wanted) == []
    for name in ("box/2", "box/3"):
        changes.remove_named_unit(boxes.model, name)
    assert [change.text for change in boxes.plan(wanted)] == ["add 1 unit to box"]
    boxes.apply(wanted)
    assert boxes.model.units["box/4"].machine == "4"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"machines": {"0": {}, "1": {}, "2": {}}}, "no unit is placed on machine 2"),
        ({"machines": {"0": {}}}, "there is no machine 1"),
        ({"machines": {"0": {"lxd": 1}, "1": {}}}, "machine 0: unknown lxd"),
        ({"bundle": "kubernetes"}, "a kubernetes bundle cannot have machines"),
    ],
)
def test_machines_that_cannot_be_are_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = write(tmp_path, yaml.safe_dump({**yaml.safe_load(BOXES), **change}))
    with pytest.raises(BundleError, match=words):
        bundle.read(path)


def test_an_overlay_replaces_the_machines(tmp_path: Path) -> None:
    overlay = {"machines": {"0": {"constraints": "image-id=x/y:2"}, "1": None}}
    path = write(tmp_path, yaml.safe_dump(overlay), "overlay.yaml")
    wanted = bundle.read(write(tmp_path, BOXES), [path])
    assert wanted.machines == {"0": "image-id=x/y:2", "1": ""}


def test_a_kubernetes_bundle_is_not_for_machines(tmp_path: Path, boxes: Any) -> None:
    wanted = bundle.read(write(tmp_path, BASE))
    with pytest.raises(BundleError, match="has machines, no pods"):
        bundle.plan(wanted, boxes.model, {}, {}, trust=True, now=NOW)


def test_a_space_that_is_not_there_is_refused_before_anything_is_done(
    tmp_path: Path, boxes: Any
) -> None:
    path = write(tmp_path, BOXES.replace("fast", "slow"))
    with pytest.raises(BundleError, match='space "slow" not found; there are: alpha, fast'):
        boxes.plan(bundle.read(path))
