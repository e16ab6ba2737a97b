"""Look at a machine that runs VMs, and connect its network interfaces to Open vSwitch.

`host.py probe` tells as JSON what the machine can: once for each boot, since trying takes seconds.
`host.py check JSON` tells what keeps the network from being as the JSON says; it changes nothing.
`host.py network FILE` brings Open vSwitch to what the JSON file says. It runs at each boot, when
the file changed, and when ovs-vswitchd was started again: bridges of the userspace datapath have
lost their addresses then. It changes only what differs, and touches no port of a VM.

It runs without the charm, with the Python of the distribution.
"""

import dataclasses
import ipaddress
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

KNOWN = pathlib.Path("/run/openstack-hypervisor/probe.json")
SYSTEM_ID = pathlib.Path("/etc/openvswitch/system-id.conf")
KEEP = "openstack-hypervisor"
"""Key of a bridge's external-ids: what cannot be seen any more once the interface is a port.

For an external network the words by which its interface was found, for tunnels their address.
"""

Command = tuple[str, ...]


class NetworkError(Exception):
    """A network that cannot be made as it shall be; the text says why."""


class OptionError(NetworkError):
    """An operator has to change something.

    Args:
        option: The charm's option, or the binding, that it is about.
        text: What is wrong.
    """

    def __init__(self, option: str, text: str):
        super().__init__(text)
        self.option = option


# --- what the machine can ----------------------------------------------------------------------

# A boot sector that does what a kernel does first; probe.S has its source.
_BOOT_SECTOR = (
    bytes.fromhex(
        "fafc31c08ed88ec08ed0bc007ce4920c02e692bf00106689f86631c0b9001066f3abc70600100720"
        "c70600200730c70600308700660f0116287d66b8200200000f22e066b8001000000f22d866b98000"
        "00c00f32660d010100000f3066b8030000800f22c0ea6a7c080066b810008ed08ed8bc007c0000b8"
        "0000080066b8ec7c89042560400000c7042564400000008e00000f011c252e7d000031c00fa20f31"
        "0f0b80fb557543b9810000c031c0ba080000000f30ffc1b8f57c000031d20f306a1b68007800006a"
        "026a2368d27c000048cfb807000000660f6ec0660ffec0660f7ec083f80e75020f05ebfeb3554883"
        "04240248cfb010e6f4ebef0f1f440000000000000000000000000000009a20000000000000920000"
        "0000000000f200000000000000fa20002700007d0000ff0f0040000000000000"
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)
_BOOTED = 0x10 << 1 | 1  # what QEMU exits with when the guest wrote 0x10
_PATIENCE = 20  # seconds for a guest that needs one


def boots(accelerator: str) -> bool:
    """Tell whether a guest really boots: that /dev/kvm can be opened proves nothing."""
    with tempfile.NamedTemporaryFile(suffix=".img") as image:
        image.write(_BOOT_SECTOR)
        image.flush()
        argv = ["qemu-system-x86_64", "-accel", accelerator, "-machine", "pc", "-m", "16"]
        argv += ["-nodefaults", "-display", "none", "-no-reboot"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        argv += ["-drive", f"file={image.name},format=raw,if=ide"]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == _BOOTED


def has_kernel_datapath() -> bool:
    """Tell whether the kernel has Open vSwitch and geneve."""
    for module in ("openvswitch", "geneve"):
        subprocess.run(["modprobe", "--quiet", module], capture_output=True)
    if subprocess.run(["ovs-dpctl", "dump-dps"], capture_output=True).returncode:
        return False
    # The charm's own choice of before: what has carried tunnels is not tried, and not given up.
    ask = ["ovs-vsctl", "--timeout=5", "--if-exists", "get", "bridge", "br-int", "datapath_type"]
    if subprocess.run(ask, capture_output=True, text=True).stdout.strip().strip('"') == "system":
        return True
    name = "probe-geneve"
    add = ["ip", "link", "add", name, "type", "geneve", "id", "1", "remote", "127.0.0.1"]
    # Open vSwitch's own device takes every tunnel of the usual port: no other may have it too.
    add += ["dstport", "16081"]
    can = subprocess.run(add, capture_output=True).returncode == 0
    if can:
        subprocess.run(["ip", "link", "delete", name], capture_output=True)
    return can


def probe() -> dict[str, str]:
    """Tell `virtualization` (kvm or qemu) and `datapath` (system or netdev)."""
    if KNOWN.exists():
        return json.loads(KNOWN.read_text())
    known = {
        "virtualization": "kvm" if boots("kvm") else "qemu",
        "datapath": "system" if has_kernel_datapath() else "netdev",
    }
    KNOWN.parent.mkdir(parents=True, exist_ok=True)
    new = KNOWN.with_suffix(".new")
    new.write_text(json.dumps(known))
    new.replace(KNOWN)
    return known


# --- what is there -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Link:
    """A network interface: its name, its MAC address, its addresses with their prefix length."""

    name: str
    mac: str
    addresses: tuple[str, ...] = ()

    def has(self, address: str) -> bool:
        """Tell whether the interface has this address, whatever its prefix."""
        return any(each.split("/")[0] == address for each in self.addresses)


@dataclasses.dataclass(frozen=True)
class Bridge:
    """A bridge of Open vSwitch: its datapath, its ports, and what is noted in it (see `KEEP`)."""

    datapath: str
    ports: tuple[str, ...]
    keep: str = ""


@dataclasses.dataclass(frozen=True)
class Facts:
    """The interfaces and bridges that are there, and the routes of each interface."""

    links: tuple[Link, ...]
    bridges: Mapping[str, Bridge]
    routes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the charm wrote.

    Attributes:
        host: Name of the machine; also of its chassis in OVN.
        management: Address by which services reach the machine.
        tunnel: Address of the tunnels' end.
        southbound: Connection string of OVN's southbound database.
        datapath: `system` or `netdev`.
        networks: Physical network → what finds its interface: an address, a subnet, a MAC
            address or a name.
        is_gateway: Whether routers may have their gateway here.
        tls: Files of our key, our certificate and the authorities.
    """

    host: str
    management: str
    tunnel: str
    southbound: str
    datapath: str
    networks: Mapping[str, str]
    is_gateway: bool
    tls: Sequence[str]


# --- what to do, pure --------------------------------------------------------------------------

TUNNEL_BRIDGE = "br-phy"
EXTERNAL = "external-networks"


def bridge_of(network: str) -> str:
    """Name the bridge of a physical network, whose name the charm keeps short enough for one."""
    return "br-ex" if network == "physnet1" else f"br-{network}"


def plan(wanted: Wanted, facts: Facts) -> Iterator[Command]:
    """Give the commands that bring the machine to what is wanted, in their order.

    Raises:
        OptionError: An interface is not there, or may not be taken.
    """
    externals = {
        bridge_of(network): (words, _external_link(network, words, wanted, facts))
        for network, words in sorted(wanted.networks.items())
    }
    tunnel = _tunnel_link(wanted, facts) if wanted.datapath == "netdev" else None
    yield ("ovs-vsctl", "set", "Open_vSwitch", ".", *_settings(wanted))
    yield ("ovs-vsctl", "set-ssl", *wanted.tls)
    # First, since a port is in one bridge only: another boot may have named interfaces otherwise.
    if tunnel:
        yield from _release(TUNNEL_BRIDGE, tunnel, facts)
    for name, (_, link) in externals.items():
        yield from _release(name, link, facts)
    if wanted.datapath == "netdev":
        yield from _tunnel(wanted, tunnel, facts)
    for name, (words, link) in externals.items():
        yield from _external(name, words, link, wanted, facts)


def _release(name: str, link: Link, facts: Facts) -> Iterator[Command]:
    """Take interfaces out of a bridge that are not the one that shall be in it."""
    bridge = facts.bridges.get(name)
    known = {each.name for each in facts.links} - {name, link.name}
    for port in bridge.ports if bridge else ():
        if port in known:
            yield ("ovs-vsctl", "--if-exists", "del-port", name, port)


def _settings(wanted: Wanted) -> Iterator[str]:
    mappings = ",".join(f"{each}:{bridge_of(each)}" for each in sorted(wanted.networks))
    texts = {
        "system-id": wanted.host,
        "hostname": wanted.host,
        "ovn-remote": wanted.southbound,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": wanted.tunnel,
        "ovn-bridge-datapath-type": wanted.datapath,
        "ovn-bridge-mappings": mappings,
        "ovn-cms-options": "enable-chassis-as-gw" if mappings and wanted.is_gateway else "",
        "ovn-remote-probe-interval": "60000",
        # A restarted ovn-controller waits before it replaces the flows, so that no packet is lost.
        "ovn-ofctrl-wait-before-clear": "8000",
    }
    for key, text in texts.items():
        yield f"external-ids:{key}={json.dumps(text)}"
    # The userspace datapath cannot segment TCP into tunnels.
    yield "other-config:userspace-tso-enable=false"


def _tunnel_link(wanted: Wanted, facts: Facts) -> Link | None:
    """Find the interface of tunnels, or None if its address has moved to the bridge already."""
    owners = [link for link in facts.links if link.has(wanted.tunnel)]
    others = [link for link in owners if link.name != TUNNEL_BRIDGE]
    bridge = facts.bridges.get(TUNNEL_BRIDGE)
    if not others:
        if not owners and (bridge is None or bridge.keep.split("/")[0] != wanted.tunnel):
            text = f"no interface has the address of tunnels, {wanted.tunnel}"
            raise OptionError("tunnel", text)
        return None
    if others[0].has(wanted.management):
        raise OptionError(
            "tunnel",
            f"tunnels need an interface of their own, since the kernel has no Open vSwitch:"
            f" {others[0].name} is the one of management; bind tunnel to another space",
        )
    return others[0]


def _tunnel(wanted: Wanted, link: Link | None, facts: Facts) -> Iterator[Command]:
    """Give the tunnels' address to a bridge: the userspace datapath sends only through one."""
    if link is None:
        if not any(each.has(wanted.tunnel) for each in facts.links):
            # The bridge's interface was made anew.
            keep = facts.bridges[TUNNEL_BRIDGE].keep
            yield ("ip", "address", "replace", keep, "dev", TUNNEL_BRIDGE)
            yield ("ip", "link", "set", TUNNEL_BRIDGE, "up")
        return
    address = next(each for each in link.addresses if each.split("/")[0] == wanted.tunnel)
    yield (
        *("ovs-vsctl", "--may-exist", "add-br", TUNNEL_BRIDGE),
        *("--", "set", "bridge", TUNNEL_BRIDGE, f"datapath_type={wanted.datapath}"),
        # The interface's own address: neighbours know it already.
        *(f"other-config:hwaddr={json.dumps(link.mac)}", f"external-ids:{KEEP}={address}"),
        *("--", "--may-exist", "add-port", TUNNEL_BRIDGE, link.name),
    )
    yield ("ip", "address", "flush", "dev", link.name)
    yield ("ip", "link", "set", link.name, "up")
    yield ("ip", "address", "replace", address, "dev", TUNNEL_BRIDGE)
    yield ("ip", "link", "set", TUNNEL_BRIDGE, "up")
    for route in facts.routes.get(link.name, ()):
        yield ("ip", "route", "replace", *route.split(), "dev", TUNNEL_BRIDGE)


def _external_link(network: str, words: str, wanted: Wanted, facts: Facts) -> Link:
    """Find the interface of a physical network."""
    name = bridge_of(network)
    bridge = facts.bridges.get(name)
    link = _find(words, facts)
    if link is None and bridge and bridge.keep == words:
        # Its addresses, by which it was found, are gone since it is ours.
        link = next((x for x in facts.links if x.name in bridge.ports and x.name != name), None)
    if link is None:
        raise OptionError(EXTERNAL, f"no interface for {network} is found by {words}")
    if link.has(wanted.management) or link.has(wanted.tunnel):
        owner = "management" if link.has(wanted.management) else "tunnels"
        raise OptionError(
            EXTERNAL, f"{network} needs an interface of its own: {link.name} is the one of {owner}"
        )
    return link


def _external(
    name: str, words: str, link: Link, wanted: Wanted, facts: Facts
) -> Iterator[Command]:
    """Connect the interface of a physical network to the network's bridge."""
    bridge = facts.bridges.get(name)
    if bridge is None or bridge.datapath != wanted.datapath or bridge.keep != words:
        yield (
            *("ovs-vsctl", "--may-exist", "add-br", name),
            *("--", "set", "bridge", name, f"datapath_type={wanted.datapath}"),
            f"external-ids:{KEEP}={json.dumps(words)}",
        )
    if bridge is None or link.name not in bridge.ports:
        yield ("ovs-vsctl", "--may-exist", "add-port", name, link.name)
    if link.addresses:
        # What answers on this network are routers and floating IPs, not the machine.
        yield ("ip", "address", "flush", "dev", link.name)
    yield ("ip", "link", "set", link.name, "up")
    yield ("ip", "link", "set", name, "up")


def _find(words: str, facts: Facts) -> Link | None:
    """Find an interface by an address, a subnet, a MAC address or a name."""
    for link in facts.links:
        if words in (link.name, link.mac) or link.has(words):
            return link
    try:
        subnet = ipaddress.ip_network(words)
    except ValueError:
        return None
    for link in facts.links:
        if any(ipaddress.ip_interface(each).ip in subnet for each in link.addresses):
            return link
    return None


# --- the machine -------------------------------------------------------------------------------


def run(*argv: str) -> str:
    """Run a command.

    Raises:
        NetworkError: It failed.
    """
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise NetworkError(f"{' '.join(argv[:3])}: {reason}")
    return done.stdout


def look() -> Facts:
    """Look at interfaces, bridges and routes."""
    links = tuple(
        Link(
            name=each["ifname"],
            mac=each.get("address", ""),
            addresses=tuple(
                f"{address['local']}/{address['prefixlen']}"
                for address in each.get("addr_info", ())
                if address.get("scope") == "global"
            ),
        )
        for each in json.loads(run("ip", "-json", "address", "show"))
    )
    bridges = {}
    for name in run("ovs-vsctl", "list-br").split():
        ports = run("ovs-vsctl", "list-ports", name).split()
        datapath = run("ovs-vsctl", "get", "bridge", name, "datapath_type").strip().strip('"')
        keep = run("ovs-vsctl", "br-get-external-id", name, KEEP).strip()
        bridges[name] = Bridge(datapath or "system", tuple(ports), keep)
    routes: dict[str, tuple[str, ...]] = {}
    for each in json.loads(run("ip", "-json", "route", "show")):
        # Those of the kernel come with the address; a default route is not one of tunnels.
        if each.get("protocol") != "kernel" and each["dst"] != "default" and "gateway" in each:
            text = f"{each['dst']} via {each['gateway']}"
            routes[each["dev"]] = (*routes.get(each["dev"], ()), text)
    return Facts(links, bridges, routes)


def problem(wanted: Wanted) -> str:
    """Tell what an operator has to change before the network can be made, or ""."""
    try:
        facts = look()
    except NetworkError:
        return ""  # Open vSwitch does not answer: who connects the network will tell
    try:
        for _ in plan(wanted, facts):
            pass
    except OptionError as error:
        return f"{error.option}: {error}"
    return ""


def connect(path: pathlib.Path) -> None:
    """Bring the machine to what the file says."""
    content = json.loads(path.read_text())
    content["datapath"] = content["datapath"] or probe()["datapath"]
    wanted = Wanted(**content)
    # ovs-ctl reads the name from here at each start, and would make up another one.
    if not SYSTEM_ID.exists() or SYSTEM_ID.read_text().strip() != wanted.host:
        SYSTEM_ID.write_text(f"{wanted.host}\n")
    for command in plan(wanted, look()):
        run(*command)
        if "add-br" in command:
            _await_bridge(command[command.index("add-br") + 1])


def _await_bridge(name: str) -> None:
    """Wait until the bridge's own interface is there: it comes a moment after the command."""
    for _ in range(100):
        if pathlib.Path(f"/sys/class/net/{name}").exists():
            return
        time.sleep(0.05)
    raise NetworkError(f"the bridge {name} has no interface")


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says."""
    if arguments[0] == "probe":
        print(json.dumps(probe()))
        return 0
    if arguments[0] == "check":
        print(problem(Wanted(**json.loads(arguments[1]))))
        return 0
    try:
        connect(pathlib.Path(arguments[1]))
    except NetworkError as error:
        print(f"cannot connect the network: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
