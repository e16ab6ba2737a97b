"""What holds for any sequence of hook commands, and for any history of secrets."""

import copy

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from localjuju import secrets
from localjuju.hooks import COMMAND_NAMES, FlushError
from localjuju.hooks.records import CommandRecord
from localjuju.model import Action, Hook, HookKind

UNITS = ("web/0", "web/1", "db/0", "db/1")
WORDS = (
    "-r",
    "4",
    "1",
    "9",
    "database:4",
    "--app",
    "--app=false",
    "--format=json",
    "--format",
    "yaml",
    "--file",
    "-",
    "--",
    "key",
    "key=value",
    "abc#file=path",
    "abc#base64=eHl6",
    "--label",
    "mine",
    "--owner",
    "unit",
    "--relation",
    "--unit",
    "db/0",
    "db",
    "web/0",
    "web",
    "active",
    "80/tcp",
    "--peek",
    "--refresh",
    "--revision",
    "data/0",
    "a" * 20,
    "",
    "é\n",
)
QUIET = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

LIKELY = (
    "relation-set -r 4 k=v",
    "relation-set -r 4 --app k=v",
    "relation-set -r 1 --app k=v",
    "relation-get -r 4 - db/0",
    "relation-get -r 4 --app - web",
    "secret-add --label mine --owner unit abc=x",
    "secret-add --label mine abc=x",
    f"secret-set {'a' * 20} --label mine",
    f"secret-set {'a' * 20} abc=new",
    f"secret-get {'a' * 20} --refresh",
    f"secret-get {'b' * 20} --label mine",
    f"secret-grant --relation 4 {'a' * 20}",
    f"secret-grant --relation 4 --unit db/0 {'a' * 20}",
    f"secret-revoke --relation 4 {'a' * 20}",
    f"secret-remove {'a' * 20}",
    f"secret-remove {'a' * 20} --revision 1",
    "open-port 80",
    "close-port 80",
    "state-set k=v",
    "state-delete k",
    "status-set active",
    "status-set --application blocked",
    "action-set a.b=c",
)

wild = st.tuples(
    st.sampled_from(COMMAND_NAMES),
    st.lists(st.sampled_from(WORDS), max_size=6),
    st.none() | st.sampled_from([b"{}", b'{"abc": "x"}', b"- no", b"\xff", b"abc: |\n  x\n"]),
)
likely = st.sampled_from(LIKELY).map(lambda line: (line.split()[0], line.split()[1:], None))
calls = likely | wild


def fresh_model(world):
    model = copy.deepcopy(world.model)
    model.actions[3] = Action(3, "web/0", "backup", {}, status="running")
    for secret_id, owner in (("a" * 20, "web"), ("b" * 20, "db")):
        secrets.create(
            model,
            secret_id=secret_id,
            owner_kind="application",
            owner=owner,
            data={"abc": "eHl6"},
            now=world.clock.time,
        )
    return model


@QUIET
@given(
    line=st.lists(calls, max_size=12),
    unit=st.sampled_from(UNITS),
    action=st.booleans(),
    loses_lead=st.booleans(),
)
def test_commands_answer_whatever_comes_and_a_flush_is_all_or_nothing(
    world, line, unit, action, loses_lead
):
    original = world.model
    world.model = model = fresh_model(world)
    try:
        hook = Hook(HookKind.ACTION, action_id=3, prefix="backup") if action else None
        context = world.context(hook, unit)
        for name, args, stdin in line:
            result = context.run(name, args, stdin, {"path": b"content"})
            assert result.code in {0, 1, 2}
            assert (result.code != 0) == result.stderr.startswith(b"ERROR ")
            assert result.code == 0 or result.stdout == b""
        assert all(isinstance(record, CommandRecord) for record in context.records)
        if loses_lead:
            model.applications[unit.partition("/")[0]].leader = ""
        before = copy.deepcopy(model)
        try:
            context.flush()
        except FlushError:
            event("refused")
            assert model == before
        else:
            event("applied" if model != before else "nothing to apply")
            after = copy.deepcopy(model)
            context.flush()  # nothing is left to do
            assert model == after
    finally:
        world.model = original


steps = st.one_of(
    st.tuples(st.just("read"), st.sampled_from(UNITS), st.booleans()),
    st.tuples(st.just("write"), st.integers(0, 3), st.none()),
    st.tuples(st.just("grant"), st.sampled_from(["web", "web/0", "web/1"]), st.none()),
    st.tuples(st.just("revoke"), st.sampled_from(["web", "web/0", "web/1"]), st.none()),
    st.tuples(st.just("prune"), st.none(), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 400.0, 4000.0]), st.none()),
    st.tuples(st.just("lead"), st.sampled_from(["db/0", "db/1", ""]), st.none()),
    st.tuples(st.just("hooks"), st.sampled_from(UNITS), st.none()),
)


def take(world, model, secret, step):
    kind, what, refresh = step
    if kind == "read":
        allowed = secrets.can_read(model, secret, what)
        try:
            secrets.read(model, what, secret_id=secret.id, refresh=refresh)
        except secrets.SecretDeniedError:
            assert not allowed
        except secrets.SecretNotFoundError:
            assert allowed
            assert not refresh
        else:
            assert allowed
    elif kind == "write":
        data = {"abc": "eHl6"[:what] + "eHl6"[what:] if what == 0 else "eHl" + "6789"[what]}
        secrets.update(model, secret.id, now=world.clock.time, data=data)
    elif kind == "grant":
        try:
            secrets.grant(model, secret.id, 4, what)
        except secrets.SecretError:
            assert what == "web"
    elif kind == "revoke":
        secrets.revoke(model, secret.id, subject=what)
    elif kind == "prune":
        for number in secrets.obsolete(secret):
            secrets.remove(model, secret.id, number)
    elif kind == "wait":
        world.clock.time += what
    elif kind == "lead":
        model.applications["db"].leader = what
    else:
        for hook in secrets.due(model, what, world.clock.time):
            secrets.delivered(model, what, hook, world.clock.time)


@QUIET
@given(history=st.lists(steps, max_size=30), rotate=st.sampled_from(["never", "hourly"]))
def test_any_history_of_a_secret_comes_to_rest(world, history, rotate):
    model = copy.deepcopy(world.model)
    secret = secrets.create(
        model,
        secret_id="s" * 20,
        owner_kind="application",
        owner="db",
        data={"abc": "eHl6"},
        now=world.clock.time,
        rotate=rotate,
        expires=world.clock.time + 1000,
    )
    for step in history:
        take(world, model, secret, step)
        tracked = {c.tracked for c in secret.consumers.values()}
        tracked |= set(secret.owner_tracked.values())
        obsolete = set(secrets.obsolete(secret))
        assert secret.latest in secret.revisions
        assert not obsolete & (tracked | {secret.latest})
        assert obsolete <= set(secret.revisions)
    for unit in UNITS:
        seen = []
        for hook in secrets.due(model, unit, world.clock.time):
            seen.append((hook.kind, hook.secret_revision))
            secrets.delivered(model, unit, hook, world.clock.time)
        assert len(seen) == len(set(seen))  # each is told once
        assert secrets.due(model, unit, world.clock.time) == []
        wake = secrets.next_due(model, unit)
        assert wake is None or wake > world.clock.time
