"""The one exception of this package, and the look-ups that raise it."""

from __future__ import annotations

from collections.abc import Mapping

from localjuju.model import Application, Endpoint, Life, Model, Unit


class ChangeError(Exception):
    """A change is refused; the model is as it was. The text is for the operator."""


def application(model: Model, name: str) -> Application:
    """Return an application.

    Raises:
        ChangeError: There is none with this name.
    """
    found = model.applications.get(name)
    if found is None:
        raise ChangeError(f'application "{name}" not found')
    return found


def alive_application(model: Model, name: str) -> Application:
    """Return an application that is not being removed.

    Raises:
        ChangeError: There is none with this name, or it is on its way out.
    """
    found = application(model, name)
    if found.life is not Life.ALIVE:
        raise ChangeError(f'application "{name}" is not alive: it is being removed')
    return found


def endpoints(model: Model, name: str) -> Mapping[str, Endpoint]:
    """Return the endpoints of an application, of this model or of another by its name here.

    Raises:
        ChangeError: There is none with this name, or it is on its way out.
    """
    saas = model.saas.get(name)
    if saas is None:
        application(model, name)
        return model.charm_of(name).endpoints
    if saas.life is not Life.ALIVE:
        raise ChangeError(f'saas application "{name}" is not alive: it is being removed')
    return saas.endpoints


def unit(model: Model, name: str) -> Unit:
    """Return a unit.

    Raises:
        ChangeError: There is none with this name.
    """
    found = model.units.get(name)
    if found is None:
        raise ChangeError(f'unit "{name}" not found')
    return found
