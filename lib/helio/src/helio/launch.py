"""Boot an instance and wait until it answers: what `helio launch` does.

Everything is looked for before it is made, so an interrupted launch goes on when it is started
again with the same name.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Generator
from typing import Any, NoReturn

from helio.clients import DEMO
from helio.demo.catalogue import public_images
from helio.demo.networks import EXTERNAL, NETWORK
from helio.host import Command, CommandError, HelioError, Host
from helio.report import Reporter
from helio.sdk import Connection
from helio.settings import Settings
from helio.steps import Ensure, Step, run
from helio.watching import Watch

GROUPS = ("default", DEMO)  # members of the first may talk to each other; the second lets ssh in
SSH_REFUSED = 255  # ssh's own exit status when there is no connection


@dataclasses.dataclass(frozen=True)
class Request:
    """What to boot.

    Args:
        name: Name of the instance; None for the next free one.
        image: Name of the image; None for the newest that `helio configure` uploaded.
        flavor: Name of the flavor.
        network: Name of the network.
        volume: Size of a volume to attach, GiB; None for none.
    """

    name: str | None = None
    image: str | None = None
    flavor: str = "m1.tiny"
    network: str = NETWORK
    volume: int | None = None


@dataclasses.dataclass(frozen=True)
class Instance:
    """An instance that answers.

    Args:
        name: Its name.
        id: Its id.
        address: Its address on the project's network.
        floating_ip: Its address for the world.
        user: Who logs in.
        volume: Name of the volume that was attached.
    """

    name: str
    id: str
    address: str
    floating_ip: str
    user: str
    volume: str | None = None


class Launcher:
    """Boots instances with the demo user's account.

    Args:
        cloud: The demo user's connection.
        settings: The cloud; where the key is.
        host: Runs ssh.
        watch: Waits, and tells what for.
        turn: Keeps other launches out: of two at once, both would find the same name free.
    """

    def __init__(
        self,
        cloud: Connection,
        settings: Settings,
        host: Host,
        watch: Watch,
        turn: Callable[[], contextlib.AbstractContextManager[object]],
    ):
        self._cloud = cloud
        self._settings = settings
        self._host = host
        self._watch = watch
        self._turn = turn

    def launch(self, request: Request) -> Instance:
        """Boot an instance, give it a floating IP, and wait until ssh lets the demo user in.

        Raises:
            HelioError: something that it needs is not there, it failed, or nothing changes.
        """
        with contextlib.ExitStack() as told:
            with self._turn():
                name = request.name or self._free_name()
                if not request.name:
                    told.enter_context(_hint(f"go on with: {_as_command(name, request)}"))
                boot, *others = self._steps(name, request)
                run([boot], self._host, self._watch.reporter)
            run(others, self._host, self._watch.reporter)
        return self._instance(name, request)

    def steps(self, request: Request) -> list[Step]:
        """Return the steps of a launch, for a rehearsal: a name that is chosen is not kept."""
        return self._steps(request.name or self._free_name(), request)

    def _steps(self, name: str, request: Request) -> list[Step]:
        boot: list[Step] = [
            _Boot(self._cloud, name, request),
            Ensure(
                f"Wait until {name} is active",
                "wait until Nova has started it",
                lambda: self._is_active(name),
                lambda _reporter: self._wait_for_server(self._server(name)),
            ),
        ]
        volume: list[Step] = [
            Ensure(
                f"Attach a volume of {size} GiB",
                f"attach the volume {_volume(name)}, made where it is not there",
                lambda: False,  # there may be one of another size, or of another instance
                lambda _reporter, size=size: self._attach(self._server(name), size),
            )
            for size in (request.volume,)
            if size
        ]
        reach: list[Step] = [
            Ensure(
                "Give it a floating IP",
                f"give it an address of the network {EXTERNAL}",
                lambda: self._is_reachable(name),
                lambda _reporter: self._make_floating(name),
            ),
            Ensure(
                "Wait until ssh answers",
                "wait until ssh lets the user of its image in",
                lambda: False,  # it is a check
                lambda _reporter: self._wait_for_ssh(self._instance(name, request)),
            ),
        ]
        return [*boot, *volume, *reach]

    def _instance(self, name: str, request: Request) -> Instance:
        """Return an instance that has all that it shall have."""
        server = self._server(name)
        return Instance(
            name,
            server.id,
            self._port(server).fixed_ips[0]["ip_address"],
            self._floating(name).floating_ip_address,
            self._user(server),
            _volume(name) if request.volume else None,
        )

    def _free_name(self) -> str:
        taken = {server.name for server in self._cloud.compute.servers()}
        return next(name for name in (f"vm-{n}" for n in range(1, 1000)) if name not in taken)

    def _user(self, server: Any) -> str:
        """Return who logs in: the image that it was made from says so, whichever is asked for."""
        # One that boots from a volume has none.
        image = self._cloud.image.find_image(server.image.id) if server.image else None
        return (image and image.os_admin_user) or "root"

    def _server(self, name: str) -> Any:
        """Return the instance of that name.

        Raises:
            HelioError: somebody has deleted it meanwhile.
        """
        server = _find(self._cloud, name)
        if server is None:
            raise HelioError(f"cannot find {name}: somebody has deleted it")
        return server

    def _is_active(self, name: str) -> bool:
        server = _find(self._cloud, name)
        return server is not None and server.status == "ACTIVE"

    def _is_reachable(self, name: str) -> bool:
        return _find(self._cloud, name) is not None and self._floating(name) is not None

    def _wait_for_server(self, server: Any) -> Any:
        def look() -> tuple[Any, str]:
            now = self._cloud.compute.get_server(server.id)
            return now, now.task_state or now.status

        for now in self._watch.looks(f"instance {server.name}", look):
            if now.status == "ACTIVE":
                return now
            if now.status == "ERROR":
                _refuse(now)
        raise AssertionError("looks do not end")

    def _attach(self, server: Any, size: int) -> None:
        storage, name = self._cloud.block_storage, _volume(server.name)
        volume = next(iter(storage.volumes(name=name)), None)
        volume = volume or storage.create_volume(name=name, size=size)
        attaching = False
        if volume.size != size:
            raise HelioError(
                f"cannot attach {name}: there is one of {volume.size} GiB already, and not of "
                f"{size}; give --volume {volume.size}, or delete or rename it"
            )

        def look() -> tuple[Any, str]:
            now = storage.get_volume(volume.id)
            return now, now.status

        for now in self._watch.looks(f"volume {name}", look):
            if now.status == "in-use":
                if server.id in (each["server_id"] for each in now.attachments):
                    break
                raise HelioError(
                    f"cannot attach {name}: another instance has it; detach, delete or rename it"
                )
            if now.status.startswith("error"):
                raise HelioError(
                    f"cannot attach {name}: it is in status {now.status}; "
                    "see: helio juju debug-log --include cinder-volume"
                )
            if now.status == "available" and not attaching:
                self._cloud.compute.create_volume_attachment(server.id, volume_id=volume.id)
                attaching = True

    def _port(self, server: Any) -> Any:
        return _first("port", self._cloud.network.ports(device_id=server.id))

    def _floating(self, name: str) -> Any:
        """Return the floating IP of an instance, or None."""
        port = self._port(self._server(name))
        return next(iter(self._cloud.network.ips(port_id=port.id)), None)

    def _make_floating(self, name: str) -> None:
        network = self._cloud.network
        external = _first(f"network {EXTERNAL}", network.networks(name=EXTERNAL))
        port = self._port(self._server(name))
        network.create_ip(floating_network_id=external.id, port_id=port.id)

    def _wait_for_ssh(self, instance: Instance) -> None:
        # The address may have been another instance's, with another host key.
        if self._host.exists(self._settings.known_hosts):
            forget = ("ssh-keygen", "-q", "-R", instance.floating_ip)
            self._host.run(Command((*forget, "-f", str(self._settings.known_hosts))))
        batch = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=5")
        command = ssh_command(self._settings, instance, *batch)

        def look() -> tuple[bool, str]:
            try:
                self._host.run(Command((*command, "true"), reads=True))
            except CommandError as error:
                if error.status != SSH_REFUSED:
                    raise
                return False, _last_line(error)
            return True, "ready"

        self._watch.until(f"ssh to {instance.floating_ip}", look)


@dataclasses.dataclass(frozen=True)
class _Boot:
    """Boot an instance; what it needs is looked up before, also for a rehearsal.

    Args:
        cloud: The demo user's connection.
        name: Name of the instance.
        request: What to boot.
    """

    cloud: Connection
    name: str
    request: Request

    @property
    def title(self) -> str:
        """Say which."""
        return f"Boot {self.name}"

    @property
    def outline(self) -> str:
        """Say from what."""
        parts = self._parts()
        names = ", ".join(f"{kind} {part.name}" for kind, part in parts.items())
        return f"boot {self.name}: {names}"

    def is_done(self, host: Host) -> bool:
        """Return whether there is an instance of that name."""
        return _find(self.cloud, self.name) is not None

    def apply(self, host: Host, reporter: Reporter) -> None:
        """Ask Nova for it.

        Raises:
            HelioError: the image, the flavor or the network is not there.
        """
        parts = self._parts()
        self.cloud.compute.create_server(
            name=self.name,
            image_id=parts["image"].id,
            flavor_id=parts["flavor"].id,
            networks=[{"uuid": parts["network"].id}],
            key_name=DEMO,
            security_groups=[{"name": group} for group in GROUPS],
        )

    def _parts(self) -> dict[str, Any]:
        flavor, network = self.request.flavor, self.request.network
        flavors = (each for each in self.cloud.compute.flavors() if each.name == flavor)
        networks = self.cloud.network.networks(name=network)
        return {
            "image": self._image(self.request.image),
            "flavor": _first(f"flavor {flavor}", flavors),
            "network": _first(f"network {network}", networks),
        }

    def _image(self, name: str | None) -> Any:
        if name:  # also one of the user's own, such as a snapshot
            found = list(self.cloud.image.images(name=name))
        else:
            found = [each for each in public_images(self.cloud) if each.os_admin_user]
        usable = [image for image in found if image.status == "active"]
        if not usable:
            what = f"image {name}" if name else "image for first steps"
            raise HelioError(f"cannot find an {what}: there is none; run: helio configure")
        return max(usable, key=lambda image: image.created_at)


def _find(cloud: Connection, name: str) -> Any:
    """Return the instance of that name, or None."""
    return next(iter(cloud.compute.servers(name=f"^{name}$")), None)


def _volume(name: str) -> str:
    """Return the name of the volume of an instance."""
    return f"{name}-volume"


def _first(what: str, found: Any) -> Any:
    first = next(iter(found), None)
    if first is None:
        raise HelioError(f"cannot find {what}: there is none; run: helio configure")
    return first


def _refuse(server: Any) -> NoReturn:
    fault: dict[str, Any] = server.fault or {}
    reason = fault.get("message") or "no reason was given"
    raise HelioError(
        f"cannot boot {server.name}: {reason}; "
        "see: helio node list, and helio juju debug-log --include nova"
    )


@contextlib.contextmanager
def _hint(text: str) -> Generator[None]:
    """Note what to do next on what ends it early: a failure, a lost link, an interruption."""
    try:
        yield
    except (HelioError, OSError, KeyboardInterrupt) as error:
        error.add_note(text)
        raise


def _as_command(name: str, request: Request) -> str:
    """Return the command that goes on with an instance whose name was chosen here."""
    options = (
        f"--{field.name} {shlex.quote(str(value))}"
        for field in dataclasses.fields(request)
        if (value := getattr(request, field.name)) != field.default
    )
    return " ".join(("helio launch", name, *options))


def ssh_command(settings: Settings, instance: Instance, *options: str) -> tuple[str, ...]:
    """Return the command that logs in.

    The host key is remembered at the first login: nobody can know it before.
    """
    return (
        "ssh",
        *("-i", str(settings.key)),
        *("-o", f"UserKnownHostsFile={settings.known_hosts}"),
        *("-o", "StrictHostKeyChecking=accept-new"),
        *options,
        f"{instance.user}@{instance.floating_ip}",
    )


def as_typed(command: tuple[str, ...], is_sudo: bool) -> str:
    """Return a command as a person types it; the key is root's."""
    return ("sudo " if is_sudo else "") + shlex.join(command)


def _last_line(error: CommandError) -> str:
    lines = error.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {error.status}"
