"""Documents say what is so: commands exist, links lead somewhere, steps work, folders explain."""

import ast
import configparser
import contextlib
import dataclasses
import fnmatch
import importlib
import importlib.metadata
import importlib.util
import io
import pathlib
import pkgutil
import re
import shlex
import shutil
import subprocess
import warnings

import click
import pytest
import yaml
from ops import testing

from charmkit import interfaces
from charmkit.interfaces import mysql_client
from helio import charmdocs
from helio.cli import reference
from helio.cli.main import helio
from helio.embedded import program
from helio.tree import find_tree
from localjuju.cli import reference as engine_reference
from localjuju.cli.main import juju_group, localjuju_group

ROOT = find_tree().root
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGES.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "bundles").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\./)?(?:helio|juju|tox|tests/run)\b[^`\n]*)`")
LINK = re.compile(r"\]\(([^)#]+)(#[^)]*)?\)")

# Programs of other people that appear in shell blocks.
FOREIGN = {"client/bin/pip", "python3", "mkdir", "printf", "tee", "uv", "podman"}


def shell_lines(text: str) -> list[str]:
    blocks = [body for kind, body in BLOCK.findall(text) if kind in ("sh", "shell", "bash")]
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def simple_commands(line: str) -> list[list[str]]:
    """Return the commands of a line, without sudo and variables in front of them."""
    words: list[list[str]] = [[]]
    for word in shlex.split(line):
        if word in ("|", "&&", ";"):
            words.append([])
        else:
            words[-1].append(word)
    return [strip(command) for command in words]


def strip(words: list[str]) -> list[str]:
    while words and (words[0] in ("sudo", "-E", "export") or re.match(r"[A-Z_]+=", words[0])):
        words = words[1:]
    return words


def check(words: list[str]) -> None:
    """Hold a command against the program that it names.

    Raises:
        AssertionError: there is no such program, command or option, a value cannot be used, or an
            argument is missing.
    """
    name, *rest = words
    match name.removeprefix("./"):
        case "helio":
            parse(helio, rest, "helio")
        case "juju":
            parse(juju_group(), rest, "juju")
        case ".venv/bin/localjuju":
            parse(localjuju_group(), rest, "localjuju")
        case "tests/run":
            assert (ROOT / "tests" / "run").is_file()
            assert not rest or rest[0] in ("--fast", "-k"), words
        case "tox" | ".tox/tools/bin/tox":
            check_tox(rest)
        case "openstack" | "client/bin/openstack":
            parse_openstack(rest)
        case other:
            assert other in FOREIGN, f"nobody knows {other}"


def parse(
    command: click.Command, arguments: list[str], name: str, above: click.Context | None = None
) -> None:
    """Parse arguments as the program would, values too, without running it.

    Raises:
        AssertionError: the program would refuse them.
    """
    is_help = contextlib.suppress(click.exceptions.Exit)  # `--help` ends a program well,
    quiet = contextlib.redirect_stdout(io.StringIO())  # and prints
    try:
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=above)
            _, left, _ = command.make_parser(context).parse_args([*arguments])
            if left:
                found = command.get_command(context, left[0])
                assert found is not None, f"{name} has no command {left[0]}"
                parse(found, left[1:], f"{name} {left[0]}", context)
        elif name == "helio juju":
            parse(juju_group(), arguments, "juju")
        else:
            with is_help, quiet:
                command.make_context(name, [*arguments], parent=above)
    except click.UsageError as error:
        raise AssertionError(f"{name}: {error.format_message()}") from error


def parse_openstack(arguments: list[str]) -> None:
    """Parse arguments as the OpenStack client and its plugins would.

    Raises:
        AssertionError: there is no such command, or it would refuse them.
    """
    if arguments[:1] == ["--os-cloud"]:
        assert arguments[1:2] in (["helio"], ["demo"]), "`helio cloud-config` writes these"
        arguments = arguments[2:]
    points = importlib.metadata.entry_points()
    groups = [group for group in points.groups if re.fullmatch(r"openstack\.\w+\.v\d+", group)]
    known = {point.name: point for group in sorted(groups) for point in points.select(group=group)}
    names = {n: "_".join(arguments[:n]) for n in range(len(arguments), 0, -1)}
    length = next((n for n, name in names.items() if name in known), 0)
    assert length, f"openstack has no command {' '.join(arguments)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the client's libraries
        parser = known[names[length]].load()(None, None).get_parser(names[length])
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            parser.parse_args(arguments[length:])
    except SystemExit as ended:
        raise AssertionError(f"openstack {' '.join(arguments)}: {told.getvalue()}") from ended


def check_tox(arguments: list[str]) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    if arguments:
        assert arguments[0] == "-e"
        assert f"testenv:{arguments[1]}" in config.sections()


def identify(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_in_shell_blocks_exist(page):
    for line in shell_lines(page.read_text()):
        for words in simple_commands(line):
            if words:
                check(words)


@pytest.mark.parametrize(
    "line",
    [
        "sudo ./helio nonsense",
        "sudo ./helio validate nonsense",
        "sudo ./helio status --format xml",
        "sudo ./helio enable",
        "sudo ./helio node add --count none",
        "sudo ./helio juju nonsense",
        "sudo ./helio juju deploy",
        "openstack server lst",
        "openstack --os-cloud other server list",
        "openstack server list --nonsense",
        "openstack console log show",
    ],
)
def test_a_command_that_its_program_refuses_is_found(line):
    (words,) = simple_commands(line)
    with pytest.raises(AssertionError):
        check(words)


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_in_the_text_exist(page):
    text = BLOCK.sub("", page.read_text())
    for line in INLINE.findall(text):
        # `helio images build <name>`: what stands in angle brackets is the reader's.
        words = shlex.split(re.sub(r"<[^>]*>|…|\[[^]]*\]", "x", line))
        if len(words) > 1:
            name = words[0].removeprefix("./")
            groups = {"helio": helio, "juju": juju_group()}
            if name in groups:
                context = click.Context(groups[name])
                is_option = words[1].startswith("-")
                assert is_option or groups[name].get_command(context, words[1]), line


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere(page):
    for target, _ in LINK.findall(page.read_text()):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_index():
    reached: set[pathlib.Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [target for target, _ in LINK.findall(page.read_text())]
        waiting += [
            (page.parent / target).resolve() for target in targets if target.endswith(".md")
        ]
    assert [identify(page) for page in (ROOT / "docs").rglob("*.md") if page not in reached] == []


def test_the_reference_is_what_the_program_says():
    assert reference.path(find_tree()).read_text() == reference.render(), (
        "run `python -m helio.cli.reference` and commit the result"
    )


def test_the_charms_reference_is_what_their_metadata_says():
    tree = find_tree()
    assert charmdocs.path(tree).read_text() == charmdocs.render(charmdocs.read(tree)), (
        "run `python -m helio.charmdocs` and commit the result"
    )


def test_the_engines_reference_is_what_its_programs_say():
    page = ROOT / "docs" / "reference" / "juju.md"
    assert page.read_text() == engine_reference.render(), (
        f"run `python -m localjuju.cli.reference {page.relative_to(ROOT)}` and commit the result"
    )


def test_every_interface_and_all_its_keys_are_in_the_reference():
    page = (ROOT / "docs" / "reference" / "interfaces.md").read_text()
    parts = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    # A key stands there itself, or by a pattern such as `admin-user-*`.
    told = {
        name: [fnmatch.translate(word) for word in re.findall(r"`([^`\n]+)`", text)]
        for name, text in parts.items()
    }
    modules = {
        each.name.replace("_", "-"): importlib.import_module(f"charmkit.interfaces.{each.name}")
        for each in pkgutil.iter_modules(interfaces.__path__)
        if not each.name.startswith("_")
    }
    assert {name.replace("_", "-") for name in parts} == set(modules)
    missing = {
        f"{name}: {key}"
        for name, patterns in told.items()
        for key in wire_keys(modules[name.replace("_", "-")])
        if not any(re.match(pattern, key) for pattern in patterns)
    }
    assert not missing


def wire_keys(module) -> set[str]:
    """Return the keys of the databags that a module of an interface declares."""
    bags = [
        value
        for name, value in vars(module).items()
        if name.endswith("Bag") and dataclasses.is_dataclass(value)
    ]
    return {
        field.metadata.get("key", field.name.replace("_", "-"))
        for bag in bags
        for field in dataclasses.fields(bag)
    }


def test_the_readme_begins_with_the_two_commands():
    lines = shell_lines((ROOT / "README.md").read_text())
    assert lines[:2] == ["sudo ./helio bootstrap", "sudo tests/run"]


def test_ci_runs_the_readmes_command():
    text = (ROOT / ".ci" / "run").read_text()
    assert "exec tests/run" in text


def test_every_page_is_listed_in_the_decisions_index():
    folder = ROOT / "docs" / "decisions"
    numbers = [path.name[:4] for path in sorted(folder.glob("[0-9]*.md"))]
    assert len(numbers) == len(set(numbers))
    for path in folder.glob("[0-9]*.md"):
        text = path.read_text()
        for heading in ("Context", "Decision", "Consequences", "Not chosen"):
            assert f"## {heading}\n" in text, f"{path.name} lacks {heading}"


def folders() -> list[pathlib.Path]:
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    found = {pathlib.Path(name).parent for name in listing if "/" in name}
    tops = {"charms", "lib", "images", "tests", "docs", "src"}
    # What a file system of an image looks like is explained where the image is.
    explained_above = {"src", "templates", "files"}
    return sorted(
        folder
        for folder in found
        if folder.name not in tops
        and not explained_above & set(folder.parts[2:])
        and not folder.name.startswith(".")
        # tests/unit/<package>/<part> mirrors the package.
        and not (folder.parts[:2] == ("tests", "unit") and len(folder.parts) > 3)
    )


@pytest.mark.parametrize("folder", folders(), ids=str)
def test_a_folder_explains_itself(folder):
    """By a README, by the docstring of its package, or by a README above for files of one kind."""
    readme = ROOT / folder / "README.md"
    package = ROOT / folder / "__init__.py"
    if readme.is_file():
        assert readme.read_text().strip()
        return
    if package.is_file():
        assert ast.get_docstring(ast.parse(package.read_text()))
        return
    above = [ROOT / parent / "README.md" for parent in folder.parents][:-1]
    above += [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "README.md"]
    named = [page for page in above if page.is_file() and folder.name in page.read_text()]
    assert named, f"{folder} has no README.md, and nothing above says what it is for"


def add_charm(root: pathlib.Path) -> None:
    """Do what CONTRIBUTING's five steps say, with the text that stands there."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    steps = text[text.index("## Add a charm") : text.index("## Review")]
    for name in ("charmcraft.yaml", "pyproject.toml", "src/charm.py", r"src/templates/\S+"):
        found = re.search(rf"`(charms/\S+/{name})`[^`]*```\w+\n(.*?)```", steps, re.DOTALL)
        assert found, name
        path = root / found[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found[2])
    manifest = root / "bundles" / "manifest.yaml"
    lines = manifest.read_text()
    for key in ("applications", "images"):
        added = re.search(rf"under `{key}`[^`]*```yaml\n(.*?)```", steps, re.DOTALL)
        assert added
        lines = re.sub(rf"^{key}:\n", f"{key}:\n{added[1]}", lines, flags=re.MULTILINE)
    manifest.write_text(lines)


def test_the_charm_of_the_five_steps_works(tmp_path):
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles")
    add_charm(tmp_path)
    folder = tmp_path / "charms" / "barometer-k8s"
    spec = importlib.util.spec_from_file_location("barometer", folder / "src" / "charm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metadata = yaml.safe_load((folder / "charmcraft.yaml").read_text())
    config = {"options": metadata.pop("config")["options"]}
    context = testing.Context(module.BarometerCharm, meta=metadata, config=config)
    mounts = {
        name: testing.Mount(location=f"/{name}", source=tmp_path / name) for name in ("etc", "var")
    }
    for mount in mounts.values():
        mount.source.mkdir()
    container = testing.Container("barometer", can_connect=True, mounts=mounts)
    state = testing.State(
        leader=True, containers={container}, relations={testing.PeerRelation("peers")}
    )
    state = context.run(context.on.pebble_ready(container), state)
    assert state.unit_status == testing.BlockedStatus("missing integration: database")
    side = mysql_client.provider_side({"database": "barometer"}, {})
    secrets = {
        testing.Secret(tracked_content=dict(content), id=uri)
        for uri, content in side.secrets.items()
    }
    database = testing.Relation("database", remote_app_data=dict(side.app_bag))
    state = dataclasses.replace(state, secrets=secrets, relations={*state.relations, database})
    state = context.run(context.on.relation_changed(database, remote_unit=0), state)
    assert state.unit_status == testing.ActiveStatus()
    assert state.get_container("barometer").services["barometer"].is_running()
    assert "mysql+pymysql://" in (tmp_path / "etc" / "barometer.conf").read_text()


def test_a_charm_is_added_in_five_steps(tmp_path):
    for name in ("charms", "lib", "images", "bundles"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "uv.lock", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    add_charm(tmp_path)
    uv = program("uv")

    def run(*argv: str | pathlib.Path) -> str:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(tmp_path / "lib" / "helio" / "src"),
            "UV_CACHE_DIR": str(ROOT / "build" / "cache" / "uv"),
        }
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(uv, "lock", "--quiet", "--system-certs", "--python", "/usr/bin/python3")
    run(program("python"), "-m", "helio.cli.main", "bundle", "generate")
    assert "good" in run(program("python"), "-m", "helio.cli.main", "bundle", "check")
    text = (tmp_path / "bundles" / "openstack.yaml").read_text()
    bundle = next(yaml.safe_load_all(text))
    assert ["mariadb:database", "barometer:database"] in bundle["relations"]
    out = run(program("python"), "-m", "helio.cli.main", "pack", "barometer-k8s")
    assert "barometer-k8s_debian-12-amd64.charm" in out
