"""Processes that are killed under load, stopped and restarted: every client holds the list, or got a gap."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from rx_sse import SQLiteBus, publish_in
from rx_sse.testing.listener import Listener

from .worker import Worker


class Client:
    """One that comes back with its cursor whenever it is cut."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.seen: list[str] = []
        self.gaps = 0
        self.listener: Listener | None = None

    async def connect(self, bus: SQLiteBus) -> None:
        self.listener = await Listener(bus, "t", cursor=self.cursor).opened()

    def cut(self) -> None:
        if self.listener is not None:
            self.cursor = self.listener.cut()
            self.seen += [event.data for event in self.listener.events]
            self.gaps += len(self.listener.gaps)
            self.listener = None


async def stored(bus: SQLiteBus) -> list[str]:
    """Everything that is in the log."""
    found: list[str] = []
    page = await bus.history("t", limit=500)
    found += [entry.data for entry in page]
    while page.next is not None:
        page = await bus.history("t", after=page.next, limit=500)
        assert page.gap is None
        found += [entry.data for entry in page]
    return found


async def chaos(path: Path, kills: int, seed: int) -> None:
    """Two publishing processes are killed again and again, while buses with clients come and go."""
    chance = random.Random(seed)
    accepted: list[int] = []
    clients = [Client() for _ in range(4)]
    stop = asyncio.Event()

    async def publishers(lane: int) -> None:
        for life in range(kills // 2):
            worker = await Worker.start(path)
            first = (lane * 10_000 + life) * 100_000
            accepted.extend(await worker.publish_until_killed("t", first, after=chance.randrange(1, 60)))

    async def served() -> None:
        while not stop.is_set():
            async with SQLiteBus(path, history=1_000_000, history_bytes=1 << 30) as bus:
                for client in clients:
                    await client.connect(bus)
                for _ in range(5):
                    await asyncio.sleep(chance.uniform(0.01, 0.1))
                    client = chance.choice(clients)
                    client.cut()
                    await client.connect(bus)
                for client in clients:
                    client.cut()

    async with SQLiteBus(path, history=1_000_000, history_bytes=1 << 30) as bus:
        for client in clients:  # they know where they begin
            await client.connect(bus)
            client.cut()
    serving = asyncio.create_task(served())
    await asyncio.gather(publishers(1), publishers(2))
    stop.set()
    await serving
    async with SQLiteBus(path, history=1_000_000, history_bytes=1 << 30) as bus:
        for client in clients:
            await client.connect(bus)
        await bus.publish("t", "end")
        log = await stored(bus)
        for client in clients:
            assert client.listener is not None
            await client.listener.until(lambda it: bool(it.events) and it.events[-1].data == "end")
            client.cut()
            assert client.seen == log and client.gaps == 0, "lost, repeated, or told of a gap that is none"
    assert set(map(str, accepted)) <= set(log), "accepted, and not stored"
    assert len(set(log)) == len(log), "stored twice"
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


async def test_publishers_are_killed_under_clients_that_come_and_go(tmp_path: Path) -> None:
    await chaos(tmp_path / "app.db", kills=4, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_two_hundred_kills(tmp_path: Path) -> None:
    await chaos(tmp_path / "app.db", kills=200, seed=2)


@pytest.mark.slow
async def test_a_process_that_is_stopped_for_a_while_comes_back_whole(tmp_path: Path) -> None:
    """SIGSTOP, while it may be in a transaction; others wait or go on, it goes on afterwards."""
    path = tmp_path / "app.db"
    async with SQLiteBus(path, history=1_000_000, history_bytes=1 << 30, publish_timeout=60.0) as bus:
        listener = await Listener(bus, "t").opened()
        got: list[str] = []
        for life in range(4):
            worker = await Worker.start(path)
            resumed = asyncio.Event()
            publishing = asyncio.create_task(
                worker.publish_until_killed("t", life * 100_000, after=2000, not_before=resumed)
            )
            before = len(listener.events)
            await listener.until(lambda it, before=before: len(it.events) > before + 40)
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(1.5)
            worker.signal(signal.SIGCONT)
            resumed.set()
            accepted = await publishing
            await bus.publish("t", f"{life} is over")
            await listener.until(lambda it, life=life: it.events[-1].data == f"{life} is over")
            got = [event.data for event in listener.events]
            assert set(map(str, accepted)) <= set(got) and not listener.gaps
            assert len(set(got)) == len(got)
        assert got == await stored(bus)


@pytest.mark.slow
async def test_a_transaction_of_ten_seconds_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path, publish_timeout=30.0) as bus, SQLiteBus(path) as other:
        listener = await Listener(other, "t").opened()
        app = sqlite3.connect(path)
        app.execute("BEGIN IMMEDIATE")
        publish_in(app, "t", "inside")
        waiting = [asyncio.create_task(bus.publish("t", number)) for number in range(100)]
        loop = asyncio.get_running_loop()
        longest, before = 0.0, loop.time()
        end = before + 10.0
        while before < end:
            await asyncio.sleep(0.01)
            longest, before = max(longest, loop.time() - before), loop.time()
        assert not bus.ready() and not listener.events
        app.commit()
        app.close()
        await asyncio.gather(*waiting)
        await listener.received(101)
        assert [event.data for event in listener.events] == ["inside", *map(str, range(100))]
        assert not listener.gaps
