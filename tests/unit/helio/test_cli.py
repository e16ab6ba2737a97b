import io
import json
import threading

import click
import pytest
from click.testing import CliRunner
from jubilant.statustypes import AppStatus, ModelStatus, Status, StatusInfo, UnitStatus
from openstack.exceptions import ConflictException

from helio import sdk
from helio.cli import context, credentials, main, status
from helio.cli.main import helio
from helio.host import HelioError, LocalHost
from helio.settings import Settings
from helio.steps import Ensure

STATUS = Status(
    model=ModelStatus("openstack", "caas", "c", "k", "3.6.24"),
    machines={},
    apps={
        "keystone": AppStatus(
            charm="local:keystone-k8s-0", charm_origin="local", charm_name="keystone-k8s",
            charm_rev=0, exposed=False, scale=1, address="10.131.0.5",
            app_status=StatusInfo("blocked", "missing integration: database"),
            units={"keystone/0": UnitStatus(
                StatusInfo("blocked", "missing integration: database"), StatusInfo("idle"),
                leader=True, address="10.131.1.2")},
        )
    },
)  # fmt: skip


@pytest.fixture
def no_cloud(monkeypatch, tmp_path):
    monkeypatch.setenv("HELIO_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def invoke(no_cloud, monkeypatch, capsys):
    """Run the whole program as root and return exit status, output and errors."""
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def run(*arguments: str):
        monkeypatch.setattr("sys.argv", ["helio", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


def commands(group: click.Group = helio, path: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("path", [" ".join(path) for path, _ in commands()])
def test_every_command_and_option_has_help(path):
    command = dict(commands())[tuple(path.split())]
    assert command.help
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", [" ".join(path) for path, _ in commands()])
def test_a_command_function_is_short(path):
    import inspect

    body = inspect.getsource(dict(commands())[tuple(path.split())].callback)
    text = body[body.rindex('"""') + 3 :]
    assert len(text.strip().splitlines()) <= 15


def test_the_program_shows_help():
    assert "bootstrap" in CliRunner().invoke(helio, ["--help"]).output


@pytest.mark.parametrize(
    "command",
    [
        "status", "openrc", "cloud-config", "juju", "configure", "launch", "validate", "dashboard",
        "node list", "node add", "node remove 1 --yes", "enable horizon", "disable horizon --yes",
    ],
)  # fmt: skip
def test_without_a_cloud_the_next_step_is_told(invoke, command):
    code, _, err = invoke(*command.split())
    command = " ".join(word for word in command.split() if word[0] not in "1-").removesuffix(
        " horizon"
    )
    assert code == 1
    assert err.startswith(f"error: cannot {command}: there is no cloud in ")
    assert "helio bootstrap" in err


def test_microk8s_is_refused_truthfully(invoke):
    code, out, err = invoke("bootstrap", "--substrate", "microk8s", "--yes")
    assert (code, out) == (1, "")
    assert err == (
        "error: cannot bootstrap on microk8s: this release only has the embedded substrate\n"
    )


def test_a_wrong_option_is_a_usage_error(invoke):
    code, _, err = invoke("status", "--format", "xml")
    assert code == 2
    assert "xml" in err


def test_an_ordinary_user_is_told_to_use_sudo(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HelioError, match="run: sudo helio destroy"):
        context.require_root("destroy")


def test_two_commands_do_not_change_a_cloud_at_once(tmp_path):
    found = Settings(home=tmp_path / "helio")
    with (
        context.alone(found, "bootstrap"),
        pytest.raises(HelioError, match="another helio is changing the cloud"),
        context.alone(found, "destroy"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_comes_while_somebody_is_in_turn_waits(tmp_path):
    found, order = Settings(home=tmp_path), []

    def come():
        with context.in_turn(found):
            order.append("second")

    second = threading.Thread(target=come)
    with context.in_turn(found):
        second.start()
        second.join(0.2)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]


def test_a_folder_of_somebody_elses_is_no_home(tmp_path):
    (tmp_path / "diary.txt").write_text("")
    with pytest.raises(HelioError, match=r"holds other things.*HELIO_HOME"):
        context.logged_host(Settings(home=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_an_error_of_several_lines_is_shown_in_one(monkeypatch, invoke):
    def fail(*_):
        raise HelioError("cannot read:\n  line one\n  line two")

    monkeypatch.setattr("helio.cli.status.require_cloud", fail)
    assert invoke("status")[2] == "error: cannot read: line one line two\n"


def test_an_error_names_the_log(monkeypatch, invoke, no_cloud):
    (no_cloud / "helio.log").write_text("")
    assert invoke("status")[2].endswith(f"log: {no_cloud / 'helio.log'}\n")


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, invoke):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("helio.cli.status.require_cloud", interrupt)
    code, _, err = invoke("status")
    assert code == 130
    assert "run the same command again" in err


@pytest.mark.parametrize(
    ("raised", "code", "last"),
    [
        (KeyboardInterrupt(), 130, "interrupted: go on with: helio launch vm-1"),
        (HelioError("cannot boot"), 1, "error: cannot boot; go on with: helio launch vm-1"),
        (ConflictException("full"), 1, "see: helio status; go on with: helio launch vm-1"),
    ],
)
def test_what_was_noted_on_an_error_is_told_last(monkeypatch, invoke, raised, code, last):
    def fail(*_):
        with sdk.errors("launch"):
            raised.add_note("go on with: helio launch vm-1")
            raise raised

    monkeypatch.setattr("helio.cli.status.require_cloud", fail)
    ended, _, err = invoke("status")
    assert ended == code
    assert err.rstrip().endswith(last)


def test_destroy_wants_an_answer_where_nobody_can_give_one(monkeypatch, invoke):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = invoke("destroy")
    assert code == 1
    assert "scripts give --yes" in err


def test_a_no_changes_nothing(monkeypatch, invoke, no_cloud):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda _question: False)
    for command in ("bootstrap", "destroy"):
        code, _, err = invoke(command)
        assert code == 1
        assert f"cannot {command}: the answer was no; nothing was changed" in err
    assert list(no_cloud.iterdir()) == []


@pytest.mark.parametrize(("options", "said"), [((), "Move all"), (("--force",), "is lost")])
def test_the_question_says_what_becomes_of_the_instances(monkeypatch, invoke, options, said):
    asked = []
    monkeypatch.setattr("helio.cli.node.require_cloud", lambda _what: None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", asked.append)
    assert invoke("node", "remove", "node-1", *options)[0] == 1
    assert said in asked[0]


@pytest.mark.parametrize(
    ("command", "module", "part", "title"),
    [
        ("validate", "helio.cli.validate", "helio.validation.validate", "Test the cloud: quick"),
        ("images build", "helio.cli.images", "helio.cli.images._builder", "Build images"),
    ],
)
def test_a_command_that_fails_ends_what_it_shows(
    monkeypatch, invoke, reporter, command, module, part, title
):
    def fail(*_):
        raise HelioError("cannot go on")

    monkeypatch.setattr("helio.cli.validate.require_cloud", lambda _what: Settings())
    monkeypatch.setattr(f"{module}.reporter", lambda: reporter)
    monkeypatch.setattr(part, fail)
    assert invoke(*command.split())[0] == 1
    assert reporter.events == [("started", title), ("failed", title)]


def test_a_rehearsal_of_configure_writes_nothing(monkeypatch, invoke, no_cloud):
    monkeypatch.setattr("helio.cli.configure.require_cloud", lambda _what: Settings(no_cloud))
    monkeypatch.setattr("helio.cli.clouds.Engine.connect", lambda _engine: None)
    monkeypatch.setattr("helio.clients.read_ca", lambda _juju: "PEM\n")
    monkeypatch.setattr("helio.clients.read_account", lambda _juju: None)
    monkeypatch.setattr("helio.clients._current", dict)
    monkeypatch.setattr("helio.cli.configure._wanted", lambda *_: None)
    monkeypatch.setattr("helio.demo.steps", lambda *_: [])
    code, out, _ = invoke("configure", "--dry-run")
    assert (code, out) == (0, f"  would write {no_cloud}/ca.pem (mode 0644)\n")
    assert not (no_cloud / "ca.pem").exists()


def test_bootstrap_goes_on_where_nobody_can_be_asked(monkeypatch, invoke):
    began = []
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("helio.cli.bootstrap._run", lambda *arguments: began.append(arguments))
    assert invoke("bootstrap")[0] == 0
    assert len(began) == 1


def test_destroying_nothing_is_no_error(invoke):
    code, out, _ = invoke("destroy", "--dry-run")
    assert code == 0
    assert "nothing to do" in out


@pytest.mark.parametrize(
    "command",
    [
        "bootstrap",
        "configure",
        "destroy",
        "disable",
        "enable",
        "launch",
        "node add",
        "node remove",
    ],
)
def test_what_changes_the_cloud_can_be_rehearsed_and_told_to_programs(command):
    found = dict(commands())[tuple(command.split())]
    names = {name for param in found.params for name in param.opts}
    assert {"--dry-run", "--format"} <= names


def test_a_rehearsal_for_programs_is_json_and_nothing_else(invoke):
    code, out, err = invoke("destroy", "--dry-run", "--format", "json")
    assert code == 0
    assert {step["state"] for step in json.loads(out)} <= {"skipped", "planned"}
    assert "nothing to do" in err


def test_a_rehearsal_neither_asks_nor_keeps_others_out(monkeypatch, invoke, tmp_path):
    found = Settings(home=tmp_path / "helio")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("helio.cli.feature.require_cloud", lambda _what: found)
    monkeypatch.setattr("helio.cli.feature._switch", lambda *_: (None, Nothing()))
    with context.alone(found, "bootstrap"):
        assert invoke("disable", "horizon", "--dry-run")[:2] == (
            0,
            "Remove horizon: nothing to do\n",
        )
        code, _, err = invoke("disable", "horizon", "--yes")
    assert (code, "another helio is changing the cloud" in err) == (1, True)


def test_a_result_for_programs_says_what_became_of_the_steps(monkeypatch, invoke, tmp_path):
    monkeypatch.setattr(
        "helio.cli.feature.require_cloud", lambda _what: Settings(home=tmp_path / "helio")
    )
    monkeypatch.setattr("helio.cli.feature._switch", lambda *_: (None, Nothing()))
    code, out, _ = invoke("disable", "horizon", "--yes", "--format", "json")
    assert (code, json.loads(out)) == (0, [{"step": "Remove horizon", "state": "skipped"}])
    assert invoke("disable", "horizon", "--yes")[1] == "horizon is disabled.\n"


class Nothing:
    """A switch of features that are gone already."""

    def disabling(self, name):
        return [Ensure(f"Remove {name}", "", lambda: True, lambda _reporter: None)]


def test_the_status_for_programs_names_what_is_missing():
    described = status.summary([STATUS])
    assert json.loads(json.dumps(described)) == described
    assert described["settled"] is False
    keystone = described["applications"]["keystone"]
    assert keystone["waits-for"] == "keystone/0 blocked: missing integration: database"
    assert keystone["units"]["keystone/0"]["leader"] is True


def test_the_status_for_people_has_a_row_for_each_application():
    assert status.rows(STATUS) == [
        ("keystone", "openstack", "0/1", "blocked", "10.131.0.5",
         "keystone/0 blocked: missing integration: database"),
    ]  # fmt: skip


def test_a_file_with_credentials_is_for_the_user_behind_sudo(monkeypatch, tmp_path):
    owners = []
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("SUDO_GID", "1001")
    monkeypatch.setattr("os.chown", lambda *arguments, **_: owners.append(arguments))
    output = tmp_path / "clouds.yaml"
    credentials._hand_over(LocalHost(), "secret", output)
    assert output.stat().st_mode & 0o777 == 0o600
    assert owners == [(output, 1000, 1001)]
