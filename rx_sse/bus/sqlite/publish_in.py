"""Publishing inside a transaction of the application's own.

The application's connection inserts the entry, in its transaction, and the entry gets its position there: it
is in the log if and only if the transaction commits. No call is needed after the commit. The processes of the
bus detect the commit as they detect each other's entries.

Standard: the transactional outbox (https://microservices.io/patterns/data/transactional-outbox.html), with
the log itself as the outbox.
Never: it commits the application's transaction, or changes a setting of its connection.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from rx_sse.bus.log.entry import Draft, draft_of
from rx_sse.bus.log.idempotency import hashed_key
from rx_sse.bus.log.position import Position, cursor_of, part_of, ref_of
from rx_sse.bus.log.traceparent import current_traceparent
from rx_sse.bus.names import check_topic
from rx_sse.bus.sqlite import schema
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.file import transient
from rx_sse.bus.sqlite.file_clock import begin
from rx_sse.errors import PublishRefused, UsageError
from rx_sse.wire.dumps import Dumps


def publish_in(
    connection: sqlite3.Connection,
    topic: str,
    data: Any,
    event: str | None = None,
    *,
    idempotency_key: str | None = None,
    user: str | None = None,
    dumps: Dumps | None = None,
) -> str:
    """Publish to the topics of the `SQLiteBus` on a database, inside the connection's transaction.

    The event exists if and only if the transaction commits; then every process delivers it, without any call
    after the commit. Where no transaction is open, one is begun, and left open for the caller's `commit()`,
    as `sqlite3` does for an INSERT; on a connection in autocommit mode the event is published at once.

    From the insert to the commit the database's write lock is held, as for any INSERT: publish shortly before
    the commit. Begin a transaction that will publish with ``BEGIN IMMEDIATE``: a transaction that has read
    first cannot write any more once another connection has written.

    The entry belongs to the OpenTelemetry span that is current in this thread or task.

    A connection that was opened before the file was replaced (restored from a backup, say) writes to the old
    one, as any statement on it does: no process reads that event. Connect again after a restore.

    Args:
        connection: a connection to the bus's file; used by one thread, as always with `sqlite3`.
        topic: the topic's name.
        data: a `str` as text, a `ServerSentEvent` with its event name, anything else as JSON.
        event: the event's name.
        idempotency_key: repeating a publish with the same key within 5 minutes stores it once, and returns
            the same id.
        user: the key belongs to this user.
        dumps: replaces the JSON encoder.

    Returns:
        The entry's cursor, valid if the transaction commits.

    Raises:
        EncodeError, EventTooLarge, TopicNameError: the event cannot be sent, or the name is not valid.
        PublishRefused: nothing was inserted: the database is locked, full or not writable, or the key was
            used with other data. The transaction is as it was before.
        UsageError: not a connection of `sqlite3`, its database has no file, or the tables in it are of a
            newer layout.
    """
    if not isinstance(connection, sqlite3.Connection):
        raise UsageError(
            f"publish_in({type(connection).__name__}): give a connection of sqlite3 to the bus's file "
            "(that of an asynchronous wrapper or an ORM has one inside)"
        )
    draft = draft_of(check_topic(topic), data, event, schema.PLAIN, dumps)
    if idempotency_key is not None:
        draft.key = hashed_key(user, topic, idempotency_key)
    draft.trace = current_traceparent()
    try:
        with _inside(connection):
            position = _insert(connection, draft)
    except sqlite3.OperationalError as error:
        raise PublishRefused(
            f"{topic}: {error}; nothing was inserted{_advice(error)}",
            retry_after=1.0 if transient(error) else None,
        ) from error
    return cursor_of([part_of(ref_of(topic), position)])


def _insert(connection: sqlite3.Connection, draft: Draft) -> Position:
    if not schema.check_layout(schema.layout_of(connection), "this database"):
        _refuse_without_file(connection)
        schema.create(connection)
    draft.retention = schema.kept(connection).of(draft.topic)
    outcomes, _ = Appender(connection, remember=False).append([draft], begin(connection).now())
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def _refuse_without_file(connection: sqlite3.Connection) -> None:
    """A database in memory, or a temporary one, is this connection's alone: no bus would read the event."""
    rows = connection.cursor()
    rows.row_factory = None
    # As bytes, because an application's connection may return texts as any type.
    main = "SELECT CAST(coalesce(file, '') AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    if not rows.execute(main).fetchone()[0]:
        raise UsageError(
            "publish_in: the connection's database has no file, so no bus can read the event: give a "
            "connection to the file of the SQLiteBus"
        )


@contextlib.contextmanager
def _inside(connection: sqlite3.Connection) -> Iterator[None]:
    """A part of the connection's transaction; if it fails, only this part is rolled back."""
    rows = connection.cursor()
    if connection.in_transaction:
        begin, end, undo = "SAVEPOINT rx_sse", "RELEASE rx_sse", ["ROLLBACK TO rx_sse", "RELEASE rx_sse"]
    else:
        begin, end, undo = "BEGIN IMMEDIATE", "COMMIT" if _autocommit(connection) else "", ["ROLLBACK"]
    rows.execute(begin)
    try:
        yield
        if end:
            rows.execute(end)
    except BaseException:
        for statement in undo:
            with contextlib.suppress(sqlite3.Error):  # some errors end the transaction by themselves
                rows.execute(statement)
        raise


def _autocommit(connection: sqlite3.Connection) -> bool:
    """Whether each statement of the connection commits by itself."""
    mode = getattr(connection, "autocommit", -1)  # Python 3.12; -1 means: as isolation_level
    return mode is True or (mode == -1 and connection.isolation_level is None)


def _advice(error: sqlite3.OperationalError) -> str:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY_SNAPSHOT":
        return (
            ". This transaction has read before another connection wrote, so it cannot write any more: begin "
            "it with BEGIN IMMEDIATE"
        )
    return ""
