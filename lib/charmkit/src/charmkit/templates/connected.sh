#!/bin/sh
# Tell whether a process, or one that it has made, is connected to a port of another machine.
# usage: connected.sh USER NAME PORT; NAME is part of the command line.
# A connection is what the process itself opened and keeps alive, and looking costs next to nothing.
pids=$(pgrep -u "$1" -f "$2") || exit 1
port=$(printf '%04X' "$3")
cd /proc || exit 1
folders=
for pid in $pids; do
    folders="$folders $pid/fd"
done
# Only who has the same rights sees what a process has open; root in a container has not all.
# shellcheck disable=SC2086
setpriv --reuid "$1" --regid "$1" --clear-groups -- ls -l $folders 2>/dev/null |
    awk -v port="$port" '
        FNR == NR {
            if (match($0, /socket:\[[0-9]+\]/)) open[substr($0, RSTART + 8, RLENGTH - 9)]
            next
        }
        # 01 is a connection that is established.
        $4 == "01" && $3 ~ (":" port "$") && $10 in open { found = 1 }
        END { exit !found }
    ' - /proc/net/tcp /proc/net/tcp6
