"""Units as real Podman pods: real Pebble, real names, real traffic, nothing left behind.

Needs root, Podman and the base image; everything else is made here and removed again.
"""

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from localjuju.settings import Settings, save
from localjuju.substrate import commands, names
from localjuju.substrate.podman import PodmanSubstrate
from localjuju.substrate.protocol import (
    Dispatch,
    DispatchResult,
    Mount,
    PodEvent,
    PodSpec,
    ServiceSpec,
    SubstrateError,
    WorkloadSpec,
)

T = TypeVar("T")
SERVICE = "10.219.0.200"
PORT = 8080
# What a charm would add: a server on the same port in each unit, and a probe of its API.
LAYER = """
services:
  web:
    override: replace
    command: python3 -m http.server 8080 --directory /srv/www
    startup: enabled
checks:
  online:
    override: replace
    level: ready
    period: 200ms
    threshold: 1
    http: {url: "http://localhost:8080/"}
"""
CHARM = """
import json, os, socket, sys
import configparser
if __name__ == "__main__":
    count = 1 + int(open("count").read()) if os.path.exists("count") else 1
    open("count", "w").write(str(count))
    print(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "count": count}))
    import time; time.sleep(float(os.environ.get("NAP", "0")))
    sys.exit(int(os.environ.get("CODE", "0")))
"""


class Shop:
    """An engine's place on this host: a substrate, a charm, what the pods told."""

    def __init__(self, settings: Settings, charm: Path) -> None:
        self.settings = settings
        self.charm = charm
        self.network = settings.subnet.rpartition(".")[0]
        self.runner = asyncio.Runner()
        self.events: list[PodEvent] = []
        self.substrate = self.run(self._start())

    async def _start(self) -> PodmanSubstrate:
        substrate = PodmanSubstrate(self.settings)
        await substrate.prepare()
        self._listener = asyncio.create_task(self._listen(substrate))
        return substrate

    async def _listen(self, substrate: PodmanSubstrate) -> None:
        async for event in substrate.events():
            self.events.append(event)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        """Go away as an engine does that is stopped: the pods live on."""

        async def stop() -> None:
            await self.substrate.close()
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

        self.run(stop())
        self.runner.close()

    def hook_socket(self, unit: str) -> Path:
        return names.hook_dir(self.settings, "shop", unit) / "hook.sock"

    def spec(self, number: int, **changes: Any) -> PodSpec:
        data = Mount(
            self.settings.home / "models/shop/storage/web" / f"data-{number}", "/srv/data"
        )
        spec = PodSpec(
            model="shop",
            unit=f"web/{number}",
            app="web",
            ordinal=number,
            address=f"{self.network}.{10 + number}",
            generation=0,
            charm_dir=self.charm,
            workloads=(WorkloadSpec("web", self.settings.charm_base, mounts=(data,)),),
            mounts=(dataclasses.replace(data, target=f"/var/lib/juju/storage/data/{number}"),),
        )
        return dataclasses.replace(spec, **changes)

    def add(self, number: int, **changes: Any) -> PodSpec:
        """Make a unit's pod and watch it."""
        spec = self.spec(number, **changes)

        async def add() -> None:
            await self.substrate.ensure_pod(spec, self.hook_socket(spec.unit))
            self.substrate.watch("shop", spec.unit, [w.name for w in spec.workloads], {})

        self.run(add())
        return spec

    def serve(self, number: int) -> None:
        """Let the unit's workload serve its own name, as a charm would."""
        unit = f"web/{number}"
        self.until(lambda: self.told("pebble", unit))
        self.shell(unit, "web", f"mkdir -p /srv/www; echo web-{number} > /srv/www/index.html")
        layer = {"action": "add", "combine": True, "label": "web", "format": "yaml"}
        self.pebble(unit, "POST", "/v1/layers", {**layer, "layer": LAYER})
        _, answer = self.pebble(unit, "POST", "/v1/services", {"action": "replan", "services": []})
        self.pebble(unit, "GET", f"/v1/changes/{answer['change']}/wait?timeout=20s")

    def shell(self, unit: str, container: str, text: str) -> str:
        code, out, err = self.run(self.substrate.exec("shop", unit, container, ["sh", "-c", text]))
        assert code == 0, f"{text}: {code}: {err.decode()}"
        return out.decode().strip()

    def python(self, unit: str, container: str, *lines: str) -> str:
        argv = ["python3", "-c", "\n".join(lines)]
        code, out, err = self.run(self.substrate.exec("shop", unit, container, argv))
        assert code == 0, err.decode()
        return out.decode().strip()

    def pebble(
        self, unit: str, method: str, path: str, body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        """Speak to a workload's Pebble over the socket that its charm has."""
        connection = http.client.HTTPConnection("pebble", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(names.pebble_socket(self.settings, "shop", unit, "web")))
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def dispatch(self, unit: str, *, warm: bool = False, **env: str) -> DispatchResult:
        return self.run(self.dispatching(unit, warm=warm, **env))

    async def dispatching(self, unit: str, *, warm: bool = False, **env: str) -> DispatchResult:
        environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "LANG": "C.UTF-8", **env}
        argv = (f"{self.substrate.charm_path('shop', unit)}/dispatch",)
        return await self.substrate.dispatch(Dispatch("shop", unit, argv, environment, warm))

    def told(self, kind: str, unit: str) -> list[PodEvent]:
        return [event for event in self.events if (event.kind, event.unit) == (kind, unit)]

    def until(self, true: Callable[[], Any], seconds: float = 30) -> None:
        """Let the substrate work until something is true."""

        async def wait() -> None:
            end = time.monotonic() + seconds
            while not true():
                assert time.monotonic() < end, f"not true after {seconds} s; told {self.events}"
                await asyncio.sleep(0.05)

        self.run(wait())

    def services(self, *numbers: int) -> None:
        backends = tuple(f"{self.network}.{10 + number}" for number in numbers)
        service = ServiceSpec("shop", "web", SERVICE, (f"{PORT}/tcp",), backends)
        self.run(self.substrate.set_services([service]))

    def containers(self, unit: str) -> dict[str, dict[str, Any]]:
        argv = commands.list_containers(
            self.settings, f"label={names.LABEL_UNIT}={unit}", f"label={names.LABEL_MODEL}=shop"
        )
        listed = json.loads(subprocess.check_output(argv, env=self.environment) or b"[]") or []
        return {state["Names"][0]: state for state in listed}

    def process(self, unit: str, container: str) -> int:
        name = names.container(self.settings.instance, "shop", unit, container)
        return self.containers(unit)[name]["Pid"]

    def podman(self, *arguments: str) -> None:
        argv = commands.podman(self.settings, *arguments)
        subprocess.run(argv, check=True, env=self.environment, stdout=subprocess.DEVNULL)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": self.settings.containers_conf}


def get(address: str, port: int = PORT) -> str:
    """Fetch the page behind an address of this host's view."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()


def more(now: Mapping[str, Sequence[str]], before: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what is there now and was not before, by kind."""
    found = {kind: sorted(set(now[kind]) - set(before[kind])) for kind in now}
    return {kind: items for kind, items in found.items() if items}


def refuses(address: str, port: int = PORT) -> bool:
    """Tell whether a connection is refused at once, neither accepted nor left to time out."""
    started = time.monotonic()
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return time.monotonic() - started < 1
    return False


FETCH = """
import urllib.request as u
def get(address): return u.urlopen(address, timeout=5).read().decode().strip()
"""


@pytest.fixture(scope="module")
def charm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("charm") / "web"
    (folder / "src").mkdir(parents=True)
    (folder / "src/charm.py").write_text(CHARM)
    (folder / "dispatch").write_text("#!/bin/sh\nPYTHONPATH=src:lib exec python3 src/charm.py\n")
    (folder / "dispatch").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def shop(make_settings: Callable[[str, str], Settings], charm: Path) -> Iterator[Shop]:
    """Two units that serve, and the service in front of them."""
    shop = Shop(make_settings("t9shop", "10.219.0.0/20"), charm)
    try:
        for number in (0, 1):
            shop.add(number)
        for number in (0, 1):
            shop.serve(number)
        shop.services(0, 1)
        yield shop
    finally:
        shop.run(shop.substrate.destroy())
        shop.close()


def both_serve(shop: Shop) -> None:
    """Wait until the service leads to both units."""
    shop.until(lambda: {_or_none(get, SERVICE) for _ in range(12)} == {"web-0", "web-1"})


def _or_none(function: Callable[[str], T], argument: str) -> T | None:
    try:
        return function(argument)
    except OSError:
        return None


# Isolation


def test_two_units_of_an_application_have_files_addresses_and_ports_of_their_own(shop: Shop):
    assert [get(f"10.219.0.{10 + number}") for number in (0, 1)] == ["web-0", "web-1"]
    shop.shell("web/0", "web", "echo mine > /etc/only-here")
    assert shop.shell("web/1", "web", "ls /etc/only-here 2>/dev/null || echo none") == "none"
    assert shop.shell("web/0", "charm", "ls /etc/only-here 2>/dev/null || echo none") == "none"


def test_charm_and_workload_share_the_address_but_not_the_processes(shop: Shop):
    show = "ip -o -4 address show dev eth0 | tr -s ' ' | cut -d' ' -f4"
    assert shop.shell("web/0", "charm", show) == "10.219.0.10/20"
    assert shop.shell("web/0", "web", show) == "10.219.0.10/20"
    assert shop.shell("web/0", "charm", "cat /proc/1/comm") == "python3"
    assert shop.shell("web/0", "web", "cat /proc/1/comm") == "pebble"


def test_a_second_instance_stands_beside_the_first_in_the_same_store(
    shop: Shop, make_settings: Callable[[str, str], Settings], charm: Path
):
    other = Shop(make_settings("t9side", "10.219.16.0/20"), charm)
    try:
        other.add(0)
        other.serve(0)
        assert get("10.219.16.10") == get("10.219.0.10") == "web-0"
    finally:
        other.run(other.substrate.destroy())
        other.close()
    assert get("10.219.0.10") == "web-0"
    assert len(shop.containers("web/0")) == 3


# Dispatches


def test_a_dispatch_runs_in_the_charm_folder_with_exactly_its_environment(shop: Shop):
    result = shop.dispatch("web/0", JUJU_UNIT_NAME="web/0", CODE="4")
    assert result.exit_code == 4
    told = json.loads(result.stdout[0])
    assert told["cwd"] == "/var/lib/juju/agents/unit-web-0/charm"
    added = {"PYTHONPATH", "PWD"}  # by dispatch and its shell
    assert {key: value for key, value in told["env"].items() if key not in added} == {
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "JUJU_UNIT_NAME": "web/0",
        "CODE": "4",
    }


def test_the_charm_folder_is_the_units_own_and_kept_between_dispatches(shop: Shop):
    first = json.loads(shop.dispatch("web/1").stdout[0])["count"]
    assert json.loads(shop.dispatch("web/1").stdout[0])["count"] == first + 1
    assert not (shop.charm / "count").exists()


def test_a_warm_dispatch_gives_what_a_cold_one_gives(shop: Shop):
    cold = shop.dispatch("web/0", warm=True, NAP="0.3", CODE="5")
    warm = shop.dispatch("web/0", warm=True, NAP="0.3", CODE="5")
    cold_told, warm_told = (json.loads(result.stdout[0]) for result in (cold, warm))
    assert warm_told.pop("count") == cold_told.pop("count") + 1
    assert warm_told == cold_told
    assert (warm.exit_code, warm.stderr) == (cold.exit_code, cold.stderr) == (5, ())
    assert warm.cpu_seconds < cold.cpu_seconds


def test_a_cancelled_dispatch_is_gone_before_the_next_begins(shop: Shop):
    async def cancel() -> None:
        task = asyncio.create_task(shop.dispatching("web/0", NAP="60"))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    shop.run(cancel())
    assert shop.dispatch("web/0").exit_code == 0


def test_the_charm_reaches_the_engines_socket_and_the_hook_commands(shop: Shop):
    path = shop.hook_socket("web/0")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        inside = shop.substrate.hook_socket_path("shop", "web/0")
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({inside!r})"
        shop.python("web/0", "charm", connect)
    path.unlink()
    tools = shop.substrate.tools_path("shop", "web/0")
    assert "relation-get" in shop.shell("web/0", "charm", f"ls {tools}").split()


# Pebble, as recorded from the real program outside of any container

EXCHANGES: Sequence[tuple[str, str, Any, int, Mapping[str, Any]]] = (
    ("GET", "/v1/nope", None, 404, {"message": "invalid API endpoint requested"}),
    ("GET", "/v1/layers", None, 405, {"message": 'method "GET" not allowed'}),
    ("GET", "/v1/plan", None, 400, {"message": 'invalid format ""'}),
    (
        "POST",
        "/v1/services",
        {"action": "start", "services": ["zz"]},
        400,
        {"message": 'cannot start services: service "zz" does not exist'},
    ),
    (
        "POST",
        "/v1/layers",
        {
            "action": "add",
            "combine": False,
            "label": "l",
            "format": "yaml",
            "layer": "services:\n  a:\n    command: sleep 600\n",
        },
        400,
        {"message": 'layer "l" must define "override" for service "a"'},
    ),
    (
        "GET",
        "/v1/files?action=list&path=/w/zz",
        None,
        404,
        {"message": "stat /w/zz: no such file or directory", "kind": "not-found"},
    ),
    (
        "POST",
        "/v1/exec",
        {"command": ["nosuchprog"]},
        400,
        {"message": 'cannot find executable "nosuchprog"'},
    ),
    ("GET", "/v1/notices/9999", None, 404, {"message": 'cannot find notice with ID "9999"'}),
)


@pytest.mark.parametrize(("method", "path", "body", "status", "result"), EXCHANGES)
def test_pebble_answers_in_a_container_as_it_does_outside(
    shop: Shop, method: str, path: str, body: Any, status: int, result: Mapping[str, Any]
):
    found, answer = shop.pebble("web/0", method, path, body)
    assert (found, answer["result"]) == (status, result)


def test_the_charm_container_speaks_to_pebble_at_jujus_path(shop: Shop):
    show = "PEBBLE_SOCKET=/charm/containers/web/pebble.socket /charm/bin/pebble services"
    assert "active" in shop.shell("web/0", "charm", show)


def test_a_workload_notifies_and_the_engine_hears_it_once(shop: Shop):
    shop.shell("web/1", "web", "/charm/bin/pebble notify example.com/done a=1")
    heard = lambda: [  # noqa: E731 - read twice, right below
        notice
        for event in shop.told("notices", "web/1")
        for notice in event.notices
        if notice.key == "example.com/done"
    ]
    shop.until(heard)
    (notice,) = heard()
    assert (notice.type, dict(notice.data)) == ("custom", {"a": "1"})


# Names


@pytest.mark.parametrize("container", ["charm", "web"])
def test_a_units_full_name_is_its_long_one(shop: Shop, container: str):
    ask = "import socket; print(socket.gethostname(), socket.getfqdn())"
    assert (
        shop.python("web/0", container, ask) == "web-0 web-0.web-endpoints.shop.svc.cluster.local"
    )


@pytest.mark.parametrize("container", ["charm", "web"])
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("web-1.web-endpoints.shop.svc.cluster.local", "10.219.0.11"),
        ("web-1.web-endpoints", "10.219.0.11"),
        ("web.shop.svc.cluster.local", SERVICE),
        ("web.shop.svc", SERVICE),
        ("web.shop", SERVICE),
        ("web", SERVICE),
    ],
)
def test_names_lead_to_units_and_services(shop: Shop, container: str, name: str, address: str):
    ask = f"import socket; print(socket.gethostbyname({name!r}))"
    assert shop.python("web/0", container, ask) == address


def test_the_networks_own_dns_knows_the_units_too(shop: Shop):
    ask = (
        "import socket, struct",
        "q = struct.pack('>6H', 7, 256, 1, 0, 0, 0)",
        "for part in 'web-1.web-endpoints.shop.svc.cluster.local'.split('.'):",
        "    q += bytes([len(part)]) + part.encode()",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)",
        "s.sendto(q + b'\\0\\0\\1\\0\\1', ('10.219.0.1', 53))",
        "print(socket.inet_ntoa(s.recv(512)[-4:]))",
    )
    assert shop.python("web/0", "charm", *ask) == "10.219.0.11"


def test_a_running_process_sees_units_come_and_go(shop: Shop):
    name = "web-2.web-endpoints.shop.svc.cluster.local"
    look = (
        "import socket, sys, time",
        "def look():",
        f"    try: return socket.gethostbyname({name!r})",
        "    except OSError: return 'none'",
        "seen = []",
        "end = time.monotonic() + 60",
        "while len(seen) < 3 and time.monotonic() < end:",
        "    if (now := look()) not in seen[-1:]: seen.append(now)",
        "    time.sleep(0.1)",
        "print(*seen)",
    )

    async def story() -> str:
        argv = ["python3", "-c", "\n".join(look)]
        watcher = asyncio.create_task(shop.substrate.exec("shop", "web/0", "web", argv))
        await asyncio.sleep(1)
        spec = shop.spec(2)
        await shop.substrate.ensure_pod(spec, shop.hook_socket(spec.unit))
        await asyncio.sleep(1)
        await shop.substrate.remove_pod("shop", spec.unit, keep_storage=False)
        return (await watcher)[1].decode().strip()

    assert shop.run(story()) == "none 10.219.0.12 none"
    assert not (shop.settings.home / "models/shop/storage/web/data-2").exists()


# Service addresses


def test_the_service_address_leads_to_all_ready_units_from_the_host(shop: Shop):
    both_serve(shop)


def test_the_service_address_leads_to_all_ready_units_from_a_pod_itself_included(shop: Shop):
    both_serve(shop)
    ask = f"print(*sorted({{get('http://web:{PORT}') for _ in range(16)}}))"
    assert shop.python("web/0", "web", FETCH, ask) == "web-0 web-1"


def test_only_opened_ports_are_forwarded_and_all_else_is_refused_at_once(shop: Shop):
    assert refuses(SERVICE, 38813)
    assert refuses(SERVICE, 22)


def test_a_unit_that_fails_its_check_gets_no_traffic_until_it_is_well_again(shop: Shop):
    both_serve(shop)
    shop.pebble("web/1", "POST", "/v1/services", {"action": "stop", "services": ["web"]})
    shop.until(
        lambda: shop.told("health", "web/1")[-1:] and not shop.told("health", "web/1")[-1].healthy
    )
    shop.until(lambda: {_or_none(get, SERVICE) for _ in range(12)} == {"web-0"})
    shop.pebble("web/1", "POST", "/v1/services", {"action": "start", "services": ["web"]})
    both_serve(shop)


def test_without_a_ready_unit_connections_are_refused(shop: Shop):
    both_serve(shop)
    shop.services()
    try:
        assert refuses(SERVICE)
    finally:
        shop.services(0, 1)
    both_serve(shop)


def test_a_connection_goes_on_when_its_unit_leaves_the_service(shop: Shop):
    both_serve(shop)
    shop.services(1)
    shop.until(lambda: {_or_none(get, SERVICE) for _ in range(6)} == {"web-1"})
    connection = socket.create_connection((SERVICE, PORT), timeout=5)
    with connection:
        connection.sendall(b"GET / HTTP/1.0\r\n")  # not ended yet
        shop.services(0)
        shop.until(lambda: {_or_none(get, SERVICE) for _ in range(6)} == {"web-0"})
        connection.sendall(b"\r\n")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    assert b"web-1" in answer
    shop.services(0, 1)
    both_serve(shop)


def test_a_new_pod_gets_no_traffic_before_its_charm_has_set_it_up(shop: Shop):
    both_serve(shop)
    shop.add(3)
    shop.services(0, 1, 3)
    try:
        shop.until(lambda: shop.told("pebble", "web/3"))
        end = time.monotonic() + 4
        while time.monotonic() < end:
            shop.run(asyncio.sleep(0.1))
            assert get(SERVICE) in ("web-0", "web-1")
    finally:
        shop.services(0, 1)
        shop.run(shop.substrate.remove_pod("shop", "web/3"))


# Failures


def test_a_killed_pebble_comes_back_with_a_new_boot_id_and_without_its_services(shop: Shop):
    shop.until(lambda: shop.told("pebble", "web/1"))
    before = shop.told("pebble", "web/1")[-1].boot_id
    os.kill(shop.process("web/1", "web"), signal.SIGKILL)
    shop.until(lambda: shop.told("pebble", "web/1")[-1].boot_id != before)
    assert shop.told("pebble-gone", "web/1")
    assert shop.pebble("web/1", "GET", "/v1/services")[1]["result"] == []
    # The charm's view of the socket is the new one's.
    show = "PEBBLE_SOCKET=/charm/containers/web/pebble.socket /charm/bin/pebble services 2>&1"
    assert shop.shell("web/1", "charm", show) == "Plan has no services."
    shop.serve(1)
    both_serve(shop)


@pytest.mark.parametrize("container", ["charm", "web"])
def test_a_container_that_was_killed_through_podman_is_started_again(shop: Shop, container: str):
    kind = {"charm": "charm-started", "web": "pebble"}[container]
    shop.until(lambda: shop.told(kind, "web/1"))
    before = len(shop.told(kind, "web/1"))
    shop.podman("kill", names.container(shop.settings.instance, "shop", "web/1", container))
    shop.until(lambda: len(shop.told(kind, "web/1")) > before)
    shop.serve(1)
    both_serve(shop)


def test_a_pod_that_lost_its_network_is_restarted_as_a_whole(shop: Shop):
    before = len(shop.told("pebble", "web/1"))
    infra = names.infra(shop.settings.instance, "shop", "web/1")
    os.kill(shop.containers("web/1")[infra]["Pid"], signal.SIGKILL)
    shop.until(lambda: len(shop.told("pebble", "web/1")) > before)
    shop.serve(1)
    assert get("10.219.0.11") == "web-1"
    both_serve(shop)


def test_a_stopped_pod_is_started_again_also_without_its_folders_of_sockets(shop: Shop):
    """What a reboot of the host leaves: containers that are down, and an empty /run."""
    shop.add(4)
    shop.podman("pod", "stop", "--time=0", names.pod(shop.settings.instance, "shop", "web/4"))
    ids = {name: state["Id"] for name, state in shop.containers("web/4").items()}
    try:
        shop.add(4)
        found = shop.containers("web/4")
        assert {name: state["Id"] for name, state in found.items()} == ids
        assert {state["State"] for state in found.values()} == {"running"}
        assert shop.dispatch("web/4").exit_code == 0
    finally:
        shop.run(shop.substrate.remove_pod("shop", "web/4"))


def test_traffic_flows_and_pods_live_while_no_engine_runs(shop: Shop):
    both_serve(shop)
    before = {unit: shop.containers(unit) for unit in ("web/0", "web/1")}
    agents = {unit: shop.told("charm-started", unit)[-1].boot_id for unit in before}
    shop.close()
    assert {get(SERVICE) for _ in range(12)} == {"web-0", "web-1"}
    # The next engine.
    shop.runner, shop.events = asyncio.Runner(), []
    shop.substrate = shop.run(shop._start())
    shop.services(0, 1)
    assert {get(SERVICE) for _ in range(12)} == {"web-0", "web-1"}
    for number in (0, 1):
        shop.add(number)
    for unit, containers in before.items():
        now = shop.containers(unit)
        assert {n: s["Id"] for n, s in now.items()} == {n: s["Id"] for n, s in containers.items()}
        shop.until(lambda unit=unit: shop.told("charm-started", unit))
        assert shop.told("charm-started", unit)[-1].boot_id == agents[unit]
        shop.until(lambda unit=unit: shop.told("pebble", unit))
    assert {get(SERVICE) for _ in range(12)} == {"web-0", "web-1"}


def test_a_dispatch_of_an_engine_that_died_is_ended(shop: Shop):
    path = names.agent_socket(shop.settings, "shop", "web/0")
    request = {
        "op": "run",
        "argv": ["/bin/sh", "-c", "echo $$; exec sleep 60"],
        "env": {"PATH": "/usr/bin:/bin"},
        "cwd": "/",
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        pid = json.loads(connection.recv(4096))["out"]
    shop.run(shop.substrate.running_dispatch("shop", "web/0"))
    assert shop.shell("web/0", "charm", f"ls -d /proc/{pid} 2>/dev/null || echo gone") == "gone"
    assert shop.run(shop.substrate.running_dispatch("shop", "web/0")) is False


RESTLESS = """
import asyncio, itertools, json, sys
from pathlib import Path
from localjuju import settings
from localjuju.substrate import names
from localjuju.substrate.podman import PodmanSubstrate
from localjuju.substrate.protocol import PodSpec, WorkloadSpec

here = settings.load(Path(sys.argv[1]))

async def main():
    substrate = PodmanSubstrate(here)
    await substrate.prepare()
    for generation in itertools.count(int(sys.argv[3])):
        for number in (0, 1):
            spec = PodSpec(
                model="shop", unit=f"web/{number}", app="web", ordinal=number,
                address=f"10.219.80.{10 + number}", generation=generation,
                charm_dir=Path(sys.argv[2]), workloads=(WorkloadSpec("web", here.charm_base),),
            )
            socket = names.hook_dir(here, "shop", spec.unit) / "hook.sock"
            await substrate.ensure_pod(spec, socket)
        await substrate.remove_pod("shop", f"web/{generation % 2}")

asyncio.run(main())
"""


def test_an_engine_that_is_killed_at_any_moment_leaves_pods_that_the_next_one_can_use(
    make_settings: Callable[[str, str], Settings],
    charm: Path,
    look_at_host: Callable[[str], dict[str, list[str]]],
):
    settings = make_settings("t9kill", "10.219.80.0/20")
    before = look_at_host("t9kill")
    save(settings)
    moments = random.Random(7)
    for round_number in range(8):
        argv = [sys.executable, "-c", RESTLESS, str(settings.home), str(charm), str(round_number)]
        with subprocess.Popen(argv) as engine:
            time.sleep(moments.uniform(0.3, 3))
            assert engine.poll() is None, "the engine ended by itself"
            engine.kill()
    last = Shop(settings, charm)
    try:
        for number in (0, 1):
            last.add(number)
            last.serve(number)
            assert get(f"10.219.80.{10 + number}") == f"web-{number}"
            assert last.dispatch(f"web/{number}").exit_code == 0
            assert len(last.containers(f"web/{number}")) == 3
    finally:
        last.run(last.substrate.destroy())
        last.close()
    assert more(look_at_host("t9kill"), before) == {}


# Replacement


def test_a_new_generation_is_a_fresh_pod_on_the_old_storage(shop: Shop):
    shop.add(5)
    shop.shell("web/5", "web", "echo kept > /srv/data/file; echo lost > /etc/lost")
    shop.dispatch("web/5")
    old = shop.containers("web/5")
    try:
        shop.add(5, generation=1)
        new = shop.containers("web/5")
        assert not {s["Id"] for s in old.values()} & {s["Id"] for s in new.values()}
        assert shop.shell("web/5", "web", "cat /srv/data/file") == "kept"
        assert shop.shell("web/5", "charm", "cat /var/lib/juju/storage/data/5/file") == "kept"
        assert shop.shell("web/5", "web", "ls /etc/lost 2>/dev/null || echo none") == "none"
        assert json.loads(shop.dispatch("web/5").stdout[0])["count"] == 1
        assert shop.pebble("web/5", "GET", "/v1/notices?types=custom")[1]["result"] == []
    finally:
        shop.run(shop.substrate.remove_pod("shop", "web/5"))
    assert (shop.settings.home / "models/shop/storage/web/data-5/file").read_text() == "kept\n"


def test_a_workload_with_a_user_of_its_own_runs_pebble_as_that_user(shop: Shop):
    spec = shop.spec(6)
    (workload,) = spec.workloads
    shop.add(6, workloads=(dataclasses.replace(workload, uid=1234, gid=1234),))
    try:
        shop.until(lambda: shop.told("pebble", "web/6"))
        assert shop.shell("web/6", "web", "id -u; touch /srv/data/x") == "1234"
    finally:
        shop.run(shop.substrate.remove_pod("shop", "web/6", keep_storage=False))


def test_neighbours_reach_a_pod_that_was_made_anew_at_once(shop: Shop):
    shop.add(9)
    ask = "import socket; socket.create_connection(('10.219.0.19', 38813), 2).close(); print('in')"
    try:
        assert shop.python("web/0", "web", ask) == "in"
        for generation in (1, 2):
            shop.add(9, generation=generation)
            # The new pod has sent nothing by which its neighbours could learn where it is.
            assert shop.python("web/0", "web", ask) == "in"
            socket.create_connection(("10.219.0.19", 38813), 2).close()
    finally:
        shop.run(shop.substrate.remove_pod("shop", "web/9", keep_storage=False))


# Errors and limits


def test_other_users_of_the_host_reach_no_socket_and_no_file_of_a_unit(shop: Shop):
    for folder in (shop.settings.home, names.runtime_dir(shop.settings)):
        assert folder.stat().st_mode & 0o077 == 0


async def _refused(work: Awaitable[Any]) -> str:
    with pytest.raises(SubstrateError) as error:
        await work
    return str(error.value)


def test_a_missing_image_is_named_and_nothing_is_left(shop: Shop):
    spec = shop.spec(7, workloads=(WorkloadSpec("web", "localhost/no-such-image:1"),))
    text = shop.run(_refused(shop.substrate.ensure_pod(spec, shop.hook_socket(spec.unit))))
    assert "web/7" in text
    assert "localhost/no-such-image:1 is not in" in text
    assert shop.containers("web/7") == {}
    shop.run(shop.substrate.remove_pod("shop", "web/7", keep_storage=False))


def test_a_charm_packed_for_another_python_is_refused_by_both_versions(shop: Shop):
    spec = shop.spec(8, python="2.7")
    text = shop.run(_refused(shop.substrate.ensure_pod(spec, shop.hook_socket(spec.unit))))
    assert "packed for Python 2.7" in text
    assert shop.run(shop.substrate.charm_python()) in text
    shop.run(shop.substrate.remove_pod("shop", "web/8", keep_storage=False))


def test_an_interactive_command_line_needs_nothing_from_its_environment(shop: Shop):
    argv = shop.substrate.exec_argv("shop", "web/0", "web", ["hostname"], tty=False)
    output = subprocess.check_output(argv, env={"PATH": os.environ["PATH"]}, text=True)
    assert output.strip() == "web-0"


# The end


def test_destroy_leaves_nothing_on_the_host(
    make_settings: Callable[[str, str], Settings],
    charm: Path,
    look_at_host: Callable[[str], dict[str, list[str]]],
):
    settings = make_settings("t9gone", "10.219.32.0/20")
    before = look_at_host("t9gone")
    gone = Shop(settings, charm)
    gone.add(0)
    gone.serve(0)
    service = ServiceSpec("shop", "web", "10.219.32.200", (f"{PORT}/tcp",), ("10.219.32.10",))
    gone.run(gone.substrate.set_services([service]))
    gone.until(lambda: _or_none(get, "10.219.32.200") == "web-0")
    present = look_at_host("t9gone")
    assert not [kind for kind in before if present[kind] == before[kind] and kind != "mounts"]
    # What a container leaves that ended with its host.
    names_of_gone = Path("/run/containers/networks/aardvark-dns/t9gone-management-0a1b2c")
    names_of_gone.write_text("10.219.32.1\n0123 10.219.32.9  t9gone.shop.web-9\n")
    removed = gone.run(gone.substrate.destroy())
    gone.close()
    assert {line.split()[0] for line in removed} == {
        "pod",
        "names",
        "network",
        "firewall",
        "link",
        "cgroup",
        "folder",
    }
    assert more(look_at_host("t9gone"), before) == {}
    assert sorted(path.name for path in settings.home.iterdir()) == []


def test_destroying_twice_is_harmless(make_settings: Callable[[str, str], Settings], charm: Path):
    none = Shop(make_settings("t9none", "10.219.48.0/20"), charm)
    none.run(none.substrate.destroy())
    assert none.run(none.substrate.destroy()) == []
    none.close()


def test_destroying_a_model_leaves_the_others(
    make_settings: Callable[[str, str], Settings], charm: Path
):
    shop = Shop(make_settings("t9model", "10.219.64.0/20"), charm)
    try:
        spec = shop.add(0)
        other = dataclasses.replace(
            spec, model="bank", address="10.219.64.20", workloads=(), mounts=()
        )
        path = names.hook_dir(shop.settings, "bank", "web/0") / "hook.sock"
        shop.run(shop.substrate.ensure_pod(other, path))
        shop.run(shop.substrate.destroy_model("shop"))
        assert shop.containers("web/0") == {}
        assert not (shop.settings.home / "models/shop").exists()
        hello = shop.run(shop.substrate.exec("bank", "web/0", "charm", ["hostname"]))
        assert hello[1] == b"web-0\n"
    finally:
        shop.run(shop.substrate.destroy())
        shop.close()
