"""A reader that is slower than its source costs bounded memory, delays no other reader, and meets its policy.

Every event carries its number, so what arrived and what was announced can be counted against what was pushed:
a gap must say exactly how many numbers are missing in its very place.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex.subject import Subject

import rx_sse
from rx_sse import Overflow, ServerSentEvent
from rx_sse.delivery.connection import WRITE_LIMIT
from rx_sse.delivery.tuning import USER_TIMEOUT
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.registry import REGISTRY
from rx_sse.web.stream import Stream

from .apps import app_of, at_rest, only_stream, streaming, until

SMALL = 4096
"""Bytes that the kernel holds for a client here, so that a stalled one fills up soon."""


def event(n: int, size: int = 200) -> str:
    return f"{n:06}".ljust(size, ".")


def number(event: ServerSentEvent) -> int:
    return int(event.data[:6])


async def filled(subject: Subject[str], stream: Stream, size: int = 200) -> int:
    """Push until the socket of the stalled client takes no more; the number of the next event."""
    n = 0
    while not stream.connection.paused:
        subject.on_next(event(n, size))
        n += 1
        await asyncio.sleep(0)
        if stream.connection.paused:
            await at_rest(lambda: stream.connection.paused)
    return n


async def push(subject: Subject[str], numbers: Iterable[int], size: int = 200) -> None:
    """Push with turns of the loop in between, as a source does that is no loop."""
    for n in numbers:
        subject.on_next(event(n, size))
        if n % 50 == 0:
            await asyncio.sleep(0)


async def everything(stream: OpenStream) -> list[ServerSentEvent]:
    """All events up to the end, the library's own included."""
    stream.resume()
    await stream.ended(20)
    return stream.rest(control=True)


def account(events: list[ServerSentEvent], pushed: int) -> tuple[int, int]:
    """Delivered and announced; every gap stands where just so many numbers are missing."""
    expected = delivered = announced = 0
    for found in events:
        if found.type == "stream-gap":
            gap = found.json()
            assert gap["reason"] == "overflow" and gap["missed"] > 0
            announced += gap["missed"]
            expected += gap["missed"]
        elif not found.is_control:
            assert number(found) == expected, "something is missing or twice, and no gap says so"
            delivered += 1
            expected += 1
    assert delivered + announced == pushed
    return delivered, announced


# -- what each policy does -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_what_is_dropped_is_announced_in_its_place_and_to_the_last_event(policy: Any) -> None:
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject, overflow=Overflow(policy, max_events=100)))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        full = await filled(subject, opened)
        await push(subject, range(full, 5000))
        assert app[REGISTRY].stats().dropped > 1000
        subject.on_completed()
        events = await everything(stream)
    delivered, announced = account(events, 5000)
    assert events[-1].type == "stream-end"
    assert app[REGISTRY].stats().dropped == announced
    assert delivered < 3000
    kept = [number(event) for event in events if not event.is_control]
    assert (kept[-1] == 4999) is (policy == "drop_oldest")  # what is newest survives, or what is oldest
    assert sum(event.type == "stream-gap" for event in events) == 1, "one run, one gap"


async def test_a_reader_that_lags_again_and_again_is_told_each_time() -> None:
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject, overflow=Overflow("drop_newest", max_events=20)))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        opened, received, n = await only_stream(app), list[ServerSentEvent](), 0
        for _ in range(4):
            stream.stall()
            for _ in range(40):
                await push(subject, range(n, n + 50))
                n += 50
            stream.resume()
            await until(lambda: opened.drained)
            subject.on_next(event(n))  # and a live one, on the empty queue
            n += 1
            while not received or received[-1].is_control or number(received[-1]) < n - 1:
                received.append(await stream.next_event(control=True))
    _, announced = account(received, n)
    assert announced > 0
    assert sum(event.type == "stream-gap" for event in received) >= 4


async def test_disconnect_ends_the_stream_at_once_and_the_client_comes_back_for_the_rest() -> None:
    log, subject = list[ServerSentEvent](), Subject[ServerSentEvent]()

    def publish() -> None:
        log.append(ServerSentEvent(event(len(log)), id=str(len(log))))
        subject.on_next(log[-1])

    @rx_sse.sse
    def handler(request: web.Request) -> rx.Observable[ServerSentEvent]:
        last = rx_sse.last_event_id(request).value
        return rx.concat(rx.from_iterable(log[int(last) + 1 :] if last else []), subject)

    app = app_of(handler)
    got: list[int] = []
    async with serve(app) as url:
        async with open_stream(url, receive_buffer=SMALL) as stream:
            stream.stall()
            opened = await only_stream(app)
            while opened.end is None:
                publish()
                if len(log) % 50 == 0:
                    await asyncio.sleep(0)
                assert len(log) < 20_000
            assert opened.outbox.size == 0 and not subject.observers
            publish()
            stream.resume()
            assert not await stream.ended(), "a cut: a clean end would hide it from `fetch`"
            await until(lambda: not app[REGISTRY].streams)
            assert app[REGISTRY].stats().ended == {"overflow": 1}
            events = stream.rest(control=True)
            assert not any(event.is_control for event in events)
            got += [number(event) for event in events]
            last = stream.last_event_id
        assert len(got) < len(log)
        async with open_stream(url, headers={"Last-Event-ID": last} if last else {}) as again:
            got += [number(event) for event in await again.events(len(log) - len(got))]
    assert got == list(range(len(log)))


async def test_latest_sends_the_newest_of_each_key_and_announces_nothing() -> None:
    subject = Subject[dict[str, Any]]()
    overflow = Overflow("latest", key=lambda reading: reading["sensor"])
    app = app_of(streaming(lambda: subject, overflow=overflow))
    pad = "." * 300
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        for n in range(6000):
            subject.on_next({"sensor": "abc"[n % 3], "n": n, "pad": pad})
            if n % 50 == 0:
                await asyncio.sleep(0)
                assert len(opened.outbox) <= 50 + 3
        await at_rest(lambda: opened.connection.paused)
        assert len(opened.outbox) <= 3 + 1
        subject.on_completed()
        events = await everything(stream)
    assert events.pop().type == "stream-end"
    readings = [event.json() for event in events]
    assert not any(event.is_control for event in events)
    for sensor in "abc":
        numbers = [reading["n"] for reading in readings if reading["sensor"] == sensor]
        assert numbers == sorted(set(numbers)), "never back in time"
    assert [reading["n"] for reading in readings[-3:]] == [5997, 5998, 5999], "the newest of each, in order"
    assert len(readings) < 3000


async def test_latest_without_a_key_keeps_one_event() -> None:
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject, overflow="latest"))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        full = await filled(subject, opened, 2000)
        await push(subject, range(full, 2000), 2000)
        assert len(opened.outbox) <= 2
        subject.on_completed()
        events = await everything(stream)
    assert [number(event) for event in events[:-1]][-1] == 1999
    assert len(events) < 1000


async def test_latest_with_more_keys_than_room_announces_what_went() -> None:
    subject = Subject[str]()
    overflow = Overflow("latest", key=lambda text: text[:6], max_events=100)  # a key for each event
    app = app_of(streaming(lambda: subject, overflow=overflow))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        full = await filled(subject, await only_stream(app))
        await push(subject, range(full, 4000))
        subject.on_completed()
        _, announced = account(await everything(stream), 4000)
    assert announced > 1000


async def test_the_limit_in_bytes_counts_as_well() -> None:
    subject = Subject[str]()
    overflow = Overflow("drop_oldest", max_events=100_000, max_bytes=50_000)
    app = app_of(streaming(lambda: subject, overflow=overflow))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        full = await filled(subject, opened, 1000)
        for n in range(full, 1500):
            subject.on_next(event(n, 1000))
            assert opened.outbox.size <= 50_000 + 1100  # and the frame that is being written
        subject.on_completed()
        _, announced = account(await everything(stream), 1500)
    assert announced > 500


# -- what it costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overflow",
    [
        Overflow("drop_oldest"),
        pytest.param(Overflow("drop_newest"), marks=pytest.mark.slow),
        pytest.param(Overflow("latest"), marks=pytest.mark.slow),
    ],
    ids=lambda overflow: overflow.policy,
)
async def test_a_stalled_reader_costs_no_more_than_its_limits(overflow: Overflow) -> None:
    """20 MB go by; what stays is the outbox, one write, and what the transport holds."""
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject, overflow=overflow, heartbeat=None))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        await filled(subject, opened, 2000)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for n in range(10_000):
                subject.on_next(event(n, 2000))
                if n % 500 == 0:
                    await asyncio.sleep(0)
                    assert opened.outbox.size <= overflow.max_bytes + 2100
                    assert len(opened.outbox) <= overflow.max_events + 2
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert not opened.ended
    assert grown < overflow.max_bytes + 2 * WRITE_LIMIT


async def test_a_stalled_reader_delays_nobody() -> None:
    subject = Subject[str]()
    app = app_of(streaming(lambda: subject, overflow="drop_oldest"))
    async with (
        serve(app) as url,
        open_stream(url, receive_buffer=SMALL) as stalled,
        open_stream(url) as reader,
    ):
        stalled.stall()
        reading = asyncio.create_task(reader.events(3000, 10))
        for n in range(3000):
            subject.on_next(event(n, 1000))
            if n % 100 == 99:  # the reader keeps up; its own policy has nothing to do
                await until(lambda: all(s.outbox.idle or s.connection.paused for s in app[REGISTRY].streams))
        assert [number(event) for event in await reading] == list(range(3000))
        assert sorted(stream.outbox.dropped > 0 for stream in app[REGISTRY].streams) == [False, True]


# -- the write deadline --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "without the kernel"])
async def test_a_reader_that_takes_no_byte_is_ended_after_write_timeout(kernel: bool) -> None:
    subject, loop = Subject[str](), asyncio.get_running_loop()
    app = app_of(streaming(lambda: subject, overflow="drop_oldest", write_timeout=0.5))
    async with serve(app) as url, open_stream(url, receive_buffer=SMALL) as stream:
        stream.stall()
        opened = await only_stream(app)
        if not kernel and USER_TIMEOUT is not None:
            sock = opened.connection.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, 0)
        await filled(subject, opened)
        begin = loop.time()
        while app[REGISTRY].streams:
            subject.on_next(event(0))
            await asyncio.sleep(0.01)
            assert loop.time() - begin < 20
        assert loop.time() - begin > 0.3
        ended = app[REGISTRY].stats().ended
        assert ended == {"stuck": 1} or (kernel and ended == {"left": 1})
        assert not subject.observers


async def test_a_reader_that_is_slow_but_alive_is_not_ended() -> None:
    """At 20 KB/s: its progress is within the 16 KiB that the kernel holds for longer than the deadline."""
    subject, loop = Subject[str](), asyncio.get_running_loop()
    app = app_of(streaming(lambda: subject, overflow="drop_oldest", write_timeout=2.0))
    async with serve(app) as url, open_stream(url, receive_buffer=1024) as stream:
        stream.stall()
        opened = await only_stream(app)
        await filled(subject, opened, 2000)
        begin = loop.time()
        while loop.time() - begin < 4:
            for n in range(20):
                subject.on_next(event(n, 2000))
            stream.resume()
            await stream._more()
            stream.stall()
            await asyncio.sleep(0.1)
        assert opened.connection.paused, "it never caught up"
        assert app[REGISTRY].stats().ended == {}


@pytest.mark.slow
async def test_a_reader_that_is_slow_and_has_a_small_buffer_is_no_stuck_one() -> None:
    """10 KB a second through a window of 2 KB: the kernel would end it after `write_timeout`."""
    body = "x" * 1000

    @rx_sse.sse(write_timeout=1.0, close_timeout=30.0)
    async def much(request: web.Request) -> AsyncIterator[str]:
        for n in range(60):
            yield f"{n:03}{body}"

    async with serve(app_of(much)) as url:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        host, _, port = url.removeprefix("http://").partition(":")
        await loop.sock_connect(sock, (host, int(port)))
        await loop.sock_sendall(sock, b"GET / HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        got = b""
        while piece := await loop.sock_recv(sock, 1024):
            got += piece
            await asyncio.sleep(0.1)  # the pace is what is tested
        sock.close()
    assert all(b"data: %03d%b\n" % (n, body.encode()) in got for n in range(60))
    assert b"stream-end" in got
