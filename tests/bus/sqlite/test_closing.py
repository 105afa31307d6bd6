"""The file is closed by one thread after the other: two at once may leave an empty WAL beside it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from rx_sse import SQLiteBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite import log as log_of_files
from rx_sse.bus.sqlite.work import Work
from rx_sse.errors import PublishRefused

from ...reader import until
from ..logs import writer_of


async def held(bus: SQLiteBus, goes_on: threading.Event) -> Any:
    """The log of a bus, whose reader waits until `goes_on` is set."""
    log: Any = core_of(bus).log
    reached = threading.Event()

    def wait(*_: object) -> None:
        reached.set()
        goes_on.wait(60.0)

    log._reader.ask(wait, lambda _: None)
    await asyncio.to_thread(reached.wait, 20.0)
    return log


async def test_the_writer_works_until_the_reader_has_closed_its_connection(path: Path) -> None:
    bus, goes_on = SQLiteBus(path), threading.Event()
    async with bus:
        await bus.publish("t", 1)
        log = await held(bus, goes_on)
        writer, reader = log._writer, log._reader
        closing = asyncio.ensure_future(log.close())
        await asyncio.sleep(0)
        worked = asyncio.get_running_loop().create_future()
        try:
            writer.work(Work(lambda connection, _: connection.in_transaction, worked.set_result, reads=True))
            async with asyncio.timeout(10):
                assert await worked is False
            assert reader.thread.is_alive() and writer.thread.is_alive() and not closing.done()
        finally:
            goes_on.set()
        await closing
    assert os.listdir(path.parent) == [path.name]


async def test_a_reader_that_does_not_end_keeps_no_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk does not answer, say: the writer ends, and has stored what was accepted."""
    monkeypatch.setattr(log_of_files, "STOP", 0.1)
    bus, goes_on = SQLiteBus(path), threading.Event()
    try:
        async with bus:
            log = await held(bus, goes_on)
            writer, reader = log._writer, log._reader
            bus.topic("t").on_next("accepted")
        assert reader.thread.is_alive()
        await asyncio.to_thread(writer.thread.join, 10.0)
        assert not writer.thread.is_alive()
    finally:
        goes_on.set()
    await asyncio.to_thread(reader.thread.join, 20.0)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT data FROM rx_sse_entries").fetchall() == [("accepted",)]
    connection.close()


async def test_a_writer_that_is_held_up_for_longer_than_a_close_waits_ends_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a transaction that takes long, say."""
    monkeypatch.setattr(log_of_files, "STOP", 0.05)
    goes_on = threading.Event()
    try:
        async with SQLiteBus(path) as bus:
            await bus.publish("t", 1)
            writer = writer_of(bus)
            writer.work(Work(lambda connection, _: goes_on.wait(60.0), lambda _: None, reads=True))
        assert writer.thread.is_alive()
    finally:
        goes_on.set()
    await asyncio.to_thread(writer.thread.join, 20.0)
    assert not writer.thread.is_alive()


async def test_what_a_close_has_refused_is_not_stored_when_a_lock_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_of_files, "STOP", 0.05)
    async with SQLiteBus(path) as bus:
        await bus.publish("t", "stored")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        publishing = asyncio.create_task(bus.publish("t", "refused"))
        await until(lambda: bool(bus.stats().trouble))
        writer = writer_of(bus)
    with pytest.raises(PublishRefused, match="the bus was closed"):
        await publishing
    other.execute("ROLLBACK")
    await asyncio.to_thread(writer.thread.join, 20.0)
    assert not writer.thread.is_alive()
    assert other.execute("SELECT data FROM rx_sse_entries").fetchall() == [("stored",)]
    other.close()


def test_both_end_where_the_loop_was_closed_under_an_open_bus(path: Path) -> None:
    loop = asyncio.new_event_loop()
    log: Any = core_of(SQLiteBus(path)).log
    loop.run_until_complete(log.open())
    threads = log._reader.thread, log._writer.thread
    loop.close()
    log._writer.work(Work(lambda *_: None, lambda _: None, reads=True))
    for thread in threads:
        thread.join(20.0)
        assert not thread.is_alive()
    assert os.listdir(path.parent) == [path.name]
