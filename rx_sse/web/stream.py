"""One stream: a source on one side, a connection on the other.

It subscribes inside the scheduler's queue, so that a source can be stopped while it is still emitting;
encodes what is emitted; decides when the headers may leave; and ends the stream in exactly one way, with the
event that says so.

Standard: the Observable contract (ReactiveX, "The Observable Contract"), design rules 2, 7, 9, 11.
Never: it raises into a source, waits, or leaves a subscription behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from typing import Any, Protocol

from aiohttp import web
from reactivex import Observable, abc

from rx_sse.bus.handle import Resume
from rx_sse.bus.topic import Topic
from rx_sse.delivery import Outcome, make_outbox
from rx_sse.delivery.outbox import Gap
from rx_sse.errors import BusClosed, Overloaded, RxSseError
from rx_sse.reactive.observer import Unwrapped
from rx_sse.web.coding import PLAIN, Coding
from rx_sse.web.connection import Connection
from rx_sse.web.ending import is_whole, last_event
from rx_sse.web.ends import DEFAULT_RETRY, End, first_deadline
from rx_sse.web.gate import PASSED, Gate
from rx_sse.web.negotiation import comes_back
from rx_sse.web.notices import Notices, handler_name
from rx_sse.web.options import Options
from rx_sse.web.parts import Parts
from rx_sse.web.principal import PRINCIPAL
from rx_sse.web.problem import told
from rx_sse.web.pump import Pump
from rx_sse.web.sink import Sink
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.control import OPENING, retry_line, stream_gap

logger = logging.getLogger("rx_sse")

EXCEEDED = (
    "{} emits more than prelude_bytes={} as it is subscribed: return an async iterable, which is pulled"
)

Source = Observable[Any] | AsyncIterable[Any]


class Home(Protocol):
    """Where streams are counted."""

    closing: bool
    debug: bool
    notices: Notices

    @property
    def parts(self) -> Parts: ...
    def add(self, stream: Stream) -> None: ...
    def remove(self, stream: Stream, end: End) -> None: ...


class Stream:
    """The life of one stream, from subscription to its end.

    Args:
        home: the application's streaming state.
        transport: the socket, still open.
        request: whose answer it is, and of which principal, whose token ends the stream.
        options: resolved.
        coding: the form in which bytes go over the connection.
        handle: the request's `Resume`, if the handler asked for it.
    """

    __slots__ = (
        "__weakref__",
        "_closing_timer",
        "_coding",
        "_deadline",
        "_deadline_end",
        "_handle",
        "_home",
        "_options",
        "_request",
        "_settling",
        "_sink",
        "_subscription",
        "closed",
        "connection",
        "end",
        "gate",
        "outbox",
        "principal",
        "started",
    )

    def __init__(
        self,
        home: Home,
        transport: asyncio.Transport,
        request: web.Request,
        options: Options,
        coding: Coding,
        handle: Resume | None,
    ) -> None:
        parts = home.parts
        self._home = home
        self._request = request
        self._options = options
        self._coding = coding
        self._handle = handle
        self.outbox = make_outbox(options.overflow, self, options.prelude_bytes)
        self._subscription: abc.DisposableBase | None = None
        self._settling: abc.DisposableBase | None = (
            None  # what the source does at its subscription, and later
        )
        self._closing_timer: asyncio.TimerHandle | None = None
        self.principal = principal = request.get(PRINCIPAL)
        self.end: End | None = None
        self.started = parts.loop.time()
        self._deadline, self._deadline_end = first_deadline(self.started, principal, options)
        self.gate = Gate(parts.loop, handle, options.hold_headers)
        self.closed: asyncio.Future[None] = parts.loop.create_future()
        self.connection = Connection(
            transport,
            self.outbox,
            self,
            parts.flusher,
            parts.wheel,
            heartbeat=options.heartbeat,
            write_timeout=options.write_timeout,
            reset=coding is PLAIN and not is_whole(None, request, options),
        )
        self._sink = Sink(self, parts, self.outbox, self.connection, handle, coding, options)
        home.add(self)
        if handle is not None:
            handle.bind(self)

    # -- the beginning ---------------------------------------------------------------------------------------

    def subscribe(self, source: Source) -> None:
        """Subscribe to the source; `opened` resolves when the headers may leave, or fails if the source fails
        first."""
        if isinstance(source, Topic):  # returned bare: encoded once for all
            source = source.as_events()
        if isinstance(source, Observable):
            scheduler = self._home.parts.scheduler
            settling = scheduler.run(lambda: self._subscribe(source), self._settled, self._broken)
            if self.ended:
                settling.dispose()
            else:
                self._settling = settling
        else:  # what is pulled never meets the limits of live events: the outbox stays in its prelude
            self._subscription = Pump(source, self, self._sink.pulled)
            self.gate.await_first()

    @property
    def label(self) -> str:
        """Method and path."""
        return f"{self._request.method} {self._request.rel_url.raw_path}"

    @property
    def handler(self) -> str:
        """The name of the function whose stream it is."""
        return handler_name(self._request)

    def uploading(self) -> bool:
        """The request's body has not been read to its end."""
        return not self._request.content.at_eof()

    def outlived(self, task: asyncio.Task[None]) -> None:
        """A task of the source is still closing what it holds: a shutdown waits for it."""
        self._home.parts.scheduler.outlive(task)

    @property
    def address(self) -> str | None:
        """Where the client is."""
        return self._request.remote

    @property
    def subscribed(self) -> bool:
        """True while it holds a subscription to its source."""
        return self._subscription is not None

    @property
    def ended(self) -> bool:
        """True from the moment that the stream is ending."""
        return self.end is not None

    def _subscribe(self, source: Observable[Any]) -> None:
        if self.ended:
            return
        sink, scheduler = self._sink, self._home.parts.scheduler
        try:
            if isinstance(source, Unwrapped):
                subscription = source.subscribe_observer(sink, scheduler)
            else:
                subscription = source.subscribe(
                    sink.on_next, sink.on_error, sink.on_completed, scheduler=scheduler
                )
        except Exception as error:
            self.fail(error)
            return
        if self.ended:
            subscription.dispose()
        else:
            self._subscription = subscription
            self.gate.await_first()

    def _settled(self) -> None:
        """The source has done all that it does at subscription: the prelude is over."""
        self.outbox.live()
        self.connection.mark()

    def _broken(self, error: BaseException) -> bool:
        """Work that the source scheduled has raised: it would stay open and mute.

        Returns:
            Whether somebody is told.
        """
        if self.ended:
            return False
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"scheduled work raised {type(error).__name__}")
            error.__cause__ = cause
        self.fail(error)
        return True

    def open(self, output: Callable[[bytes], object]) -> None:
        """The headers have been written: write the opening comment and go.

        Args:
            output: writes straight to the transport, ahead of everything queued.
        """
        if opening := self._opening():
            frame = self._coding.text(opening)
            output(frame)
            self.connection.sent += len(frame)
        self.gate = PASSED
        self.connection.start(self._home.parts.loop.time())
        if self.end is not None:
            self._finish_when_drained()

    def _opening(self) -> bytes:
        """What goes out with the headers. Whoever comes back may still have the time that another connection
        said at its end, for an EventSource keeps the last one: so each opening says the stream's own."""
        if self._options.strict:
            return b""
        retry = self._options.retry
        if retry is None and comes_back(self._request):
            retry = DEFAULT_RETRY
        return OPENING if retry is None else OPENING + retry_line(retry)

    # -- from the source -------------------------------------------------------------------------------------

    def offered(self, outcome: Outcome) -> None:
        """An event is in the outbox, or met the policy: see that it is written."""
        connection = self.connection
        if not connection.marked:
            connection.mark()
        elif not connection.open and outcome is not Outcome.EXCEEDED:
            self.gate.open()
        if outcome is not Outcome.QUEUED:
            self._not_queued(outcome)

    def _not_queued(self, outcome: Outcome) -> None:
        if outcome is Outcome.OVERFLOW:
            logger.info("stream %s was disconnected: its reader is too slow", self.label)
            self._stop(End.OVERFLOW)
            self.connection.abort()
        elif outcome is Outcome.EXCEEDED:
            self.fail(RxSseError(EXCEEDED.format(self.label, self._options.prelude_bytes)))

    # -- the outlet that the bus uses ------------------------------------------------------------------------

    def control(self, event: ServerSentEvent) -> None:
        """Queue an event outside the limits, in its place; the headers may leave."""
        if self.end is None:
            if not self._options.strict:
                self.outbox.control(self._coding.event(event))
            self.gate.open()
            self.connection.mark()

    def missed(self, count: int) -> None:
        """So many events found no room on their way to the loop."""
        if not self._options.strict:
            self.control(stream_gap("overflow", missed=count))
        else:  # without a way to say so it cannot go on as if nothing were missing
            logger.info("stream %s was ended: %d of its events found no room", self.label, count)
            self._finish(End.OVERFLOW)

    def live_only(self) -> None:
        """Something without a position went by on a stream that could be resumed until then."""
        self._home.notices.once(
            ("live-only", self.handler),
            "%s: its pipeline emits values without the position that bus.events() gave them, so its streams "
            "cannot be resumed; use filter= and map= of events(), or event.replace(data=...)",
            self.handler,
        )

    @property
    def drained(self) -> bool:
        """Nothing is queued and the socket takes bytes."""
        return self.connection.drained

    def replaying(self, begun: bool) -> None:
        """A block of a replay begins, or has ended: it is pulled, so it meets no limit."""
        self.outbox.pulled = begun

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called once, when nothing is queued any more."""
        self.connection.on_drained(callback)

    @property
    def cursor(self) -> str | None:
        """The id from which the stream would be resumed now; None if it cannot be."""
        return self._handle.cursor if self._handle is not None and self._handle.attached else None

    def render_gap(self, gap: Gap) -> bytes:
        """The frame that tells of what the policy dropped."""
        if self._options.strict:
            return b""
        event = stream_gap("overflow", missed=gap.missed)
        if self._handle is not None and self._handle.attached:
            event = self._handle.gap("overflow", gap.missed, gap.mark)
        return self._coding.event(event)

    # -- the end ---------------------------------------------------------------------------------------------

    def complete(self, *, itself: bool = False) -> None:
        """The source has completed. Loop thread only.

        Args:
            itself: it was pulled to its end, so no shutdown has completed it.
        """
        its_own = itself and not is_whole(End.SHUTDOWN, self._request, self._options)
        if self._home.closing and not its_own:
            self.close_for_reconnect(End.SHUTDOWN)
        else:
            self._finish(End.COMPLETED)

    def fail(self, error: Exception) -> None:
        """End the stream because of an error: a status before the headers, `stream-error` after them."""
        if isinstance(error, BusClosed):
            self.close_for_reconnect(End.SHUTDOWN)
        elif self.gate.shut:
            self._fail(error)
        elif self.end is not None:
            return
        elif isinstance(error, Overloaded):
            self._home.notices.seldom(("ended", str(error)), "streams are ended for now: %s", error)
            self.close_for_reconnect(End.SHED)
        else:
            if not told(error):
                logger.error("stream %s failed", self.label, exc_info=error)
            self._finish(End.FAILED, error)

    def expire(self, end: End) -> None:
        """End the stream because its token has expired or was revoked."""
        self._finish(end)

    def close_for_reconnect(self, end: End, retry: int | None = None) -> None:
        """End the stream so that the client comes back after `retry` milliseconds (jittered if None)."""
        self._finish(end, retry=retry)

    def _fail(self, error: Exception) -> None:
        """The source failed before the headers."""
        if self.end is None:
            self._stop(End.FAILED)
            self.gate.fail(error)

    def _finish(self, end: End, error: Exception | None = None, *, retry: int | None = None) -> None:
        """End the stream, with what is queued and its last event."""
        self._sink.tell_missed()
        if self.end is not None:
            return
        self.end = end
        self._sink.closed = True
        self._dispose()
        last = last_event(end, self._request, self._options, error=error, retry=retry, debug=self._home.debug)
        if last is not None:
            self.outbox.control(self._coding.event(last))
        self.gate.open()
        self._finish_when_drained()

    def _finish_when_drained(self) -> None:
        connection = self.connection
        if self._closing_timer is None:
            self._closing_timer = self._home.parts.loop.call_later(
                self._options.close_timeout, connection.abort
            )
        connection.on_drained(self._close)
        connection.mark()

    def hurry(self, seconds: float) -> None:
        """Shorten the time that an ending stream has left."""
        if self.end is not None and self._closing_timer is not None:
            self._closing_timer.cancel()
            self._closing_timer = self._home.parts.loop.call_later(max(0.0, seconds), self.connection.abort)

    def _close(self) -> None:
        """All is written: end the response, or the connection in the place of the response."""
        if not self.connection.lost and not is_whole(self.end, self._request, self._options):
            self.connection.cut()  # `lost` follows
        elif not self.closed.done():
            self.closed.set_result(None)

    def _stop(self, end: End) -> None:
        """End without a word."""
        self.end = self.end or end
        self._sink.closed = True
        self._dispose()
        self.outbox.clear()

    def _dispose(self) -> None:
        held = self._subscription, self._settling
        self._subscription = self._settling = None
        for disposable in held:
            try:
                if disposable is not None:
                    disposable.dispose()
            except Exception:
                logger.exception("disposing the source of %s failed", self.label)
        if self._handle is not None:
            self._handle.close()

    def release(self) -> None:
        """The handler is about to return, whatever the reason: leave nothing behind."""
        self._stop(End.LEFT)
        self.connection.detach()
        self.gate.close()
        if self._closing_timer is not None:
            self._closing_timer.cancel()
        self._home.remove(self, self.end or End.LEFT)
        # From here on no part of it holds it: it is gone without a collection.
        self._sink.release()
        self.outbox.release()

    # -- what the connection reports -------------------------------------------------------------------------

    def lost(self) -> None:
        self._stop(End.LEFT)
        self.gate.open()
        self._close()

    def stuck(self) -> None:
        logger.info(
            "stream %s was ended: its reader took no byte for %g s", self.label, self._options.write_timeout
        )
        self._stop(End.STUCK)
        self.connection.abort()

    def heartbeat(self) -> bytes:
        if self.end is not None:
            return b""
        if (
            self._handle is not None
            and self._handle.attached
            and not self._options.strict
            and (moved := self._handle.refresh()) is not None
        ):
            return self._coding.event(moved)
        return self._coding.heartbeat

    def deadline(self, now: float) -> float | None:
        if self._deadline is None or self.end is not None:
            return None
        if now < self._deadline:
            return self._deadline
        if self._deadline_end is End.EXPIRED:
            self.expire(End.EXPIRED)
        else:
            self.close_for_reconnect(self._deadline_end)
        return None
