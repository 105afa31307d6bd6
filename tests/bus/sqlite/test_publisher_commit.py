"""A commit of `SQLitePublisher` fails, and the event is in the file all the same: it is stored once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rx_sse import SQLiteBus, SQLitePublisher, publish_in
from rx_sse.testing.listener import Listener


class Failing(sqlite3.Connection):
    """Its first commit is stored, and fails; what happens at that moment."""

    then: Callable[[], object]

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        done = super().execute(sql, *parameters)
        if sql == "COMMIT":
            self.then()
            raise sqlite3.OperationalError("disk I/O error")
        return done


@pytest.fixture
def publisher(path: Path) -> Iterator[SQLitePublisher]:
    with SQLitePublisher(path, timeout=1.0) as publisher:
        publisher.publish("t", 0)
        yield publisher


def fail(publisher: SQLitePublisher, path: Path, then: Callable[[], object]) -> None:
    """Let the next commit fail."""
    state = publisher._state
    assert state.connection is not None
    state.connection.close()
    connection = sqlite3.connect(path, factory=Failing, isolation_level=None, check_same_thread=False)
    connection.then = then
    state.connection = connection


async def test_it_is_found_while_another_program_holds_the_lock_for_so_long_that_it_is_trimmed(
    path: Path, forward: Callable[[float], None]
) -> None:
    async with SQLiteBus(path, history=3) as bus:
        listener = await Listener(bus, "t").opened()
        with SQLitePublisher(path, timeout=1.0) as publisher:
            first = publisher.publish("t", 0)
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                fail(publisher, path, lambda: other.execute("BEGIN IMMEDIATE"))
                second = publisher.publish("t", 1)
                await listener.received(2)
                forward(4.0)
                for number in range(2, 20):
                    publish_in(other, "t", number)
                other.execute("COMMIT")
            publisher.publish("t", 20)
        await listener.received(21)
        assert listener.values == list(range(21)) and not listener.gaps
        assert [first, second] == [event.id for event in listener.events[:2]]


def test_it_is_found_when_it_is_tried_again(publisher: SQLitePublisher, path: Path) -> None:
    fail(publisher, path, lambda: None)
    cursor = publisher.publish("t", 1)
    with closing(sqlite3.connect(path)) as other:
        rows = other.execute("SELECT data, seq, nonce FROM rx_sse_entries ORDER BY seq").fetchall()
    assert [row[0] for row in rows] == ["0", "1"]
    assert cursor.endswith(f".{rows[1][1]}.{rows[1][2]}")
