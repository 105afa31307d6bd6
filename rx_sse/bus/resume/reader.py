"""A subscription's reader of one topic: first behind, then live.

While it is behind it has a `Replay`, which finds the start position and replays; an idle reader has none.

A client that was in two branches of the log (a split brain) is also tracked while it is live: the process
itself may switch to the branch in which that client is ahead.

Standard: docs/resume.md §1 ("After a gap") and §2 ("Splice").
Never: a position moves back without a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Protocol

from rx_sse.bus.form import Form
from rx_sse.bus.gap import Gap
from rx_sse.bus.host import Host
from rx_sse.bus.local_topic import NONE_TOLD, LocalTopic
from rx_sse.bus.log.entry import END, GAP, Entry
from rx_sse.bus.log.port import Page
from rx_sse.bus.log.position import Position, order_of, position_in, seq_of
from rx_sse.bus.resume.replay import Phase, Replay
from rx_sse.delivery.batch import EventBatch
from rx_sse.reactive.contexts import enter
from rx_sse.reactive.observer import ignore


class Sink(Protocol):
    """Receives what a reader reads."""

    def begins(self, reader: Reader) -> bool:
        """The log must be read for the reader: returns whether it may be."""
        ...

    def located(self, reader: Reader) -> None:
        """The reader has found its start position; call `go` when it may begin."""

    def caught_up(self, reader: Reader) -> None:
        """The reader is live."""

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Entries are missing at this place."""

    def strayed(self, reader: Reader) -> None:
        """The log is now the branch in which the client is ahead: the reader must be located again."""

    def passed(self, reader: Reader, entry: Entry) -> None:
        """The position moved past an entry that gives the client no event."""

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """The topic was ended."""

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may be delivered; if not, `again` is called when it may."""
        ...

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended. A block that a reader requested itself is no overflow."""

    def failed(self, reader: Reader, error: Exception) -> None:
        """The sink's `emit` raised."""


class Reader:
    """Reads one topic for one sink.

    Args:
        local: the topic in this process; the reader holds it until it is closed.
        host: the bus; None: it begins where the topic is, and is live at once.
        sink: receives the events.
        emit: called with each event, replayed and live.
        receive: called with batches instead.
        after: the client's cursor; None: begin at the process's position; `UNKNOWN`: an invalid cursor.
        past: the higher position that the client had in another branch.
        last: without a cursor, begin this many entries earlier.
        fresh: without a cursor, begin with the first entry for which it returns true.
        context: the context in which `emit` is called; None for the current one.

    Attributes:
        replay: its replay, until it is live.
        receive: called with batches.
        read: bytes that were read from the log for it.
        replayed: entries that were replayed; None if it began where the topic was.
    """

    __slots__ = (
        "_closed",
        "_context",
        "_emit",
        "_sink",
        "_told",
        "local",
        "past",
        "read",
        "receive",
        "replay",
        "replayed",
    )

    def __init__(
        self,
        local: LocalTopic,
        host: Host | None,
        sink: Sink,
        emit: Callable[[Any], None] = ignore,
        receive: Callable[[EventBatch], None] | None = None,
        after: Position | None = None,
        past: Position | None = None,
        last: int = 0,
        fresh: Callable[[Entry], bool] | None = None,
        *,
        context: Context | None = None,
    ) -> None:
        local.hold()
        self.local = local
        self.past = past
        self.read = 0
        self.replayed: int | None = None
        self._context = context
        self.receive = receive or self._each
        self._sink = sink
        self._emit = emit
        self._told = NONE_TOLD
        self._closed = False
        self.replay: Replay | None = None
        if host is not None:
            self.replay = Replay(self, host, after, past, last, fresh)
        else:
            self._told = local.told
            local.join(Form.EVENTS, self)

    @property
    def way(self) -> Phase:
        """How far the reader is."""
        return Phase.CLOSED if self._closed else Phase.LIVE if self.replay is None else self.replay.phase

    def locate(self) -> None:
        """Find the start position; `located` is called with it."""
        if self.replay is not None:
            self.replay.locate()

    def go(self) -> None:
        """Replay the existing entries, then go live."""
        if self.replay is not None:
            self.replay.go()

    def close(self) -> None:
        """Deliver nothing more."""
        if self._closed:
            return
        self._closed = True
        if self.replay is not None:
            self.read = self.replay.read
            self.replay.close()
        else:
            self.local.leave(Form.EVENTS, self)
        self.local.forget(self)
        self._emit = self.receive = ignore
        self.local.release()

    def mind(self, past: Position | None) -> None:
        """The client was at `past` in another branch: entries up to it must not be delivered again."""
        self.past = past
        if past is not None:
            self.local.mind(self)

    def consider(self, page: Page) -> None:
        """The process, or this reader, continues with `page`."""
        if self.past is None or self.way is Phase.LOCATING:
            return
        # A page that continues from this reader's position: when the reader was located, the log did not have
        # `past`.
        own = self.replay is not None and page.start == self.replay.position
        if _leads_to(page, self.past, known=own):
            self._sink.strayed(self)

    # -- live, called by the fan-out -------------------------------------------------------------------------

    def _each(self, batch: EventBatch) -> None:
        if self._context is None:
            self._emit_all(batch.events)
        else:
            enter(self._context, self._emit_all, batch.events)

    def _emit_all(self, events: Sequence[Any]) -> None:
        for event in events:
            emit = self._emit  # replaced when the reader is closed
            emit(event)

    def fail(self, error: Exception) -> None:
        """`receive` raised while it was live."""
        if not self._closed:
            self._sink.failed(self, error)

    def missed(self, gap: Gap) -> None:
        """The process lost its position in the log, and with it every live reader."""
        if self.way is Phase.LIVE:
            self._told = self.local.told
            self._sink.missed(self, gap)

    def special(self, entry: Entry) -> None:
        """An entry other than an event."""
        if self.way is Phase.LIVE:
            self._special(entry)

    # -- behind, called by its replay ------------------------------------------------------------------------

    def begins(self) -> bool:
        """The log must be read."""
        return self._sink.begins(self)

    def located(self) -> None:
        """The start position is known."""
        self.mind(self.past)
        self._sink.located(self)

    def tell(self, gap: Gap) -> None:
        """Entries are missing at this place."""
        self._sink.missed(self, gap)

    def knows(self, told: frozenset[Position]) -> None:
        """The client needs no gap for these branches."""
        self._told = told

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may be delivered."""
        return self._sink.room(again)

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended."""
        self._sink.replaying(begun)

    def take(self, entries: list[Entry]) -> None:
        """The next entries of the replay: events, or a single entry of another kind."""
        first = entries[0]
        if first.kind == END or first.kind == GAP:
            self._special(first)
            return
        local = self.local
        epoch = local.epoch
        for entry in entries:
            if entry.chunk is None:
                entry.encode(local.ref)
                entry.text = None
        try:
            order, end = order_of(first.position, epoch), order_of(entries[-1].position, epoch)
            self.receive(EventBatch.of(local, entries, epoch, order, end))
        except Exception as error:
            self._sink.failed(self, error)

    def caught_up(self) -> None:
        """Live from now on, or at the end."""
        if self.local.ended:  # the end mark is behind this position: it was the topic's last entry
            self._sink.ended(self, None)
            return
        replay = self.replay
        assert replay is not None
        self.read = replay.read
        if replay.entries or replay.resumed:
            self.replayed = replay.entries
        self.replay = None
        self.local.join(Form.EVENTS, self)
        self._sink.caught_up(self)

    # -- both ------------------------------------------------------------------------------------------------

    def _special(self, entry: Entry) -> None:
        if entry.kind == END:
            # A client without a cursor wants the newest entries; an end that is already followed by others
            # must not end its stream.
            began = None if self.replay is None else self.replay.fresh_end
            if began is not None and seq_of(entry.position) < seq_of(began):
                self._sink.passed(self, entry)
            else:
                self._sink.ended(self, entry)
            return
        said = entry.detail()
        if position_in(said.get("upto")) in self._told:
            self._sink.passed(self, entry)
            return
        gap = Gap(self.local.topic, str(said.get("reason", "withdrawn")), None, entry.prev, entry.position)
        self._sink.missed(self, gap)


def _leads_to(page: Page, past: Position, *, known: bool) -> bool:
    """Whether `past` comes after the beginning of `page`, or may come: a page is only a part of the log,
    unless the entries after it are known."""
    entries = page.entries
    if not entries:
        return False
    index = seq_of(past) - seq_of(entries[0].position)
    if index < len(entries):
        return index >= 0 and entries[index].position == past
    return not known and entries[-1].position != page.head
