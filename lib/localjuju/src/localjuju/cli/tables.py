"""Tables as Juju prints them: pure functions from data to text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Data = dict[str, Any]

_HOOK = re.compile(r"running (?:action )?(?P<name>\S+)(?: hook.*)?")
_DIGITS = re.compile(r"(\d+)")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Return rows in columns that are two spaces apart.

    Args:
        header: Titles.
        rows: Cells; each is shown as text.
        right: Numbers of columns that are aligned to the right.
    """
    lines = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    texts = (
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join(texts) + "\n"


def natural(name: str) -> list[tuple[int, str | int]]:
    """Return a key that sorts `app/10` after `app/9`."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in _DIGITS.split(name)]


def status(data: Data, *, with_relations: bool, with_storage: bool) -> str:
    """Return the status of a model.

    Args:
        data: `status` and `relations`, as the engine gives them.
        with_relations: Whether the relations are listed.
        with_storage: Whether the storage is listed.
    """
    shown: Data = data["status"]
    sections = [_model(shown)]
    has_machines = shown["model"]["type"] == "iaas"
    if shown.get("application-endpoints"):
        sections.append(_saas(shown["application-endpoints"]))
    if shown["applications"]:
        sections.append(_applications(shown, has_machines=has_machines))
    units = {n: u for a in shown["applications"].values() for n, u in a.get("units", {}).items()}
    if units:
        sections.append(_units(units, has_machines=has_machines))
    if shown["machines"]:
        sections.append(machines(shown))
    if shown.get("offers"):
        sections.append(_offers(shown["offers"]))
    if with_relations and data["relations"]:
        sections.append(_relations(data["relations"]))
    if with_storage and shown.get("storage", {}).get("storage"):
        sections.append(_storage(shown["storage"]["storage"]))
    return "\n".join(sections)


def _model(shown: Data) -> str:
    model = shown["model"]
    header = ["Model", "Controller", "Cloud/Region", "Version", "SLA", "Timestamp"]
    row = [
        model["name"],
        model["controller"],
        f"{model['cloud']}/{model['region']}",
        model["version"],
        model.get("sla", ""),
        shown["controller"]["timestamp"],
    ]
    if model["model-status"]["current"] != "available":
        header.append("Notes")
        row.append(model["model-status"]["current"])
    return table(header, [row])


def _saas(found: Data) -> str:
    rows: list[list[Any]] = []
    for name in sorted(found, key=natural):
        store, _, url = found[name]["url"].rpartition(":")
        rows.append([name, found[name]["application-status"]["current"], store or "local", url])
    return table(["SAAS", "Status", "Store", "URL"], rows)


def _offers(found: Data) -> str:
    rows: list[list[Any]] = []
    for name in sorted(found, key=natural):
        offer = found[name]
        charm, _, revision = offer["charm"].rpartition(":")[2].rpartition("-")
        count = f"{offer['active-connected-count']}/{offer['total-connected-count']}"
        first = [name, offer["application"], charm, revision, count]
        for endpoint, body in offer["endpoints"].items():
            rows.append([*first, endpoint, body["interface"], body["role"]])
            first = [""] * 5
    header = ["Offer", "Application", "Charm", "Rev", "Connected"]
    return table([*header, "Endpoint", "Interface", "Role"], rows)


def offers(found: Data) -> str:
    """Return the offers of a model, with who is connected."""
    rows: list[list[Any]] = []
    for name in sorted(found, key=natural):
        offer = found[name]
        for held in offer["connections"]:
            body = offer["endpoints"].get(held["endpoint"], {})
            rows.append(
                [
                    name,
                    held["username"],
                    held["relation-id"],
                    held["status"]["current"],
                    held["endpoint"],
                    body.get("interface", ""),
                    body.get("role", ""),
                    ",".join(held["ingress-subnets"]),
                ]
            )
        if not offer["connections"]:
            rows.append([name, "-", "", "", "", "", "", ""])
    header = ["Offer", "User", "Relation id", "Status", "Endpoint", "Interface", "Role"]
    return table([*header, "Ingress subnets"], rows)


def offers_summary(found: Data) -> str:
    """Return the offers of a model, without who is connected."""
    rows: list[list[Any]] = []
    for name in sorted(found, key=natural):
        offer = found[name]
        charm = offer["charm"].rpartition(":")[2]
        first = [name, offer["application"], charm, len(offer["connections"])]
        first += [offer["store"], offer["offer-url"]]
        for endpoint, body in offer["endpoints"].items():
            rows.append([*first, endpoint, body["interface"], body["role"]])
            first = [""] * 6
    header = ["Offer", "Application", "Charm", "Connected", "Store", "URL"]
    return table([*header, "Endpoint", "Interface", "Role"], rows)


def found_offers(found: Data) -> str:
    """Return offers that were found."""
    rows: list[list[Any]] = []
    for full in sorted(found, key=natural):
        store, _, url = full.partition(":")
        endpoints = found[full]["endpoints"].items()
        shown = ", ".join(f"{body['interface']}:{name}" for name, body in endpoints)
        rows.append([store, url, found[full]["access"], shown])
    return table(["Store", "URL", "Access", "Interfaces"], rows)


def show_offer(found: Data) -> str:
    """Return one offer."""
    rows: list[list[Any]] = []
    for full, offer in found.items():
        store, _, url = full.partition(":")
        first = [store, url, offer["access"], offer.get("description", "")]
        for endpoint, body in offer["endpoints"].items():
            rows.append([*first, endpoint, body["interface"], body["role"]])
            first = [""] * 4
    header = ["Store", "URL", "Access", "Description", "Endpoint", "Interface", "Role"]
    return table(header, rows)


def _applications(shown: Data, *, has_machines: bool) -> str:
    rows: list[list[Any]] = []
    for name in sorted(shown["applications"], key=natural):
        app = shown["applications"][name]
        state = app["application-status"]
        units = _count(shown, name)
        scale = units if has_machines else app.get("scale", 0)
        row = [
            name,
            app.get("version", "").partition("\n")[0][:30],
            state["current"],
            str(scale) if units == scale else f"{units}/{scale}",
            app["charm-name"],
            app.get("charm-channel", ""),
            app["charm-rev"],
            app.get("address", ""),
            "yes" if app["exposed"] else "no",
            state.get("message", ""),
        ]
        rows.append(row[:7] + row[8:] if has_machines else row)
    header = ["App", "Version", "Status", "Scale", "Charm", "Channel", "Rev"]
    header += [] if has_machines else ["Address"]
    return table([*header, "Exposed", "Message"], rows, right=(3, 6))


def _count(shown: Data, app: str) -> int:
    """Return how many units an application has, those beside a principal's included."""
    apps = shown["applications"]
    beside = (
        name
        for other in apps[app].get("subordinate-to", ())
        for unit in apps.get(other, {}).get("units", {}).values()
        for name in unit.get("subordinates", {})
    )
    own = sum(name.partition("/")[0] == app for name in beside)
    return own + len(apps[app].get("units", {}))


def _units(units: Data, *, has_machines: bool) -> str:
    rows: list[list[Any]] = []
    for name in sorted(units, key=natural):
        rows.append(_unit(name, units[name], has_machines=has_machines))
        for beside, unit in sorted(units[name].get("subordinates", {}).items()):
            rows.append(_unit(f"  {beside}", unit, has_machines=has_machines))
    address = ["Machine", "Public address"] if has_machines else ["Address"]
    return table(["Unit", "Workload", "Agent", *address, "Ports", "Message"], rows)


def _unit(name: str, unit: Data, *, has_machines: bool) -> list[Any]:
    workload, agent = unit["workload-status"], unit["juju-status"]
    message = workload.get("message", "")
    doing = _HOOK.fullmatch(agent.get("message", ""))
    if agent["current"] == "executing" and doing:
        message = f"({doing['name']}) {message}"
    elif agent["current"] == "allocating" and not message:
        message = agent.get("message", "")
    if has_machines:
        place = [unit.get("machine", ""), unit.get("public-address", "")]
    else:
        place = [unit.get("address", "")]
    return [
        name + ("*" if unit.get("leader") else ""),
        workload["current"],
        agent["current"],
        *place,
        ",".join(unit.get("open-ports", [])),
        message,
    ]


def machines(data: Data) -> str:
    """Return the machines of a model."""
    rows = [
        [
            number,
            machine["juju-status"]["current"],
            machine.get("dns-name", ""),
            machine.get("instance-id", "pending"),
            "",
            machine["machine-status"].get("message", ""),
        ]
        for number, machine in data["machines"].items()
    ]
    return table(["Machine", "State", "Address", "Inst id", "AZ", "Message"], rows)


def spaces(data: Sequence[Data]) -> str:
    """Return the spaces with their subnets."""
    rows = [[entry["name"], ", ".join(entry["subnets"])] for entry in data]
    return table(["Name", "Subnets"], rows)


def clouds(data: Data) -> str:
    """Return the clouds that models can be on."""
    rows = [
        [name, len(entry["regions"]), *entry["regions"], entry["type"], entry["description"]]
        for name, entry in data.items()
    ]
    return table(["Cloud", "Regions", "Default", "Type", "Description"], rows)


def _relations(relations: Sequence[Data]) -> str:
    rows = [
        [
            row["provider"],
            row["requirer"],
            row["interface"],
            row["type"],
            "" if row["status"] == "joined" else row["status"],
        ]
        for row in relations
    ]
    return table(["Integration provider", "Requirer", "Interface", "Type", "Message"], rows)


def _storage(instances: Data) -> str:
    rows: list[list[Any]] = []
    for number in sorted(instances, key=natural):
        held = instances[number]
        for unit, place in held["attachments"]["units"].items():
            rows.append(
                [unit, number, held["kind"], place["location"], "", held["status"]["current"], ""]
            )
    header = ["Storage Unit", "Storage ID", "Type", "Mountpoint", "Size", "Status", "Message"]
    return table(header, rows)


def models(data: Data) -> str:
    """Return the list of models; the current one has a star."""
    rows = [
        [
            entry["short-name"]
            + ("*" if entry["short-name"] == data.get("current-model") else ""),
            f"{entry['cloud']}/{entry['region']}",
            entry["type"],
            entry["status"]["current"],
            entry["unit-count"],
            entry["access"],
            entry["last-connection"] or "never connected",
        ]
        for entry in data["models"]
    ]
    header = ["Model", "Cloud/Region", "Type", "Status", "Units", "Access", "Last connection"]
    title = f"Controller: {data['controller']}\n\n"
    return title + table(header, rows, right=(4,))


def model_config(data: Data) -> str:
    """Return the options of a model."""
    rows = [[name, entry["Source"], _shown(entry["Value"])] for name, entry in data.items()]
    return table(["Attribute", "From", "Value"], rows)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if value == "" else str(value)


def secrets(data: Data) -> str:
    """Return the list of secrets."""
    rows = [
        [
            number,
            entry.get("name") or entry.get("label") or "-",
            entry["owner"],
            entry.get("rotation", "never"),
            entry["revision"],
            entry["updated"],
        ]
        for number, entry in data.items()
    ]
    header = ["ID", "Name", "Owner", "Rotation", "Revision", "Last updated"]
    return table(header, rows, right=(4,))


def actions(data: Data) -> str:
    """Return the actions of an application."""
    rows = [[name, text.partition("\n")[0]] for name, text in data.items()]
    return table(["Action", "Description"], rows)


def operations(data: Sequence[Data]) -> str:
    """Return the list of operations."""
    rows = [
        [
            entry["id"],
            entry["status"],
            entry["timing"]["enqueued"],
            ",".join(entry["tasks"]),
            entry["summary"],
        ]
        for entry in data
    ]
    return table(["ID", "Status", "Enqueued", "Task IDs", "Summary"], rows)


def resources(data: Sequence[Data]) -> str:
    """Return the resources of an application."""
    rows = [
        [
            entry["name"],
            entry["origin"] or "-",
            entry["revision"] if entry["revision"] >= 0 else "-",
            entry["value"] or "-",
        ]
        for entry in data
    ]
    return table(["Resource", "Supplied by", "Revision", "Value"], rows)


def controllers(data: Data) -> str:
    """Return the one controller."""
    rows = [
        [
            name + ("*" if name == data["current-controller"] else ""),
            entry["current-model"] or "-",
            entry["user"],
            entry["access"],
            f"{entry['cloud']}/{entry['region']}",
            entry["model-count"],
            entry["agent-version"],
        ]
        for name, entry in data["controllers"].items()
    ]
    header = ["Controller", "Model", "User", "Access", "Cloud/Region", "Models", "Version"]
    return table(header, rows, right=(5,))
