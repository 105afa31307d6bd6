"""A page of a topic's history, as values.

An entry is what a stream would have sent: the same id, name and data. Entries other than events are included,
under the name that they have on a stream (``stream-gap`` where the log is known to have lost entries,
``stream-end`` where the topic was ended), because an incomplete page must not look complete.

Standard: docs/positions.md.
Never: an unreported hole: entries after `after` that the log no longer has are reported as the page's `gap`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import END, GAP, Entry
from rx_sse.bus.log.port import Page
from rx_sse.bus.log.position import Position, cursor_of, part_of, ref_of, seq_of
from rx_sse.bus.since import moment_of
from rx_sse.wire.control import stream_end, stream_gap


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry.

    Attributes:
        id: its cursor: `events(after=id)` and `history(after=id)` continue after it.
        event: its name; None for ``message``. ``stream-gap`` and ``stream-end`` are the library's own.
        data: its text.
        time: when the log stored it, in UTC, to the millisecond, by the clock of the log.
    """

    id: str
    event: str | None
    data: str
    time: datetime

    def json(self) -> Any:
        """Decode `data` as JSON.

        Raises:
            ValueError: `data` is not JSON.
        """
        return json.loads(self.data)


@dataclass(frozen=True, slots=True)
class HistoryPage(Sequence[HistoryEntry]):
    """Entries of a topic, the oldest first; a sequence of them.

    Attributes:
        topic: its name.
        entries: the same as a tuple.
        position: the cursor of the last entry, or the start of an empty page: a stream or a page that
            continues from there misses nothing.
        next: the same cursor if the log has more entries after it, None otherwise.
        gap: entries missing before the first entry, because the log no longer has the entry that `after`
            names, or cannot read the entries after it; None if none are missing.
    """

    topic: str
    entries: tuple[HistoryEntry, ...]
    position: str
    next: str | None = None
    gap: Gap | None = field(default=None)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[HistoryEntry]:
        return iter(self.entries)

    @overload
    def __getitem__(self, index: int) -> HistoryEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[HistoryEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> HistoryEntry | tuple[HistoryEntry, ...]:
        return self.entries[index]


def history_page(
    topic: str, page: Page, after: Position | None, wall: Callable[[float], float]
) -> HistoryPage:
    """A page of the log as the user's value.

    Args:
        topic: its name.
        page: the log's answer.
        after: the position after which the page was to begin, if a user gave it.
        wall: converts an entry's `at` to seconds of the epoch.
    """
    ref = ref_of(topic)
    last = page.entries[-1].position if page.entries else page.start
    position = cursor_of([part_of(ref, last)])
    gap = None
    if after is not None and page.start != after:
        trimmed = seq_of(after) < seq_of(page.base)
        reason = "unreadable" if page.broken else "trimmed" if trimmed else "unknown"
        gap = Gap(topic, reason, None, after, page.start)
    return HistoryPage(
        topic,
        tuple([_entry(ref, entry, wall) for entry in page.entries]),
        position,
        None if last == page.head else position,
        gap,
    )


def _entry(ref: str, entry: Entry, wall: Callable[[float], float]) -> HistoryEntry:
    event, data = entry.event, entry.data
    if entry.kind == GAP or entry.kind == END:
        reason = str(entry.detail().get("reason", "ended" if entry.kind == END else "withdrawn"))
        told = stream_end(reason) if entry.kind == END else stream_gap(reason)
        event, data = told.event, told.data
    return HistoryEntry(cursor_of([part_of(ref, entry.position)]), event, data, moment_of(wall(entry.at)))
