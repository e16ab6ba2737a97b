#!/bin/sh
# Make the southbound database from the northbound one; of several northd one works, the others wait.
# usage: northd.sh NORTHBOUND SOUTHBOUND, connection strings
set -eu
. "$(dirname "$0")/databases.sh"
install -d -o ovn -g ovn -m 0750 /run/ovn
# shellcheck disable=SC2086
exec $as_ovn ovn-northd --ovnnb-db="$1" --ovnsb-db="$2" $keys --unixctl=/run/ovn/ovn-northd.ctl \
    -vconsole:info -vsyslog:off -vfile:off
