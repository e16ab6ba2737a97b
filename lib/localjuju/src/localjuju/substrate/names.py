"""Names, labels and paths of all that one engine instance makes on this host. All pure."""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path

from localjuju.settings import Settings

LABEL_INSTANCE = "localjuju.instance"
LABEL_MODEL = "localjuju.model"
LABEL_UNIT = "localjuju.unit"
LABEL_MACHINE = "localjuju.machine"
LABEL_SPEC = "localjuju.spec"

CHARM_CONTAINER = "charm"
"""What a unit's charm container is called: Juju keeps charms from using the name."""

CLUSTER_DOMAIN = "cluster.local"

# Paths inside a charm container.
AGENTS = "/var/lib/juju/agents"
TOOLS = "/var/lib/juju/tools"
AGENT_DIR = "/run/localjuju/agent"
HOOK_DIR = "/run/localjuju/hook"
HOOK_SOCKET = "hook.sock"
AGENT_PROGRAM = "/run/localjuju/agent.py"
CONTAINERS = "/charm/containers"

# Paths on a machine: the engine's folders of it, and what it and the engine speak through.
MACHINE_JUJU = "/var/lib/juju"
MACHINE_RUN = "/run/localjuju"
MACHINE_AGENT = f"{MACHINE_JUJU}/agent.py"

# Paths inside a workload container, as Juju places them.
PEBBLE_DIR = "/charm/container"
PEBBLE_PROGRAM = "/charm/bin/pebble"
PEBBLE_SOCKET = "pebble.socket"
PEBBLE_HEALTH_PORT = 38813

_LONGEST_LINK_PREFIX = 11  # a link name has at most 15 characters; `-svc` is added


def unit_tag(unit: str) -> str:
    """Return `web-0` for `web/0`."""
    return unit.replace("/", "-")


def app_of(unit: str) -> str:
    """Return `web` for `web/0`."""
    return unit.rpartition("/")[0]


def pod(instance: str, model: str, unit: str) -> str:
    """Return the name of a unit's pod.

    Dots stand between the parts since neither model nor application names may have one: with
    hyphens `a-b/c` and `a/b-c` would be the same pod.
    """
    return f"{instance}.{model}.{unit_tag(unit)}"


def container(instance: str, model: str, unit: str, name: str) -> str:
    """Return the name of one container of a unit's pod."""
    return f"{pod(instance, model, unit)}.{name}"


def infra(instance: str, model: str, unit: str) -> str:
    """Return the name of the container that holds a pod's namespaces."""
    return f"{pod(instance, model, unit)}.pod"


def machine(instance: str, model: str, number: str) -> str:
    """Return the name of a machine's container."""
    return f"{instance}.{model}.machine-{number}"


def agent_service(unit: str) -> str:
    """Return the name of the systemd service of a unit's agent on its machine."""
    return f"localjuju-unit-{unit_tag(unit)}.service"


def space_network(settings: Settings, space: str) -> str:
    """Return Podman's name of the network of machines that is a space."""
    return f"{settings.instance}.{space}{_generation(settings)}"


def network(settings: Settings) -> str:
    """Return Podman's name of the management network."""
    return f"{settings.instance}-management{_generation(settings)}"


def _generation(settings: Settings) -> str:
    # Podman keeps the addresses that are taken by the network's name, and keeps them when the
    # network is removed. A container that ended with its host, where /run outlives that, never
    # gives its address back.
    return f"-{settings.generation}" if settings.generation else ""


def _link_prefix(instance: str) -> str:
    if len(instance) <= _LONGEST_LINK_PREFIX:
        return instance
    return f"lj{hashlib.sha256(instance.encode()).hexdigest()[:8]}"


def bridge(instance: str) -> str:
    """Return the name of the management network's bridge."""
    return f"{_link_prefix(instance)}-br"


def space_bridge(instance: str, space: str) -> str:
    """Return the name of the bridge of a space.

    Its end is hexadecimal, so it is none of the other links.
    """
    return f"{_link_prefix(instance)}-{hashlib.sha256(space.encode()).hexdigest()[:3]}"


def service_link(instance: str) -> str:
    """Return the name of the link that holds the service addresses."""
    return f"{_link_prefix(instance)}-svc"


def table(instance: str) -> str:
    """Return the name of the nftables table; its syntax knows no dots or slashes."""
    return "".join(letter if letter.isalnum() else "_" for letter in instance)


def cgroup(instance: str, manager: str) -> str:
    """Return the parent of all cgroups of the instance's pods.

    Args:
        instance: The instance.
        manager: Podman's cgroup manager, `cgroupfs` or `systemd`, which takes only slices.
    """
    if manager == "systemd":
        return f"localjuju_{table(instance)}.slice"  # a hyphen would stand for a parent slice
    return f"/localjuju-{instance}"


def service(app: str) -> str:
    """Return the first part of the name of an application's service."""
    return app


def endpoints(app: str) -> str:
    """Return the first part of the name that stands for all units of an application."""
    return f"{app}-endpoints"


def unit_host(unit: str) -> str:
    """Return a unit's name below its model's domain."""
    return f"{unit_tag(unit)}.{endpoints(app_of(unit))}"


def full_name(model: str, name: str) -> str:
    """Return the full name in the cluster of a service, or of a unit below it."""
    return f"{name}.{model}.svc.{CLUSTER_DOMAIN}"


def every_name(model: str, name: str, seen_from: str) -> tuple[str, ...]:
    """Return the forms of a name that one model's pods may use, the full name first.

    Args:
        model: The model of what is named.
        name: As `service`, `endpoints` or `unit_host` gives it.
        seen_from: The model whose pods use it; only there the name stands without the model.
    """
    forms = (full_name(model, name), f"{name}.{model}.svc", f"{name}.{model}")
    return (*forms, name) if seen_from == model else forms


def search_domains(model: str) -> tuple[str, ...]:
    """Return the domains that a pod of the model searches, as in Kubernetes."""
    return (f"{model}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN)


def charm_path(unit: str) -> str:
    """Return the charm's folder as the charm container sees it."""
    return f"{AGENTS}/unit-{unit_tag(unit)}/charm"


def runtime_dir(settings: Settings) -> Path:
    """Return the instance's folder of sockets.

    It is short, because a socket's path may have 107 bytes only, and lies where a reboot empties.
    """
    digest = hashlib.sha256(str(settings.home).encode()).hexdigest()[:8]
    return Path("/run/localjuju") / digest


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def machine_runtime_dir(settings: Settings, model: str, number: str) -> Path:
    """Return the folder of the sockets of all units on a machine, which the machine sees."""
    return runtime_dir(settings) / _short(f"{model}/machine/{number}")


def unit_runtime_dir(settings: Settings, model: str, unit: str, on_machine: str = "") -> Path:
    """Return the folder of a unit's sockets, on this host.

    Its name is a digest: two long names in it would leave no room for the socket's own name.

    Args:
        settings: The instance.
        model: The unit's model.
        unit: The unit.
        on_machine: The machine that it is on; empty for a pod.
    """
    if on_machine:
        return machine_runtime_dir(settings, model, on_machine) / _short(unit)
    return runtime_dir(settings) / _short(f"{model}/{unit}")


def agent_socket(settings: Settings, model: str, unit: str, on_machine: str = "") -> Path:
    """Return the socket of a unit's agent on this host."""
    return unit_runtime_dir(settings, model, unit, on_machine) / "agent" / "agent.sock"


def hook_dir(settings: Settings, model: str, unit: str, on_machine: str = "") -> Path:
    """Return the folder for the socket on which the engine serves a unit's hook commands."""
    return unit_runtime_dir(settings, model, unit, on_machine) / "hook"


def seen_on_machine(unit: str, path: Path) -> str:
    """Return the path of a unit's socket as its machine sees it."""
    return f"{MACHINE_RUN}/{_short(unit)}/{path.parent.name}/{path.name}"


def pebbles_dir(settings: Settings, model: str, unit: str) -> Path:
    """Return the folder above those that a charm shares with its workload containers."""
    return unit_runtime_dir(settings, model, unit) / "pebble"


def pebble_dir(settings: Settings, model: str, unit: str, container_name: str) -> Path:
    """Return the folder that a charm and one workload container share: Pebble's socket."""
    return pebbles_dir(settings, model, unit) / container_name


def pebble_socket(settings: Settings, model: str, unit: str, container_name: str) -> Path:
    """Return Pebble's socket on this host."""
    return pebble_dir(settings, model, unit, container_name) / PEBBLE_SOCKET


def model_dir(settings: Settings, model: str) -> Path:
    """Return the folder of a model's units."""
    return settings.home / "models" / model


def unit_dir(settings: Settings, model: str, unit: str) -> Path:
    """Return the folder of what is private to a unit: its copy of the charm, its hosts file."""
    return model_dir(settings, model) / "units" / unit_tag(unit)


def machine_dir(settings: Settings, model: str, number: str) -> Path:
    """Return the folder of what the engine keeps of a machine."""
    return model_dir(settings, model) / "machines" / number


def machine_juju_dir(settings: Settings, model: str, number: str) -> Path:
    """Return the folder that a machine sees as Juju's: charms, tools, resources, storage."""
    return machine_dir(settings, model, number) / "juju"


def hardware_address(address: str) -> str:
    """Return the hardware address of the pod or machine that has an address.

    It follows from the address: a pod that is made anew keeps it, and what neighbours remember
    stays right. With random ones they send into the void for half a minute.
    """
    return "02:6a:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def gateway(subnet: str) -> str:
    """Return the host's own address in the management network: the first one."""
    return str(ipaddress.ip_network(subnet)[1])
