"""A console, as the page in a browser opens it: RFB, the protocol of VNC, over a WebSocket.

Source: RFC 6143 (the RFB protocol), chapter 7.
"""

import contextlib
import struct
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import websocket

VERSION = b"RFB 003.008\n"
NO_PASSWORD = 1  # the security type: the token has let us in already
SECONDS = 60


def socket_url(page: str) -> str:
    """Return the address of the WebSocket that a page of noVNC opens.

    Args:
        page: The page's URL as Nova gives it; its argument `path` is the socket's.
    """
    parts = urllib.parse.urlsplit(page)
    (path,) = urllib.parse.parse_qs(parts.query, strict_parsing=True)["path"]
    return f"wss://{parts.netloc}/{path.lstrip('/')}"


class Screen:
    """The far end of a console.

    Args:
        link: The WebSocket, open.
    """

    def __init__(self, link: websocket.WebSocket):
        self._link = link
        self._read = b""

    def begin(self) -> tuple[int, int, str]:
        """Shake hands.

        Returns:
            Width and height of the screen in pixels, and its name.

        Raises:
            ConnectionError: The other end has ended it.
        """
        assert self._take(len(VERSION)) == VERSION
        self._link.send_binary(VERSION)
        (count,) = self._take(1)
        kinds = self._take(count)
        assert NO_PASSWORD in kinds, kinds
        self._link.send_binary(bytes([NO_PASSWORD]))
        (result,) = struct.unpack("!I", self._take(4))
        assert result == 0, "security is agreed on"
        self._link.send_binary(b"\x01")  # others may look on
        width, height, _, length = struct.unpack("!HH16sI", self._take(24))
        return width, height, self._take(length).decode()

    def _take(self, length: int) -> bytes:
        # Frames need not end where messages end.
        while len(self._read) < length:
            frame = self._link.recv()
            # The library gives a text where the other end closes. An empty frame is none: Nova's
            # proxy sends one when it has agreed with the hypervisor.
            if not isinstance(frame, bytes):
                raise ConnectionError(f"the console has ended: {frame!r}")
            self._read += frame
        taken, self._read = self._read[:length], self._read[length:]
        return taken


@contextlib.contextmanager
def opened(url: str, ca: Path) -> Iterator[Screen]:
    """Open a console by its WebSocket; the server has to have a certificate of an authority."""
    link = websocket.create_connection(
        url, timeout=SECONDS, subprotocols=["binary"], sslopt={"ca_certs": str(ca)}
    )
    try:
        yield Screen(link)
    finally:
        link.close()
