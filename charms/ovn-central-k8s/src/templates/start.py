"""Starts the server of a database; creates or joins its cluster the first time.

usage: start.py nb|sb

Pebble runs this at every start. A server that has never been a member waits for one to join,
unless it is on the unit that founds the clusters.
"""

import os
import pathlib
import pwd
import socket
import subprocess
import sys
import time

import cluster

RUN = pathlib.Path("/run/ovn")
TLS = pathlib.Path("/etc/ovn/tls")


def main(name: str) -> None:
    """Become the server."""
    account = pwd.getpwnam("ovn")
    for folder in (RUN, cluster.STORAGE):
        folder.mkdir(exist_ok=True)
        os.chown(folder, account.pw_uid, account.pw_gid)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    database = cluster.DATABASES[name]
    if not is_member(database):
        prepare(database)
    sid = tool("db-sid", str(database.path))
    (cluster.STORAGE / f"{name}.sid").write_text(sid)
    os.execvp("ovsdb-server", command(database))  # noqa: S606 - there is no shell to need


def is_member(database: cluster.Database) -> bool:
    """Tell whether the data is that of a member. A server that only asked to join has none."""
    if not database.path.exists():
        return False
    try:
        tool("db-cid", str(database.path))
    except subprocess.CalledProcessError:
        return False
    return True


def prepare(database: cluster.Database) -> None:
    """Create the cluster, or ask its members to take this server in."""
    database.path.unlink(missing_ok=True)
    facts = cluster.facts()
    while not (present := [host for host in facts["others"] if answers(host, database.raft)]):
        if facts["may_found"]:
            timer = f"--election-timer={facts['election_timer']}"
            place = (str(database.path), database.schema, database.address(facts["me"]))
            tool(timer, "create-cluster", *place)
            return
        time.sleep(1)
        facts = cluster.facts()
    # Who answers first, but the others as well: any of them may be the one that stays.
    members = [*present, *(host for host in facts["others"] if host not in present)]
    addresses = map(database.address, [facts["me"], *members])
    tool("join-cluster", str(database.path), database.name, *addresses)


def answers(host: str, port: int) -> bool:
    """Tell whether a server listens for other members there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def tool(*argv: str) -> str:
    """Run ovsdb-tool and give what it printed; its own complaints go to the log."""
    done = subprocess.run(["ovsdb-tool", *argv], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def command(database: cluster.Database) -> list[str]:
    """Give the command line of the server."""
    return [
        "ovsdb-server",
        "-vconsole:info",
        "-vsyslog:off",
        "-vfile:off",
        f"--unixctl={database.control}",
        f"--remote=punix:{database.socket}",
        f"--remote=db:{database.name},{database.table},connections",
        f"--private-key={TLS / 'key.pem'}",
        f"--certificate={TLS / 'cert.pem'}",
        f"--ca-cert={TLS / 'ca.pem'}",
        "--ssl-protocols=TLSv1.2",
        str(database.path),
    ]


if __name__ == "__main__":
    main(sys.argv[1])
