"""The bus over an SQLite file: a log that outlives its process, and that all processes of one machine share.

Synchronous, on any connection: `schema` (the tables), `rows` (entries as they are stored), `appending`
(drafts into the log), `pages` (what is read of it), `sweeping` (what is over leaves it). Over them two
threads with a connection each, `writer` and `reader`, and the log on the loop, `log`. For a process without a
loop there is `publisher`, and for a transaction of the application's own `publish_in`.

Standard: SQLite's WAL mode (https://www.sqlite.org/wal.html), through the standard library's `sqlite3`.
Never: a statement on the loop's thread.
"""

from __future__ import annotations

import sqlite3

OLDEST = (3, 35, 0)
"""The first SQLite with all that is used here; Python 3.11's own builds are newer."""

if sqlite3.sqlite_version_info < OLDEST:
    raise ImportError(
        f"SQLiteBus needs SQLite {'.'.join(map(str, OLDEST))} or newer; this Python was built with "
        f"{sqlite3.sqlite_version}"
    )
