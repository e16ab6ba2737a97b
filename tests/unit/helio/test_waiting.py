import dataclasses

import jubilant
import pytest
from jubilant.statustypes import (
    AppStatus,
    MachineStatus,
    ModelStatus,
    Status,
    StatusInfo,
    UnitStatus,
)

from helio import waiting
from helio.host import HelioError


def unit(workload: str = "active", agent: str = "idle", message: str = "", since: str = "1"):
    return UnitStatus(
        workload_status=StatusInfo(workload, message=message, since=since),
        juju_status=StatusInfo(agent, since="1"),
    )


def app(*units: UnitStatus, scale: int = 1, current: str = "active") -> AppStatus:
    return AppStatus(
        charm="local:x", charm_origin="local", charm_name="x", charm_rev=0, exposed=False,
        scale=scale, app_status=StatusInfo(current),
        units={f"x/{number}": each for number, each in enumerate(units)},
    )  # fmt: skip


def status(**apps: AppStatus) -> Status:
    model = ModelStatus("openstack", "caas", "c", "k", "3.6.24")
    return Status(model=model, machines={}, apps=apps)


READY = status(x=app(unit()))


class Script:
    """Answers with one status after the other, the last one again and again."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def status(self):
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    @dataclasses.dataclass
    class Clock:
        now: float = 0.0

        def __call__(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds

    return Clock()


@pytest.fixture
def settle(reporter, clock):
    def run(*answers, stall: float = 100):
        models = [waiting.Watched(Script(*answers), ["x"])]
        waiting.settle(models, reporter, stall, clock, clock.sleep)

    return run


def on_machine(state: str, message: str = "") -> Status:
    """A model with a unit on a machine in this state."""
    machine = MachineStatus(
        juju_status=StatusInfo(state, message=message), machine_status=StatusInfo("running")
    )
    model = ModelStatus("machines", "iaas", "c", "k", "3.6.24")
    placed = dataclasses.replace(unit(), machine="0")
    return Status(model=model, machines={"0": machine}, apps={"x": app(placed, scale=0)})


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (status(), "to be deployed"),
        (status(x=app(unit("waiting", message="waiting for data from: amqp"))),
         "x/0 waiting: waiting for data from: amqp"),
        (status(x=app(unit(agent="executing"))), "x/0 executing"),
        (status(x=app(unit(), scale=3)), "1 of 3 units"),
        (status(x=app()), "0 of 1 units"),
        (status(x=app(unit(), current="waiting")), "application waiting"),
        (READY, "ready"),
    ],
)  # fmt: skip
def test_what_an_application_waits_for_is_said_in_words(state, words):
    assert waiting.lacks(state, ["x"]) == {"x": words}
    assert waiting.is_settled(state, ["x"]) == (words == "ready")


def test_a_unit_waits_for_its_machine():
    assert waiting.lacks(on_machine("pending", "starting"), ["x"]) == {
        "x": "x/0 machine 0 pending: starting"
    }
    assert waiting.lacks(on_machine("started"), ["x"]) == {"x": "ready"}


def test_two_models_are_waited_for_together(reporter, clock):
    slow = [on_machine("pending", str(number)) for number in range(20)]
    models = [
        waiting.Watched(Script(status(y=app(unit()))), ["y"]),
        waiting.Watched(Script(*slow, on_machine("started")), ["x"]),
    ]
    waiting.settle(models, reporter, 50, clock, clock.sleep)
    assert reporter.of("progress")[0] == {"y": "ready", "x": "x/0 machine 0 pending: 0"}
    assert reporter.of("progress")[-1] == {"y": "ready", "x": "ready"}


def test_one_model_that_does_not_answer_is_waited_for(reporter, clock):
    away = jubilant.CLIError(1, ["juju"], "", "ERROR connection refused")
    models = [waiting.Watched(Script(READY), ["x"]), waiting.Watched(Script(away), ["y"])]
    with pytest.raises(HelioError, match="juju waits: does not answer"):
        waiting.settle(models, reporter, 50, clock, clock.sleep)


def test_what_was_taken_away_on_purpose_is_not_waited_for(reporter, clock):
    models = [waiting.Watched(Script(READY), ["x", "feature"], optional=["feature"])]
    waiting.settle(models, reporter, 50, clock, clock.sleep)
    assert reporter.of("progress")[-1] == {"x": "ready"}


def test_a_model_that_looks_ready_once_is_not_settled(settle, reporter):
    settle(READY, READY, status(x=app(unit(agent="executing"))), READY)
    said = [value["x"] for value in reporter.of("progress")]
    assert said == ["ready", "ready", "x/0 executing", "ready", "ready", "ready"]


def test_a_slow_cloud_is_waited_for_while_anything_changes(settle, clock):
    slow = [status(x=app(unit("maintenance", message=f"step {n}"))) for n in range(200)]
    settle(*slow, READY, stall=5)
    assert clock.now > 90


def test_a_stall_ends_the_wait_and_names_what_is_missing(settle):
    blocked = status(x=app(unit("blocked", message="missing integration: database")))
    with pytest.raises(HelioError, match=r"nothing new for 100 s .*missing integration"):
        settle(blocked)


def test_going_round_in_circles_is_a_stall(settle):
    waits = [
        status(x=app(unit("waiting", agent=agent, message=f"no pod: {n:064x} is taken", since=n)))
        for n in range(200)
        for agent in ("idle", "executing")
    ]
    with pytest.raises(HelioError, match=r"nothing new for 100 s .*is taken"):
        settle(*waits)


def test_a_hook_that_fails_again_and_again_ends_the_wait(settle):
    failed = [
        status(x=app(unit("error", message='hook failed: "install"', since=str(n))))
        for n in range(9)
    ]
    with pytest.raises(HelioError, match='x/0 failed 6 times: hook failed: "install"'):
        settle(*failed)


def test_a_hook_that_fails_and_heals_is_no_failure(settle):
    failed = status(x=app(unit("error", message='hook failed: "install"')))
    settle(failed, failed, failed, READY)


def test_a_controller_that_starts_again_is_waited_for(settle):
    away = jubilant.CLIError(1, ["juju"], "", "ERROR connection refused")
    settle(READY, away, away, READY)


def test_another_error_of_juju_is_told(settle):
    error = jubilant.CLIError(1, ["juju"], "", "ERROR model openstack not found")
    with pytest.raises(
        HelioError, match="cannot read the status: ERROR model openstack not found"
    ):
        settle(error)


def test_a_controller_that_stays_away_is_a_stall(settle):
    away = jubilant.CLIError(1, ["juju"], "", "ERROR connection refused")
    with pytest.raises(HelioError, match="juju waits: does not answer"):
        settle(away)
