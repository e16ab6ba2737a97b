"""Options of applications and models."""

from __future__ import annotations

from typing import Any, cast

import click

from localjuju.cli import tables
from localjuju.cli.base import Session, command, from_yaml, option_values, read_text


@command("config", formats=("yaml", "json"))
@click.argument("app")
@click.argument("words", nargs=-1, metavar="[KEY | KEY=VALUE...]")
@click.option("--reset", multiple=True, help="Options to set back, separated by commas.")
@click.option("--file", "file", help="YAML file with options; - is standard input.")
@click.option("--color", is_flag=True, hidden=True)
@click.option("--no-color", is_flag=True, hidden=True)
def config(
    session: Session,
    app: str,
    words: tuple[str, ...],
    reset: tuple[str, ...],
    file: str | None,
    color: bool,
    no_color: bool,
) -> None:
    """Show or set options of an application.

    KEY=@FILE takes the value from a file.
    """
    del color, no_color
    keys = [word for word in words if "=" not in word]
    values: dict[str, Any] = dict(option_values([word for word in words if "=" in word]))
    back = _names(reset)
    if file is not None:
        values = _file_values(file, app) | values
    if keys and (values or back or len(keys) > 1):
        raise click.ClickException("can only retrieve a single value, or all values")
    if keys:
        value = session.call("config_value", app=app, name=keys[0])
        session.write(_plain(value))
    elif values or back:
        session.call("set_config", app=app, values=values, reset=back)
    else:
        session.show(session.call("config", app=app))


def _names(words: tuple[str, ...]) -> list[str]:
    return [name for word in words for name in word.split(",") if name]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true\n" if value else "false\n"
    return f"{value}\n"


def _file_values(file: str, app: str) -> dict[str, Any]:
    """Return the options in a file: plain, below the application's name, or as `config` prints."""
    found = from_yaml(read_text(file))
    if not isinstance(found, dict):
        raise click.ClickException(f"cannot read {file}: it is not a mapping")
    data = cast(dict[str, Any], found)
    if isinstance(data.get("settings"), dict):
        return {
            name: entry["value"]
            for name, entry in data["settings"].items()
            if entry.get("source") == "user"
        }
    return data[app] if isinstance(data.get(app), dict) else data


@command("model-config", formats=("tabular", "json", "yaml"))
@click.argument("words", nargs=-1, metavar="[KEY | KEY=VALUE...]")
@click.option("--reset", multiple=True, help="Options to set back, separated by commas.")
@click.option("--file", "file", help="YAML file with options; - is standard input.")
@click.option("--ignore-read-only-fields", is_flag=True, hidden=True)
def model_config(
    session: Session,
    words: tuple[str, ...],
    reset: tuple[str, ...],
    file: str | None,
    ignore_read_only_fields: bool,
) -> None:
    """Show or set options of the model."""
    del ignore_read_only_fields
    keys = [word for word in words if "=" not in word]
    values: dict[str, Any] = dict(option_values([word for word in words if "=" in word]))
    back = _names(reset)
    if file is not None:
        values = _file_values(file, "") | values
    if keys and (values or back or len(keys) > 1):
        raise click.ClickException("can only retrieve a single value, or all values")
    if values or back:
        session.call("set_model_config", values=values, reset=back)
        return
    found = session.call("model_config")
    if not keys:
        session.show(found, tables.model_config)
        return
    if keys[0] not in found:
        raise click.ClickException(f'key "{keys[0]}" not found in model "{session.model}"')
    session.write(_plain(found[keys[0]]["Value"]))
