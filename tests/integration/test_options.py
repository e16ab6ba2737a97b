"""Every option that a charm writes is one that the service of the image knows.

The charms write their files for units that have all that they can have; the volume service has a
backend of each driver, too. No cloud is needed: the image has the services' own lists of options.
"""

import configparser
import dataclasses
import functools
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from charmworld import CHARMS, Charm, World, activate, begin, fake_programs, load
from ops import testing

import charmkit
from helio import images

CHECK = Path(charmkit.__file__).parent / "templates" / "check_overrides.py"
PYTHON = "/opt/openstack/bin/python3"
VALIDATOR = "/opt/openstack/bin/oslo-config-validator"

# Cinder's lists are those of all its drivers, and one of them imports at once what no image has.
STAND_IN = """\
class Any:
    def __getattr__(self, name):
        return self

    def __call__(self, *given):
        return given[0] if given and callable(given[0]) else self


util = Any()
MediaIoBaseDownload = object
"""

# Drivers are classes over Cinder's objects, which are registered before them.
IMPORT = """\
import sys

import cinder.objects
from oslo_utils.importutils import import_class

cinder.objects.register_all()
for path in sys.argv[1:]:
    import_class(path)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """An oslo.config file that a charm writes.

    Attributes:
        charm: The charm.
        path: Where the file stands.
        namespaces: The option lists.
        dynamic_groups: Groups whose options no list knows.
    """

    charm: str
    path: str
    namespaces: tuple[str, ...]
    dynamic_groups: tuple[str, ...]

    def __str__(self) -> str:
        """Name it in pytest's output."""
        return f"{self.charm}:{self.path}"

    @property
    def arguments(self) -> list[str]:
        """Give the arguments of oslo-config-validator, without the file's own."""
        lists = [word for name in self.namespaces for word in ("--namespace", name)]
        # Of this one the validator knows by itself that a plug-in adds options.
        others = [name for name in self.dynamic_groups if name != "keystone_authtoken"]
        return lists + [word for name in others for word in ("--exclude-group", name)]


def config_files() -> list[ConfigFile]:
    """Give every such file of every charm, sorted."""
    found = {
        ConfigFile(charm, file.path, file.namespaces, file.dynamic_groups)
        for charm in CHARMS
        for process in load(charm).service.processes
        for file in process.files
        if file.namespaces
    }
    return sorted(found, key=str)


FILES = config_files()
VOLUME = load("cinder-volume")
DRIVERS = VOLUME.module.drivers.DRIVERS
OTHER = VOLUME.module.drivers.OTHER

# What is said where a text must be one of a few words.
WORDS = {"type": "thin", "address": "10.0.0.6", "protocol": "iscsi"}
SAMPLES = {"integer": 443, "boolean": True, "list": ["one", "two"]}


def every_driver() -> tuple[str, list[testing.Secret]]:
    """Give the option `backends` with a backend of each driver, all of it said, and its secrets.

    Backends have the drivers' names.
    """
    told: dict[str, dict[str, object]] = {}
    secrets: list[testing.Secret] = []
    for name, driver in DRIVERS.items():
        if driver is OTHER:  # its options have no names of ours
            continue
        said = {
            each.name: SAMPLES.get(each.kind, WORDS.get(each.name, f"some-{each.name}"))
            for each in driver.settings
        }
        hidden = {
            each.name: str(said.pop(each.name)) for each in driver.settings if each.is_secret
        }
        told[name] = {"driver": name, **said}
        if hidden:
            secrets.append(testing.Secret(tracked_content=hidden))
            told[name]["secret"] = secrets[-1].id
    return yaml.safe_dump(told), secrets


def write(charm: Charm, folder: Path) -> Path:
    """Let a charm write its files for a unit that has everything; return the unit's root."""
    config, secrets = None, []
    if charm.name == VOLUME.name:
        option, secrets = every_driver()
        config = {"backends": option}
    with pytest.MonkeyPatch.context() as patches:
        world = World(charm, folder, fake_programs(patches), config=config, secrets=secrets)
        activate(begin(world))
        for endpoint in sorted(charm.endpoints("requires").keys() - set(charm.required)):
            world.integrate(endpoint)
        world.settle()
    assert world.status == testing.ActiveStatus()
    return world.machine.root if charm.is_machine else folder / charm.service.name


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns where the files of a charm's unit are, by the charm's name."""

    @functools.cache
    def find(charm: str) -> Path:
        return write(load(charm), tmp_path_factory.mktemp(charm))

    return find


def sections(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(default_section="", strict=False)
    parser.read_string(text)
    return parser


def as_listed(text: str) -> str:
    """Return a file with backends' sections under the name by which Cinder lists their options."""
    backends = sections(text).get("DEFAULT", "enabled_backends", fallback="").split(",")
    return functools.reduce(
        lambda now, name: now.replace(f"\n[{name}]\n", "\n[backend_defaults]\n"), backends, text
    )


@pytest.fixture(scope="module")
def in_image(
    image_store: images.Store, openstack_image: str, containers_conf: Path, tmp_path_factory: Any
) -> tuple[Path, Run]:
    """A folder, and what runs a program in a container of the image that sees it as /given."""
    folder = tmp_path_factory.mktemp("given")
    package = folder / "stand-in" / "googleapiclient"
    package.mkdir(parents=True)
    for name in ("__init__", "discovery", "errors"):
        (package / f"{name}.py").touch()
    (package / "http.py").write_text(STAND_IN)
    podman = image_store.command("podman")
    environment = {**os.environ, "CONTAINERS_CONF": str(containers_conf)}

    def run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [
            *podman, "run", "--rm", "--interactive", "--network", "none",
            "--volume", f"{folder}:/given:ro", "--env", "PYTHONPATH=/given/stand-in",
            "--user", "0", "--entrypoint", argv[0], openstack_image, *argv[1:],
        ]  # fmt: skip
        return subprocess.run(
            command, input=stdin, env=environment, capture_output=True, text=True, check=False
        )

    return folder, run


def problems(run: Run, file: ConfigFile, text: str) -> list[str]:
    """Return what is wrong with names and values, as our own check of overrides sees it."""
    parser = sections(text)
    overrides = [
        {"source": file.path, "group": group, "option": option, "values": [value]}
        for group in parser.sections()
        for option, value in parser.items(group)
    ]
    assert len(overrides) > 5
    request: Mapping[str, object] = {
        "namespaces": file.namespaces,
        "dynamic_groups": file.dynamic_groups,
        "overrides": overrides,
    }
    done = run(PYTHON, "/given/check.py", stdin=json.dumps(request))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_service_knows_every_option_that_its_charm_writes(file, written, in_image):
    folder, run = in_image
    text = as_listed((written(file.charm) / file.path.lstrip("/")).read_text())
    (folder / "good.conf").write_text(text)
    (folder / "bad.conf").write_text(f"{text}\n[oslo_concurrency]\nno_such_option = 1\n")
    (folder / "check.py").write_text(CHECK.read_text())

    good = run(VALIDATOR, "--input-file", "/given/good.conf", *file.arguments)
    assert good.returncode == 0, good.stderr
    bad = run(VALIDATOR, "--input-file", "/given/bad.conf", *file.arguments)
    assert bad.returncode == 1
    assert "oslo_concurrency/no_such_option" in bad.stderr, "it does find what is wrong"

    assert problems(run, file, text) == []


def test_every_driver_of_the_table_is_in_the_file_that_was_looked_at(written):
    (file,) = [each for each in FILES if each.charm == VOLUME.name]
    found = sections((written(file.charm) / file.path.lstrip("/")).read_text())
    for name, driver in DRIVERS.items():
        if driver is not OTHER:
            options = {each.option for each in driver.settings} - {""}
            assert options | set(driver.fixed) <= set(found.options(name)), name
    enabled = found.get("DEFAULT", "enabled_backends").split(",")
    assert set(enabled) == {"ceph", *DRIVERS} - {OTHER.name}


def test_the_image_has_the_class_of_every_driver(in_image):
    _, run = in_image
    paths = [each.path for each in (*DRIVERS.values(), VOLUME.module.drivers.CEPH) if each.path]
    done = run(PYTHON, "-c", IMPORT, *paths)
    assert done.returncode == 0, done.stderr
    wrong = run(PYTHON, "-c", IMPORT, f"{paths[0]}No")
    assert "LVMVolumeDriverNo cannot be found" in wrong.stderr
