"""Pages that use the module, and the server behind them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Any

from aiohttp import web

import rx_sse
from rx_sse.web.registry import REGISTRY
from rx_sse.web.stream import Stream

# Every tab writes down the numbers it got, over a reload too: the list goes with the tab's session.
PAGE = """<!doctype html><meta charset=utf-8><title>tab</title><link rel=icon href="data:,"><script type=module>
import { stream } from "/rx_sse.js";
globalThis.got = JSON.parse(sessionStorage.got ?? "[]");
globalThis.told = JSON.parse(sessionStorage.told ?? "[]");
globalThis.mode = %(mode)s;
const fetched = fetch;
globalThis.fetch = (...request) => { globalThis.asked = Date.now(); return fetched(...request); };
if (mode === "locks") delete globalThis.SharedWorker;
const me = globalThis.me = stream("/numbers", %(options)s);
me.addEventListener("message", e => got.push(e.json()));
for (const type of ["gap", "joined", "error"])
    me.addEventListener(type, e => told.push([type, e.detail, got.length]));
me.addEventListener("state", e => told.push(["state", e.detail.state, performance.now() | 0]));
addEventListener("pagehide", () => { sessionStorage.got = JSON.stringify(got); sessionStorage.told = JSON.stringify(told.slice(-20)); });
</script>"""


# A page for a test that says itself what happens in it.
BARE = """<!doctype html><meta charset=utf-8><title>bare</title><link rel=icon href="data:,"><script type=module>
import { stream } from "/rx_sse.js";
globalThis.open_stream = (url, options) => {
    const got = [], told = [], me = stream(url, options);
    me.subscribe(e => got.push([e.type, e.data]));
    for (const type of ["gap", "joined", "error"]) me.addEventListener(type, e => told.push([type, e.detail]));
    return Object.assign(me, { got, told });
};
</script>"""


class Numbers:
    """A topic of numbers, and pages that listen to it."""

    def __init__(
        self, history: int = 1_000, options: str = "{}", mode: str = "worker", **stream: Any
    ) -> None:
        self.bus = rx_sse.MemoryBus(history=history)
        self.app = app = rx_sse.setup(web.Application(), bus=self.bus)
        self._page = PAGE % {"mode": f'"{mode}"', "options": options}
        self.opened = Counter[str]()
        app.router.add_get("/", self.show)
        app.router.add_get("/blank", self._blank)
        app.router.add_get("/bare", self._bare)
        app.router.add_get("/numbers", rx_sse.sse(**stream)(self._numbers))
        self.sent = 0
        self.headers: dict[str, str] = {}  # of the bare page

    @property
    def streams(self) -> Collection[Stream]:
        """Those that are open."""
        return self.app[REGISTRY].streams

    @property
    def open(self) -> int:
        """How many."""
        return len(self.streams)

    async def send(self, count: int = 1, pause: float = 0.0) -> None:
        """Publish the next numbers."""
        for _ in range(count):
            await self.bus.publish("numbers", self.sent)
            self.sent += 1
            if pause:
                await asyncio.sleep(pause)

    def _numbers(self, request: web.Request) -> Any:
        self.opened["streams"] += 1
        return self.bus.events("numbers", after=rx_sse.last_event_id(request))

    async def show(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html")

    async def _bare(self, request: web.Request) -> web.Response:
        return web.Response(text=BARE, content_type="text/html", headers=self.headers)

    async def _blank(self, request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>elsewhere</title>", content_type="text/html")
