"""Many at once: cuts at random against a list, a long replay beside a probe, a reader on a thin line."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import time
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.bus import Bus, MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.port import PAGE_BYTES
from rx_sse.testing import serve
from rx_sse.testing.listener import Listener
from rx_sse.wire import EventParser, ServerSentEvent

from .conftest import MakeBus


async def ten_megabytes(bus: Bus, size: int = 1000) -> str | None:
    """So many events of `size` bytes on the topic ``t``, and the cursor before them."""
    cursor = (await Listener(bus, "t").opened()).cut()
    for number in range(10_000_000 // size):
        bus.topic("t").on_next({"n": number, "pad": "x" * size})
    await core_of(bus).delivered()
    return cursor


async def drops(url: str, cursor: str | None, rate: int) -> AsyncGenerator[bytes]:
    """A stream as it comes to a client that takes `rate` bytes a second."""
    loop, place = asyncio.get_running_loop(), urlsplit(url)
    with socket.socket() as line:
        line.setblocking(False)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)  # the usual size; it grows no more
        await loop.sock_connect(line, (place.hostname, place.port))
        request = f"GET / HTTP/1.0\r\nAccept: text/event-stream\r\nLast-Event-ID: {cursor}\r\n\r\n"
        await loop.sock_sendall(line, request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(line, 1)
        begun, taken = loop.time(), 0
        while data := await loop.sock_recv(line, min(65_536, rate // 10)):
            yield data
            taken += len(data)
            await asyncio.sleep(begun + taken / rate - loop.time())


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
        await core_of(bus).delivered()
        done.set()
        await asyncio.gather(*running)
        assert starts == [0] * clients
        for topic, got in zip(topics, holding, strict=True):
            assert got == published[topic]
    print(f"{number} published, {clients} clients, {cuts} cuts, {gaps} gaps, 0 missing, 0 repeated")
    assert gaps == 0 and cuts > clients


async def test_a_long_replay_does_not_hold_the_loop() -> None:
    async with MemoryBus(history=10_000, history_bytes=64 * 1024 * 1024) as bus:
        cursor = await ten_megabytes(bus)
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

        gc.collect()
        gc.freeze()  # what other tests left is not looked through in one of these turns
        probing = asyncio.create_task(probe())
        listener = await Listener(bus, "t", cursor=cursor).opened()
        while len(listener.events) < 10_000:
            await asyncio.sleep(0)
        stop = True
        await probing
        gc.unfreeze()
        gc.freeze()  # as before: conftest.py
        assert [event.json()["n"] for event in listener.events] == list(range(10_000)) and not listener.gaps
        print(f"worst turn of the loop during the replay: {worst * 1000:.1f} ms")
        assert worst < 0.02


@pytest.mark.slow
async def test_a_reader_that_is_slow_is_handed_one_block_at_a_time(make_bus: MakeBus) -> None:
    async with make_bus(history=10_000, history_bytes=64 * 1024 * 1024) as bus:
        cursor = await ten_megabytes(bus)
        listener = Listener(bus, "t", cursor=cursor, slow=True)
        got: list[int] = []
        while len(got) < 10_000:
            await listener.until(lambda it: bool(it.events))
            assert sum(len(event.frame) for event in listener.events) <= 2 * 65_536
            got += [event.json()["n"] for event in listener.events]
            assert not listener.gaps
            listener.written.clear()
            listener.drain()
        assert got == list(range(10_000))


@pytest.mark.parametrize(
    ("make_bus", "rate"),
    [
        pytest.param("memory", 5_000_000, marks=pytest.mark.slow),
        pytest.param("redis", 5_000_000, marks=pytest.mark.slow),
        pytest.param("redis", 200_000, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param("redis", 10_000, marks=[pytest.mark.soak, pytest.mark.timeout(1500)]),
    ],
    indirect=["make_bus"],
)
async def test_ten_megabytes_arrive_whole_over_a_thin_line_and_cost_two_pages(
    make_bus: MakeBus, rate: int
) -> None:
    """A socket that takes `rate` bytes a second, an application under it, and what one more reader costs."""
    async with make_bus(history=10_000, history_bytes=64 * 1024 * 1024) as bus:
        app = rx_sse.setup(web.Application(), bus=bus)

        @rx_sse.sse
        def stream(request: web.Request) -> rx.Observable[ServerSentEvent]:
            return bus.events("t", after=rx_sse.last_event_id(request))

        app.router.add_get("/", stream)
        cursor = await ten_megabytes(bus, 2000)
        async with serve(app) as url:
            await Listener(bus, "t", cursor=cursor).received(5_000)  # what all readers share is there
            expected, parser = 0, EventParser()
            tracemalloc.start()
            async with aclosing(drops(url, cursor, rate)) as coming:
                async for data in coming:
                    for event in parser.feed(data):
                        assert event.type != "stream-gap", event.data
                        if not event.is_control:
                            assert event.json()["n"] == expected
                            expected += 1
                            if expected == 2_500:  # what is published meanwhile waits for its turn
                                bus.topic("t").on_next({"n": 5_000})
                    if expected == 5_001:
                        break
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        print(f"{expected} events, at the most {peak:,} bytes more")
        assert expected == 5_001 and peak <= 2 * PAGE_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("make_bus", ["memory", "redis"], indirect=True)
async def test_a_filter_that_passes_nothing_for_ten_seconds_moves_the_cursor(make_bus: MakeBus) -> None:
    """1,000 entries a second over a history of 500: the position goes along, or the reconnect meets a gap."""
    async with make_bus(history=500) as bus:
        options: dict[str, Any] = {"filter": lambda event: event.data == "end"}
        listener = await Listener(bus, "t", **options).opened()
        loop = asyncio.get_running_loop()
        begun, pushed = loop.time(), 0
        while pushed < 10_000:
            due = min(10_000, int((loop.time() - begun) * 1000))
            for number in range(pushed, due):
                bus.topic("t").on_next(number)
            pushed = due
            await asyncio.sleep(0.005)
        resumed = await Listener(bus, "t", cursor=listener.cut(), **options).opened()
        await bus.publish("t", "end")
        await resumed.received(1)
        assert resumed.written[0].json()["resumed"] and not resumed.gaps and not listener.events


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
