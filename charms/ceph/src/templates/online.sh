#!/bin/sh
# Succeeds if the monitor of this machine is one of those that decide. usage: online.sh NODE
ceph daemon "mon.$1" mon_status | grep -Eq '"state": "(leader|peon)"'
