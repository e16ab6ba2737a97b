"""`helio bundle`: generate the committed bundle, and check it."""

import click

from helio import bundlefile
from helio.host import HelioError
from helio.tree import find_tree


@click.group()
def bundle() -> None:
    """Generate and check the bundle."""


@bundle.command()
def generate() -> None:
    """Write bundles/openstack.yaml from the manifest, the wiring and the charms' metadata."""
    tree = find_tree()
    target = bundlefile.path(tree)
    target.write_text(bundlefile.generate(tree), encoding="utf-8")
    click.echo(f"wrote {target}")


@bundle.command()
def check() -> None:
    """Check that the bundle is current and that Juju will accept it."""
    problems = bundlefile.problems(find_tree())
    for problem in problems:
        click.echo(problem)
    if problems:
        raise HelioError(f"cannot use the bundle: {len(problems)} problem(s), see above")
    click.echo("the bundle is good")
