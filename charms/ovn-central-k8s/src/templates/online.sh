#!/bin/sh
# Tell whether a server is a member of a cluster with a leader and, once it is open to clients,
# answers them over TLS; or whether northd is connected.
# usage: online.sh nb|sb ADDRESS, online.sh northd
set -eu
. "$(dirname "$0")/databases.sh"
if [ "$1" = northd ]; then
    control=/run/ovn/ovn-northd.ctl
    for database in nb sb; do
        [ "$(ovs-appctl -T 3 -t "$control" "$database-connection-status")" = connected ]
    done
    exit
fi
describe "$1"
status=$(ovs-appctl -T 3 -t "$control" cluster/status "$name")
echo "$status" | grep -q '^Status: cluster member$'
echo "$status" | grep -q '^Leader: [0-9a-z]'
! echo "$status" | grep -q '^Leader: unknown$'
port=$("ovn-${1}ctl" --no-leader-only -t 3 --db="unix:$socket" get-connection |
    sed -n 's/.*pssl:\([0-9]*\).*/\1/p' | head -n 1)
[ -z "$port" ] || {
    # shellcheck disable=SC2086
    ovsdb-client -t 3 $keys list-dbs "ssl:$2:$port" | grep -qx "$name"
}
