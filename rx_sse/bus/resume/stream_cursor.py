"""The cursor of one connection: the result of `last_event_id(request)`.

The connection owns the cursor, not the pipeline between the bus and it. The subscriptions of a stream report
their start positions and the entries that they dropped; for every event that it writes, the connection gets
the event's id from the cursor. So no operator can drop or alter a position, and the subscriptions of a
`merge` have one vector.

When it moves (docs/resume.md §3): with an event that is written, never backwards; an event that would move it
back makes the stream live-only, and so does a value without a position, unless its source marks it
`TRANSIENT`: then no reconnect has to repeat it, and the cursor stays. A copy of an event (`replace`) may be
one of several for the same entry, and only the last may carry the id, which is unknown while they are
emitted: copies carry none, and a `stream-cursor` follows as soon as all of them are written. Events that a
subscription's own `filter` dropped move it as well, once nothing older is on its way through the pipeline.

After a gap the stream may continue from a lower number: the log dropped entries, or this process reads
another branch of it (a split brain). Then the cursor holds the higher position as well, until the branch has
come as far. A client that returns to the other branch resumes there, without duplicates; with the lower
position alone it would look like a client that had never been further.

Standard: HTML Living Standard §9.2.6 (``Last-Event-ID``), docs/resume.md §3.
Never: an id on the wire from which the stream would continue with an unreported loss.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.position import (
    LIVE_ONLY,
    MAX_TOPICS,
    UNKNOWN,
    Mark,
    Place,
    Position,
    cursor_of,
    part_of,
    seq_of,
)
from rx_sse.bus.outlet import Attached, Outlet
from rx_sse.bus.resume.vector import Vector
from rx_sse.delivery.batch import EventBatch
from rx_sse.errors import UsageError
from rx_sse.wire.control import stream_cursor, stream_gap
from rx_sse.wire.event import TRANSIENT, ServerSentEvent
from rx_sse.wire.raw_frame import RawFrame

QUARTER = 4
"""A `stream-cursor` is sent after a quarter of the history was filtered away."""
ASKED: ContextVar[Callable[[str | None], None] | None] = ContextVar("rx_sse.asked", default=None)
"""Set while a handler runs whose request has a cursor: called with any other `after=`."""


class StreamCursor(Vector):
    """The positions of a client: at the request, and now.

    Args:
        value: the ``Last-Event-ID`` of the request, None if there was none. It is not trusted.
        user: the request's user; snapshots and presence are by user.
        granted: returns which topics the client may read; a position in another topic counts as unknown.

    `str()` of it is the id, ``""`` if there is none; it is true if there is one.
    """

    __slots__ = (
        "_dropped",
        "_feeds",
        "_live_only",
        "_on_ready",
        "_opened",
        "_opening",
        "_outlet",
        "_owed",
        "_resumed",
        "_waiting",
        "closed",
        "reason",
        "user",
    )

    def __init__(
        self,
        value: str | None = None,
        *,
        user: str | None = None,
        granted: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(value, granted)
        self.user = user
        self.closed = False
        self.reason: str | None = None
        self._outlet: Outlet | None = None
        self._feeds: tuple[Attached, ...] = ()
        self._waiting: tuple[Attached, ...] = ()
        self._dropped = 0
        self._owed = False
        self._live_only = False
        self._opening = False
        self._opened = False
        self._resumed = False
        self._on_ready: tuple[Callable[[], None], ...] = ()

    # -- called by the connection ----------------------------------------------------------------------------

    def bind(self, outlet: Outlet) -> None:
        """This connection writes the stream. Called before the source is subscribed."""
        self._outlet = outlet

    def subscribing(self) -> None:
        """The source is being subscribed, until `subscribed`; it contains all subscriptions of the stream."""
        self._opening = True

    def subscribed(self) -> None:
        """All subscriptions are attached: open the stream now, if they are ready."""
        self._opening = False
        if self._waiting:
            self._open()

    @property
    def outlet(self) -> Outlet | None:
        """The connection, while there is one."""
        return None if self.closed else self._outlet

    @property
    def ready(self) -> bool:
        """Every subscription knows its start position."""
        for feed in self._feeds:  # noqa: SIM110 (a generator costs three times as much, for one feed)
            if not feed.ready:
                return False
        return True

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as it is `ready`."""
        if self.ready:
            callback()
        else:
            self._on_ready += (callback,)

    def stamp(self, event: ServerSentEvent | RawFrame) -> tuple[Any, str | None]:
        """The event to write for an emission of the pipeline, and its id."""
        if isinstance(event, RawFrame):
            self.unpositioned()
            return event, None
        mark = event.position
        if (
            type(mark) is Mark
            and mark.ref == self.ref
            and mark.order > self.order
            and mark.original == id(event)
        ):
            self.order, self.position = mark.order, mark.position
            return event, event.id
        if mark is TRANSIENT:
            return _bare(event), None
        self._settle()
        if type(mark) is not Mark or self._live_only:
            self.unpositioned()
            return _bare(event), None
        track = self._track(mark.ref)
        if track is None or track.order is None or mark.order < track.order:
            self.unpositioned()
            return _bare(event), None
        rises = mark.order > track.order
        track.move(mark.order, mark.position)
        if rises and mark.original == id(event):
            if len(self._tracks) == 1 and track.past is None:
                self.ref, self.order, self.position = mark.ref, mark.order, mark.position
                return event, event.id
            wire = self._vector()
            return event.stamped(wire, topic=event.topic, position=mark), wire
        self._owe()
        return _bare(event), None

    def follow(self, batch: EventBatch) -> bool:
        """Whether a batch of a topic's entries may be written as it is; then it counts as written, and the
        connection writes those that follow it without asking. Otherwise each of its events has to be
        stamped."""
        if self.ref is None:
            if len(self._tracks) != 1 or self._live_only or batch.source is None:
                return False
            track = self._tracks[0]
            if track.past is not None or track.order is None or track.order >= batch.order:
                return False
            if track.ref != batch.ref:
                return False
            self.ref = track.ref
        elif self.ref != batch.ref or self.order >= batch.order:
            return False
        self.order, self.position = batch.end, batch.position
        return True

    def unpositioned(self) -> None:
        """A value without a position was emitted: from now on the stream cannot be resumed, and the client is
        informed."""
        if self._live_only:
            return
        self._settle()
        self._live_only = True
        if (outlet := self.outlet) is not None:
            outlet.live_only()
            outlet.control(stream_cursor(resumed=self._resumed, resumable=False, id=LIVE_ONLY))

    def refresh(self) -> ServerSentEvent | None:
        """A `stream-cursor`, if the position has moved without an event. The queue must be empty, or the
        stream be at its end."""
        self._settle()
        moved = self._owed
        for track in self._tracks:
            if track.passed is None or track.order is None:
                continue
            # Events still on their way through the pipeline must not be skipped.
            if track.entered <= track.order < track.passed.order:
                track.move(track.passed.order, track.passed.position)
                moved = True
        if not moved or self._live_only:
            return None
        self._owed = False
        self._dropped = 0
        for track in self._tracks:
            track.passed = None
        return stream_cursor(resumed=self._resumed, id=self._vector())

    def gap(self, reason: str, missed: int | None, last: object) -> ServerSentEvent:
        """The event that replaces events that the outbox dropped; `last` is the last one's id, or its entry
        on a stream of one topic."""
        last_id = last if isinstance(last, str) else None
        if isinstance(last, Entry) and self._tracks:
            last_id = cursor_of([part_of(self._tracks[0].ref, last.position)])
        if self._live_only:
            last_id = None
        return stream_gap(reason, missed=missed, next=last_id, id=last_id)

    @property
    def cursor(self) -> str | None:
        """The id from which the stream would continue; None if it cannot be resumed."""
        return None if self._live_only else self._vector()

    @property
    def refs(self) -> tuple[str, ...]:
        """The topics that its subscriptions read now, by reference."""
        return tuple(ref for feed in self._feeds for ref in feed.refs)

    def close(self) -> None:
        """The connection has ended."""
        self._settle()  # the connection writes nothing more of a topic
        self.closed = True
        self._outlet = None
        self._on_ready = ()
        self._waiting = ()

    # -- called by subscriptions -----------------------------------------------------------------------------

    def attach(self, feed: Attached, refs: dict[str, str]) -> dict[str, Place | None]:
        """A subscription belongs to this stream; `refs` are its topics by reference.

        Returns:
            The start of each topic: None for the beginning without a cursor, `UNKNOWN` for an invalid cursor.

        Raises:
            UsageError: a topic is on this stream already.
        """
        if self._tracks:
            self._check(refs)
        self._feeds += (feed,)
        self._waiting += (feed,)
        return {ref: self._begin(ref, topic) for ref, topic in refs.items()}

    @property
    def unused(self) -> bool:
        """The client has no position, and the source is just being subscribed, as the stream's first."""
        return self._opening and not self.value and not self._feeds and not self._tracks

    def begin_at(self, feed: Attached, ref: str, position: Position, order: int) -> None:
        """A subscription that is ready belongs to this stream, and begins at a position, without a cursor."""
        self._begin(ref, "")
        track = self._tracks[0]
        track.position, track.order, track.entered = position, order, order
        self._feeds = self._waiting = (feed,)

    def detach(self, feed: Attached) -> None:
        """The subscription was disposed of. Its positions stay: its events may still be in the pipeline."""
        self._feeds = tuple(other for other in self._feeds if other is not feed)
        self._waiting = tuple(other for other in self._waiting if other is not feed)
        self.settled(None)

    def settled(self, schedule: Callable[[Callable[[], None]], object] | None) -> None:
        """A subscription became ready, or left: open the stream if it was the last that it waited for."""
        if not self.ready:
            return
        ready, self._on_ready = self._on_ready, ()
        for callback in ready:
            callback()
        if self._waiting and not self._opening and schedule is not None:
            # In the next turn: a `merge` subscribes to its sources one after the other, and they open as one.
            self._opening = True
            schedule(self._open)

    def passed(self, mark: Mark, history: int) -> None:
        """A subscription dropped an entry: no event of it follows."""
        self._known(mark.ref).passed = mark
        self._dropped += 1
        if self._dropped * QUARTER >= history:
            self._dropped = 0
            self._when_drained(self._tell)

    def missed(self, ref: str, gap: Gap, order: int) -> None:
        """Report to the client that entries are missing, and the position from which it continues."""
        self._settle()
        outlet = self.outlet
        track = self._known(ref)
        before = track.position
        if gap.next is not None:
            track.order = track.entered = order
            track.passed = None
            track.position = gap.next
            had = [it for it in (before, track.past) if it is not None]
            # After a reset there is no other branch to return to.
            further = had and seq_of(max(had)) > seq_of(gap.next) and gap.reason != "reset"
            track.past = max(had) if further else None
        if outlet is None:
            return
        known = before is not None and before != UNKNOWN
        outlet.control(
            stream_gap(
                gap.reason,
                missed=gap.missed,
                last=cursor_of([part_of(ref, before)]) if known and before is not None else None,
                next=None if gap.next is None else cursor_of([part_of(ref, gap.next)]),
                id=None if self._live_only or gap.next is None else self._vector(),
            )
        )

    # -- inside ----------------------------------------------------------------------------------------------

    def _check(self, refs: dict[str, str]) -> None:
        """Check that another subscription may belong to this stream."""
        taken = [topic for ref, topic in refs.items() if any(ref in other.refs for other in self._feeds)]
        if taken:
            raise UsageError(
                f"topic {taken[0]!r} is already on this stream; one stream has one cursor for it: "
                "use one events(...) and share() it"
            )
        own = {track.ref for track in self._tracks if track.order is not None}
        if len(own | refs.keys()) > MAX_TOPICS:
            raise UsageError(f"a stream has at most {MAX_TOPICS} topics")

    def _open(self) -> None:
        """Send the stream's position to the client, and release the subscriptions."""
        self._settle()
        self._opening = False
        if self.closed or not self.ready:
            return
        waiting, self._waiting = self._waiting, ()
        begun, resumed, pending = False, True, False
        for track in self._tracks:
            start, track.start = track.start, None
            if start is not None:
                begun = True
                resumed = resumed and start.resumed
                pending = pending or start.pending
                if start.position is not None:
                    track.position = start.position
                track.order = track.entered = start.order
        if not self._opened:
            self._opened = True
            if self._cursor:
                self._carry(self._cursor)
        if begun:
            self._resumed = resumed
        if self._outlet is not None and not self._live_only and waiting:
            self._outlet.control(stream_cursor(resumed=self._resumed, id=None if pending else self._vector()))
        for feed in waiting:
            feed.release()

    def _owe(self) -> None:
        if not self._owed:
            self._owed = True
            if (outlet := self.outlet) is not None:
                outlet.on_drained(self._tell)

    def _when_drained(self, action: Callable[[], None]) -> None:
        if (outlet := self.outlet) is not None:
            action() if outlet.drained else outlet.on_drained(action)

    def _tell(self) -> None:
        outlet = self.outlet
        if outlet is not None and (event := self.refresh()) is not None:
            outlet.control(event)


def _bare(event: ServerSentEvent | RawFrame) -> ServerSentEvent | RawFrame:
    """`event` without an id."""
    if isinstance(event, RawFrame) or event.id is None:
        return event
    return event.stamped(None, topic=event.topic, position=event.position)
