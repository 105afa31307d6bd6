"""An unbroken chain of entries: a topic in the memory log, or a process's recent part of a topic.

Operations wanted: append at the end, drop at the front, find a position, read from there. All O(1) except for
the copy of the entries read: entries are dense, so the index of an entry is its sequence number minus that of
the first. A list with an offset does this; a deque would take 600 bytes for a topic with one entry, and walk
to its middle.

Never: a hole. Appending an entry that does not link to the end is an error of the caller.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from rx_sse.bus.log.entry import Entry, Stored, restored
from rx_sse.bus.log.position import Position, seq_of
from rx_sse.bus.log.retention import Retention

Table = TypeVar("Table", bound=dict[Any, Any])


class History:
    """Entries, each linked to the one before it.

    Args:
        ref: the topic's reference in cursors, for the bytes of its entries.
        base: the position before the first entry.
        kept: its retention.
        budget: the memory that it shares with others.

    Attributes:
        head: the position of the last entry, or the base.
        size: bytes of all entries.
    """

    __slots__ = ("_due", "_entries", "_first", "base", "budget", "head", "kept", "ref", "size")

    def __init__(self, ref: str, base: Position, kept: Retention, budget: MemoryBudget) -> None:
        self._entries: list[Stored | None] = []
        self._first = 0
        self._due = (
            -math.inf
        )  # when the oldest entry is too old, if known: an append does not touch that entry
        self.ref = ref
        self.base = base
        self.head = base
        self.kept = kept
        self.budget = budget
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries) - self._first

    def append(self, entry: Entry, now: float) -> None:
        """Add `entry`, whose `prev` is the head, and drop what is over the limits at `now`."""
        entries, budget, kept, size = self._entries, self.budget, self.kept, entry.size
        chunk = entry.encode(self.ref)
        self.head = position = entry.position
        entries.append((position, entry.at, entry.kind, entry.event, chunk, size, entry.trace))
        self.size += size
        budget.size += size
        if len(entries) - self._first == 1:  # its first entry
            budget.used[self] = None
        elif budget.size > budget.ordered:
            budget.used.move_to_end(self)
        if self._due <= now or len(entries) - self._first > kept.entries or self.size > kept.bytes:
            self.trim(now)
        if budget.size > budget.max_bytes:
            budget.evict()

    def keep(self, kept: Retention) -> None:
        """Use another retention from now on."""
        self.kept = kept
        self._due = -math.inf

    def trim(self, now: float) -> None:
        """Drop entries over the limits at `now`, by the clock of the entries' times."""
        kept = self.kept
        while len(self._entries) > self._first and (
            len(self._entries) - self._first > kept.entries
            or self.size > kept.bytes
            or self._oldest()[1] + kept.age <= now
        ):
            self.drop_first()
        self._due = self._oldest()[1] + kept.age if self._entries else -math.inf

    def drop_first(self) -> None:
        """Drop the oldest entry."""
        position, _, _, _, _, size, _ = self._oldest()
        self._entries[self._first] = None
        self._first += 1
        self._due = -math.inf
        self.base = position
        self.size -= size
        self.budget.size -= size
        # At most half of the list is dead, so each entry moved here was paid for by one drop.
        if self._first * 2 >= len(self._entries):
            del self._entries[: self._first]
            self._first = 0
        if not self._entries:
            self.budget.used.pop(self, None)

    def clear(self, base: Position) -> None:
        """Drop everything, and begin at `base`."""
        self.budget.size -= self.size
        self.budget.used.pop(self, None)
        self._entries = []
        self._first = 0
        self.base = self.head = base
        self.size = 0

    def find(self, position: Position) -> int | None:
        """The number of entries before `position`, if it is an entry's or the base; otherwise None."""
        index = seq_of(position) - seq_of(self.base)
        if index == 0:
            return 0 if position == self.base else None
        if 0 < index <= len(self):
            entry = self._entries[self._first + index - 1]
            if entry is not None and entry[0] == position:
                return index
        return None

    def after(self, seq: int) -> int:
        """The number of entries whose sequence number is not greater than `seq`."""
        return min(max(seq - seq_of(self.base), 0), len(self))

    def position(self, index: int) -> Position:
        """The position that has `index` entries before it."""
        if index == 0:
            return self.base
        entry = self._entries[self._first + index - 1]
        assert entry is not None
        return entry[0]

    def positions(self) -> Iterator[Position]:
        """The base and the positions of all entries."""
        yield self.base
        for entry in self._entries[self._first :]:
            assert entry is not None
            yield entry[0]

    def slice(self, index: int, max_entries: int, max_bytes: int) -> Sequence[Entry]:
        """The entries from `index` on, as many as the limits allow, but at least one if there is one."""
        begin = self._first + index
        taken: list[Entry] = []
        size = 0
        prev = self.position(index)
        for entry in self._entries[begin : begin + max_entries]:
            assert entry is not None
            size += entry[5]
            if size > max_bytes and taken:
                break
            taken.append(restored(entry, prev))
            prev = entry[0]
        return taken

    def _oldest(self) -> Stored:
        """The oldest entry; there must be one."""
        entry = self._entries[self._first]
        assert entry is not None
        return entry


class MemoryBudget:
    """Bytes that many histories share. Over the limit, the history that was appended to least recently drops
    its oldest entries. The order is kept while more than half of the bytes are in use: moving a history to
    the end of it costs an append a tenth of its time, and a bus that never comes near its limit needs none.

    Args:
        max_bytes: their limit.

    Attributes:
        size: bytes in use.
        ordered: bytes in use beyond which each append moves its history to the end of `used`.
        used: the histories that have entries, the least recently appended to first.
    """

    __slots__ = ("_peak", "max_bytes", "ordered", "size", "used")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.ordered = max_bytes // 2
        self.size = 0
        self.used: OrderedDict[History, None] = OrderedDict()
        self._peak = 0

    def evict(self) -> None:
        """Drop entries until the limit holds, or none are left."""
        while self.size > self.max_bytes and self.used:
            next(iter(self.used)).drop_first()

    def shrink(self) -> None:
        """Release memory that was needed for many more histories. Called now and then."""
        self.used, self._peak = shrunk(self.used, self._peak)


def shrunk(table: Table, peak: int) -> tuple[Table, int]:
    """`table`, made anew once it holds less than an eighth of its `peak`, and the new peak.

    A dict that is emptied keeps the size that it had.
    """
    peak = max(peak, len(table))
    if peak > 64 and len(table) * 8 < peak:
        return type(table)(table), len(table)
    return table, peak
