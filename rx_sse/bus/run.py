"""An unbroken run of entries: what a process remembers of a topic, and what the memory log stores.

Operations wanted: append at the end, drop at the front, find a position, read on from there. All O(1) but for
the copy of what is read: entries are dense, so an entry's index is its sequence number less that of the
first. A list with an offset does it; a deque would take 600 bytes for a topic with one entry, and walk to its
middle.

Standard: none.
Never: a hole. What does not link to the end is a mistake of the caller's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import Entry

Table = TypeVar("Table", bound=dict[Any, Any])


class Run:
    """Entries, each linked to the one before it.

    Attributes:
        base: the position before the first entry.
        size: bytes of all entries.
    """

    __slots__ = ("_entries", "_first", "base", "size")

    def __init__(self, base: Position) -> None:
        self._entries: list[Entry | None] = []
        self._first = 0
        self.base = base
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries) - self._first

    @property
    def head(self) -> Position:
        """The position of the last entry, or the base."""
        last = self._entries[-1] if self._entries else None
        return self.base if last is None else last.position

    def first(self) -> Entry:
        """The oldest entry; there must be one."""
        entry = self._entries[self._first]
        assert entry is not None
        return entry

    def append(self, entry: Entry) -> None:
        """Add `entry`, whose `prev` is the head."""
        self._entries.append(entry)
        self.size += entry.size

    def drop_first(self) -> int:
        """Forget the oldest entry; returns its size."""
        entry = self.first()
        self._entries[self._first] = None
        self._first += 1
        self.base = entry.position
        self.size -= entry.size
        # Half of the list at most is dead, so what is moved here was paid for by as many drops.
        if self._first * 2 >= len(self._entries):
            del self._entries[: self._first]
            self._first = 0
        return entry.size

    def clear(self, base: Position) -> None:
        """Forget everything and begin at `base`."""
        self._entries = []
        self._first = 0
        self.base = base
        self.size = 0

    def find(self, position: Position) -> int | None:
        """How many entries stand before `position`, which is that of an entry or the base; None if it is
        neither.
        """
        index = position.seq - self.base.seq
        if index == 0:
            return 0 if position == self.base else None
        if 0 < index <= len(self):
            entry = self._entries[self._first + index - 1]
            if entry is not None and entry.position == position:
                return index
        return None

    def after(self, seq: int) -> int:
        """How many entries have a sequence number that is not greater than `seq`."""
        return min(max(seq - self.base.seq, 0), len(self))

    def position(self, index: int) -> Position:
        """The position that has `index` entries before it."""
        if index == 0:
            return self.base
        entry = self._entries[self._first + index - 1]
        assert entry is not None
        return entry.position

    def positions(self) -> Iterator[Position]:
        """Those of the base and of all entries."""
        yield self.base
        for entry in self._entries[self._first :]:
            assert entry is not None
            yield entry.position

    def slice(self, index: int, max_entries: int, max_bytes: int) -> Sequence[Entry]:
        """The entries from `index` on, as many as the limits allow, but always one if there is one."""
        begin = self._first + index
        taken: list[Entry] = []
        size = 0
        for entry in self._entries[begin : begin + max_entries]:
            assert entry is not None
            size += entry.size
            if size > max_bytes and taken:
                break
            taken.append(entry)
        return taken


class Budget:
    """Bytes that many runs share: when they are over, the run that was used least recently gives up its
    oldest entries.

    Args:
        max_bytes: in all.
    """

    __slots__ = ("_peak", "_runs", "max_bytes", "size")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._peak = 0
        self._runs: OrderedDict[Run, None] = OrderedDict()

    def append(self, run: Run, entry: Entry) -> None:
        """Add an entry to a run, and make room for it."""
        run.append(entry)
        self.size += entry.size
        self._runs[run] = None
        self._runs.move_to_end(run)
        while self.size > self.max_bytes:
            oldest = next(iter(self._runs))
            self.drop_first(oldest)

    def drop_first(self, run: Run) -> None:
        """Forget a run's oldest entry."""
        self.size -= run.drop_first()
        if not run:
            self._runs.pop(run, None)

    def shrink(self) -> None:
        """Give back the memory of a time when there were many more runs. Now and then."""
        self._runs, self._peak = shrunk(self._runs, self._peak)

    def clear(self, run: Run, base: Position) -> None:
        """Forget all that a run holds."""
        self.size -= run.size
        run.clear(base)
        self._runs.pop(run, None)


def shrunk(table: Table, peak: int) -> tuple[Table, int]:
    """`table`, made anew once it holds less than an eighth of its `peak`, and the new peak.

    A dict that is emptied keeps the size that it had.
    """
    peak = max(peak, len(table))
    if peak > 64 and len(table) * 8 < peak:
        return type(table)(table), len(table)
    return table, peak
