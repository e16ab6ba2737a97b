"""`helio validate`: test the running cloud."""

import dataclasses

import click

from helio import validation
from helio.cli.context import format_option, require_cloud
from helio.embedded import Engine
from helio.host import HelioError
from helio.report import reporter, show_json, show_table, step
from helio.validation import Report


@click.command()
@click.argument("profile", type=click.Choice(list(validation.PROFILES)), default="quick")
@click.option("--regex", default="", help="Only the tests whose name this expression finds.")
@format_option
def validate(profile: str, regex: str, style: str) -> None:
    """Test the cloud with OpenStack's own suite, Tempest.

    The profile quick has a few tests of each service, smoke is OpenStack's own selection, all
    takes hours. Needs the feature tempest: `helio enable tempest`, and `helio configure`.
    """
    found = require_cloud("validate")
    with step(reporter(), f"Test the cloud: {profile}") as outcome:
        report = validation.validate(Engine(found).connect(), profile, regex)
        outcome.is_good = not report.problem
    if style == "json":
        show_json(dataclasses.asdict(report))
    else:
        show_table(("Result", "Tests"), _rows(report))
    if report.problem:
        raise HelioError(f"cannot call the cloud good: {report.problem}; see {report.folder}")


def _rows(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(name, str(count)) for name, count in report.counts.items()]
    rows += [("failed", name) for name in report.failures]
    return rows + [("skipped", reason) for reason in report.skips]
