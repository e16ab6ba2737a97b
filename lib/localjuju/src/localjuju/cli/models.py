"""Commands about models, and about who answers."""

from __future__ import annotations

import platform
from typing import Any

import click

from localjuju import identity
from localjuju.cli import tables
from localjuju.cli.base import (
    DURATION,
    Session,
    command,
    confirm,
    from_yaml,
    is_path,
    option_values,
    parse_model,
    read_text,
)

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@command("add-model", model=False)
@click.argument("name")
@click.argument("cloud", required=False)
@click.option("--config", multiple=True, help="An option as key=value, or a YAML file of them.")
@click.option("--no-switch", is_flag=True, help="Do not make the new model the current one.")
@click.option("-c", "--controller", help="The controller; there is one.")
@click.option("--credential", hidden=True)
@click.option("--owner", hidden=True)
def add_model(
    session: Session,
    name: str,
    cloud: str | None,
    config: tuple[str, ...],
    no_switch: bool,
    controller: str | None,
    credential: str | None,
    owner: str | None,
) -> None:
    """Add an empty model.

    CLOUD tells what its units are: pods (podman, the default), or on machines (localhost).
    """
    del credential, owner
    if controller not in {None, identity.CONTROLLER}:
        raise click.ClickException(f"controller {controller} not found")
    place, _, region = (cloud or identity.CLOUD).partition("/")
    if place not in identity.CLOUDS or region not in {"", identity.REGION}:
        known = ", ".join(sorted(identity.CLOUDS))
        raise click.ClickException(f"cloud {cloud} not found; there are: {known}")
    values: dict[str, Any] = {}
    for word in config:
        if is_path(word) or word.endswith((".yaml", ".yml")):
            values |= from_yaml(read_text(word)) or {}
        else:
            values |= option_values([word])
    session.ask("add_model", name=name, config=values, cloud=place)
    if not no_switch:
        session.switch(name)
    session.say(f"Added '{name}' model on {place}/{identity.REGION} for user '{identity.USER}'")


@command("destroy-model", model=False)
@click.argument("name")
@click.option("--no-prompt", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Pass over hooks that fail.")
@click.option("--no-wait", is_flag=True, help="Accepted; hooks run at their own pace.")
@click.option("--destroy-storage", is_flag=True, help="Destroy the model's storage, too.")
@click.option("--release-storage", is_flag=True, help="Keep the model's storage: not possible.")
@click.option("-t", "--timeout", type=DURATION, help="Give up waiting after this time.")
def destroy_model(
    session: Session,
    name: str,
    no_prompt: bool,
    force: bool,
    no_wait: bool,
    destroy_storage: bool,
    release_storage: bool,
    timeout: float | None,
) -> None:
    """Remove a model with everything in it, and wait until nothing is left."""
    del no_wait
    if release_storage:
        raise click.ClickException(
            "cannot release storage: it lives in the model; leave --release-storage out"
        )
    model = parse_model(name)
    status = session.ask("status", model=model)["status"]
    if status.get("storage") and not destroy_storage and not force:
        raise click.ClickException(
            f'cannot destroy model "{model}"\n\nThe model has persistent storage remaining:\n'
            f"\t{len(status['storage']['storage'])} volumes or filesystems\n\n"
            "To destroy the storage, run the destroy-model\ncommand with the "
            '"--destroy-storage" option.'
        )
    confirm(
        f"This command will destroy the {model} model and all its applications"
        f" ({', '.join(status['applications']) or 'none'}).",
        no_prompt=no_prompt,
    )
    session.say("Destroying model")

    def progress(event: dict[str, Any]) -> None:
        session.say(
            f"Waiting for model to be removed, {event['applications']} application(s), "
            f"{event['units']} unit(s)..."
        )

    session.ask(
        "destroy_model",
        on_event=progress,
        model=model,
        force=force,
        destroy_storage=destroy_storage,
        timeout=timeout,
    )
    if session.current_model() == model:
        session.switch("")
    session.say("Model destroyed.")


@command("models", formats=("tabular", "json", "yaml"), model=False)
@click.option("-c", "--controller", hidden=True)
@click.option("--all", "all_", is_flag=True, hidden=True)
@click.option("--uuid", is_flag=True, hidden=True)
@click.option("--exact-time", is_flag=True, hidden=True)
def models(
    session: Session, controller: str | None, all_: bool, uuid: bool, exact_time: bool
) -> None:
    """List the models."""
    del controller, all_, uuid, exact_time
    data: dict[str, Any] = {"models": session.ask("models")}
    current = session.current_model()
    if current:
        data["current-model"] = current
    session.show(data, lambda d: tables.models({**d, "controller": identity.CONTROLLER}))


@command("show-model", formats=("yaml", "json"))
@click.argument("name", required=False)
def show_model(session: Session, name: str | None) -> None:
    """Show what there is to know about a model."""
    model = parse_model(name) if name else session.model
    session.show(session.ask("show_model", model=model))


@command("switch", model=False)
@click.argument("name", required=False)
def switch(session: Session, name: str | None) -> None:
    """Choose the current model, or show it."""
    current = session.current_model()
    if name is None:
        if not current:
            raise click.ClickException("no model is selected; see `juju models`")
        session.write(f"{identity.CONTROLLER}:{identity.USER}/{current}\n")
        return
    if name == identity.CONTROLLER:
        return
    model = parse_model(name)
    if model not in {entry["short-name"] for entry in session.ask("models")}:
        raise click.ClickException(f'"{name}" is not the name of a controller or model')
    session.switch(model)
    before = f"{identity.CONTROLLER}:{identity.USER}/{current}" if current else "(none)"
    session.say(f"{before} -> {identity.CONTROLLER}:{identity.USER}/{model}")


@command("clouds", formats=("tabular", "json", "yaml"), model=False)
@click.option("-c", "--controller", hidden=True)
@click.option("--client", is_flag=True, hidden=True)
@click.option("--all", "all_", is_flag=True, hidden=True)
def clouds(session: Session, controller: str | None, client: bool, all_: bool) -> None:
    """List the clouds that models can be on: of pods, and of machines."""
    del controller, client, all_
    data: dict[str, Any] = {
        name: {
            "defined": "built-in",
            "type": identity.PROVIDERS[kind],
            "auth-types": [],
            "regions": {identity.REGION: {}},
            "description": f"{'Pods' if kind == 'caas' else 'Machines'} of this host",
        }
        for name, kind in sorted(identity.CLOUDS.items())
    }
    session.show(data, tables.clouds)


@command("controllers", formats=("tabular", "json", "yaml"), model=False)
@click.option("--refresh", is_flag=True, hidden=True)
def controllers(session: Session, refresh: bool) -> None:
    """List the controllers: the engine itself."""
    del refresh
    info = session.ask("info")
    entry: dict[str, Any] = {
        "current-model": session.current_model(),
        "user": identity.USER,
        "access": "superuser",
        "uuid": info["uuid"],
        "api-endpoints": [],
        "cloud": identity.CLOUD,
        "region": identity.REGION,
        "agent-version": identity.JUJU_VERSION,
        "model-count": len(info["models"]),
    }
    data: dict[str, Any] = {
        "controllers": {identity.CONTROLLER: entry},
        "current-controller": identity.CONTROLLER,
    }
    session.show(data, tables.controllers)


@command("show-controller", formats=("yaml", "json"), model=False)
@click.argument("name", required=False)
def show_controller(session: Session, name: str | None) -> None:
    """Show the controller: the engine itself."""
    if name not in {None, identity.CONTROLLER}:
        raise click.ClickException(f"controller {name} not found")
    info = session.ask("info")
    details: dict[str, Any] = {
        "controller-uuid": info["uuid"],
        "api-endpoints": [],
        "cloud": identity.CLOUD,
        "region": identity.REGION,
        "agent-version": identity.JUJU_VERSION,
    }
    account = {"user": identity.USER, "access": "superuser"}
    shown: dict[str, Any] = {"details": details, "account": account}
    shown["current-model"] = session.current_model()
    session.show({identity.CONTROLLER: shown})


@command("whoami", formats=("tabular", "json", "yaml"), model=False)
def whoami(session: Session) -> None:
    """Show controller, model and user."""
    data = {
        "controller": identity.CONTROLLER,
        "model": session.current_model(),
        "user": identity.USER,
    }
    session.show(data, _whoami_table)


def _whoami_table(data: dict[str, str]) -> str:
    return "".join(
        f"{key.title() + ':':<12}{value or '<no-current-model>'}\n" for key, value in data.items()
    )


@command("version", formats=("smart", "json", "yaml"), model=False)
@click.option("--all", "all_", is_flag=True, help="Show everything there is to know.")
def version(session: Session, all_: bool) -> None:
    """Show the version of Juju whose commands are spoken here."""
    machine = platform.machine()
    text = f"{identity.JUJU_VERSION}-genericlinux-{_ARCHITECTURES.get(machine, machine)}"
    if not all_:
        session.show(text, lambda shown: f"{shown}\n")
        return
    session.show({"version": text, "git-commit": "", "engine": "localjuju"})
