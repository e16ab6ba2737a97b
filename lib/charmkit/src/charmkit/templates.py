"""Renders templates from complete values only: what is not defined is an error."""

import functools
import pathlib
import typing
import urllib.parse
from collections.abc import Sequence

import jinja2

from charmkit.spec import Values

OURS = pathlib.Path(__file__).parent / "templates"


def ini_value(value: object) -> str:
    """Write a value so that oslo.config reads exactly it: `$` would begin a substitution.

    Raises:
        ValueError: The value has a line break, which would begin another option.
    """
    text = str(value)
    if "\n" in text or "\r" in text:
        raise ValueError("cannot write a value with a line break into an INI file")
    return text.replace("$", "$$")


def quote(value: object) -> str:
    """Write a value so that it can stand in any part of a URL."""
    return urllib.parse.quote(str(value), safe="")


class Templates:
    """The templates of one charm, with those of charmkit behind them."""

    def __init__(self, *folders: pathlib.Path):
        self._folders = (*folders, OURS)

    @functools.cached_property
    def _environment(self) -> jinja2.Environment:
        environment = jinja2.Environment(  # noqa: S701 - the files are INI, not HTML
            loader=jinja2.FileSystemLoader(self._folders),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        # jinja2 declares `filters` without the types of its values.
        filters = typing.cast("dict[str, object]", environment.filters)  # pyright: ignore[reportUnknownMemberType]
        filters |= {"ini": ini_value, "quote": quote}
        return environment

    def render(self, name: str, values: Values) -> str:
        """Render a template, or give the file as it is if its name does not end in `.j2`.

        Raises:
            jinja2.UndefinedError: The template names a value that is not there: its mistake.
            jinja2.TemplateNotFound: There is no such file.
        """
        if name.endswith(".j2"):
            return self._environment.get_template(name).render(values)
        return self._read(name, self._folders)

    def render_text(self, text: str, values: Values) -> str:
        """Render a template that is given as text."""
        return self._environment.from_string(text).render(values)

    @staticmethod
    def _read(name: str, folders: Sequence[pathlib.Path]) -> str:
        for folder in folders:
            path = folder / name
            if path.is_file():
                return path.read_text()
        raise jinja2.TemplateNotFound(name)
