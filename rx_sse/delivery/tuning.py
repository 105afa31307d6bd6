"""The options of a socket while it streams.

`TCP_NOTSENT_LOWAT` together with the transport's own limit keeps megabytes of stale events out of kernel and
TLS; `TCP_USER_TIMEOUT` ends the connection to a peer that has vanished. On Linux; elsewhere, missing options
are skipped.

Standard: tcp(7).
Never: a socket that is given back to its server keeps any of these options.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from functools import lru_cache
from typing import TypeGuard

KERNEL_LIMIT = 16 * 1024
"""Bytes that may wait unsent in the kernel, and in the transport. A stalled reader then holds some 200 events
of 1 KB instead of 4 MB (measured); never 0, which wedges TLS."""

NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
MAX_INT = 2**31 - 1
INET, STREAM, TCP = int(socket.AF_INET), int(socket.SOCK_STREAM), int(socket.IPPROTO_TCP)

Settings = tuple[int, int, "int | None", "int | None"]
"""The transport's limits, low and high, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`."""


def set_for_good(transport: asyncio.Transport, descriptor: int, write_timeout: float) -> None:
    """Set the options of a socket that is never given back: `tune` for most streams, without its look-ups.

    Args:
        transport: whose.
        descriptor: the socket's.
        write_timeout: seconds.
    """
    # A transport of uvloop makes a `socket.socket` for each call of its socket; this is one, without Python.
    sock = socket.SocketType(INET, STREAM, 0, descriptor)
    try:
        if NOTSENT_LOWAT is not None:
            sock.setsockopt(TCP, NOTSENT_LOWAT, KERNEL_LIMIT)
        if USER_TIMEOUT is not None:
            sock.setsockopt(TCP, USER_TIMEOUT, _milliseconds(write_timeout))
    except OSError:  # no TCP: a Unix socket
        pass
    finally:
        sock.detach()
    transport.set_write_buffer_limits(high=KERNEL_LIMIT)


def tune(transport: asyncio.Transport, write_timeout: float, *, keep: bool) -> Settings | None:
    """Set the options.

    Args:
        transport: whose.
        write_timeout: seconds.
        keep: return the previous options; otherwise None.
    """
    low, high = transport.get_write_buffer_limits() if keep else (0, 0)
    sock: socket.socket | None = transport.get_extra_info("socket")
    lowat = timeout = None
    if _is_tcp(sock):
        with contextlib.suppress(OSError):
            if NOTSENT_LOWAT is not None:
                if keep:
                    lowat = sock.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT)
                sock.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, KERNEL_LIMIT)
            if USER_TIMEOUT is not None:
                if keep:
                    timeout = sock.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT)
                sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, _milliseconds(write_timeout))
    transport.set_write_buffer_limits(high=KERNEL_LIMIT)
    return _shared((low, high, lowat, timeout)) if keep else None


def untune(transport: asyncio.Transport, settings: Settings) -> None:
    """Restore the previous options."""
    low, high, lowat, timeout = settings
    sock: socket.socket | None = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None and NOTSENT_LOWAT is not None and lowat is not None:
            # 0 reads back as "no limit" but some kernels take it as "limit of nothing": set the maximum.
            sock.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, lowat or MAX_INT)
        if sock is not None and USER_TIMEOUT is not None and timeout is not None:
            sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, timeout)
    transport.set_write_buffer_limits(high=high, low=low)


def time_out(transport: asyncio.Transport, seconds: float) -> None:
    """Have the kernel end the connection to a peer that acknowledges nothing for so long; 0 for never.

    Never while the socket is full: Linux also counts the time in which the window is too small for the next
    segment, and a reader with a small buffer can make that long although it reads all the time. Then
    `Connection.tick` checks whether the unsent bytes become fewer.
    """
    sock: socket.socket | None = transport.get_extra_info("socket")
    if USER_TIMEOUT is not None and _is_tcp(sock):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, _milliseconds(seconds))


def reset_at_close(transport: asyncio.Transport) -> None:
    """Have the connection end with a reset when it is closed."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if _is_tcp(sock):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def descriptor_of(transport: asyncio.Transport) -> int:
    """The socket's descriptor, -1 if bytes may not be written to it directly: with TLS, and on Windows."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if os.name != "posix" or sock is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    return sock.fileno()


def _is_tcp(sock: socket.socket | None) -> TypeGuard[socket.socket]:
    return sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)


@lru_cache(maxsize=16)
def _milliseconds(seconds: float) -> int:
    return min(int(seconds * 1000), MAX_INT)


@lru_cache(maxsize=16)
def _shared(settings: Settings) -> Settings:
    """The same object for equal settings: most connections have the same."""
    return settings
