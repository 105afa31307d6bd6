"""Hands a stream's socket over from aiohttp once its headers are sent.

The objects that aiohttp keeps for a request (two tasks, the request and its message, the parser) are then no
longer needed, and take more memory than the stream itself. So the connection's own protocol keeps the
transport; aiohttp's protocol loses it, and is ended as if the client had disconnected as soon as the
request's task is done. The line of the access log is written when the stream ends.

The attributes `transport` and `access_logger` of aiohttp's protocol, which are public.
Never: aiohttp writes to a socket that was handed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger, AbstractStreamWriter

logger = logging.getLogger("rx_sse")


class EventStreamResponse(web.StreamResponse):
    """The response of a stream. `body_length` counts all bytes sent, also after the hand-over."""

    sent: int | None = None
    left = False
    """Its socket was handed over; aiohttp has nothing more to write."""

    @property
    def body_length(self) -> int:
        """Bytes sent, for the access log."""
        return super().body_length if self.sent is None else self.sent

    @property
    def prepared(self) -> bool:
        """Its headers are sent."""
        return self.left or super().prepared

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers, unless the stream has sent them itself."""
        return request.writer if self.left else await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """End the response, unless the stream does that itself: without this, aiohttp would make and catch an
        exception for each stream."""
        if not self.left:
            await super().write_eof(data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.reason} left>" if self.left else super().__repr__()


class HeldHeaders:
    """The transport for aiohttp while it prepares a response: written bytes are held, so that the headers are
    sent with the first events, in one write.

    Args:
        request: the request of the response.
        transport: its transport.

    Attributes:
        data: the held bytes.
    """

    __slots__ = ("_protocol", "_transport", "data")

    def __init__(self, request: web.Request, transport: asyncio.Transport) -> None:
        self.data = b""
        self._transport = transport
        self._protocol = protocol = request.protocol
        if getattr(protocol, "transport", None) is transport:  # otherwise the headers are sent at once
            protocol.transport = cast(asyncio.Transport, self)

    def write(self, data: bytes) -> None:
        """Hold bytes."""
        self.data += data

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Hold bytes."""
        self.data += b"".join(pieces)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def release(self) -> None:
        """Return the transport to aiohttp, unless it was lost meanwhile."""
        if self._protocol.transport is cast(asyncio.Transport, self):
            self._protocol.transport = self._transport


class AccessLine(AbstractAccessLogger):
    """The line of the access log, kept from the return of the handler until the stream ends.

    Args:
        log: the access logger.
        request: the request.
        response: its response.
        size: bytes that aiohttp has written.
    """

    __slots__ = ("_began", "_log", "_request", "_response", "_size")

    def __init__(
        self, log: AbstractAccessLogger, request: web.Request, response: EventStreamResponse, size: int
    ) -> None:
        super().__init__(log.logger, log.log_format)
        self._log = log
        self._request = request
        self._response = response
        self._size = size
        self._began = asyncio.get_running_loop().time()

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """The handler has returned: nothing is written yet, but the time of the request is known now."""
        self._began = asyncio.get_running_loop().time() - time

    def write(self, sent: int) -> None:
        """The stream has ended, after `sent` bytes."""
        self._response.sent = self._size + sent
        try:
            self._log.log(self._request, self._response, asyncio.get_running_loop().time() - self._began)
        except Exception:
            logger.exception("the access log failed")


def can_leave(request: web.Request, transport: asyncio.Transport) -> bool:
    """Whether this version of aiohttp supports the hand-over, and the whole request has been received."""
    protocol = request.protocol
    return (
        getattr(protocol, "transport", None) is transport
        and hasattr(protocol, "access_logger")
        and callable(getattr(protocol, "connection_lost", None))
        and request.content.at_eof()
    )


def leave(request: web.Request, response: EventStreamResponse, size: int) -> AccessLine | None:
    """End aiohttp's side of a connection whose transport already has another protocol.

    Args:
        request: the request, whose headers are sent.
        response: its response.
        size: bytes that aiohttp has written.

    Returns:
        The line of the access log, to be written at the end of the stream; None without an access log.
    """
    protocol, task = request.protocol, asyncio.current_task()
    assert task is not None  # a handler of aiohttp runs in one
    log = protocol.access_logger
    line = AccessLine(log, request, response, size) if log is not None and log.enabled else None
    protocol.access_logger = line
    response.left = True
    protocol.transport = None  # so that aiohttp neither writes to it nor closes it
    # Not before the middlewares have returned: with `handler_cancellation` it cancels the request's task.
    task.add_done_callback(lambda _: protocol.connection_lost(None))
    return line
