"""A client of a bus without a socket: it keeps what a browser would keep, and its connection can be slow.

Standard: HTML Living Standard §9.2.6: the last event ID is that of the last event that had an id.
Never: it uses internals of the bus. It does what a connection does, and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from reactivex import Observable

from rx_sse.bus.bus import Bus
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.wire.event import ServerSentEvent

PATIENCE = 10.0
"""Seconds after which a wait fails."""


class Listener:
    """One connection of a client to `bus.events(...)`.

    Args:
        bus: a started bus.
        *topics: names of topics.
        cursor: the client's ``Last-Event-ID``, None for none.
        user: the user of the connection.
        slow: if true, the connection accepts a block only when `drain()` is called.
        pipe: the operators that the handler applies to the events.
        source: the Observable that the handler returns, given the result of `last_event_id(request)`; instead
            of topics.
        **options: options of `bus.events`.

    Attributes:
        written: every event on the wire, in order, control events included.
        cursor: the ``Last-Event-ID`` that the client would send at its next reconnect.
        completed: whether the topics were ended.
        error: the error with which the stream failed.
    """

    def __init__(
        self,
        bus: Bus,
        *topics: str,
        cursor: str | None = None,
        user: str | None = None,
        slow: bool = False,
        pipe: Callable[[Observable[Any]], Observable[Any]] | None = None,
        source: Callable[[StreamCursor], Observable[Any]] | None = None,
        **options: Any,
    ) -> None:
        self.written: list[ServerSentEvent] = []
        self.cursor = cursor
        self.completed = False
        self.error: Exception | None = None
        self.drained = not slow
        self._slow = slow
        self._waiting: list[Callable[[], None]] = []
        self._news = asyncio.Event()
        self.handle = StreamCursor(cursor, user=user)
        self.handle.bind(self)
        if source is not None:
            events = source(self.handle)
        else:
            events = bus.events(*topics, after=self.handle, **options)
        if pipe is not None:
            events = pipe(events)
        self._subscription = events.subscribe(self._next, self._failed, self._done)

    # -- the connection, as the bus sees it ------------------------------------------------------------------

    def control(self, event: ServerSentEvent) -> None:
        """Accept an event of the library's own."""
        self._write(event)

    def live_only(self) -> None:
        pass

    def replaying(self, begun: bool) -> None:
        """It has no limits."""

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Call back when the queue is empty: in the next turn, or at `drain()`."""
        if self._slow:
            self._waiting.append(callback)
        else:
            asyncio.get_running_loop().call_soon(callback)

    # -- called by the test ----------------------------------------------------------------------------------

    @property
    def events(self) -> list[ServerSentEvent]:
        """The events that reached the page, without control events."""
        return [event for event in self.written if not event.is_control]

    @property
    def values(self) -> list[Any]:
        """Their values."""
        return [event.json() for event in self.events]

    @property
    def gaps(self) -> list[ServerSentEvent]:
        """The gaps sent to the client."""
        return [event for event in self.written if event.type == "stream-gap"]

    def drain(self) -> None:
        """A slow connection has written everything."""
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    async def until(self, condition: Callable[[Listener], bool]) -> Listener:
        """Wait until `condition` holds; it is evaluated again after every event."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._news.clear()
                await self._news.wait()
        return self

    async def opened(self) -> Listener:
        """Wait until the stream has sent its position."""
        return await self.until(lambda it: bool(it.written))

    async def received(self, count: int) -> Listener:
        """Wait for `count` events."""
        return await self.until(lambda it: len(it.events) >= count)

    def cut(self) -> str | None:
        """Close the connection; returns the client's cursor."""
        self.handle.close()
        self._subscription.dispose()
        return self.cursor

    # -- called by the pipeline ------------------------------------------------------------------------------

    def _next(self, value: Any) -> None:
        event = value if isinstance(value, ServerSentEvent) else ServerSentEvent(value)
        written, _ = self.handle.stamp(event)
        self._write(written)

    def _failed(self, error: Exception) -> None:
        self.error = error
        self._news.set()

    def _done(self) -> None:
        self.completed = True
        self._news.set()

    def _write(self, event: ServerSentEvent) -> None:
        if self.handle.closed:
            return
        self.written.append(event)
        if event.id is not None:
            self.cursor = event.id
        self._news.set()
