"""`publish_in`: an event exists if and only if the transaction around it commits."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rx_sse import SQLiteBus, publish_in
from rx_sse.errors import EncodeError, PublishRefused, TopicNameError, UsageError
from rx_sse.testing.listener import Listener


@pytest.fixture
async def bus(path: Path) -> AsyncIterator[SQLiteBus]:
    async with SQLiteBus(path) as bus:
        yield bus


def orders(path: Path, **options: Any) -> sqlite3.Connection:
    connection = sqlite3.connect(path, **options)
    connection.execute("CREATE TABLE IF NOT EXISTS orders (what TEXT)")
    connection.commit()
    return connection


async def test_after_the_commit_it_is_delivered_and_before_it_is_not(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "orders").opened()
    app = orders(path)
    app.execute("INSERT INTO orders VALUES ('tea')")
    id = publish_in(app, "orders", {"what": "tea"}, "created")
    await asyncio.sleep(0.1)
    assert not listener.events, "delivered before the commit"
    app.commit()
    await listener.received(1)
    app.close()
    assert listener.values == [{"what": "tea"}] and listener.events[0].type == "created"
    assert listener.events[0].id == id, "the id that was returned is not the event's"


async def test_what_is_rolled_back_reaches_nobody_and_breaks_no_chain(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "orders").opened()
    app, chance = orders(path), random.Random(3)
    expected: list[int] = []
    for number in range(60):
        app.execute("INSERT INTO orders VALUES (?)", (number,))
        publish_in(app, "orders", number)
        if chance.random() < 0.5:
            app.rollback()
        else:
            app.commit()
            expected.append(number)
        if number % 7 == 0:
            await bus.publish("orders", number + 1000)
            expected.append(number + 1000)
    await listener.received(len(expected))
    assert listener.values == expected and not listener.gaps
    assert [row[0] for row in app.execute("SELECT what FROM orders")] == [
        str(number) for number in expected if number < 1000
    ]
    app.close()


async def test_several_in_one_transaction_come_in_their_order(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "a", "b").opened()
    app = orders(path)
    with app:
        for number in range(10):
            publish_in(app, "ab"[number % 2], number)
    await listener.received(10)
    app.close()
    for half in (0, 1):
        assert [it for it in listener.values if it % 2 == half] == list(range(half, 10, 2))


async def test_on_a_connection_in_autocommit_it_is_published_at_once(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "t").opened()
    app = orders(path, isolation_level=None)
    publish_in(app, "t", 1)
    assert not app.in_transaction
    app.execute("BEGIN")
    publish_in(app, "t", 2)
    assert app.in_transaction
    app.execute("ROLLBACK")
    publish_in(app, "t", 3)
    await listener.received(2)
    app.close()
    assert listener.values == [1, 3]


async def test_the_connections_own_settings_do_not_matter(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "t").opened()
    app = orders(path)
    app.row_factory = sqlite3.Row
    app.text_factory = bytes
    publish_in(app, "t", "é")
    app.commit()
    app.row_factory = lambda cursor, row: {"columns": row}
    publish_in(app, "t", "ü", idempotency_key="k")
    publish_in(app, "t", "ü", idempotency_key="k")
    app.commit()
    await listener.received(2)
    app.close()
    assert [event.data for event in listener.events] == ["é", "ü"]


def test_a_file_that_no_bus_has_used_gets_its_tables_with_the_transaction(path: Path) -> None:
    app = orders(path)
    publish_in(app, "t", 1)
    app.rollback()
    assert app.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'rx_sse%'").fetchone() == (0,)
    publish_in(app, "t", 2)
    app.commit()
    app.close()


async def test_a_bus_that_starts_later_delivers_it_to_whoever_asks(path: Path) -> None:
    app = orders(path)
    publish_in(app, "t", 1)
    app.commit()
    app.close()
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t", last=5).received(1)
        assert listener.values == [1]


def test_bad_input_is_refused_and_the_transaction_goes_on(path: Path) -> None:
    app = orders(path)
    app.execute("INSERT INTO orders VALUES ('kept')")
    with pytest.raises(TopicNameError):
        publish_in(app, "no name", 1)
    with pytest.raises(EncodeError):
        publish_in(app, "t", object())
    publish_in(app, "t", 1, idempotency_key="k")
    with pytest.raises(PublishRefused, match="another payload"):
        publish_in(app, "t", 2, idempotency_key="k")
    app.commit()
    assert app.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    assert app.execute("SELECT count(*) FROM rx_sse_entries").fetchone() == (1,)
    app.close()
    with pytest.raises(UsageError, match="connection of sqlite3"):
        publish_in("app.db", "t", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [":memory:", ""], ids=["in memory", "temporary"])
def test_a_database_without_a_file_is_refused_and_gets_no_tables(place: str) -> None:
    """Its own tables are not lost, and the transaction goes on."""
    with contextlib.closing(sqlite3.connect(place)) as app:
        app.execute("CREATE TABLE orders (what TEXT)")
        app.execute("INSERT INTO orders VALUES ('kept')")
        app.text_factory = bytes
        with pytest.raises(UsageError, match="has no file"):
            publish_in(app, "t", 1)
        app.commit()
        assert app.execute("SELECT name FROM sqlite_master").fetchall() == [(b"orders",)]
        assert app.execute("SELECT count(*) FROM orders").fetchone() == (1,)


def test_a_transaction_that_read_before_another_wrote_is_told_what_to_do(path: Path) -> None:
    app, other = orders(path, timeout=0.1), orders(path)
    other.execute("PRAGMA journal_mode = WAL")
    app.execute("BEGIN")
    app.execute("SELECT count(*) FROM orders").fetchone()
    publish_in(other, "t", 1)
    other.commit()
    with pytest.raises(PublishRefused, match="BEGIN IMMEDIATE"):
        publish_in(app, "t", 2)
    app.rollback()
    publish_in(app, "t", 2)
    publish_in(app, "t", 3)
    app.commit()
    with pytest.raises(PublishRefused, match="locked") as refused:
        app.execute("BEGIN IMMEDIATE")
        other.execute("PRAGMA busy_timeout = 50")
        publish_in(other, "t", 4)
    assert refused.value.retry_after == 1.0
    app.close()
    other.close()
