"""Bundles: compare with the model, then make the changes one by one."""

from __future__ import annotations

from pathlib import Path

from localjuju import bundle as bundles
from localjuju import changes
from localjuju.api._calls import Call, Data, Method
from localjuju.api._intake import sweep, take_in_charm, take_in_resources
from localjuju.changes import ChangeError
from localjuju.model import Charm, Resource


async def deploy_bundle(call: Call) -> Data:
    """Bring a model in line with a bundle; stop at the first change that fails.

    Every change is reported when it is made, so that it is known how far a failing one came;
    the same request again goes on from there.
    """
    params = call.params
    bundle = bundles.read(
        Path(params.text("path")), [Path(overlay) for overlay in params.texts("overlays")]
    )
    model = call.model
    async with call.intake:
        charms: dict[str, Charm] = {}
        resources: dict[str, dict[str, Resource]] = {}
        for app in bundles.missing_applications(bundle, model):
            await call.emit({"locating": str(app.charm), "app": app.name})
            constraints = app.constraints or next(iter(bundle.machines.values()), "")
            charms[app.name] = await take_in_charm(call, str(app.charm), constraints)
            resources[app.name] = await take_in_resources(call, charms[app.name], app.resources)
        plan = bundles.plan(
            bundle,
            model,
            charms,
            resources,
            trust=params.flag("trust"),
            now=call.now,
            find_offer=lambda url: changes.offer_details(
                *changes.find_offer(call.engine.models.values(), url)
            ),
            spaces=list(call.engine.settings.subnets),
        )
        if params.flag("dry_run"):
            return {"changes": [change.text for change in plan]}
        for change in plan:
            await call.emit({"change": change.text})
            try:
                await call.change(change.edit)
            except ChangeError as error:
                raise bundles.BundleError(
                    f"cannot deploy bundle: {change.text}: {error}"
                ) from error
        sweep(call.engine)
    return {"changes": [change.text for change in plan]}


METHODS: dict[str, Method] = {"deploy_bundle": deploy_bundle}
