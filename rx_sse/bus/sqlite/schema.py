"""The tables of the log in a file, which may be the application's own database.

::

    rx_sse_meta      properties of the file: the layout's version, the next entry's least id, the retention
    rx_sse_topics    a topic: its beginning, its last position while it has no entries, its last use
    rx_sse_entries   an entry; `id` is the order over all topics, (topic, seq) the order within one
    rx_sse_keys      idempotency keys
    rx_sse_presence  the listeners of topics
    rx_sse_leases    the owner of each run, and its end; since layout 2

One process writes at a time, so ids have no holes and no entry appears before one that was read: a process
that has read everything up to an id has missed nothing (`pages.news`). Times are milliseconds since the
epoch.

Never: a table without the prefix, a trigger, or a setting that the application's own connections would see.
"""

from __future__ import annotations

import json
import os
import sqlite3

from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.retentions import Retentions
from rx_sse.errors import UsageError

LAYOUT = 2
"""The version of the tables. A newer one is refused; missing tables are added to an older one."""

PLAIN = Retention()
"""The retention of a topic while no bus has set one."""

TABLES = (
    """CREATE TABLE IF NOT EXISTS rx_sse_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS rx_sse_topics (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        lineage INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        nonce INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        entries INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        age INTEGER NOT NULL,
        touched INTEGER NOT NULL,
        due INTEGER NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS rx_sse_topics_due ON rx_sse_topics (due)",
    """CREATE TABLE IF NOT EXISTS rx_sse_entries (
        id INTEGER PRIMARY KEY,
        topic INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        nonce INTEGER NOT NULL,
        prev INTEGER NOT NULL,
        at INTEGER NOT NULL,
        upto INTEGER NOT NULL,
        kind TEXT NOT NULL,
        event TEXT,
        data TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX IF NOT EXISTS rx_sse_entries_seq ON rx_sse_entries (topic, seq)",
    """CREATE TABLE IF NOT EXISTS rx_sse_keys (
        key TEXT PRIMARY KEY,
        print TEXT NOT NULL,
        seq INTEGER NOT NULL,
        nonce INTEGER NOT NULL,
        till INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS rx_sse_keys_till ON rx_sse_keys (till)",
    """CREATE TABLE IF NOT EXISTS rx_sse_presence (
        topic TEXT NOT NULL,
        process TEXT NOT NULL,
        till INTEGER NOT NULL,
        said TEXT NOT NULL,
        PRIMARY KEY (topic, process)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS rx_sse_leases (
        name TEXT NOT NULL,
        generation INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        until INTEGER NOT NULL,
        began INTEGER NOT NULL,
        since INTEGER NOT NULL,
        resumes INTEGER NOT NULL,
        key TEXT NOT NULL,
        entries INTEGER NOT NULL,
        asked TEXT NOT NULL,
        till INTEGER,
        PRIMARY KEY (name, generation)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS rx_sse_leases_till ON rx_sse_leases (till, until)",
)


def has_traces(rows: sqlite3.Cursor) -> bool:
    """Whether entries have a column for the `traceparent` of their publish. It is made by the first that has
    one, and is no other layout: versions that do not know it name the columns that they write and read.
    """
    named = rows.execute("SELECT 1 FROM pragma_table_info('rx_sse_entries') WHERE name = 'trace'")
    return named.fetchone() is not None


def layout_of(connection: sqlite3.Connection) -> int | None:
    """The layout of the tables in a database; None if it has none."""
    rows = connection.cursor()
    rows.row_factory = None
    found = rows.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rx_sse_meta'")
    if found.fetchone() is None:
        return None
    said = rows.execute("SELECT value FROM rx_sse_meta WHERE name = 'layout'").fetchone()
    return None if said is None else int(said[0])


def check_layout(layout: int | None, path: str) -> bool:
    """Whether the tables exist, in this version's layout.

    Raises:
        UsageError: they have a newer layout.
    """
    if layout is not None and layout > LAYOUT:
        raise UsageError(
            f"{path}: its rx_sse tables have layout {layout}, and this version of rx_sse knows {LAYOUT}: "
            "update rx_sse here, or give another file"
        )
    return layout == LAYOUT


def create(connection: sqlite3.Connection) -> None:
    """Create missing tables, inside the connection's transaction; existing ones stay."""
    rows = connection.cursor()
    for statement in TABLES:
        rows.execute(statement)
    rows.executemany(
        "INSERT OR IGNORE INTO rx_sse_meta VALUES (?, ?)",
        [("layout", LAYOUT), ("file", os.urandom(8).hex()), ("floor", 0)],
    )
    rows.execute("UPDATE rx_sse_meta SET value = max(value, ?) WHERE name = 'layout'", (LAYOUT,))


def keep(connection: sqlite3.Connection, retentions: Retentions) -> None:
    """Store the retentions, for publishers without retentions of their own."""
    kept = retentions.default
    rules = [[name, it.entries, it.bytes, it.age] for name, it in retentions.rules.items()]
    connection.cursor().executemany(
        "INSERT OR REPLACE INTO rx_sse_meta VALUES (?, ?)",
        [
            ("history", kept.entries),
            ("history_bytes", kept.bytes),
            ("ttl", kept.age),
            ("rules", json.dumps(rules)),
        ],
    )


def kept(connection: sqlite3.Connection) -> Retentions:
    """The retentions of the bus on this file."""
    rows = connection.cursor()
    rows.row_factory = None
    said = [
        rows.execute("SELECT value FROM rx_sse_meta WHERE name = ?", (name,)).fetchone()
        for name in ("history", "history_bytes", "ttl")
    ]
    if None in said:
        return Retentions(PLAIN)
    found = Retentions(Retention(int(said[0][0]), int(said[1][0]), float(said[2][0])))
    # As bytes, because an application's connection may return texts as any type.
    rules = rows.execute("SELECT CAST(value AS BLOB) FROM rx_sse_meta WHERE name = 'rules'").fetchone()
    for name, entries, size, age in json.loads(rules[0]) if rules is not None else ():
        found.put(str(name), Retention(int(entries), int(size), float(age)))
    return found


def same(one: Retentions, other: Retentions) -> bool:
    """Whether two retentions are equal."""
    return one.default == other.default and one.rules == other.rules
