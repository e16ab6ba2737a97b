#!/bin/sh
# Succeeds if the main process of a systemd unit is connected to a port: that of the message
# broker, of a database. usage: linked.sh UNIT PORT
pid=$(systemctl show --property=MainPID --value "$1")
[ "$pid" -gt 0 ] && ss -Htnp state established "dport = :$2" | grep -Fq "pid=$pid,"
