"""Events of one turn reach a reader in one write, and what it has got is told exactly: through every way that
a burst can take (written at once, queued for a reader that lags, event by event)."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.web.registry import REGISTRY

from .conftest import Contexts

Source = Callable[[rx_sse.Bus, web.Request], rx.Observable[object]]
Sources = dict[str, Source]


def _any(event: rx_sse.ServerSentEvent) -> bool:
    return True


SOURCES: Sources = {
    "events": lambda bus, request: bus.events("a", after=rx_sse.last_event_id(request)),
    "topic": lambda bus, request: bus.topic("a"),
    "two": lambda bus, request: bus.events("a", "b", after=rx_sse.last_event_id(request)),
    "shaped": lambda bus, request: bus.events(
        "a", after=rx_sse.last_event_id(request), filter=lambda event: event.json()["n"] % 2 == 0
    ),
    "pipeline": lambda bus, request: bus.events("a", after=rx_sse.last_event_id(request)).pipe(
        ops.filter(_any)
    ),
    "values": lambda bus, request: bus.topic("a").pipe(ops.map(dict)),
    "latest": lambda bus, request: bus.events("a", after=rx_sse.last_event_id(request)),
}


def bursting(bus: rx_sse.Bus) -> web.Application:
    app = rx_sse.setup(web.Application(), bus=bus)
    for name, source in SOURCES.items():

        def handler(request: web.Request, source: Source = source) -> rx.Observable[object]:
            return source(bus, request)

        overflow = rx_sse.Overflow("latest", key=lambda event: event.data)
        options: dict[str, Any] = {"overflow": overflow} if name == "latest" else {}
        app.router.add_get(f"/{name}", rx_sse.sse(**options)(handler))
    return app


@pytest.mark.parametrize("http10", [False, True], ids=["1.1", "1.0"])
@pytest.mark.parametrize("name", ["events", "topic", "two", "shaped", "pipeline", "values", "latest"])
async def test_bursts_of_any_size_arrive_whole_and_in_order(name: str, http10: bool) -> None:
    dice, bus, n = random.Random(5), rx_sse.MemoryBus(), 0
    app = bursting(bus)
    async with serve(app) as url, open_stream(url, f"/{name}", http10=http10) as stream:
        for _ in range(40):
            for _ in range(dice.choice([1, 1, 2, 7, 8, 9, 150])):
                bus.topic("a").on_next({"n": n})
                n += 1
            await asyncio.sleep(0)
        wanted = [m for m in range(n) if name != "shaped" or m % 2 == 0]
        got = await stream.events(len(wanted))
        assert [event.json()["n"] for event in got] == wanted
        (served,) = app[REGISTRY].streams
        assert served.cursor == (got[-1].id if name not in ("topic", "two", "values") else served.cursor)


@pytest.mark.parametrize("name", ["events", "topic", "values"])
async def test_bursts_arrive_whole_and_in_order_through_tls(name: str, contexts: Contexts) -> None:
    dice, bus, n = random.Random(7), rx_sse.MemoryBus(), 0
    app = bursting(bus)
    server, client = contexts
    async with serve(app, ssl=server) as url, open_stream(url, f"/{name}", ssl=client) as stream:
        for _ in range(40):
            for _ in range(dice.choice([1, 1, 2, 8, 150])):
                bus.topic("a").on_next({"n": n})
                n += 1
            await asyncio.sleep(0)
        assert [event.json()["n"] for event in await stream.events(n)] == list(range(n))
        (served,) = app[REGISTRY].streams
        assert served.connection.free, "and at once, while the transport has room"


@pytest.mark.parametrize("name", ["events", "two", "shaped"])
async def test_after_a_cut_amid_bursts_a_stream_goes_on_with_the_next_event(name: str) -> None:
    dice, bus = random.Random(6), rx_sse.MemoryBus(history=10_000)
    got: list[int] = []
    pushed, due, last = 0, 0, ""

    async def read(stream: OpenStream, upto: int) -> str:
        while len(got) < upto:
            got.append((await stream.next_event()).json()["n"])
        return stream.last_event_id

    async with serve(bursting(bus)) as url:
        for _ in range(12):
            headers = {"Last-Event-ID": last} if last else {}
            async with open_stream(url, f"/{name}", headers=headers) as stream:
                for _ in range(5):
                    for _ in range(dice.choice([1, 2, 20, 200])):
                        bus.topic("a").on_next({"n": pushed})
                        pushed += 1
                    await asyncio.sleep(0)
                due = len(range(0, pushed, 2 if name == "shaped" else 1))
                last = await read(stream, dice.randint(len(got), due))
        async with open_stream(url, f"/{name}", headers={"Last-Event-ID": last}) as stream:
            await read(stream, due)
            assert not [event for event in stream.rest(control=True) if event.type == "stream-gap"]
    assert got == list(range(0, pushed, 2 if name == "shaped" else 1))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_burst_for_a_reader_that_lags_meets_its_policy_event_by_event(
    tls: bool, contexts: Contexts
) -> None:
    bus = rx_sse.MemoryBus(history=1)
    app = rx_sse.setup(web.Application(), bus=bus)

    @rx_sse.sse(overflow=rx_sse.Overflow("drop_oldest", max_events=5))
    def slow(request: web.Request) -> rx.Observable[object]:
        return bus.topic("a")

    app.router.add_get("/", slow)
    server, client = contexts if tls else (None, None)
    async with (
        serve(app, ssl=server) as url,
        open_stream(url, "/", receive_buffer=4096, ssl=client) as stream,
    ):
        stream.stall()
        (served,) = app[REGISTRY].streams
        n = 0
        while not served.connection.paused:
            bus.topic("a").on_next({"n": n, "text": "." * 2000})
            n += 1
            await asyncio.sleep(0.001)
        for _ in range(100):  # ten bursts of ten
            for _ in range(10):
                bus.topic("a").on_next({"n": n})
                n += 1
            await asyncio.sleep(0)
        await core_of(bus).delivered()
        stream.resume()
        got: list[int] = []
        missed = 0
        while len(got) + missed < n:
            event = await stream.next_event(control=True)
            if event.type == "stream-gap":
                missed += event.json()["missed"]
                assert len(got) + missed == n - 5, "the loss is reported in its place"
            elif not event.is_control:
                got.append(event.json()["n"])
    assert got[-5:] == list(range(n - 5, n)) and got == sorted(got) and missed > 900


async def test_a_stream_over_http_1_0_gets_no_chunk_sizes() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(bursting(bus)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /topic HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        bus.topic("a").on_next(0)
        await reader.readuntil(b"data: 0\n\n")
        for n in range(1, 4):
            bus.topic("a").on_next(n)
            assert await reader.readuntil(b"\n\n") == b"data: %d\n\n" % n
        writer.close()
        await writer.wait_closed()


async def test_a_burst_does_not_overtake_what_is_queued_before_it() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(bursting(bus)) as url, open_stream(url, "/topic") as stream:
        bus.topic("a").on_next({"n": 0})
        await stream.next_event()

        def elsewhere() -> None:
            bus.topic("a").on_next({"n": 1})
            bus.topic("a").as_events().subscribe(lambda event: None)  # who joins parts two bursts
            for n in range(2, 30):
                bus.topic("a").on_next({"n": n})

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()  # the loop stands still, so all of it comes in one turn
        assert [event.json()["n"] for event in await stream.events(29)] == list(range(1, 30))


async def test_what_one_reader_of_a_burst_does_to_another_comes_after_it() -> None:
    """A reader ends another one's stream while both are asked: the event, which came first, is written."""
    bus = rx_sse.MemoryBus()
    app = bursting(bus)

    async with serve(app) as url, open_stream(url, "/events") as one, open_stream(url, "/events") as two:
        bus.topic("a").on_next({"n": 0})
        for stream in (one, two):
            await stream.next_event()

        def end_all(value: dict[str, int]) -> None:
            for stream in list(app[REGISTRY].streams):
                stream.complete()

        bus.topic("a").subscribe(end_all)
        bus.topic("a").on_next({"n": 1})
        for stream in (one, two):
            assert (await stream.next_event()).json() == {"n": 1}
            assert await stream.ended()
            assert [event.type for event in stream.rest(control=True)] == ["stream-end"]


def _three(value: dict[str, int]) -> rx.Observable[dict[str, int]]:
    return rx.of(*({"n": 3 * value["n"] + more} for more in range(3)))


async def test_what_an_operator_makes_of_one_event_keeps_its_order_and_takes_two_writes() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)

    @rx_sse.sse
    def threefold(request: web.Request) -> rx.Observable[object]:
        return bus.topic("a").pipe(ops.flat_map(_three))

    app.router.add_get("/", threefold)
    async with serve(app) as url, open_stream(url, "/") as stream:
        for n in range(20):
            bus.topic("a").on_next({"n": n})
            assert [event.json()["n"] for event in await stream.events(3)] == [3 * n, 3 * n + 1, 3 * n + 2]
        (served,) = app[REGISTRY].streams
        assert served.connection.free and served.outbox.idle


async def test_what_waits_for_the_end_of_the_turn_is_not_overtaken_by_the_next_event() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)

    class Slow:
        """Another connection, whose write takes all the time that there is in a turn."""

        def __init__(self, push: bool) -> None:
            self.push = push

        def flush(self, now: float) -> bool:
            time.sleep(0.005)
            if self.push:
                bus.topic("a").on_next({"n": 1})
            return False

    def threefold(value: dict[str, int]) -> rx.Observable[dict[str, int]]:
        if value["n"] == 0:
            for n in range(8):
                app[REGISTRY].parts.flusher.mark(Slow(push=n == 0))
        return _three(value)

    @rx_sse.sse
    def stream_of_three(request: web.Request) -> rx.Observable[object]:
        return bus.topic("a").pipe(ops.flat_map(threefold))

    app.router.add_get("/", stream_of_three)
    async with serve(app) as url, open_stream(url, "/") as stream:
        (served,) = app[REGISTRY].streams
        while not served.connection.free:
            await asyncio.sleep(0)
        bus.topic("a").on_next({"n": 0})
        assert [event.json()["n"] for event in await stream.events(6)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest", "latest"])
async def test_a_reader_that_keeps_up_is_given_what_it_takes_before_its_policy(policy: Any) -> None:
    """The first is on its way at once, for the others there is room for five: they are written as well."""
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)

    key = (lambda value: value) if policy == "latest" else None

    @rx_sse.sse(overflow=rx_sse.Overflow(policy, key=key, max_events=5))
    def hundredfold(request: web.Request) -> rx.Observable[object]:
        return bus.topic("a").pipe(ops.flat_map(lambda _: rx.range(100)))

    app.router.add_get("/", hundredfold)
    async with serve(app) as url, open_stream(url, "/") as stream:
        (served,) = app[REGISTRY].streams
        while not served.connection.free:
            await asyncio.sleep(0)
        bus.topic("a").on_next(0)
        got = [await stream.next_event(control=True) for _ in range(100)]
        assert [event.json() for event in got] == list(range(100))


SOURCES_OF_A_BURST: dict[str, Callable[[rx_sse.Bus, web.Request], rx.Observable[Any]]] = {
    "events": lambda bus, request: bus.events("a", after=rx_sse.last_event_id(request)),
    "topic": lambda bus, request: bus.topic("a"),
    "pipeline": lambda bus, request: bus.topic("a").pipe(ops.map(lambda value: value)),
    "subject": lambda bus, request: request.app[SUBJECT],
}
SUBJECT: web.AppKey[Subject[Any]] = web.AppKey("subject", Subject)


@pytest.mark.parametrize(("count", "size"), [(900, 100), (3, 100_000)], ids=["many", "large"])
@pytest.mark.parametrize("name", SOURCES_OF_A_BURST)
async def test_a_burst_of_one_turn_beyond_the_limits_reaches_a_reader_that_reads(
    name: str, count: int, size: int
) -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app[SUBJECT] = Subject()
    app.router.add_get(
        "/", rx_sse.sse(hold_headers=0.0)(lambda request: SOURCES_OF_A_BURST[name](bus, request))
    )
    async with serve(app) as url, open_stream(url) as stream:
        target = app[SUBJECT] if name == "subject" else bus.topic("a")
        for number in range(count):
            target.on_next(f"{number} " + "x" * size)
        events = await stream.events(count)
        assert [int(event.data.split()[0]) for event in events] == list(range(count))
        assert app[REGISTRY].stats().ended == {}


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest"])
async def test_a_burst_that_comes_before_the_headers_waits_for_its_reader(policy: Any) -> None:
    """In the turn of the first event nothing can be written yet, so no reader is slow."""
    app = rx_sse.setup(web.Application())

    @rx_sse.sse(overflow=rx_sse.Overflow(policy, max_events=5), hold_headers=5.0)
    def burst(request: web.Request) -> rx.Observable[Any]:
        return rx.timer(0.01).pipe(ops.flat_map(lambda _: rx.range(1000)), ops.concat(rx.never()))

    app.router.add_get("/", burst)
    async with serve(app) as url, open_stream(url) as stream:
        got = [await stream.next_event(control=True) for _ in range(1000)]
        assert [event.json() for event in got] == list(range(1000))


async def test_a_source_without_an_end_in_one_turn_meets_the_policy_all_the_same() -> None:
    """However fast its reader is: what is written beyond the limits in one turn is limited too."""
    app = rx_sse.setup(web.Application())
    emitted: list[int] = []

    def endless(request: web.Request) -> rx.Observable[Any]:
        return rx.timer(0.05).pipe(
            ops.flat_map(lambda _: rx.from_iterable(itertools.count())),
            ops.do_action(emitted.append),
            ops.map(lambda number: "x" * 1000),
        )

    app.router.add_get("/", rx_sse.sse(hold_headers=0.0)(endless))
    async with serve(app) as url, open_stream(url) as stream:
        assert not await stream.ended(timeout=20)
        assert app[REGISTRY].stats().ended == {"overflow": 1}
    assert len(emitted) < 6_000


async def test_what_a_full_socket_does_not_take_meets_the_limits() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)

    @rx_sse.sse(overflow=rx_sse.Overflow("drop_oldest", max_events=5))
    def handler(request: web.Request) -> rx.Observable[object]:
        return bus.topic("a")

    app.router.add_get("/", handler)
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        (served,) = app[REGISTRY].streams
        stream.stall()
        number = 0
        while not served.connection.paused:
            bus.topic("a").on_next(f"{number} " + "x" * 20_000)
            number += 1
            await asyncio.sleep(0)
        for late in range(100):
            bus.topic("a").on_next(f"{number + late} x")
        while served.outbox.dropped < 90:
            await asyncio.sleep(0)
        assert len(served.outbox) <= 7  # five, the gap, and the rest of one


async def test_a_stream_that_ends_while_its_value_waits_for_its_block_sends_the_value_first() -> None:
    bus = rx_sse.MemoryBus()
    app = bursting(bus)
    async with serve(app) as url, open_stream(url, "/values") as one, open_stream(url, "/values") as two:
        for n in range(2):
            bus.topic("a").on_next({"n": n})
            for stream in (one, two):
                await stream.next_event()
            assert all(it.connection.free for it in app[REGISTRY].streams), "nothing is on its way any more"

        def end_all(value: dict[str, int]) -> None:
            for stream in list(app[REGISTRY].streams):
                stream.complete()

        bus.topic("a").subscribe(end_all)
        bus.topic("a").on_next({"n": 2})
        for stream in (one, two):
            assert (await stream.next_event()).json() == {"n": 2}
            assert await stream.ended()
            assert [event.type for event in stream.rest(control=True)] == ["stream-end"]
