#!/bin/sh
# Succeeds if a process of a systemd unit is connected to a port: that of the message broker, of a
# database. usage: linked.sh UNIT PORT
for pid in $(ss -Htnp state established "dport = :$2" | sed 's/pid=/\n/g' | sed -n 's/^\([0-9]*\),.*/\1/p'); do
    grep -q "/$1\$" "/proc/$pid/cgroup" && exit 0
done
exit 1
