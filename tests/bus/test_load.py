"""Many at once: cuts at random against a list, a long replay beside a probe, a reader on a thin line."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from rx_sse.bus import MemoryBus
from rx_sse.testing.listener import Listener


@pytest.mark.parametrize(
    ("clients", "seconds"),
    [(60, 1.5), pytest.param(1000, 60.0, marks=[pytest.mark.slow, pytest.mark.timeout(180)])],
)
async def test_clients_that_are_cut_at_random_hold_exactly_the_list(clients: int, seconds: float) -> None:
    chance = random.Random(7)
    published: dict[str, list[int]] = {f"t{number}": [] for number in range(20)}
    cuts = gaps = 0

    async def client(topic: str, got: list[Any], done: asyncio.Event) -> None:
        nonlocal cuts, gaps
        cursor: str | None = None
        while True:
            listener = await Listener(bus, topic, cursor=cursor).opened()
            try:
                await asyncio.wait_for(done.wait(), chance.uniform(0.01, seconds / 4))
            except TimeoutError:
                cuts += 1
            last = done.is_set()
            cursor = listener.cut()
            got += listener.values
            gaps += len(listener.gaps)
            if last and len(got) >= len(published[topic]):
                return
            await asyncio.sleep(0 if last else chance.uniform(0, seconds / 20))

    async with MemoryBus() as bus:
        done = asyncio.Event()
        topics = [f"t{number % 20}" for number in range(clients)]
        # One listens from the start on each topic, so that everybody's list begins at the beginning.
        holding: list[list[Any]] = [[] for _ in topics]
        running = [asyncio.create_task(client(*args, done)) for args in zip(topics, holding, strict=True)]
        await asyncio.sleep(0.02)
        starts = [len(published[topic]) for topic in topics]
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            topic = f"t{chance.randrange(20)}"
            published[topic].append(number)
            bus.topic(topic).on_next(number)
            number += 1
            await asyncio.sleep(0.005)
        await bus.delivered()
        done.set()
        await asyncio.gather(*running)
        assert starts == [0] * clients
        for topic, got in zip(topics, holding, strict=True):
            assert got == published[topic]
    print(f"{number} published, {clients} clients, {cuts} cuts, {gaps} gaps, 0 missing, 0 repeated")
    assert gaps == 0 and cuts > clients


async def test_a_long_replay_does_not_hold_the_loop() -> None:
    async with MemoryBus(history=10_000, history_bytes=64 * 1024 * 1024) as bus:
        cursor = (await Listener(bus, "t").opened()).cut()
        for number in range(10_000):
            bus.topic("t").on_next({"n": number, "pad": "x" * 1000})
        await bus.delivered()
        worst = 0.0
        stop = False

        async def probe() -> None:
            nonlocal worst
            while not stop:
                began = (
                    time.thread_time()
                )  # the processor's time: other programs on the machine are not ours to blame
                await asyncio.sleep(0)
                worst = max(worst, time.thread_time() - began)

        probing = asyncio.create_task(probe())
        listener = await Listener(bus, "t", cursor=cursor).opened()
        while len(listener.events) < 10_000:
            await asyncio.sleep(0)
        stop = True
        await probing
        assert [event.json()["n"] for event in listener.events] == list(range(10_000)) and not listener.gaps
        print(f"worst turn of the loop during the replay: {worst * 1000:.1f} ms")
        assert worst < 0.02


async def test_a_reader_on_a_thin_line_holds_no_copy_of_its_backlog() -> None:
    async with MemoryBus(history=10_000, history_bytes=64 * 1024 * 1024) as bus:
        cursor = (await Listener(bus, "t").opened()).cut()
        for number in range(10_000):
            bus.topic("t").on_next({"n": number, "pad": "x" * 1000})
        await bus.delivered()
        listener = Listener(bus, "t", cursor=cursor, slow=True)
        got = 0
        while got < 10_000:
            await listener.until(lambda it: bool(it.events))
            assert sum(len(event.frame) for event in listener.events) <= 2 * 65_536, "one block at a time"
            got += len(listener.events)
            listener.written.clear()
            listener.drain()
        assert got == 10_000


async def test_ten_thousand_subscribers_do_not_hold_the_loop() -> None:
    async with MemoryBus() as bus:
        count = 0

        def take(_: Any) -> None:
            nonlocal count
            count += 1

        for _ in range(10_000):
            bus.topic("t").subscribe(take)
        worst = 0.0
        for number in range(20):
            bus.topic("t").on_next(number)
        while count < 200_000:
            began = time.thread_time()
            await asyncio.sleep(0)
            worst = max(worst, time.thread_time() - began)
        print(f"worst turn of the loop: {worst * 1000:.1f} ms")
        assert worst < 0.03
