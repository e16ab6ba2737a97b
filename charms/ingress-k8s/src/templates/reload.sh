#!/bin/sh
# Let the master start workers with the new settings; the old ones end with their connections.
# usage: reload.sh PID_FILE
kill -USR2 "$(cat "$1")"
