"""Looks after the databases' clusters. Runs beside the servers.

usage: cluster.py listen PROBE   bring the schemas up to date and open the ports for clients, who
                                 are asked after PROBE milliseconds of silence; prints the ports
       cluster.py keep           strike off who is not on the roll on standard input
       cluster.py leave          leave both clusters
"""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import time

FACTS = pathlib.Path("/etc/ovn/cluster.json")
STORAGE = pathlib.Path("/var/lib/ovn")
PATIENCE = 60  # seconds that a member may take to leave by itself


@dataclasses.dataclass(frozen=True)
class Database:
    """A database and how to reach its server.

    Attributes:
        short: The name in programs and files, `nb`.
        name: The name in the protocol.
        table: The table with the one row that names the listeners.
        raft: Port for the other members.
        listeners: Words of `set-connection`: roles and ports for clients.
    """

    short: str
    name: str
    table: str
    raft: int
    listeners: tuple[str, ...]

    @property
    def path(self) -> pathlib.Path:
        """The file with the data."""
        return STORAGE / f"{self.short}.db"

    @property
    def schema(self) -> str:
        """The file with the schema of the programs that are here."""
        return f"/usr/share/ovn/ovn-{self.short}.ovsschema"

    @property
    def control(self) -> str:
        """The server's socket for commands."""
        return f"/run/ovn/{self.short}.ctl"

    @property
    def socket(self) -> str:
        """The server's socket for data."""
        return f"/run/ovn/{self.short}.sock"

    def address(self, host: str) -> str:
        """Give the address of a member."""
        return f"ssl:{host}:{self.raft}"


DATABASES = {
    "nb": Database("nb", "OVN_Northbound", "NB_Global", 6643, ("pssl:6641",)),
    "sb": Database(
        "sb",
        "OVN_Southbound",
        "SB_Global",
        6644,
        ("role=ovn-controller", "pssl:6642", "role=", "pssl:16642"),
    ),
}


class ToolError(Exception):
    """A program failed; the text is what it said."""


def run(*argv: str, timeout: float = 60) -> str:
    """Run a program and give what it printed.

    Raises:
        ToolError: It failed or took too long.
    """
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{argv[0]} took more than {timeout:g} s") from None
    if done.returncode:
        # All lines: the reason comes first, and after it that there was one.
        said = " ".join((done.stderr or done.stdout).split())
        raise ToolError(f"{argv[0]}: {said or done.returncode}")
    return done.stdout


def facts() -> dict:
    """Give what the charm says: `me`, `others`, `may_found`, `election_timer`."""
    return json.loads(FACTS.read_text())


# --- the cluster -------------------------------------------------------------------------------


def command(database: Database, name: str, *argv: str) -> str:
    """Give a command to the server itself."""
    return run("ovs-appctl", "-t", database.control, f"cluster/{name}", database.name, *argv)


@dataclasses.dataclass(frozen=True)
class Status:
    """What a server says of its cluster.

    Attributes:
        leads: Whether it leads.
        timer: The election timer in milliseconds.
        members: Short identity → address.
    """

    leads: bool
    timer: int
    members: dict[str, str]


def status(database: Database) -> Status:
    """Ask the server."""
    return parse(command(database, "status"))


def parse(text: str) -> Status:
    """Read what a server says of its cluster."""
    timer = re.search(r"^Election timer: (\d+)$", text, re.MULTILINE)
    return Status(
        leads=re.search(r"^Role: leader$", text, re.MULTILINE) is not None,
        timer=int(timer[1]) if timer else 0,
        members=dict(
            re.findall(r"^ +([0-9a-f]{4,}) \([0-9a-f]+ at ([^)]+)\)", text, re.MULTILINE)
        ),
    )


def strangers(members: dict[str, str], roll: dict[str, str]) -> list[str]:
    """Name the members that are not on the roll.

    Args:
        members: Short identity → address.
        roll: Address → identity, "" if it is not known; then any member at that address counts.
    """
    return [
        member
        for member, address in members.items()
        if address not in roll or (roll[address] and not roll[address].startswith(member))
    ]


def keep(roll: dict[str, dict[str, str]]) -> None:
    """Strike off who is not on the roll, after a time to leave by themselves for those who can.

    Args:
        roll: Database → host name → identity.
    """
    end = time.monotonic() + PATIENCE
    for short, hosts in roll.items():
        database = DATABASES[short]
        wanted = {database.address(host): sid for host, sid in hosts.items()}
        while gone := strangers(status(database).members, wanted):
            members = status(database).members
            is_over = time.monotonic() > end
            for member in gone:
                # At an address of ours only one of two can be alive, and it is on the roll.
                if is_over or members.get(member) in wanted:
                    command(database, "kick", member)
            time.sleep(1)
            if time.monotonic() > end + PATIENCE:
                raise ToolError(f"cannot strike off {', '.join(gone)} of {database.name}")


def leave() -> None:
    """Leave both clusters; what an earlier attempt did is not done again."""
    if not facts()["others"]:
        return
    end = time.monotonic() + PATIENCE
    for database in DATABASES.values():
        while is_member(database):
            if time.monotonic() > end:
                raise ToolError(f"{database.name} does not let us go")
            command(database, "leave")
            time.sleep(1)
        database.path.unlink(missing_ok=True)


def is_member(database: Database) -> bool:
    """Tell whether the server belongs to its cluster; one that has left knows none."""
    try:
        text = command(database, "status")
    except ToolError as error:
        if "unknown cluster" in str(error):
            return False
        raise
    return "Status: left cluster" not in text


# --- clients -----------------------------------------------------------------------------------


def listen(probe: int) -> list[str]:
    """Bring the schemas up to date, and open the ports for clients.

    Rows that are right stay: who writes them again disconnects every client.
    """
    ports: list[str] = []
    for database in DATABASES.values():
        socket = f"unix:{database.socket}"
        newer = run("ovsdb-client", "needs-conversion", socket, database.schema).strip()
        if newer == "yes":
            run("ovsdb-client", "-t", "120", "convert", socket, database.schema, timeout=150)
        ctl = (f"ovn-{database.short}ctl", "--timeout=30", "--no-leader-only", f"--db={socket}")
        wanted = list(rows(database, probe))
        if present(run(*ctl, "--format=json", "list", "connection")) != sorted(wanted):
            run(*ctl, f"--inactivity-probe={probe}", "set-connection", *database.listeners)
        ports += [target for target, _, _ in wanted]
    return ports


def rows(database: Database, probe: int) -> list[tuple[str, str, int]]:
    """Give target, role and probe of each listener that shall be."""
    found: list[tuple[str, str, int]] = []
    role = ""
    for word in database.listeners:
        if word.startswith("role="):
            role = word.removeprefix("role=")
        else:
            found.append((word, role, probe))
    return found


def present(text: str) -> list[tuple[str, str, int]]:
    """Read target, role and probe of each listener that is there; the northbound has no roles."""
    table = json.loads(text)
    listed = [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]
    return sorted((row["target"], row.get("role", ""), row["inactivity_probe"]) for row in listed)


def main(argv: list[str]) -> None:
    """Do what the command line says."""
    action, *arguments = argv
    if action == "listen":
        print(json.dumps({"ports": listen(int(arguments[0]))}))
    elif action == "keep":
        keep(json.load(sys.stdin))
    elif action == "leave":
        leave()
    else:
        raise SystemExit(f"no such command: {action}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ToolError as error:
        sys.exit(f"cannot {sys.argv[1]}: {error}")
