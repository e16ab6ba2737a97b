"""Offers, and the applications of other models that a model consumes."""

from __future__ import annotations

import fnmatch
import uuid
from typing import Any

from localjuju import changes, identity, views
from localjuju.api._calls import Call, Data, Method
from localjuju.changes import ChangeError
from localjuju.model import Endpoint, Model, Offer


async def offer(call: Call) -> Data:
    """Offer endpoints of an application."""
    params = call.params
    app, endpoints, name = params.text("app"), params.texts("endpoints"), params.optional("name")
    made = await call.change(
        lambda model: changes.add_offer(
            model, app, endpoints, name or "", uuid=str(uuid.uuid4()), now=call.now
        )
    )
    url = changes.offer_url(call.model, made).partition(":")[2]
    return {"name": made.name, "endpoints": made.endpoints, "url": url}


def _with_offers(call: Call) -> list[tuple[Model, Offer]]:
    return [
        (model, offer)
        for _, model in sorted(call.engine.models.items())
        for _, offer in sorted(model.offers.items())
        if offer.app in model.applications
    ]


async def list_offers(call: Call) -> Data:
    """Return the model's offers with their connections, by name."""
    params = call.params
    wanted = {key: params.optional(key) for key in ("offer", "application", "interface")}
    rows = {
        offer.name: views.offer_row(model, offer)
        for model, offer in _with_offers(call)
        if model is call.model and _fits(model, offer, wanted)
    }
    if params.flag("active_only"):
        rows = {name: row for name, row in rows.items() if row["connections"]}
    return rows


def _fits(model: Model, offer: Offer, wanted: dict[str, Any]) -> bool:
    found: list[Endpoint] = list(changes.offer_details(model, offer).endpoints.values())
    name, app, interface = wanted["offer"], wanted.get("application"), wanted.get("interface")
    return (
        (not name or fnmatch.fnmatchcase(offer.name, name))
        and (not app or offer.app == app)
        and (not interface or any(endpoint.interface == interface for endpoint in found))
    )


async def find_offers(call: Call) -> Data:
    """Return the offers of all models or of one, by URL."""
    params = call.params
    in_model = params.optional("in_model")
    wanted = {key: params.optional(key) for key in ("offer", "interface")}
    found: Data = {}
    for model, offer in _with_offers(call):
        if in_model in {None, model.name} and _fits(model, offer, wanted):
            found |= views.show_offer(model, offer)
    return found


async def show_offer(call: Call) -> Data:
    """Return an offer by its URL."""
    found = changes.find_offer(call.engine.models.values(), call.params.text("url"))
    return views.show_offer(*found)


async def remove_offer(call: Call) -> None:
    """Take offers back, each named by its URL."""
    force = call.params.flag("force")
    models = call.engine.models.values()
    found = [changes.find_offer(models, url) for url in call.params.texts("urls")]
    for model, offer in found:
        await call.engine.change(
            model.name, lambda m, name=offer.name: changes.remove_offer(m, name, force=force)
        )


async def offer_access(call: Call) -> None:
    """Let a user do something with offers, or not any more."""
    params = call.params
    user, access, is_grant = params.text("user"), params.text("access"), params.flag("grant")
    for url in params.texts("urls"):
        model, offer = changes.find_offer(call.engine.models.values(), url)
        await call.engine.change(
            model.name,
            lambda m, name=offer.name: changes.set_offer_access(
                m, name, user, access, grant=is_grant
            ),
        )


async def consume(call: Call) -> Data:
    """Give an offer a name in this model."""
    return await _consumed(call, call.params.text("url"), call.params.optional("alias") or "")


async def _consumed(call: Call, url: str, alias: str) -> Data:
    details = changes.offer_details(*changes.find_offer(call.engine.models.values(), url))
    saas = await call.change(lambda model: changes.consume(model, details, alias, call.now))
    return {"name": saas.name, "url": saas.url}


async def consumed_end(call: Call, end: str) -> str:
    """Return an end of a relation as the model knows it; the URL of an offer is consumed."""
    rest = end.removeprefix(f"{identity.CONTROLLER}:")
    url, _, endpoint = rest.partition(":")
    if "." not in url:
        return end
    held = [
        saas.name
        for saas in call.model.saas.values()
        if saas.url == f"{identity.CONTROLLER}:{identity.USER}/{url.rpartition('/')[2]}"
    ]
    name = held[0] if held else (await _consumed(call, url, ""))["name"]
    return f"{name}:{endpoint}" if endpoint else name


async def remove_saas(call: Call) -> None:
    """Begin to remove the names of offers."""
    for name in call.params.texts("names"):
        await call.change(lambda model, name=name: changes.remove_saas(model, name))


async def suspend(call: Call) -> None:
    """Interrupt relations with other models, or let them go on."""
    params = call.params
    numbers: list[int] = []
    for text in params.texts("relations"):
        if not text.isdigit():
            raise ChangeError(f'relation ID "{text}" not valid')
        numbers.append(int(text))
    suspended, reason = params.flag("suspended"), params.optional("reason") or ""
    await call.change(
        lambda model: changes.set_suspended(model, numbers, suspended=suspended, reason=reason)
    )


METHODS: dict[str, Method] = {
    "offer": offer,
    "offers": list_offers,
    "find_offers": find_offers,
    "show_offer": show_offer,
    "remove_offer": remove_offer,
    "offer_access": offer_access,
    "consume": consume,
    "remove_saas": remove_saas,
    "suspend": suspend,
}
