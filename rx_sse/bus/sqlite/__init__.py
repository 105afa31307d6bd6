"""The bus over an SQLite file: a log that outlives its process, and that all processes of one machine share.

Synchronous, on any connection: `schema` (the tables), `rows` (the format of entries), `appending` (drafts
into the log), `pages` (reads), `sweeping` (expiry). Above them two threads with a connection each, `writer`
and `reader`, and the log on the loop, `log`. For a process without a loop there is `publisher`, and for a
transaction of the application's own `publish_in`.

Standard: SQLite's WAL mode (https://www.sqlite.org/wal.html), through the standard library's `sqlite3`.
Never: a statement on the loop's thread.
"""

from __future__ import annotations

import sqlite3

OLDEST = (3, 35, 0)
"""The oldest SQLite with all features used here; Python 3.11's own builds are newer."""

if sqlite3.sqlite_version_info < OLDEST:
    raise ImportError(
        f"SQLiteBus needs SQLite {'.'.join(map(str, OLDEST))} or newer; this Python was built with "
        f"{sqlite3.sqlite_version}"
    )
