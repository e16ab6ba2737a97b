"""The guest image boots, takes what a cloud gives it, and does what a cloud asks of it.

Runs QEMU without KVM in a container of the image for machines: needs root and Podman, takes about
a minute. A cloud is not needed: QEMU plays its network and its metadata service.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from helio import images
from helio.host import LocalHost

BOOT = 120  # seconds; eight on a quiet machine
METADATA = """{{"uuid": "4f1c", "hostname": "vm-1.novalocal", "availability_zone": "nova",
"public_keys": {{"first": "{key}\\\\n", "second": "ssh-rsa AAAA other"}}}}""".replace("\n", " ")
USER_DATA = "#!/bin/sh\necho GUEST-TEST user data ran\n"
# What QEMU starts for each connection to the metadata service.
SERVICE = """read -r method path version
file=/shared/served/${path##*/}
printf 'HTTP/1.0 200 OK\\r\\nContent-Length: %s\\r\\n\\r\\n' "$(stat -c %s "$file")"
cat "$file"
"""
SERVICE_NETWORK = (
    ",net=169.254.169.0/24,host=169.254.169.2,dns=169.254.169.3,dhcpstart=169.254.169.15"
    ",guestfwd=tcp:169.254.169.254:80-cmd:sh /shared/service"
)


class Guest:
    """A guest in a container of its own.

    Args:
        podman: argv of Podman on the store.
        conf: Podman's settings.
        container: Name of the container.
        shared: Folder that the container sees as /shared.
    """

    def __init__(self, podman: tuple[str, ...], conf: Path, container: str, shared: Path):
        self.podman = podman
        self.environment = {"CONTAINERS_CONF": str(conf), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.container = container
        self.shared = shared

    def call(self, *argv: str) -> str:
        """Run Podman."""
        done = subprocess.run(
            (*self.podman, *argv),
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def inside(self, *argv: str, detach: bool = False) -> str:
        """Run a program in the container."""
        return self.call("exec", *(["--detach"] if detach else []), self.container, *argv)

    def start(self, *options: str, network: str = "") -> None:
        """Start QEMU; the disk has what earlier starts left."""
        self.inside(
            "qemu-system-x86_64",
            *("-machine", "pc,accel=tcg", "-cpu", "Nehalem", "-m", "128", "-display", "none"),
            *("-serial", "file:/shared/console", "-qmp", "unix:/shared/qmp,server,nowait"),
            *("-drive", "file=/shared/disk.qcow2,if=virtio,format=qcow2"),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:2222-:22{network}"),
            *("-device", "virtio-net-pci,netdev=net"),
            *options,
            detach=True,
        )

    def console(self) -> str:
        """Return what the guest has printed."""
        path = self.shared / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, marker: str, times: int = 1) -> str:
        """Wait until the guest has printed a marker so often; return its console."""
        deadline = time.monotonic() + BOOT
        while time.monotonic() < deadline:
            if self.console().count(marker) >= times:
                return self.console()
            time.sleep(0.2)
        raise AssertionError(f"no {marker} in {BOOT} s: {self.console()[-2000:]}")

    def ssh(self, command: str) -> str:
        """Run a command in the guest, as the user of images for tests."""
        options = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        quiet = ("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-i", "/shared/key")
        return self.inside("ssh", *options, *quiet, "-p2222", "cirros@127.0.0.1", command)

    def ask(self, command: str, **arguments: object) -> None:
        """Give QEMU a command over its socket, which a container's folder holds."""
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.shared / "qmp"))
            lines = link.makefile("r")
            lines.readline()
            for each, values in (("qmp_capabilities", {}), (command, arguments)):
                link.sendall(json.dumps({"execute": each, "arguments": values}).encode() + b"\n")
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
                assert "return" in answer, answer

    def is_running(self) -> bool:
        """Return whether QEMU runs."""
        return "qemu-system" in self.inside("ps", "-e", "-o", "comm")


@pytest.fixture(scope="module")
def disk(image_store: images.Store) -> Path:
    """The guest's disk, built now if it is missing."""
    assert image_store
    catalogue = images.load()
    for distro in sorted(catalogue.distros):
        builder = images.Builder(catalogue, distro, LocalHost())
        if builder.is_built("machine"):
            builder.build("guest")
            return builder.path("guest")
    raise AssertionError("cannot boot a guest: build the image machine")


@pytest.fixture
def guest(
    image_store: images.Store, containers_conf: Path, disk: Path, tmp_path: Path
) -> Iterator[Guest]:
    catalogue = images.load()
    distro = next(each for each in catalogue.distros if f"-{each}-" in disk.name)
    shutil.copy(disk, tmp_path / "disk.qcow2")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True
    )
    made = Guest(
        image_store.command("podman"),
        containers_conf,
        f"guest-test-{uuid.uuid4().hex[:8]}",
        tmp_path,
    )
    try:
        made.call(
            *("run", "--detach", "--name", made.container, "--network", "none"),
            *("--volume", f"{tmp_path}:/shared", "--entrypoint", "sleep"),
            *(catalogue.reference("machine", distro), "infinity"),
        )
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.call("rm", "--force", "--time", "0", made.container)


def metadata(folder: Path, key: Path) -> None:
    """Write what a cloud says to a guest."""
    folder.mkdir(parents=True)
    public = key.with_suffix(".pub").read_text().strip()
    (folder / "meta_data.json").write_text(METADATA.format(key=public))
    (folder / "user_data").write_text(USER_DATA)


def test_a_guest_with_a_config_drive_does_what_a_cloud_asks(guest: Guest) -> None:
    metadata(guest.shared / "drive/openstack/latest", guest.shared / "key")
    drive = ("genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", "/shared/drive.iso")
    guest.inside(*drive, "/shared/drive")
    guest.inside("truncate", "--size=64M", "/shared/volume")
    guest.start(
        *("-drive", "file=/shared/drive.iso,media=cdrom,if=ide,format=raw"),
        *("-drive", "file=/shared/volume,if=none,id=volume,format=raw"),
    )
    console = guest.wait("GUEST-READY")

    assert "GUEST-METADATA source=config-drive uuid=4f1c hostname=vm-1.novalocal keys=2" in console
    assert "GUEST-TEST user data ran" in console
    assert "GUEST-USER-DATA status=0" in console
    assert guest.ssh("hostname; sudo id -u").split() == ["vm-1", "0"]

    guest.ask("device_add", driver="virtio-blk-pci", drive="volume", id="hot")
    written = guest.ssh(
        "for try in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vdb ] && break; sleep 1; done;"
        "mkfs -t ext4 -q /dev/vdb && mount /dev/vdb /mnt && echo kept > /mnt/file && umount /mnt;"
        "mount /dev/vdb /mnt && cat /mnt/file; umount /mnt; lsblk -n -o NAME /dev/vdb"
    )
    assert written.split() == ["kept", "vdb"]

    guest.ssh("echo stays > /root/note; sync; reboot")
    guest.wait("GUEST-READY", times=2)
    assert guest.ssh("cat /root/note").strip() == "stays"

    guest.ask("system_powerdown")
    deadline = time.monotonic() + BOOT
    while guest.is_running() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert "Power down" in guest.console()


def test_a_guest_without_a_drive_asks_the_metadata_service(guest: Guest) -> None:
    metadata(guest.shared / "served", guest.shared / "key")
    (guest.shared / "service").write_text(SERVICE)
    guest.start(network=SERVICE_NETWORK)
    console = guest.wait("GUEST-READY")

    assert "GUEST-METADATA source=service uuid=4f1c hostname=vm-1.novalocal keys=2" in console
    assert "GUEST-USER-DATA status=0" in console
    assert guest.ssh("hostname").strip() == "vm-1"
