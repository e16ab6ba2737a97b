"""What the commands share: common options, the way to the engine, formats, parameter types."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from localjuju import identity
from localjuju.client import AnswerError, Client, ClientError, Event
from localjuju.settings import home_from_environment
from localjuju.values import ValueTypeError, duration

MODEL_VARIABLE = "JUJU_MODEL"
Table = Callable[[Any], str]


class DurationType(click.ParamType[float]):
    """A time span as Go writes it, in seconds: `90s`, `5m`, `1h30m`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return duration(str(value))
        except ValueTypeError as error:
            self.fail(str(error), param, ctx)


DURATION = DurationType()


class Session:
    """One run of a command: the engine, the model, the format, where output goes.

    Args:
        model: What `-m` or the environment says; None means the current model.
        format_: Format of the answer; None for commands that print no data.
        output: File to write the answer to; None means standard output.
        quiet: Whether to say nothing but the answer.
    """

    def __init__(
        self, model: str | None, format_: str | None, output: str | None, *, quiet: bool
    ) -> None:
        self.home = home_from_environment()
        self.client = Client(self.home)
        self.format = format_
        self._reference = model
        self._output = output
        self._quiet = quiet

    @functools.cached_property
    def model(self) -> str:
        """Name of the model to work on."""
        reference = self._reference or self.current_model()
        if not reference:
            raise click.ClickException(
                "No selected model.\n\n"
                '"juju models" can be used to see models available to you.\n'
                'One of those models can be selected with "juju switch".\n'
                'Or use the flag "-m" to specify a model by name.'
            )
        return parse_model(reference)

    def ask(self, method: str, *, on_event: Event | None = None, **params: Any) -> Any:
        """Make a request that is not about one model."""
        try:
            return self.client.call(method, on_event=on_event, **params)
        except (AnswerError, ClientError) as error:
            raise click.ClickException(str(error)) from error

    def call(self, method: str, *, on_event: Event | None = None, **params: Any) -> Any:
        """Make a request about the model."""
        return self.ask(method, on_event=on_event, model=self.model, **params)

    def say(self, text: str) -> None:
        """Tell the operator what happens, on standard error."""
        if not self._quiet:
            click.echo(text, err=True)

    def write(self, text: str) -> None:
        """Write the answer."""
        if self._output is None:
            click.echo(text, nl=False)
            return
        try:
            Path(self._output).write_text(text)
        except OSError as error:
            raise click.ClickException(f"cannot write {self._output}: {error.strerror}") from error

    def show(self, data: Any, table: Table | None = None) -> None:
        """Write data in the format that was asked for.

        Args:
            data: The answer.
            table: Makes the text of the formats that are neither JSON nor YAML.
        """
        self.write(rendered(data, self.format or "yaml", table))

    # --- The current model, which is the operator's own business ---

    def current_model(self) -> str:
        """Return the model that `juju switch` chose; empty when there is none."""
        try:
            return json.loads((self.home / "client.json").read_text())["current-model"]
        except (OSError, ValueError, KeyError):
            return ""

    def switch(self, model: str) -> None:
        """Make a model the current one; an empty name leaves none."""
        try:
            (self.home / "client.json").write_text(json.dumps({"current-model": model}) + "\n")
        except OSError as error:
            raise click.ClickException(
                f"cannot remember the current model: {error.strerror}"
            ) from error


def parse_model(reference: str) -> str:
    """Return the name in `[controller:][user/]model`.

    Raises:
        click.ClickException: Another controller or user is named.
    """
    controller, _, rest = reference.rpartition(":")
    user, _, name = rest.rpartition("/")
    if controller not in {"", identity.CONTROLLER}:
        raise click.ClickException(f"controller {controller} not found")
    if user not in {"", identity.USER} or not name:
        raise click.ClickException(f"model {identity.CONTROLLER}:{rest} not found")
    return name


def rendered(data: Any, format_: str, table: Table | None = None) -> str:
    """Return data as text in a format."""
    if format_ == "json":
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n"
    if format_ == "yaml" or table is None:
        return to_yaml(data)
    return table(data)


def to_yaml(data: Any) -> str:
    """Return data as YAML, with its keys in order."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True)


def from_yaml(stream: TextIO | str) -> Any:
    """Read YAML.

    Raises:
        click.ClickException: It is none.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(stream)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise click.ClickException(f"cannot read YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()


def read_text(path: str) -> str:
    """Return the content of a file; `-` is standard input.

    Raises:
        click.ClickException: It cannot be read.
    """
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"cannot read {path}: {error}") from error


def pairs(words: Sequence[str], what: str) -> dict[str, str]:
    """Return `key=value` words as a mapping.

    Raises:
        click.ClickException: A word is not of this form.
    """
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.ClickException(f'{what}: expected "key=value", got "{word}"')
        if key in found:
            raise click.ClickException(f'{what}: key "{key}" specified more than once')
        found[key] = value
    return found


def option_values(words: Sequence[str]) -> dict[str, str]:
    """Return `key=value` words as a mapping; `key=@file` takes the file's content."""
    return {
        key: read_text(value[1:]) if value.startswith("@") else value
        for key, value in pairs(words, "options").items()
    }


def absolute(path: str) -> str:
    """Return a path as the engine, in another folder, finds it."""
    return str(Path(path).expanduser().absolute())


def is_path(word: str) -> bool:
    """Tell whether a word is written as a path."""
    return word.startswith((".", "/", "~"))


def confirm(question: str, *, no_prompt: bool) -> None:
    """Ask before something is taken away.

    Raises:
        click.Abort: The answer is no, or there is nobody to ask.
    """
    if no_prompt or os.environ.get("JUJU_SKIP_CONFIRMATION", "").lower() in {"1", "true", "t"}:
        return
    click.echo(question, err=True)
    click.echo("\nContinue [y/N]? ", nl=False, err=True)
    answer = sys.stdin.readline().strip().lower()
    if answer not in {"y", "yes"}:
        raise click.ClickException("aborted")


def command(
    name: str,
    *,
    formats: Sequence[str] = (),
    model: bool = True,
    interspersed: bool = True,
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function, which gets a `Session` first.

    Args:
        name: Name of the command.
        formats: Formats of its answer, the default first; none for commands without one.
        model: Whether it is about one model.
        interspersed: Whether options may follow arguments.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(**given: Any) -> None:
            session = Session(
                given.pop("model_reference", None),
                given.pop("format_", None),
                given.pop("output", None),
                quiet=given.pop("quiet"),
            )
            for ignored in ("debug", "verbose", "no_browser_login", "show_log"):
                given.pop(ignored)
            with contextlib.closing(session.client):
                function(session, **given)

        decorated: Any = run
        for option in _common(formats, model=model):
            decorated = option(decorated)
        settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
        if not interspersed:
            settings["allow_interspersed_args"] = False
        return click.command(name, context_settings=settings)(decorated)

    return decorate


def _common(formats: Sequence[str], *, model: bool) -> list[Any]:
    options = [
        click.option("-q", "--quiet", is_flag=True, help="Print the answer and errors only."),
        click.option("--debug", is_flag=True, hidden=True),
        click.option("--verbose", "-v", is_flag=True, hidden=True),
        click.option("--show-log", is_flag=True, hidden=True),
        click.option("-B", "--no-browser-login", is_flag=True, hidden=True),
    ]
    if formats:
        options += [
            click.option("-o", "--output", metavar="FILE", help="Write the answer to a file."),
            click.option(
                "--format",
                "format_",
                type=click.Choice(list(formats)),
                default=formats[0],
                show_default=True,
                help="Format of the answer.",
            ),
        ]
    if model:
        options.append(
            click.option(
                "-m",
                "--model",
                "model_reference",
                metavar="MODEL",
                envvar=MODEL_VARIABLE,
                help="Model to work on: [controller:][user/]name.",
            )
        )
    return options
