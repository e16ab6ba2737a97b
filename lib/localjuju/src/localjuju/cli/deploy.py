"""Deploy charms and bundles, and bring applications to other revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from localjuju.cli.applications import placement, refuse_attached_storage, resource_values
from localjuju.cli.base import (
    Session,
    absolute,
    command,
    from_yaml,
    is_path,
    option_values,
    pairs,
    read_text,
)

_BUNDLE_FILES = (".yaml", ".yml")


@command("deploy")
@click.argument("charm", metavar="CHARM|BUNDLE")
@click.argument("app", required=False)
@click.option("-n", "--num-units", type=int, help="How many units.  [default: 1]")
@click.option("--config", multiple=True, help="An option as key=value, or a YAML file of them.")
@click.option("--resource", "resources", multiple=True, help="name=image, or name=file.")
@click.option("--storage", multiple=True, help="name=size, or name=pool,size,count.")
@click.option(
    "--constraints",
    multiple=True,
    help="image-id=IMAGE for its machines; the others are kept and shown.",
)
@click.option("--to", help="Machines for its units, separated by commas: numbers, or new.")
@click.option("--bind", help="Spaces: the one for all endpoints, or endpoint=space, or both.")
@click.option("--trust", is_flag=True, help="Let it use the cluster's API.")
@click.option("--overlay", "overlays", multiple=True, help="File to lay over the bundle.")
@click.option("--dry-run", is_flag=True, help="Only show what a bundle would change.")
@click.option("--base", help="Accepted; a charm runs on the base that it was packed for.")
@click.option("--channel", hidden=True)
@click.option("--revision", type=int, hidden=True)
@click.option("--series", hidden=True)
@click.option("--force", is_flag=True, hidden=True)
@click.option("--attach-storage", hidden=True)
@click.option("--map-machines", hidden=True)
def deploy(
    session: Session,
    charm: str,
    app: str | None,
    overlays: tuple[str, ...],
    dry_run: bool,
    trust: bool,
    to: str | None,
    attach_storage: str | None,
    **given: Any,
) -> None:
    """Deploy an application from a charm, or all of a bundle.

    CHARM is a packed .charm file or a folder with a charm in it; BUNDLE is a YAML file. Both
    are written as paths: ./web.charm.
    """
    refuse_attached_storage(attach_storage)
    path = charm_path(charm)
    if path.endswith(_BUNDLE_FILES) or (Path(path) / "bundle.yaml").is_file():
        _refuse_for_bundle(app, {**given, "to": to})
        _deploy_bundle(session, path, overlays, trust=trust, dry_run=dry_run)
        return
    if overlays:
        raise click.ClickException(
            "options provided but not supported when deploying a charm: --overlay"
        )
    if dry_run:
        raise click.ClickException(
            "options provided but not supported when deploying a charm: --dry-run"
        )
    deployed = session.call(
        "deploy",
        path=path,
        app=app,
        units=given["num_units"],
        config=config_values(given["config"], app),
        resources=resource_values(given["resources"]),
        storage=pairs(given["storage"], "storage"),
        constraints=" ".join(given["constraints"]),
        bindings=bindings(given["bind"]),
        placement=placement(to),
        trust=trust,
    )
    session.say(
        f'Deploying "{deployed["app"]}" from local charm "{deployed["charm"]}", '
        f"revision {deployed['revision']}"
    )


def bindings(text: str | None) -> dict[str, str]:
    """Return endpoint → space of `alpha tunnel=fast`; the space for all others stands under ""."""
    found: dict[str, str] = {}
    for word in (text or "").split():
        endpoint, equals, space = word.partition("=")
        found.update({endpoint: space} if equals else {"": word})
    return found


@command("bind")
@click.argument("app")
@click.argument("words", nargs=-1, required=True, metavar="[SPACE] [ENDPOINT=SPACE...]")
@click.option("--force", is_flag=True, hidden=True)
def bind(session: Session, app: str, words: tuple[str, ...], force: bool) -> None:
    """Bind endpoints of an application to spaces."""
    del force
    session.call("bind", app=app, bindings=bindings(" ".join(words)))


def charm_path(word: str) -> str:
    """Return the absolute path that names a charm or a bundle.

    Raises:
        click.ClickException: It is a name, or there is nothing at the path.
    """
    word = word.removeprefix("local:") if word.startswith("local:") else word
    if not is_path(word):
        if Path(word).exists():
            raise click.ClickException(
                f'The charm or bundle "{word}" is ambiguous.\n'
                f"To deploy a local charm or bundle, run `juju deploy ./{word}`."
            )
        raise click.ClickException(
            f'charm or bundle "{word}" not found: there is no store here; '
            f"give a path, such as ./{word}.charm"
        )
    path = absolute(word)
    if not Path(path).exists():
        raise click.ClickException(f'no charm was found at "{word}"')
    return path


def config_values(words: tuple[str, ...], app: str | None) -> dict[str, Any]:
    """Return options from `key=value` words and YAML files.

    A file holds options, or applications with their options.
    """
    values: dict[str, Any] = {}
    for word in words:
        if "=" in word.partition("@")[0] or not (is_path(word) or word.endswith(_BUNDLE_FILES)):
            values |= option_values([word])
            continue
        found = cast(dict[str, Any], from_yaml(read_text(word)) or {})
        own: Any = found.get(app) if app is not None else None
        values |= cast(dict[str, Any], own) if isinstance(own, dict) else found
    return values


def _refuse_for_bundle(app: str | None, given: dict[str, Any]) -> None:
    if app:
        raise click.ClickException("an application name cannot be given when deploying a bundle")
    names = {
        "num_units": "--num-units",
        "config": "--config",
        "resources": "--resource",
        "storage": "--storage",
        "constraints": "--constraints",
        "to": "--to",
        "bind": "--bind",
    }
    for key, option in names.items():
        if given[key]:
            raise click.ClickException(
                f"options provided but not supported when deploying a bundle: {option}"
            )


def _deploy_bundle(
    session: Session, path: str, overlays: tuple[str, ...], *, trust: bool, dry_run: bool
) -> None:
    file = path if Path(path).is_file() else str(Path(path) / "bundle.yaml")
    begun = False

    def progress(event: dict[str, Any]) -> None:
        nonlocal begun
        if "locating" in event:
            session.say(f"Located charm for {event['app']}: {event['locating']}")
            return
        if not begun:
            session.say("Executing changes:")
            begun = True
        session.say(f"- {event['change']}")

    result = session.call(
        "deploy_bundle",
        on_event=progress,
        path=file,
        overlays=[absolute(overlay) for overlay in overlays],
        trust=trust,
        dry_run=dry_run,
    )
    if not result["changes"]:
        session.say("No changes to apply.")
    elif dry_run:
        lines = "".join(f"- {change}\n" for change in result["changes"])
        session.write(f"Changes to deploy bundle:\n{lines}")
    else:
        session.say("Deploy of bundle completed.")


@command("refresh")
@click.argument("app")
@click.option("--path", help="The charm: a packed .charm file or a folder.")
@click.option("--resource", "resources", multiple=True, help="name=image, or name=file.")
@click.option("--config", multiple=True, help="An option as key=value, or a YAML file of them.")
@click.option("--storage", multiple=True, help="name=size, or name=pool,size,count.")
@click.option("--trust", is_flag=True, help="Let it use the cluster's API.")
@click.option("--force-units", is_flag=True, help="Also units whose hook failed.")
@click.option("--force", is_flag=True, hidden=True)
@click.option("--force-base", is_flag=True, hidden=True)
@click.option("--force-series", is_flag=True, hidden=True)
@click.option("--base", hidden=True)
@click.option("--channel", hidden=True)
@click.option("--switch", hidden=True)
@click.option("--revision", type=int, hidden=True)
@click.option("--bind", hidden=True)
def refresh(
    session: Session,
    app: str,
    path: str | None,
    resources: tuple[str, ...],
    force_units: bool,
    trust: bool,
    switch: str | None,
    **given: Any,
) -> None:
    """Give an application another revision of its charm, or other resources.

    Its pods are made anew, one hook after the other: stop, upgrade-charm, config-changed, start.
    On machines the charm's files are replaced: upgrade-charm, config-changed.
    """
    if switch:
        raise click.ClickException("--switch is not supported: there is no store here; use --path")
    if path is None and not resources:
        raise click.ClickException(
            f'the charm of "{app}" is local: give the new one with --path, or a --resource'
        )
    refreshed = session.call(
        "refresh",
        app=app,
        path=None if path is None else charm_path(path if is_path(path) else f"./{path}"),
        resources=resource_values(resources),
        force=force_units,
        trust=trust,
        config=config_values(given["config"], app),
        storage=pairs(given["storage"], "storage"),
    )
    session.say(
        f'Added local charm "{refreshed["charm"]}", revision {refreshed["revision"]}, '
        f'to the model for "{app}"'
        if path is not None
        else f'Resources of "{app}" are replaced'
    )
