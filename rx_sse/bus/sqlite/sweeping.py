"""Expiry in the file: entries by age, unused topics, keys, reports of dead processes.

In slices, each a short transaction of the writer, so that publishes never wait for long. Freed pages are
returned to the file system a few at a time, if the bus created the file (`auto_vacuum`); in an application's
database they are reused.

Never: the order over all topics goes back. The id of the last deleted entry is stored (`floor`).
"""

from __future__ import annotations

import sqlite3

from rx_sse.bus.log.entry import END
from rx_sse.bus.log.lease import MOST
from rx_sse.bus.names import run_topic
from rx_sse.bus.sqlite.appending import margin

TOPICS = 64
"""Topics checked in one slice."""
ENTRIES = 2000
"""Entries deleted in one slice, of a topic."""
KEYS = 1000
RUNS = 64
"""Expired runs of one slice; their entries are deleted with those of other topics."""
FREE = 256
"""Free pages before some are returned: 1 MB."""
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
        """Whether there is something to do; queried without a lock."""
        found = self._rows.execute(
            "SELECT EXISTS (SELECT 1 FROM rx_sse_topics WHERE due <= ?) "
            "OR EXISTS (SELECT 1 FROM rx_sse_keys WHERE till <= ?) "
            "OR EXISTS (SELECT 1 FROM rx_sse_leases WHERE till <= ?) "
            "OR (SELECT count(*) FROM rx_sse_leases WHERE till > 0) > ?",
            (now, now, now, MOST),
        )
        return bool(found.fetchone()[0])

    def slice(self, now: int) -> None:
        """One slice, inside a transaction that has the write lock."""
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
        """Return some of the free pages to the file system; outside of a transaction."""
        rows = self._rows
        free = rows.execute("PRAGMA freelist_count").fetchone()[0]
        if free > FREE and free * 4 > rows.execute("PRAGMA page_count").fetchone()[0]:
            # Each step returns one page, and `execute` makes one step where there are no columns.
            rows.executescript(f"PRAGMA incremental_vacuum({GIVEN_BACK})")

    def _last_id(self) -> int:
        return int(self._rows.execute("SELECT coalesce(max(id), 0) FROM rx_sse_entries").fetchone()[0])

    def _end_runs(self, now: int) -> None:
        """Forget expired runs, and if there are too many, those that ended first; the life of their topics
        ends too.
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
        """Delete the expired entries of a topic; the topic too, if its life is over."""
        rows = self._rows
        oldest, newest = self._delete_old(id, now - age)
        if oldest is not None:
            due = max(min(oldest + age, now + age), now + age // 64)
        elif (due := max(touched, min(newest, now)) + age + margin(age)) <= now:
            rows.execute("DELETE FROM rx_sse_topics WHERE id = ?", (id,))
            return
        rows.execute("UPDATE rx_sse_topics SET due = ? WHERE id = ?", (due, id))

    def _delete_old(self, id: int, limit: int) -> tuple[int | None, int]:
        """Delete entries up to a moment; returns the moment of the oldest remaining entry, None if there is
        none, and that of the last deleted one.
        """
        rows = self._rows
        kept = rows.execute(
            "SELECT seq, at FROM (SELECT seq, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq LIMIT ?) "
            "WHERE at > ? ORDER BY seq LIMIT 1",
            (id, ENTRIES, limit),
        ).fetchone()
        if kept is None:  # all checked entries are old
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


def touch(connection: sqlite3.Connection, names: list[str], now: int) -> None:
    """Let the life of topics begin again."""
    connection.executemany("UPDATE rx_sse_topics SET touched = ? WHERE name = ?", [(now, it) for it in names])
