"""Writes to a stream beside its source's events: cursors, gaps and control events of a bus.

Standard: docs/resume.md §3, docs/architecture.md, rule 6.
Never: an event of the library's own on a stream with `control="none"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.connection import Connection
from rx_sse.delivery.outbox import Gap, Outbox
from rx_sse.web.asked import Asked
from rx_sse.web.end_reason import DEFAULT_RETRY, End
from rx_sse.web.gate import Gate
from rx_sse.web.loop_resources import LoopResources
from rx_sse.web.notices import Notices
from rx_sse.web.options import Options
from rx_sse.web.route_totals import RouteTotals
from rx_sse.web.sink import Sink
from rx_sse.web.transfer_coding import Coding
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.control import OPENING, retry_line, stream_gap


class StreamTracing(Protocol):
    """The spans of streams (`web.tracing`)."""

    def begin(self, stream: Any, request: web.BaseRequest) -> Callable[..., Any]: ...
    def gap(self, stream: Any, said: Mapping[str, Any]) -> None: ...


class Home(Protocol):
    """The registry that counts streams."""

    closing: bool
    debug: bool
    notices: Notices
    routes: RouteTotals

    @property
    def tracing(self) -> StreamTracing | None: ...

    @property
    def parts(self) -> LoopResources: ...
    def address_of(self, request: web.BaseRequest) -> str | None: ...
    def add(self, stream: Any) -> None: ...
    def remove(self, stream: Any, end: End) -> None: ...


class Outlet(Asked):
    """The connection of a stream, as a bus and its outbox see it (`bus.outlet.Outlet`, `outbox.Teller`).

    Attributes:
        connection: the socket.
        outbox: the queue for it.
        gate: holds the headers until they may leave.
        end: the reason of the stream's end, once it has ended.
        started: when the stream began, on the loop's clock.
    """

    __slots__ = (
        "_coding",
        "_handle",
        "_home",
        "_options",
        "_sink",
        "connection",
        "end",
        "gate",
        "outbox",
        "started",
    )

    _coding: Coding
    _handle: StreamCursor | None
    _home: Home
    _options: Options
    _sink: Sink
    connection: Connection
    end: End | None
    gate: Gate
    outbox: Outbox
    started: float

    @property
    def id(self) -> str:
        """The name of the stream in the log and on the admin page: no other stream of the process has it."""
        return f"{id(self):x}-{round(self.started * 1e6):x}"

    def control(self, event: ServerSentEvent) -> None:
        """Queue an event outside the limits, in its place; the headers may leave."""
        if self.end is None:
            if not self._options.strict:
                self.outbox.control(self._coding.event(event))
            if (tracing := self._home.tracing) is not None and event.type == "stream-gap":
                tracing.gap(self, event.json())
            self.gate.emitted()
            self.connection.mark()

    def receive(self, batch: EventBatch) -> None:
        """A batch of a bus that the connection does not write by itself."""
        self._sink.batch(batch)

    def live_only(self) -> None:
        """The pipeline emitted a value without a position on a stream that was resumable until then."""
        self._home.notices.once(
            ("live-only", self.handler),
            "%s: its pipeline emits values without the position that bus.events() gave them, so its streams "
            "cannot be resumed; use filter= and map= of events(), or event.replace(data=...)",
            self.handler,
        )

    @property
    def drained(self) -> bool:
        """Nothing is queued and the socket accepts bytes."""
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

    @property
    def refs(self) -> tuple[str, ...]:
        """The topics of the bus that it reads now, by reference."""
        return () if self._handle is None else self._handle.refs

    def relieve(self) -> None:
        """The outbox is full."""
        parts = self._home.parts
        if self.connection.open:
            if (lone := parts.fanout.lone) is not None:
                lone.write()  # bytes held back for the end of the block come first
            self.connection.relieve(parts.loop.time())
        elif self.end is None and not self.connection.lost:
            self.outbox.promote()  # the headers are not sent

    def render_gap(self, gap: Gap) -> bytes:
        """The frame that announces the events dropped by the policy."""
        if (tracing := self._home.tracing) is not None:
            tracing.gap(self, {"reason": "overflow", "missed": gap.missed})
        if self._options.strict:
            return b""
        event = stream_gap("overflow", missed=gap.missed)
        if self._handle is not None and self._handle.attached:
            event = self._handle.gap("overflow", gap.missed, gap.mark)
        return self._coding.event(event)

    def opening(self) -> bytes:
        """The bytes sent together with the headers. A client that reconnects may still use the `retry` of an
        earlier connection's end, because an EventSource keeps the last one: so each opening sends the
        stream's own."""
        if self._options.strict:
            return b""
        retry = self._options.retry
        if retry is None and self.comes_back:
            retry = DEFAULT_RETRY
        return OPENING if retry is None else OPENING + retry_line(retry)

    def heartbeat(self) -> bytes:
        if self.end is not None:
            return b""
        moved = self._moved()
        return self._coding.heartbeat if moved is None else self._coding.event(moved)

    def leave_position(self) -> None:
        """The stream ends: behind what is queued, queue the position that no event of it carries."""
        if (moved := self._moved()) is not None:
            self.outbox.control(self._coding.event(moved))

    def _moved(self) -> ServerSentEvent | None:
        """A `stream-cursor`, if the position has moved without an event."""
        if self._handle is None or not self._handle.attached or self._options.strict:
            return None
        return self._handle.refresh()
