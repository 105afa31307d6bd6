"""Several buses and processes on one file: what one stores, all deliver."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rx_sse import Bus, SQLiteBus, SQLitePublisher
from rx_sse.bus.bus import core_of
from rx_sse.bus.rosters import PresenceChange
from rx_sse.bus.sqlite.pages import News, Pages
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.testing.listener import Listener

from .worker import Worker


async def until(true: Callable[[], bool], *buses: Bus) -> None:
    async with asyncio.timeout(60):
        while not true():
            for bus in buses:  # instead of waiting for the second to be over
                core_of(bus).tick(asyncio.get_running_loop().time())
            await asyncio.sleep(0.02)


async def test_what_one_publishes_the_other_delivers_in_one_order(path: Path) -> None:
    async with SQLiteBus(path) as one, SQLiteBus(path) as other:
        listeners = [await Listener(bus, "t").opened() for bus in (one, other)]
        for number in range(200):
            (one, other)[number % 2].topic("t").on_next(number)
            if number % 20 == 0:
                await asyncio.sleep(0)
        for listener in listeners:
            await listener.received(200)
            assert not listener.gaps
        assert listeners[0].values == listeners[1].values
        for half in (0, 1):
            mine = [number for number in listeners[0].values if number % 2 == half]
            assert mine == list(range(half, 200, 2)), "each publisher's order is kept"


async def test_what_is_stored_while_entries_of_another_process_are_read_is_delivered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop hears of its own entry first, and cannot deliver it before the other's."""
    read, stored = threading.Event(), threading.Event()
    news = Pages.news

    def held(pages: Pages, after: int, clock: Clock) -> Sequence[News]:
        found = news(pages, after, clock)
        if found and not read.is_set():
            read.set()
            stored.wait(10)
        return found

    monkeypatch.setattr(Pages, "news", held)
    async with SQLiteBus(path) as bus, SQLiteBus(path) as other:
        listener = await Listener(bus, "t").opened()
        await other.publish("t", 1)
        assert await asyncio.to_thread(read.wait, 10)
        await bus.publish("t", 2)
        stored.set()
        await listener.received(2)
        assert listener.values == [1, 2] and not listener.gaps


async def test_a_restart_goes_on_where_every_client_was(path: Path) -> None:
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t").opened()
        empty = await Listener(bus, "other").opened()
        for number in range(10):
            await bus.publish("t", number)
        await listener.received(10)
        cursor, beginning = listener.cut(), empty.cut()
    with SQLitePublisher(path) as publisher:  # while no server runs
        publisher.publish("t", 10)
        publisher.publish("other", "first")
    async with SQLiteBus(path) as bus:
        back = await Listener(bus, "t", cursor=cursor).received(1)
        assert back.values == [10] and not back.gaps
        assert back.written[0].json()["resumed"] is True
        first = await Listener(bus, "other", cursor=beginning).received(1)
        assert [event.data for event in first.events] == ["first"] and not first.gaps


async def test_a_worker_that_is_killed_loses_nothing_that_it_accepted(path: Path) -> None:
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t").opened()
        accepted: list[int] = []
        for life in range(3):
            worker = await Worker.start(path)
            accepted += await worker.publish_until_killed("t", life * 100_000, after=50)
        await bus.publish("t", "end")
        await listener.until(lambda it: it.events[-1].data == "end" if it.events else False)
        got = [event.json() for event in listener.events[:-1]]
        assert not listener.gaps and len(set(got)) == len(got), "told of a gap, or repeated"
        assert set(accepted) <= set(got), "accepted, and lost"
        again = await Listener(bus, "t", last=1000).received(len(got) + 1)
        assert [event.data for event in again.events] == [event.data for event in listener.events]


async def test_presence_counts_the_listeners_of_all_processes(path: Path) -> None:
    async with SQLiteBus(path, grace=0.0) as one:
        async with SQLiteBus(path, grace=0.0) as other:
            here, changes = one.presence("t"), list[PresenceChange]()
            here.subscribe(changes.append)
            there = await Listener(other, "t", user="ann").opened()
            nameless = await Listener(other, "t").opened()
            await until(lambda: here.members == {"ann": 1} and here.total == 2, one, other)
            there.cut()
            nameless.cut()
            await until(lambda: len(changes) == 2 and here.total == 0, one, other)
            assert changes == [PresenceChange("t", "ann", True), PresenceChange("t", "ann", False)]
            await Listener(other, "t", user="bob").opened()
            await until(lambda: here.members == {"bob": 1}, one, other)
        await until(lambda: here.members == {}, one)


async def test_a_revocation_reaches_the_other_process_and_the_next_life(path: Path) -> None:
    async with SQLiteBus(path) as one, SQLiteBus(path) as other:
        await one.revoke(user="ann")
        await until(lambda: core_of(other).revocations.is_revoked("ann", None, 0.0))
    async with SQLiteBus(path) as bus:
        await until(lambda: core_of(bus).revocations.loaded)
        assert core_of(bus).revocations.is_revoked("ann", None, 0.0)


async def test_threads_of_a_publisher_take_turns(path: Path) -> None:
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t").opened()
        with SQLitePublisher(path) as publisher:

            def push(thread: int) -> None:
                for number in range(25):
                    publisher.publish("t", [thread, number])

            threads = [threading.Thread(target=push, args=(thread,)) for thread in range(4)]
            for thread in threads:
                thread.start()
            await listener.received(100)
            for thread in threads:
                await asyncio.to_thread(thread.join)
        for which in range(4):
            assert [n for t, n in listener.values if t == which] == list(range(25))


async def test_an_application_keeps_its_own_tables_in_the_file(path: Path) -> None:
    own = sqlite3.connect(path)
    own.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
    own.commit()
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 1)
        own.execute("INSERT INTO orders (what) VALUES ('tea')")
        own.commit()
        await bus.publish("t", 2)
    assert own.execute("SELECT what FROM orders").fetchall() == [("tea",)]
    names = {row[0] for row in own.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    own.close()
    assert {name for name in names if not name.startswith("rx_sse_")} == {"orders"}
