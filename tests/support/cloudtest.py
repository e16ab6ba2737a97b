"""A cloud under test, and the tools that look at it and at the machine from outside.

Used by `tests/integration/cloud` and by the benchmarks in `tests/bench`.
"""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jubilant
import requests
import yaml

from helio import bundle, bundlefile, clients, images, pebble, sdk
from helio.host import LocalHost
from helio.tree import find_tree

ROOT = Path(__file__).resolve().parents[2]
HOME = Path("/var/lib/helio-test")
CACHES = Path("/var/lib/helio")  # where this machine keeps its images
SETTINGS = {
    "instance": "helio-test",
    "subnet": "10.132.0.0/20",
    "external-subnet": "172.24.5.0/24",
    "store": str(CACHES / "storage"),
}
BOOTSTRAP_SECONDS = 1500
SETTLE_SECONDS = 900
KEYSTONE_PORT = 5000
LIST_PODS = ("pod", "ps", "--filter=label=localjuju.model=openstack")


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A bootstrapped cloud.

    Attributes:
        home: Its HELIO_HOME.
        juju: Drives the model of the control plane.
        machines: Drives the model of the machines.
    """

    home: Path
    juju: jubilant.Juju
    machines: jubilant.Juju

    @property
    def models(self) -> tuple[jubilant.Juju, jubilant.Juju]:
        """What drives each of the models."""
        return self.juju, self.machines

    def helio(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the helio command of this checkout and return what it prints."""
        return run([str(ROOT / "helio"), *arguments], stdin=stdin)

    @property
    def clouds(self) -> dict[str, Any]:
        """The administrator's entry of the file that `helio cloud-config` writes."""
        return yaml.safe_load((self.home / "clouds.yaml").read_text())["clouds"]["helio"]

    def sdk(self, name: str = "helio") -> Any:
        """Return a connection of the client library: the administrator's, or `demo`'s."""
        return sdk.connect(self._accounts[name], self.home / "ca.pem")

    def sdk_inside(self) -> Any:
        """Return an administrator's connection that logs in at Keystone's own address.

        Whatever the catalogue then names is asked, also while that is not the entry point.
        """
        address = self.juju.status().apps["keystone"].address
        url = f"https://{address}:{KEYSTONE_PORT}/v3"
        return sdk.connect(
            dataclasses.replace(self._accounts["helio"], auth_url=url), self.home / "ca.pem"
        )

    @property
    def _accounts(self) -> dict[str, clients.Account]:
        return clients.read_accounts((self.home / "clouds.yaml").read_text())

    def launch(self, *arguments: str) -> "Guest":
        """Boot an instance, or go on with it, by the command that users run."""
        told = json.loads(self.helio("launch", *arguments, "--format", "json"))
        return Guest(told["name"], told["id"], told["address"], told["floating_ip"], told["ssh"])

    def told_at_boot(self, guest: "Guest") -> str:
        """Return what an instance told on its console of its metadata when it booted last."""
        told = self.sdk("demo").compute.get_server_console_output(guest.id)["output"]
        lines = [line for line in told.splitlines() if "GUEST-METADATA" in line]
        assert lines, told
        return lines[-1]

    def openstack(self, *arguments: str) -> Any:
        """Run the OpenStack client with the written clouds.yaml and return its JSON."""
        return json.loads(self.openstack_quiet(*arguments, "-f", "json"))

    def openstack_quiet(self, *arguments: str) -> str:
        """Run a command of the OpenStack client that prints no JSON."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("OS_")},
            "OS_CLIENT_CONFIG_FILE": str(self.home / "clouds.yaml"),
            "OS_CLOUD": "helio",
        }
        return run([str(Path(sys.executable).parent / "openstack"), *arguments], environment)

    def engine_pid(self) -> int:
        """Return the process id of the engine that serves this cloud now."""
        return int((self.home / "engine" / "engine.lock").read_text())

    def restart_engine(self, *, warm: bool) -> None:
        """Restart the engine, with warm dispatch or without it."""
        program = str(Path(sys.executable).parent / "localjuju")
        path = self.home / "engine" / "settings.json"
        run([program, "stop"])
        path.write_text(json.dumps({**json.loads(path.read_text()), "warm": warm}))
        run([program, "start"])
        self.settle()

    def kill_container(self, name: str) -> None:
        """Kill a container of this cloud behind the engine's back."""
        # The number that the engine's Podman knows: monitors of commands that run in the container
        # bear its name, too.
        os.kill(int(self.podman("inspect", "--format", "{{.State.Pid}}", name)), signal.SIGKILL)

    def settle(self, timeout: float = SETTLE_SECONDS) -> jubilant.Status:
        """Wait until every application of both models is active and every agent idle.

        Returns:
            The status of the control plane.
        """
        machines, pods = (
            juju.wait(
                lambda status: jubilant.all_active(status) and jubilant.all_agents_idle(status),
                timeout=timeout,
            )
            for juju in (self.machines, self.juju)
        )
        assert machines
        return pods

    def podman(self, *arguments: str) -> str:
        """Run Podman on this cloud's containers."""
        # With the engine's networks: where Podman does not find a container's network, it does not
        # give the container's addresses back when that stops.
        networks = f"--network-config-dir={self.home / 'engine' / 'networks'}"
        command = images.Store().command("podman", networks, *arguments)
        environment = {**os.environ, "CONTAINERS_CONF": str(self.home / "containers.conf")}
        return run(list(command), environment)

    def engine(self, *arguments: str) -> str:
        """Run the engine's own command."""
        return run([str(Path(sys.executable).parent / "localjuju"), *arguments])

    @contextlib.contextmanager
    def without_control_plane(self) -> Iterator[None]:
        """Stop the engine and every pod, and bring them back at the end."""
        assert self.pods_run()
        self.engine("stop")
        pods = self.podman(*LIST_PODS, "--quiet").split()
        assert len(pods) > 10
        self.podman("pod", "stop", "--time", "5", *pods)
        assert not self.pods_run()
        try:
            yield
        finally:
            self.engine("start")

    def pods_run(self) -> bool:
        """Return whether every container of each pod of the control plane runs."""
        states = self.podman(*LIST_PODS, "--format", "{{.Status}}").split()
        return set(states) == {"Running"}

    def pebble(self, unit: str, container: str, *arguments: str) -> str:
        """Run Pebble's own command in a workload container."""
        return self.juju.cli(
            "ssh", "--container", container, unit, "/charm/bin/pebble", *arguments
        )

    def started(self, unit: str, container: str) -> dict[str, str]:
        """Return when each running process of a workload container was started."""
        lines = self.pebble(unit, container, "services", "--abs-time").splitlines()[1:]
        rows = [line.split() for line in lines]
        return {row[0]: row[3] for row in rows if row[2] == "active"}

    def main_pids(self, unit: str) -> dict[str, int]:
        """Return service → main process of what systemd keeps running on a unit's machine."""
        # Only what the shell gets as one word is a pattern for systemd.
        shown = self.machines.cli("ssh", unit, "systemctl show --property=Id,MainPID '*.service'")
        blocks = (
            dict(line.split("=", 1) for line in block.splitlines())
            for block in shown.strip().split("\n\n")
        )
        return {each["Id"]: int(each["MainPID"]) for each in blocks if each["MainPID"] != "0"}

    def starts(self) -> dict[tuple[str, str], str | int]:
        """Return unit and service → what another start of it changes, for every unit there is.

        That is the time of its start in a pod, and its main process on a machine; there every
        service counts, but not systemd's own.
        """
        release = bundlefile.read_release(find_tree())
        found: dict[tuple[str, str], str | int] = {}
        for name, app in self.juju.status().apps.items():
            for unit in app.units:
                for container in bundle.section(release.charm(name), "containers"):
                    started = self.started(unit, container)
                    found |= {(unit, service): when for service, when in started.items()}
        for app in self.machines.status().apps.values():
            for unit in app.units:
                pids = self.main_pids(unit)
                found |= {
                    (unit, service): pid
                    for service, pid in pids.items()
                    if not service.startswith(("systemd-", "user@"))
                }
        return found

    def pids(self, unit: str, *names: str) -> dict[str, set[int]]:
        """Return program → its processes on a unit's machine; names as the kernel cuts them."""
        looked = self.machines.cli("ssh", unit, "grep -sH . /proc/[0-9]*/comm || true")
        rows = [line.split(":", 1) for line in looked.splitlines()]
        return {
            name: {int(path.split("/")[2]) for path, comm in rows if comm == name}
            for name in names
        }


@dataclasses.dataclass(frozen=True)
class Guest:
    """An instance that answers by ssh.

    Attributes:
        name: Its name.
        id: Its id.
        address: Its address on the project's network.
        floating_ip: Its address for the world.
        ssh: The command that logs in.
    """

    name: str
    id: str
    address: str
    floating_ip: str
    ssh: list[str]

    def run(self, command: str) -> str:
        """Run a command in the instance and return what it prints."""
        options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]
        return run([*self.ssh[:-1], *options, self.ssh[-1], command])

    def answers(self) -> bool:
        """Return whether ssh lets us in now."""
        try:
            return self.run("echo yes") == "yes\n"
        except AssertionError:
            return False

    def wait(self, seconds: float = 300) -> None:
        """Wait until ssh lets us in."""
        wait_for(self.answers, seconds, f"{self.name} answers")


def check_refused(cloud: Cloud, guest: Guest, action: str, ask: Callable[[Any], object]) -> None:
    """Ask for what Nova takes on and then cannot do; the instance has to run on as it was.

    Args:
        cloud: The cloud.
        guest: The instance.
        action: What Nova calls it: `resize`, `migrate`.
        ask: Is called with the administrator's connection to Nova.
    """
    compute = cloud.sdk().compute
    before = compute.get_server(guest.id)
    guest.run("echo alive > /run/asked")
    ask(compute)
    wait_for(lambda: not compute.get_server(guest.id).task_state, 600, f"{action} ends")
    after = compute.get_server(guest.id)
    assert after.status == "ACTIVE"
    assert after.flavor.to_dict() == before.flavor.to_dict()
    assert after.compute_host == before.compute_host
    wait_for(  # it is written down a moment later
        lambda: next(iter(compute.server_actions(guest.id))).message == "Error",
        30,
        f"{action} is told to have failed",
    )
    assert next(iter(compute.server_actions(guest.id))).action == action
    assert guest.run("cat /run/asked") == "alive\n", "it was not restarted"


def wait_for(is_so: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        time.sleep(2)


class Ping:
    """Sends a ping to an address every 0.1 s, until it is stopped.

    Attributes:
        sent: Number of requests.
        longest: The longest time between two replies, seconds.
        longest_at: When it began, seconds after the start.
    """

    INTERVAL = 0.1
    LAST_LOOK = 5.0  # an emulated guest on a busy machine may take its time

    def __init__(self, address: str):
        self._address = address
        self._stop = threading.Event()
        self._stopped = 0.0
        self._threads = [threading.Thread(target=each) for each in (self._send, self._hear)]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.settimeout(0.5)
        self._id = os.getpid() & 0xFFFF
        self.sent = 0
        self._heard: set[int] = set()
        self.longest = self.longest_at = 0.0

    def __str__(self) -> str:
        gap = f"longest gap {self.longest:.2f} s, from {self.longest_at:.1f} s on"
        return f"{gap}; {self.lost} of {self.sent} lost"

    @property
    def lost(self) -> int:
        """Number of requests without a reply."""
        return self.sent - len(self._heard)

    def __enter__(self) -> "Ping":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = time.monotonic()
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            head = struct.pack("!BBHHH", 8, 0, 0, self._id, self.sent & 0xFFFF)
            sum_ = sum(struct.unpack("!4H", head))
            sum_ = (sum_ >> 16) + (sum_ & 0xFFFF)
            packet = struct.pack("!BBHHH", 8, 0, ~sum_ & 0xFFFF, self._id, self.sent & 0xFFFF)
            with contextlib.suppress(OSError):  # a network that goes away is what is looked for
                self._socket.sendto(packet, (self._address, 0))
            self.sent += 1
            due += self.INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))

    def _note_gap(self, seconds: float, at: float) -> None:
        if seconds > self.longest:
            self.longest, self.longest_at = seconds, at

    def _hear(self) -> None:
        start = before = time.monotonic()
        # A last look after the sender has stopped, for what is still on its way. It has an end of
        # its own: the socket hears every ping of this host, and may never be silent.
        while not self._stop.is_set() or (
            self.lost and time.monotonic() < self._stopped + self.LAST_LOOK
        ):
            try:
                packet, sender = self._socket.recvfrom(1024)
            except TimeoutError:
                continue
            kind, _, _, id_, number = struct.unpack("!BBHHH", packet[20:28])
            if (kind, id_, sender[0]) == (0, self._id, self._address):
                now = time.monotonic()
                self._note_gap(now - before, before - start)
                before = now
                self._heard.add(number)
        self._note_gap(self._stopped - before, before - start)


def run(
    argv: list[str],
    environment: dict[str, str] | None = None,
    seconds: float = 1200,
    stdin: str | None = None,
) -> str:
    """Run a command; a failure, or more time than it may take, shows all that it said."""
    command = ["timeout", "--signal=INT", "--kill-after=20", str(seconds), *argv]
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Tokens:
    """Issues and validates tokens in a loop, each over a new connection, until it is stopped."""

    def __init__(self, auth: dict[str, Any], ca: str):
        self._auth = auth
        self._ca = ca
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self.good = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Tokens":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        kept = ""
        while not self._stop.is_set():
            try:
                token = self.once(kept)
            except (requests.RequestException, AssertionError) as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {error}")
                time.sleep(0.5)
            else:
                kept = kept or token
                self.good += 1
            time.sleep(0.05)

    def once(self, older: str = "") -> str:
        """Issue a token and validate it, and an older one, by the service's address."""
        auth = self._auth
        identity = {
            "methods": ["password"],
            "password": {
                "user": {
                    "name": auth["username"],
                    "domain": {"name": auth["user_domain_name"]},
                    "password": auth["password"],
                }
            },
        }
        scope = {
            "project": {
                "name": auth["project_name"],
                "domain": {"name": auth["project_domain_name"]},
            }
        }
        url = f"{auth['auth_url'].rstrip('/')}/auth/tokens"
        close = {"Connection": "close"}
        answer = requests.post(
            url,
            json={"auth": {"identity": identity, "scope": scope}},
            verify=self._ca,
            headers=close,
            timeout=30,
        )
        assert answer.status_code == 201, f"issue: {answer.status_code} {answer.text[:200]}"
        token = answer.headers["X-Subject-Token"]
        for subject in filter(None, (token, older)):
            answer = requests.get(
                url,
                verify=self._ca,
                timeout=30,
                headers={**close, "X-Auth-Token": token, "X-Subject-Token": subject},
            )
            assert answer.status_code == 200, f"validate: {answer.status_code} {answer.text[:200]}"
        return token


def look() -> dict[str, list[str]]:
    """Describe what a cloud could leave behind: each kind of thing → sorted lines."""

    def lines(*argv: str) -> list[str]:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return sorted(done.stdout.splitlines())

    def without_counters(*argv: str) -> list[str]:
        return [line for line in lines(*argv) if not line.startswith(("#", ":"))]

    mounts = [
        " ".join(line.split()[:3])
        for line in Path("/proc/mounts").read_text().splitlines()
        if "nsdelegate" not in line
    ]
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    groups = {str(path) for root in roots for path in root.glob("*") if path.is_dir()}
    ours = [
        line
        for line in lines("ps", "-ww", "-eo", "args")
        if any(word in line for word in (str(HOME), SETTINGS["instance"], "conmon", "aardvark"))
    ]
    return {
        "links": [line.split(":")[1].strip() for line in lines("ip", "-o", "link")],
        "addresses": [line.split()[3] for line in lines("ip", "-o", "-4", "addr")],
        "iptables": without_counters("iptables-save"),
        "nft tables": lines("nft", "list", "tables"),
        "mounts": sorted(mounts),
        "cgroups": sorted(groups),
        "processes": ours,
        "settings": lines("sysctl", "-n", "net.ipv4.ip_forward", "fs.protected_regular"),
        "files": sorted(
            str(path)
            for folder in ("/var/lib", "/run", "/etc/containers", "/etc/cni", "/tmp")
            if Path(folder).is_dir()
            for path in Path(folder).iterdir()
            if "helio" in path.name or "juju" in path.name or folder.startswith("/etc")
        ),
    }


def proportional_memory(pid: str) -> int:
    """Return a process's proportional set size in KiB; 0 if it has ended."""
    try:
        text = Path("/proc", pid, "smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in text.splitlines() if row.startswith("Pss:")), 0)


def build_caches() -> None:
    """Make what is made once per machine: the images, and Pebble."""
    ordinary = {k: v for k, v in os.environ.items() if k != "HELIO_HOME"}
    run([str(ROOT / "helio"), "images", "build"], ordinary)
    scratch = CACHES / "cache" / "pebble-build"
    pebble.ensure_pebble(LocalHost(), CACHES / "bin" / "pebble", scratch)


def clean_up() -> None:
    """Take away whatever there is of the cloud under test, also of a run that was cut off."""
    if HOME.exists():
        places = {**os.environ, "HELIO_HOME": str(HOME)}
        run([str(ROOT / "helio"), "destroy", "--purge", "--yes"], places)


@contextlib.contextmanager
def bootstrapped() -> Iterator[Cloud]:
    """Bootstrap a cloud as a user would, and take it away at the end.

    Images and Pebble belong to the machine's ordinary home and stay there for the next time.
    """
    build_caches()
    clean_up()
    HOME.mkdir(parents=True, exist_ok=True, mode=0o700)
    (HOME / "helio.yaml").write_text(yaml.safe_dump(SETTINGS))
    places = {"HELIO_HOME": str(HOME), "LOCALJUJU_HOME": str(HOME / "engine")}
    with mock.patch.dict(os.environ, places):
        run([str(ROOT / "helio"), "bootstrap", "--yes"], seconds=BOOTSTRAP_SECONDS)
        program = str(ROOT / ".venv" / "bin" / "juju")
        openstack, machines = (
            jubilant.Juju(model=model, cli_binary=program) for model in ("openstack", "machines")
        )
        yield Cloud(HOME, openstack, machines)
    clean_up()
