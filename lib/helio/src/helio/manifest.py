"""What a release of Helio consists of, and the exceptions to its wiring: read strictly."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, cast

import yaml

from helio.host import HelioError

Yaml = Mapping[str, Any]
Part = Literal["pods", "machines"]  # which of the two models


@dataclasses.dataclass(frozen=True)
class Application:
    """One application of the release.

    Args:
        charm: Name of the charm.
        scale: Number of units.
        quorum: Whether the number of units must be odd.
        trust: Whether its units may use the Kubernetes API.
        options: Charm options that differ from the charm's defaults.
        to: Machines on which its units stand, one for each; none: its units are pods.
        feature: Whether the cloud can do without it, so that `helio disable` may take it away:
            `deployed` by the bundle, or `optional`, until `helio enable` is asked for it.
    """

    charm: str
    scale: int = 1
    quorum: bool = False
    trust: bool = False
    options: Yaml = dataclasses.field(default_factory=dict[str, Any])
    to: tuple[str, ...] = ()
    feature: Literal["", "deployed", "optional"] = ""

    @property
    def part(self) -> Part:
        """Return in which of the models it stands."""
        return "machines" if self.to else "pods"


def _default_models() -> dict[Part, str]:
    return {"pods": "openstack", "machines": "machines"}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a release consists of; see the comments in `bundles/manifest.yaml`.

    Args:
        release: The OpenStack release.
        base: Juju's name of the base: `ubuntu@24.04`.
        arch: Debian's name of the architecture.
        channels: Program → channel.
        versions: Program → version.
        images: Charm resource → image.
        applications: Application → what it is.
        models: Part of the cloud → Juju model.
        files: Charm resource that is a file → the recipe among the images' that makes it.
        spaces: Juju's spaces of machines, the model's default first; an endpoint or extra binding
            with the name of another is bound to that.
        extensions: Charms that no bundle deploys; they join a cloud by Juju alone.
    """

    release: str
    base: str
    arch: str
    channels: Mapping[str, str]
    versions: Mapping[str, str]
    images: Mapping[str, str]
    applications: Mapping[str, Application]
    models: Mapping[Part, str] = dataclasses.field(default_factory=_default_models)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    spaces: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()

    def part(self, part: Part) -> dict[str, Application]:
        """Return the applications that one model's bundle deploys."""
        return {
            name: application
            for name, application in sorted(self.applications.items())
            if application.part == part and application.feature != "optional"
        }

    @property
    def machines(self) -> tuple[str, ...]:
        """Return the machines on which units stand."""
        return tuple(sorted({m for each in self.applications.values() for m in each.to}))


@dataclasses.dataclass(frozen=True)
class Wiring:
    """Exceptions to the derived relations.

    Args:
        choose: Requirer endpoint (`app:endpoint`) → the provider endpoint to use.
        leave: Requirer endpoints that stay unrelated.
        prefer: Interface → the provider endpoint to use where several provide it.
    """

    choose: Mapping[str, str]
    leave: tuple[str, ...]
    prefer: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


def parse_manifest(text: str) -> Manifest:
    """Return the manifest.

    Raises:
        HelioError: a key is missing or unknown; names it.
    """
    values = _load("manifest.yaml", text)
    _refuse_unknown("manifest.yaml", values, Manifest)
    applications = {
        name: _application(name, cast(Yaml, value))
        for name, value in values["applications"].items()
    }
    values["applications"] = applications
    for key in ("spaces", "extensions"):
        values[key] = tuple(values.get(key, ()))
    return Manifest(**values)


def parse_wiring(text: str) -> Wiring:
    """Return the wiring's exceptions.

    Raises:
        HelioError: a key is unknown; names it.
    """
    values = _load("wiring.yaml", text)
    _refuse_unknown("wiring.yaml", values, Wiring)
    return Wiring(
        choose=values["choose"], leave=tuple(values["leave"]), prefer=values.get("prefer") or {}
    )


def _application(name: str, values: Yaml) -> Application:
    _refuse_unknown(f"manifest.yaml: application {name}", values, Application)
    places = tuple(str(place) for place in values.get("to", ()))
    feature = values.get("feature", "")
    if feature not in ("", "deployed", "optional"):
        raise HelioError(
            f"cannot use manifest.yaml: application {name}: feature is {feature}, "
            "not deployed or optional"
        )
    return dataclasses.replace(Application(**values), to=places)


def _load(name: str, text: str) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise HelioError(f"cannot read {name}: {error}") from error


def _refuse_unknown(name: str, values: Yaml, shape: type[Any]) -> None:
    fields = dataclasses.fields(shape)
    unknown = values.keys() - {field.name for field in fields}
    if unknown:
        raise HelioError(f"cannot use {name}: unknown key {', '.join(sorted(unknown))}")
    missing = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    } - values.keys()
    if missing:
        raise HelioError(f"cannot use {name}: missing key {', '.join(sorted(missing))}")
