"""What a cloud can do without: take it away, and bring it back.

Which applications are features, and to whom they are related, follows from the manifest and the
charms' metadata, as the bundle does.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import jubilant
from jubilant.statustypes import Status

from helio import bundle, waiting
from helio.deployment import is_related
from helio.host import HelioError
from helio.plan import Plan
from helio.steps import Ensure, Step
from helio.watching import Watch


class Juju(Protocol):
    """What is asked of Juju; `jubilant.Juju` has it all."""

    def status(self) -> Status:
        """Return the model's status."""
        ...

    def deploy(
        self,
        charm: str | Path,
        app: str | None = None,
        *,
        base: str | None = None,
        config: Mapping[str, Any] | None = None,
        num_units: int = 1,
        resources: Mapping[str, str] | None = None,
        trust: bool = False,
    ) -> None:
        """Deploy an application."""
        ...

    def integrate(self, app1: str, app2: str) -> None:
        """Relate two endpoints."""
        ...

    def remove_application(self, *app: str, destroy_storage: bool = False) -> None:
        """Remove an application with its relations."""
        ...


@dataclasses.dataclass(frozen=True)
class Feature:
    """An application that the cloud can do without.

    Args:
        name: The application.
        charm: Its charm.
        relations: Pairs of provider and requirer endpoints.
    """

    name: str
    charm: str
    relations: tuple[tuple[str, str], ...]


def features(release: bundle.Release) -> dict[str, Feature]:
    """Return the features of a release, by name."""
    relations = release.relations()

    def of(name: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            (provider, requirer)
            for provider, requirer in relations
            if name in (bundle.application_of(provider), bundle.application_of(requirer))
        )

    return {
        name: Feature(name, application.charm, of(name))
        for name, application in sorted(release.manifest.applications.items())
        if application.feature
    }


class Switch:
    """Has the steps that take features away and bring them back.

    Args:
        plan: The release and this machine's charms and images.
        juju: Drives the model of the control plane.
        watch: Waits, and tells what for.
    """

    def __init__(self, plan: Plan, juju: Juju, watch: Watch):
        self._plan = plan
        self._juju = juju
        self._watch = watch

    def feature(self, name: str) -> Feature:
        """Return a feature.

        Raises:
            HelioError: there is none of that name.
        """
        known = features(self._plan.release)
        if name not in known:
            raise HelioError(
                f"cannot find the feature {name}: there is {', '.join(known) or 'none'}"
            )
        return known[name]

    def enabling(self, name: str) -> list[Step]:
        """Return the steps that deploy and relate a feature; what is there stays.

        Raises:
            HelioError: there is no such feature.
        """
        feature = self.feature(name)
        return [
            Ensure(
                f"Deploy {name}",
                f"deploy {name}, and relate it to what there is",
                lambda: name in self._juju.status().apps and not self._unrelated(feature),
                lambda _reporter: self._deploy(feature),
            ),
            Ensure(
                "Wait for the applications",
                "wait until the applications are active",
                lambda: False,  # one look is not enough to tell
                lambda _reporter: self._settle(),
            ),
        ]

    def disabling(self, name: str) -> list[Step]:
        """Return the steps that remove a feature with its storage, until it is gone.

        Raises:
            HelioError: there is no such feature.
        """
        self.feature(name)
        return [
            Ensure(
                f"Remove {name}",
                f"remove {name} with its storage",
                lambda: self._is_gone(name)[0],
                lambda _reporter: self._remove(name),
            )
        ]

    def _unrelated(self, feature: Feature) -> list[tuple[str, str]]:
        """Return the relations that are missing, and whose other side is there."""
        status = self._juju.status()
        there = {*status.apps, feature.name}
        return [
            pair
            for pair in feature.relations
            if {bundle.application_of(end) for end in pair} <= there
            and not is_related(status, *pair)
        ]

    def _settle(self) -> None:
        waiting.settle(
            [waiting.Watched(self._juju, self._juju.status().apps)],
            self._watch.reporter, self._watch.stall, self._watch.clock, self._watch.sleep,
        )  # fmt: skip

    def _remove(self, name: str) -> None:
        self._juju.remove_application(name, destroy_storage=True)
        self._watch.until(name, lambda: self._is_gone(name))

    def _is_gone(self, name: str) -> tuple[bool, str]:
        app = self._juju.status().apps.get(name)
        return app is None, f"{len(app.units)} unit(s) are there" if app else "gone"

    def _deploy(self, feature: Feature) -> None:
        if feature.name not in self._juju.status().apps:
            self._add(feature)
        for pair in self._unrelated(feature):
            self._juju.integrate(*pair)

    def _add(self, feature: Feature) -> None:
        plan = self._plan
        application = plan.release.manifest.applications[feature.name]
        charm = plan.release.charms[feature.charm]
        try:
            self._juju.deploy(
                plan.files[feature.charm],
                feature.name,
                base=f"{plan.base.distribution}@{plan.base.channel}",
                config=dict(application.options) or None,
                num_units=application.scale,
                resources=bundle.resources(plan.release.manifest, charm, plan.references),
                trust=application.trust,
            )
        except jubilant.CLIError as error:
            reason = waiting.last_line(error)
            raise HelioError(f"cannot deploy {feature.name}: {reason}") from error
