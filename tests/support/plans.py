"""What tests of charms see and plan: a snapshot by a charm's metadata, and what a plan writes."""

import configparser
import dataclasses
import pathlib

import yaml

from charmkit.spec import PEERS, Addresses, ContainerState, RelationData, Snapshot

CHARMS = pathlib.Path(__file__).parents[2] / "charms"


def sees(charm, **facts):
    """Give what the leader sees that has every integration but the optional ones, and clients.

    Args:
        charm: The charm's folder.
        facts: Fields of the snapshot that are otherwise.
    """
    metadata = yaml.safe_load((CHARMS / charm / "charmcraft.yaml").read_text())
    needs, app = metadata["requires"], charm.removesuffix("-k8s")
    optional = {name for name, each in needs.items() if each.get("optional")}
    endpoints = [*(name for name in needs if name not in optional), *metadata.get("provides", ())]
    options = metadata["config"]["options"]
    relations = {name: (RelationData(id=i, endpoint=name),) for i, name in enumerate(endpoints)}
    relations[PEERS] = (RelationData(id=len(relations), endpoint=PEERS),)
    seen = Snapshot(
        app=app,
        unit=f"{app}/0",
        is_leader=True,
        optional=frozenset(optional),
        config={name: each["default"] for name, each in options.items() if "default" in each},
        relations=relations,
        addresses=Addresses(
            unit_ip="10.0.0.6", unit_name=f"{app}-0.test", service_name=f"{app}.cloud.svc"
        ),
        containers={name: ContainerState(can_connect=True) for name in metadata["containers"]},
        entropy=b"e" * 32,
    )
    return dataclasses.replace(seen, **facts)


def configured(snapshot, **options):
    """Give the snapshot with other values of options, whose names have `_` for `-`."""
    values = {name.replace("_", "-"): value for name, value in options.items()}
    return dataclasses.replace(snapshot, config={**snapshot.config, **values})


def files(made):
    """Give the files of a plan: path → file."""
    return {each.path: each for each in made.workload.files}


def conf(made, path):
    """Give a file of a plan, read as the configuration of an OpenStack service."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(files(made)[path].text)
    return parser
