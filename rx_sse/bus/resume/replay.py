"""A reader's replay: from its client's cursor to live delivery.

It pulls. Where its position is in the process's ring, it reads the ring; where it is older, the log, page by
page, until the ring takes over; in blocks of 64 KiB, the next when the connection has room. It has no queue:
live entries wait in the ring, or in the log, until its position equals the local topic's. At that moment its
reader joins the live readers (`local_topic` says why nothing is lost), and the replay is released.

A cursor that the ring does not know makes the process catch up first, because the client may have been
connected to a process that is ahead. Then the cursor is the process's position, or in the ring, or older, or
the log does not know it: that is a gap, reported once.

The cursor of a client that was in two branches of the log (a split brain) holds its position in both
(`stream_cursor`). The higher position is looked up first: the branch that has it is the branch in which the
client has got that far.

Standard: docs/resume.md §1 ("Valid", "After a gap") and §2 ("Splice").
Never: a live queue beside the replay; a position moves back without a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Protocol

from rx_sse.bus.gap import Gap
from rx_sse.bus.host import Host
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.entry import END, GAP, Entry
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import UNKNOWN, Position, seq_of
from rx_sse.bus.log.search import Search, found_in
from rx_sse.bus.ring import RING_ENTRIES

BLOCK_BYTES = 65_536
BLOCK_ENTRIES = 128
"""A block is a quarter of an outbox, in bytes and in entries."""


class Phase(Enum):
    """How far a reader is."""

    LOCATING = "locating"
    LOCATED = "located"
    REPLAY = "replay"
    LIVE = "live"
    CLOSED = "closed"


class Behind(Protocol):
    """The reader that is not live yet."""

    local: LocalTopic
    past: Position | None

    def begins(self) -> bool:
        """The log must be read for it: returns whether it may be."""
        ...

    def located(self) -> None:
        """The start position is known; `go` may be called."""

    def tell(self, gap: Gap) -> None:
        """Entries are missing at this place."""

    def take(self, entries: list[Entry]) -> None:
        """The next entries: events, or a single entry of another kind."""

    def consider(self, page: Page) -> None:
        """The next entries are this page of the log."""

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may be delivered; if not, `again` is called when it may."""
        ...

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended."""

    def knows(self, told: frozenset[Position]) -> None:
        """Lost branches for which the client needs no gap."""

    def caught_up(self) -> None:
        """Its position is the process's: from now on it is live, or the topic has ended."""


class Replay:
    """The replay of one reader.

    Args:
        reader: the reader.
        host: the bus.
        after: the client's cursor; None: begin at the process's position; `UNKNOWN`: an invalid cursor.
        past: the higher position that the client had in another branch.
        last: without a cursor, begin this many entries earlier.
        fresh: without a cursor, begin with the first entry for which it returns true.

    Attributes:
        phase: how far the reader is.
        position: the reader continues after it.
        gap: the gap to report before the replay continues.
        resumed: whether the client's cursor was valid.
        from_log: whether the replay needs the log.
        entries, read: how many were replayed, and bytes that were read from the log for it.
        fresh_end: without a cursor, the end of the log when the replay began.
    """

    __slots__ = (
        "_after",
        "_asked",
        "_caught_up",
        "_else",
        "_fresh",
        "_fruitless",
        "_host",
        "_last",
        "_local",
        "_page",
        "_pulling",
        "_reader",
        "_wish",
        "entries",
        "fresh_end",
        "from_log",
        "gap",
        "phase",
        "position",
        "read",
        "resumed",
    )

    def __init__(
        self,
        reader: Behind,
        host: Host,
        after: Position | None,
        past: Position | None,
        last: int,
        fresh: Callable[[Entry], bool] | None = None,
    ) -> None:
        self._reader = reader
        self._local = reader.local
        self._host = host
        self.position: Position = past or after or UNKNOWN
        self.gap: Gap | None = None
        self.resumed = False
        self.from_log = False
        self.entries = self.read = 0
        self._after = after
        # Other positions to look up; the higher one again, because the missing entries follow it.
        self._else: tuple[Position, ...] = () if past is None or after is None else (after, past)
        self._last = last
        self._fresh = fresh
        self.phase = Phase.LOCATING
        self._asked = self._caught_up = self._fruitless = self._pulling = self._wish = False
        self._page: deque[Entry] | None = None  # entries read from the log
        self.fresh_end: Position | None = None

    def locate(self) -> None:
        """Find the start position; then call the reader's `located`."""
        self._local.known(self._locate)

    def go(self) -> None:
        """Replay the existing entries, then go live."""
        if self.phase is not Phase.LOCATED:
            return
        self.phase = Phase.REPLAY
        if self.gap is not None:
            gap, self.gap = self.gap, None
            self._reader.tell(gap)
        self.pull()

    def close(self) -> None:
        """Deliver nothing more."""
        self.phase = Phase.CLOSED
        self._page = None

    # -- where to begin --------------------------------------------------------------------------------------

    def _locate(self) -> None:
        local = self._local
        head = local.position
        if self.phase is not Phase.LOCATING or head is None:
            return
        local.trim()
        if self._after is None or self._after == UNKNOWN:
            self._reader.knows(local.told)
            self.fresh_end = head
            if self._after is not None:
                self.gap = Gap(local.topic, "unknown", next=head)
                self._found(head)
            elif self._fresh is not None:
                self._look_back(self._fresh)
            elif self._last <= len(local.ring):
                self._found(local.ring.position(len(local.ring) - self._last))
            else:
                self._ask(Query(local.topic, last=self._last))
        # A process that has not read yet what happened to the log knows positions that are no longer in it:
        # the position of another branch counts only after it has caught up.
        elif (self._caught_up or self.position != self._reader.past) and (
            self.position == head or local.ring.find(self.position) is not None
        ):
            self._valid()
        elif not self._caught_up:
            self._caught_up = True
            local.catch_up(self._locate)
        elif self._else and seq_of(self.position) > seq_of(head):
            self._look_elsewhere()
        else:
            self._ask(Query(local.topic, self.position))

    def _look_back(self, fresh: Callable[[Entry], bool]) -> None:
        """Begin with the first entry that is not older than a time."""
        ring, resident = self._local.ring, self._host.resident is not None
        if (position := found_in(ring, fresh)) is not None or resident:
            self._found(position or ring.base)
            return
        self.from_log = True
        if self._reader.begins():
            Search(self._local.topic, fresh, self._seek, self._found).start()

    def _seek(self, query: Query, done: Callable[[Page], None]) -> None:
        """Query the log for the start position, until it answers."""

        def answered(page: Page | None) -> None:
            if self.phase is not Phase.LOCATING:
                return
            if page is None:
                self._host.later(lambda: self._seek(query, done))
            else:
                done(page)

        self._host.counted("reads")
        self._host.log.read(query, answered)

    def _look_elsewhere(self) -> None:
        self.position, *others = self._else
        self._else = tuple(others)
        self._locate()

    def _valid(self) -> None:
        """The log has the client's position."""
        if self.position == self._reader.past:  # it will not get the entries of the branch that it leaves
            self.gap = Gap(self._local.topic, "unknown", None, self._after, self._reader.past)
        else:
            self.resumed = True
        self._found(self.position)

    def _found(self, position: Position) -> None:
        self.position = position
        ring = self._local.ring
        if (index := ring.find(position)) is not None and len(ring) - index > RING_ENTRIES:
            self.from_log = True  # more than any ring holds: the log's own history serves as the ring
        self.phase = Phase.LOCATED
        self._reader.located()

    # -- replay ----------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Emit blocks while there is room; go live when there is nothing left to replay."""
        self._wish = True
        if self._pulling:
            return
        self._pulling = True
        try:
            while self._wish and self.phase is Phase.REPLAY and not self._asked:
                self._wish = False
                self._step()
        finally:
            self._pulling = False

    def _step(self) -> None:
        local = self._local
        if self.position == local.position:
            self._page = None
            self.phase = Phase.LIVE
            self._reader.caught_up()
            return
        block = self._block()
        if block:
            self._reader.replaying(True)
            try:
                for entries in _together(block):
                    self.position = entries[-1].position
                    self.entries += len(entries)
                    self._reader.take(entries)
                    if self.phase is not Phase.REPLAY:
                        return
            finally:
                self._reader.replaying(False)
            # One step from live, it need not wait: the queue holds one block at most.
            self._wish = self.position == local.position or self._reader.room(self.pull)
        elif not self._caught_up:
            self._caught_up = True
            local.catch_up(self.pull)
        else:
            self._ask(Query(local.topic, self.position))

    def _block(self) -> Sequence[Entry]:
        """The next entries that are in memory."""
        self._local.trim()
        at = self._local.ring.find(self.position)
        if at is not None:
            self._page = None
            block = self._local.ring.slice(at, BLOCK_ENTRIES, BLOCK_BYTES)
            if self._host.resident is not None:
                self.read += sum([entry.size for entry in block])
            return block
        taken: list[Entry] = []
        size = 0
        position = self.position
        while self._page and len(taken) < BLOCK_ENTRIES:
            entry = self._page[0]
            size += entry.size
            if entry.prev != position or (size > BLOCK_BYTES and taken):
                break
            taken.append(self._page.popleft())  # delivered entries are released
            position = entry.position
        return taken

    # -- the log ---------------------------------------------------------------------------------------------

    def _ask(self, query: Query) -> None:
        if self.phase is Phase.LOCATING and not self._reader.begins():
            return  # refused before anything was read for it
        self._asked = True
        self._host.counted("reads")
        self._host.log.read(query, self._answered)

    def _answered(self, page: Page | None) -> None:
        self._asked = False
        if self.phase is Phase.CLOSED:
            return
        if page is None:
            self._host.later(self._again)
            return
        # Empty, and not at the process's position: the log or the process is behind, and the next query goes
        # to the process.
        self._caught_up = bool(page.entries)
        self._page = deque(page.entries)
        self.read += sum(entry.size for entry in page.entries)
        if self.phase is Phase.LOCATING:
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
        if self.phase is not Phase.REPLAY:
            return
        moved = page.start != self.position
        if moved:
            gap = self._gap(page)
            self.position = page.start
            self._reader.tell(gap)
        # Twice empty: the log and the process disagree, and an immediate query would not change that.
        again, self._fruitless = self._fruitless, not moved and not page.entries
        if again and self._fruitless:
            self._host.later(self._again)
        else:
            self.pull()

    def _again(self) -> None:
        if self.phase is Phase.LOCATING:
            self._locate()
        else:
            self.pull()

    def _gap(self, page: Page) -> Gap:
        """The position is not in the log."""
        self._reader.knows(frozenset((self.position,)))
        if page.broken:
            return Gap(self._local.topic, "unreadable", None, self.position, page.start)
        # A cursor does not contain its lineage, so an entry that should exist may never have existed.
        reason = "trimmed" if seq_of(self.position) < seq_of(page.base) else "unknown"
        return Gap(self._local.topic, reason, None, self.position, page.start)


def _together(block: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries of a block: events together, any other entry alone."""
    events: list[Entry] = []
    for entry in block:
        if entry.kind == END or entry.kind == GAP:
            if events:
                yield events
                events = []
            yield [entry]
        else:
            events.append(entry)
    if events:
        yield events
