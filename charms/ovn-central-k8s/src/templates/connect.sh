#!/bin/sh
# Open the databases to clients with a certificate.
# usage: connect.sh PROBE ELECTION NORTHBOUND SOUTHBOUND SOUTHBOUND_ALL; milliseconds, and ports
set -eu
. "$(dirname "$0")/databases.sh"
probe=$1 election=$2
describe nb
ovn-nbctl --no-leader-only -t 30 --db="unix:$socket" --inactivity-probe="$probe" \
    set-connection "pssl:$3"
describe sb
ovn-sbctl --no-leader-only -t 30 --db="unix:$socket" --inactivity-probe="$probe" \
    set-connection "pssl:$4" "pssl:$5"
# The time grows by no more than the double at once, and only the leader of the database changes it.
for database in nb sb; do
    describe "$database"
    for _ in 1 2 3 4 5 6; do
        now=$(ovs-appctl -T 3 -t "$control" cluster/status "$name" |
            sed -n 's/^Election timer: \([0-9]*\)$/\1/p')
        [ "$now" -lt "$election" ] || break
        next=$((now * 2))
        [ "$next" -le "$election" ] || next=$election
        ovs-appctl -T 3 -t "$control" cluster/change-election-timer "$name" "$next" || break
        sleep 0.5
    done
done
