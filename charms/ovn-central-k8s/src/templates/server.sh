#!/bin/sh
# Serve a database of the cluster; make it, or join it, where there is none yet.
# usage: server.sh nb|sb
set -eu
. "$(dirname "$0")/databases.sh"
. /etc/ovn/members.env
describe "$1"
for folder in /var/lib/ovn /run/ovn; do
    install -d -o ovn -g ovn -m 0750 "$folder"
done
if [ ! -e "$file" ]; then
    rm -f "$file.new"
    if [ -z "$members" ]; then
        $as_ovn ovsdb-tool create-cluster "$file.new" "/usr/share/ovn/ovn-$1.ovsschema" "ssl:$host:$raft"
    else
        remotes=
        for member in $members; do
            remotes="$remotes ssl:$member:$raft"
        done
        # shellcheck disable=SC2086
        $as_ovn ovsdb-tool join-cluster "$file.new" "$name" "ssl:$host:$raft" $remotes
    fi
    mv "$file.new" "$file"
fi
# shellcheck disable=SC2086
exec $as_ovn ovsdb-server "$file" $keys --unixctl="$control" \
    --remote="punix:$socket" --remote="db:$name,$table,connections" \
    -vconsole:info -vsyslog:off -vfile:off
