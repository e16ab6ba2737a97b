"""Test the running cloud with Tempest, by the action of its charm."""

import dataclasses
from collections.abc import Mapping

import jubilant

from helio.clients import Model, dashboard_url
from helio.host import HelioError
from helio.waiting import last_line

APPLICATION = "tempest"

# Profile → seconds that a run may take on a slow machine with emulated processors.
PROFILES: Mapping[str, float] = {"quick": 3600, "smoke": 4 * 3600, "all": 48 * 3600}


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of a run.

    Args:
        profile: Which tests ran.
        counts: `passed`, `failed` and `skipped` → how many.
        seconds: How long it took.
        folder: Where the unit keeps the results.
        failures: Names of the tests that failed.
        skips: Why tests were skipped, a reason each.
        problem: Why the run counts as failed; None: it does not.
    """

    profile: str
    counts: Mapping[str, int]
    seconds: str
    folder: str
    failures: tuple[str, ...]
    skips: tuple[str, ...]
    problem: str | None


def validate(juju: Model, profile: str, regex: str) -> Report:
    """Run a profile and return what came of it; the dashboard is tested if there is one.

    Args:
        juju: Drives the model of the control plane.
        profile: Which tests.
        regex: Only tests whose name it finds; empty: all of the profile.

    Raises:
        HelioError: the tests could not be run, or the dashboard cannot tell where it is.
    """
    problem = None
    params = {"profile": profile, "regex": regex, "dashboard-url": dashboard_url(juju) or ""}
    unit = f"{APPLICATION}/leader"
    try:
        results = juju.run(unit, "validate", params, wait=PROFILES[profile]).results
    except jubilant.TaskError as error:
        results, problem = error.task.results, error.task.message
        if "failed" not in results:  # nothing ran
            raise HelioError(f"cannot validate: {problem}") from error
    except (jubilant.CLIError, ValueError) as error:
        reason = last_line(error) if isinstance(error, jubilant.CLIError) else str(error)
        raise HelioError(
            f"cannot validate: {reason}; is Tempest there? Run: helio enable tempest"
        ) from error
    except TimeoutError as error:
        raise HelioError(
            f"cannot validate: it has not ended after {PROFILES[profile]:.0f} s; "
            f"see: helio juju show-unit {APPLICATION}/0"
        ) from error
    return Report(
        profile=profile,
        counts={key: int(results.get(key, 0)) for key in ("passed", "failed", "skipped")},
        seconds=str(results.get("seconds", "")),
        folder=str(results.get("folder", "")),
        failures=_lines(results, "failures"),
        skips=_lines(results, "skips"),
        problem=problem,
    )


def _lines(results: Mapping[str, object], key: str) -> tuple[str, ...]:
    return tuple(str(results.get(key, "")).splitlines())
