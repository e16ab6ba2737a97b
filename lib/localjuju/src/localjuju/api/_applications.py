"""Applications: deploy, relate, scale, configure, refresh, remove."""

from __future__ import annotations

import copy
from typing import Any

from localjuju import changes, views
from localjuju.api._calls import Call, Data, Method
from localjuju.api._intake import sweep, take_in_charm, take_in_resources
from localjuju.api._offers import consumed_end
from localjuju.changes import ChangeError
from localjuju.model import Application, Model


def find_application(call: Call, key: str = "app") -> Application:
    """Return the application that a request names.

    Raises:
        ChangeError: There is none.
    """
    name = call.params.text(key)
    found = call.model.applications.get(name)
    if found is None:
        raise ChangeError(f'application "{name}" not found')
    return found


async def deploy(call: Call) -> Data:
    """Deploy an application from a charm on this host."""
    params = call.params
    model = call.model
    async with call.intake:
        charm = await take_in_charm(call, params.text("path"), params.text("constraints"))
        name = params.optional("app") or charm.name
        values = params.mapping("resources")
        if name in model.applications:  # before files are copied for nothing
            raise ChangeError(f'cannot add application "{name}": application already exists')
        resources = await take_in_resources(call, charm, values)
        units = 0 if charm.subordinate else 1
        if params.raw.get("units") is not None:
            units = params.number("units")
            if charm.subordinate:
                raise ChangeError("subordinate application must be deployed without units")

        app = await call.change(
            lambda model: changes.deploy(
                model,
                charm,
                name,
                units=units,
                config=params.mapping("config"),
                resources=resources,
                trust=params.flag("trust"),
                storage=params.mapping("storage"),
                constraints=params.text("constraints"),
                bindings=params.mapping("bindings"),
                placement=params.texts("placement"),
                spaces=list(call.engine.settings.subnets),
                now=call.now,
            )
        )
        sweep(call.engine)
    deployed = model.charms[app.charm_url]
    return {"app": name, "charm": deployed.name, "revision": deployed.revision}


async def refresh(call: Call) -> Data:
    """Give an application another revision of its charm, other resources, or both."""
    params = call.params
    app = find_application(call)
    async with call.intake:
        path = params.optional("path")
        charm = None
        if path is not None:
            charm = await take_in_charm(call, path, app.constraints)
        declared = charm or call.model.charm_of(app.name)
        resources = await take_in_resources(call, declared, params.mapping("resources"))

        def edit(model: Model) -> Application:
            url = changes.add_charm(model, charm) if charm is not None else None
            try:
                return changes.refresh(
                    model,
                    app.name,
                    url,
                    resources,
                    force=params.flag("force"),
                    trust=params.flag("trust"),
                    config=params.mapping("config"),
                    storage=params.mapping("storage"),
                    now=call.now,
                )
            except ChangeError:
                if url is not None:
                    changes.forget_charm(model, url)
                raise

        refreshed = await call.change(edit)
        sweep(call.engine)
    found = call.model.charms[refreshed.charm_url]
    return {"app": app.name, "charm": found.name, "revision": found.revision}


async def attach_resource(call: Call) -> bool:
    """Give an application another resource; return whether it differs from the old one."""
    app = find_application(call)
    async with call.intake:
        charm = call.model.charm_of(app.name)
        resources = await take_in_resources(call, charm, call.params.mapping("resources"))
        changed = await call.change(lambda m: changes.attach_resources(m, app.name, resources))
        sweep(call.engine)
    return changed


async def integrate(call: Call) -> Data:
    """Relate two applications; one may be the URL of an offer, which is consumed then."""
    a, b = [await consumed_end(call, call.params.text(end)) for end in ("a", "b")]
    relation = await call.change(lambda model: changes.add_relation(model, a, b))
    return {"id": relation.id, "key": relation.key}


async def remove_relation(call: Call) -> str:
    """Begin to remove a relation; return its key."""
    a, b = call.params.text("a"), call.params.optional("b")
    return (await call.change(lambda model: changes.remove_relation(model, a, b))).key


async def add_unit(call: Call) -> list[str]:
    """Add units; return their names."""
    app, count, now = call.params.text("app"), call.params.number("count"), call.now
    places = call.params.texts("placement")
    units = await call.change(lambda model: changes.add_units(model, app, count, now, places))
    return [unit.name for unit in units]


async def scale(call: Call) -> None:
    """Give an application so many units."""
    app, count, now = call.params.text("app"), call.params.number("count"), call.now
    await call.change(lambda model: changes.scale_application(model, app, count, now))


async def remove_unit(call: Call) -> list[str]:
    """Begin to remove the newest units of an application, or named ones; return their names."""
    params = call.params
    units = params.texts("units")
    app, count, now = params.optional("app") or "", params.number("count"), call.now
    force, storage = params.flag("force"), params.flag("destroy_storage")

    def edit(model: Model) -> list[str]:
        if units:
            for name in units:
                changes.remove_named_unit(model, name, force=force, destroy_storage=storage)
            return units
        leaving = changes.remove_units(
            model, app, count, now, force=force, destroy_storage=storage
        )
        return [unit.name for unit in leaving]

    if params.flag("dry_run"):
        return edit(copy.deepcopy(call.model))
    return await call.change(edit)


async def remove_application(call: Call) -> Data:
    """Begin to remove an application; return what goes with it."""
    params = call.params
    app = find_application(call)
    units = call.model.units_of(app.name)
    storage = sorted(held for unit in units for held in unit.storage)
    leaving: Data = {"units": [unit.name for unit in units], "storage": storage}
    if not params.flag("dry_run"):
        force, destroy = params.flag("force"), params.flag("destroy_storage")
        await call.change(
            lambda model: changes.remove_application(
                model, app.name, force=force, destroy_storage=destroy
            )
        )
    return leaving


async def config(call: Call) -> Data:
    """Return an application's options."""
    return views.app_config(call.model, find_application(call))


async def config_value(call: Call) -> Any:
    """Return the value of one option."""
    return views.option_value(call.model, find_application(call), call.params.text("name"))


async def set_config(call: Call) -> None:
    """Set some options of an application, and others back."""
    params = call.params
    app, values, reset = params.text("app"), params.mapping("values"), params.texts("reset")
    await call.change(lambda model: changes.change_config(model, app, values, reset))


async def trust(call: Call) -> None:
    """Let an application use the cluster's API, or not."""
    app, remove = call.params.text("app"), call.params.flag("remove")
    await call.change(lambda model: changes.set_trust(model, app, trust=not remove))


async def expose(call: Call) -> None:
    """Mark an application as reachable from outside, or not."""
    app, exposed = call.params.text("app"), call.params.flag("exposed")
    await call.change(lambda model: changes.set_exposed(model, app, exposed=exposed))


async def bind(call: Call) -> None:
    """Bind endpoints of an application to spaces."""
    app, bindings = call.params.text("app"), call.params.mapping("bindings")
    spaces = list(call.engine.settings.subnets)
    await call.change(lambda model: changes.bind(model, app, bindings, spaces))


async def show_application(call: Call) -> Data:
    """Return an application, as `juju show-application` prints it."""
    return views.show_application(call.model, find_application(call))


async def list_actions(call: Call) -> Data:
    """Return the actions of an application's charm."""
    app = find_application(call)
    return views.actions(call.model, app, schema=call.params.flag("schema"))


async def list_resources(call: Call) -> list[Data]:
    """Return the resources of an application."""
    return views.resources(call.model, find_application(call))


METHODS: dict[str, Method] = {
    "deploy": deploy,
    "refresh": refresh,
    "attach_resource": attach_resource,
    "integrate": integrate,
    "remove_relation": remove_relation,
    "add_unit": add_unit,
    "scale": scale,
    "remove_unit": remove_unit,
    "remove_application": remove_application,
    "config": config,
    "config_value": config_value,
    "set_config": set_config,
    "trust": trust,
    "expose": expose,
    "bind": bind,
    "show_application": show_application,
    "actions": list_actions,
    "resources": list_resources,
}
