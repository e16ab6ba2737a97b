"""Give libvirt the keys by which QEMU opens volumes in Ceph.

Reads JSON from standard input, a list of objects with `uuid`, `name` and `key`. Keys that are not
in it stay: a VM may still use them. A key reaches libvirt by a file that only root can read.
"""

import json
import subprocess
import sys
import tempfile
from xml.sax.saxutils import escape

DEFINITION = """<secret ephemeral='no' private='yes'>
  <uuid>{uuid}</uuid>
  <usage type='ceph'><name>{name}</name></usage>
</secret>
"""


def virsh(*arguments: str, text: str) -> None:
    """Run virsh with a text as its file."""
    with tempfile.NamedTemporaryFile("w", dir="/run") as file:
        file.write(text)
        file.flush()
        argv = ["virsh", "--quiet", "--connect", "qemu:///system", *arguments]
        subprocess.run([*argv, "--file", file.name], check=True)


def main() -> None:
    """Define what standard input says."""
    for each in json.load(sys.stdin):
        definition = DEFINITION.format(uuid=escape(each["uuid"]), name=escape(each["name"]))
        virsh("secret-define", text=definition)
        virsh("secret-set-value", each["uuid"], text=each["key"])


if __name__ == "__main__":
    main()
