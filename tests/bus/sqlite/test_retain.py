"""Retention rules in the file: every publisher applies them, with or without a bus."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rx_sse import SQLiteBus, SQLitePublisher, publish_in
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.retentions import Retentions
from rx_sse.bus.sqlite import schema
from rx_sse.testing.listener import Listener

DAY = 86_400.0


def said(path: Path) -> Retentions:
    with closing(sqlite3.connect(path)) as connection:
        return schema.kept(connection)


def ages(path: Path) -> dict[str, float]:
    """Seconds for which the file keeps each topic's entries."""
    with closing(sqlite3.connect(path)) as connection:
        return {name: age / 1000 for name, age in connection.execute("SELECT name, age FROM rx_sse_topics")}


def by_publisher(path: Path, topic: str) -> None:
    with SQLitePublisher(path) as publisher:
        publisher.publish(topic, 1)


def in_transaction(path: Path, topic: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        publish_in(connection, topic, 1)
        connection.commit()


def in_transaction_of_bytes(path: Path, topic: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        publish_in(connection, topic, 1)
        connection.commit()


@pytest.mark.parametrize("publish", [by_publisher, in_transaction, in_transaction_of_bytes])
async def test_who_publishes_without_a_bus_keeps_to_the_rules_of_the_bus(
    publish: Callable[[Path, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "app.db"
    bus = SQLiteBus(path, ttl=100)
    bus.retain("orders:*", ttl=DAY)
    async with bus:
        await bus.publish("orders:1", 1)
        for topic in ("orders:1", "orders:2", "other"):
            await asyncio.to_thread(publish, path, topic)
        kept = ages(path)
        assert (kept["orders:1"], kept["orders:2"], kept["other"]) == (DAY, DAY, 100.0)
        bus.retain("orders:*", ttl=2 * DAY)
        await bus.publish("other", 2)  # the file has noted it by then
        await asyncio.to_thread(publish, path, "orders:2")
        assert ages(path)["orders:2"] == 2 * DAY


async def test_the_rules_are_noted_at_the_start_and_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path, history=7):
        assert said(path).rules == {} and said(path).default.entries == 7
    bus = SQLiteBus(path, history=7)
    bus.retain("a:*", history=1)
    async with bus:
        assert said(path).rules == {"a:*": Retention(entries=1)}
        await asyncio.to_thread(bus.retain, "b", history_bytes=5)
        await bus.publish("c", 1)
        assert said(path).rules == {"a:*": Retention(entries=1), "b": Retention(entries=7, bytes=5)}
    async with SQLiteBus(path):
        assert said(path).rules == {}, "those of the last bus that started"


@pytest.mark.slow
async def test_a_topic_with_a_short_life_lives_as_long_as_it_is_listened_to(tmp_path: Path) -> None:
    """Its listeners get no gap: the beginning of a topic that is over is another one."""
    async with SQLiteBus(tmp_path / "app.db") as bus:
        bus.retain("typing:*", ttl=2)
        listener = await Listener(bus, "typing:1").opened()
        await bus.publish("typing:1", 1)
        await bus.publish("typing:2", 1)
        async with asyncio.timeout(30):
            while "typing:2" in ages(tmp_path / "app.db"):
                await asyncio.sleep(0.05)
        await bus.publish("typing:1", 2)
        await listener.received(2)
        assert not listener.gaps and "typing:1" in ages(tmp_path / "app.db")
