#!/usr/bin/python3
"""What is done on a machine of a Ceph cluster. Runs there, with the distribution's Python.

usage: node.py monitor|storage|cluster|leave|pools < request.json

Requests are JSON, since keys must not stand in an argv. Each command may be run again: it looks
at what is there first. `storage`, `cluster` and `pools` print JSON.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

STATE = pathlib.Path("/var/lib/ceph")
MADE = STATE / "helio.json"
OSDS = STATE / "helio-osds.json"
TARGETS = ("ceph.target", "ceph-mon.target", "ceph-mgr.target", "ceph-osd.target")
MGR_CAPS = ("mon", "allow profile mgr", "osd", "allow *", "mds", "allow *")
# What the cluster remembers for us: the clients that we let in, and pool → group of every pool
# that ever had one. A pool stays when its client goes, and so do others' rights on it.
CLIENTS = "helio/clients"
GROUPS = "helio/groups"
ACCESS = {"r": "rbd-read-only", "rx": "rbd-read-only", "rwx": "rbd"}
PLACEMENT_GROUPS = 8  # to begin with: the cluster's own autoscaler takes it from there


class NodeError(Exception):
    """What keeps this machine from being what it shall be; one line for operators."""


class MissingError(NodeError):
    """The cluster has no such thing."""


# --- programs ----------------------------------------------------------------------------------


def run(*argv, stdin=None, timeout=120):
    """Run a program and give what it prints."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise NodeError(f"cannot finish {argv[0]}: no answer in {timeout} s") from None
    if done.returncode:
        # The last line is the reason; what went before may quote the input.
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        failure = MissingError if lines[-1].startswith("Error ENOENT") else NodeError
        raise failure(f"cannot run {' '.join(argv[:4])}: {lines[-1]}")
    return done.stdout


def ceph(*arguments, stdin=None):
    """Ask the cluster, as its administrator."""
    return run("ceph", "--connect-timeout", "30", *arguments, stdin=stdin, timeout=60)


def ask(*arguments):
    """Ask the cluster for something that it tells as JSON."""
    return json.loads(ceph(*arguments, "--format", "json"))


# --- the record of what was made here ----------------------------------------------------------


def read(path, otherwise):
    """Read a record, or give what stands for one that is not there."""
    return json.loads(path.read_text()) if path.exists() else otherwise


def write(path, value):
    """Write a record in one step; for a while it holds the key of an OSD."""
    new = path.with_suffix(".new")
    write_private(new, json.dumps(value, sort_keys=True) + "\n")
    new.replace(path)


def own(path):
    """Give a file or folder to the user of the daemons."""
    shutil.chown(path, "ceph", "ceph")


def folder(path):
    """Make a folder of the daemons."""
    path.mkdir(parents=True, exist_ok=True, mode=0o750)
    own(path)
    return path


# --- the monitor -------------------------------------------------------------------------------


def monitor(request):
    """Make this machine's monitor and manager: the first of the cluster, or one that joins."""
    node, wanted = request["node"], {"fsid": request["fsid"], "seed": request["seed"]}
    made = read(MADE, {})
    place = STATE / "mon" / f"ceph-{node}"
    if made and {key: made[key] for key in wanted} != wanted:
        forget(made, place)
        made = {}
    if not made:
        make_monitor(request, place)
    write(MADE, {**wanted, "confirmed": request["confirmed"] or made.get("confirmed", False)})
    run("systemctl", "enable", "--quiet", *TARGETS)


def forget(made, place):
    """Remove what a hook made that failed: nobody was told of it. Keep what was ever in use."""
    if made["confirmed"]:
        raise NodeError(
            f"cannot make a monitor in {place}: it holds the data of the cluster {made['fsid']};"
            f" if they are not needed, remove what is in {STATE}"
        )
    run("systemctl", "stop", "ceph.target", "ceph-mon@*", "ceph-mgr@*", "ceph-osd@*")
    for record in read(OSDS, {}).values():
        if "id" in record:
            run("systemctl", "disable", "--quiet", f"ceph-osd@{record['id']}")
            shutil.rmtree(STATE / "osd" / f"ceph-{record['id']}", ignore_errors=True)
    OSDS.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    MADE.unlink()


def make_monitor(request, place):
    """Make the monitor's store and the manager's keyring."""
    node = request["node"]
    # Of a cluster that is there even the machine that made it can only be one more member.
    first = request["seed"] == node and not request["confirmed"]
    manager = folder(STATE / "mgr" / f"ceph-{node}") / "keyring"
    folder(place.parent)
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        keyring, monmap = scratch / "keyring", scratch / "monmap"
        write_private(keyring, f'[mon.]\nkey = {request["mon_key"]}\ncaps mon = "allow *"\n')
        if first:
            key = run("ceph-authtool", "--gen-print-key").strip()
            write_private(manager, f"[mgr.{node}]\nkey = {key}\n")
            with keyring.open("a") as file:
                caps = zip(MGR_CAPS[::2], MGR_CAPS[1::2], strict=True)
                file.write(f"[mgr.{node}]\nkey = {key}\n")
                file.writelines(f'caps {kind} = "{cap}"\n' for kind, cap in caps)
                file.write(f"[client.admin]\nkey = {request['admin_key']}\n")
                file.writelines(f'caps {kind} = "allow *"\n' for kind in ("mon", "osd", "mds"))
                file.write('caps mgr = "allow *"\n')
            address = f"[v2:{bracketed(request['address'])}:3300]"
            run("monmaptool", "--create", "--addv", node, address,
                "--fsid", request["fsid"], str(monmap))  # fmt: skip
        else:
            write_private(manager, ceph("auth", "get-or-create", f"mgr.{node}", *MGR_CAPS))
            ceph("mon", "getmap", "--out-file", str(monmap))
        for path in (scratch, keyring, monmap, manager):
            own(path)
        shutil.rmtree(place, ignore_errors=True)  # half of a store, if this was interrupted
        folder(place)
        run("ceph-mon", "--mkfs", "--id", node, "--monmap", str(monmap),
            "--keyring", str(keyring), "--setuser", "ceph", "--setgroup", "ceph")  # fmt: skip


def bracketed(address):
    """Give an address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def write_private(path, text):
    """Write a file that nobody else may read, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


# --- storage -----------------------------------------------------------------------------------


def storage(request):
    """Make the OSDs that are wanted and not there yet, and start all of them.

    Wanted are the request's `devices` and, without any, one file; `files` adds more. An OSD is
    never taken away here: that would be data.
    """
    records = read(OSDS, {})
    wanted = {device: {"device": resolved(device)} for device in request["devices"]}
    if not request["devices"] and not any("device" in each for each in records.values()):
        wanted["file-0"] = {"size": request["size"]}
    for size in request.get("files", ()):
        taken = [int(name[5:]) for name in (*records, *wanted) if name.startswith("file-")]
        wanted[f"file-{max(taken, default=-1) + 1}"] = {"size": size}
    for name, facts in wanted.items():
        if name not in records:
            check_room(facts)
            records[name] = {**facts, "uuid": str(uuid.uuid4())}
            write(OSDS, records)
    for record in records.values():
        if not record.get("made"):
            if "key" not in record:
                record["key"] = run("ceph-authtool", "--gen-print-key").strip()
                write(OSDS, records)  # the cluster takes no other key for this identifier
            make_osd(record)
            record["made"] = True
            write(OSDS, records)
        run("systemctl", "enable", "--now", "--quiet", f"ceph-osd@{record['id']}", timeout=300)
    mine = sorted(record["id"] for record in records.values())
    wait_until_up(mine)
    print(json.dumps({"osds": mine}))


def resolved(device):
    """Give the lasting name of a device, and refuse one that is not there or not empty."""
    real = os.path.realpath(device)
    if not pathlib.Path(real).is_block_device():
        raise NodeError(f"cannot use {device}: it is no block device")
    names = pathlib.Path("/dev/disk/by-id")
    found = sorted(each for each in names.iterdir() if os.path.realpath(each) == real) \
        if names.is_dir() else []  # fmt: skip
    return str(found[0]) if found else device


def check_room(facts):
    """Refuse a device with data on it, and a file that is larger than the disk."""
    if "device" in facts:
        found = run("wipefs", "--no-act", "--parsable", facts["device"]).strip()
        if found:
            raise NodeError(
                f"cannot use {facts['device']}: there are data on it;"
                " if they are not needed, remove them with wipefs --all"
            )
        return
    folder(STATE / "osd")
    free = shutil.disk_usage(STATE / "osd").free
    if facts["size"] > free:
        raise NodeError(
            f"cannot make a file of {facts['size'] >> 30} GiB in {STATE / 'osd'}:"
            f" there are {free >> 30} GiB; choose a smaller osd-size"
        )


def make_osd(record):
    """Make the store of one OSD and enter it in the cluster."""
    secrets = json.dumps({"cephx_secret": record["key"]})
    # The same identifier with the same key gives the same number again.
    record["id"] = int(ceph("osd", "new", record["uuid"], "--in-file", "-", stdin=secrets))
    place = STATE / "osd" / f"ceph-{record['id']}"
    shutil.rmtree(place, ignore_errors=True)  # half of a store, if this was interrupted
    folder(place)
    keyring = place / "keyring"
    write_private(keyring, f"[osd.{record['id']}]\nkey = {record['key']}\n")
    own(keyring)
    block = place / "block"
    if "device" in record:
        block.symlink_to(record["device"])
        keep_owner(record)
        own(record["device"])
    else:
        with block.open("wb") as file:
            file.truncate(record["size"])
        own(block)
    run("ceph-osd", "--id", str(record["id"]), "--mkfs", "--osd-uuid", record["uuid"],
        "--setuser", "ceph", "--setgroup", "ceph", timeout=300)  # fmt: skip
    del record["key"]


def keep_owner(record):
    """Give a device to the daemon's user at each start: at boot it belongs to root."""
    place = settings_of(record)
    place.mkdir(parents=True, exist_ok=True)
    command = f"+/bin/chown --dereference ceph:ceph {record['device']}"
    (place / "device.conf").write_text(f"[Service]\nExecStartPre={command}\n")
    run("systemctl", "daemon-reload")


def settings_of(record):
    """Give the folder of what we add to the unit of an OSD."""
    return pathlib.Path(f"/etc/systemd/system/ceph-osd@{record['id']}.service.d")


def wait_until_up(ids, patience=120):
    """Wait until the cluster sees these OSDs."""
    end = time.monotonic() + patience
    while True:
        osds = {each["osd"]: each["up"] for each in ask("osd", "dump")["osds"]}
        down = [id for id in ids if not osds.get(id)]
        if not down:
            return
        if time.monotonic() > end:
            names = ", ".join(f"osd.{id}" for id in down)
            raise NodeError(f"cannot start {names}: see journalctl -u 'ceph-osd@*'")
        time.sleep(0.5)


# --- the cluster -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many copies there are of each object, and what two of them must not share."""

    hosts: int
    osds: int

    @property
    def domain(self):
        """What two copies must not share."""
        return "host" if self.hosts > 1 else "osd"

    @property
    def size(self):
        """How many copies there are."""
        return min(3, self.hosts if self.hosts > 1 else self.osds)

    @property
    def min_size(self):
        """How many copies must be there for data to be read and written."""
        return 2 if self.size > 2 else 1


def cluster(request):
    """Make pools and clients equal to what is asked for; print what is there."""
    for group, option, value in request["settings"]:
        ceph("config", "set", group, option, value)
    layout = look_at_osds()
    redundant = "true" if layout.size > 1 else "false"
    # Who has one OSD knows that there is one copy; the unit's status is for what is not known.
    ceph("config", "set", "global", "mon_allow_pool_size_one", "true")
    ceph("config", "set", "global", "mon_warn_on_pool_no_redundancy", redundant)
    ceph("config", "set", "global", "osd_pool_default_size", str(layout.size))
    rule = f"helio-{layout.domain}"
    ceph("osd", "crush", "rule", "create-replicated", rule, "default", layout.domain)
    clients = request["clients"]
    present = {each["pool_name"]: each for each in ask("osd", "dump")["pools"]}
    copies = {}
    for client in clients:
        for pool in client["pools"]:
            copies[pool["name"]] = min(pool["replicas"] or layout.size, layout.size)
            if pool["name"] not in present:
                make_pool(pool, rule)
    lay_out(layout, rule, copies)
    groups = pools_by_group(clients)
    for client in clients:
        let_in(client, groups)
    there = {**request["kept"], **{each["name"]: each["relation"] for each in clients}}
    shut_out(sorted(there))
    made = {"seed": request["seed"], "clients": there, "version": version()}
    print(json.dumps(made, sort_keys=True))


def look_at_osds():
    """Count OSDs, and the machines that have some."""
    nodes = ask("osd", "tree")["nodes"]
    hosts = [each for each in nodes if each["type"] == "host" and each["children"]]
    osds = [each for each in nodes if each["type"] == "osd"]
    if not osds:
        raise NodeError("cannot make pools: there are no OSDs")
    return Layout(hosts=len(hosts), osds=len(osds))


def make_pool(pool, rule):
    """Make a pool, and what its application needs in it."""
    count = str(PLACEMENT_GROUPS)
    ceph("osd", "pool", "create", pool["name"], count, count, "replicated", rule)
    if pool["application"] == "rbd":
        run("rbd", "pool", "init", pool["name"])
    else:
        ceph("osd", "pool", "application", "enable", pool["name"], pool["application"])


def lay_out(layout, rule, copies):
    """Bring every pool to the copies and the rule that fit the OSDs there are."""
    rules = {each["rule_id"]: each["rule_name"] for each in ask("osd", "crush", "rule", "dump")}
    for pool in ask("osd", "dump")["pools"]:
        name = pool["pool_name"]
        size = copies.get(name, layout.size)
        if rules.get(pool["crush_rule"]) != rule:
            ceph("osd", "pool", "set", name, "crush_rule", rule)
        if pool["size"] != size:
            sure = ["--yes-i-really-mean-it"] if size == 1 else []
            ceph("osd", "pool", "set", name, "size", str(size), *sure)
        least = min(layout.min_size, size)
        if pool["min_size"] != least:
            ceph("osd", "pool", "set", name, "min_size", str(least))


def recall(key, otherwise):
    """Give what the cluster remembers for us, or what stands for it before it does."""
    try:
        return json.loads(ceph("config-key", "get", key))
    except MissingError:
        return otherwise


def pools_by_group(clients):
    """Give group → its pools; those of clients that have gone are among them."""
    known = recall(GROUPS, {})
    wanted = {pool["name"]: pool["group"] for client in clients for pool in client["pools"]}
    now = {name: group for name, group in sorted({**known, **wanted}.items()) if group}
    if now != known:
        ceph("config-key", "set", GROUPS, json.dumps(now))
    groups = {}
    for name, group in now.items():
        groups.setdefault(group, []).append(name)
    return groups


def let_in(client, groups):
    """Give a client its key, and rights on its pools and on the groups that it asked for."""
    profiles = [f"profile rbd pool={pool['name']}" for pool in client["pools"]]
    for group, permission in client["groups"]:
        mine = {pool["name"] for pool in client["pools"]}
        profiles += [
            f"profile {ACCESS[permission]} pool={name}"
            for name in groups.get(group, ())
            if name not in mine
        ]
    own_pools = ", ".join(f"profile rbd pool={pool['name']}" for pool in client["pools"])
    caps = {"mon": "profile rbd", "osd": ", ".join(profiles), "mgr": own_pools}
    lines = [f"[client.{client['name']}]", f"key = {client['key']}"]
    lines += [f'caps {kind} = "{cap}"' for kind, cap in caps.items() if cap]
    ceph("auth", "import", "--in-file", "-", stdin="\n".join(lines) + "\n")


def shut_out(names):
    """Take away the clients that we let in once and that are no longer wanted."""
    known = recall(CLIENTS, [])
    for name in sorted(set(known) - set(names)):
        ceph("auth", "del", f"client.{name}")
    if known != names:
        ceph("config-key", "set", CLIENTS, json.dumps(names))


def version():
    """Give the version that the daemons of this machine are of."""
    return run("ceph-mon", "--version").split()[2]


# --- leaving, and looking ----------------------------------------------------------------------


def leave(request):
    """Take this machine out of a cluster that goes on without it.

    Nothing of the cluster stays here but what is on devices, so that the machine can join again.
    """
    node = request["node"]
    if not [each for each in ask("mon", "dump")["mons"] if each["name"] != node]:
        return
    records = read(OSDS, {})
    ids = [str(each["id"]) for each in records.values() if "id" in each]
    if ids:
        ceph("osd", "ok-to-stop", *ids)  # fails while that would take data away
    for name, record in list(records.items()):
        if "id" in record:
            run("systemctl", "disable", "--now", "--quiet", f"ceph-osd@{record['id']}")
            ceph("osd", "purge", str(record["id"]), "--yes-i-really-mean-it")
            shutil.rmtree(STATE / "osd" / f"ceph-{record['id']}", ignore_errors=True)
        if "device" in record and "id" in record:
            shutil.rmtree(settings_of(record), ignore_errors=True)
        del records[name]
        write(OSDS, records)  # another try goes on where this one ends
    ceph("osd", "crush", "remove", os.uname().nodename)
    ceph("mon", "remove", node)
    ceph("auth", "del", f"mgr.{node}")
    run("systemctl", "disable", "--now", "--quiet", f"ceph-mgr@{node}", f"ceph-mon@{node}")
    for kind in ("mgr", "mon"):
        shutil.rmtree(STATE / kind / f"ceph-{node}", ignore_errors=True)
    OSDS.unlink(missing_ok=True)
    MADE.unlink(missing_ok=True)


def pools(request):
    """Print the pools: name, copies, application, bytes in use."""
    used = {each["name"]: each["stats"]["bytes_used"] for each in ask("df")["pools"]}
    listed = [
        {
            "name": each["pool_name"],
            "size": each["size"],
            "min-size": each["min_size"],
            "application": ",".join(sorted(each["application_metadata"])),
            "bytes-used": used.get(each["pool_name"], 0),
        }
        for each in ask("osd", "dump")["pools"]
    ]
    print(json.dumps(listed, sort_keys=True))


COMMANDS = {each.__name__: each for each in (monitor, storage, cluster, leave, pools)}


def main(arguments):
    """Do what the first argument says with what standard input says."""
    try:
        COMMANDS[arguments[0]](json.load(sys.stdin))
    except NodeError as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
