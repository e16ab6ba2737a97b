"""The probe by which a hypervisor decides for KVM tells a guest that boots from one that does not.

Runs QEMU without KVM in a container of the image for machines: needs root and Podman, takes half a
minute. The probe is the charm's own; its guest is the same with any accelerator.
"""

import subprocess
from pathlib import Path

import pytest

from helio import images

HOST = (
    Path(__file__).parents[2] / "charms/openstack-hypervisor/src/templates/host.py"
).read_text()
PATIENCE = 10  # seconds for a guest that hangs
LIMIT = 120  # seconds for a container


def sector(code: str) -> str:
    """Return the expression for a boot sector with this machine code."""
    return f"bytes.fromhex({code!r}).ljust(510, bytes(1)) + bytes.fromhex('55aa')"


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        pytest.param("host._BOOT_SECTOR", "True", id="its-own"),
        pytest.param(sector("ebfe"), "False", id="hangs"),  # jmp .
        # mov $0x11, %al; out %al, $0xf4; jmp .
        pytest.param(sector("b011e6f4ebfe"), "False", id="tells-something-else"),
    ],
)
def test_only_a_guest_that_gets_through_counts_as_booted(
    image_store: images.Store,
    machine_image: str,
    containers_conf: Path,
    tmp_path: Path,
    guest: str,
    expected: str,
) -> None:
    (tmp_path / "host.py").write_text(HOST)
    patience = "host._PATIENCE" if expected == "True" else str(PATIENCE)
    script = (
        "import sys; sys.path.insert(0, '/shared'); sys.dont_write_bytecode = True; import host; "
        f"host._BOOT_SECTOR = {guest}; host._PATIENCE = {patience}; print(host.boots('tcg'))"
    )
    done = subprocess.run(
        image_store.command(
            *("podman", "run", "--rm", "--network", "none", "--timeout", str(LIMIT)),
            *("--volume", f"{tmp_path}:/shared:ro", "--entrypoint", "python3"),
            *(machine_image, "-c", script),
        ),
        capture_output=True,
        text=True,
        env={"CONTAINERS_CONF": str(containers_conf), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected
