"""Statistics of a bus over an SQLite file.

Precedent: trio's statistics records.
Never: a statement; sizes are those that the file system tells.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rx_sse.bus.stats import BusStats

if TYPE_CHECKING:
    from rx_sse.bus.sqlite.file import File
    from rx_sse.bus.sqlite.log import SQLiteLog


@dataclass(frozen=True, slots=True)
class SQLiteStats(BusStats):
    """The state of a `SQLiteBus` at one moment: that of any bus, and these attributes.

    Attributes:
        file_bytes: size of the database file; 0 if it is not there.
        wal_bytes: size of the file beside it (``-wal``), where transactions stand until a checkpoint moves
            them into the database. It grows without bound while a program holds a read transaction open.
        commits: transactions of appends by this process.
        commit_seconds: seconds that they took together, the wait for other writers included.
        unsettled: entries that wait for their transaction.
        watched: topics that this process reads.
        restarts: how often all topics were read again, because the file was replaced or restored.
        trouble: why the file cannot be written now; empty if it can.
    """

    file_bytes: int
    wal_bytes: int
    commits: int
    commit_seconds: float
    unsettled: int
    watched: int
    restarts: int
    trouble: str

    @staticmethod
    def over(stats: BusStats, log: SQLiteLog, file: File) -> SQLiteStats:
        """`stats`, and the state of the log."""
        base: dict[str, Any] = {field.name: getattr(stats, field.name) for field in fields(BusStats)}
        return SQLiteStats(
            **base,
            file_bytes=_size(file.path),
            wal_bytes=_size(f"{file.path}-wal"),
            commits=sum(file.commits.counts),
            commit_seconds=file.commits.total,
            unsettled=log.unsettled,
            watched=len(log.watches),
            restarts=log.watches.restarts,
            trouble=log.trouble,
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
