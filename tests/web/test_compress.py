"""`compress="zstd"`: who gets it, that each event comes alone and at once, and that nothing else changes."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.testing import serve
from rx_sse.web.registry import REGISTRY
from rx_sse.wire import EventParser
from tests.browser import Page, visiting

from .apps import app_of, exchange, streaming, until

MAGIC = b"\x28\xb5\x2f\xfd"
"""What every zstd frame begins with (RFC 8878 §3.1.1)."""
ORDER = {"lines": [{"sku": f"A-{n}", "name": "a thing of this name", "quantity": n} for n in range(20)]}
TEXT = b": open\nretry: 5\ndata: one\n\ndata: two\n\n"


class Stream:
    """A stream as aiohttp's client decodes it, while it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.headers = response.headers
        self._content = response.content
        self.text = b""

    @property
    def compressed(self) -> int:
        """Bytes of its body that have come."""
        return self._content.total_compressed_bytes or 0

    async def until(self, end: bytes) -> None:
        """Read until the text ends in this."""
        async with asyncio.timeout(20):
            while not self.text.endswith(end):
                self.text += await self._content.readany()
                assert not self._content.at_eof() or self.text.endswith(end), self.text

    async def rest(self) -> list[rx_sse.ServerSentEvent]:
        """Its events, to the end."""
        async with asyncio.timeout(20):
            self.text += await self._content.read()
        return EventParser().feed(self.text)


@asynccontextmanager
async def opened(url: str, accept: str = "zstd") -> AsyncIterator[Stream]:
    headers = {"Accept-Encoding": accept}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert response.status == 200
        yield Stream(response)


# -- who gets it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ([], None),
        ([""], None),
        (["gzip, deflate, br"], None),
        (["gzip, deflate, br, zstd"], "zstd"),
        (["gzip", "zstd"], "zstd"),
        (["ZSTD"], "zstd"),
        (["zstd;q=0.1"], "zstd"),
        (["zstd;q=0"], None),
        (["zstd; q=0.000, *"], None),
        (["zstd;q=high"], None),
        (["zstd;q=0.5, identity"], None),
        (["zstd;q=0.5, identity;q=0.5"], "zstd"),
        (["zstd, identity;q=0.5, gzip;q=0.9"], "zstd"),
        (["*"], None),
        (["x-zstd"], None),
    ],
)
async def test_who_accepts_it_gets_it(accept: list[str], encoding: str | None) -> None:
    handler = streaming(lambda: rx.of("one", "two"), retry=5)
    lines = [f"Accept-Encoding: {value}" for value in accept]
    async with serve(app_of({"GET /": handler, "HEAD /": handler}, compress="zstd")) as url:
        answer = await exchange(url, "GET /", *lines)
        head = await exchange(url, "HEAD /", *lines)
    for each in (answer, head):
        assert (each.status, each.header("Content-Encoding")) == (200, encoding)
        assert each.header("Vary") == "Accept-Encoding"
    assert answer.content.startswith(MAGIC if encoding else TEXT)


async def test_nobody_gets_it_unasked() -> None:
    async with serve(app_of(streaming(lambda: rx.of("one", "two"), retry=5))) as url:
        answer = await exchange(url, "GET /", "Accept-Encoding: zstd")
    assert not {"content-encoding", "vary"} & answer.names
    assert answer.content.startswith(TEXT)


async def test_http_1_0_gets_the_text() -> None:
    async with serve(app_of(streaming(lambda: rx.of("one", "two"), retry=5), compress="zstd")) as url:
        answer = await exchange(url, "GET /", "Accept-Encoding: zstd", version="1.0")
    assert answer.header("Content-Encoding") is None
    assert answer.content.startswith(TEXT)


async def test_pages_of_other_origins_vary_too() -> None:
    app = app_of(streaming(lambda: rx.of(1)), compress="zstd", allow_origins=["https://a.example"])
    async with serve(app) as url:
        answer = await exchange(url, "GET /", "Origin: https://a.example")
    assert answer.header("Vary") == "Accept-Encoding, Origin"


# -- what comes ----------------------------------------------------------------------------------------------


async def test_each_event_comes_at_once_and_so_does_a_heartbeat() -> None:
    source: Subject[Any] = Subject()
    app = app_of(streaming(lambda: source, heartbeat=0.2, retry=5, hold_headers=0.0), compress="zstd")
    async with serve(app) as url, opened(url) as stream:
        await stream.until(b": open\nretry: 5\n")
        for number in range(3):
            source.on_next({"number": number})
            await stream.until(b'data: {"number":%d}\n\n' % number)
        await stream.until(b"\n\n:\n")
        source.on_next(rx_sse.RawFrame("event: raw\ndata: x\n\n"))
        await stream.until(b"event: raw\ndata: x\n\n")
        source.on_completed()
        last = (await stream.rest())[-1]
        assert stream.headers["Content-Encoding"] == "zstd"
    assert last.type == "stream-end"


async def test_every_way_to_end_is_readable() -> None:
    failed = rx.of(1).pipe(ops.concat(rx.throw(rx_sse.StreamError("no more"))))
    handlers = {
        "/failed": streaming(lambda: failed),
        "/closed": streaming(lambda: rx.never(), max_duration=0.05),
    }
    async with serve(app_of(handlers, compress="zstd")) as url:
        async with opened(url + "/failed") as stream:
            assert [event.type for event in await stream.rest()] == ["message", "stream-error"]
        async with opened(url + "/closed") as stream:
            assert [event.type for event in await stream.rest()] == ["stream-reconnect"]
            assert b"\nretry: " in stream.text


async def test_a_resumable_stream_has_its_cursor_and_its_replay() -> None:
    bus = rx_sse.MemoryBus()
    app = app_of(
        rx_sse.sse(lambda request: bus.events("orders", after=rx_sse.last_event_id(request), last=2)),
        bus=bus,
        compress="zstd",
    )
    async with serve(app) as url:
        for number in range(3):
            await bus.publish("orders", {"number": number})
        async with opened(url) as stream:
            await stream.until(b"\n\n")
            await bus.end("orders")
            events = await stream.rest()
    assert [event.type for event in events] == ["stream-cursor", "message", "message", "stream-end"]
    assert [event.json()["number"] for event in events[1:3]] == [1, 2]


async def test_a_slow_reader_is_told_of_its_gap() -> None:
    source: Subject[Any] = Subject()
    slow = rx_sse.Overflow("drop_oldest", max_events=2)
    app = app_of(streaming(lambda: source, overflow=slow, hold_headers=0.0), compress="zstd")
    async with serve(app) as url, opened(url) as stream:
        await stream.until(b": open\n")
        (served,) = app[REGISTRY].streams
        while not served.connection.paused:
            source.on_next(random.randbytes(50_000).hex())
            await asyncio.sleep(0)
        for number in range(5):
            source.on_next(number)
        source.on_completed()
        events = await stream.rest()
    assert [event.type for event in events[-4:]] == ["stream-gap", "message", "message", "stream-end"]
    assert [event.json() for event in events[-3:-1]] == [3, 4]


async def test_an_event_is_compressed_once_for_all() -> None:
    event, frame = rx_sse.ServerSentEvent(ORDER), rx_sse.RawFrame(f"data: {json.dumps(ORDER)}\n\n")
    for each in (event, frame):
        assert each.zstd_chunk is each.zstd_chunk
        assert len(each.zstd_chunk) < len(each.frame) / 3
    source: Subject[Any] = Subject()
    app = app_of(streaming(lambda: source, hold_headers=0.0), compress="zstd")
    async with serve(app) as url, opened(url) as one, opened(url) as two, opened(url, "gzip") as plain:
        await until(lambda: len(source.observers) == 3)
        source.on_next(event)
        for stream in (one, two, plain):
            await stream.until(event.frame)


async def test_events_that_come_together_are_compressed_together() -> None:
    bus = rx_sse.MemoryBus()
    orders = rx_sse.sse(lambda request: bus.events("orders", after=rx_sse.last_event_id(request)))
    async with serve(app_of(orders, bus=bus, compress="zstd")) as url, opened(url) as stream:
        await stream.until(b"\n\n")
        for numbers in (range(1), range(1, 51)):
            for number in numbers:
                bus.topic("orders").on_next(ORDER | {"number": number})
            await core_of(bus).delivered()
        await bus.end("orders")
        cursor, *events, end = await stream.rest()
        assert (cursor.type, end.type) == ("stream-cursor", "stream-end")
        assert [event.json()["number"] for event in events] == list(range(51))
        assert stream.compressed < 10 * len(events[0].zstd_chunk)
        assert stream.compressed < len(stream.text) / 25


async def test_our_client_reads_it() -> None:
    accepted: list[str] = []

    def orders(request: web.Request) -> rx.Observable[Any]:
        accepted.append(request.headers["Accept-Encoding"])
        return rx.of(ORDER, 2)

    async with serve(app_of(rx_sse.sse(orders), compress="zstd")) as url:
        events = [event async for event in rx_sse.EventSource(url)]
    assert [event.json() for event in events] == [ORDER, 2]
    assert "zstd" in accepted[0]


def knows_zstd(curl: str) -> bool:
    return "zstd" in subprocess.run([curl, "--version"], capture_output=True, text=True).stdout


async def test_curl_reads_it(curl: str) -> None:
    if not knows_zstd(curl):
        pytest.skip("this curl was built without zstd")
    async with serve(app_of(streaming(lambda: rx.of("one", "two"), retry=5), compress="zstd")) as url:
        command = [curl, "--silent", "--show-error", "--compressed", "--include", url]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
    assert b"Content-Encoding: zstd" in printed and TEXT in printed


@pytest.mark.browser
async def test_a_browser_reads_it_live(chromium: str) -> None:
    source: Subject[Any] = Subject()
    page = Page(
        """const source = new EventSource("/live");
        source.onopen = () => report("open");
        source.onmessage = e => report(JSON.parse(e.data));
        source.addEventListener("stream-end", () => { source.close(); report("end"); });
        fetch("/short", {headers: {Accept: "text/event-stream"}}).then(async answer =>
            report(answer.headers.get("Content-Encoding"), await answer.text()));"""
    )
    handlers = {"/live": streaming(lambda: source), "/short": streaming(lambda: rx.of("one", "two"), retry=5)}
    app = app_of(handlers, compress="zstd")
    page.add_to(app)
    async with serve(app) as url, visiting(chromium, url):
        seen = sorted([await page.seen(), await page.seen()], key=len)
        assert seen[0] == ["open"]
        assert seen[1][0] == "zstd" and seen[1][1].startswith(TEXT.decode())
        for value in ({"number": 1}, ORDER, "é € 豆腐 😀" * 1000):
            source.on_next(json.dumps(value))
            assert await page.seen() == [value]
        source.on_completed()
        assert await page.seen() == ["end"]


# -- without it ----------------------------------------------------------------------------------------------


def test_without_the_extra_it_is_asked_for_at_once() -> None:
    program = """
import sys
sys.modules["backports.zstd"] = sys.modules["compression.zstd"] = None
import rx_sse
rx_sse.sse(compress=None)
try:
    rx_sse.sse(compress="zstd")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install backports.zstd" in done.stdout, done.stdout + done.stderr
