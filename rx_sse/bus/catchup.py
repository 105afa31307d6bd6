"""A reader's way from its client's cursor to live: where to begin, and the replay.

It pulls. Where its position is in the process's ring, the ring is read; where it is older, the log, page by
page, until the ring takes over; in blocks of 64 KiB, the next when the connection has room. It has no queue:
live entries wait in the ring, or in the log, until its position is the relay's. In that moment its reader
joins those that are live (the argument stands in `relay`), and this is let go.

A cursor that the ring does not know makes the process catch up first, because the client may come from a
process that is ahead. Then it is the process's position, or in the ring, or older, or the log does not know
it: that is a gap, told once.

A client that was in two branches of the log (a split brain) says where it was in both (`handle`). The higher
one is looked for first: the branch that has it is the one in which the client has been as far as that.

Standard: resume rules §1 ("Valid", "After a gap") and §2 ("Splice").
Never: a live queue beside the replay; a position that goes back without a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

from rx_sse.bus.cursor import UNKNOWN, Position
from rx_sse.bus.entry import Entry, Gap
from rx_sse.bus.host import Host
from rx_sse.bus.log import Page, Query
from rx_sse.bus.relay import Relay

BLOCK_BYTES = 65_536
BLOCK_ENTRIES = 128
"""A block is a quarter of an outbox, in bytes and in entries."""


class Way(Enum):
    """How far a reader is."""

    LOCATING = "locating"
    LOCATED = "located"
    REPLAY = "replay"
    LIVE = "live"
    CLOSED = "closed"


class Behind(Protocol):
    """The reader that is not live yet."""

    relay: Relay
    past: Position | None

    def located(self) -> None:
        """It is known where to begin; `go` may be called."""
        ...

    def tell(self, gap: Gap) -> None:
        """Entries are missing here."""
        ...

    def take(self, entry: Entry) -> None:
        """The next entry."""
        ...

    def consider(self, page: Page) -> None:
        """What comes next is this page of the log."""
        ...

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may come; if not, `again` is called when it may."""
        ...

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended."""
        ...

    def knows(self, told: frozenset[Position]) -> None:
        """Of which lost branches the client needs not be told."""
        ...

    def caught_up(self) -> None:
        """Its position is the process's: it is live from now on, or the topic has ended."""
        ...


class CatchUp:
    """The way of one reader.

    Args:
        reader: whose.
        host: the bus.
        emit: takes the events of the replay.
        after: the client's cursor; None: begin at the process's position; `UNKNOWN`: a cursor that is none.
        past: the higher position that the client had in another branch.
        last: without a cursor, begin so many entries earlier.

    Attributes:
        way: how far it is.
        position: behind which it goes on.
        gap: what is to be told before it goes on.
        resumed: whether the client's cursor was valid.
        from_log: whether the replay needs the log.
        read: bytes that were read from the log for it.
        fresh_end: without a cursor, the end of what there was at the beginning.
    """

    __slots__ = (
        "_after",
        "_asked",
        "_caught_up",
        "_else",
        "_fruitless",
        "_host",
        "_last",
        "_page",
        "_pulling",
        "_reader",
        "_relay",
        "_wish",
        "emit",
        "fresh_end",
        "from_log",
        "gap",
        "position",
        "read",
        "resumed",
        "way",
    )

    def __init__(
        self,
        reader: Behind,
        host: Host,
        emit: Callable[[Any], None],
        after: Position | None,
        past: Position | None,
        last: int,
    ) -> None:
        self._reader = reader
        self._relay = reader.relay
        self._host = host
        self.emit = emit
        self.position: Position = past or after or UNKNOWN
        self.gap: Gap | None = None
        self.resumed = False
        self.from_log = False
        self.read = 0
        self._after = after
        # Where else to look; the higher one again, because what is missing is missing from there on.
        self._else: tuple[Position, ...] = () if past is None or after is None else (after, past)
        self._last = last
        self.way = Way.LOCATING
        self._asked = False
        self._caught_up = False
        self._fruitless = False
        self._pulling = False
        self._wish = False
        self._page: deque[Entry] | None = None  # of the log
        self.fresh_end: Position | None = None

    def locate(self) -> None:
        """Find out where to begin; the reader's `located` is told."""
        self._relay.known(self._locate)

    def go(self) -> None:
        """Replay what there is, then go live."""
        if self.way is not Way.LOCATED:
            return
        self.way = Way.REPLAY
        if self.gap is not None:
            gap, self.gap = self.gap, None
            self._reader.tell(gap)
        self.pull()

    def close(self) -> None:
        """Nothing comes any more."""
        self.way = Way.CLOSED
        self._page = None

    # -- where to begin --------------------------------------------------------------------------------------

    def _locate(self) -> None:
        relay = self._relay
        head = relay.position
        if self.way is not Way.LOCATING or head is None:
            return
        relay.trim()
        if self._after is None or self._after == UNKNOWN:
            self._reader.knows(relay.told)
            self.fresh_end = head
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
        if self.position == self._reader.past:  # what came in the branch that it leaves, it will not get
            self.gap = Gap(self._relay.topic, "unknown", None, self._after, self._reader.past)
        else:
            self.resumed = True
        self._found(self.position)

    def _found(self, position: Position) -> None:
        self.position = position
        self.way = Way.LOCATED
        self._reader.located()

    # -- replay ----------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Emit blocks while there is room; go live when there is nothing left to replay."""
        self._wish = True
        if self._pulling:
            return
        self._pulling = True
        try:
            while self._wish and self.way is Way.REPLAY and not self._asked:
                self._wish = False
                self._step()
        finally:
            self._pulling = False

    def _step(self) -> None:
        relay = self._relay
        if self.position == relay.position:
            self._page = None
            self.way = Way.LIVE
            self._reader.caught_up()
            return
        block = self._block()
        if block:
            self._reader.replaying(True)
            try:
                for entry in block:
                    self.position = entry.position
                    self._reader.take(entry)
                    if self.way is not Way.REPLAY:
                        return
            finally:
                self._reader.replaying(False)
            # One step from live there is nothing to wait for: what is queued is one block.
            self._wish = self.position == relay.position or self._reader.room(self.pull)
        elif not self._caught_up:
            self._caught_up = True
            relay.catch_up(self.pull)
        else:
            self._ask(Query(relay.topic, self.position))

    def _block(self) -> Sequence[Entry]:
        """What comes next and is at hand."""
        self._relay.trim()
        at = self._relay.ring.find(self.position)
        if at is not None:
            self._page = None
            return self._relay.ring.slice(at, BLOCK_ENTRIES, BLOCK_BYTES)
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

    # -- the log ---------------------------------------------------------------------------------------------

    def _ask(self, query: Query) -> None:
        self._asked = True
        self._host.counted("reads")
        self._host.log.read(query, self._answered)

    def _answered(self, page: Page | None) -> None:
        self._asked = False
        if self.way is Way.CLOSED:
            return
        if page is None:
            self._host.later(self._again)
            return
        # Empty and not where the process is: one of the two is behind, and the next question goes to the
        # process.
        self._caught_up = bool(page.entries)
        self._page = deque(page.entries)
        self.read += sum(entry.size for entry in page.entries)
        if self.way is Way.LOCATING:
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
        self._reader.consider(page)
        if self.way is not Way.REPLAY:
            return
        moved = page.start != self.position
        if moved:
            gap = self._gap(page)
            self.position = page.start
            self._reader.tell(gap)
        # Twice nothing: the log and the process do not agree, and asking at once would not change that.
        again, self._fruitless = self._fruitless, not moved and not page.entries
        if again and self._fruitless:
            self._host.later(self._again)
        else:
            self.pull()

    def _again(self) -> None:
        if self.way is Way.LOCATING:
            self._locate()
        else:
            self.pull()

    def _gap(self, page: Page) -> Gap:
        """The position is not in the log."""
        self._reader.knows(frozenset((self.position,)))
        if page.broken:
            return Gap(self._relay.topic, "unreadable", None, self.position, page.start)
        # A cursor does not say of which lineage it is, so an entry that should be there may never have been.
        reason = "trimmed" if self.position.seq < page.base.seq else "unknown"
        return Gap(self._relay.topic, reason, None, self.position, page.start)
