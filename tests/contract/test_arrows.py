"""Imports run one way: charms → charmkit; helio → localjuju in one place; nobody the other way."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("charmkit", "localjuju", "helio")

# Package → packages of ours that it may import.
ALLOWED = {"charmkit": set(), "localjuju": set(), "helio": set()}

# OpenStack's services and what goes with them: the engine has no business knowing them. Placement
# is missing, because the word is also Juju's.
SERVICES = re.compile(
    r"\b(keystone|nova|neutron|glance|cinder|heat|horizon|barbican|octavia|designate"
    r"|magnum|manila|ironic|swift|openstack|mariadb|galera|rabbitmq|ovn|ceph|oslo)\b",
    re.IGNORECASE,
)


def sources(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: pathlib.Path) -> set[str]:
    """Return the top packages that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_library_imports_no_other_one(package):
    others = set(PACKAGES) - {package} - ALLOWED[package]
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported(path) & others)
        for path in sources(ROOT / "lib" / package / "src")
        if imported(path) & others
    }
    assert wrong == {}


def test_charms_import_charmkit_only():
    paths = sources(ROOT / "charms")
    assert paths
    wrong = {
        str(path.relative_to(ROOT)): imported(path) & {"localjuju", "helio"} for path in paths
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def test_charms_import_no_other_charm():
    for charm in (path for path in (ROOT / "charms").iterdir() if path.is_dir()):
        own = {path.stem for path in sources(charm)}
        others = {path.stem for path in sources(ROOT / "charms")} - own
        for path in sources(charm):
            # Templates run beside the service, and its packages bear the names of our modules.
            if "templates" not in path.parts:
                assert not imported(path) & others, path


def test_only_one_module_of_helio_knows_the_engine():
    naming = {
        path.name
        for path in sources(ROOT / "lib" / "helio" / "src")
        if re.search(r"localjuju", path.read_text(), re.IGNORECASE)
    }
    assert naming == {"embedded.py"}


def test_the_engine_knows_no_service():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "lib" / "localjuju").rglob("*"))
        if path.is_file() and path.suffix in {".py", ".c", ".h", ".sh", ".toml", ".md", ".sql"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SERVICES.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_charmkit_knows_no_substrate():
    words = re.compile(r"\b(podman|microk8s|localjuju)\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(ROOT / "lib" / "charmkit" / "src")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_library_class_is_a_charm():
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources(ROOT / "lib")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any("CharmBase" in ast.unparse(parent) for parent in node.bases)
    ]
    assert not wrong, "\n".join(wrong)


def test_charms_do_without_defer_and_stored_state():
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("charms", "lib/charmkit")
        for path in sources(ROOT / folder)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\.defer\(|StoredState\(", line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("charm", "limit"), [("placement-k8s", 60), ("keystone-k8s", 120)])
def test_a_charm_is_short(charm, limit):
    lines = (ROOT / "charms" / charm / "src" / "charm.py").read_text().splitlines()
    assert len(lines) < limit
