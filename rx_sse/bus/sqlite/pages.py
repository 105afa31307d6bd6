"""What is read of the log: a page of a topic, and what is new in all of them.

Each is one transaction, true of one instant.

Standard: the port of `bus.log`; docs/resume.md §1.
Never: a page is trusted to link because the file says so. It ends before a place where the log is damaged.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from typing import Any

from rx_sse.bus.log.entry import END, Entry
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_position, nonce_of, seq_of
from rx_sse.bus.sqlite.rows import COLUMNS, Clock, entry_of, fetched
from rx_sse.bus.sqlite.schema import has_traces

NEWS = 500
"""Entries that are read at once for the watchers."""

News = tuple[int, str, Entry]
"""An entry's id, its topic, the entry."""


class Pages:
    """Reads on one connection.

    Args:
        connection: in autocommit mode, used by one thread.
    """

    __slots__ = ("_rows", "_schema", "_traced")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._rows = connection.cursor()
        self._rows.row_factory = None
        self._schema = -1
        self._traced = False

    def page(self, query: Query, clock: Clock) -> tuple[Page, int] | None:
        """A page, and when the topic was touched last; None if the topic has not begun."""
        rows = self._rows
        if rows.connection.in_transaction:
            return self._found(query, clock)
        rows.execute("BEGIN")
        try:
            found = self._found(query, clock)
            rows.execute("COMMIT")
        except BaseException:
            # Left open, it would show this instant to every later question.
            with contextlib.suppress(sqlite3.Error):
                rows.execute("ROLLBACK")
            raise
        return found

    def last_id(self) -> int:
        """The id of the last entry, also if it is gone by now."""
        said = self._rows.execute(
            "SELECT max(coalesce((SELECT max(id) FROM rx_sse_entries), 0), "
            "(SELECT value FROM rx_sse_meta WHERE name = 'floor'))"
        )
        return int(said.fetchone()[0])

    def news(self, after: int, clock: Clock) -> Sequence[News]:
        """The entries behind an id, of all topics, in their order; a part of them if there are many."""
        found = fetched(
            self._rows,
            f"SELECT e.id, t.name, {self._columns()} FROM rx_sse_entries e "
            "JOIN rx_sse_topics t ON t.id = e.topic WHERE e.id > ? ORDER BY e.id LIMIT ?",
            (after, NEWS),
        )
        return [(row[0], row[1], entry_of(row[2:], clock)) for row in found]

    def version(self) -> int:
        """A number that changes when another connection has committed."""
        return int(self._rows.execute("PRAGMA data_version").fetchone()[0])

    def others(self, topics: Sequence[str], process: str, now: int) -> dict[str, list[bytes]]:
        """What the other processes say of topics."""
        found: dict[str, list[bytes]] = {}
        for topic in topics:
            said = self._rows.execute(
                "SELECT said FROM rx_sse_presence WHERE topic = ? AND process <> ? AND till > ?",
                (topic, process, now),
            )
            found[topic] = [str(row[0]).encode() for row in said]
        return found

    # -- inside ----------------------------------------------------------------------------------------------

    def _columns(self) -> str:
        """Those of an entry: the column of traces is there from the first publish on that belongs to one."""
        schema = self._rows.execute("PRAGMA schema_version").fetchone()[0]
        if schema != self._schema:
            self._traced, self._schema = has_traces(self._rows), schema
        return f"{COLUMNS}, e.trace" if self._traced else COLUMNS

    def _found(self, query: Query, clock: Clock) -> tuple[Page, int] | None:
        topic = self._rows.execute(
            "SELECT id, lineage, seq, nonce, ended, entries, touched FROM rx_sse_topics WHERE name = ?",
            (query.topic,),
        ).fetchone()
        return None if topic is None else (self._page(topic, query, clock), topic[6])

    def _page(self, topic: Sequence[Any], query: Query, clock: Clock) -> Page:
        id, lineage, seq, nonce, ended, history, _ = topic
        edges = self._edges(id, history)
        if edges is None:
            base = head = new_position(seq, nonce)
        else:
            base, head, kind = edges
            ended = kind == END
        after = query.after
        valid = after is not None and (
            after in (head, base) or (seq_of(after) > seq_of(base) and self._holds(id, after))
        )
        least = seq_of(head) - query.last if after is None else seq_of(after)
        raw = self._entries(id, max(least, seq_of(base)), query) if least < seq_of(head) else []
        start, entries, broken = linked(raw, after if valid else None, head, clock)
        return Page(lineage, base, head, start, entries, bool(ended), broken)

    def _edges(self, id: int, history: int) -> tuple[Position, Position, str] | None:
        """The base, the head and the kind of the last entry; None if there is no entry. What is over the
        limit and still there, because it is young (`appending`), is not shown.
        """
        newest = self._rows.execute(
            "SELECT seq, nonce, kind FROM rx_sse_entries WHERE topic = ? ORDER BY seq DESC LIMIT 1", (id,)
        ).fetchone()
        if newest is None:
            return None
        oldest = self._rows.execute(
            "SELECT seq, prev FROM rx_sse_entries WHERE topic = ? AND seq > ? ORDER BY seq LIMIT 1",
            (id, newest[0] - history),
        ).fetchone()
        return new_position(oldest[0] - 1, oldest[1]), new_position(newest[0], newest[1]), newest[2]

    def _holds(self, id: int, position: Position) -> bool:
        row = self._rows.execute(
            "SELECT 1 FROM rx_sse_entries WHERE topic = ? AND seq = ? AND nonce = ?",
            (id, seq_of(position), nonce_of(position)),
        ).fetchone()
        return row is not None

    def _entries(self, id: int, seq: int, query: Query) -> list[Any]:
        """Rows behind a number, as many as the limits allow, but always one if there is one."""
        taken: list[Any] = []
        size = 0
        columns = self._columns()
        while len(taken) < query.max_entries:
            part = fetched(
                self._rows,
                f"SELECT {columns} FROM rx_sse_entries e WHERE e.topic = ? AND e.seq > ? "
                "ORDER BY e.seq LIMIT ?",
                (id, seq, min(50, query.max_entries - len(taken))),
            )
            for row in part:
                size += len(row[6])
                if size > query.max_bytes and taken:
                    return taken
                taken.append(row)
            if len(part) < 50:
                return taken
            seq = part[-1][0]
        return taken


def linked(
    raw: Sequence[Any], start: Position | None, head: Position, clock: Clock
) -> tuple[Position, list[Entry], bool]:
    """Rows as entries that link to `start` and to each other; where they begin, and whether what stands
    behind `start` cannot be read.
    """
    entries: list[Entry] = []
    broken = False
    for row in raw:
        try:
            entry = entry_of(row, clock)
        except ValueError:
            if entries:
                break
            continue
        last = entries[-1].position if entries else start
        if last is not None and entry.prev != last:
            if entries:
                break
            if seq_of(entry.prev) < seq_of(last):
                continue
            start, broken = entry.prev, True
        elif start is None:
            start = entry.prev
        entries.append(entry)
    if not entries and start != head:
        start, broken = head, start is not None
    assert start is not None
    return start, entries, broken
