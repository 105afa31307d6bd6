"""The bus in a file, shared by the processes of one machine.

Never: a connection or a thread before it is started, so it may be made at module level and before a fork.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from rx_sse.arguments import seconds
from rx_sse.bus.bus import Bus
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.shared_rosters import SharedRosters
from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.log import SQLiteLog
from rx_sse.bus.sqlite.stats import SQLiteStats
from rx_sse.wire.dumps import Dumps


class SQLiteBus(Bus):
    """Topics with history and resume in an SQLite file: they outlive the process, and all processes of one
    machine that use the same file share them. No server, nothing to install.

    Args:
        path: the file, on a local disk; it is created if it is missing. It may be the application's own
            database: the tables are called ``rx_sse_…``. It is switched to WAL.
        history: entries that a topic keeps at least; they are trimmed in blocks, and none in its first 3 s.
        history_bytes: bytes that a topic keeps.
        ttl: seconds that an entry is kept, and that an unused topic is.
        durability: what an accepted event survives: ``"process"``, the death of any process, while a power
            cut may lose the last commits, and clients that had received them get a gap; or ``"power"``, where
            each commit waits for the disk.
        publish_timeout: seconds that a publisher waits.
        grace: seconds that a listener may be disconnected before it counts as having left (`presence`).
        max_token_life: seconds that a token may live, from ``iat`` to ``exp``; a token that lives longer is
            refused, and revocations are kept for this long.
        blind_limit: seconds that a process cut off from the file relies on the revocations that it knows.
        dumps: replaces the JSON encoder for pushed values, and for the results of `map` and `snapshot`;
            without it, the encoder of `setup(dumps=)` is used.
        clock: monotonic seconds.

    Raises:
        UsageError: no path, or a number out of range; at the start also: a path that can never hold a log.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        history: int = 1000,
        history_bytes: int = 8 * 1024 * 1024,
        ttl: float = 3600.0,
        durability: str = "process",
        publish_timeout: float = 5.0,
        grace: float = 10.0,
        max_token_life: float = 31 * 86_400.0,
        blind_limit: float = 300.0,
        dumps: Dumps | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        retention = Retention.of(history, history_bytes, ttl)
        file = File(path, durability, None)
        log = SQLiteLog(
            file,
            retention,
            timeout=seconds("publish_timeout", publish_timeout, zero="leaves the disk no time to answer"),
            clock=clock,
        )
        super().__init__(
            log,
            retention,
            publish_timeout=publish_timeout,
            grace=grace,
            max_token_life=max_token_life,
            blind_limit=blind_limit,
            clock=clock,
            rosters=lambda runtime, away: SharedRosters(runtime, away, log),
            dumps=dumps,
        )
        log.retention_of = self._core.runtime.retention_of
        file.retentions = self._core.retentions
        log.on_trouble = self._core.runtime.error
        self._core.measures.commits = file.commits
        self._sqlite, self._file = log, file

    def stats(self) -> SQLiteStats:
        """Counters and current sizes, those of the file included."""
        return SQLiteStats.over(super().stats(), self._sqlite, self._file)
