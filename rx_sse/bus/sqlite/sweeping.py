"""What is over leaves the file: entries by age, topics that nobody touches, keys, what dead processes said.

In slices, each a short transaction of the writer, so that publishes never wait for long. Freed pages go back
to the file system a few at a time, where the file was made by the bus (`auto_vacuum`); in a database of the
application's they are used again.

Never: the order over all topics goes back. The id of the last entry that was deleted is noted (`floor`).
"""

from __future__ import annotations

import sqlite3

from rx_sse.bus.log.entry import END
from rx_sse.bus.log.lease import MOST
from rx_sse.bus.names import run_topic
from rx_sse.bus.sqlite.appending import margin

TOPICS = 64
"""Topics looked at in one slice."""
ENTRIES = 2000
"""Entries deleted in one slice, of a topic."""
KEYS = 1000
RUNS = 64
"""Runs whose time is over, of one slice; their entries leave with those of other topics."""
FREE = 256
"""Pages that may be free before some are given back: 1 MB."""
GIVEN_BACK = 64


class Sweeper:
    """Sweeps on one connection.

    Args:
        connection: the writer's.
    """

    __slots__ = ("_rows",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._rows = connection.cursor()
        self._rows.row_factory = None

    def due(self, now: int) -> bool:
        """Whether there is something to do; asked without a lock."""
        found = self._rows.execute(
            "SELECT EXISTS (SELECT 1 FROM rx_sse_topics WHERE due <= ?) "
            "OR EXISTS (SELECT 1 FROM rx_sse_keys WHERE till <= ?) "
            "OR EXISTS (SELECT 1 FROM rx_sse_leases WHERE till <= ?) "
            "OR (SELECT count(*) FROM rx_sse_leases WHERE till > 0) > ?",
            (now, now, now, MOST),
        )
        return bool(found.fetchone()[0])

    def slice(self, now: int) -> None:
        """A part of it, inside a transaction that has the write lock."""
        rows = self._rows
        self._end_runs(now)
        topics = rows.execute(
            "SELECT id, age, touched FROM rx_sse_topics WHERE due <= ? ORDER BY due LIMIT ?", (now, TOPICS)
        ).fetchall()
        before = self._last_id()
        for id, age, touched in topics:
            self._look(id, age, touched, now)
        if topics and self._last_id() != before:
            rows.execute("UPDATE rx_sse_meta SET value = max(value, ?) WHERE name = 'floor'", (before,))
        rows.execute(
            "DELETE FROM rx_sse_keys WHERE key IN (SELECT key FROM rx_sse_keys WHERE till <= ? LIMIT ?)",
            (now, KEYS),
        )
        rows.execute("DELETE FROM rx_sse_presence WHERE till <= ?", (now,))

    def give_back(self) -> None:
        """Give some of the free pages back to the file system; outside of a transaction."""
        rows = self._rows
        free = rows.execute("PRAGMA freelist_count").fetchone()[0]
        if free > FREE and free * 4 > rows.execute("PRAGMA page_count").fetchone()[0]:
            # Each step gives back one page, and `execute` takes one step where there are no columns.
            rows.executescript(f"PRAGMA incremental_vacuum({GIVEN_BACK})")

    def _last_id(self) -> int:
        return int(self._rows.execute("SELECT coalesce(max(id), 0) FROM rx_sse_entries").fetchone()[0])

    def _end_runs(self, now: int) -> None:
        """Forget runs whose time is over, and where there are too many those that ended first; the life of
        their topics is over too.
        """
        rows = self._rows
        ended = rows.execute("SELECT count(*) FROM rx_sse_leases WHERE till > 0").fetchone()[0]
        over = rows.execute(
            "SELECT name, generation FROM rx_sse_leases WHERE till <= ? LIMIT ?", (now, RUNS)
        ).fetchall()
        if not over and ended > MOST:
            over = rows.execute(
                "SELECT name, generation FROM rx_sse_leases WHERE till > 0 ORDER BY till LIMIT ?",
                (min(ended - MOST, RUNS),),
            ).fetchall()
        rows.executemany("DELETE FROM rx_sse_leases WHERE name = ? AND generation = ?", over)
        rows.executemany(
            "UPDATE rx_sse_topics SET age = 1, due = ? WHERE name = ?",
            [(now, run_topic(name, generation)) for name, generation in over],
        )

    def _look(self, id: int, age: int, touched: int, now: int) -> None:
        """Delete the entries of a topic that are too old; the topic too, if its life is over."""
        rows = self._rows
        oldest, newest = self._delete_old(id, now - age)
        if oldest is not None:
            due = max(min(oldest + age, now + age), now + age // 64)
        elif (due := max(touched, min(newest, now)) + age + margin(age)) <= now:
            rows.execute("DELETE FROM rx_sse_topics WHERE id = ?", (id,))
            return
        rows.execute("UPDATE rx_sse_topics SET due = ? WHERE id = ?", (due, id))

    def _delete_old(self, id: int, limit: int) -> tuple[int | None, int]:
        """Delete entries up to a moment; the moment of the oldest that is left, None if none is, and that of
        the last one that was deleted then.
        """
        rows = self._rows
        kept = rows.execute(
            "SELECT seq, at FROM (SELECT seq, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq LIMIT ?) "
            "WHERE at > ? ORDER BY seq LIMIT 1",
            (id, ENTRIES, limit),
        ).fetchone()
        if kept is None:  # all that was looked at is old
            kept = rows.execute(
                "SELECT seq, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq LIMIT 1 OFFSET ?",
                (id, ENTRIES),
            ).fetchone()
        if kept is not None:
            rows.execute("DELETE FROM rx_sse_entries WHERE topic = ? AND seq < ?", (id, kept[0]))
            return kept[1], 0
        last = rows.execute(
            "SELECT seq, nonce, kind, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq DESC LIMIT 1", (id,)
        ).fetchone()
        if last is None:
            return None, 0
        rows.execute(
            "UPDATE rx_sse_topics SET seq = ?, nonce = ?, ended = ? WHERE id = ?",
            (last[0], last[1], last[2] == END, id),
        )
        rows.execute("DELETE FROM rx_sse_entries WHERE topic = ?", (id,))
        return None, int(last[3])
