"""A topic in this process: one position, one ring of recent entries, the readers that are live.

Why nothing is lost or repeated between replay and live. There is one position, and an entry moves it only if
the entry's `prev` is that position; so the entries that pass here are the log's chain, each entry once, in
order. An entry that does not link is dropped and only marks the topic dirty; a repair then reads the log from
the position on. A reader is live exactly from the moment its own position equals this one: before that it
reads from ring and log (`resume.replay`), after that it is among the receivers of every entry that moves the
position. Both happen on the loop's thread, and nothing runs between the comparison and the joining, so no
entry falls between replay and live, and no entry is in both. Other threads never reach this code: a push ends
in the inbox, and `seq`, history and delivery are one step behind it.

The ring of a log that is in this process is the log's own history; of any other, a copy of its newest part.

Every repair makes progress, or ends in a gap or a pause: where a stored log is damaged after the position
(`Page.broken`), or its answer makes no progress, the process continues from where it can read again.

When the position is no longer in the log, the loss is reported once, and the process continues from the
start of the log's answer. If the log is of the same lineage and reaches back far enough, it dropped entries
that this process had delivered (a stale replica was promoted): then a gap entry is appended to the log, so
that readers past the fork get the gap too.

Standard: docs/resume.md §1 and §2.
Never: an entry is delivered whose `prev` is not the position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rx_sse.bus.form import Form
from rx_sse.bus.gap import Gap
from rx_sse.bus.host import Host, Wary
from rx_sse.bus.log.entry import END, GAP, Entry
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import SEQ_BITS, SHIFT, UNKNOWN, Position, ref_of, seq_of
from rx_sse.bus.log.withdrawn import withdrawn
from rx_sse.bus.ring import ring_kept, ring_of
from rx_sse.delivery.receivers import Receiver, ReceiverSet
from rx_sse.wire.event import ServerSentEvent

NONE_TOLD: Final[frozenset[Position]] = frozenset()


class Owner(Protocol):
    """The table that a local topic is kept in."""

    def unused(self, topic: LocalTopic) -> None:
        """Its last user has released it."""
        ...


class LocalTopic:
    """The state of a topic in this process while it has listeners, and for a while after.

    Args:
        topic: its name.
        host: the bus.
        owner: the table that it is kept in.

    Attributes:
        position: the last entry that passed, or the topic's beginning; None until the log has answered.
        ring: the entries that led to it.
        epoch: how often the chain was broken; orders positions of different lineages.
        ended: whether the last entry is an end mark.
        told: positions of the lost branch for which readers here got a gap; a reader that begins here needs
            none.
        users: number of readers, live or not yet.
        wary: readers whose clients are ahead in another branch of the log.
    """

    __slots__ = (
        "_asking",
        "_callers",
        "_curious",
        "_dirty",
        "_events",
        "_fanout",
        "_host",
        "_looping",
        "_own",
        "_owner",
        "_plain",
        "_resting",
        "_stop",
        "_stuck",
        "_values",
        "closed",
        "ended",
        "epoch",
        "lineage",
        "position",
        "ref",
        "ring",
        "told",
        "topic",
        "users",
        "wary",
    )

    def __init__(self, topic: str, host: Host, owner: Owner) -> None:
        self.topic = topic
        self.ref = ref_of(topic)
        self._host = host
        self._fanout = host.fanout
        self._owner = owner
        self.position: Position | None = None
        self.lineage = 0
        self.epoch = 0
        self.ended = False
        self.told = NONE_TOLD
        self.users = 0
        self.wary: dict[Wary, None] | None = None
        self.closed = False
        self._values: ReceiverSet | None = None
        self._plain: ReceiverSet | None = None
        self._events: ReceiverSet | None = None
        self._dirty = True
        self._asking = self._looping = self._resting = self._stuck = False
        self._callers: tuple[Callable[[], None], ...] = ()
        self._curious: tuple[Callable[[], None], ...] = ()
        self._stop: Callable[[], None]
        if (resident := host.resident) is None:
            self._own = True
            self._stop = host.log.watch(topic, self)
            self.ring = ring_of(topic, host)
            self._repair()
        else:  # what the log says is at hand
            self._own = self._dirty = False
            self._stop = watched = resident.watched(topic, self)
            self.ring = ring = watched.history
            self.position = ring.head
            self.lineage, self.ended = watched.lineage, watched.ended

    # -- called by the log -----------------------------------------------------------------------------------

    def arrived(self, entry: Entry) -> None:
        """A new entry; it may be late or a duplicate."""
        if self.closed:
            return
        if entry.prev == self.position:  # the only place where the position moves along the chain
            self.position = position = entry.position
            if self._own:
                self.ring.append(entry, self._host.clock())
            if entry.kind == END or entry.kind == GAP:
                self._special(entry)
                return
            self.ended = False
            if (events := self._events) is not None:
                batch = self._fanout.deliver(events, entry, entry.size)
                batch.position = position
                batch.end = end = self.epoch << SEQ_BITS | position >> SHIFT
                if batch.source is None:
                    batch.source = self
                    batch.ref = self.ref
                    batch.epoch = self.epoch
                    batch.order = end
            if self._plain is not None:
                self._fanout.deliver(self._plain, entry.plain(), entry.size)
            if self._values is not None:
                self._fanout.deliver(self._values, entry.value(), entry.size)
            entry.text = None
        elif self.ring.find(entry.position) is None:
            self.dirty()

    def dirty(self) -> None:
        """Entries may have been missed."""
        self._dirty = True
        self._repair()

    # -- called by readers -----------------------------------------------------------------------------------

    def known(self, callback: Callable[[], None]) -> None:
        """Call back as soon as the position is known: now, if it already is."""
        if self.position is not None:
            callback()
        else:  # the first answer suffices; a catch-up needs the answer to a query that is sent after it
            self._curious += (callback,)

    def catch_up(self, callback: Callable[[], None]) -> None:
        """Call back after a repair that began later than this call. All waiting readers share one repair."""
        self._callers += (callback,)
        self._repair()

    def trim(self) -> None:
        """Drop entries over the limits: a ring never holds an entry that the log would not return."""
        self.ring.trim(self._host.clock())

    def retain(self) -> None:
        """The retention of topics has changed."""
        if self._own:
            self.ring.keep(ring_kept(self._host.retention_of(self.topic)))

    def hold(self) -> None:
        """One more user."""
        self.users += 1

    def release(self) -> None:
        """One user less."""
        self.users -= 1
        if self.users == 0 and not self.closed:
            self._owner.unused(self)

    def join(self, form: Form, receiver: Receiver) -> None:
        """Deliver every entry from the next one on to `receiver`."""
        group = self._group(form)
        if group is not None:
            group.join(receiver)
        else:
            self._set_group(form, ReceiverSet(receiver))

    def leave(self, form: Form, receiver: Receiver) -> None:
        """Stop delivering to `receiver`."""
        if (group := self._group(form)) is not None:
            group.leave(receiver)
            if not len(group):
                self._set_group(form, None)

    def mind(self, reader: Wary) -> None:
        """Show `reader` the entries of a repair before they are delivered."""
        if self.wary is None:
            self.wary = {}
        self.wary[reader] = None

    def forget(self, reader: Wary) -> None:
        """Stop showing repairs to `reader`."""
        if self.wary is not None:
            self.wary.pop(reader, None)

    def close(self) -> None:
        """It has been unused for a while: discard the ring, stop watching the log."""
        self.closed = True
        self._stop()
        self._callers = self._curious = ()
        if self._own:
            self.ring.clear(UNKNOWN)

    # -- called by a batch (`delivery.batch.Source`) ---------------------------------------------------------

    def event_of(self, entry: Entry, epoch: int) -> ServerSentEvent:
        """The event of an entry, with its position."""
        return entry.marked(self.topic, self.ref, epoch)

    # -- repair ----------------------------------------------------------------------------------------------

    def _repair(self) -> None:
        """Read the log from the position on, as long as there is a reason to. One query at a time."""
        if self._looping:
            return
        self._looping = True
        try:
            while (
                (self._dirty or self._callers) and not self._asking and not self._resting and not self.closed
            ):
                self._ask()
        finally:
            self._looping = False

    def _ask(self) -> None:
        asked = self.position
        callers, self._callers = self._callers, ()
        self._dirty = False
        self._asking = True
        self._host.counted("repairs")

        def answered(page: Page | None) -> None:
            self._asking = False
            if self.closed:
                return
            taken = page is not None and self._take(asked, page)
            if page is not None and not taken and self.position == asked:
                taken = self._no_progress(page)
            else:
                self._stuck = False
            if self.position is not None:
                curious, self._curious = self._curious, ()
                for callback in curious:
                    callback()
            if not taken:
                self._dirty = True
                self._callers = callers + self._callers
                self._resting = page is None or self._stuck
                if self._resting:
                    self._host.later(self._rested)
            else:
                for caller in callers:
                    caller()
            self._repair()

        self._host.log.read(Query(self.topic, asked), answered)

    def _rested(self) -> None:
        self._resting = False
        self._repair()

    def _take(self, asked: Position | None, page: Page) -> bool:
        """Process the log's answer; False if the query must be repeated."""
        for reader in list(self.wary or ()):
            reader.consider(page)
        if asked is None or self.position is None:
            self.position = page.start
            self.lineage = page.lineage
            self.ended = page.ended
            if self._own:
                self.ring.clear(page.start)
        elif page.start != asked:
            if self.position != asked:
                return False  # live entries moved the position meanwhile: the answer is outdated
            self._lost(self.position, page)
        self.lineage = page.lineage
        for entry in page.entries:
            if entry.prev == self.position:
                self.arrived(entry)
        last = page.entries[-1].position if page.entries else page.start
        # An entry that the ring knows is ours, or older than the live entries received meanwhile. Otherwise
        # those live entries are from another branch.
        return last == page.head and self.ring.find(last) is not None

    def _no_progress(self, page: Page) -> bool:
        """An answer without progress: repeat the query after a pause; the second time, continue from the
        log's head, and report a gap.
        """
        self._stuck = not self._stuck
        if self._stuck or self.position is None:
            return False
        self._gap(self.position, page, page.head, "unreadable", None)
        return True

    def _lost(self, position: Position, page: Page) -> None:
        """The position is not in the log, or the entries after it cannot be read: report the gap, and
        continue from the start of the log's answer.
        """
        if page.broken:
            self._gap(position, page, page.start, "unreadable", seq_of(page.start) - seq_of(position))
            return
        # The birth nonce may have been evicted, and made anew, since this process last read it. A flushed log
        # contains none of the positions from before.
        same = page.lineage == self.lineage or any(
            self.ring.find(known) is not None for known in (page.start, page.head)
        )
        fork = same and seq_of(position) >= seq_of(page.base)
        reason = "withdrawn" if fork else "trimmed" if same else "reset"
        missed = seq_of(page.start) - seq_of(position) if same and not fork else None
        self._gap(position, page, page.start, reason, missed)
        if fork:
            self._withdrawn(position)

    def _gap(self, position: Position, page: Page, start: Position, reason: str, missed: int | None) -> None:
        """Continue from `start`, and report to every reader that entries are missing before it."""
        gap = Gap(self.topic, reason, missed or None, position, start)
        self.epoch += 1
        self.told = frozenset(self.ring.positions())
        self.position = start
        self.ended = page.ended and start == page.head
        if self._own:
            self.ring.clear(start)
        self._host.counted("gaps")
        # Values carry no position, so their readers cannot get the gap in-band; `bus.errors` gets it.
        self._host.lost(gap)
        if self._events is not None:
            self._fanout.tell(self._events, gap, lambda reader, it: reader.missed(it))

    def _withdrawn(self, upto: Position) -> None:
        """The log dropped entries: append a gap for the readers past the fork."""
        host = self._host
        host.log.append(withdrawn(self.topic, upto, host.retention_of(self.topic)))

    # -- delivery --------------------------------------------------------------------------------------------

    def _special(self, entry: Entry) -> None:
        """An entry other than an event."""
        self.ended = entry.kind == END
        for group in (self._values, self._plain, self._events):
            if group is not None:
                self._fanout.tell(group, entry, lambda reader, it: reader.special(it))

    def _group(self, form: Form) -> ReceiverSet | None:
        if form is Form.EVENTS:
            return self._events
        return self._plain if form is Form.PLAIN else self._values

    def _set_group(self, form: Form, group: ReceiverSet | None) -> None:
        if form is Form.EVENTS:
            self._events = group
        elif form is Form.PLAIN:
            self._plain = group
        else:
            self._values = group
