"""One endpoint, four readers: ours, Node's eventsource, Chromium and curl see the same list of events.

The endpoint is not gentle: every line end, comments, bytes that split a character, an unfinished event, and a
connection that is cut half-way, to be resumed from `Last-Event-ID`. curl does not come back, so it is asked
for the second half with the header that the others send by themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from rx_sse.client import EventSource
from rx_sse.testing import serve

from ..browser import Page, visiting
from ..conftest import require
from ..node import node_package
from ..wire.reference import read

Row = list[str]  # type, data, last event ID

# Node's client forgets an id that the next event does not repeat, and sends one that is not ASCII as Latin-1.
# So every event here brings its own, in ASCII; what ids do otherwise is in the vectors.
FIRST = (
    b"\xef\xbb\xbf: welcome\nretry: 100\n\n"
    b"data: plain\n\n"
    b"data: CR LF\r\ndata: two lines\r\n\r\n"
    b"data: CR\rdata\rdata:  and a space\r\r"
    b"event: price\nid: 1\ndata: {\"a\": [1, null, \"\xc3\xa9\"]}\n\n"
    b":\n:\n"
    b"data\nid:2\n\n"
    b"id: 3\ndata: \xe2\x82\xac \xe8\xb1\x86\xe8\x85\x90 \xf0\x9f\x98\x80\n\n"
    b"unknown: field\nDATA: not data\nid: 4\ndata: \xe2\x80\xa8 \xc2\x85 \x0b \x0c \x1c \x00 \xff\n\n"
    b"event: nothing to see\n\n"
    b"id: unfinished\ndata: this is cut"
)  # fmt: skip
SECOND = (
    b"data: back again\nid: 5\n\n"
    b"event: price\ndata: 2\nid\n\n"
    b"data: " + b"x" * 300_000 + b"\n\n"
    b"event: over\ndata: bye\n\n"
)  # fmt: skip

LAST = "4"


def expected() -> list[Row]:
    """What a slow and obvious reading of the standard gives."""
    first = read(FIRST)
    assert first.last_event_id == LAST
    return [list(event) for event in first.events + read(SECOND, LAST).events]


@asynccontextmanager
async def endpoint(page: Page | None = None) -> AsyncIterator[str]:
    """The first connection of a client is cut; with a `Last-Event-ID` there is the rest."""

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        value = request.headers.get("Last-Event-ID", "")
        assert value in ("", LAST)
        whole = SECOND if value else FIRST
        size = 7 if len(whole) < 10_000 else 4096
        for start in range(0, len(whole), size):
            await response.write(whole[start : start + size])
        if not value:
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response

    app = web.Application(client_max_size=8 * 1024**2)
    app.router.add_get("/events", events)
    if page is not None:
        page.add_to(app)
    async with serve(app) as url:
        yield f"{url}/events"


async def test_ours() -> None:
    async with endpoint() as url, asyncio.timeout(10):
        rows: list[Row] = []
        async for event in EventSource(url):
            rows.append([event.type, event.data, event.last_event_id])
            if event.type == "over":
                break
    assert rows == expected()


async def test_curl(curl: str) -> None:
    async with endpoint() as url:
        halves: list[bytes] = []
        for headers in ([], ["-H", f"Last-Event-ID: {LAST}"]):
            process = await asyncio.create_subprocess_exec(
                curl, "-sN", "--noproxy", "*", *headers, url, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            halves.append(output)
    assert halves == [FIRST, SECOND]
    rows = [list(event) for event in read(halves[0]).events + read(halves[1], LAST).events]
    assert rows == expected()


SCRIPT = """
const seen = [];
const source = new EventSource(URL_OF_EVENTS);
for (const type of ["message", "price", "over"])
    source.addEventListener(type, event => {
        seen.push([event.type, event.data, event.lastEventId]);
        if (event.type == "over") { source.close(); done(seen); }
    });
"""


@pytest.mark.browser
async def test_chromium(chromium: str) -> None:
    page = Page("const URL_OF_EVENTS = '/events', done = report;" + SCRIPT)
    async with endpoint(page) as url, visiting(chromium, url.removesuffix("events")):
        [rows] = await page.seen()
    assert rows == expected()


@pytest.fixture(scope="session")
def node_eventsource(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which npm's `eventsource` is installed."""
    folder = tmp_path_factory.mktemp("node")
    node_package("eventsource", "4.1.1", folder)
    return folder


async def test_node(node_eventsource: Path) -> None:
    node, folder = require("node"), node_eventsource
    async with endpoint() as url:
        program = folder / "read.mjs"
        start = f"import {{ EventSource }} from 'eventsource';\nconst URL_OF_EVENTS = {json.dumps(url)};\n"
        finish = "const done = seen => console.log(JSON.stringify(seen));\n"
        program.write_text(start + finish + SCRIPT, "utf-8")
        process = await asyncio.create_subprocess_exec(
            node, program, cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(20):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert json.loads(output) == expected()
