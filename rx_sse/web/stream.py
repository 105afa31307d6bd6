"""One stream: a source on one side, a connection on the other.

It subscribes to the source, decides when the headers are sent, and ends the stream in exactly one way, with
the event that reports it.

Standard: the Observable contract (ReactiveX), docs/architecture.md, rules 2, 7, 9 and 11.
Never: it raises into a source, waits, or leaves a subscription behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from typing import Any

from aiohttp import StreamReader, web
from reactivex import Observable, abc

from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.bus.topic import Topic
from rx_sse.delivery import Outcome, make_outbox
from rx_sse.delivery.connection import WRITE_LIMIT, Connection
from rx_sse.errors import BusClosed, Overloaded, RxSseError
from rx_sse.reactive.observer import Unwrapped, is_kind
from rx_sse.web.end_reason import End, first_deadline
from rx_sse.web.ending import is_whole, last_event
from rx_sse.web.gate import PASSED, Gate
from rx_sse.web.hand_over import AccessLine
from rx_sse.web.log_fields import stream_fields
from rx_sse.web.options import Options
from rx_sse.web.outlet import Home, Outlet
from rx_sse.web.principal import Principal
from rx_sse.web.problem import told
from rx_sse.web.pump import Pump
from rx_sse.web.sink import Sink
from rx_sse.web.source_subscription import SourceSubscription
from rx_sse.web.transfer_coding import PLAIN, Coding
from rx_sse.wire.chunk import LAST_CHUNK
from rx_sse.wire.control import stream_gap

logger = logging.getLogger("rx_sse")

EXCEEDED = (
    "{} emits more than prelude_bytes={} as it is subscribed: return an async iterable, which is pulled"
)

Source = Observable[Any] | AsyncIterable[Any]


class Stream(Outlet):
    """The life of one stream, from subscription to its end.

    Args:
        home: the application's registry.
        transport: the socket, still open.
        request: the request.
        options: the resolved options.
        coding: the coding of bytes on the connection.
        handle: the request's `StreamCursor`, if the handler used it.
        principal: its token's expiry ends the stream.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_closing_timer",
        "_deadline",
        "_deadline_end",
        "_source",
        "access_line",
        "closed",
        "handed",
        "principal",
    )

    def __init__(
        self,
        home: Home,
        transport: asyncio.Transport,
        request: web.Request,
        options: Options,
        coding: Coding,
        handle: StreamCursor | None,
        principal: Principal | None,
    ) -> None:
        parts = home.parts
        self._home = home
        super().__init__(request, home.address_of(request), home.routes.names(request))
        self._body: StreamReader | None = request.content
        self._options = options
        self._coding = coding
        self._handle = handle
        self.outbox = make_outbox(options.overflow, self, options.prelude_bytes)
        self._source: abc.DisposableBase | None = None
        self._closing_timer: asyncio.TimerHandle | None = None
        self.principal = principal
        self.end: End | None = None
        self.started = parts.loop.time()
        self._deadline, self._deadline_end = first_deadline(self.started, principal, options)
        self.gate = Gate(parts.loop, handle, options.hold_headers)
        self.closed: asyncio.Future[None] | None = None  # awaited by the handler, if aiohttp keeps its side
        self.handed = False
        self.access_line: AccessLine | None = None
        self.connection = Connection(
            transport,
            self.outbox,
            self,
            parts.flusher,
            parts.wheel,
            heartbeat=options.heartbeat,
            write_timeout=options.write_timeout,
            reset=coding is PLAIN and not is_whole(None, self, options),
        )
        sink = Sink if (tracing := home.tracing) is None else tracing.begin(self, request)
        self._sink: Sink = sink(self, parts, self.outbox, self.connection, handle, coding, options)
        home.add(self)
        if handle is not None:
            handle.bind(self)

    # -- the beginning ---------------------------------------------------------------------------------------

    def subscribe(self, source: Source) -> None:
        """Subscribe to the source: `gate` opens when the headers may be sent, or has its error."""
        given: Any = source
        if is_kind(type(source), Topic):  # returned as it is: encoded once for all
            given = source = given.as_events()
        kind: Any = type(source)
        if is_kind(kind, Unwrapped) and not given.scheduled:
            self._subscribe(given)
        elif is_kind(kind, Observable):
            self._source = scheduled = SourceSubscription(self, self._sink, self._home.parts.scheduler)
            scheduled.subscribe(given)
        else:
            # Pulled items never meet the limits of live events: the outbox stays in its prelude.
            self._source = Pump(given, self, self._sink.pulled)
            self.gate.await_first()

    def _subscribe(self, source: Unwrapped[Any]) -> None:
        """Subscribe to a source that schedules nothing: its first items are emitted while it subscribes."""
        self.gate.subscribing()
        handle = self._handle
        try:
            if handle is not None:
                handle.subscribing()
            subscription = source.subscribe_observer(self._sink, self._home.parts.scheduler)
        except Exception as error:
            self.fail(error)
            return
        if self.end is not None:
            subscription.dispose()
            return
        self._source = subscription
        self.settled()
        if handle is not None:
            handle.subscribed()
        self.gate.await_first()

    def subscribed_to(self) -> None:
        self.gate.await_first()

    def settled(self) -> None:
        """The source has finished the work of its subscription: the prelude is over."""
        self.outbox.live()
        self.connection.mark()

    def uploading(self) -> bool:
        """The request's body has not been read to its end."""
        return self._body is not None and not self._body.at_eof()

    def outlived(self, task: asyncio.Task[None]) -> None:
        """A task of the source is still closing its resources: a shutdown waits for it."""
        self._home.parts.scheduler.outlive(task)

    @property
    def subscribed(self) -> bool:
        """True while it holds a subscription to its source."""
        return self._source is not None

    @property
    def ended(self) -> bool:
        """True from the moment that the stream is ending."""
        return self.end is not None

    def open(self, headers: bytes, *, stays: bool) -> None:
        """Write the rest of the headers, the opening comment, and everything queued, in one piece, and start.
        If it `stays`, aiohttp keeps its side of the connection."""
        connection = self.connection
        connection.tune(keep=stays)
        opening = self.opening()
        first = self._coding.text(opening) if opening else b""
        if not connection.paused:
            first += self.outbox.take(WRITE_LIMIT)
        self.gate = PASSED
        connection.start(self._home.parts.loop.time(), headers, first)
        if self.end is not None:
            self._finish_when_drained()

    # -- from the source -------------------------------------------------------------------------------------

    def offered(self, outcome: Outcome) -> None:
        """An event is in the outbox, or met the policy: have it written."""
        connection = self.connection
        if not connection.marked:
            connection.mark()
        elif not connection.open and outcome is not Outcome.EXCEEDED:
            self.gate.emitted()
        if outcome is not Outcome.QUEUED:
            self._not_queued(outcome)

    def _not_queued(self, outcome: Outcome) -> None:
        if outcome is Outcome.OVERFLOW:
            fields = stream_fields(self, reason=End.OVERFLOW.value)
            logger.info("stream %s was disconnected: its reader is too slow", self.label, extra=fields)
            self._stop(End.OVERFLOW)
            self.connection.abort()
        elif outcome is Outcome.EXCEEDED:
            self.fail(RxSseError(EXCEEDED.format(self.label, self._options.prelude_bytes)))

    # -- the outlet that the bus uses ------------------------------------------------------------------------

    def missed(self, count: int) -> None:
        """`count` events found no room on their way to the loop."""
        if not self._options.strict:
            self.control(stream_gap("overflow", missed=count))
        else:  # without a way to report it, the stream cannot continue as if nothing were missing
            fields = stream_fields(self, reason=End.OVERFLOW.value)
            logger.info(
                "stream %s was ended: %d of its events found no room", self.label, count, extra=fields
            )
            self._finish(End.OVERFLOW)

    # -- the end ---------------------------------------------------------------------------------------------

    def complete(self, *, itself: bool = False) -> None:
        """The source has completed. Loop thread only.

        Args:
            itself: it was pulled to its end, so no shutdown has completed it.
        """
        its_own = itself and not is_whole(End.SHUTDOWN, self, self._options)
        if self._home.closing and not its_own:
            self.close_for_reconnect(End.SHUTDOWN)
        else:
            self._finish(End.COMPLETED)

    def fail(self, error: Exception) -> None:
        """End the stream because of an error: a status before the headers, `stream-error` after them."""
        if isinstance(error, BusClosed) and (self._home.closing or not self.gate.shut):
            self.close_for_reconnect(End.SHUTDOWN)
        elif self.gate.shut:  # a bus that was not started is an error like any other: it is logged, and a 500
            self._fail(error)
        elif self.end is not None:
            return
        elif isinstance(error, Overloaded):
            self._home.notices.seldom(("ended", str(error)), "streams are ended for now: %s", error)
            self.close_for_reconnect(End.SHED)
        else:
            if not told(error):
                fields = stream_fields(self, reason=End.FAILED.value)
                message = "stream %s failed"
                self._in_context(
                    self._source, logger.error, message, self.label, exc_info=error, extra=fields
                )
            self._finish(End.FAILED, error)

    def expire(self, end: End) -> None:
        """End the stream because its token has expired or was revoked."""
        self._finish(end)

    def close_for_reconnect(self, end: End, retry: int | None = None) -> None:
        """End the stream so that the client reconnects after `retry` milliseconds (jittered if None)."""
        self._finish(end, retry=retry)

    def _fail(self, error: Exception) -> None:
        """The source failed before the headers."""
        if self.end is None:
            self._stop(End.FAILED)
            self.gate.fail(error)

    def _finish(self, end: End, error: Exception | None = None, *, retry: int | None = None) -> None:
        """End the stream, with the queued events and its last event."""
        self._sink.tell_missed()
        if self.end is not None:
            return
        self.end = end
        self._sink.closed = True
        self.leave_position()
        self._dispose()
        reason = None if self._handle is None else self._handle.reason
        last = last_event(
            end, self, self._options, error=error, retry=retry, reason=reason, debug=self._home.debug
        )
        if last is not None:
            self.outbox.control(self._coding.event(last))
        self.gate.open()
        self._finish_when_drained()

    def _finish_when_drained(self) -> None:
        connection = self.connection
        if self._closing_timer is None:
            call_later = self._home.parts.loop.call_later
            self._closing_timer = call_later(self._options.close_timeout, connection.abort)
        connection.on_drained(self._close)
        connection.mark()

    def hurry(self, seconds: float) -> None:
        """Shorten the time that an ending stream has left."""
        if self.end is not None and self._closing_timer is not None:
            self._closing_timer.cancel()
            self._closing_timer = self._home.parts.loop.call_later(max(0.0, seconds), self.connection.abort)

    def _close(self) -> None:
        """Everything is written: end the response, or cut the connection in the middle of the response."""
        connection, closed = self.connection, self.closed
        if not connection.lost and not is_whole(self.end, self, self._options):
            connection.cut()  # `lost` follows
        elif self.handed:
            connection.finish(b"" if self._coding is PLAIN else LAST_CHUNK)  # `lost` follows
        elif closed is not None and not closed.done():
            closed.set_result(None)

    def _stop(self, end: End) -> None:
        """End without a last event."""
        self.end = self.end or end
        self._sink.closed = True
        self._dispose()
        self.outbox.clear()

    def _dispose(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            try:
                self._in_context(source, source.dispose)
            except Exception as error:
                message = "disposing the source of %s failed"
                fields = stream_fields(self)
                self._in_context(source, logger.error, message, self.label, exc_info=error, extra=fields)
        if self._handle is not None:
            self._handle.close()

    @staticmethod
    def _in_context(
        source: abc.DisposableBase | None, call: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """Call code of the source, or a report about it, in the handler's context."""
        if isinstance(source, SourceSubscription):
            source.run(call, *args, **kwargs)
        else:
            call(*args, **kwargs)

    def take_over(self, access_line: AccessLine | None) -> None:
        """The stream owns the connection: no handler waits for its end, so the stream handles it."""
        self.access_line = access_line
        self.handed = True
        self._body = None
        self.connection.take_over()

    def _ended(self) -> None:
        """The connection, which the stream owned, has ended."""
        line, self.access_line = self.access_line, None
        if line is not None:
            line.write(self.connection.sent)
        self.release()

    def release(self) -> None:
        """The handler is about to return, whatever the reason: leave nothing behind."""
        self._stop(End.LEFT)
        self.connection.detach()
        self.gate.close()
        if self._closing_timer is not None:
            self._closing_timer.cancel()
        self._home.remove(self, self.end or End.LEFT)
        # From here on no part of it refers to it: it is freed without a garbage collection.
        self._sink.release()
        self.outbox.release()

    # -- called by the connection ----------------------------------------------------------------------------

    def lost(self) -> None:
        self._stop(End.LEFT)
        self.gate.open()
        if self.handed:
            self._ended()
        else:
            self._close()

    def stuck(self) -> None:
        fields, limit = stream_fields(self, reason=End.STUCK.value), self._options.write_timeout
        logger.info("stream %s was ended: its reader took no byte for %g s", self.label, limit, extra=fields)
        self._stop(End.STUCK)
        self.connection.abort()

    def deadline(self, now: float) -> float | None:
        if self._deadline is None or self.end is not None:
            return None
        if now < self._deadline:
            return self._deadline
        self._finish(self._deadline_end)
        return None
