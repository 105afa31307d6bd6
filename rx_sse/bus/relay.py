"""A topic in this process: one position, one ring of recent entries, the readers that are live.

Why nothing is lost or repeated between replay and live. There is one position, and an entry moves it only if
the entry's `prev` is that position; so what passes here is the log's chain, each entry once, in order. An
entry that does not link is thrown away and only marks the topic dirty; a repair then reads the log from the
position on. A reader is live exactly from the moment its own position equals this one: before that it pulls
from ring and log (`reader`), after that it is among the receivers of every entry that moves the position.
Both happen on the loop's thread, and nothing comes between the comparison and the joining, so no entry falls
between replay and live, and none is in both. Threads never get here: a push ends in the inbox, and `seq`,
history and delivery are one step behind it.

Every repair makes progress, or ends in a gap or a pause: where a stored log is damaged behind the position
(`Page.broken`), or answers what leads nowhere, the process goes on from where it can read again.

When the position is no longer in the log, what is missing is told once, and the process goes on from where
the log does. If the log is of the same lineage and reaches back far enough, it took back what this process
had delivered (a stale replica was promoted): then a gap entry goes into the log, so that readers behind the
fork are told as well.

Standard: resume rules §1 and §2.
Never: an entry is delivered whose `prev` is not the position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rx_sse.bus.cursor import Position, ref_of
from rx_sse.bus.dispatch import Audience
from rx_sse.bus.entry import END, GAP, Entry, Gap
from rx_sse.bus.host import Host
from rx_sse.bus.log import Page, Query
from rx_sse.bus.run import Run

RING_ENTRIES = 1000
RING_BYTES = 1_048_576


class Wary(Protocol):
    """Who must look at what a repair brings, before it comes."""

    def consider(self, page: Page) -> None: ...


class Relay:
    """What this process knows of a topic while somebody listens, and for a while after.

    Args:
        topic: its name.
        host: the bus.

    Attributes:
        position: the last entry that passed, or the topic's beginning; None until the log has told.
        ring: the entries that led to it.
        epoch: how often the chain was broken; orders positions of different lineages.
        ended: whether the last entry is an end mark.
        told: positions of the lost branch that readers here were told of; who begins here need not be.
        values, plain, events: those who get values, events without ids, and events with their place.
        users: how many use this relay, live or not yet.
        wary: readers whose clients have been further in another branch of the log.
    """

    __slots__ = (
        "_asking",
        "_callers",
        "_curious",
        "_dirty",
        "_host",
        "_looping",
        "_resting",
        "_stop",
        "_stuck",
        "closed",
        "ended",
        "epoch",
        "events",
        "lineage",
        "plain",
        "position",
        "ref",
        "ring",
        "told",
        "topic",
        "users",
        "values",
        "wary",
    )

    def __init__(self, topic: str, host: Host) -> None:
        self.topic = topic
        self.ref = ref_of(topic)
        self._host = host
        self.position: Position | None = None
        self.lineage = 0
        self.ring = Run(Position(0, 0))
        self.epoch = 0
        self.ended = False
        self.told: frozenset[Position] = frozenset()
        self.values = Audience()
        self.plain = Audience()
        self.events = Audience()
        self.users = 0
        self.wary: dict[Wary, None] = {}
        self.closed = False
        self._dirty = True
        self._asking = False
        self._looping = False
        self._resting = False
        self._stuck = False
        self._callers: list[Callable[[], None]] = []
        self._curious: list[Callable[[], None]] = []
        self._stop = host.log.watch(topic, self)
        self._repair()

    # -- the log's side --------------------------------------------------------------------------------------

    def arrived(self, entry: Entry) -> None:
        """A new entry, perhaps late, perhaps twice."""
        if self.closed:
            return
        if entry.prev == self.position:
            self._accept(entry)
        elif self.ring.find(entry.position) is None:
            self.dirty()

    def dirty(self) -> None:
        """Something may have been missed."""
        self._dirty = True
        self._repair()

    # -- the readers' side -----------------------------------------------------------------------------------

    def known(self, callback: Callable[[], None]) -> None:
        """Call back as soon as there is a position: now, if there is one."""
        if self.position is not None:
            callback()
        else:  # the first answer will do; a catch-up needs one to a question that comes after it
            self._curious.append(callback)

    def catch_up(self, callback: Callable[[], None]) -> None:
        """Call back after a repair that began later than this call. Any number of readers share one."""
        self._callers.append(callback)
        self._repair()

    def trim(self) -> None:
        """Forget what is over the limits: a ring never shows what the log would not."""
        ring, kept = self.ring, self._host.retention
        entries = min(RING_ENTRIES, kept.entries)
        oldest = self._host.clock() - kept.age
        while ring and (len(ring) > entries or ring.size > RING_BYTES or ring.first().at <= oldest):
            self._host.rings.drop_first(ring)

    def hold(self) -> None:
        """One more uses this relay."""
        self.users += 1

    def release(self) -> None:
        """One less does."""
        self.users -= 1
        if self.users == 0 and not self.closed:
            self._host.unused(self)

    def close(self) -> None:
        """Nobody has used it for a while: forget the ring, stop watching."""
        self.closed = True
        self._stop()
        self._callers.clear()
        self._curious.clear()
        self._host.rings.clear(self.ring, Position(0, 0))

    # -- repair ----------------------------------------------------------------------------------------------

    def _repair(self) -> None:
        """Read on from the position while there is a reason to. One question at a time."""
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
        callers, self._callers = self._callers, []
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
                curious, self._curious = self._curious, []
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
        """Go on with what the log says; False if it must be asked again."""
        for reader in list(self.wary):
            reader.consider(page)
        if asked is None or self.position is None:
            self.position = page.start
            self.lineage = page.lineage
            self.ended = page.ended
            self.ring.clear(page.start)
        elif page.start != asked:
            if self.position != asked:
                return False  # live entries moved it meanwhile: the answer is to another question
            self._lost(self.position, page)
        self.lineage = page.lineage
        for entry in page.entries:
            if entry.prev == self.position:
                self._accept(entry)
        last = page.entries[-1].position if page.entries else page.start
        # Known to the ring it is ours, or older than what came live meanwhile. Otherwise that came from
        # another branch.
        return last == page.head and self.ring.find(last) is not None

    def _no_progress(self, page: Page) -> bool:
        """An answer that leads nowhere: ask again after a pause; the second time, go on from the log's head,
        and say that something is missing.
        """
        self._stuck = not self._stuck
        if self._stuck or self.position is None:
            return False
        self._gap(self.position, page, page.head, "unreadable", None)
        return True

    def _lost(self, position: Position, page: Page) -> None:
        """The position is not in the log, or what stands behind it cannot be read: say so, and go on from
        where the log does.
        """
        if page.broken:
            self._gap(position, page, page.start, "unreadable", page.start.seq - position.seq)
            return
        # The birth nonce may have been evicted, and made anew, since this process heard of it last. A log
        # that was flushed has no position that was here before.
        same = page.lineage == self.lineage or any(
            self.ring.find(known) is not None for known in (page.start, page.head)
        )
        fork = same and position.seq >= page.base.seq
        reason = "withdrawn" if fork else "trimmed" if same else "reset"
        missed = page.start.seq - position.seq if same and not fork else None
        self._gap(position, page, page.start, reason, missed)
        if fork:
            self._host.withdrawn(self.topic, position)

    def _gap(self, position: Position, page: Page, start: Position, reason: str, missed: int | None) -> None:
        """Go on from `start`, and tell every reader that something is missing before it."""
        gap = Gap(self.topic, reason, missed or None, position, start)
        self.epoch += 1
        self.told = frozenset(self.ring.positions())
        self.position = start
        self.ended = page.ended and start == page.head
        self._host.rings.clear(self.ring, start)
        self._host.counted("gaps")
        # Values carry no position, so nobody can tell their readers in-band; the bus's errors do.
        self._host.lost(gap)
        self._host.dispatcher.tell(self.events, gap, lambda reader, it: reader.missed(it))

    def _accept(self, entry: Entry) -> None:
        """The one place where the position moves along the chain, and with it every live reader."""
        host = self._host
        self.position = entry.position
        host.rings.append(self.ring, entry)
        self.trim()
        self.ended = entry.kind == END
        dispatcher = host.dispatcher
        if entry.kind == END or entry.kind == GAP:
            for audience in (self.values, self.plain, self.events):
                if len(audience):
                    dispatcher.tell(audience, entry, lambda reader, it: reader.special(it))
            return
        if len(self.events):
            marked = entry.marked(self.topic, self.ref, self.epoch)
            dispatcher.broadcast(self.events, marked, entry.size)
        if len(self.plain):
            dispatcher.broadcast(self.plain, entry.plain(), entry.size)
        if len(self.values):
            dispatcher.broadcast(self.values, entry.value(), entry.size)
