"""Models: add, list, show, configure, destroy; and what the engine says about itself."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any

from localjuju import changes, identity, views
from localjuju.api._calls import Call, Data, Method
from localjuju.api._intake import sweep
from localjuju.model import Model
from localjuju.status import relations, status

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PROGRESS = 2.0


async def info(call: Call) -> Data:
    """Return who answers: process id, home, number of models."""
    settings = call.engine.settings
    return {
        "pid": os.getpid(),
        "home": str(settings.home),
        "instance": settings.instance,
        "subnet": settings.subnet,
        "models": sorted(call.engine.models),
        "uuid": identity.controller_uuid(settings.home),
    }


async def list_models(call: Call) -> list[Data]:
    """Return all models, as `juju models` lists them."""
    controller = identity.controller_uuid(call.engine.settings.home)
    return [views.model_entry(m, controller) for _, m in sorted(call.engine.models.items())]


async def add_model(call: Call) -> str:
    """Add a model; return its UUID."""
    name = call.params.text("name")
    if not _NAME.fullmatch(name):
        raise changes.ChangeError(
            f'"{name}" is not a valid name: model names may only contain lowercase letters, '
            "digits and hyphens"
        )
    scratch = Model(name=name, uuid="")
    changes.set_model_config(scratch, call.params.mapping("config"))
    kind = identity.CLOUDS[call.params.optional("cloud") or identity.CLOUD]
    model = await call.engine.add_model(name, scratch.config, kind)
    return model.uuid


async def destroy_model(call: Call) -> None:
    """Remove a model; report what is left of it while that lasts.

    Raises:
        ChangeError: Other models use its offers and `force` is not set, or it lasts longer than
            `timeout` seconds; it goes on nevertheless.
    """
    model = call.model
    if not call.params.flag("force"):
        changes.check_no_connections(model)
    limit = call.params.seconds("timeout")
    give_up = None if limit is None else call.now + limit
    if call.params.flag("destroy_storage"):
        for unit in model.units.values():
            unit.destroy_storage = True
    work = asyncio.create_task(
        call.engine.destroy_model(model.name, force=call.params.flag("force"))
    )
    while True:
        done, _ = await asyncio.wait({work}, timeout=_PROGRESS)
        if done:
            await work
            break
        if give_up is not None and call.now >= give_up:
            work.cancel()  # ends the waiting only
            raise changes.ChangeError(
                f'timed out waiting for model "{model.name}" to be removed; it goes on. What '
                "holds it back: juju status; to pass over failing hooks: --force"
            )
        await call.emit({"applications": len(model.applications), "units": len(model.units)})
    async with call.intake:
        sweep(call.engine)


async def show_model(call: Call) -> Data:
    """Return a model, as `juju show-model` prints it."""
    return views.show_model(call.model, identity.controller_uuid(call.engine.settings.home))


async def model_config(call: Call) -> Data:
    """Return a model's options."""
    return views.model_config(call.model)


async def set_model_config(call: Call) -> None:
    """Set some options of a model, and others back."""
    values, reset = call.params.mapping("values"), call.params.texts("reset")
    await call.change(lambda model: changes.set_model_config(model, values, reset))


async def model_status(call: Call) -> Data:
    """Return a model's status, and the rows of its relations."""
    selectors = call.params.texts("selectors")
    utc = call.params.flag("utc")
    return {
        "status": status(
            call.model,
            call.now,
            settings=call.engine.settings,
            selectors=selectors,
            utc=utc,
        ),
        "relations": relations(call.model, selectors),
    }


async def wait(call: Call) -> Any:
    """Return at the next change of any model, or after some seconds."""
    calm = True

    def changed() -> bool:
        # Asked once at the beginning, then after each change.
        nonlocal calm
        calm, before = False, calm
        return not before

    try:
        await call.engine.wait_until(changed, call.params.seconds("seconds"))
    except TimeoutError:
        return False
    return True


METHODS: dict[str, Method] = {
    "info": info,
    "models": list_models,
    "add_model": add_model,
    "destroy_model": destroy_model,
    "show_model": show_model,
    "model_config": model_config,
    "set_model_config": set_model_config,
    "status": model_status,
    "wait": wait,
}
