"""A disk that lets the writer wait: the loop does not, and what was refused meanwhile is not stored."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rx_sse import SQLiteBus
from rx_sse.bus.sqlite.work import Work
from rx_sse.errors import PublishRefused
from rx_sse.testing.listener import Listener

from ..logs import sqlite_of, writer_of

FSYNC = 0.2
COMMITS = 8


async def trace(bus: SQLiteBus, statement: Callable[[str], None]) -> None:
    """Have `statement` called with every statement of the writer, in its thread."""
    installed = asyncio.get_running_loop().create_future()

    def install(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(statement)

    writer_of(bus).work(Work(install, installed.set_result, reads=True))
    await installed


async def test_what_was_refused_while_the_writer_was_held_up_is_not_stored(tmp_path: Path) -> None:
    """Both are refused: one that the writer had taken before it was held up, and one that it had not."""
    held, goes_on = threading.Event(), threading.Event()

    def hold(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and not goes_on.is_set():
            held.set()
            goes_on.wait(10.0)

    async with SQLiteBus(tmp_path / "app.db", publish_timeout=0.1) as bus:
        await bus.position("t")
        await trace(bus, hold)
        first = asyncio.ensure_future(bus.publish("t", "taken"))
        await asyncio.to_thread(held.wait, 10.0)
        for refused in (first, bus.publish("t", "not taken")):
            with pytest.raises(PublishRefused):
                await refused
        goes_on.set()
        await bus.publish("t", "later")
        entries = await bus.history("t", last=10)
        assert [entry.data for entry in entries] == ["later"]


async def test_what_a_failed_commit_has_stored_is_not_stored_again_when_it_was_trimmed(
    path: Path, forward: Callable[[float], None]
) -> None:
    """The writer's `COMMIT` fails because a work has committed before it. Until the second attempt begins,
    another process trims what was stored.
    """
    begun, goes_on, committed, again, ends = (threading.Event() for _ in range(5))

    def commit(connection: sqlite3.Connection, _: object) -> None:
        if not committed.is_set():
            connection.execute("COMMIT")
            committed.set()

    def hold(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE" and not goes_on.is_set():
            begun.set()
            goes_on.wait(10.0)
        elif statement == "BEGIN IMMEDIATE" and committed.is_set() and not ends.is_set():
            again.set()
            ends.wait(10.0)

    async with SQLiteBus(path, history=3) as bus, SQLiteBus(path, history=3) as other:
        listener = await Listener(other, "t").opened()
        await bus.position("t")
        await trace(bus, hold)
        first = asyncio.ensure_future(bus.publish("t", -2))
        await asyncio.to_thread(begun.wait, 10.0)
        once = asyncio.ensure_future(bus.publish("t", -1))
        log = sqlite_of(bus)
        while log.unsettled < 2:
            await asyncio.sleep(0)
        finished = asyncio.get_running_loop().create_future()
        log.in_place(Work(commit, finished.set_result))
        goes_on.set()
        await asyncio.to_thread(again.wait, 10.0)
        await listener.received(2)  # before they are trimmed
        forward(4.0)
        for number in range(20):
            await other.publish("t", number)
        ends.set()
        cursors = await asyncio.gather(first, once, finished)
        await other.publish("t", 20)
        await listener.received(23)
        assert listener.values == [*range(-2, 21)] and not listener.gaps
        assert cursors[:2] == [event.id for event in listener.events[:2]]


@pytest.mark.slow
async def test_a_commit_that_takes_200_ms_does_not_hold_the_loop(tmp_path: Path) -> None:
    """SQLite calls the trace of a statement in the thread that executes it, with the write lock held."""
    threads: list[int] = []
    stalls: list[float] = []

    def slow(statement: str) -> None:
        if statement == "COMMIT":
            threads.append(threading.get_ident())
            time.sleep(FSYNC)

    async with SQLiteBus(tmp_path / "app.db", publish_timeout=30.0) as bus:
        listener = await Listener(bus, "t").opened()
        loop = asyncio.get_running_loop()
        await trace(bus, slow)
        threads.clear()
        number = 0
        while len(threads) < COMMITS:
            bus.topic("t").on_next(number)
            number += 1
            before = loop.time()
            await asyncio.sleep(0.001)
            stalls.append(loop.time() - before - 0.001)
        await listener.received(number)
        assert listener.values == list(range(number)) and not listener.gaps
        assert threading.get_ident() not in threads
    print(f"{len(threads)} commits of 200 ms: longest stall of the loop {max(stalls) * 1000:.1f} ms")
    assert len(stalls) > 4 * len(threads), "the loop turns as often as it is committed: it waits for commits"
