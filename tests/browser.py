"""A real Chromium or Firefox for a test: it is started on a page, and the page posts what it sees.

No driver: the page's script calls `report(...)`, which the test awaits.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
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


# A new profile of Firefox asks nothing, fetches nothing, and lets a test's page open windows.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "dom.popup_maximum": 100,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


@asynccontextmanager
async def visiting_firefox(firefox: str, url: str) -> AsyncIterator[None]:
    """Have Firefox show a page for the length of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()
        ]
        (Path(profile) / "user.js").write_text("".join(lines), "utf-8")
        process = await asyncio.create_subprocess_exec(
            firefox,
            "--headless",
            "--no-remote",
            "--profile",
            profile,
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        async with ended(process):
            yield


@asynccontextmanager
async def ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Have a browser gone after the block."""
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
        async with ended(process):
            yield
