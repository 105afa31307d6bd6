"""Finds where in a topic's log the entries since a time begin.

A binary search by sequence numbers, one entry a query: for a position that no entry has, the port's `read`
answers with the oldest entry after it. So a log of 100,000 entries takes 17 queries, whichever log it is, and
no index of times is needed.

The times of entries rise with their numbers, unless a clock was set back. Then the search ends at one of the
places where a fresh entry follows an entry that is not.

Never: it ends after an entry that it has found to be fresh.
"""

from __future__ import annotations

from collections.abc import Callable

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.history import History
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import UNKNOWN, Position, new_position, seq_of

Ask = Callable[[Query, Callable[[Page], None]], None]


def found_in(history: History, fresh: Callable[[Entry], bool]) -> Position | None:
    """The position after which the entries since a time begin, if the history holds an entry that is too old;
    otherwise None.
    """
    if not len(history) or fresh(history.slice(0, 1, 0)[0]):
        return None
    low, high = 0, len(history)
    while high - low > 1:
        middle = (low + high) // 2
        if fresh(history.slice(middle, 1, 0)[0]):
            high = middle
        else:
            low = middle
    return history.position(high)


class Search:
    """One search.

    Args:
        topic: its name.
        fresh: returns whether an entry is not older than the time.
        ask: queries the log, until it answers.
        found: called with the position after which the entries begin.
    """

    __slots__ = ("_ask", "_found", "_fresh", "_high", "_low", "_stale", "_topic")

    def __init__(
        self, topic: str, fresh: Callable[[Entry], bool], ask: Ask, found: Callable[[Position], None]
    ) -> None:
        self._topic = topic
        self._fresh = fresh
        self._ask = ask
        self._found = found
        self._stale = UNKNOWN
        self._low = self._high = 0

    def start(self) -> None:
        """Begin, at the oldest entry."""
        self._ask(Query(self._topic, UNKNOWN, max_entries=1), self._begun)

    def _begun(self, page: Page) -> None:
        if not page.entries or self._fresh(page.entries[0]):
            self._found(page.start)
            return
        self._stale = page.entries[0].position
        self._low, self._high = seq_of(self._stale), seq_of(page.head) + 1
        self._go()

    def _go(self) -> None:
        """Query the entry in the middle between one that is too old and one that is not, or end."""
        if self._high - self._low <= 1:
            self._found(self._stale)
            return
        before = new_position((self._low + self._high) // 2 - 1, 0)  # which no entry has
        self._ask(Query(self._topic, before, max_entries=1), self._answered)

    def _answered(self, page: Page) -> None:
        middle = (self._low + self._high) // 2
        entry = page.entries[0] if page.entries else None
        if entry is not None and seq_of(entry.position) < self._high and not self._fresh(entry):
            self._low, self._stale = seq_of(entry.position), entry.position
        else:
            self._high = middle
        self._go()
