"""Bridges of spaces on this host: no offloading where frames come from programs."""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, ETHTOOL_STSO and ETHTOOL_SGSO of linux/ethtool.h.
_FEATURES = (0x17, 0x1F, 0x24)
_REQUEST = "16sP16x"  # struct ifreq


def disable_offload(bridge: str) -> bool:
    """Let this host finish the checksums of what it sends on a bridge; return whether it is there.

    A switch that runs as a program on a machine reads frames from its interface as they are:
    those with unfinished checksums are dropped by whoever gets them. `ethtool -K BRIDGE tx off
    tso off gso off` does the same. A bridge that is made anew has to be told again.

    Raises:
        OSError: The kernel refuses.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for feature in _FEATURES:
            value = array.array("I", (feature, 0))
            request = struct.pack(_REQUEST, bridge.encode(), value.buffer_info()[0])
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return False
                if error.errno != errno.EOPNOTSUPP:  # what cannot be on need not be turned off
                    raise
    return True
