"""`helio bundle`: generate the committed bundles, and check them."""

import click

from helio import bundlefile
from helio.host import HelioError
from helio.tree import find_tree


@click.group()
def bundle() -> None:
    """Generate and check the bundles."""


@bundle.command()
def generate() -> None:
    """Write the bundles from the manifest, the wiring and the charms' metadata.

    openstack.yaml has what runs in pods, machines.yaml what stands on machines, and
    overlays/from-machines.yaml joins the pods to what the machines offer.
    """
    tree = find_tree()
    for file, text in bundlefile.generate(tree).items():
        target = bundlefile.path(tree, file)
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        click.echo(f"wrote {target}")


@bundle.command()
def check() -> None:
    """Check that the bundles are current and that Juju will accept them."""
    problems = bundlefile.problems(find_tree())
    for problem in problems:
        click.echo(problem)
    if problems:
        raise HelioError(f"cannot use the bundles: {len(problems)} problem(s), see above")
    click.echo("the bundles are good")
