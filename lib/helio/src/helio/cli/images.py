"""`helio images`: build, list and lock the images of a cloud."""

import click

from helio.cli.context import current, format_option, logged_host, require_root
from helio.host import HelioError, Host, LocalHost
from helio.images import Builder, load
from helio.images.lock import make_lock
from helio.plan import image_builder, read_base
from helio.report import Reporter, reporter, show_json, show_table, step
from helio.settings import Settings
from helio.tree import find_tree


@click.group()
def images() -> None:
    """Build, list and lock the images that the charms run."""


@images.command()
@click.argument("names", nargs=-1)
def build(names: tuple[str, ...]) -> None:
    """Build the named images, or all, where they are missing."""
    require_root("images build")
    found = current()
    host, tell = logged_host(found), reporter()
    with step(tell, "Build images"):
        built = _builder(found, host, tell).build(*names)
    for reference in built.values():
        click.echo(reference)


@images.command()
@click.argument("names", nargs=-1)
def lock(names: tuple[str, ...]) -> None:
    """Resolve the Python packages of the named images, or of all that have some, anew.

    Writes requirements.lock, and lifted.yaml with the constraints that could not hold.
    """
    folders = find_tree().root / "images"
    found = sorted(path.parent.name for path in folders.glob("*/requirements.in"))
    for name in names or found:
        if name not in found:
            raise HelioError(f"cannot lock {name}: it has no requirements.in; {found} have")
        lifted = make_lock(folders / name, LocalHost())
        click.echo(f"{name}: locked, {len(lifted)} constraint(s) lifted")


@images.command("list")
@format_option
def list_images(style: str) -> None:
    """List the images and whether they are in the store."""
    require_root("images list")
    found = current()
    host = logged_host(found)
    builder = _builder(found, host)
    names = sorted(builder.catalogue.recipes)
    state = {name: (builder.reference(name), builder.is_built(name)) for name in names}
    if style == "json":
        return show_json({name: {"reference": r, "built": b} for name, (r, b) in state.items()})
    show_table(
        ("Image", "Reference", "Built"),
        [(name, r, "yes" if b else "no") for name, (r, b) in state.items()],
    )


def _builder(found: Settings, host: Host, tell: Reporter | None = None) -> Builder:
    return image_builder(found, load(find_tree().root), read_base(host), host, tell)
