"""What is over leaves the file, and the file does not grow."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from rx_sse import SQLiteBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite.work import Work
from rx_sse.testing.listener import Listener

from ..logs import writer_of


def counts(path: Path) -> tuple[int, int, int]:
    file = sqlite3.connect(path)
    tables = ("rx_sse_topics", "rx_sse_entries", "rx_sse_keys")
    found = [file.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    file.close()
    return found[0], found[1], found[2]


async def swept(bus: SQLiteBus, until: Callable[[], bool], other: SQLiteBus | None = None) -> None:
    async with asyncio.timeout(20):
        while not until():
            for each in (bus, other or bus):
                core_of(each).tick(asyncio.get_running_loop().time())
                done = asyncio.get_running_loop().create_future()
                writer_of(each).work(Work(lambda *_: None, done.set_result))
                await done  # what the tick asked of the writer is done


async def test_topics_entries_and_keys_end_and_their_pages_are_given_back(
    path: Path, forward: Callable[[float], None]
) -> None:
    async with SQLiteBus(path, ttl=60.0) as bus:
        await asyncio.gather(
            *(
                bus.publish(f"t{number % 100}", "x" * 1000, idempotency_key=str(number))
                for number in range(4000)
            )
        )
        assert counts(path)[1] == 4000
        full = size_of(path) + size_of(Path(f"{path}-wal"))
        assert full > 4_000_000
        forward(700.0)
        await swept(bus, lambda: counts(path)[1:] == (0, 0) and counts(path)[0] <= 1)
        await swept(bus, lambda: pages_of(path) < 400)
    assert size_of(path) < full / 3


def size_of(path: Path) -> int:
    return os.stat(path).st_size


def pages_of(path: Path) -> int:
    file = sqlite3.connect(path)
    found = file.execute("PRAGMA page_count").fetchone()[0]
    file.close()
    return int(found)


async def test_a_topic_that_is_watched_lives_on_and_keeps_its_place(
    path: Path, forward: Callable[[float], None]
) -> None:
    async with SQLiteBus(path, ttl=60.0) as bus:
        listener = await Listener(bus, "watched").opened()
        empty = await Listener(bus, "empty").opened()
        await bus.publish("watched", 1)
        for life in range(3):  # as if the machine slept; topics expire for all others, not for these
            await bus.publish(f"other{life}", "unwatched")
            forward(1000.0)
            await swept(bus, lambda: counts(path)[1] == 0)
        await bus.publish("watched", 2)
        await bus.publish("empty", 3)
        await listener.received(2)
        await empty.received(1)
        assert listener.values == [1, 2] and not listener.gaps and not empty.gaps


async def test_ids_never_go_back_when_the_last_entries_are_over(
    path: Path, forward: Callable[[float], None]
) -> None:
    """Another process, which has seen the last of them, would miss the next."""
    async with SQLiteBus(path, ttl=60.0) as bus, SQLiteBus(path, ttl=60.0) as other:
        listener = await Listener(other, "t").opened()
        for number in range(20):
            await bus.publish("t", number)
        await listener.received(20)
        forward(130.0)
        await swept(bus, lambda: counts(path)[1] == 0, other)
        for number in range(20, 25):
            await bus.publish("t", number)
        await listener.received(25)
        assert listener.values == list(range(25)) and not listener.gaps


async def test_a_short_history_is_no_loss_for_a_process_that_is_behind(path: Path) -> None:
    """Entries over the limit stay until other processes have read them."""
    async with SQLiteBus(path, history=1) as bus, SQLiteBus(path, history=1) as other:
        listener = await Listener(other, "t").opened()
        for number in range(3000):
            bus.topic("t").on_next(number)
        await listener.received(3000)
        assert listener.values == list(range(3000)) and not listener.gaps
        late = await Listener(other, "t", last=10).received(1)
        assert late.values == [2999], "more is shown than the history"
