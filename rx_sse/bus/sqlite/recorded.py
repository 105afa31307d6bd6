"""What a file has of a topic, read from outside: by a notebook, while the application runs, or when it does
not.

Standard: SQLite's URI parameters ``mode=ro`` and ``immutable``.
Never: it writes. Where no process has the file open there is no WAL beside it, and none is made: it would
belong to the reader, and the application could not write it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.sqlite.file import code_of, path_of
from rx_sse.bus.sqlite.file_clock import known as known_clock
from rx_sse.bus.sqlite.file_clock import wall
from rx_sse.bus.sqlite.rows import COLUMNS, Clock, entry_of, fetched
from rx_sse.bus.sqlite.schema import check_layout, layout_of
from rx_sse.errors import UsageError

PATIENCE = 5.0
"""Seconds that a read waits for a lock: that of a recovery, or of a checkpoint at the end of a process."""
NAMES = 8
"""Topics that a message names."""
SET = 1000
"""Milliseconds by which the file's clock and the machine's differ if the latter was set."""


def recorded(
    path: str | os.PathLike[str], topic: str, since: float | None, until: float | None, most: int
) -> list[Entry]:
    """The entries of a topic, in their order; `at` is in seconds of the epoch.

    Args:
        path: of the file.
        topic: which.
        since, until: seconds of the epoch, both included; None for no bound.
        most: how many there may be.

    Raises:
        UsageError: no such file, no log in it, no such topic, or more entries.
    """
    place = Path(path_of(path))
    if not place.is_file():
        raise UsageError(f"{place}: there is no such file; give that of a SQLiteBus")
    if not (asleep := _is_asleep(place)):
        return _read(place, "mode=ro", topic, since, until, most)
    entries = _read(place, "mode=ro&immutable=1", topic, since, until, most)
    if _is_asleep(place) is asleep:
        return entries
    return _read(place, "mode=ro", topic, since, until, most)  # the application was started meanwhile


def _is_asleep(place: Path) -> bool:
    """Whether no process has the file open: then its WAL is gone."""
    return not place.with_name(place.name + "-wal").exists()


def _read(
    place: Path, mode: str, topic: str, since: float | None, until: float | None, most: int
) -> list[Entry]:
    try:
        uri = f"{place.as_uri()}?{mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one state of the file
            layout = layout_of(connection)
            check_layout(layout, str(place))
            if layout is None:
                raise UsageError(f"{place} holds no topics: no SQLiteBus has used it")
            return _entries(connection, place, topic, since, until, most)
    except sqlite3.Error as error:
        what = "is no SQLite database" if code_of(error) == "SQLITE_NOTADB" else f"cannot be read: {error}"
        raise UsageError(f"{place} {what}") from error


def _entries(
    connection: sqlite3.Connection,
    place: Path,
    topic: str,
    since: float | None,
    until: float | None,
    most: int,
) -> list[Entry]:
    known = connection.execute("SELECT id FROM rx_sse_topics WHERE name = ?", (topic,)).fetchone()
    if known is None:
        raise UsageError(f"{place} has no topic {topic!r}; {_names(connection)}")
    clock = known_clock(connection)
    late = 0 if clock is None else wall() - clock.now()  # since the file's clock began, the machine's was set
    late = late if abs(late) > SET else 0
    rows = fetched(
        connection.cursor(),
        f"SELECT {COLUMNS} FROM rx_sse_entries e WHERE e.topic = ? AND e.at BETWEEN ? AND ? "
        "ORDER BY e.seq LIMIT ?",
        (known[0], _milliseconds(since, late, -(2**62)), _milliseconds(until, late, 2**62), most + 1),
    )
    if len(rows) > most:
        raise UsageError(
            f"{place}: topic {topic!r} has over {most:,} entries in that time; give since= and until= "
            "that are closer together"
        )
    epoch = Clock(late / 1000, 0)
    return [entry_of(row, epoch) for row in rows]


def _names(connection: sqlite3.Connection) -> str:
    rows = connection.execute(
        "SELECT name FROM rx_sse_topics WHERE name NOT LIKE '!%' ORDER BY name LIMIT ?", (NAMES + 1,)
    ).fetchall()
    names = [repr(row[0]) for row in rows]
    if not names:
        return "it has none"
    return "there are " + ", ".join(names[:NAMES]) + (", …" if len(names) > NAMES else "")


def _milliseconds(seconds: float | None, late: int, none: int) -> int:
    return none if seconds is None else round(seconds * 1000) - late
