"""A client that can misbehave: one HTTP request on one socket, read event by event.

It is written on bare asyncio streams, so that a test decides when bytes are read, when the socket is closed
and how.

Standard: RFC 9112 (HTTP/1.1; HTTP/1.0 on demand), HTML Living Standard §9.2 through `EventParser`.
Never: it reconnects; `rx_sse.EventSource` is the client that does.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl as tls
import struct
from collections import deque
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from rx_sse.wire import EventParser, ServerSentEvent

TIMEOUT = 5.0
"""Seconds that a wait may take unless it says otherwise: far more than loopback needs, far less than a test
run."""


class StreamClosed(AssertionError):
    """The stream ended while a test waited for an event."""


class OpenStream:
    """A response that is being read. Made by `open_stream`.

    Attributes:
        status: the HTTP status.
        headers: the response headers, names in lower case.
        last_event_id: the id with which a browser would come back now.
        retry: the reconnection time that the stream has set, in milliseconds; None if it has not.
        comments: how many comments came, heartbeats included.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, last_event_id: str
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments = 0
        self._reader = reader
        self._writer = writer
        self._parser = EventParser(last_event_id=last_event_id, on_comment=self._comment)
        self._events: deque[ServerSentEvent] = deque()
        self._left = 0  # of the current chunk
        self._length: float = math.inf  # what is left of a response that has a length
        self._chunked = False
        self._finished: bool | None = None

    @property
    def last_event_id(self) -> str:
        return self._parser.last_event_id

    @property
    def retry(self) -> int | None:
        return self._parser.retry

    @property
    def writer(self) -> asyncio.StreamWriter:
        """The socket, for what a test wants to send beside the request."""
        return self._writer

    async def next_event(self, timeout: float = TIMEOUT, *, control: bool = False) -> ServerSentEvent:
        """The next event.

        Args:
            timeout: seconds to wait.
            control: True to get the library's own events (`stream-cursor` …) too; otherwise they are skipped.

        Raises:
            TimeoutError: none came.
            StreamClosed: the stream ended first.
        """
        async with asyncio.timeout(timeout):
            while True:
                while self._events:
                    event = self._events.popleft()
                    if control or not event.is_control:
                        return event
                await self._more()

    async def events(
        self, count: int, timeout: float = TIMEOUT, *, control: bool = False
    ) -> list[ServerSentEvent]:
        """The next `count` events, within `timeout` seconds in all; raises as `next_event` does."""
        async with asyncio.timeout(timeout):
            return [await self.next_event(timeout, control=control) for _ in range(count)]

    async def ended(self, timeout: float = TIMEOUT) -> bool:
        """Wait for the end; events that come before it are kept, see `rest`.

        Returns:
            True if the response ended as HTTP says it should, False if the connection was cut.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while self._finished is None:
                try:
                    await self._more()
                except StreamClosed:
                    break
        return bool(self._finished)

    def rest(self, *, control: bool = False) -> list[ServerSentEvent]:
        """The events that have come and were not asked for yet."""
        events = [event for event in self._events if control or not event.is_control]
        self._events.clear()
        return events

    async def body(self, timeout: float = TIMEOUT) -> bytes:
        """All that is left of a response that is no event stream."""
        data = bytearray()
        async with asyncio.timeout(timeout):
            while piece := await self._piece():
                data += piece
        return bytes(data)

    def stall(self) -> None:
        """Stop reading, as a sleeping laptop does. The socket stays open."""
        cast(asyncio.ReadTransport, self._writer.transport).pause_reading()

    def resume(self) -> None:
        """Read again."""
        cast(asyncio.ReadTransport, self._writer.transport).resume_reading()

    def half_close(self) -> None:
        """Say that nothing more will be sent (FIN), and go on reading."""
        self._writer.write_eof()

    def vanish(self) -> socket.socket:
        """Never read again and never say so: no FIN, no reset, as when a phone loses its network.

        Returns:
            The socket, which must be kept, and closed at the end of the test: closing it tells the server.
        """
        held = cast(socket.socket, self._writer.get_extra_info("socket")).dup()
        self.stall()
        return held

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def leave(self) -> None:
        """Close the connection, as a browser does that navigates away."""
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """Leave, and wait until the socket is closed."""
        self.leave()
        with contextlib.suppress(OSError, tls.SSLError):
            await self._writer.wait_closed()

    def _comment(self, _: str) -> None:
        self.comments += 1

    async def _more(self) -> None:
        piece = await self._piece()
        if not piece:
            raise StreamClosed(
                f"the stream {'ended' if self._finished else 'was cut'} while an event was awaited"
            )
        self._events.extend(self._parser.feed(piece))

    async def _piece(self) -> bytes:
        """What has arrived, without its framing; b"" at the end."""
        if self._finished is not None:
            return b""
        try:
            if self._chunked:
                return await self._piece_of_chunk()
            data = await self._reader.read(int(min(self._length, 65536)))
        except (OSError, asyncio.IncompleteReadError):
            self._finished = False
            return b""
        self._length -= len(data)
        if not data or not self._length:
            self._finished = not self._length or self._length == math.inf
        return data

    async def _piece_of_chunk(self) -> bytes:
        if self._left == 0:
            line = await self._reader.readuntil(b"\r\n")
            self._left = int(line, 16)
            if self._left == 0:
                await self._reader.readuntil(b"\r\n")
                self._finished = True
                return b""
        data = await self._reader.read(min(self._left, 65536))
        if not data:
            self._finished = False
            return b""
        self._left -= len(data)
        if self._left == 0:
            await self._reader.readexactly(2)
        return data

    async def read_head(self) -> None:
        """Read the status line and the headers."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(head[0].split(" ", 2)[1])
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (h.partition(":") for h in head[1:] if h)
        }
        self._chunked = self.headers.get("transfer-encoding") == "chunked"
        self._length = float(self.headers.get("content-length", math.inf))
        if self.status in (204, 304) or self._length == 0:
            self._finished = True


async def send(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    http10: bool = False,
    ssl: tls.SSLContext | None = None,
    receive_buffer: int | None = None,
) -> OpenStream:
    """Connect and send one request, without reading anything yet; arguments as for `open_stream`."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    sock: socket.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    options: dict[str, Any] = {"ssl": ssl, "server_hostname": parts.hostname} if ssl is not None else {}
    try:
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, port))
        reader, writer = await asyncio.open_connection(sock=sock, **options)
    except BaseException:
        sock.close()
        raise
    fields = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {target} HTTP/1.{0 if http10 else 1}\r\n{head}\r\n".encode() + body)
    return OpenStream(reader, writer, fields.get("Last-Event-ID", ""))
