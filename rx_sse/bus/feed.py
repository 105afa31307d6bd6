"""What `bus.events(...)` returns, and one subscription to it.

A feed has one reader for each topic and one observer for all of them. With a handle
(`after=last_event_id(request)`) it waits until the connection has written the opening `stream-cursor`, and
gives positions and gaps to the handle, beside the pipeline. `filter` and `map` run here, inside, so that the
position moves for what they drop.

Standard: resume rules §2, §3.
Never: an exception of a user's function poisons the stream: it is a gap for that one entry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from reactivex import abc

from rx_sse.bus.cursor import SEQ_BITS, UNKNOWN, Place, Position, ref_of
from rx_sse.bus.entry import Entry, Gap, Mark, marked
from rx_sse.bus.handle import Resume
from rx_sse.bus.reader import Reader
from rx_sse.bus.relay import Relay
from rx_sse.bus.subscriber import is_direct
from rx_sse.errors import EncodeError, Overloaded, RxSseError, UsageError
from rx_sse.reactive.observer import Callbacks, Unwrapped, unhandled
from rx_sse.wire.burst import Burst
from rx_sse.wire.dumps import Dumps
from rx_sse.wire.encode import encode
from rx_sse.wire.event import RawFrame, ServerSentEvent

if TYPE_CHECKING:
    from rx_sse.bus.engine import Engine

Filter = Callable[[ServerSentEvent], bool]
Map = Callable[[ServerSentEvent], Any]
Snapshot = Callable[[str], Any | Awaitable[Any]]


class Events(Unwrapped[ServerSentEvent]):
    """The events of topics, resumable. Endless: subscribe to it or return it, do not await it."""

    def __init__(
        self,
        bus: Engine,
        topics: dict[str, str],
        handle: Resume | None,
        *,
        last: int,
        snapshot: Snapshot | None,
        filter: Filter | None,
        map: Map | None,
        on_gap: Callable[[Gap], None] | None,
    ) -> None:
        super().__init__()
        self.bus = bus
        self.topics = topics
        self.handle = handle
        self.newest = last
        self.snapshot = snapshot
        self.filter_by = filter
        self.map_by = map
        self.on_gap = on_gap

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Subscribe, on the bus's loop. The position is that of this moment; events come from the next turn
        of the loop on.
        """
        feed = Feed(self, observer)
        try:
            feed.start(self.topics, 0 if self.snapshot is not None else self.newest)
        except Exception as error:
            feed.fail(error)
        return feed

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError(
            "events() is endless: return it from the handler, or subscribe to it, but do not await it"
        )


class Feed(abc.DisposableBase):
    """One subscription to `Events`."""

    __slots__ = (
        "_bus",
        "_callbacks",
        "_deadline",
        "_disposed",
        "_filter",
        "_handle",
        "_left",
        "_map",
        "_on_gap",
        "_read",
        "_readers",
        "_replaying",
        "_shaped",
        "_snapshot",
        "_unlocated",
        "ready",
    )

    def __init__(self, events: Events, callbacks: Callbacks) -> None:
        # Not `events` itself: it is made for one request, and would live as long as its stream.
        self._filter = events.filter_by
        self._map = events.map_by
        self._snapshot = events.snapshot
        self._on_gap = events.on_gap
        self._bus = events.bus
        self._handle = events.handle
        self._callbacks = callbacks
        self._readers: tuple[Reader, ...] = ()
        self._disposed = False
        self._unlocated = 0
        self._left = len(events.topics)
        self._replaying = False
        self._read = 0
        self._shaped = events.filter_by is not None or events.map_by is not None
        self._deadline: Any = None
        self.ready = False

    @property
    def user(self) -> str | None:
        """Who listens."""
        return None if self._handle is None else self._handle.user

    @property
    def refs(self) -> tuple[str, ...]:
        """The topics that it reads, by reference."""
        return tuple(reader.relay.ref for reader in self._readers)

    def start(self, names: dict[str, str], last: int) -> None:
        """Find out where to begin in topics, given with their references: without a cursor, `last` entries
        earlier."""
        topics = {ref: topic for topic, ref in names.items()}
        bus = self._bus
        bus.require_loop()
        bus.enter(self)
        if self._handle is None:
            places: dict[str, Place | None] = dict.fromkeys(topics)
        else:
            places = self._handle.attach(self, topics)
        self._unlocated = len(places)
        for ref, topic in topics.items():
            relay = bus.relay(topic)
            receive: Callable[[Burst], None] | None = None
            if self._shaped:
                emit: Callable[[Any], None] = partial(self._shape, relay)
            elif is_direct(self._callbacks):
                emit, receive = self._callbacks.pulled, self._callbacks.on_burst
            else:
                emit = self._callbacks.on_next
            after, past = places[ref] or (None, None)
            reader = Reader(relay, bus, self, emit, receive, after=after, past=past, last=last)
            self._readers += (reader,)
            bus.rosters.join(topic, self.user)
        for reader in self._readers:
            reader.locate()
        if not self.ready and not self._disposed:
            self._deadline = bus.after(bus.position_timeout, self._overdue)

    def release(self) -> None:
        """The client knows where the stream begins: replay, then go live."""
        for reader in self._readers:
            if self._needs_snapshot(reader):
                self._bus.snapshots.take(
                    self._snapshot, reader.relay, self.user, partial(self._snapped, reader)
                )
            else:
                reader.go()

    def dispose(self) -> None:
        """Let everything go. On any thread."""
        if self._disposed:
            return
        self._disposed = True
        self._bus.run_on_loop(self._leave)

    def fail(self, error: Exception) -> None:
        """End the subscription with an error."""
        if not self._disposed:
            self.dispose()
            self._callbacks.on_error(error)

    # -- the readers' side -----------------------------------------------------------------------------------

    def located(self, reader: Reader) -> None:
        """One topic knows where it begins."""
        way = reader.catchup
        if self._disposed or way is None:
            return
        if way.from_log and not self._replaying:
            try:
                self._bus.replays.enter(self.user)
            except Overloaded as error:
                self.fail(error)
                return
            self._replaying = True
        relay, handle = reader.relay, self._handle
        if handle is not None:
            position: Position | None = way.position
            order = self._order(relay, way.position)
            pending = way.gap is not None
            if way.gap is not None:  # until it is told, the client's cursor stays as bad as it was
                position = way.gap.last or UNKNOWN
                order = -1
            elif self._needs_snapshot(reader):
                position, order, pending = None, -1, True
            handle.starts(relay.ref, position, order, resumed=way.resumed, pending=pending)
        self._unlocated -= 1
        if self._unlocated == 0:
            self.ready = True
            self._in_time()
            if handle is not None:
                handle.settled(self._bus.soon)
            else:
                self._bus.soon(self._begin)

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Entries are missing for this reader."""
        self._bus.counted("gaps_told")
        if self._handle is not None and self._handle.outlet is not None:
            order = -1 if gap.next is None else self._order(reader.relay, gap.next)
            self._handle.missed(reader.relay.ref, gap, order)
            reader.mind(self._handle.past(reader.relay.ref))
        else:
            self._bus.lost(gap)
        if self._on_gap is not None:
            try:
                self._on_gap(gap)
            except Exception as error:
                self._bus.report("rx_sse: on_gap raised", error)

    def strayed(self, reader: Reader) -> None:
        """The client has been further in what comes now: it is found there when it comes back."""
        self.fail(Overloaded(f"{reader.relay.topic}: the log has changed under the stream"))

    def passed(self, reader: Reader, entry: Entry) -> None:
        """An entry that the client gets nothing of."""
        # Without a filter nobody counts what is still on its way through the pipeline, so the cursor waits
        # for an event.
        if self._handle is not None and self._shaped:
            relay = reader.relay
            self._handle.passed(Mark(relay.ref, entry.position, relay.epoch), self._bus.history)

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """A topic was ended; the stream ends with the last of them."""
        if entry is not None:
            self.passed(reader, entry)
        self._let_go(reader)
        self._left -= 1
        if self._left == 0 and not self._disposed:
            self.dispose()
            self._callbacks.on_completed()

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the connection takes the next block; without one, the loop gets a turn between two
        blocks.
        """
        outlet = None if self._handle is None else self._handle.outlet
        if outlet is None or outlet.drained:
            self._bus.soon(again)
        else:
            outlet.on_drained(again)
        return False

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended: it was asked for when the queue was empty, so it fits."""
        if self._handle is not None and (outlet := self._handle.outlet) is not None:
            outlet.replaying(begun)

    def failed(self, reader: Reader, error: Exception) -> None:
        """The observer raised: it is let go."""
        self._bus.report("rx_sse: an observer of events() raised and was let go", error)
        self.dispose()

    def shutdown(self, error: RxSseError) -> None:
        """The bus closes."""
        if self._callbacks.on_error is unhandled:
            self.dispose()
        else:
            self.fail(error)

    # -- inside ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._disposed:
            self.release()

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _overdue(self) -> None:
        if not self.ready:
            self.fail(
                Overloaded(
                    "the bus did not tell its position in time", retry_after=self._bus.position_timeout
                )
            )

    def _leave(self) -> None:
        for reader in self._readers:
            self._let_go(reader)
        self._in_time()
        if self._replaying:
            self._replaying = False
            self._bus.replays.leave(self.user, self._read)
        if self._handle is not None:
            self._handle.detach(self)
        self._bus.leave(self)

    def _let_go(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers = tuple(other for other in self._readers if other is not reader)
            self._bus.rosters.leave(reader.relay.topic, self.user)
            reader.close()
            self._read += reader.read

    def _order(self, relay: Relay, position: Position) -> int:
        return relay.epoch << SEQ_BITS | position.seq

    def _needs_snapshot(self, reader: Reader) -> bool:
        way = reader.catchup
        return self._snapshot is not None and way is not None and way.gap is None and not way.resumed

    def _snapped(self, reader: Reader, position: Position, outcome: Any) -> None:
        """The state of a topic as of `position`, or the exception with which it failed."""
        if self._disposed or reader not in self._readers or reader.catchup is None:
            return
        if isinstance(outcome, Exception):
            self.fail(outcome)
            return
        relay = reader.relay
        reader.catchup.position = position
        if outcome is not None:
            try:
                event = _encoded(outcome, self._bus.dumps)
            except Exception as error:
                self.fail(error)
                return
            made = marked(event, relay.topic, Mark(relay.ref, position, relay.epoch))
            try:
                self._callbacks.on_next(made)
            except Exception as error:
                self.failed(reader, error)
                return
        elif self._handle is not None:
            self._handle.passed(Mark(relay.ref, position, relay.epoch), 1)
        reader.go()

    def _shape(self, relay: Relay, event: ServerSentEvent) -> None:
        """`filter` and `map` of one event."""
        mark: Any = event.position
        handle = self._handle
        try:
            if self._filter is not None and not self._filter(event):
                if handle is not None:
                    handle.passed(mark, self._bus.history)
                return
            if self._map is not None:
                shaped = self._map(event)
                if shaped is not event:
                    mark = Mark(relay.ref, mark.position, mark.order >> SEQ_BITS)
                    event = marked(_encoded(shaped, self._bus.dumps), relay.topic, mark)
        except Exception as error:
            self._bus.trouble(error, relay.topic)
            reader = next(reader for reader in self._readers if reader.relay is relay)
            self.missed(reader, Gap(relay.topic, "failed", 1, None, mark.position))
            return
        if handle is not None:
            handle.entered(mark)
        self._callbacks.on_next(event)


def _encoded(value: Any, dumps: Dumps | None) -> ServerSentEvent:
    """A value as an event that has no id of its own."""
    event = encode(value, dumps)
    if isinstance(event, RawFrame):
        raise EncodeError(
            "a RawFrame has no place for the cursor of a resumable stream; return a ServerSentEvent"
        )
    if event.id is not None and event.position is None:
        raise EncodeError(f"id: {event.id!r}: on a resumable stream the bus gives the ids; leave it out")
    return event


def references(topics: tuple[str, ...]) -> dict[str, str]:
    """The topics of a stream and their references in cursors."""
    refs = {topic: ref_of(topic) for topic in topics}
    if len(set(refs.values())) != len(refs):
        raise UsageError(
            f"topics {', '.join(refs)}: two of them cannot be on one stream, their cursors would look alike"
        )
    return refs
