"""However a client leaves, its subscription is disposed at once and nothing stays behind.

Every case runs under `AppRunner` with aiohttp's defaults, on asyncio and on uvloop, plain and over TLS.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.disposable import Disposable

import rx_sse
from rx_sse.testing import OpenStream, no_leaks, open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.end_reason import End
from rx_sse.web.registry import REGISTRY
from tests.web.conftest import Contexts

SOON = 2.0
"""Seconds within which a subscription must be gone: 50 ms, and room for a machine that is busy."""


@dataclass
class Watched:
    """A source that tells when it is subscribed and when it is disposed."""

    source: rx.Observable[Any]
    subscriptions: int = 0
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    disposed: asyncio.Event = field(default_factory=asyncio.Event)
    on_dispose: Callable[[], None] | None = None

    def observable(self) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            inner = self.source.subscribe(observer, scheduler=scheduler)
            self.subscriptions += 1
            self.subscribed.set()

            def dispose() -> None:
                inner.dispose()
                if self.on_dispose is not None:
                    self.on_dispose()
                self.subscriptions -= 1
                self.disposed.set()

            return Disposable(dispose)

        return rx.create(subscribe)


@dataclass
class Scene:
    """A served application with one stream, and how to reach it."""

    url: str
    app: web.Application
    watched: Watched
    release: asyncio.Event
    client: ssl.SSLContext | None
    clients: list[OpenStream] = field(default_factory=list)

    async def request(self, path: str = "/", **options: Any) -> OpenStream:
        stream = await send(self.url + path, ssl=self.client, **options)
        self.clients.append(stream)
        return stream

    async def opened(self, path: str = "/", **options: Any) -> OpenStream:
        stream = await self.request(path, **options)
        async with asyncio.timeout(20):
            await stream.read_head()
            await self.watched.subscribed.wait()
        return stream

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def round_trip(self) -> None:
        """One request on another connection, answered."""
        async with open_stream(self.url, "/once", ssl=self.client) as other:
            assert await other.body() == b"again"

    async def gone(self) -> float:
        """Wait until the subscription is disposed; seconds that it took."""
        begin = time.perf_counter()
        async with asyncio.timeout(SOON):
            await self.watched.disposed.wait()
        took = time.perf_counter() - begin
        assert self.watched.subscriptions == 0
        return took


@asynccontextmanager
async def scene(
    source: rx.Observable[Any], tls: tuple[ssl.SSLContext, ssl.SSLContext] | None
) -> AsyncIterator[Scene]:
    watched, release = Watched(source), asyncio.Event()

    async def slow(request: web.Request) -> rx.Observable[Any]:
        watched.subscribed.set()  # "reached"
        await release.wait()
        return watched.observable()

    async def once(request: web.Request) -> web.Response:
        return web.Response(text="again")

    app = rx_sse.setup(web.Application(), overflow=rx_sse.Overflow("drop_oldest"), heartbeat=None)
    app.router.add_get("/", rx_sse.sse(lambda request: watched.observable()))
    app.router.add_get("/held", rx_sse.sse(hold_headers=60.0)(lambda request: watched.observable()))
    app.router.add_get("/slow", rx_sse.sse(slow))
    app.router.add_get("/once", once)
    async with serve(app, ssl=tls[0] if tls else None) as url:
        opened = Scene(url, app, watched, release, tls[1] if tls else None)
        yield opened
        for stream in opened.clients:
            await stream.aclose()


async def until(truth: Callable[[], bool]) -> None:
    """Wait for what has no event of its own."""
    async with asyncio.timeout(10):
        while not truth():
            await asyncio.sleep(0.01)


async def before_the_headers(s: Scene) -> None:
    stream = await s.request("/held")
    await s.watched.subscribed.wait()
    stream.leave()
    await s.gone()


async def during_an_async_handler(s: Scene) -> None:
    stream = await s.request("/slow")
    await s.watched.subscribed.wait()
    await stream.aclose()
    await s.round_trip()  # after which the server has seen the end
    s.release.set()
    await s.round_trip()
    assert s.watched.subscriptions == 0 and not s.watched.disposed.is_set(), "nothing may be subscribed"
    s.watched.disposed.set()


async def while_idle(s: Scene) -> None:
    stream = await s.opened()
    stream.leave()
    await s.gone()


async def with_a_reset(s: Scene) -> None:
    stream = await s.opened()
    stream.reset()
    await s.gone()


async def by_half_close(s: Scene) -> None:
    stream = await s.opened()
    if s.client is None:
        stream.half_close()
    else:  # TLS has no half-close that Python offers
        stream.leave()
    await s.gone()


async def stalled_by_half_close(s: Scene) -> None:
    stream = await s.opened("/", receive_buffer=4096)
    stream.stall()
    if s.client is None:
        stream.half_close()
    else:
        stream.leave()
    await s.gone()


async def mid_write(s: Scene) -> None:
    stream = await s.opened()
    await stream.events(3)
    stream.leave()
    await s.gone()


async def with_a_full_socket(s: Scene) -> None:
    stream = await s.opened("/", receive_buffer=4096)
    stream.stall()
    await until(lambda: any(other.connection.paused for other in s.app[REGISTRY].streams))
    stream.leave()
    await s.gone()


async def behind_pipelined_requests(s: Scene) -> None:
    stream = await s.opened()
    stream.writer.write(b"GET /once HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
    await stream.writer.drain()
    stream.leave()
    await s.gone()


async def after_completing(s: Scene) -> None:
    stream = await s.opened()
    assert await stream.ended()
    stream.leave()
    await s.gone()


def idle() -> rx.Observable[Any]:
    return rx.never()


def busy() -> rx.Observable[Any]:
    return rx.interval(0.001).map(lambda n: f"{n} " + "x" * 20_000)


def short() -> rx.Observable[Any]:
    return rx.of(1, 2, 3)


Case = Callable[[Scene], Awaitable[None]]
CASES: list[tuple[Case, Callable[[], rx.Observable[Any]]]] = [
    (before_the_headers, idle),
    (during_an_async_handler, idle),
    (while_idle, idle),
    (with_a_reset, idle),
    (by_half_close, idle),
    (stalled_by_half_close, busy),
    (mid_write, busy),
    (with_a_full_socket, busy),
    (behind_pipelined_requests, idle),
    (after_completing, short),
]


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        factory = uvloop.new_event_loop
    else:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


@pytest.mark.parametrize("transport", ["plain", "tls"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("case", "source"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_the_subscription_is_disposed_when_the_client_leaves(
    case: Case,
    source: Callable[[], rx.Observable[Any]],
    loop: str,
    transport: str,
    contexts: Contexts,
) -> None:
    async def main() -> None:
        tls = contexts if transport == "tls" else None
        async with asynccontextmanager(no_leaks)(), scene(source(), tls) as s:
            await case(s)

    run(loop, main())


@pytest.mark.parametrize("loop", [pytest.param("asyncio", marks=pytest.mark.slow), "uvloop"])
def test_two_thousand_connects_and_disconnects_leave_nothing_behind(loop: str) -> None:
    async def visit(s: Scene, n: int) -> None:
        stream = await s.request("/", headers={"X-Visit": str(n)})
        if n % 4:
            await stream.read_head()
        if n % 4 == 2:
            await stream.next_event()
        stream.reset() if n % 3 == 0 else stream.leave()
        await stream.aclose()

    async def main() -> None:
        async with asynccontextmanager(no_leaks)(), scene(rx.interval(0.005), None) as s:
            edge = s.app[REGISTRY]
            for start in range(0, 2000, 50):
                async with asyncio.timeout(20):
                    await asyncio.gather(*(visit(s, n) for n in range(start, start + 50)))
            await until(lambda: not edge.streams)
            assert s.watched.subscriptions == 0
            assert not edge.stats().open
            assert len(edge.parts.wheel) == 0

    run(loop, main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("how", [OpenStream.leave, OpenStream.reset, OpenStream.half_close])
def test_the_socket_is_still_ours_when_we_hear_that_the_client_has_left(
    how: Callable[[OpenStream], None], loop: str
) -> None:
    """Events are written to the descriptor itself. Were it closed before we hear of it, the next connection
    might have its number, and get the events of this one."""
    after: list[bool] = []

    async def main() -> None:
        async with scene(rx.never(), None) as s:
            stream = await s.opened()
            connection = next(iter(s.app[REGISTRY].streams)).connection

            def look() -> None:
                ours = connection.descriptor
                assert ours is not None
                with socket.socket(fileno=os.dup(ours)) as same:
                    after.append(same.getsockname()[1] == s.port and not connection.open)

            s.watched.on_dispose = look
            how(stream)
            await s.gone()

    run(loop, main())
    assert after == [True]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["left", "completed", "shed"])
@pytest.mark.parametrize("kind", ["events", "topic", "pipeline", "pulled"])
def test_a_stream_that_has_ended_is_gone_without_a_collection(kind: str, end: str, loop: str) -> None:
    bus = rx_sse.MemoryBus()

    async def pulled() -> AsyncIterator[int]:
        yield 0
        await asyncio.Event().wait()

    @rx_sse.sse
    def source(request: web.Request) -> rx.Observable[Any] | AsyncIterator[int]:
        if kind == "events":
            return bus.events("a", after=rx_sse.last_event_id(request))
        if kind == "pulled":
            return pulled()
        return bus.topic("a").pipe(ops.map(str)) if kind == "pipeline" else bus.topic("a")

    async def main() -> None:
        app = rx_sse.setup(web.Application(), bus=bus)
        app.router.add_get("/", source)
        edge = app[REGISTRY]
        async with serve(app) as url:
            async with open_stream(url, "/") as stream:
                bus.topic("a").on_next(0)
                await stream.next_event()
                (served,) = edge.streams
                gone = weakref.ref(served)
                if end == "completed":
                    served.complete()
                elif end == "shed":
                    served.close_for_reconnect(End.SHED)
                del served
                if end != "left":
                    assert await stream.ended()
            await until(lambda: not edge.streams)
            await until(lambda: gone() is None)

    gc.collect()
    gc.disable()
    try:
        run(loop, main())
    finally:
        gc.enable()
