"""Publishing to a `SQLiteBus` from a process without a loop: a worker, a cron job, a shell.

One call, one transaction.

Standard: docs/resume.md §4.
Never: an event loop, and neither reactivex nor aiohttp is imported.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

from rx_sse.bus.blocking_publisher import BlockingPublisher, ProcessState
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import not_stored
from rx_sse.bus.log.position import Position
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite import schema
from rx_sse.bus.sqlite.appending import Appender, maybe_stored
from rx_sse.bus.sqlite.file import File, Identity, transient
from rx_sse.errors import PublishRefused
from rx_sse.wire.dumps import Dumps

PAUSE = 0.02
"""Seconds before a retry, after errors other than a lock: SQLite itself waits for locks."""


class _State(ProcessState):
    """The state of one process."""

    __slots__ = ("connection", "identity")

    def __init__(self) -> None:
        super().__init__()
        self.connection: sqlite3.Connection | None = None
        self.identity: Identity | None = None


class SQLitePublisher(BlockingPublisher[_State]):
    """Publishes to the topics of a `SQLiteBus`; blocking.

    Args:
        path: the file, as for `SQLiteBus`; it is created if it is missing. The bus on that file sets the
            retention of topics.
        durability: as for `SQLiteBus`.
        timeout: seconds for one publish, all retries included.
        dumps: replaces the JSON encoder.

    Raises:
        UsageError: no path, or a number out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = "process",
        timeout: float = 5.0,
        dumps: Dumps | None = None,
    ) -> None:
        super().__init__(_State, timeout, "the disk", dumps)
        self._file = File(path, durability, None)

    # -- inside ----------------------------------------------------------------------------------------------

    def _retention(self, topic: str) -> Retention:
        return schema.PLAIN  # the transaction reads the topic's retention from the file

    def _store(self, state: _State, draft: Draft, deadline: float) -> Position:
        unsure = False  # whether a commit has failed: it may be stored all the same
        while True:
            committing = False
            try:
                connection = self._connection(state)
                appender = Appender(connection, remember=False)
                if unsure and (found := appender.stored([draft])):
                    return found[draft]  # sought without the lock: until that is free, it may be trimmed
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if self._file.identity() != state.identity:  # others have left this file already
                        raise OSError("it was replaced")
                    draft.retention = schema.kept(connection).of(draft.topic)
                    outcomes, _ = appender.append(
                        [draft], self._file.now(), {draft: None} if unsure else None
                    )
                    committing = True
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except (sqlite3.Error, OSError) as error:
                unsure = unsure or (committing and not transient(error))
                if not transient(error):
                    self._disconnect(state)
                why = f"{self._file.path}: {error}"
                if time.monotonic() >= deadline:
                    if unsure:
                        raise maybe_stored(why) from error
                    raise not_stored(f"{draft.topic}: {why}, for {self._timeout} s") from error
                time.sleep(min(PAUSE, max(deadline - time.monotonic(), 0.0)))
                continue
            outcome = outcomes[0]
            if isinstance(outcome, PublishRefused):
                raise outcome
            return outcome

    def _connection(self, state: _State) -> sqlite3.Connection:
        """The connection to the file at the path now."""
        if state.connection is not None:
            if self._file.identity() == state.identity:
                return state.connection
            self._disconnect(state)
        self._file.check()
        state.connection, state.identity = connection, _ = self._file.connect_known()
        return connection

    def _disconnect(self, state: _State) -> None:
        connection, state.connection = state.connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
