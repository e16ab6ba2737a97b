"""Podman's command lines for units' pods and for machines. All pure.

A pod is a tiny process that holds the namespaces, the charm container and one container for each
workload. Podman starts a container again by itself when its first process ends; what was stopped
through Podman stays down until somebody starts it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localjuju.model import ALPHA
from localjuju.settings import Settings, Space
from localjuju.substrate import names
from localjuju.substrate.protocol import (
    MachineInterface,
    MachineSpec,
    Mount,
    PodSpec,
    WorkloadSpec,
)

PAUSE_REPOSITORY = "localhost/localjuju-pause"
LAYERS = "/var/lib/pebble/default"
_LOG_SIZE = "10mb"
# Seconds that a pod's processes have to end: a database writes its buffers.
STOP_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Host:
    """What commands need to know of this host.

    Attributes:
        settings: The instance.
        pause: Reference of the image that holds a pod's namespaces.
        cgroup_parent: Parent of the instance's cgroups.
    """

    settings: Settings
    pause: str
    cgroup_parent: str


def podman(settings: Settings, *arguments: str) -> tuple[str, ...]:
    """Return a command line of Podman on the instance's own store.

    Podman keeps its run-time state apart from the user's, too: with the common folder the user's
    first `podman` after a reboot would hide from ours that there was one.
    """
    return (
        "podman",
        "--root", str(settings.store_root),
        "--runroot", str(settings.store_runroot),
        "--tmpdir", str(settings.store_runroot / "libpod"),
        "--network-config-dir", str(networks_dir(settings)),
        *arguments,
    )  # fmt: skip


def networks_dir(settings: Settings) -> Path:
    """Return the folder of the instance's network definitions."""
    return settings.home / "networks"


def tools_dir(settings: Settings) -> Path:
    """Return the folder of the hook commands on this host."""
    return settings.home / "tools"


def agent_program(settings: Settings) -> Path:
    """Return the unit agent's program on this host."""
    return settings.home / "agent.py"


def network_definition(settings: Settings) -> dict[str, Any]:
    """Return the management network in the form of Podman's own files.

    `podman network create` of this version cannot name the bridge: it takes the first free
    number, and two instances with folders of their own would take the same one.
    """
    name, bridge = names.network(settings), names.bridge(settings.instance)
    subnet = {"subnet": settings.subnet, "gateway": names.gateway(settings.subnet)}
    return _definition(settings, name, bridge, subnet, dns=True)


def space_definition(settings: Settings, space: Space) -> dict[str, Any]:
    """Return the network of a space in the form of Podman's own files."""
    name = names.space_network(settings, space.name)
    bridge = names.space_bridge(settings.instance, space.name)
    subnet = {"subnet": space.subnet}
    if space.gateway:
        subnet["gateway"] = names.gateway(space.subnet)
    return _definition(settings, name, bridge, subnet, internal=not space.gateway)


def _definition(
    settings: Settings,
    name: str,
    bridge: str,
    subnet: dict[str, str],
    *,
    internal: bool = False,
    dns: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "id": hashlib.sha256(name.encode()).hexdigest(),
        "driver": "bridge",
        "network_interface": bridge,
        "created": "2020-01-01T00:00:00Z",
        "subnets": [subnet],
        "ipv6_enabled": False,
        "internal": internal,
        "dns_enabled": dns,
        "labels": {names.LABEL_INSTANCE: settings.instance},
        "ipam_options": {"driver": "host-local"},
    }


def digest(spec: PodSpec, hook_socket: Path, charm_base: str) -> str:
    """Return a digest of all that makes a pod: with another one it is made anew."""
    text = json.dumps(
        [dataclasses.asdict(spec), str(hook_socket), charm_base], default=str, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def container_names(settings: Settings, spec: PodSpec) -> tuple[str, ...]:
    """Return the names of all containers of a pod, the one with its namespaces first."""
    own = (names.CHARM_CONTAINER, *(workload.name for workload in spec.workloads))
    return (
        names.infra(settings.instance, spec.model, spec.unit),
        *(names.container(settings.instance, spec.model, spec.unit, name) for name in own),
    )


def _labels(settings: Settings, spec: PodSpec, spec_digest: str) -> list[str]:
    labels = {
        names.LABEL_INSTANCE: settings.instance,
        names.LABEL_MODEL: spec.model,
        names.LABEL_UNIT: spec.unit,
        names.LABEL_SPEC: spec_digest,
    }
    return [f"--label={key}={value}" for key, value in labels.items()]


def _volume(source: Path, target: str, *, readonly: bool = False) -> str:
    return f"--volume={source}:{target}{':ro' if readonly else ''}"


def _storage(mounts: Sequence[Mount]) -> list[str]:
    return [_volume(m.source, m.target, readonly=m.readonly) for m in mounts]


def create_pod(host: Host, spec: PodSpec, spec_digest: str) -> tuple[str, ...]:
    """Return the command that makes the empty pod."""
    settings = host.settings
    # For programs that ask the network's DNS and read no hosts file.
    aliases = (
        names.full_name(spec.model, names.unit_host(spec.unit)),
        names.full_name(spec.model, names.endpoints(spec.app)),
    )
    hardware = names.hardware_address(spec.address)
    fixed = (f"ip={spec.address}", f"mac={hardware}")
    options = ",".join((*fixed, *(f"alias={alias}" for alias in aliases)))
    return podman(
        settings, "pod", "create",
        f"--name={names.pod(settings.instance, spec.model, spec.unit)}",
        f"--infra-name={names.infra(settings.instance, spec.model, spec.unit)}",
        f"--infra-image={host.pause}",
        "--infra-command=/pause",
        f"--hostname={names.unit_tag(spec.unit)}",
        "--no-hosts",
        f"--network={names.network(settings)}:{options}",
        *(f"--dns-search={domain}" for domain in names.search_domains(spec.model)),
        f"--cgroup-parent={host.cgroup_parent}",
        *_labels(settings, spec, spec_digest),
    )  # fmt: skip


def _create(host: Host, spec: PodSpec, name: str, spec_digest: str) -> tuple[str, ...]:
    settings = host.settings
    return podman(
        settings, "create",
        f"--pod={names.pod(settings.instance, spec.model, spec.unit)}",
        f"--name={names.container(settings.instance, spec.model, spec.unit, name)}",
        "--pull=never",
        "--restart=always",
        "--no-hosts",
        "--log-opt", f"max-size={_LOG_SIZE}",
        f"--stop-timeout={STOP_SECONDS}",
        *_labels(settings, spec, spec_digest),
        _volume(hosts_file(settings, spec.model, spec.unit), "/etc/hosts"),
    )  # fmt: skip


def hosts_file(settings: Settings, model: str, unit: str) -> Path:
    """Return a pod's hosts file on this host."""
    return names.unit_dir(settings, model, unit) / "hosts"


def charm_copy(settings: Settings, model: str, unit: str) -> Path:
    """Return a unit's private copy of its charm on this host."""
    return names.unit_dir(settings, model, unit) / "charm"


def create_charm(
    host: Host, spec: PodSpec, hook_socket: Path, spec_digest: str
) -> tuple[str, ...]:
    """Return the command that makes the charm container; its first process is the unit agent."""
    settings = host.settings
    model, unit = spec.model, spec.unit
    return (
        *_create(host, spec, names.CHARM_CONTAINER, spec_digest),
        _volume(charm_copy(settings, model, unit), names.charm_path(unit)),
        _volume(tools_dir(settings), tools_path(unit), readonly=True),
        _volume(agent_program(settings), names.AGENT_PROGRAM, readonly=True),
        _volume(names.agent_socket(settings, model, unit).parent, names.AGENT_DIR),
        _volume(hook_socket.parent, names.HOOK_DIR),
        _volume(settings.pebble, names.PEBBLE_PROGRAM, readonly=True),
        *(
            _volume(
                names.pebble_dir(settings, model, unit, workload.name),
                f"{names.CONTAINERS}/{workload.name}",
            )
            for workload in spec.workloads
        ),
        *_storage(spec.mounts),
        "--workdir=/",
        # No user site, no variables: what a charm brings stays out of the agent.
        '--entrypoint=["python3", "-I"]',
        settings.charm_base,
        names.AGENT_PROGRAM,
        f"{names.AGENT_DIR}/{names.agent_socket(settings, model, unit).name}",
    )


def tools_path(unit: str) -> str:
    """Return the folder with the hook commands as the charm container sees it."""
    return f"{names.TOOLS}/unit-{names.unit_tag(unit)}"


def create_workload(
    host: Host, spec: PodSpec, workload: WorkloadSpec, spec_digest: str
) -> tuple[str, ...]:
    """Return the command that makes a workload container; its first process is Pebble."""
    settings = host.settings
    variables = {
        "JUJU_CONTAINER_NAME": workload.name,
        "PEBBLE": f"{names.PEBBLE_DIR}/pebble",
        "PEBBLE_SOCKET": f"{names.PEBBLE_DIR}/{names.PEBBLE_SOCKET}",
        "PEBBLE_COPY_ONCE": LAYERS,
    }
    user = () if workload.uid is None else (f"--user={workload.uid}:{workload.gid or 0}",)
    return (
        *_create(host, spec, workload.name, spec_digest),
        *(f"--env={key}={value}" for key, value in variables.items()),
        *user,
        _volume(
            names.pebble_dir(settings, spec.model, spec.unit, workload.name), names.PEBBLE_DIR
        ),
        _volume(settings.pebble, names.PEBBLE_PROGRAM, readonly=True),
        *_storage(workload.mounts),
        f"--entrypoint={names.PEBBLE_PROGRAM}",
        workload.image,
        "run", "--create-dirs", "--hold",
        "--http", f":{names.PEBBLE_HEALTH_PORT + workload.index}",
        "--verbose",
    )  # fmt: skip


def ask_python(settings: Settings, image: str) -> tuple[str, ...]:
    """Return the command that prints the minor version of the Python in an image."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return podman(
        settings, "run", "--rm", "--pull=never", "--network=none",
        f"--label={names.LABEL_INSTANCE}={settings.instance}",
        f"--entrypoint={json.dumps(['python3', '-I', '-c', ask])}",
        image,
    )  # fmt: skip


def list_containers(settings: Settings, *filters: str) -> tuple[str, ...]:
    """Return the command that lists the instance's containers, running or not, as JSON."""
    wanted = (f"label={names.LABEL_INSTANCE}={settings.instance}", *filters)
    return podman(
        settings, "ps", "--all", *(f"--filter={item}" for item in wanted), "--format=json"
    )


def list_pods(settings: Settings, *filters: str) -> tuple[str, ...]:
    """Return the command that lists the names of the instance's pods."""
    wanted = (f"label={names.LABEL_INSTANCE}={settings.instance}", *filters)
    return podman(
        settings, "pod", "ps", *(f"--filter={item}" for item in wanted), "--format={{.Name}}"
    )


def remove_pods(settings: Settings, *pods: str, seconds: int) -> tuple[str, ...]:
    """Return the command that stops and removes pods; those that are not there do not matter."""
    return podman(settings, "pod", "rm", "--force", "--ignore", f"--time={seconds}", *pods)


def machine_files(settings: Settings, model: str, machine: str) -> tuple[Path, Path]:
    """Return a machine's hosts file and its list of name servers, on this host."""
    folder = names.machine_dir(settings, model, machine)
    return folder / "hosts", folder / "resolv.conf"


def create_machine(host: Host, spec: MachineSpec) -> tuple[str, ...]:
    """Return the command that makes a machine: a container that boots systemd.

    It is privileged: a machine mounts, loads rules and runs guests as a real one does. Keys that
    have no namespace would be set for this host by systemd-sysctl, so that does not run.
    """
    settings, model = host.settings, spec.model
    hosts, resolver = machine_files(settings, model, spec.machine)
    labels = {
        names.LABEL_INSTANCE: settings.instance,
        names.LABEL_MODEL: model,
        names.LABEL_MACHINE: spec.machine,
    }
    return podman(
        settings, "create",
        f"--name={names.machine(settings.instance, model, spec.machine)}",
        f"--hostname={spec.hostname}",
        *(f"--label={key}={value}" for key, value in labels.items()),
        "--pull=never",
        "--systemd=always",
        "--privileged",
        "--restart=always",
        f"--stop-timeout={STOP_SECONDS}",
        "--log-opt", f"max-size={_LOG_SIZE}",
        f"--cgroup-parent={host.cgroup_parent}",
        *(f"--network={_interface(settings, interface)}" for interface in spec.interfaces),
        "--no-hosts",
        _volume(hosts, "/etc/hosts"),
        _volume(resolver, "/etc/resolv.conf"),
        _volume(Path("/dev/null"), "/etc/systemd/system/systemd-sysctl.service", readonly=True),
        _volume(names.machine_juju_dir(settings, model, spec.machine), names.MACHINE_JUJU),
        _volume(names.machine_runtime_dir(settings, model, spec.machine), names.MACHINE_RUN),
        spec.image,
        "/sbin/init",
    )  # fmt: skip


def _interface(settings: Settings, interface: MachineInterface) -> str:
    is_management = interface.space == ALPHA
    network = (
        names.network(settings)
        if is_management
        else names.space_network(settings, interface.space)
    )
    options = {
        "ip": interface.address,
        "mac": names.hardware_address(interface.address),
        "interface_name": interface.name,
    }
    return f"{network}:" + ",".join(f"{key}={value}" for key, value in options.items())


def on_machine(
    settings: Settings, model: str, machine: str, argv: Sequence[str], *flags: str
) -> tuple[str, ...]:
    """Return the command that runs a program on a machine as root."""
    name = names.machine(settings.instance, model, machine)
    return podman(settings, "exec", *flags, "--env=HOME=/root", name, *argv)


def execute(
    settings: Settings, model: str, unit: str, container: str, argv: Sequence[str], *flags: str
) -> tuple[str, ...]:
    """Return the command that runs a program in a container."""
    name = names.container(settings.instance, model, unit, container)
    return podman(settings, "exec", *flags, name, *argv)
