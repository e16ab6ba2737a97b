import click
import pytest

from helio.cli.reference import render


@click.group()
def program():
    """Do things."""


@program.command()
@click.argument("what")
@click.argument("how", type=click.Choice(["fast", "well", "both"]), default="well")
@click.argument("where", required=False)
@click.argument("names", nargs=-1)
@click.option("--image", metavar="FILE|URL", help="This | that.")
def do(what, how, where, names, image):
    """Do WHAT."""


@pytest.fixture
def lines():
    return render(program).splitlines()


def test_arguments_that_may_be_left_out_are_in_brackets(lines):
    assert "    helio do [OPTIONS] WHAT [HOW] [WHERE] [NAMES]..." in lines


def test_an_argument_of_few_values_has_them_and_what_it_is_without_one(lines):
    start = lines.index("| argument | values |")
    assert lines[start + 2 : start + 4] == [
        "| HOW | `fast`, `well` or `both`. Default: `well`. |", ""
    ]  # fmt: skip


def test_a_bar_does_not_end_a_cell_of_a_table(lines):
    assert "| `--image` FILE\\|URL | This \\| that. |" in lines
