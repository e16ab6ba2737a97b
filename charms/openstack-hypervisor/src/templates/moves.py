"""Have ovn-controller look again where floating IPs are when a VM has moved to this machine.

While a VM moves, OVN binds its port to both machines, and to the new one alone in the end.
ovn-controller takes note of that, but not always looks again at the flows that ask whether the
port is here: then nobody answers for the floating IP, until something else makes it compute all
flows anew. Seen with OVN 23.03.1.

Such a port is told to Open vSwitch as installed twice, first when the VM may come and then when
it has, and no other port is while its interface lives. So when that happens, all is computed anew.
"""

import json
import subprocess
import sys
import time

MONITOR = (
    "ovsdb-client", "monitor", "--format=json", "Open_vSwitch", "Interface", "name,external_ids",
)  # fmt: skip
COMPUTE = ("ovn-appctl", "--timeout=30", "-t", "ovn-controller", "inc-engine/recompute")
INSTALLED = "ovn-installed-ts"
PAUSE = 1  # seconds


def moved(known, table):
    """Take in what the monitor tells.

    Args:
        known: Interface → when it was installed last; is brought up to date.
        table: What the monitor tells: `data`, rows of id, action, name and external ids.

    Returns:
        Whether an interface was installed again.
    """
    again = False
    for _, action, name, (_, ids) in table["data"]:
        if action == "delete":
            known.pop(name, None)
        elif action != "old" and (when := dict(ids).get(INSTALLED)):
            again |= known.get(name, when) != when
            known[name] = when
    return again


def compute():
    """Have all flows computed anew; ovn-controller may be away for a moment."""
    while subprocess.run(COMPUTE, check=False).returncode:
        time.sleep(PAUSE)


def main():
    """Follow Open vSwitch until it ends.

    The first table is what was there before. A VM may have come while nobody looked, so it counts
    as a move.
    """
    known = {}
    with subprocess.Popen(MONITOR, stdout=subprocess.PIPE, text=True) as monitor:
        for number, line in enumerate(monitor.stdout):
            if moved(known, json.loads(line)) or number == 0:
                print("a VM may have moved here: flows are computed anew", flush=True)
                compute()
    sys.exit("Open vSwitch has ended")


if __name__ == "__main__":
    main()
