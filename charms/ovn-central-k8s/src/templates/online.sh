#!/bin/sh
# Succeeds if a process does its part: a database's server belongs to its cluster, which has a
# leader, and answers clients over TLS as soon as its ports are open; northd is connected to both.
# usage: online.sh nb|sb ADDRESS, or online.sh northd
name=$1
address=$2
tls=/etc/ovn/tls

if [ "$name" = northd ]; then
    for question in nb-connection-status sb-connection-status; do
        test "$(ovs-appctl -t /run/ovn/northd.ctl $question)" = connected || exit 1
    done
    exit 0
fi

case $name in
    nb) database=OVN_Northbound ;;
    sb) database=OVN_Southbound ;;
esac
status=$(ovs-appctl -t "/run/ovn/$name.ctl" cluster/status $database) || exit 1
echo "$status" | grep -q '^Status: cluster member$' || exit 1
echo "$status" | grep -q '^Leader: unknown$' && exit 1

# The row stands in the database itself, so it is the same for all units.
targets=$("ovn-${name}ctl" --timeout=2 --no-leader-only --db="unix:/run/ovn/$name.sock" \
    --bare --columns=target list connection) || exit 1
for target in $targets; do
    ovsdb-client --timeout=2 --private-key=$tls/key.pem --certificate=$tls/cert.pem \
        --ca-cert=$tls/ca.pem --ssl-protocols=TLSv1.2 \
        list-dbs "ssl:$address:${target#pssl:}" >/dev/null 2>&1 || exit 1
done
