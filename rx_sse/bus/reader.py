"""A subscription's reader of one topic: behind at first, then live.

While it is behind it has its `CatchUp`, which finds out where to begin and replays; an idle reader has none.

A client that was in two branches of the log (a split brain) is looked out for as well while it is live: the
process itself may go over to the branch in which that client has been further.

Standard: resume rules §1 ("After a gap") and §2 ("Splice").
Never: a position that goes back without a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rx_sse.bus.catchup import CatchUp, Way
from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import END, GAP, Entry, Gap
from rx_sse.bus.host import Host
from rx_sse.bus.log import Page
from rx_sse.bus.relay import Relay
from rx_sse.reactive.observer import ignore
from rx_sse.wire.burst import Burst


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
        catchup: its way to live, while it is not.
        receive: takes live events.
        read: bytes that were read from the log for it.
    """

    __slots__ = ("_closed", "_emit", "_sink", "_told", "catchup", "past", "read", "receive", "relay")

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
        self.past = past
        self.read = 0
        self.receive = receive or self._each
        self._sink = sink
        self._emit = emit if receive is None else ignore  # of the live ones
        self._told: frozenset[Position] = frozenset()
        self._closed = False
        self.catchup: CatchUp | None = CatchUp(self, host, emit, after, past, last)

    @property
    def way(self) -> Way:
        """How far it is."""
        return Way.CLOSED if self._closed else Way.LIVE if self.catchup is None else self.catchup.way

    def locate(self) -> None:
        """Find out where to begin; `located` is told."""
        if self.catchup is not None:
            self.catchup.locate()

    def go(self) -> None:
        """Replay what there is, then go live."""
        if self.catchup is not None:
            self.catchup.go()

    def close(self) -> None:
        """Get nothing any more."""
        if self._closed:
            return
        self._closed = True
        if self.catchup is not None:
            self.read = self.catchup.read
            self.catchup.close()
        else:
            self.relay.events.leave(self)
        self.relay.wary.pop(self, None)
        self._emit = self.receive = ignore
        self.relay.release()

    def mind(self, past: Position | None) -> None:
        """The client has been as far as `past` in another branch: what it had there must not come again."""
        self.past = past
        if past is not None:
            self.relay.wary[self] = None

    def consider(self, page: Page) -> None:
        """The process, or this reader, reads on with `page`."""
        if self.past is None or self.way is Way.LOCATING:
            return
        # A page that goes on from where this reader is: when it was located, the log did not have `past`.
        own = self.catchup is not None and page.start == self.catchup.position
        if _leads_to(page, self.past, known=own):
            self._sink.strayed(self)

    # -- live, called by the dispatcher ----------------------------------------------------------------------

    def _each(self, burst: Burst) -> None:
        for event in burst.items:
            emit = self._emit  # another one from the moment that it is closed
            emit(event)

    def fail(self, error: Exception) -> None:
        """`receive` raised while it was live."""
        if not self._closed:
            self._sink.failed(self, error)

    def missed(self, gap: Gap) -> None:
        """The process lost its place, and with it every live reader."""
        if self.way is Way.LIVE:
            self._told = self.relay.told
            self._sink.missed(self, gap)

    def special(self, entry: Entry) -> None:
        """An entry that is no event."""
        if self.way is Way.LIVE:
            self._special(entry)

    # -- behind, called by its way ---------------------------------------------------------------------------

    def located(self) -> None:
        """It is known where to begin."""
        self.mind(self.past)
        self._sink.located(self)

    def tell(self, gap: Gap) -> None:
        """Entries are missing here."""
        self._sink.missed(self, gap)

    def knows(self, told: frozenset[Position]) -> None:
        """The client needs not be told of these branches."""
        self._told = told

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the next block may come."""
        return self._sink.room(again)

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended."""
        self._sink.replaying(begun)

    def take(self, entry: Entry) -> None:
        """The next entry of the replay."""
        if entry.kind == END or entry.kind == GAP:
            self._special(entry)
            return
        if self.catchup is None:
            return
        try:
            self.catchup.emit(entry.marked(self.relay.topic, self.relay.ref, self.relay.epoch))
        except Exception as error:
            self._sink.failed(self, error)

    def caught_up(self) -> None:
        """Live from now on, or at the end."""
        if self.relay.ended:  # the end mark is behind us: it was the last thing that happened here
            self._sink.ended(self, None)
            return
        assert self.catchup is not None
        self.read = self.catchup.read
        self.catchup = None
        self.relay.events.join(self)

    # -- both ------------------------------------------------------------------------------------------------

    def _special(self, entry: Entry) -> None:
        if entry.kind == END:
            # Who begins without a cursor wants the newest entries, not to be sent away by an end that others
            # outlived.
            began = None if self.catchup is None else self.catchup.fresh_end
            if began is not None and entry.position.seq < began.seq:
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


def _leads_to(page: Page, past: Position, *, known: bool) -> bool:
    """Whether `past` comes behind the beginning of `page`, or may come: a page is not all there is, unless
    what follows is known."""
    entries = page.entries
    if not entries:
        return False
    index = past.seq - entries[0].position.seq
    if index < len(entries):
        return index >= 0 and entries[index].position == past
    return not known and entries[-1].position != page.head
