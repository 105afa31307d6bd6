"""Feeds under limits, and a log that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rx_sse import SQLiteBus
from rx_sse.bus import Bus, MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.port import Listener, Page, Query
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.resume.limiter import BUCKET, MAX_REPLAYS, REFILL, ReplayLimiter
from rx_sse.errors import Overloaded
from rx_sse.testing import listener as client


class SlowLog:
    """A memory log that answers later, when the test says so."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.held: list[Callable[[], None]] = []
        self.down = False

    def append(self, draft: Draft) -> None:
        self.log.append(draft)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        if query.topic.startswith("!"):
            self.log.read(query, done)
        elif self.down:
            done(None)
        else:
            self.held.append(lambda: self.log.read(query, done))

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self.log.watch(topic, listener)

    async def close(self) -> None:
        await self.log.close()

    def answer(self) -> None:
        held, self.held = self.held, []
        for answer in held:
            answer()


async def test_no_position_no_headers_and_in_the_end_no_stream() -> None:
    async with Bus(SlowLog(), position_timeout=0.02) as bus:
        waiting = client.Listener(bus, "t")
        ready: list[str] = []
        waiting.handle.on_ready(lambda: ready.append("ready"))
        assert waiting.handle.attached and not waiting.handle.ready and not waiting.written
        await waiting.until(lambda it: it.error is not None)
        assert isinstance(waiting.error, Overloaded) and not waiting.written
        assert bus.stats().subscriptions == 0


async def test_the_stream_opens_when_the_position_is_known() -> None:
    log = SlowLog()
    async with Bus(log) as bus:
        waiting = [client.Listener(bus, "t") for _ in range(100)]
        assert len(log.held) == 1, "one question for all"
        log.answer()
        for one in waiting:
            await one.opened()
        await bus.publish("t", 1)
        for one in waiting:
            await one.received(1)


async def test_a_log_that_is_down_is_asked_again() -> None:
    log = SlowLog()
    log.down = True
    async with Bus(log) as bus:
        waiting = client.Listener(bus, "t")
        await asyncio.sleep(0)
        log.down = False
        while not log.held:
            await asyncio.sleep(0.01)
        log.answer()
        await waiting.opened()


async def test_five_thousand_reconnects_ask_the_log_nothing_when_the_ring_is_warm() -> None:
    log = SlowLog()
    async with Bus(log) as bus:
        first = client.Listener(bus, "t")
        log.answer()
        await first.opened()
        cursor = first.cursor
        for number in range(10):
            await bus.publish("t", number)
        before = bus.stats()
        storm = [client.Listener(bus, "t", cursor=cursor) for _ in range(500)]
        for one in storm:
            await one.received(10)
        after = bus.stats()
        assert after.repairs == before.repairs and after.reads == before.reads


def test_replays_are_limited_in_number_and_by_principal() -> None:
    now = [0.0]
    replays = ReplayLimiter(lambda: now[0])
    for _ in range(MAX_REPLAYS):
        replays.enter(None)
    with pytest.raises(Overloaded) as full:
        replays.enter(None)
    assert full.value.retry_after
    for _ in range(MAX_REPLAYS):
        replays.leave(None, BUCKET * 10)
    replays.enter("a")
    replays.leave("a", BUCKET + REFILL)
    with pytest.raises(Overloaded):
        replays.enter("a")
    replays.enter("b")
    now[0] += 2.0
    replays.enter("a")
    replays.leave("a", 0)
    now[0] += 1000.0
    replays.sweep()
    assert not replays.buckets


async def test_who_is_over_his_budget_is_shed_before_the_stream_opens() -> None:
    async with MemoryBus(history=3000) as bus:
        cursor = (await client.Listener(bus, "t").opened()).cut()
        for number in range(2000):
            bus.topic("t").on_next(number)
        await core_of(bus).delivered()
        core_of(bus).limiter.enter("greedy")
        core_of(bus).limiter.leave("greedy", BUCKET * 2)
        shed = client.Listener(bus, "t", cursor=cursor, user="greedy")
        await shed.until(lambda it: it.error is not None)
        assert isinstance(shed.error, Overloaded) and not shed.written
        frugal = await client.Listener(bus, "t", cursor=cursor, user="frugal").received(2000)
        assert bus.stats().replays == 0
        frugal.cut()
        assert bus.stats().replays == 0


async def test_a_replay_that_is_refused_has_read_nothing(tmp_path: Path) -> None:
    async with SQLiteBus(tmp_path / "app.db", history=3000) as bus:
        cursor = (await client.Listener(bus, "t").opened()).cut()
        for number in range(2000):
            bus.topic("t").on_next(number)
        await core_of(bus).delivered()
        limiter, reads = core_of(bus).limiter, bus.stats().reads
        for _ in range(MAX_REPLAYS):
            limiter.enter(None)
        for shed in (client.Listener(bus, "t", cursor=cursor), client.Listener(bus, "t", last=2000)):
            await shed.until(lambda it: it.error is not None)
            assert isinstance(shed.error, Overloaded) and not shed.written
        assert bus.stats().reads == reads and limiter.running == MAX_REPLAYS
        limiter.leave(None, 0)
        await client.Listener(bus, "t", cursor=cursor).received(2000)


async def test_an_observer_of_events_that_raises_is_reported_once_and_let_go() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: Any) -> None:
        raise ValueError("mine")

    async with Bus(MemoryLog(), Retention()) as bus:
        bus.events("t", after=None).subscribe(fail)
        await asyncio.sleep(0)
        await bus.publish("t", 1)
        await bus.publish("t", 2)
        bus.events("t", after=None, last=1).subscribe(fail)
        await asyncio.sleep(0.01)
        assert len(reported) == 2 and bus.stats().subscriptions == 0


async def test_who_was_further_in_another_branch_reads_past_a_page_of_this_one() -> None:
    """The log does not have the higher position. That more follows a page is no reason to look for it again
    and again: the client would be sent away for ever."""
    async with MemoryBus(history=5000) as bus:
        opened = (await client.Listener(bus, "t").opened()).cut()
        for number in range(2600):
            bus.topic("t").on_next(number)
        await core_of(bus).delivered()
        assert opened is not None
        further = f"{opened}_{opened[2:].split('.')[0]}.1100.1"
        listener = await client.Listener(bus, "t", cursor=further, slow=True).opened()
        while len(listener.events) < 2600 and listener.error is None:
            listener.drain()
            await asyncio.sleep(0)
        assert listener.error is None and listener.values == list(range(2600))
        assert not listener.gaps
