"""The last position of each topic that this process has stored, to detect that the file has lost it.

A restored backup ends before entries that were acknowledged. The process that stored them reports the gap in
the log, so that clients of every process get it, also of those that never read the entries.

Standard: docs/resume.md §1, "Fork".
Never: more than a bounded number of topics is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rx_sse.bus.log.port import Query
from rx_sse.bus.log.position import Position, seq_of
from rx_sse.bus.sqlite.pages import Pages
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.work import Part, Work, stored_in

REMEMBERED = 2_000
"""Topics that are remembered at the least; twice as many at the most."""
_NO_CLOCK = Clock(0.0, 0)
"""The times of entries are not looked at."""

Lost = list[tuple[str, Position]]


class Acknowledged:
    """The account of one writer. Used by its thread alone."""

    __slots__ = ("_before", "_doubted", "_id", "_last")

    def __init__(self) -> None:
        # For each topic the position, and the lineage. Topics not written to for long are dropped as a whole.
        self._last: dict[str, tuple[Position, int]] = {}
        self._before: dict[str, tuple[Position, int]] = {}
        self._doubted: dict[str, tuple[Position, int]] = {}
        self._id = 0  # of the last entry

    def __len__(self) -> int:
        return len(self._doubted.keys() | self._before.keys() | self._last.keys())

    def doubt(self) -> None:
        """The file may be another one, or its content an earlier one: what is stored from now on does not
        show that what was stored before is there.
        """
        self._doubted |= self._before | self._last
        while len(self._doubted) > 2 * REMEMBERED:
            del self._doubted[next(iter(self._doubted))]
        self._before, self._last, self._id = {}, {}, 0

    def note(self, parts: Sequence[Part]) -> bool:
        """A transaction was committed; whether it gave ids anew: the content was an earlier one."""
        anew = False
        for stored in stored_in(parts):
            if stored.first <= self._id:
                anew = True
                self.doubt()
            self._id = stored.last
            self._last.update(stored.ends)
        if len(self._last) >= REMEMBERED:
            self._before, self._last = self._last, {}
        return anew

    def look(self, done: Callable[[Any], None]) -> Work:
        """Find the topics that go on in the file without this process's last entry.

        Args:
            done: called with them and with the position of that entry, each once; or with an exception.
        """
        return Work(lambda connection, _: self._lost(Pages(connection)), done, reads=True)

    def _lost(self, pages: Pages) -> Lost:
        found = Lost()
        for topic, (position, lineage) in (*self._doubted.items(), *(self._before | self._last).items()):
            page = pages.page(Query(topic, position, max_entries=1), _NO_CLOCK)
            if page is not None and _is_lost(
                page[0].start, page[0].base, position, page[0].lineage == lineage
            ):
                found.append((topic, position))
        self._doubted = {}
        for topic, position in found:
            for known in (self._before, self._last):
                if topic in known and known[topic][0] == position:
                    del known[topic]
        return found


def _is_lost(start: Position, base: Position, position: Position, same: bool) -> bool:
    """Whether a topic has no entry at a position, without having been trimmed or begun anew."""
    return same and start != position and seq_of(position) >= seq_of(base)
