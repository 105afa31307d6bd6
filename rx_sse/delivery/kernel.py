"""What the kernel knows about a connection and asyncio does not expose.

Standard: tcp(7) and ioctl_tty(2) of Linux; elsewhere the answers are 0 and False.
Never: it reads or writes.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys

if sys.platform == "linux":
    import fcntl
    import termios

    def unacknowledged(sock: socket.socket) -> int:
        """Bytes that the kernel holds because the peer has not acknowledged them (Linux; elsewhere 0)."""
        try:
            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except (OSError, ValueError):
            return 0

else:

    def unacknowledged(sock: socket.socket) -> int:
        return 0


if hasattr(select, "POLLRDHUP"):

    def hung_up(transport: asyncio.Transport) -> bool:
        """Whether the peer has closed its side, possibly behind unread bytes (Linux; elsewhere False, and the
        next write fails instead)."""
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

else:

    def hung_up(transport: asyncio.Transport) -> bool:
        return False


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that are on their way: in the transport, and in the kernel, whose 16 KiB alone would hide a slow
    reader."""
    size = transport.get_write_buffer_size()
    sock: socket.socket | None = transport.get_extra_info("socket")
    return size if sock is None else size + unacknowledged(sock)
