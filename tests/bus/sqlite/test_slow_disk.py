"""A disk that takes 200 ms for each commit: the writer's thread waits for it, the loop does not."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from rx_sse import SQLiteBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite.work import Work
from rx_sse.testing.listener import Listener

FSYNC = 0.2
COMMITS = 8


@pytest.mark.slow
async def test_a_commit_that_takes_200_ms_does_not_hold_the_loop(tmp_path: Path) -> None:
    """SQLite calls the trace of a statement in the thread that executes it, with the write lock held."""
    threads: list[int] = []
    stalls: list[float] = []

    def slow(statement: str) -> None:
        if statement == "COMMIT":
            threads.append(threading.get_ident())
            time.sleep(FSYNC)

    def install(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(slow)

    async with SQLiteBus(tmp_path / "app.db", publish_timeout=30.0) as bus:
        listener = await Listener(bus, "t").opened()
        loop = asyncio.get_running_loop()
        installed = loop.create_future()
        core_of(bus).log._writer.work(Work(install, installed.set_result, reads=True))  # type: ignore[attr-defined]
        await installed
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
