"""A client of a bus without a socket: what a browser would keep, and a connection that can be slow.

Standard: HTML Living Standard §9.2.6: the last event ID is that of the last event which had one.
Never: it looks inside the bus. It does what a connection does, and no more.
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
"""Seconds after which what was waited for is taken as never coming."""


class Listener:
    """One connection of a client to `bus.events(...)`.

    Args:
        bus: a started bus.
        *topics: which.
        cursor: the client's ``Last-Event-ID``, None for none.
        user: whose connection it is.
        slow: if true, the connection takes a block only when `drain()` is called.
        pipe: what the handler does with the events.
        source: what the handler returns, given what `last_event_id(request)` would give it; instead of
            topics.
        **options: of `bus.events`.

    Attributes:
        written: every event on the wire, in order, control events included.
        cursor: the id that the client would send when it reconnects.
        completed: whether the topics were ended.
        error: what the stream failed with.
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
        """An event of the library's own."""
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

    # -- the test's side -------------------------------------------------------------------------------------

    @property
    def events(self) -> list[ServerSentEvent]:
        """What reached the page, control events left out."""
        return [event for event in self.written if not event.is_control]

    @property
    def values(self) -> list[Any]:
        """Their values."""
        return [event.json() for event in self.events]

    @property
    def gaps(self) -> list[ServerSentEvent]:
        """The gaps that were told."""
        return [event for event in self.written if event.type == "stream-gap"]

    def drain(self) -> None:
        """A slow connection has written everything."""
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    async def until(self, condition: Callable[[Listener], bool]) -> Listener:
        """Wait until `condition` holds; it is asked again after every event."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._news.clear()
                await self._news.wait()
        return self

    async def opened(self) -> Listener:
        """Wait until the stream has sent its position."""
        return await self.until(lambda it: bool(it.written))

    async def received(self, count: int) -> Listener:
        """Wait for so many events."""
        return await self.until(lambda it: len(it.events) >= count)

    def cut(self) -> str | None:
        """The connection is gone; returns the client's cursor."""
        self.handle.close()
        self._subscription.dispose()
        return self.cursor

    # -- from the pipeline -----------------------------------------------------------------------------------

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
