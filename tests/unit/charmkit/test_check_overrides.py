"""The script that holds overrides against a service's option lists; the lists are a fake's."""

import importlib.metadata
import importlib.util
import io
import json
import pathlib
import sys

import pytest

from charmkit.templates import OURS


class Entry:
    """An entry point: its name, and the function that lists options."""

    def __init__(self, name, listed):
        self.name = name
        self._listed = listed

    def load(self):
        return lambda: self._listed


class Old:
    """A name that an option had before."""

    def __init__(self, name=None, group=None):
        self.name = name
        self.group = group


class Opt:
    """An option as oslo.config describes it."""

    def __init__(self, name, type_=str, multi=False, old=()):
        self.name = name
        self.dest = name.replace("-", "_")
        self.type = type_
        self.multi = multi
        self.deprecated_opts = old


class Group:
    """An option group given as an object."""

    def __init__(self, name):
        self.name = name


ENTRIES = [
    Entry(
        "web",
        [
            (None, [Opt("debug"), Opt("state-path")]),
            ("token", [Opt("expiration", int, old=[Old("expires"), Old("ttl", "legacy")])]),
            (Group("filters"), [Opt("enabled", multi=True)]),
        ],
    )
]


@pytest.fixture
def script(monkeypatch):
    path = pathlib.Path(OURS) / "check_overrides.py"
    spec = importlib.util.spec_from_file_location("check_overrides", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.importlib.metadata, "entry_points", lambda group: ENTRIES)
    return module


@pytest.fixture
def check(script, monkeypatch, capsys):
    def run(*overrides, namespaces=("web",), dynamic_groups=()):
        request = {
            "namespaces": namespaces,
            "dynamic_groups": dynamic_groups,
            "overrides": [
                {"source": "config-overrides", "group": group, "option": option, "values": values}
                for group, option, *values in overrides
            ],
        }
        monkeypatch.setattr(script.sys, "stdin", io.StringIO(json.dumps(request)))
        script.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_known_options_are_accepted(check):
    assert check(("DEFAULT", "debug", "true"), ("token", "expiration", "60")) == []


def test_an_unknown_option_is_named(check):
    assert check(("token", "expirationn", "60")) == [
        "config-overrides: unknown option [token] expirationn"
    ]


def test_an_unknown_group_is_named(check):
    assert check(("tokens", "expiration", "60")) == [
        "config-overrides: unknown option [tokens] expiration"
    ]


def test_a_value_of_the_wrong_type_is_named(check):
    (problem,) = check(("token", "expiration", "soon"))
    assert problem.startswith("config-overrides: [token] expiration: invalid literal")


def test_an_option_is_known_with_dashes_and_underscores(check):
    assert check(("DEFAULT", "state-path", "/x"), ("DEFAULT", "state_path", "/x")) == []


def test_older_names_are_known(check):
    assert check(("token", "expires", "60"), ("legacy", "ttl", "60")) == []
    assert len(check(("legacy", "ttl", "soon"))) == 1


def test_several_values_are_for_options_that_take_several(check):
    assert check(("filters", "enabled", "a", "b")) == []
    assert check(("DEFAULT", "debug", "a", "b")) == [
        "config-overrides: [DEFAULT] debug can have one value only"
    ]


def test_a_value_that_refers_to_another_option_is_left_to_the_service(check):
    assert check(("token", "expiration", "$ttl")) == []


def test_groups_that_are_made_up_at_run_time_are_left_to_the_service(check):
    assert check(("backend1", "anything", "x"), dynamic_groups=["backend1"]) == []
    assert check(("token", "driver", "x"), dynamic_groups=["token"]) == []
    assert len(check(("token", "expiration", "x"), dynamic_groups=["token"])) == 1


def test_everything_that_is_wrong_is_named(check):
    assert len(check(("a", "b", "1"), ("token", "expiration", "x"), ("c", "d", "1"))) == 3


def test_a_namespace_that_the_environment_lacks_is_an_error(check):
    with pytest.raises(SystemExit, match="no option lists of other"):
        check(namespaces=("web", "other"))


LACKING = """\
from no_such_client import errors, http

class Download(http.Base):
    @http.util.positional(1)
    def fetch(self):
        raise errors.HttpError

def list_opts():
    return [("backup", ["an option"])]
"""


def test_a_driver_whose_library_is_missing_hides_no_options(script, tmp_path, monkeypatch):
    (tmp_path / "service_opts.py").write_text(LACKING)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = importlib.metadata.EntryPoint("x", "service_opts:list_opts", "oslo.config.opts")
    before = list(sys.meta_path)
    assert script._StandIns().load(entry)() == [("backup", ["an option"])]
    assert sys.meta_path == before


def test_a_service_that_is_missing_itself_is_an_error(script):
    class Broken:
        def load(self):
            raise ModuleNotFoundError("no service", name="service")

    with pytest.raises(ModuleNotFoundError):
        script._StandIns().load(Broken())
