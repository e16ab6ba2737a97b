"""Set an engine up, start and stop it, and take it away with all that it made."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import itertools
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

import click

from localjuju import process
from localjuju.cli.base import rendered
from localjuju.client import AnswerError, Client, ClientError, connect, settings_of, start_engine
from localjuju.settings import (
    DEFAULT_HOME,
    HOME_VARIABLE,
    Settings,
    SettingsError,
    Space,
    load,
    save,
)

_INSTANCE = re.compile(r"[a-z][a-z0-9-]{0,19}")
_SPACE = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SOCKET_LIMIT = 107
_LINKS = Path("/sys/class/net")
_FIXED = ("instance", "subnet", "store_root", "store_runroot")
"""What cannot change while models exist: pods and addresses hang on it."""

_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=HOME_VARIABLE,
    default=DEFAULT_HOME,
    show_default=True,
    help="The engine's folder.",
)


def _path_option(name: str, text: str, *, required: bool = True) -> Any:
    kind = click.Path(path_type=Path, resolve_path=True)
    return click.option(name, type=kind, required=required, help=text)


@click.command("init")
@_home
@click.option("--instance", required=True, help="Beginning of the names of all that is made.")
@click.option("--subnet", required=True, help="Network of pods and services: IPv4 CIDR.")
@click.option("--charm-base", required=True, help="Image of charm containers.")
@_path_option("--pebble", "The Pebble program.")
@_path_option("--store-root", "Podman's --root.")
@_path_option("--store-runroot", "Podman's --runroot.")
@_path_option("--containers-conf", "Podman's CONTAINERS_CONF.", required=False)
@_path_option("--hook-client", "The hook commands' program; compiled if left out.", required=False)
@click.option("--warm", is_flag=True, help="Fork charms from a preloaded interpreter.")
@click.option("--machine-image", default="", help="Image of machines: one that boots systemd.")
@click.option(
    "--space",
    "spaces",
    multiple=True,
    metavar="NAME=SUBNET[,gateway][,addresses=FIRST-LAST]",
    help="Another network of machines; with gateway it leads outwards through this host.",
)
def init(
    home: Path,
    instance: str,
    subnet: str,
    charm_base: str,
    pebble: Path,
    store_root: Path,
    store_runroot: Path,
    containers_conf: Path | None,
    hook_client: Path | None,
    warm: bool,
    machine_image: str,
    spaces: tuple[str, ...],
) -> None:
    """Write the settings of an engine. Doing it again changes what differs.

    The engine starts with the first `juju` command.
    """
    home = home.absolute()
    wanted = Settings(
        home=home,
        instance=_checked_instance(instance),
        subnet=_checked_subnet(subnet),
        charm_base=charm_base,
        pebble=_checked_program(pebble, "--pebble"),
        hook_client=_compiled(home)
        if hook_client is None
        else _checked_program(hook_client, "--hook-client"),
        store_root=store_root,
        store_runroot=store_runroot,
        containers_conf="" if containers_conf is None else str(containers_conf),
        warm=warm,
        machine_image=machine_image,
        spaces=_checked_spaces(instance, subnet, spaces),
    )
    if len(os.fsencode(wanted.socket)) > _SOCKET_LIMIT:
        raise click.ClickException(
            f"cannot use {home}: the path of its socket is longer than {_SOCKET_LIMIT} bytes"
        )
    held = _held(home)
    generation = secrets.token_hex(3) if held is None else held.generation
    wanted = dataclasses.replace(wanted, generation=generation)
    if held == wanted:
        click.echo(f"The engine in {home} is set up already.")
        return
    if held is None:
        _refuse_taken(instance)
    else:
        _replace(held, wanted)
    save(wanted)
    click.echo(f"The engine in {home} is set up. Next: export {HOME_VARIABLE}={home}; juju models")


def _held(home: Path) -> Settings | None:
    if not (home / "settings.json").exists():
        return None
    try:
        return load(home)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def _refuse_taken(instance: str) -> None:
    """Refuse a name under which another engine has made things on this host."""
    from localjuju.substrate import names

    link = names.service_link(instance)
    if (_LINKS / link).exists():
        raise click.ClickException(
            f"cannot use the instance name {instance}: another engine on this host has it (link "
            f"{link}); choose another --instance, or, if that engine's folder is gone, remove "
            f"what it left: ip link delete {link}"
        )


def _replace(held: Settings, wanted: Settings) -> None:
    """Make room for other settings: refuse what cannot change, stop an engine that runs."""
    changed = [name for name in _FIXED if getattr(held, name) != getattr(wanted, name)]
    if not set(held.spaces) <= set(wanted.spaces):
        changed.append("spaces")
    if changed and held.database.exists():
        raise click.ClickException(
            f"cannot change {changed[0].replace('_', '-')} from {getattr(held, changed[0])} to "
            f"{getattr(wanted, changed[0])}: the engine in {held.home} was used already; "
            f"take it away first: localjuju destroy --home {held.home}"
        )
    try:
        if process.stop_engine(held.home) is not None:
            click.echo("The engine was stopped; it starts with its new settings when needed.")
    except process.ProcessError as error:
        raise click.ClickException(str(error)) from error


def _checked_instance(text: str) -> str:
    if not _INSTANCE.fullmatch(text):
        raise click.ClickException(
            f'--instance "{text}" is not valid: use at most 20 lower-case letters, digits and '
            "dashes, a letter first"
        )
    return text


def _checked_subnet(text: str) -> str:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise click.ClickException(f'--subnet "{text}" is not valid: {error}') from error
    if network.prefixlen > 24:
        raise click.ClickException(f'--subnet "{text}" is too small: use /24 or wider')
    return text


def _checked_spaces(instance: str, subnet: str, words: tuple[str, ...]) -> tuple[Space, ...]:
    from localjuju.substrate import names

    found = tuple(_space(word) for word in words)
    networks = [("alpha", subnet), *((space.name, space.subnet) for space in found)]
    for (one, a), (other, b) in itertools.combinations(networks, 2):
        if one == other or names.space_bridge(instance, one) == names.space_bridge(
            instance, other
        ):
            raise click.ClickException(f'--space "{other}": the name is taken')
        if ipaddress.IPv4Network(a).overlaps(ipaddress.IPv4Network(b)):
            raise click.ClickException(f'--space "{other}": {b} overlaps {a} of space "{one}"')
    return found


def _space(word: str) -> Space:
    """Read `provider=172.16.0.0/24,gateway,addresses=172.16.0.240-172.16.0.254`."""
    from localjuju.wanted import machine_range

    name, equals, rest = word.partition("=")
    subnet, *more = rest.split(",")
    known = [part for part in more if part == "gateway" or part.startswith("addresses=")]
    if not equals or known != more or not _SPACE.fullmatch(name):
        raise click.ClickException(
            f'--space "{word}" is not valid: write NAME=SUBNET[,gateway][,addresses=FIRST-LAST]'
        )
    span = next((part for part in more if part != "gateway"), "").removeprefix("addresses=")
    first, _, last = span.partition("-")
    space = Space(name, subnet, "gateway" in more, first, last)
    try:
        machine_range(space)
    except ValueError as error:
        raise click.ClickException(f'--space "{word}" is not valid: {error}') from error
    return space


def _checked_program(path: Path, option: str) -> Path:
    if not os.access(path, os.X_OK) or path.is_dir():
        raise click.ClickException(f"{option} {path} is not a program")
    return path


def _compiled(home: Path) -> Path:
    from localjuju.hooks.build import BuildError, ensure_client

    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return ensure_client(home / "build")
    except BuildError as error:
        raise click.ClickException(str(error)) from error


@click.command("start")
@_home
def start(home: Path) -> None:
    """Start the engine. Commands of `juju` do so by themselves."""
    try:
        settings = settings_of(home.absolute())
        stream = connect(settings) or start_engine(settings)
        stream.close()
    except ClientError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"The engine in {home} runs as process {process.engine_pid(home)}.")


@click.command("stop")
@_home
def stop(home: Path) -> None:
    """Stop the engine; pods live on, and go on serving."""
    try:
        pid = process.stop_engine(home.absolute())
    except process.ProcessError as error:
        raise click.ClickException(str(error)) from error
    told = f"Stopped process {pid}." if pid is not None else f"No engine runs in {home}."
    click.echo(told)


@click.command("status")
@_home
@click.option(
    "--format", "format_", type=click.Choice(["tabular", "json", "yaml"]), default="tabular"
)
def status(home: Path, format_: str) -> None:
    """Show whether the engine runs, and for which models."""
    home = home.absolute()
    try:
        settings = settings_of(home)
        pid = process.engine_pid(home)
        models: list[dict[str, Any]] = []
        if pid is not None:
            with contextlib.closing(Client(home, start=False)) as client:
                models = client.call("models")
    except (ClientError, AnswerError) as error:
        raise click.ClickException(str(error)) from error
    data = {
        "home": str(home),
        "instance": settings.instance,
        "running": pid is not None,
        "pid": pid,
        "models": {entry["short-name"]: entry["unit-count"] for entry in models},
    }
    click.echo(rendered(data, format_, _status_text), nl=False)


def _status_text(data: dict[str, Any]) -> str:
    state = f"running, process {data['pid']}" if data["running"] else "not running"
    lines = [f"Home      {data['home']}", f"Instance  {data['instance']}", f"Engine    {state}"]
    lines += [f"Model     {name}: {units} units" for name, units in data["models"].items()]
    return "\n".join(lines) + "\n"


@click.command("destroy")
@_home
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def destroy(home: Path, dry_run: bool) -> None:
    """Remove every pod, machine, container, network, mount, firewall rule, process and file.

    No hooks run. It works without a running engine, and once more after an interruption.
    """
    home = home.absolute()
    if not home.exists():
        click.echo(f"Nothing is left in {home}.")
        return
    settings = _held(home)
    if settings is None:
        raise click.ClickException(
            f"cannot take {home} away: it has no settings.json, so it may not be an engine's"
        )
    if dry_run:
        for line in _would_remove(settings):
            click.echo(f"would remove {line}")
        return
    try:
        pid = process.stop_engine(home, kill=True)
        if pid is not None:
            click.echo(f"removed process {pid}")
        with process.held(home):
            for line in _remove_from_host(settings):
                click.echo(f"removed {line}")
            _remove_folder(home)
    except process.ProcessError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"removed folder {home}")


def _remove_folder(home: Path) -> None:
    """Remove the home; its settings last, so that an interrupted removal can be taken up."""
    for path in sorted(home.iterdir(), key=lambda path: path.name == "settings.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    home.rmdir()


def _remove_from_host(settings: Settings) -> list[str]:
    from localjuju.substrate.podman import PodmanSubstrate
    from localjuju.substrate.protocol import SubstrateError

    async def remove() -> list[str]:
        return await PodmanSubstrate(settings).destroy()

    try:
        return asyncio.run(remove())
    except SubstrateError as error:
        raise click.ClickException(str(error)) from error


def _would_remove(settings: Settings) -> list[str]:
    """Return what is known of an instance: its process, its units' pods, its names, its folder."""
    from localjuju.store import Store, StoreError
    from localjuju.substrate import names

    lines: list[str] = []
    pid = process.engine_pid(settings.home)
    if pid is not None:
        lines.append(f"process {pid}")
    if settings.database.exists():
        try:
            store = Store(settings.database)
            models = store.load()
            store.close()
        except StoreError as error:
            raise click.ClickException(str(error)) from error
        for name, model in sorted(models.items()):
            pods = sorted(unit.name for unit in model.units.values() if not unit.machine)
            lines += [f"pod of {unit} in model {name}" for unit in pods]
            lines += [f"machine {number} in model {name}" for number in sorted(model.machines)]
    lines += [
        f"network {names.network(settings)}",
        *(f"network {names.space_network(settings, s.name)}" for s in settings.spaces),
        f"firewall table {names.table(settings.instance)}",
        f"folder {names.runtime_dir(settings)}",
        f"folder {settings.home}",
    ]
    return lines
