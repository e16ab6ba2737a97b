#!/bin/sh
# Names this machine for iSCSI by its machine ID: machines that were copied from one image would
# share the name in it, and storage could not tell them apart. A machine that is logged in keeps
# its name, because storage knows it by that.
# usage: initiator.sh [ROOT]
set -e
if [ -n "$(ls -A "$1/sys/class/iscsi_session" 2>/dev/null)" ]; then
    exit 0
fi
# Not the machine ID itself: it is nobody else's business.
id=$( (cat "$1/etc/machine-id"; echo iscsi) | sha256sum | cut -c 1-16)
line="InitiatorName=iqn.1993-08.org.debian:01:$id"
file="$1/etc/iscsi/initiatorname.iscsi"
if ! grep -qsx "$line" "$file"; then
    mkdir -p "$1/etc/iscsi"
    (umask 077 && echo "$line" > "$file.new")
    mv "$file.new" "$file"
    systemctl try-restart iscsid.service  # it reads the name when it starts
fi
