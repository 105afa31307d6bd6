"""A reported loss of events."""

from __future__ import annotations

from dataclasses import dataclass

from rx_sse.bus.log.position import Position


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of a topic are missing for a reader.

    Attributes:
        topic: its name.
        reason: ``trimmed`` (the history no longer reaches back), ``reset`` (the log was lost and began
            again), ``withdrawn`` (the broker dropped entries that it had accepted), ``unknown`` (the client's
            cursor is not valid), ``refused`` (pushed while the queue was full), ``unreadable`` (an entry that
            cannot be sent, is damaged, or was deleted from the log) or ``failed`` (your `filter` or `map`
            raised).
        missed: the number of events, if known.
        last: the position before the loss, if there is one.
        next: the position from which the reader continues.
    """

    topic: str
    reason: str
    missed: int | None = None
    last: Position | None = None
    next: Position | None = None
