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

from rx_sse.errors import UsageError
from rx_sse.wire import EventParser, ServerSentEvent
from rx_sse.wire.counted import counted
from rx_sse.wire.harmless import harmless

TIMEOUT = 5.0
"""Seconds that a wait may take by default: far more than loopback needs, far less than a test run."""


EXCERPT = 2000
"""Bytes of an answer, or of the last received bytes, that an error quotes."""


class StreamClosed(AssertionError):
    """There is no event, and there will be none: the stream ended, or the answer is no event stream. The
    message says what was received instead."""


class OpenStream:
    """A response in progress. Made by `open_stream`.

    Attributes:
        status: the HTTP status.
        reason: its reason phrase.
        headers: the response headers, names in lower case.
        last_event_id: the id with which a browser would reconnect.
        retry: the reconnection time that the stream has set, in milliseconds; None if it has not.
        comments: how many comments were received, heartbeats included.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        last_event_id: str,
        request: str = "the request",
    ) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.comments = 0
        self._reader = reader
        self._writer = writer
        self._parser = EventParser(last_event_id=last_event_id, on_comment=self._comment)
        self._events: deque[ServerSentEvent] = deque()
        self._request = request
        self._taken = 0
        self._skipped: list[str] = []  # control events that were skipped
        self._last = b""
        self._left = 0  # bytes left of the current chunk
        self._length: float = math.inf  # bytes left of a response with Content-Length
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
        """The socket, for bytes that a test sends after the request."""
        return self._writer

    async def next_event(self, timeout: float = TIMEOUT, *, control: bool = False) -> ServerSentEvent:
        """The next event.

        Args:
            timeout: seconds to wait.
            control: True to get the library's own events (`stream-cursor` …) too; otherwise they are skipped.

        Raises:
            TimeoutError: there was no event; the message says what was received instead.
            StreamClosed: the stream ended first, or the answer is no event stream: a 404, a failed start.
        """
        return (await self.events(1, timeout, control=control))[0]

    async def events(
        self, count: int, timeout: float = TIMEOUT, *, control: bool = False
    ) -> list[ServerSentEvent]:
        """The next `count` events, within `timeout` seconds in all; raises as `next_event` does."""
        found: list[ServerSentEvent] = []
        try:
            async with asyncio.timeout(timeout):
                while len(found) < count:
                    found += self._take(count - len(found), control)
                    if len(found) < count:
                        await self._more()
        except TimeoutError:
            wanted = "no event" if count == 1 else f"{len(found)} of {count} events"
            raise TimeoutError(f"{wanted} in {timeout:g} s; {self._story()}") from None
        return found

    async def ended(self, timeout: float = TIMEOUT) -> bool:
        """Wait for the end; events received before it are kept, see `rest`.

        Returns:
            True if the response ended as HTTP requires, False if the connection was cut.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._finished is None:
                    self._events.extend(self._parser.feed(await self._piece()))
        except TimeoutError:
            raise TimeoutError(f"it has not ended in {timeout:g} s; {self._story()}") from None
        return bool(self._finished)

    def rest(self, *, control: bool = False) -> list[ServerSentEvent]:
        """The events that have been received and not been returned yet."""
        events = [event for event in self._events if control or not event.is_control]
        self._events.clear()
        return events

    async def body(self, timeout: float = TIMEOUT) -> bytes:
        """The rest of the body of a response that is no event stream."""
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
        """Send a FIN, and continue reading."""
        self._writer.write_eof()

    def vanish(self) -> socket.socket:
        """Never read again and send nothing: no FIN, no reset, as when a phone loses its network.

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
        """Close the connection, as a browser does when the user navigates away."""
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """Close the connection, and wait until the socket is closed."""
        self.leave()
        with contextlib.suppress(OSError, tls.SSLError):
            await self._writer.wait_closed()

    def _comment(self, _: str) -> None:
        self.comments += 1

    def _take(self, most: int, control: bool) -> list[ServerSentEvent]:
        """Events that have been received, without the control events unless requested."""
        found: list[ServerSentEvent] = []
        while self._events and len(found) < most:
            event = self._events.popleft()
            if control or not event.is_control:
                found.append(event)
            else:
                self._skipped.append(f"{event.type} {event.data}")
        self._taken += len(found)
        return found

    async def _more(self) -> None:
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            raise StreamClosed(f"no event stream: {self._answer()}{await self._excerpt()}")
        piece = await self._piece()
        if not piece:
            raise StreamClosed(
                f"the stream {'ended' if self._finished else 'was cut'} while an event was awaited; "
                f"{self._story()}"
            )
        self._events.extend(self._parser.feed(piece))

    def _answer(self) -> str:
        return f"{self._request} was answered {self.status} {self.reason}".rstrip()

    async def _excerpt(self) -> str:
        """The beginning of an answer that is no event stream. It may be endless or slow."""
        body = bytearray()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while len(body) < EXCERPT and (piece := await self._piece()):
                    body += piece
        text = harmless(body[:EXCERPT].decode("utf-8", "replace")).strip()
        return f":\n{text}" if text else ", without a body"

    def _story(self) -> str:
        """Everything that was received, for the error of a wait."""
        came = [f"{counted(self._taken, 'event')} before it"] if self._taken else []
        came += [counted(self.comments, "comment")] if self.comments else []
        came += self._skipped[-5:]
        came += [f"an event {event.type!r} that was not asked for" for event in list(self._events)[:5]]
        told = f"{self._answer()}, and it received " + (", ".join(came) or "nothing")
        if self._last and not self._last.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
            told += f"; the last bytes end no event: {self._last!r}"
        return harmless(told)

    async def _piece(self) -> bytes:
        """The bytes that have arrived, without their framing; b"" at the end."""
        data = await self._unframed() if self._finished is None else b""
        self._last = (self._last + data[-80:])[-80:]
        return data

    async def _unframed(self) -> bytes:
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
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (OSError, asyncio.IncompleteReadError):
            raise StreamClosed(f"{self._request} got no answer: the server closed the connection") from None
        _, status, *reason = head[0].split(" ", 2)
        self.status, self.reason = int(status), "".join(reason)
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
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is no address of a stream: give one like 'http://127.0.0.1:8080'")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    sock: socket.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    options: dict[str, Any] = {"ssl": ssl, "server_hostname": parts.hostname} if ssl is not None else {}
    try:
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, port))
        reader, writer = await asyncio.open_connection(sock=sock, **options)
    except BaseException as error:
        sock.close()
        if isinstance(error, ConnectionRefusedError):
            raise ConnectionRefusedError(f"nothing listens at {parts.scheme}://{parts.netloc}") from None
        raise
    fields = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {target} HTTP/1.{0 if http10 else 1}\r\n{head}\r\n".encode() + body)
    return OpenStream(reader, writer, fields.get("Last-Event-ID", ""), f"{method} {target}")
