"""The observer that subscribes to a source: for any thread; it never raises and never waits.

Why order is kept: on the loop's thread, and while nothing waits in the inbox, an emission goes straight into
the outbox. From any other thread, or while something waits, it goes through the inbox, which delivers in
order. An emission is encoded where it is made, so that the inbox knows its size. Emissions that find the
inbox full are counted, and a `stream-gap` replaces them, before the next emission that finds room.

Standard: the Observable contract (ReactiveX, "The Observable Contract"), docs/architecture.md, rule 2 and 3.
Never: it handles an event after the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.delivery import Outbox, Outcome
from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.connection import Connection
from rx_sse.reactive.contexts import kept
from rx_sse.web.loop_resources import LoopResources
from rx_sse.web.options import Options
from rx_sse.web.transfer_coding import CHUNKED, Coding
from rx_sse.wire import RawFrame, ServerSentEvent, encode
from rx_sse.wire.encode import chunk_of

Frame = ServerSentEvent | RawFrame
Ready = (ServerSentEvent, RawFrame)


class Target(Protocol):
    """The stream behind a sink. Called on the loop's thread alone."""

    def missed(self, count: int) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def complete(self) -> None: ...
    def offered(self, outcome: Outcome) -> None: ...


class _Nobody:
    """The target of a sink whose stream has ended."""

    def missed(self, count: int) -> None:
        pass

    def fail(self, error: Exception) -> None:
        pass

    def complete(self) -> None:
        pass

    def offered(self, outcome: Outcome) -> None:
        pass


NOBODY = _Nobody()


class Sink:
    """The observer of one stream, as far as its outbox.

    Args:
        target: the stream.
        parts: the inbox and the loop.
        outbox: the queue for the socket.
        connection: the socket; most events need nothing else.
        handle: the cursor, which determines the id of an event, if a bus is behind the stream.
        coding: the encoding of an event in the outbox.
        options: how values are encoded, and the key of the policy `latest`.

    Attributes:
        closed: set by the stream when it ends; later emissions are discarded.
    """

    __slots__ = (
        "_chunked",
        "_coded",
        "_connection",
        "_dumps",
        "_handle",
        "_key",
        "_missed",
        "_outbox",
        "_parts",
        "_target",
        "closed",
    )

    def __init__(
        self,
        target: Target,
        parts: LoopResources,
        outbox: Outbox,
        connection: Connection,
        handle: StreamCursor | None,
        coding: Coding,
        options: Options,
    ) -> None:
        self._target: Target = target
        self._parts = parts
        self._outbox = outbox
        self._connection = connection
        self._handle = handle
        self._chunked = coding is CHUNKED
        self._coded = coding.event
        # Functions of the user's, which any emission may call.
        self._dumps = None if options.dumps is None else kept(options.dumps)
        self._key = None if options.overflow.key is None else kept(options.overflow.key)
        self._missed = 0
        self.closed = False
        if handle is not None and self._chunked and self._key is None:
            connection.place = handle

    def on_next(self, value: Any) -> None:
        """An emission."""
        parts = self._parts
        if not parts.inbox.direct():
            self._cross_value(value)
            return
        if self.closed:
            return
        handle, mark, key = self._handle, None, None
        try:
            if self._key is not None:
                key = self._key_of(value)
            if self._chunked and not isinstance(value, Ready):
                data = chunk_of(value, self._dumps)
                if handle is not None and handle.attached:
                    handle.unpositioned()
            else:
                event = encode(value, self._dumps)
                if handle is not None and handle.attached:
                    event, mark = handle.stamp(event)
                data = event.chunk if self._chunked else self._coded(event)
        except Exception as error:
            self._target.fail(error)
            return
        connection = self._connection
        if connection.free and (lone := parts.fanout.lone) is not None:
            connection.free = False  # a later event of this turn waits for the end of the turn
            assert lone.first is not None
            lone.first.append((connection, data))
        else:
            self._queue(data, mark, key)

    @property
    def on_batch(self) -> Callable[[EventBatch], None]:
        """Accepts the batches of a bus, on the loop's thread. If the reader keeps up, a batch is written at
        once: the same bytes for all connections, without a queue."""
        return self._connection.receive

    def batch(self, batch: EventBatch) -> None:
        """A batch of a bus that the connection cannot write by itself, or not yet."""
        if self.closed:
            return
        connection, handle = self._connection, self._handle
        if self._key is not None or not (handle is None or not handle.attached or handle.follow(batch)):
            for event in batch.events:
                self.pulled(event)
        elif connection.free and (batch.prompt or batch.source is None):  # or it reads this topic alone
            if not self._chunked:
                connection.write(self._coded(batch), batch.at)
            elif batch.writing is not None:
                batch.writing.append(connection)
            else:
                items = batch.items
                connection.write(items[0].chunk if len(items) == 1 else batch.chunk, batch.at)
        elif self._chunked:
            for item in batch.items:
                self._queue(item.chunk, item, None)
        else:
            for event in batch.events:
                self._queue(self._coded(event), event.id, None)

    def pulled(self, value: Any) -> None:
        """An emission, on the loop's thread, of a source that calls only this observer: nothing of it is in
        the inbox, so it overtakes nothing."""
        if not self.closed:
            try:
                event, key = self._encoded(value)
            except Exception as error:
                self._target.fail(error)
                return
            self._offer(event, key)

    def _encoded(self, value: Any) -> tuple[Frame, Hashable]:
        event = value if isinstance(value, Ready) else encode(value, self._dumps)
        return event, self._key_of(value) if self._key is not None else None

    def _key_of(self, value: Any) -> Hashable:
        assert self._key is not None
        key = self._key(value)
        hash(key)  # an unhashable key fails here, and not in the outbox
        return key

    def _offer(self, event: Frame, key: Hashable) -> None:
        mark: str | None = None
        if self._handle is not None and self._handle.attached:
            event, mark = self._handle.stamp(event)
        self._queue(event.chunk if self._chunked else self._coded(event), mark, key)

    def _queue(self, data: bytes, mark: object, key: Hashable) -> None:
        outcome = self._outbox.offer(data, mark, key)
        connection = self._connection
        if outcome is Outcome.QUEUED and connection.open:
            if not connection.marked:
                connection.mark()
        else:
            self._target.offered(outcome)

    def on_error(self, error: Exception) -> None:
        """The source failed."""
        self._cross(self._target.fail, error)

    def on_completed(self) -> None:
        """The source completed."""
        self._cross(self._completed, None)

    def _completed(self, _: None) -> None:
        self._target.complete()

    def _cross(self, target: Callable[[Any], None], value: object) -> None:
        inbox = self._parts.inbox
        if inbox.direct():
            target(value)
        else:  # a stream has one end: it may pass the limits, but not overtake emissions before it
            inbox.put(target, value, exempt=True)

    def _cross_value(self, value: Any) -> None:
        try:
            event, key = self._encoded(value)
        except Exception as error:
            self.on_error(error)
            return
        inbox = self._parts.inbox
        with self._parts.losses:
            missed = self._missed
            if inbox.put(self._crossed, (event, key, missed), len(event.frame)):
                self._missed = 0
                return
            self._missed += 1
        if missed == 0:
            inbox.on_room(self.tell_missed)

    def _crossed(self, entry: tuple[Frame, Hashable, int]) -> None:
        event, key, missed = entry
        if not self.closed:
            if missed:
                self._target.missed(missed)
            if not self.closed:
                self._offer(event, key)

    def release(self) -> None:
        """The stream has ended."""
        self.closed = True
        self._target = NOBODY

    def tell_missed(self) -> None:
        """Announce the emissions that found the inbox full, if no later emission does."""
        with self._parts.losses:
            missed, self._missed = self._missed, 0
        if missed and not self.closed:
            self._target.missed(missed)
