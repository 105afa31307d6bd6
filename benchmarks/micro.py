"""The parts alone, without sockets: nanoseconds of CPU time for each operation.

    python -m benchmarks --micro

A step is repeated until it takes a tenth of a second, seven times; the table has the median and the range.
These numbers do not add up to what a delivery costs: most of that is the kernel's. They show which part
grew when a run of the benchmark did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, cast

from aiohttp import web

import rx_sse
from rx_sse.delivery.flusher import Flusher
from rx_sse.delivery.outbox import Gap, Outbox
from rx_sse.wire.encode import encode

ROUNDS = 7
ENOUGH = 0.1
"""Seconds that one round takes at least."""
VALUE = {"seq": 1, "t": 123456789012345, "text": "abcdefghijklmnopqrstuvwxyz" * 3}
FRAME = encode(VALUE).frame
Row = tuple[str, list[float]]


def timed(step: Callable[[], object], operations: int) -> list[float]:
    """ns for each of the `operations` in a step, once for each round."""
    repeat, found = 1, []
    while True:
        taken = _cpu(step, repeat)
        if taken >= ENOUGH * 1e9:
            break
        repeat = max(repeat * 2, int(repeat * ENOUGH * 1e9 / max(taken, 1)))
    for _ in range(ROUNDS):
        found.append(_cpu(step, repeat) / repeat / operations)
    return found


def _cpu(step: Callable[[], object], repeat: int) -> int:
    started = time.thread_time_ns()
    for _ in range(repeat):
        step()
    return time.thread_time_ns() - started


def wire() -> Iterator[Row]:
    """Encoding and parsing."""
    yield "encode a dict, frame and chunk", timed(lambda: encode(VALUE).chunk, 1)
    yield "encode a str, frame and chunk", timed(lambda: encode("hello").chunk, 1)
    event = rx_sse.ServerSentEvent("hello")
    yield "the chunk of an event that was sent before", timed(lambda: event.chunk, 1)
    block = FRAME * 400

    def parse() -> None:
        rx_sse.EventParser().feed(block)

    yield "parse an event, 400 in a piece", timed(parse, 400)


class Silent:
    """Nothing is dropped here."""

    def relieve(self) -> None:
        pass

    def render_gap(self, gap: Gap) -> bytes:
        return b""


def delivery() -> Iterator[Row]:
    """The outbox and the flusher."""

    def outbox() -> Outbox:
        made = Outbox(rx_sse.Overflow("drop_oldest"), Silent(), 1 << 20)
        made.live()
        return made

    quick, slow = outbox(), outbox()

    def keeps_up() -> None:
        quick.offer(FRAME)
        quick.take(65536)

    def lags() -> None:
        for _ in range(64):
            slow.offer(FRAME)
        slow.take(65536)

    full = outbox()
    for _ in range(600):
        full.offer(FRAME)
    yield "offer and take, a reader that keeps up", timed(keeps_up, 1)
    yield "offer and take, 64 at a time", timed(lags, 64)
    yield "offer to a full outbox, drop_oldest", timed(lambda: full.offer(FRAME), 1)


def _ignore(_: object) -> None: ...


class _Item:
    def flush(self, now: float) -> bool:
        return False


def flusher() -> Row:
    """One round over 1,000 connections that write nothing."""
    loop = asyncio.new_event_loop()
    made, items = Flusher(loop), [_Item() for _ in range(1_000)]

    def step() -> None:
        for item in items:
            made.mark(item)
        loop.call_soon(loop.stop)
        loop.run_forever()

    try:
        return "mark and flush a connection, 1,000 in a turn", timed(step, 1_000)
    finally:
        loop.close()


@asynccontextmanager
async def _bus() -> AsyncIterator[rx_sse.MemoryBus]:
    async with rx_sse.MemoryBus() as bus:
        yield bus


async def _fan_out(
    sinks: int, subscribe: Callable[[rx_sse.MemoryBus, Callable[[Any], None]], Any]
) -> list[float]:
    events, found = max(1, 20_000 // sinks), []
    async with _bus() as bus:
        count, done = 0, asyncio.Event()

        def sink(_: Any) -> None:
            nonlocal count
            count += 1
            if count == events * sinks:
                done.set()

        subscriptions = [subscribe(bus, sink) for _ in range(sinks)]
        await asyncio.sleep(0.05)
        topic = bus.topic("news")
        for _ in range(ROUNDS):
            count = 0
            done.clear()
            started = time.thread_time_ns()
            for _ in range(events):
                topic.on_next(VALUE)
                await asyncio.sleep(0)
            await done.wait()
            found.append((time.thread_time_ns() - started) / events / sinks)
        for each in subscriptions:
            each.dispose()
    return found


async def _subscribe(sinks: int, kind: Callable[[rx_sse.MemoryBus], Any]) -> list[float]:
    found = []
    async with _bus() as bus:
        kept = [kind(bus).subscribe(_ignore) for _ in range(sinks)]
        for _ in range(ROUNDS):
            started = time.thread_time_ns()
            some = [kind(bus).subscribe(_ignore) for _ in range(1_000)]
            for each in some:
                each.dispose()
            found.append((time.thread_time_ns() - started) / 1_000)
            await asyncio.sleep(0)
        for each in kept:
            each.dispose()
    return found


def bus() -> Iterator[Row]:
    """Topics: one event to many, coming and going."""

    def values(bus: rx_sse.MemoryBus, sink: Callable[[Any], None]) -> Any:
        return bus.topic("news").subscribe(sink)

    def events(bus: rx_sse.MemoryBus, sink: Callable[[Any], None]) -> Any:
        return bus.events("news", after=None).subscribe(sink)

    for sinks in (1, 1_000):
        for name, kind in (("bus.topic", values), ("bus.events", events)):
            many = f"{sinks:,} subscriber{'s' * (sinks > 1)}"
            yield f"{name}: a delivery, {many}", asyncio.run(_fan_out(sinks, kind))
    for sinks in (0, 10_000):
        beside = f"beside {sinks:,} others"
        yield (
            f"bus.topic: subscribe and dispose, {beside}",
            asyncio.run(_subscribe(sinks, lambda bus: bus.topic("news"))),
        )
        yield (
            f"bus.events: subscribe and dispose, {beside}",
            asyncio.run(_subscribe(sinks, lambda bus: bus.events("news", after=None))),
        )


class Nowhere(asyncio.Transport):
    """A transport without a socket: what is written to it is counted and gone."""

    written = 0  # by all of them
    target = 0
    reached = asyncio.Event()

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._protocol: asyncio.BaseProtocol = protocol
        self._open = True
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        Nowhere.written += 1
        if Nowhere.written == Nowhere.target:
            Nowhere.reached.set()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_reading(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return not self._open

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 16384, 65536

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().call_soon(lambda: self._protocol.connection_lost(None))


async def _edge(way: str, clients: int) -> list[float]:
    """The whole way from a push to `transport.write`, through aiohttp, without the kernel."""
    events, found = 20, []
    bus = rx_sse.MemoryBus()

    @rx_sse.sse
    async def handler(request: web.Request) -> Any:
        return (
            bus.topic("news")
            if way == "bus.topic"
            else bus.events("news", after=rx_sse.last_event_id(request))
        )

    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    server = runner.server
    assert server is not None
    transports = [Nowhere(server()) for _ in range(clients)]
    for each in transports:
        cast(asyncio.Protocol, each.get_protocol()).data_received(
            b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        )
    before = -1
    while before < Nowhere.written:  # until all heads and cursors are out
        before = Nowhere.written
        await asyncio.sleep(0.2)
    topic = bus.topic("news")
    for _ in range(ROUNDS):
        started = time.thread_time_ns()
        for _ in range(events):
            Nowhere.target = Nowhere.written + clients
            Nowhere.reached = asyncio.Event()
            topic.on_next(VALUE)
            await Nowhere.reached.wait()
        found.append((time.thread_time_ns() - started) / events / clients)
    for each in transports:
        each.abort()
    await runner.cleanup()
    return found


def edge() -> Iterator[Row]:
    """Everything between the application and the kernel."""
    for clients in (100, 1_000):
        for way in ("bus.topic", "bus.events"):
            yield f"{way}: push to transport.write, {clients:,} clients", asyncio.run(_edge(way, clients))


def main() -> int:
    """Print the table."""
    print("| | ns | lowest–highest |\n| --- | ---: | ---: |")
    for name, found in (*wire(), *delivery(), flusher(), *bus(), *edge()):
        print(f"| {name} | {median(found):,.0f} | {min(found):,.0f}–{max(found):,.0f} |", flush=True)
    return 0
