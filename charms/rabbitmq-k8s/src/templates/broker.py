"""Changes the cluster and its accounts through the broker's own tool. Runs beside the broker.

usage: broker.py keep NODE …    the members that shall be; others are expelled
       broker.py leave          hand this node's part over and leave the cluster
       broker.py accounts       make accounts as the definitions on standard input say
"""

import json
import pathlib
import subprocess
import sys
import time

FACTS = pathlib.Path("/etc/rabbitmq/cluster.json")
STORAGE = pathlib.Path("/var/lib/rabbitmq")
MEMBER = STORAGE / "member"
TAG = "helio"
PATIENCE = 60  # seconds that a node may take to leave by itself

# Quorum queues, streams, and the keeper of the streams' books are groups, each of which needs most
# of its members. Taken out one by one while all are there, a node leaves none without. A group's
# last member stays: its data goes with the node, and nobody else has it.
DROP = """
Node = '{node}',
Try = fun(F) -> try F() catch _:Reason -> {{error, Reason}} end end,
Quorum = rabbit_quorum_queue:shrink_all(Node),
[begin
    {{resource, VHost, queue, Name}} = amqqueue:get_name(Queue),
    Try(fun() -> rabbit_stream_queue:delete_replica(VHost, Name, Node) end)
end || Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_stream_queue],
case [Reason || {{_, {{error, _, Reason}}}} <- Quorum, Reason =/= last_node] of
    [] -> done;
    Failed -> Failed
end.
"""

# The keeper takes every running node in, so it has to be left in the moment in which we stop.
STOP = """
Local = {rabbit_stream_coordinator, node()},
case whereis(rabbit_stream_coordinator) of
    undefined -> ok;
    _ -> ra:remove_member(Local, Local)
end,
rabbit:stop(),
done.
"""

# A node that the keeper has not taken in yet must not be asked about streams: it would make a
# keeper of its own. So those who have one are asked.
GROW = """
Node = node(),
Others = rabbit_mnesia:cluster_nodes(running) -- [Node],
Keepers = [Other || Other <- Others,
    is_pid(rpc:call(Other, erlang, whereis, [rabbit_stream_coordinator]))],
Quorum = rabbit_quorum_queue:grow(Node, <<".*">>, <<".*">>, all),
Streams = case Keepers of
    [] -> [];
    [Keeper | _] ->
        {ok, Members, _} = ra:members({rabbit_stream_coordinator, Keeper}),
        case lists:keymember(Node, 2, Members) of
            false -> [{keeper, {error, waiting}}];
            true -> [begin
                {resource, VHost, queue, Name} = amqqueue:get_name(Queue),
                Argv = [VHost, Name, Node],
                {Name, rpc:call(Keeper, rabbit_stream_queue, add_replica, Argv)}
            end || Queue <- rabbit_amqqueue:list(),
                amqqueue:get_type(Queue) =:= rabbit_stream_queue]
        end
end,
Failed = [Each || Each = {_, Answer} <- Quorum ++ Streams,
    Answer =/= ok, element(1, Answer) =/= ok],
case Failed of [] -> done; _ -> Failed end.
"""


class ToolError(Exception):
    """The broker's tool failed; the text is what it said last."""


def ctl(*argv: str, node: str = "", stdin: str = "", timeout: float = 60) -> str:
    """Run rabbitmqctl and give what it printed.

    Raises:
        ToolError: It failed or took too long.
    """
    command = ["rabbitmqctl", "--quiet", *(["--node", node] if node else []), *argv]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"rabbitmqctl {argv[0]} took more than {timeout:g} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"rabbitmqctl {argv[0]}: {' '.join(lines[:3]) or done.returncode}")
    return done.stdout


def facts() -> dict:
    """Give what the charm says of the cluster: `me`, `others`, `may_found`."""
    return json.loads(FACTS.read_text())


def me() -> str:
    """Name this node."""
    return facts()["me"]


def members(node: str = "") -> tuple[list[str], list[str]]:
    """Name the members of the cluster, and those of them that run, as a node sees it."""
    found = json.loads(ctl("cluster_status", "--formatter", "json", node=node))
    return found["disk_nodes"], found["running_nodes"]


def patient_members() -> tuple[list[str], list[str]]:
    """Name the members as `members` does, as soon as this node answers.

    It pauses for a moment while so many others leave that it seems to be in a minority.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return members()
        except ToolError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


# --- who belongs to it -------------------------------------------------------------------------


def repeat(expression: str, by: str = "") -> None:
    """Evaluate an expression in the node `by` until it says that it is done.

    Raises:
        ToolError: It has not been done in time.
    """
    end = time.monotonic() + PATIENCE
    while (left := ctl("eval", expression, node=by, timeout=120).strip()) != "done":
        if time.monotonic() > end:
            raise ToolError(f"this is left: {' '.join(left.split())}")
        time.sleep(1)  # a group changes one member at a time


def drop(node: str, by: str = "") -> None:
    """Take a node out of every queue and stream, asking the node `by`.

    Raises:
        ToolError: It is not out of all of them yet.
    """
    repeat(DROP.format(node=node), by)


def expel(by: str, node: str) -> None:
    """Make a member forget a node that does not run."""
    if node in members(by)[0]:
        drop(node, by)
        ctl("forget_cluster_node", node, node=by)


def grow() -> None:
    """Take part in every queue and stream.

    Raises:
        ToolError: It does not in all of them yet.
    """
    repeat(GROW)


def keep(wanted: list[str]) -> None:
    """Expel the nodes that are not wanted, once they have had the time to leave by themselves."""
    gone = [node for node in patient_members()[0] if node not in wanted]
    for node in gone:
        drop(node)
    end = time.monotonic() + PATIENCE
    while True:
        present, running = patient_members()
        left = [node for node in present if node not in wanted]
        for node in left:
            if node not in running:
                ctl("forget_cluster_node", node)
        if not set(left) & set(running) or time.monotonic() > end:
            return
        time.sleep(2)


def leave() -> None:
    """Leave the cluster; what an earlier attempt did is not done again.

    The node stays up until it is out of the others' books: they would miss a member that stops.

    Raises:
        ToolError: No other member has let us go.
    """
    mine = me()
    others = [f"rabbit@{host}" for host in facts()["others"]]
    if not others:
        return
    if MEMBER.exists():
        drop(mine)
        MEMBER.unlink()
        ctl("eval", STOP)
    try:
        ctl("reset")
    except ToolError as error:
        print(error, file=sys.stderr)  # the others can do it, too
    end = time.monotonic() + PATIENCE
    while not any(is_rid_of(node, mine) for node in others):
        if time.monotonic() > end:
            raise ToolError(f"no other member has let {mine} go")
        time.sleep(1)


def is_rid_of(node: str, gone: str) -> bool:
    """Make a node forget another one; tell whether it has."""
    try:
        if gone in members(node)[0]:
            ctl("forget_cluster_node", gone, node=node)
    except ToolError as error:
        print(error, file=sys.stderr)  # it may be leaving as well
        return False
    return True


# --- accounts ----------------------------------------------------------------------------------


def accounts(wanted: dict) -> dict:
    """Make our accounts equal to what is wanted; virtual hosts stay.

    Args:
        wanted: Definitions with `users`, `vhosts` and `permissions`.

    Returns:
        `accounts`: the names of those that exist.
    """
    present = json.loads(ctl("export_definitions", "-"))
    missing = {kind: [item for item in wanted[kind] if not has(present, kind, item)]
               for kind in ("users", "vhosts", "permissions")}  # fmt: skip
    if any(missing.values()):
        ctl("import_definitions", stdin=json.dumps(missing))
    names = {user["name"] for user in wanted["users"]}
    for user in present.get("users", ()):
        if TAG in user["tags"] and user["name"] not in names:
            ctl("delete_user", user["name"])
    allowed = {(each["user"], each["vhost"]) for each in wanted["permissions"]}
    for each in present.get("permissions", ()):
        if each["user"] in names and (each["user"], each["vhost"]) not in allowed:
            ctl("clear_permissions", "--vhost", each["vhost"], each["user"])
    return {"accounts": sorted(names)}


def has(present: dict, kind: str, item: dict) -> bool:
    """Tell whether the broker has an item already; a virtual host counts by its name."""
    if kind == "vhosts":
        return item["name"] in [each["name"] for each in present.get(kind, ())]
    return any(item.items() <= each.items() for each in present.get(kind, ()))


def main(argv: list[str]) -> None:
    """Do what the command line says."""
    command, *arguments = argv
    if command == "keep":
        keep(arguments)
    elif command == "leave":
        leave()
    elif command == "accounts":
        print(json.dumps(accounts(json.load(sys.stdin))))
    else:
        raise SystemExit(f"no such command: {command}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ToolError as error:
        sys.exit(f"cannot {sys.argv[1]}: {error}")
