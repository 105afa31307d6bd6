"""What a real browser makes of our streams."""

from __future__ import annotations

import asyncio

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve
from rx_sse.web.end_reason import End
from tests.browser import Page, visiting

from .apps import only_stream

pytestmark = pytest.mark.browser

NASTY = [
    "plain",
    "",
    " leading space",
    "two\nlines",
    "trailing newline\n",
    "crlf\r\nand cr\rand lf\n\nblank",
    "separators \u2028 and \u2029, nel \x85, vt \x0b, ff \x0c, fs \x1c",
    "nul \0 inside",
    "\ufeffbom first",
    "data: looks like a field\nid: 7\n:comment",
    "é € 豆腐 😀",
    "x" * 1_000_000,
]


async def test_what_the_encoder_writes_chromium_reads_back(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/nasty"), seen = [];
        source.onmessage = e => seen.push(e.data);
        source.addEventListener("stream-end", () => { source.close(); report(seen); });"""
    )
    app = rx_sse.setup(web.Application())
    page.add_to(app)
    app.router.add_get("/nasty", rx_sse.sse(lambda request: rx.from_iterable(NASTY)))
    async with serve(app) as url, visiting(chromium, url):
        [seen] = await page.seen()
    expected = [text.replace("\r\n", "\n").replace("\r", "\n") for text in NASTY]
    assert seen == expected


@pytest.mark.slow
async def test_types_and_ids_arrive_and_json_is_json(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/typed"), seen = [];
        for (const type of ["message", "price", "stream-end"])
            source.addEventListener(type, e => {
                seen.push([e.type, e.data, e.lastEventId]);
                if (type == "stream-end") { source.close(); report(seen.slice(0, -1)); }
            });"""
    )
    app = rx_sse.setup(web.Application())
    page.add_to(app)
    events = [
        rx_sse.ServerSentEvent({"a": [1, None]}, event="price", id="é 7"),
        {"data": "a dict is data"},
        rx_sse.ServerSentEvent("x", comment="unseen"),
    ]
    app.router.add_get("/typed", rx_sse.sse(lambda request: rx.from_iterable(events)))
    async with serve(app) as url, visiting(chromium, url):
        [seen] = await page.seen()
    assert seen == [
        ["price", '{"a":[1,null]}', "é 7"],
        ["message", '{"data":"a dict is data"}', "é 7"],
        ["message", "x", "é 7"],
    ]


async def test_a_completed_stream_is_not_come_back_to(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/short");
        source.onmessage = e => report("message", e.data);
        source.onerror = () => report("error", source.readyState);"""
    )
    app = rx_sse.setup(web.Application(), retry=50)
    page.add_to(app)
    runs = []
    app.router.add_get("/short", rx_sse.sse(lambda request: runs.append(1) or rx.of("once")))
    async with serve(app) as url, visiting(chromium, url):
        assert await page.seen() == ["message", "once"]
        assert await page.seen() == ["error", 0], "the browser comes back by itself"
        assert await page.seen() == ["error", 2], "and gets 204: closed for good"
    assert len(runs) == 1


async def test_a_failed_stream_is_come_back_to(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/flaky");
        source.onmessage = e => report("message", e.data);
        source.addEventListener("stream-error", e => report("stream-error", JSON.parse(e.data).status));"""
    )
    app = rx_sse.setup(web.Application(), retry=50)
    page.add_to(app)
    runs = []

    @rx_sse.sse
    def flaky(request: web.Request) -> rx.Observable[str]:
        runs.append(1)
        return rx.of("first").concat(rx.throw(ValueError("secret"))) if len(runs) == 1 else rx.of("second")

    app.router.add_get("/flaky", flaky)
    async with serve(app) as url, visiting(chromium, url):
        assert [await page.seen() for _ in range(3)] == [
            ["message", "first"],
            ["stream-error", 500],
            ["message", "second"],
        ]


@pytest.mark.slow
async def test_an_unexpected_failure_on_a_reconnect_does_not_end_the_event_source(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/deploy");
        source.onmessage = e => report("message", e.data, e.lastEventId);"""
    )
    app = rx_sse.setup(web.Application(), retry=50, on_end="reconnect")
    page.add_to(app)
    runs = []

    @rx_sse.sse
    def deploy(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        runs.append(str(rx_sse.last_event_id(request)))
        if len(runs) == 2:
            raise RuntimeError("the database is not there yet")
        return rx.of(rx_sse.ServerSentEvent(len(runs), id=f"n{len(runs)}"))

    app.router.add_get("/deploy", deploy)
    async with serve(app) as url, visiting(chromium, url):
        assert await page.seen() == ["message", "1", "n1"]
        assert await page.seen() == ["message", "3", "n3"]
    assert runs[:3] == ["", "n1", "n1"]


@pytest.mark.slow  # two reconnects of some seconds; with ids it is one
async def test_a_stream_without_ids_survives_a_reconnect_that_fails(chromium: str) -> None:
    """Its reconnect looks like a first request: there is no Last-Event-ID."""
    page = Page(
        """const source = new EventSource("/ticks");
        source.onmessage = e => report("message", e.data, e.lastEventId);
        source.addEventListener("stream-error", e => report("stream-error", e.data));"""
    )
    app = rx_sse.setup(web.Application(), retry=50, on_end="reconnect")
    page.add_to(app)
    runs: list[str | None] = []

    @rx_sse.sse
    def ticks(request: web.Request) -> rx.Observable[int]:
        runs.append(request.headers.get("Last-Event-ID"))
        if len(runs) == 2:
            raise RuntimeError("the database is not there yet")
        return rx.of(len(runs)).concat(rx.never() if len(runs) == 3 else rx.throw(OSError()))

    app.router.add_get("/ticks", ticks)
    async with serve(app) as url, visiting(chromium, url):
        assert await page.seen() == ["message", "1", ""]
        seen = [await page.seen() for _ in range(3)]
    assert [kind for kind, *_ in seen] == ["stream-error", "stream-error", "message"]
    assert seen[-1] == ["message", "3", ""]
    assert runs == [None, None, None]


@pytest.mark.slow
async def test_the_time_of_a_shutdown_is_obeyed_once_and_then_forgotten(chromium: str) -> None:
    """An EventSource keeps the last `retry` that it heard; each opening says the stream's own."""
    page = Page(
        """const source = new EventSource("/life"), seen = [];
        let lost = 0;
        source.addEventListener("stream-reconnect", e => report("reconnect", e.data, e.lastEventId));
        source.onmessage = e => report("message", e.data);
        source.onerror = () => { lost = performance.now(); };
        source.onopen = () => { if (lost) report("away", performance.now() - lost); };"""
    )
    app = rx_sse.setup(web.Application(), retry=100)
    page.add_to(app)
    app.router.add_get("/life", rx_sse.sse(lambda request: rx.never()))
    async with serve(app) as url, visiting(chromium, url):
        (await only_stream(app)).close_for_reconnect(End.SHUTDOWN, 900)
        assert await page.seen() == ["reconnect", '{"reason":"shutdown"}', ""]
        kind, away = await page.seen()
        assert kind == "away" and 850 < away < 5000
        (await only_stream(app)).connection.abort()
        kind, away = await page.seen()
        assert kind == "away" and away < 850


@pytest.mark.slow  # test_topics.py has one with a bus
async def test_a_restarted_server_is_come_back_to(chromium: str) -> None:
    page = Page(
        """const source = new EventSource("/life");
        source.onmessage = e => report(e.data);"""
    )

    def life(name: str) -> web.Application:
        app = rx_sse.setup(web.Application())
        page.add_to(app)
        app.router.add_get("/life", rx_sse.sse(lambda request: rx.never().start_with(name)))
        return app

    first = web.AppRunner(life("first"))
    await first.setup()
    site = web.TCPSite(first, "127.0.0.1", 0)
    await site.start()
    port = first.addresses[0][1]
    async with visiting(chromium, f"http://127.0.0.1:{port}/"):
        assert await page.seen() == ["first"]
        await first.cleanup()
        second = web.AppRunner(life("second"))
        await second.setup()
        try:
            await web.TCPSite(second, "127.0.0.1", port).start()
            assert await page.seen() == ["second"]
        finally:
            await second.cleanup()
    await asyncio.sleep(0)


@pytest.mark.slow
async def test_the_last_frame_before_a_cut_reaches_a_page(chromium: str) -> None:
    """`fetch` fails when it sees the cut, and discards what the page has not read by then."""
    page = Page(
        """const one = async () => {
            let text = "";
            try {
                const answer = await fetch("/failing", {method: "POST"});
                const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
                for (;;) { const { done, value } = await reader.read(); if (done) break; text += value; }
                return [text, "complete"];
            } catch (error) { return [text, error.name]; }
        };
        const seen = [];
        for (let n = 0; n < 50; n++) seen.push(await one());
        report(seen);"""
    )
    app = rx_sse.setup(web.Application())
    page.add_to(app)

    @rx_sse.sse(control="none", on_error=lambda error: "the last")
    def failing(request: web.Request) -> rx.Observable[str]:
        return rx.of("first").concat(rx.throw(ValueError("secret")))

    app.router.add_post("/failing", failing)
    async with serve(app) as url, visiting(chromium, url):
        [seen] = await page.seen(60)
    assert seen == [["data: first\n\ndata: the last\n\n", "TypeError"]] * 50
