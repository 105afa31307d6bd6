"""Publishing to a `SQLiteBus` from a process without a loop: a worker, a cron job, a shell.

One call, one transaction. It may be used from any number of threads, which take turns, and before or after a
fork: each process has a connection of its own, made at its first publish.

Standard: docs/resume.md §4.
Never: an event loop, and neither reactivex nor aiohttp is imported.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any, Self

from rx_sse.arguments import function, seconds
from rx_sse.bus.log.draft import Draft, draft_of, hashed_key
from rx_sse.bus.log.position import Position, cursor_of, part_of, ref_of
from rx_sse.bus.names import check_topic
from rx_sse.bus.sqlite import schema
from rx_sse.bus.sqlite.appending import Appender, maybe_stored, not_stored
from rx_sse.bus.sqlite.file import File, Identity, transient
from rx_sse.errors import PublishRefused
from rx_sse.wire.dumps import Dumps

PAUSE = 0.02
"""Seconds before it is tried again, after an error that is not the lock's: that is waited for by SQLite."""


class _State:
    """What belongs to one process."""

    __slots__ = ("connection", "identity", "lock", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.identity: Identity | None = None


class SQLitePublisher:
    """Publishes to the topics of a `SQLiteBus`; blocking.

    Args:
        path: of the file, as for `SQLiteBus`; it is made if it is missing. How much of a topic is kept is
            what the bus on that file says.
        durability: as for `SQLiteBus`.
        timeout: seconds for one publish in all.
        dumps: replaces the JSON encoder.

    Raises:
        UsageError: no path, or a number that makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = "process",
        timeout: float = 5.0,
        dumps: Dumps | None = None,
    ) -> None:
        function("dumps", dumps, "a function of a value that returns JSON text")
        self._dumps = dumps
        self._file = File(path, durability, None)
        self._timeout = seconds("timeout", timeout, zero="leaves the disk no time to answer")
        self._state = _State()

    def publish(
        self,
        topic: str,
        data: Any,
        *,
        event: str | None = None,
        idempotency_key: str | None = None,
        user: str | None = None,
    ) -> str:
        """Publish, and wait until it is committed.

        Args:
            topic: where.
            data: a `str` as text, a `ServerSentEvent` with its event name, anything else as JSON.
            event: the event's name.
            idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and
                returns the same id.
            user: whose key it is.

        Returns:
            The entry's cursor.

        Raises:
            EncodeError, EventTooLarge, TopicNameError: it cannot be sent.
            UsageError: a log can never be at this path.
            PublishRefused: nothing was stored.
            PublishUnknown: the commit failed: it may be stored; repeat it with the same `idempotency_key`.
        """
        draft = draft_of(check_topic(topic), data, event, schema.PLAIN, self._dumps)
        if idempotency_key is not None:
            draft.key = hashed_key(user, topic, idempotency_key)
        deadline = time.monotonic() + self._timeout
        state = self._state
        if state.pid != os.getpid():  # a child of a fork: that connection is the parent's
            state = self._state = _State()
        if not state.lock.acquire(timeout=self._timeout):
            raise not_stored(f"{topic}: others were waiting for {self._timeout} s")
        try:
            position = self._store(state, draft, deadline)
        finally:
            state.lock.release()
        return cursor_of([part_of(ref_of(topic), position)])

    def close(self) -> None:
        """Close this process's connection. The next publish makes a new one."""
        state = self._state
        if state.pid == os.getpid():
            with state.lock:
                self._drop(state)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------------------

    def _store(self, state: _State, draft: Draft, deadline: float) -> Position:
        unsure = False
        while True:
            committing = False
            try:
                connection = self._connection(state)
                connection.execute("BEGIN IMMEDIATE")
                try:
                    draft.retention = schema.kept(connection).of(draft.topic)
                    outcomes, _ = Appender(connection, remember=False).append(
                        [draft], self._file.now(), [draft] if unsure else ()
                    )
                    committing = True
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except (sqlite3.Error, OSError) as error:
                unsure = unsure or committing
                if not transient(error):
                    self._drop(state)
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
        """The connection to the file that is there now."""
        if state.connection is not None:
            if self._file.identity() == state.identity:
                return state.connection
            self._drop(state)
        self._file.check()
        connection = self._file.connect()
        state.connection, state.identity = connection, self._file.identity()
        return connection

    @staticmethod
    def _drop(state: _State) -> None:
        connection, state.connection = state.connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
