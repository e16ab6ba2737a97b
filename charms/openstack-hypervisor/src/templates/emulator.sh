#!/bin/sh
# The kernel of this machine has no Open vSwitch. The userspace datapath drops the unfinished
# checksums that a guest hands over to its network card, so the card does not offer to finish them.
exec /usr/bin/qemu-system-x86_64 -global virtio-net-device.csum=off "$@"
