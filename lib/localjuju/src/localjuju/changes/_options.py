"""Options: of charms, of applications (`trust`) and of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from localjuju.changes._errors import ChangeError, alive_application
from localjuju.model import Charm, Model, Value
from localjuju.values import ValueTypeError, coerce, duration

TRUST = "trust"


@dataclasses.dataclass(frozen=True)
class ModelOption:
    """An option of every model."""

    name: str
    kind: str  # as for charms, or "duration"
    default: Value
    description: str


MODEL_OPTIONS = {
    option.name: option
    for option in (
        ModelOption(
            "automatically-retry-hooks", "boolean", True, "whether a failed hook is run again"
        ),
        ModelOption(
            "update-status-hook-interval", "duration", "5m", "time between two update-status hooks"
        ),
        ModelOption("logging-config", "string", "<root>=INFO", "which messages units log"),
        ModelOption("http-proxy", "string", "", "exported to hooks by older charms"),
        ModelOption("https-proxy", "string", "", "exported to hooks by older charms"),
        ModelOption("ftp-proxy", "string", "", "exported to hooks by older charms"),
        ModelOption("no-proxy", "string", "127.0.0.1,localhost,::1", "hosts without proxy"),
        ModelOption("juju-http-proxy", "string", "", "JUJU_CHARM_HTTP_PROXY in hooks"),
        ModelOption("juju-https-proxy", "string", "", "JUJU_CHARM_HTTPS_PROXY in hooks"),
        ModelOption("juju-ftp-proxy", "string", "", "JUJU_CHARM_FTP_PROXY in hooks"),
        ModelOption(
            "juju-no-proxy", "string", "127.0.0.1,localhost,::1", "JUJU_CHARM_NO_PROXY in hooks"
        ),
        ModelOption("workload-storage", "string", "", "storage class; every one is a folder here"),
        ModelOption("development", "boolean", False, "whether the model is in development mode"),
        ModelOption("test-mode", "boolean", False, "whether the model is for tests"),
    )
}


def check_config(charm: Charm, values: Mapping[str, Any]) -> dict[str, Value]:
    """Return options of a charm with their proper types.

    Args:
        charm: The charm.
        values: Option → text from a command line, or what YAML made of it.

    Raises:
        ChangeError: The charm has no such option, or the value is of another type.
    """
    unknown = [name for name in values if name not in charm.config]
    if unknown:
        raise ChangeError(f'unknown option "{unknown[0]}"')
    return {name: _coerce(name, charm.config[name]["type"], v) for name, v in values.items()}


def set_config(model: Model, app: str, values: Mapping[str, Any]) -> None:
    """Set options of an application; see `change_config`."""
    change_config(model, app, values, ())


def reset_config(model: Model, app: str, names: Iterable[str]) -> None:
    """Set options of an application back to the charm's defaults; see `change_config`."""
    change_config(model, app, {}, names)


def change_config(model: Model, app: str, values: Mapping[str, Any], reset: Iterable[str]) -> None:
    """Set some options of an application, and set others back.

    Raises:
        ChangeError: No such application or option, a wrong type, or one option in both.
    """
    application = alive_application(model, app)
    charm = model.charm_of(app)
    back = list(reset)
    both = [name for name in back if name in values]
    if both:
        raise ChangeError(f'cannot set and reset option "{both[0]}" at the same time')
    for name in back:
        if name not in charm.config and name != TRUST:
            raise ChangeError(f'unknown option "{name}"')
    own = {name: value for name, value in values.items() if name != TRUST or TRUST in charm.config}
    typed = check_config(charm, own)
    trust = application.trust
    if TRUST in values and TRUST not in charm.config:
        trust = bool(_coerce(TRUST, "boolean", values[TRUST]))
    if TRUST in back and TRUST not in charm.config:
        trust = False
    application.trust = trust
    kept = {name: value for name, value in application.config.items() if name not in back}
    application.config = kept | typed


def model_option(name: str) -> ModelOption:
    """Return an option that every model has.

    Raises:
        ChangeError: There is none with this name.
    """
    option = MODEL_OPTIONS.get(name)
    if option is None:
        raise ChangeError(f'unknown model option "{name}"; see `juju model-config`')
    return option


def set_model_config(model: Model, values: Mapping[str, Any], reset: Iterable[str] = ()) -> None:
    """Set options of a model, and set others back to their defaults.

    Raises:
        ChangeError: No such option, or a value of the wrong type.
    """
    typed: dict[str, Value] = {}
    for name, value in values.items():
        option = model_option(name)
        kind = "string" if option.kind == "duration" else option.kind
        typed[name] = _coerce(name, kind, value)
        if option.kind == "duration":
            _check_duration(name, str(typed[name]))
    back = [model_option(name).name for name in reset]
    kept = {name: value for name, value in model.config.items() if name not in back}
    model.config = kept | typed


def _check_duration(name: str, text: str) -> None:
    try:
        seconds = duration(text)
    except ValueTypeError as error:
        raise ChangeError(f'option "{name}": {error}') from error
    if seconds < 1:
        raise ChangeError(f'option "{name}": "{text}" is shorter than one second')


def _coerce(name: str, kind: str, value: Any) -> Value:
    try:
        return coerce(name, kind, value)
    except ValueTypeError as error:
        raise ChangeError(str(error)) from error
