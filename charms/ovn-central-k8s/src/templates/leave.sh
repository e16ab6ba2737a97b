#!/bin/sh
# Leave the cluster for good, so that the others do not count on this unit any more.
set -eu
. "$(dirname "$0")/databases.sh"
for database in nb sb; do
    describe "$database"
    ovs-appctl -T 5 -t "$control" cluster/leave "$name"
    for _ in $(seq 100); do
        ovs-appctl -T 5 -t "$control" cluster/status "$name" 2>/dev/null |
            grep -q '^Status: left cluster' && break
        sleep 0.5
    done
done
