"""A real Chromium for a test: it is started on a page, and the page posts what it sees.

No driver: the page's script calls `report(...)`, which the test awaits.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

PAGE = """<!doctype html><meta charset=utf-8><title>test</title><script type=module>
const origin = location.origin;
let sent = Promise.resolve();  // one at a time: what is seen first arrives first
const post = body => fetch(origin + "/seen", {method: "POST", body}).catch(() => {});
globalThis.report = (...seen) => { sent = sent.then(() => post(JSON.stringify(seen))); };
%s
</script>"""


class Page:
    """A page, and what it has reported."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._seen: asyncio.Queue[Any] = asyncio.Queue()

    def add_to(self, app: web.Application, path: str = "/") -> None:
        """Serve the page at `path` and take its reports at `/seen`."""
        app.router.add_get(path, self._page)
        app.router.add_post("/seen", self._report)

    async def seen(self, timeout: float = 15.0) -> Any:
        """The next report: a list of the arguments of one call of `report`."""
        async with asyncio.timeout(timeout):
            return await self._seen.get()

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE % self._script, content_type="text/html")

    async def _report(self, request: web.Request) -> web.Response:
        self._seen.put_nowait(json.loads(await request.text()))
        return web.Response()


@asynccontextmanager
async def visiting(chromium: str, url: str, *flags: str) -> AsyncIterator[None]:
    """Have Chromium show a page for the length of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            chromium,
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",  # keeps a headless browser open on its page
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(5):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
