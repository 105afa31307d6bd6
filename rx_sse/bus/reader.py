"""One subscription's way from its cursor to live.

It pulls. Where its position is in the process's ring, the ring is read; where it is older, the log, page by
page, until the ring takes over; in blocks of 64 KiB, the next when the connection has room. It has no queue:
live entries wait in the ring, or in the log, until its position is the relay's. In that moment it joins the
relay's readers (the argument stands in `relay`).

A cursor that the ring does not know makes the process catch up first, because the client may come from a
process that is ahead. Then it is the process's position, or in the ring, or older, or the log does not know
it: that is a gap, told once.

A client that was in two branches of the log (a split brain) says where it was in both (`handle`). The higher
one is looked for first: the branch that has it is the one in which the client has been as far as that. It is
looked out for as well, lest the process itself goes over to that branch under an open stream.

Standard: resume rules §1 ("Valid", "After a gap") and §2 ("Splice").
Never: a live queue beside the replay; a position that goes back without a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

from rx_sse.bus.cursor import UNKNOWN, Position
from rx_sse.bus.entry import END, GAP, Entry, Gap
from rx_sse.bus.host import Host
from rx_sse.bus.log import Page, Query
from rx_sse.bus.relay import Relay
from rx_sse.reactive.observer import ignore
from rx_sse.wire.burst import Burst

BLOCK_BYTES = 65_536
BLOCK_ENTRIES = 128
"""A block is a quarter of an outbox, in bytes and in entries."""


class Sink(Protocol):
    """Who gets what a reader reads."""

    def located(self, reader: Reader) -> None:
        """The reader knows where it begins; call `go` when it may."""
        ...

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Entries are missing here."""
        ...

    def strayed(self, reader: Reader) -> None:
        """The log is now the branch in which the client has been further: it must be located again."""
        ...

    def passed(self, reader: Reader, entry: Entry) -> None:
        """The position moved over an entry that is nothing to the client."""
        ...

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """The topic was ended."""
        ...

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may come; if not, `again` is called when it may."""
        ...

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended. What a reader asked for itself is no overflow."""
        ...

    def failed(self, reader: Reader, error: Exception) -> None:
        """The sink's `emit` raised."""
        ...


class Way(Enum):
    """How far a reader is."""

    LOCATING = "locating"
    LOCATED = "located"
    REPLAY = "replay"
    LIVE = "live"
    CLOSED = "closed"


class Reader:
    """Reads one topic for one sink.

    Args:
        relay: the topic in this process; the reader holds it until it is closed.
        host: the bus.
        sink: who gets it.
        emit: takes the events, replayed and live.
        receive: takes those that are live, if it can take many in one call; otherwise `emit` gets each.
        after: the client's cursor; None: begin at the process's position; `UNKNOWN`: a cursor that is none.
        past: the higher position that the client had in another branch.
        last: without a cursor, begin so many entries earlier.

    Attributes:
        position: behind which it goes on; not kept up while it is live.
        gap: what it must tell before it goes on.
        resumed: whether the client's cursor was valid.
        from_log: whether the replay needs the log.
        read: bytes that were read from the log for it.
    """

    __slots__ = (
        "_after",
        "_asked",
        "_caught_up",
        "_else",
        "_fresh_end",
        "_host",
        "_last",
        "_page",
        "_pulling",
        "_sink",
        "_told",
        "_way",
        "_wish",
        "emit",
        "from_log",
        "gap",
        "past",
        "position",
        "read",
        "receive",
        "relay",
        "resumed",
    )

    def __init__(
        self,
        relay: Relay,
        host: Host,
        sink: Sink,
        emit: Callable[[Any], None],
        receive: Callable[[Burst], None] | None = None,
        *,
        after: Position | None = None,
        past: Position | None = None,
        last: int = 0,
    ) -> None:
        relay.hold()
        self.relay = relay
        self._host = host
        self._sink = sink
        self.emit = emit
        self.receive = receive or self._each
        self.position: Position = past or after or UNKNOWN
        self.gap: Gap | None = None
        self.resumed = False
        self.from_log = False
        self.read = 0
        self._after = after
        self.past = past
        # Where else to look; the higher one again, because what is missing is missing from there on.
        self._else: tuple[Position, ...] = () if past is None or after is None else (after, past)
        self._last = last
        self._way = Way.LOCATING
        self._asked = False
        self._caught_up = False
        self._pulling = False
        self._wish = False
        self._page: deque[Entry] | None = None  # of the log; an idle reader has none
        self._told: frozenset[Position] = frozenset()
        self._fresh_end: Position | None = None

    @property
    def way(self) -> Way:
        """How far it is."""
        return self._way

    def locate(self) -> None:
        """Find out where to begin; `located` is told."""
        self.relay.known(self._locate)

    def go(self) -> None:
        """Replay what there is, then go live."""
        if self._way is not Way.LOCATED:
            return
        self._way = Way.REPLAY
        if self.gap is not None:
            gap, self.gap = self.gap, None
            self._sink.missed(self, gap)
        self.pull()

    def close(self) -> None:
        """Get nothing any more."""
        if self._way is Way.CLOSED:
            return
        if self._way is Way.LIVE:
            self.relay.events.leave(self)
        self._way = Way.CLOSED
        self.relay.wary.pop(self, None)
        self.emit = self.receive = ignore
        self._page = None
        self.relay.release()

    def mind(self, past: Position | None) -> None:
        """The client has been as far as `past` in another branch: what it had there must not come again."""
        self.past = past
        if past is not None:
            self.relay.wary[self] = None

    def consider(self, page: Page) -> None:
        """The process, or this reader, reads on with `page`."""
        if self.past is not None and self._way is not Way.LOCATING and _leads_to(page, self.past):
            self._sink.strayed(self)

    # -- live, called by the dispatcher ----------------------------------------------------------------------

    def _each(self, burst: Burst) -> None:
        for event in burst.items:
            self.emit(event)  # does nothing from the moment that it is closed

    def fail(self, error: Exception) -> None:
        """`receive` raised while it was live."""
        if self._way is not Way.CLOSED:
            self._sink.failed(self, error)

    def missed(self, gap: Gap) -> None:
        """The process lost its place, and with it every live reader."""
        if self._way is Way.LIVE:
            self._told = self.relay.told
            self._sink.missed(self, gap)

    def special(self, entry: Entry) -> None:
        """An entry that is no event."""
        if self._way is Way.LIVE:
            self._special(entry)

    # -- where to begin --------------------------------------------------------------------------------------

    def _locate(self) -> None:
        relay = self.relay
        head = relay.position
        if self._way is not Way.LOCATING or head is None:
            return
        relay.trim()
        if self._after is None or self._after == UNKNOWN:
            self._told = relay.told
            self._fresh_end = head
            if self._after is not None:
                self.gap = Gap(relay.topic, "unknown", next=head)
                self._found(head)
            elif self._last <= len(relay.ring):
                self._found(relay.ring.position(len(relay.ring) - self._last))
            else:
                self._ask(Query(relay.topic, last=self._last))
        elif self.position == head or relay.ring.find(self.position) is not None:
            self._valid()
        elif not self._caught_up:
            self._caught_up = True
            relay.catch_up(self._locate)
        elif self._else and self.position.seq > head.seq:
            self._look_elsewhere()
        else:
            self._ask(Query(relay.topic, self.position))

    def _look_elsewhere(self) -> None:
        self.position, *others = self._else
        self._else = tuple(others)
        self._locate()

    def _valid(self) -> None:
        """The log has the client's position."""
        if self.position == self.past:  # what came in the branch that it leaves, it will not get
            self.gap = Gap(self.relay.topic, "unknown", None, self._after, self.past)
        else:
            self.resumed = True
        self._found(self.position)

    def _found(self, position: Position) -> None:
        self.position = position
        self._way = Way.LOCATED
        self.mind(self.past)
        self._sink.located(self)

    # -- replay ----------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Emit blocks while there is room; go live when there is nothing left to replay."""
        self._wish = True
        if self._pulling:
            return
        self._pulling = True
        try:
            while self._wish and self._way is Way.REPLAY and not self._asked:
                self._wish = False
                self._step()
        finally:
            self._pulling = False

    def _step(self) -> None:
        relay = self.relay
        if self.position == relay.position:
            self._page = None
            if relay.ended:  # the end mark is behind us: it was the last thing that happened here
                self._sink.ended(self, None)
                return
            self._way = Way.LIVE
            relay.events.join(self)
            return
        block = self._block()
        if block:
            self._sink.replaying(True)
            try:
                for entry in block:
                    self.position = entry.position
                    self._hand(entry)
                    if self._way is not Way.REPLAY:
                        return
            finally:
                self._sink.replaying(False)
            # One step from live there is nothing to wait for: what is queued is one block.
            self._wish = self.position == relay.position or self._sink.room(self.pull)
        elif not self._caught_up:
            self._caught_up = True
            relay.catch_up(self.pull)
        else:
            self._ask(Query(relay.topic, self.position))

    def _block(self) -> Sequence[Entry]:
        """What comes next and is at hand."""
        self.relay.trim()
        at = self.relay.ring.find(self.position)
        if at is not None:
            self._page = None
            return self.relay.ring.slice(at, BLOCK_ENTRIES, BLOCK_BYTES)
        block: list[Entry] = []
        size = 0
        position = self.position
        while self._page and len(block) < BLOCK_ENTRIES:
            entry = self._page[0]
            size += entry.size
            if entry.prev != position or (size > BLOCK_BYTES and block):
                break
            block.append(self._page.popleft())  # what was handed over is let go
            position = entry.position
        return block

    def _hand(self, entry: Entry) -> None:
        if entry.kind == END or entry.kind == GAP:
            self._special(entry)
            return
        try:
            self.emit(entry.marked(self.relay.topic, self.relay.ref, self.relay.epoch))
        except Exception as error:
            self._sink.failed(self, error)

    def _special(self, entry: Entry) -> None:
        if entry.kind == END:
            # Who begins without a cursor wants the newest entries, not to be sent away by an end that others
            # outlived.
            began = self._fresh_end
            if self._way is Way.REPLAY and began is not None and entry.position.seq < began.seq:
                self._sink.passed(self, entry)
            else:
                self._sink.ended(self, entry)
            return
        said = entry.detail()
        upto = said.get("upto")
        if isinstance(upto, list) and tuple(upto) in self._told:  # pyright: ignore[reportUnknownArgumentType]
            self._sink.passed(self, entry)
            return
        gap = Gap(self.relay.topic, str(said.get("reason", "withdrawn")), None, entry.prev, entry.position)
        self._sink.missed(self, gap)

    # -- the log ---------------------------------------------------------------------------------------------

    def _ask(self, query: Query) -> None:
        self._asked = True
        self._host.counted("reads")
        self._host.log.read(query, self._answered)

    def _answered(self, page: Page | None) -> None:
        self._asked = False
        if self._way is Way.CLOSED:
            return
        if page is None:
            self._host.later(self._again)
            return
        # Empty and not where the process is: one of the two is behind, and the next question goes to the
        # process.
        self._caught_up = bool(page.entries)
        self._page = deque(page.entries)
        self.read += sum(entry.size for entry in page.entries)
        if self._way is Way.LOCATING:
            if page.start != self.position and self._else:
                self._page = None
                self._caught_up = True
                self._look_elsewhere()
                return
            self.from_log = True
            if page.start == self.position:
                self._valid()
                return
            if self._after is not None:
                self.gap = self._gap(page)
            self._found(page.start)
            return
        self.consider(page)
        if self._way is not Way.REPLAY:
            return
        if page.start != self.position:
            gap = self._gap(page)
            self.position = page.start
            self._sink.missed(self, gap)
        self.pull()

    def _again(self) -> None:
        if self._way is Way.LOCATING:
            self._locate()
        else:
            self.pull()

    def _gap(self, page: Page) -> Gap:
        """The position is not in the log."""
        self._told = frozenset((self.position,))
        # A cursor does not say of which lineage it is, so an entry that should be there may never have been.
        reason = "trimmed" if self.position.seq < page.base.seq else "unknown"
        return Gap(self.relay.topic, reason, None, self.position, page.start)


def _leads_to(page: Page, past: Position) -> bool:
    """Whether `past` comes behind the beginning of `page`, or may come: a page is not all there is."""
    entries = page.entries
    if not entries:
        return False
    index = past.seq - entries[0].position.seq
    if index < len(entries):
        return index >= 0 and entries[index].position == past
    return entries[-1].position != page.head
