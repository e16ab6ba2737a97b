"""Machine charms: the target `Machine`, and the reconciler on one, with the service `agents`."""

import dataclasses
import grp
import os
import pathlib
import pwd
import stat

import ops
import pytest
from fakemachine import FakeMachine, System
from ops import testing

from charmkit import reconciler, units, workload
from charmkit.layout import Content, Workload
from charmkit.machine import Machine
from charmkit.reconciler import Reconciler
from charmkit.service import Check, File, Process, Service, Task, User
from charmkit.target import CommandError

AGENTS = Service(
    name="agents",
    packages=("daemon-system", "tools"),
    users=(User(name="nova", uid=42004, home="/var/lib/nova", groups=("kvm",)),),
    runtime="runtime",
    bindings=("tunnel",),
    inspect=lambda snapshot, sight: {"kernel": (sight.read("/proc/version") or "?").strip()},
    processes=(
        Process(
            name="daemon",
            unit="daemon.service",
            files=(File(path="/etc/daemon.conf", text="note = {{ config.note }}\n"),),
            environment={"ARGS": ""},
            stays=True,
        ),
        Process(name="helper", unit="helper@{{ addresses.unit_name }}.service"),
        Process(
            name="wires",
            command="/bin/sh /usr/lib/agents/wires {{ addresses.bindings.tunnel }}",
            files=(File(path="/usr/lib/agents/wires", text="true\n"),),
            once=True,
            stays=True,
        ),
        Process(
            name="agent",
            command="/opt/openstack/bin/agent",
            user="nova",
            group="nova",
            files=(
                File(path="/etc/agent.conf", text="debug = {{ config.debug }}\n"),
                File(path="/etc/agent.note", text="{{ machine.kernel }}", restarts=False),
            ),
            after=("daemon.service",),
            check=Check(command="probe-agent", patience=5),
        ),
        Process(
            name="client",
            command="/bin/client",
            files=(File(path="/etc/client.conf", text="server = {{ config.server }}\n"),),
            check=Check(command="probe-client", patience=5, until_answered=True),
        ),
    ),
    tasks=lambda snapshot, seen: [
        Task(
            name="define",
            argv=("define",),
            message="defining",
            inputs=("a",),
            on="unit",
            again=snapshot.config["note"] == "unfinished",
        )
    ],
)
META = {
    "name": "agents",
    "requires": {"ca": {"interface": "ca", "optional": True}},
    "extra-bindings": {"tunnel": None},
    "resources": {"runtime": {"type": "file", "filename": "runtime.tar.zst"}},
}
CONFIG = {
    "options": {
        "debug": {"type": "boolean", "default": False},
        "note": {"type": "string", "default": ""},
        "server": {"type": "string", "default": ""},
    }
}


class Programs:
    """What the machine's own programs do."""

    def __init__(self):
        self.silent = False
        self.server_is_away = False
        self.broken = False
        self.ran = []

    def __call__(self, argv, stdin):
        if argv[0] == "probe-agent":
            return int(self.silent), "", "no answer"
        if argv[0] == "probe-client":
            return int(self.server_is_away), "", "no connection"
        self.ran.append(argv[0])
        assert argv[0] == "define", argv
        return int(self.broken), "", "one\ntwo"


@pytest.fixture
def programs():
    return Programs()


@pytest.fixture
def system(tmp_path, programs):
    machine = System(tmp_path / "machine", ("daemon.service",), programs)
    (tmp_path / "machine/proc").mkdir()
    (tmp_path / "machine/proc/version").write_text("Linux 6\n")
    return machine


@pytest.fixture
def ctx(tmp_path, system, monkeypatch):
    class AgentsCharm(ops.CharmBase):
        def __init__(self, framework):
            super().__init__(framework)
            self.reconciler = Reconciler(self, AGENTS, tmp_path / "templates")

    monkeypatch.setattr(reconciler, "Machine", lambda service: FakeMachine(service, system))
    monkeypatch.setattr(workload.time, "sleep", lambda seconds: None)
    monkeypatch.setattr("socket.gethostname", lambda: "m0")
    system.units["helper@m0.service"] = "disabled"
    return testing.Context(AgentsCharm, meta=META, config=CONFIG)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "runtime.tar.zst"
    path.write_text("one")
    return path


@pytest.fixture
def fresh(archive):
    return testing.State(resources={testing.Resource(name="runtime", path=archive)})


@pytest.fixture
def running(ctx, fresh, system):
    for event in (ctx.on.install(), ctx.on.config_changed(), ctx.on.start()):
        fresh = ctx.run(event, fresh)
    return fresh


def started(system, action):
    """Give the units that start while something is done."""
    before = len(system.starts)
    action()
    return system.starts[before:]


def changed(ctx, state, **config):
    return ctx.run(ctx.on.config_changed(), dataclasses.replace(state, config=config))


def text(system, path):
    return (system.root / path.lstrip("/")).read_text()


# --- what must be there ------------------------------------------------------------------------


def test_install_brings_packages_users_and_the_runtime(ctx, fresh, system):
    ctx.run(ctx.on.install(), fresh)
    assert system.packages == {"daemon-system", "tools"}
    assert system.users == {"nova": ["nova", "kvm"]}
    assert system.owners["/var/lib/nova"] == ("nova", "nova")
    assert (system.root / "opt/openstack/bin").is_dir()


def test_what_is_there_is_not_brought_again(ctx, running, system):
    system.commands.clear()
    ctx.run(ctx.on.upgrade_charm(), running)
    assert {command[0] for command in system.commands} <= {"getent", "id", "probe-agent"}


def test_a_package_that_cannot_be_installed_fails_the_hook(ctx, fresh, system, monkeypatch):
    execute = system.execute
    broken = (100, "", "E: Unable to locate package tools")
    monkeypatch.setattr(
        system,
        "execute",
        lambda argv, stdin: broken if "install" in argv else execute(argv, stdin),
    )
    with pytest.raises(testing.errors.UncaughtCharmError, match="Unable to locate package tools"):
        ctx.run(ctx.on.install(), fresh)


def test_a_new_runtime_takes_the_place_of_the_old_one_and_restarts_what_uses_it(
    ctx, running, system, archive
):
    before = (system.root / "opt/openstack").readlink()
    archive.write_text("two")
    assert started(system, lambda: ctx.run(ctx.on.upgrade_charm(), running)) == ["agent.service"]
    after = (system.root / "opt/openstack").readlink()
    assert after != before
    there = sorted(path.name for path in (system.root / "opt").iterdir())
    assert there == ["openstack", str(after)]


def test_an_older_runtime_does_not_come_back_when_another_charm_brought_one(
    ctx, running, system, tmp_path
):
    other = tmp_path / "other.tar.zst"
    other.write_text("newer")
    FakeMachine("others", system).prepare(Service(name="others", runtime="runtime"), other)
    now = (system.root / "opt/openstack").readlink()
    assert started(system, lambda: ctx.run(ctx.on.upgrade_charm(), running)) == ["agent.service"]
    assert (system.root / "opt/openstack").readlink() == now


# --- start -------------------------------------------------------------------------------------


def test_everything_starts_in_order_once(running, system):
    assert system.starts == [
        "daemon.service",
        "helper@m0.service",
        "wires.service",
        "agent.service",
        "client.service",
    ]
    assert running.unit_status == testing.ActiveStatus()


def test_units_are_enabled(running, system):
    assert set(system.units.values()) == {"enabled"}


def test_a_second_run_changes_nothing(ctx, running, system, programs):
    def again():
        changed(ctx, running)
        ctx.run(ctx.on.update_status(), running)

    assert started(system, again) == []
    assert programs.ran == ["define"]


def test_an_own_unit_says_whose_rights_it_has_and_what_it_waits_for(running, system):
    lines = text(system, "/etc/systemd/system/agent.service").splitlines()
    assert "User=nova" in lines
    assert "After=network-online.target daemon.service" in lines
    assert "ExecStart=/opt/openstack/bin/agent" in lines
    assert "Restart=always" in lines


def test_what_sets_something_up_does_not_restart_when_it_ends(running, system):
    lines = text(system, "/etc/systemd/system/wires.service").splitlines()
    assert {"Type=oneshot", "RemainAfterExit=yes"} <= set(lines)
    assert not [line for line in lines if line.startswith("Restart")]
    assert "ExecStart=/bin/sh /usr/lib/agents/wires 192.0.2.0" in lines


def test_a_unit_of_the_distribution_keeps_its_own_text(running, system):
    assert not (system.root / "etc/systemd/system/daemon.service").exists()
    drop_in = text(system, "/etc/systemd/system/daemon.service.d/charmkit-agents.conf")
    assert 'Environment="ARGS="' in drop_in
    assert "ExecStart=" not in drop_in


def test_a_unit_about_which_we_say_nothing_gets_no_drop_in(running, system):
    assert not (system.root / "etc/systemd/system/helper@m0.service.d").exists()


def test_a_unit_that_does_not_start_fails_the_hook(ctx, fresh, system):
    system.failing.add("wires.service")
    with pytest.raises(testing.errors.UncaughtCharmError, match=r"Job for wires\.service failed"):
        ctx.run(ctx.on.config_changed(), ctx.run(ctx.on.install(), fresh))


# --- restarts ----------------------------------------------------------------------------------


def test_a_changed_file_restarts_its_process_only(ctx, running, system):
    assert started(system, lambda: changed(ctx, running, debug=True)) == ["agent.service"]
    assert started(system, lambda: changed(ctx, running, debug=True, note="x")) == [
        "daemon.service"
    ]


def test_a_file_that_restarts_nothing_is_written_without_one(ctx, running, system):
    (system.root / "proc/version").write_text("Linux 7\n")
    assert started(system, lambda: changed(ctx, running)) == []
    assert text(system, "/etc/agent.note") == "Linux 7"


def test_a_new_word_in_a_drop_in_restarts_nothing(ctx, running, system, monkeypatch):
    drop_in = units._drop_in
    monkeypatch.setattr(units, "_drop_in", lambda *given: [*drop_in(*given), "# a new word"])
    assert started(system, lambda: changed(ctx, running)) == []
    name = "daemon.service"
    assert "# a new word" in text(system, f"/etc/systemd/system/{name}.d/charmkit-agents.conf")
    assert "# a new word" in system.loaded[name], "systemd knows it for the next start"


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"environment": {"ARGS": "--listen"}}, True),
        ({"settings": ("ExecStartPost=/bin/true",)}, False),
        ({"after": ("other.socket",)}, False),
    ],
)
def test_a_unit_of_the_distribution_restarts_for_what_it_runs_with(change, restarts):
    def define(process):
        return units.define(process, service="agents", files=(), digest_of_files="f", runtime="")

    daemon = AGENTS.processes[0]
    before, after = define(daemon), define(dataclasses.replace(daemon, **change))
    assert before.text != after.text
    assert (before.digest != after.digest) is restarts


def test_settings_alone_need_no_restart(ctx, running, system):
    process = Process(name="switch", unit="daemon.service", settings=("ExecStartPost=/bin/true",))
    defined = units.define(process, service="agents", files=(), digest_of_files="", runtime="")
    assert (defined.digest, "ExecStartPre" in defined.text) == ("", False)
    real = FakeMachine("agents", system)
    wanted = Workload(container="agents", units=(defined,))
    assert not real.is_as_wanted(wanted)
    assert started(system, lambda: real.start(wanted)) == []
    assert real.is_as_wanted(wanted)


def test_a_hook_that_failed_before_the_restart_is_made_good(ctx, running, system):
    system.failing.add("daemon.service")
    with pytest.raises(testing.errors.UncaughtCharmError):
        changed(ctx, running, note="x", debug=True)
    system.failing.clear()

    def again():
        changed(ctx, running, note="x", debug=True)

    assert started(system, again) == ["daemon.service", "agent.service"]


def test_a_change_that_is_taken_back_after_a_failure_restarts_nothing_that_never_had_it(
    ctx, running, system
):
    system.failing.add("daemon.service")
    with pytest.raises(testing.errors.UncaughtCharmError):
        changed(ctx, running, note="x", debug=True)
    system.failing.clear()
    assert started(system, lambda: changed(ctx, running)) == []


def test_a_boot_needs_no_further_start(ctx, running, system):
    system.boot()
    assert started(system, lambda: ctx.run(ctx.on.start(), running)) == []


def test_a_boot_with_old_files_is_no_excuse(ctx, running, system):
    # The machine went down between a file and the definition that goes with it.
    unit = system.root / "etc/systemd/system/agent.service"
    unit.write_text(unit.read_text().replace("echo ", "echo 0"))
    system.boot()
    assert started(system, lambda: ctx.run(ctx.on.start(), running)) == ["agent.service"]


def test_a_process_that_was_stopped_is_started(ctx, running, system):
    system.active.discard("agent.service")
    assert started(system, lambda: ctx.run(ctx.on.update_status(), running)) == ["agent.service"]


# --- tasks and readiness -----------------------------------------------------------------------


def test_a_task_of_every_unit_runs_on_a_follower_and_needs_no_peers(running, programs):
    assert programs.ran == ["define"]


def test_a_task_that_left_something_undone_is_run_at_each_hook(ctx, running, programs):
    state = changed(ctx, running, note="unfinished")
    state = ctx.run(ctx.on.update_status(), state)
    assert len(programs.ran) == 3
    state = ctx.run(ctx.on.update_status(), changed(ctx, state, note="finished"))
    assert len(programs.ran) == 3


def test_a_task_that_fails_fails_the_hook_with_its_last_line(ctx, fresh, programs):
    programs.broken = True
    with pytest.raises(testing.errors.UncaughtCharmError, match="define exited 1: two"):
        ctx.run(ctx.on.config_changed(), ctx.run(ctx.on.install(), fresh))


def test_a_process_that_does_not_answer_is_named(ctx, running, system, programs, monkeypatch):
    programs.silent = True
    times = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(workload.time, "monotonic", lambda: next(times))
    state = ctx.run(ctx.on.update_status(), running)
    assert state.unit_status == testing.WaitingStatus("waiting for an answer of: agent")


WAITING_FOR_CLIENT = testing.WaitingStatus("waiting for an answer of: client")


def test_others_that_are_away_for_a_while_do_not_count_as_our_silence(
    ctx, running, system, programs
):
    programs.server_is_away = True
    state = ctx.run(ctx.on.update_status(), running)
    assert state.unit_status == testing.ActiveStatus()
    # Without a hook of its own, as after an action.
    state = ctx.run(ctx.on.collect_unit_status(), state)
    assert state.unit_status == testing.ActiveStatus()
    system.boot()
    assert ctx.run(ctx.on.start(), state).unit_status == testing.ActiveStatus()


@pytest.fixture
def hurried(monkeypatch):
    """Let any patience end at once."""
    times = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(workload.time, "monotonic", lambda: next(times))


def test_who_has_never_reached_the_others_is_asked_until_it_has(
    ctx, fresh, programs, hurried, system
):
    programs.server_is_away = True
    state = ctx.run(ctx.on.config_changed(), ctx.run(ctx.on.install(), fresh))
    assert state.unit_status == WAITING_FOR_CLIENT
    state = ctx.run(ctx.on.update_status(), state)
    assert state.unit_status == WAITING_FOR_CLIENT
    programs.server_is_away = False
    state = ctx.run(ctx.on.update_status(), state)
    assert state.unit_status == testing.ActiveStatus()


def test_whoever_is_told_others_has_to_reach_them_anew(ctx, running, programs, hurried):
    programs.server_is_away = True
    state = changed(ctx, running, server="elsewhere")
    assert state.unit_status == WAITING_FOR_CLIENT
    assert ctx.run(ctx.on.update_status(), state).unit_status == WAITING_FOR_CLIENT
    assert changed(ctx, state).unit_status == WAITING_FOR_CLIENT, "it was started again for that"


def test_an_answer_of_before_is_no_excuse_for_a_process_that_does_not_run(
    ctx, running, system, programs
):
    programs.server_is_away = True
    system.active.discard("client.service")
    system.failing.add("client.service")
    with pytest.raises(testing.errors.UncaughtCharmError, match=r"client\.service"):
        ctx.run(ctx.on.update_status(), running)


def test_a_unit_that_ended_is_named(ctx, running, system):
    system.active.discard("helper@m0.service")
    system.failing.add("helper@m0.service")
    event = ctx.on.relation_created(testing.Relation("ca", id=1))
    state = dataclasses.replace(running, relations={testing.Relation("ca", id=1)})
    with pytest.raises(testing.errors.UncaughtCharmError, match="helper@m0"):
        ctx.run(event, state)


# --- the end -----------------------------------------------------------------------------------


def test_a_stop_ends_what_does_not_stay_and_removes_its_files(ctx, running, system):
    ctx.run(ctx.on.stop(), running)
    assert system.active == {"daemon.service", "wires.service"}
    assert not (system.root / "etc/agent.conf").exists()
    assert not (system.root / "etc/systemd/system/agent.service").exists()
    assert (system.root / "etc/daemon.conf").exists()
    assert (system.root / "usr/lib/agents/wires").exists()


def test_a_removal_after_a_stop_starts_nothing(ctx, running, system):
    stopped = ctx.run(ctx.on.stop(), running)
    assert started(system, lambda: ctx.run(ctx.on.remove(), stopped)) == []


def test_a_unit_on_a_machine_is_not_told_to_leave_by_numbers(ctx, running):
    state = dataclasses.replace(running, planned_units=0)
    assert ctx.run(ctx.on.update_status(), state).unit_status == testing.ActiveStatus()


# --- the machine itself ------------------------------------------------------------------------


@pytest.fixture
def real(tmp_path):
    """The real commands and files, below a folder."""
    return Machine("agents", tmp_path)


def own(path, content="text", mode=0o640):
    """Give a file that belongs to whoever runs the tests."""
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return Content(path=path, text=content, mode=mode, user=user, group=group)


def test_a_file_has_its_mode_and_owner_from_the_start(real, tmp_path):
    assert workload.ensure_file(real, own("/etc/new/secret", mode=0o600))
    place = tmp_path / "etc/new/secret"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert place.read_text() == "text"
    assert [each.name for each in place.parent.iterdir()] == ["secret"], "nothing is left beside"


def test_an_equal_file_is_not_written_again(real, tmp_path):
    workload.ensure_file(real, own("/etc/one"))
    inode = (tmp_path / "etc/one").stat().st_ino
    assert not workload.ensure_file(real, own("/etc/one"))
    assert (tmp_path / "etc/one").stat().st_ino == inode
    assert workload.ensure_file(real, own("/etc/one", mode=0o644)), "another mode counts"


def test_a_command_that_fails_says_its_last_line_only(real):
    with pytest.raises(CommandError, match=r"^sh exited 3: end$") as caught:
        real.run(("sh", "-c", "echo password >&2; echo end >&2; exit 3"))
    assert "password" not in str(caught.value)


def test_a_command_reads_its_input_and_has_no_variable_of_the_hook(real, monkeypatch):
    monkeypatch.setenv("JUJU_UNIT_NAME", "agents/0")
    monkeypatch.setenv("PYTHONPATH", "/charm/lib")
    script = "cat; echo ${JUJU_UNIT_NAME-none} ${PYTHONPATH-none} $X"
    out = real.run(("sh", "-c", script), stdin="in\n", environment={"X": "y"})
    assert out == "in\nnone none y\n"


def test_a_command_that_hangs_ends(real):
    with pytest.raises(CommandError, match=r"no answer in 0\.1 s"):
        real.run(("sleep", "9"), timeout=0.1)


def test_a_program_that_is_not_there_is_an_answer(real):
    with pytest.raises(CommandError, match="there is no such program"):
        real.run(("no-such-program",))


def test_the_record_of_one_service_is_not_that_of_another(tmp_path):
    assert Machine("a", tmp_path).folder != Machine("b", tmp_path).folder
    assert pathlib.PurePath(Machine("a", tmp_path).folder).parent.name == "charmkit"
