"""Clients in JavaScript, in Node and in a browser: an `Adapter` for each, over one bridge to where they run.

A browser's page is of the same origin as the streams, as pages are, and needs no driver: it is opened, and
its script asks for commands over a WebSocket.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from .endpoint import listening
from .harness import Harness
from .service import Order, Report, serving
from .vectors import of_kind

FOLDER: Final = Path(__file__).parent / "scripts"
MODULE: Final = Path(__file__).parent.parent.parent / "rx_sse" / "js"

# A native EventSource is told the types that it shall hear.
TYPES: Final = sorted(
    {event["type"] for vector in of_kind("stream") for event in vector["expected"]}
    | {"message", "greeting", " greeting"}
)

Send = Callable[[str], Awaitable[None]]


class Bridge:
    """The way to where the clients run, once that is there."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._reports: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._send: asyncio.Future[Send] = asyncio.get_running_loop().create_future()

    def connected(self, send: Send) -> None:
        if not self._send.done():
            self._send.set_result(send)

    def told(self, text: str) -> None:
        """A line from the other side."""
        report = json.loads(text)
        if (queue := self._reports.get(report.pop("id"))) is not None:
            queue.put_nowait(report)

    async def run(self, client: str, order: Order, report: Report) -> None:
        """What `Adapter.run` does: start it, pass on what it tells, stop it when cancelled."""
        number = next(self._numbers)
        queue = self._reports[number] = asyncio.Queue()
        send = await self._send
        await send(json.dumps({"id": number, "client": client, "order": _plain(order)}))
        try:
            while True:
                found = await queue.get()
                if found["kind"] == "event":
                    event = found["event"]
                    report.event(event["type"], event["data"], event["id"])
                else:
                    report.queue.put_nowait(found)
        finally:
            await send(json.dumps({"id": number}))
            async with asyncio.timeout(20):
                while (await queue.get())["kind"] != "stopped":
                    pass
            del self._reports[number]


def _plain(order: Order) -> dict[str, Any]:
    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * 1000

    return {
        "url": order.url,
        "method": order.method,
        "headers": dict(order.headers),
        "body": order.body,
        "lastEventId": order.last_event_id,
        "initialDelay": ms(order.initial_delay),
        "readTimeout": ms(order.read_timeout),
        "types": TYPES,
    }


class ScriptAdapter:
    """A client of ``scripts/clients.mjs``."""

    def __init__(self, bridge: Bridge, client: str, capabilities: frozenset[str]) -> None:
        self.name = client
        self.capabilities = capabilities
        self._bridge = bridge

    async def run(self, order: Order, report: Report) -> None:
        await self._bridge.run(self.name, order, report)


@asynccontextmanager
async def in_node(node: str, bridge: Bridge, modules: Path) -> AsyncIterator[None]:
    """Node, with the clients in it."""
    process = await asyncio.create_subprocess_exec(
        node,
        FOLDER / "node.mjs",
        MODULE,
        modules,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    async def send(line: str) -> None:
        stdin.write(line.encode() + b"\n")
        await stdin.drain()

    async def read() -> None:
        while line := await stdout.readline():
            bridge.told(line.decode())

    reading = asyncio.create_task(read())
    bridge.connected(send)
    try:
        yield
    finally:
        stdin.close()
        async with asyncio.timeout(10):
            await process.wait()
        await reading


@asynccontextmanager
async def for_pages(bridge: Bridge, page_app: web.Application, modules: Path) -> AsyncIterator[None]:
    """What a page needs: itself and the module at the origin of the streams (`page_app`), and the socket."""
    app = web.Application()

    async def socket(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(max_msg_size=0)
        await connection.prepare(request)
        bridge.connected(connection.send_str)
        async for message in connection:
            bridge.told(message.data)
        return connection

    async def script(request: web.Request) -> web.StreamResponse:
        folder, name = request.match_info["folder"], request.match_info["name"]
        file = {"scripts": FOLDER, "node_modules": modules}[folder] / name
        if not file.suffix:
            file = file.with_suffix(".js")
        body = file.read_text("utf-8").replace(
            '"eventsource-parser"', '"/node_modules/eventsource-parser/dist/index.js"'
        )
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.Response(text=body, content_type="text/javascript", headers=headers)

    app.router.add_get("/socket", socket)
    app.router.add_get("/{folder:scripts|node_modules}/{name:.+}", script)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    async def page(_: web.Request) -> web.Response:
        text = f'<!doctype html><meta charset=utf-8><title>clients</title><script type=module src="http://127.0.0.1:{port}/scripts/page.mjs"></script>'
        return web.Response(text=text, content_type="text/html")

    async def module(request: web.Request) -> web.Response:
        text = (MODULE / request.path[1:]).read_text("utf-8")
        return web.Response(text=text, content_type="text/javascript")

    page_app.router.add_get("/", page)
    for name in ("/rx_sse.js", "/rx_sse.min.js"):
        page_app.router.add_get(name, module)
    try:
        yield
    finally:
        await runner.cleanup()


BASE: Final = frozenset({"bom", "headers", "last-event-id", "post", "report", "restart"})
OURS: Final = BASE | {"comments", "read-timeout", "server-directed-shutdown-request"}
NATIVE: Final = frozenset({"bom", "restart", "server-directed-shutdown-request"})

# What each offers; and those of Node. The last two have nobody who says "event-type-listeners": see TYPES.
IN_PAGES: Final = {
    "rx_sse.js": OURS,
    "rx_sse.min.js, shared": OURS,
    "EventSource": NATIVE,
    "eventsource": BASE | {"server-directed-shutdown-request"},
    "fetch-event-source": BASE,
}
IN_NODE: Final = {name: IN_PAGES[name] for name in ("rx_sse.js", "eventsource")}

Visit = Callable[[str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def driven(
    client: str, modules: Path, *, node: str | None = None, visit: Visit | None = None
) -> AsyncIterator[Harness]:
    """The driver, and a client in Node, or in a page that `visit` has a browser show."""
    bridge = Bridge()
    adapter = ScriptAdapter(bridge, client, IN_PAGES[client])
    async with aiohttp.ClientSession() as session, serving(adapter) as service:
        harness = Harness(session, service)
        if node is not None:
            async with listening(harness.site), in_node(node, bridge, modules):
                await harness.greet()
                yield harness
        else:
            assert visit is not None
            async with for_pages(bridge, harness.site.app, modules), listening(harness.site):
                await harness.greet()
                async with visit(f"{harness.site.base}/"):
                    yield harness
