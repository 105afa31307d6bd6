"""A connection between a client and a server without a socket.

What the server writes goes through a buffer of the transport, a window (what kernel and wire hold), and
arrives after the latency of the connection, in pieces. A client that does not read lets the window fill, then
the buffer, and the server is told to pause, as by a socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from .loop import Loop

HIGH = 64 * 1024


class Peer(Protocol):
    """The client's end."""

    def received(self, data: bytes) -> None:
        """Bytes of the server."""
        ...

    def ended(self) -> None:
        """The server has gone."""
        ...


class Wire(asyncio.Transport):
    """The server's transport.

    Args:
        loop: where it lives.
        protocol: the server's protocol.
        peer: the client.
        latency: seconds one way.
        window: bytes that are on their way at most.
    """

    def __init__(
        self, loop: Loop, protocol: asyncio.Protocol, peer: Peer, latency: float, window: int
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol: asyncio.BaseProtocol = protocol
        self._peer: Peer | None = peer
        self._latency = latency
        self._window = window
        self._buffer = bytearray()
        self._flying: deque[bytes] = deque()
        self._arrived: deque[bytes] = deque()
        self._inside = 0  # bytes in the window
        self._limits = (HIGH // 4, HIGH)
        self._paused = False
        self._reading = True
        self._unread: list[bytes] = []
        self._closing = False
        self._gone = False
        self.client_reads = True
        loop.call_soon(self._connected)

    def _connected(self) -> None:
        protocol = self._protocol
        assert isinstance(protocol, asyncio.Protocol)
        protocol.connection_made(self)

    # -- the client's side -----------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """The client sends; it arrives later."""
        self._loop.call_later(self._latency, self._received, data)

    def read(self, on: bool) -> None:
        """The client reads, or does not."""
        self.client_reads = on
        if on:
            self._loop.call_soon(self._hand_over)

    def cut(self, noticed: float) -> None:
        """The client is gone, with what is on its way; the server notices after so many seconds."""
        self._peer = None
        self._flying.clear()
        self._arrived.clear()
        self._loop.call_later(noticed, self._fail, ConnectionResetError("the client has gone"))

    # -- the server's side -----------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1234) if name == "peername" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        unread, self._unread = self._unread, []
        for data in unread:
            self._received(data)

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        high = HIGH if high is None else high
        self._limits = (high // 4 if low is None else low, high)
        self._check()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._gone or self._closing:
            return
        self._buffer += data
        self._pump()
        self._check()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._pump()

    def abort(self) -> None:
        if self._gone:
            return
        self._fail(None)
        self._loop.call_later(self._latency, self._end)

    # -- inside ----------------------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if self._closing:  # a transport that closes reads no more
            return
        if not self._reading:
            self._unread.append(data)
            return
        protocol = self._protocol
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)

    def _pump(self) -> None:
        """Move what fits from the buffer onto the wire."""
        room = self._window - self._inside
        if self._buffer and room > 0 and not self._gone:
            piece = bytes(self._buffer[:room])
            del self._buffer[:room]
            self._inside += len(piece)
            self._flying.append(piece)
            self._loop.call_later(self._latency, self._arrive)
        if self._closing and not self._buffer and not self._gone:
            self._loop.call_soon(self._lost, None)
            self._loop.call_later(self._latency, self._end)

    def _check(self) -> None:
        low, high = self._limits
        if not self._paused and len(self._buffer) > high:
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and len(self._buffer) <= low:
            self._paused = False
            self._protocol.resume_writing()

    def _arrive(self) -> None:
        if self._flying:
            self._arrived.append(self._flying.popleft())
            self._hand_over()

    def _hand_over(self) -> None:
        while self._arrived and self.client_reads and self._peer is not None:
            data = self._arrived.popleft()
            self._inside -= len(data)
            self._peer.received(data)
        if not self._gone:
            self._pump()
            self._check()

    def _end(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.ended()

    def _fail(self, error: Exception | None) -> None:
        """Read no more; the protocol hears of it a turn later than of what was read before, as in asyncio."""
        if not self._gone:
            self._closing = True
            self._buffer.clear()
            self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        if self._gone:
            return
        self._gone = self._closing = True
        self._buffer.clear()
        self._protocol.connection_lost(error)
