"""A shutdown ends every stream, each with a time of its own to come back, and waits for no stalled reader."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import OpenStream, open_stream, serve
from rx_sse.testing.raw import send
from rx_sse.web.registry import REGISTRY

from ..ports import free_port
from .apps import until

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import reactivex as rx
import rx_sse
from aiohttp import web

@rx_sse.sse(overflow="drop_oldest")
def ticks(request):
    return rx.interval(0.05).map(lambda n: {"n": n})

@rx_sse.sse(overflow="drop_oldest")
def wide(request):
    return rx.interval(0.005).map(lambda n: "x" * 50_000)

app = rx_sse.setup(web.Application())
app.router.add_get("/", ticks)
app.router.add_get("/wide", wide)
ready = lambda line: print("ready", flush=True)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=ready, access_log=None)
"""


@pytest.mark.slow
async def test_sigterm_with_five_hundred_streams_of_which_ten_are_stalled() -> None:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        str(port),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    streams: list[OpenStream] = []
    try:
        assert server.stdout is not None
        async with asyncio.timeout(20):
            assert (await server.stdout.readline()).startswith(b"ready")

        async def connect(stalled: bool) -> OpenStream:
            buffer = 4096 if stalled else None
            stream = await send(f"http://127.0.0.1:{port}/{'wide' * stalled}", receive_buffer=buffer)
            await stream.read_head()
            await stream.next_event(20)
            if stalled:
                stream.stall()
            return stream

        for start in range(0, 500, 50):
            streams += await asyncio.gather(*(connect(n < 10) for n in range(start, start + 50)))
        stalled, reading = streams[:10], streams[10:]
        # Meanwhile the sockets of those who do not read fill up.
        await asyncio.gather(*(stream.events(5, 20) for stream in reading))

        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        clean = await asyncio.gather(*(stream.ended(20) for stream in reading))
        async with asyncio.timeout(20):
            assert await server.wait() == 0
        took = time.monotonic() - begin

        assert all(clean), f"{clean.count(False)} of {len(clean)} streams were cut"
        retries = [stream.retry for stream in reading]
        assert None not in retries and len(set(retries)) == len(reading), "each client has a time of its own"
        assert took < 3.0
        for stream in stalled:
            stream.resume()
            assert not await stream.ended(), "a reader that does not read is cut"
    finally:
        for stream in streams:
            await stream.aclose()
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_a_handler_that_opens_its_stream_during_the_shutdown_is_shed() -> None:
    reached, release, subscribed = asyncio.Event(), asyncio.Event(), []

    async def slow(request: web.Request) -> rx.Observable[int]:
        reached.set()
        await release.wait()
        return rx.defer(lambda _: subscribed.append(1) or rx.never())

    app = rx_sse.setup(web.Application())
    app.router.add_get("/", rx_sse.sse(slow))
    closing = asyncio.Event()

    async def tell(_: web.Application) -> None:
        closing.set()

    app.on_shutdown.append(tell)
    async with serve(app) as url:
        stream = await send(url + "/")
        await reached.wait()

        async def late() -> None:
            await closing.wait()
            release.set()

        waiting = asyncio.create_task(late())
    await waiting
    await stream.read_head()
    assert stream.status == 200
    assert await stream.ended()
    assert stream.retry is not None and stream.retry >= 1000
    assert [event.type for event in stream.rest(control=True)] == ["stream-reconnect"]
    assert not subscribed
    assert app[REGISTRY].stats().shed == 1
    await stream.aclose()


async def test_a_drain_window_spreads_the_closing_over_its_length() -> None:
    app = rx_sse.setup(web.Application(), drain=2.0)
    app.router.add_get("/", rx_sse.sse(lambda request: rx.never()))
    closed: list[float] = []
    async with serve(app) as url:
        streams = [await send(url + "/") for _ in range(6)]
        for stream in streams:
            await stream.read_head()

        async def end(stream: OpenStream) -> None:
            assert await stream.ended()
            closed.append(time.monotonic())

        ends = [asyncio.create_task(end(stream)) for stream in streams]
    await asyncio.gather(*ends)
    assert max(closed) - min(closed) > 0.3
    for stream in streams:
        await stream.aclose()


async def test_a_source_that_completes_because_of_the_shutdown_is_not_told_as_an_end() -> None:
    source: rx.Subject[int] = rx.Subject()
    app = rx_sse.setup(web.Application())
    app.router.add_get("/", rx_sse.sse(lambda request: source))

    async def complete(_: web.Application) -> None:
        source.on_completed()

    app.on_shutdown.insert(0, complete)  # before the library's own
    async with serve(app) as url, open_stream(url) as stream:
        app[REGISTRY].closing = True
        source.on_completed()
        assert await stream.ended()
        (told,) = stream.rest(control=True)
        assert (told.type, told.json()) == ("stream-reconnect", {"reason": "shutdown"})
        assert stream.retry is not None


# -- what a source does when it is closed --------------------------------------------------------------------


class Database:
    """Open as long as the application is."""

    def __init__(self) -> None:
        self.open = False
        self.log: list[str] = []

    async def life(self, app: web.Application) -> AsyncIterator[None]:
        self.open = True
        yield
        self.open = False
        self.log.append("database closed")

    async def rows(self, seconds: float = 0.1) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.sleep(seconds)
                self.log.append(f"lock given back, database open: {self.open}")
            except asyncio.CancelledError:
                self.log.append("interrupted")
                raise


SOURCES: dict[str, Callable[[Database], Any]] = {
    "a generator": lambda database: database.rows(),
    "from_async_iterable": lambda database: rx_sse.from_async_iterable(database.rows),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("leaves", [False, True], ids=["open until then", "the client has just left"])
async def test_finally_blocks_are_waited_for_before_the_cleanup(
    source: Callable[[Database], Any], leaves: bool
) -> None:
    database = Database()
    app = web.Application()
    app.cleanup_ctx.append(database.life)
    rx_sse.setup(app).router.add_get("/", rx_sse.sse(lambda request: source(database)))
    async with serve(app) as url, open_stream(url) as stream:
        assert (await stream.next_event()).json() == 1
        if leaves:
            stream.leave()
            await until(lambda: not app[REGISTRY].streams)
    assert database.log == ["lock given back, database open: True", "database closed"]


async def test_no_longer_than_the_window(caplog: pytest.LogCaptureFixture) -> None:
    database = Database()
    app = web.Application()
    app.cleanup_ctx.append(database.life)
    rx_sse.setup(app).router.add_get("/", rx_sse.sse(lambda request: database.rows(30)))
    begin = time.monotonic()
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event()
    assert 0.4 < time.monotonic() - begin < 4
    assert database.log == ["database closed"]
    assert "sources still closing at the end of the shutdown window: 1;" in caplog.text
    for task in app[REGISTRY].parts.scheduler.ending:
        task.cancel()
        await asyncio.wait([task])


async def test_sigterm_lets_a_generator_give_back_what_it_holds() -> None:
    """As `web.run_app` does it: the last thing that it does is to cancel every task that is left."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(port), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(20):
            assert (await server.stdout.readline()).startswith(b"ready")
            stream = await send(f"http://127.0.0.1:{port}/")
            await stream.read_head()
            server.send_signal(signal.SIGTERM)
            assert await server.stdout.read() == b"finally is done, database open: True\n"
            assert await server.wait() == 0
        await stream.aclose()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


HOLDER = """
import asyncio, sys
import rx_sse
from aiohttp import web

pool = {"open": False}

async def database(app):
    pool["open"] = True
    yield
    pool["open"] = False

@rx_sse.sse
async def stream(request):
    try:
        yield "x"
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.2)
        print("finally is done, database open:", pool["open"], flush=True)

app = web.Application()
app.cleanup_ctx.append(database)
rx_sse.setup(app)
app.router.add_get("/", stream)
ready = lambda line: print("ready", flush=True)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=ready, access_log=None)
"""
