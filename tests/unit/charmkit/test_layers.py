"""The layers of charmkit: each imports only those before it, and only the last talks to Juju."""

import ast
import pathlib

import charmkit

SOURCE = pathlib.Path(charmkit.__file__).parent

LAYERS = (
    {"spec"},
    {"authority", "service", "overrides", "templates"},
    {"keys", "interfaces"},
    {"api", "caching", "messaging", "packages", "records", "units"},
    {"kubernetes", "layout", "ownership"},
    {"plan", "target"},
    {"machine", "pebble", "publish", "workload"},
    {"observe"},
    {"reconciler"},
)
WITH_OPS = {"observe", "pebble", "publish", "reconciler"}


def modules():
    """Give module → its file; everything in a folder counts as that folder."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).parts
        # What stands in the folder templates runs in a workload container.
        if parts[0] not in ("__init__.py", "templates"):
            yield parts[0].removesuffix(".py"), path


def imports(path):
    """Give the names of modules that a file imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} == set().union(*LAYERS)


def test_a_layer_imports_only_those_before_it():
    order = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = [
        (name, imported)
        for name, path in modules()
        for imported in imports(path)
        if imported.startswith("charmkit.")
        and (other := imported.split(".")[1]) != name
        and order[other] >= order[name]
    ]
    assert wrong == []


def test_only_the_edge_talks_to_juju():
    users = {name for name, path in modules() if "ops" in set(imports(path))}
    assert users == WITH_OPS


def test_charmkit_knows_neither_the_engine_nor_the_command():
    wrong = [
        (name, imported)
        for name, path in modules()
        for imported in imports(path)
        if imported.split(".")[0] in ("helio", "localjuju")
    ]
    assert wrong == []


def test_nothing_in_charmkit_is_a_charm():
    classes = [
        node
        for _, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    bases = {each.name: [ast.unparse(base) for base in each.bases] for each in classes}
    assert [name for name, of in bases.items() if "ops.CharmBase" in of] == []
