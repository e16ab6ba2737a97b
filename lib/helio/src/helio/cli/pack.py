"""`helio pack`: make the charm files."""

import click

from helio.cli.context import format_option
from helio.embedded import program
from helio.host import LocalHost
from helio.packing import BASES, Packed, Packer, charm_names
from helio.report import show_json, show_table
from helio.tree import find_tree


@click.command()
@click.argument("charms", nargs=-1)
@click.option(
    "--base",
    "bases",
    type=click.Choice(sorted(BASES)),
    multiple=True,
    help="Pack for this base only; may be repeated.",
)
@format_option
def pack(charms: tuple[str, ...], bases: tuple[str, ...], style: str) -> None:
    """Pack charms into dist/: the named ones, or all, for every base."""
    tree, host = find_tree(), LocalHost()
    packers = [Packer(tree, host, program("uv"), BASES[base]) for base in bases or sorted(BASES)]
    packed = [packer.pack(charm) for packer in packers for charm in charms or charm_names(tree)]
    if style == "json":
        return show_json([_describe(item) for item in packed])
    show_table(("File", "Size", "Made"), [_row(item) for item in packed])


def _describe(item: Packed) -> dict[str, object]:
    size = item.path.stat().st_size
    return {"charm": item.charm, "path": str(item.path), "bytes": size, "new": item.is_new}


def _row(item: Packed) -> tuple[str, ...]:
    size = f"{item.path.stat().st_size / 1e6:.1f} MB"
    return (item.path.name, size, "now" if item.is_new else "already current")
