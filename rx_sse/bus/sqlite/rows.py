"""Entries as a row of the file holds them.

Never: what is in the file is trusted to be ours. A row that cannot be an event is a gap in its place.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from rx_sse.bus.log.entry import END, GAP, JSON, TEXT, Entry, TracedEntry, gap_data
from rx_sse.bus.log.position import NONCE_BITS, SEQ_BITS, new_position
from rx_sse.bus.log.traceparent import is_trace
from rx_sse.wire.event import ServerSentEvent

COLUMNS = "e.seq, e.nonce, e.prev, e.at, e.kind, e.event, e.data"
"""What `entry_of` takes, of the table `rx_sse_entries` as ``e``; then ``e.trace``, where it is there."""
OVERHEAD = 100
"""Bytes that an entry takes beside its text, in the table and its index."""
STEP = 0.5
"""Seconds by which two differ if the machine slept in between."""
KINDS = frozenset((JSON, TEXT, GAP, END))


class Clock:
    """From the file's milliseconds to this process's monotonic seconds.

    Args:
        monotonic: seconds now.
        wall: milliseconds now.
    """

    __slots__ = ("_offset",)

    def __init__(self, monotonic: float, wall: int) -> None:
        self._offset = monotonic - wall / 1000

    def at(self, wall: int) -> float:
        """Monotonic seconds of a moment in the file."""
        return wall / 1000 + self._offset

    def differs(self, other: Clock) -> bool:
        """Whether the machine slept between this one and another."""
        return abs(self._offset - other._offset) > STEP


def fetched(rows: sqlite3.Cursor, statement: str, values: Sequence[Any]) -> list[Any]:
    """The rows that a statement finds. A text that is not UTF-8 is bytes in them, which no entry has: with an
    error instead, one such row would keep all others from being read."""
    try:
        return rows.execute(statement, values).fetchall()
    except sqlite3.OperationalError as error:
        if not str(error).startswith("Could not decode"):
            raise
    connection = rows.connection
    connection.text_factory = _text_or_bytes  # slower, so not always
    try:
        return rows.execute(statement, values).fetchall()
    finally:
        connection.text_factory = str


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def entry_of(row: tuple[Any, ...], clock: Clock) -> Entry:
    """An entry from its columns; one that cannot be read is a gap in its place.

    Raises:
        ValueError: it has no position.
    """
    seq, nonce, prev, at, kind, event, data, *trace = row
    if not (type(seq) is type(nonce) is type(prev) is int and type(at) is int):
        raise ValueError(f"not an entry: {row[:3]!r}")
    if not (0 < seq < 1 << SEQ_BITS and 0 <= nonce < 1 << NONCE_BITS and 0 <= prev < 1 << NONCE_BITS):
        raise ValueError(f"not an entry: {row[:3]!r}")
    position, before, when = new_position(seq, nonce), new_position(seq - 1, prev), clock.at(at)
    try:
        if kind not in KINDS or type(data) is not str or "\r" in data:
            raise ValueError("not an entry")
        if event is not None:
            ServerSentEvent("", event=event)
        if trace and is_trace(trace[0]):
            entry: Entry = TracedEntry(position, before, kind, data, event, when, trace[0])
        else:
            entry = Entry(position, before, kind, data, event, when)
        if kind == JSON:
            json.loads(data)
        elif kind != TEXT:
            entry.detail()
    except (ValueError, TypeError, RecursionError):  # the last for JSON that is nested too deeply
        return Entry(position, before, GAP, gap_data("unreadable"), None, when)
    return entry
